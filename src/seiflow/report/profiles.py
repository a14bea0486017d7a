"""Figures of quantities against the distance from a plane."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from seiflow.report.canvas import INK, PALETTE, Drawing, canvas
from seiflow.report.collect import Case
from seiflow.report.planar_views import ProfilePoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = {"vacancy": "os", "interstitial": "^D"}
"""One for each phase."""

CAPTION = "Energy of a vacancy at each site against that in the bulk; open: the farthest site of each grain."

CAPTION_BOTH = (
    "Energy of a vacancy at each site, and of an ion added at interstitial sites, against that in the bulk; open: the farthest "
    "site of each phase. Sites where the defect did not stay, or did not relax, are left out."
)


def draw_profiles(cases: Sequence[Case]) -> list[Drawing]:
    """Draw the profile of each structure and calculator that has one."""
    found = [case for case in cases if case.segregation and any(_known(points) for points in _profiles(case).values())]
    return [Drawing(case.structure, case.calculator, "segregation", _caption(case), segregation(case)) for case in found]


def segregation(case: Case) -> str:
    """Energy of the defects against the distance from the nearest boundary; the two phases of an interface on either side."""
    assert case.segregation is not None  # noqa: S101 - chosen for having one
    profiles = _profiles(case)
    with canvas(f"segregation {case.structure} {case.calculator}", (6.4, 3.9)) as (figure, svg):
        axes = figure.subplots()
        phases = list(dict.fromkeys(point.phase for point in case.segregation.profile))
        for what, points in profiles.items():
            for number, phase in enumerate(phases):
                side = [point for point in points if point.phase == phase]
                sign = -1 if len(phases) > 1 and number == 0 else 1
                label = phase if len(profiles) == 1 else f"{phase} {what}" if len(phases) > 1 else what
                color = PALETTE[number if len(phases) > 1 else list(profiles).index(what)]
                _side(axes, _known(side), MARKERS[what][number % 2], color, label, sign)
        axes.axhline(0, color="#888888", linewidth=0.8)
        axes.axvline(0, color=INK, linewidth=1.2, linestyle="--")
        axes.set_xlabel("Distance from the plane (Å)" + (f", {phases[0]} on the left" if len(phases) > 1 else ""))
        axes.set_ylabel(f"{case.segregation.species} {' or '.join(profiles)} against bulk (eV)")
        axes.margins(y=0.14)
        if len(phases) * len(profiles) > 1:
            axes.legend(loc="best")
    return svg.text


def _profiles(case: Case) -> dict[str, tuple[ProfilePoint, ...]]:
    """Return the profile of each kind of defect that was asked for."""
    assert case.segregation is not None  # noqa: S101 - chosen for having one
    added = case.segregation.interstitial_profile
    return {"vacancy": case.segregation.profile} | ({"interstitial": added} if added else {})


def _caption(case: Case) -> str:
    return CAPTION_BOTH if len(_profiles(case)) > 1 else CAPTION


def _known(points: Sequence[ProfilePoint]) -> list[tuple[float, float]]:
    """Return distance and energy of the points that have one, by distance."""
    return sorted((point.distance_angstrom, point.energy_ev) for point in points if point.energy_ev is not None)


def _side(axes: "Axes", known: Sequence[tuple[float, float]], marker: str, color: str, label: str, sign: int) -> None:
    axes.plot([sign * x for x, _ in known], [y for _, y in known], marker, color=color, markersize=6, label=label)
    if known:
        x, y = known[-1]
        axes.plot(sign * x, y, marker, color=color, markersize=6, markerfacecolor="white")
