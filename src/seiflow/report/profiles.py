"""Figures of quantities against the distance from a plane."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from seiflow.report.canvas import INK, PALETTE, Drawing, canvas
from seiflow.report.collect import Case

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "os"
"""One for each grain."""

CAPTION = "Energy of a vacancy at each site against that in the bulk; open: the farthest site of each grain."


def draw_profiles(cases: Sequence[Case]) -> list[Drawing]:
    """Draw the profile of each structure and calculator that has one."""
    found = [case for case in cases if case.segregation and case.segregation.lowest_energy_ev is not None]
    return [Drawing(case.structure, case.calculator, "segregation", CAPTION, segregation(case)) for case in found]


def segregation(case: Case) -> str:
    """Energy of the vacancy against the distance from the nearest boundary; the two phases of an interface on either side."""
    assert case.segregation is not None  # noqa: S101 - chosen for having one
    with canvas(f"segregation {case.structure} {case.calculator}", (6.4, 3.9)) as (figure, svg):
        axes = figure.subplots()
        phases = list(dict.fromkeys(point.phase for point in case.segregation.profile))
        for number, phase in enumerate(phases):
            _side(axes, case, phase, number, sign=-1 if len(phases) > 1 and number == 0 else 1)
        axes.axhline(0, color="#888888", linewidth=0.8)
        axes.axvline(0, color=INK, linewidth=1.2, linestyle="--")
        axes.set_xlabel("Distance from the plane (Å)" + (f", {phases[0]} on the left" if len(phases) > 1 else ""))
        axes.set_ylabel(f"{case.segregation.species} vacancy against bulk (eV)")
        axes.margins(y=0.14)
        if len(phases) > 1:
            axes.legend(loc="best")
    return svg.text


def _side(axes: "Axes", case: Case, phase: str, number: int, *, sign: int) -> None:
    assert case.segregation is not None  # noqa: S101 - chosen for having one
    points = [(point.distance_angstrom, point.energy_ev) for point in case.segregation.profile if point.phase == phase]
    known = sorted((distance, energy) for distance, energy in points if energy is not None)
    color = PALETTE[number]
    axes.plot([sign * x for x, _ in known], [y for _, y in known], MARKERS[number % 2], color=color, markersize=6, label=phase)
    if known:
        x, y = known[-1]
        axes.plot(sign * x, y, MARKERS[number % 2], color=color, markersize=6, markerfacecolor="white")
