"""The figures of the report, as SVG text: equal inputs give equal bytes, and colours that colour-blind readers tell apart.

Okabe and Ito, Color Universal Design (2008), for the palette. Directional Young's modulus: Nye, Physical Properties of
Crystals (1957), section VIII.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from seiflow.report.canvas import INK, PALETTE, Drawing, canvas
from seiflow.report.charged_figure import CAPTION, formation_energies
from seiflow.report.collect import Case, Collected
from seiflow.report.defects_figure import CAPTION as PAIRS
from seiflow.report.defects_figure import has_pairs, pair_energies
from seiflow.report.quantities import MODULI, References, compare, is_cubic
from seiflow.report.references import find
from seiflow.report.views import Band
from seiflow.report.wording import KINDS, kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

PUBLISHED = dict(zip(KINDS, "oDs", strict=True))
"""Marker of a published value by its kind."""


_LABELLED_PEAKS = 4
_LEGEND_ROWS = 14
_PLANES = {"xy": (0, 1), "xz": (0, 2), "yz": (1, 2)}


def draw(collected: Collected, references: References) -> list[Drawing]:
    """Draw every figure that the records there are allow."""
    drawings = []
    for structure in dict.fromkeys(case.structure for case in collected.cases):
        cases = [case for case in collected.cases if case.structure == structure]
        if any(_stable(case) for case in cases):
            drawings.append(Drawing(structure, None, "moduli", _CAPTIONS["moduli"], moduli(cases, references)))
            drawings.append(Drawing(structure, None, "young-modulus", _CAPTIONS["young-modulus"], young_modulus(cases)))
        if any(case.phonons for case in cases):
            drawings.append(Drawing(structure, None, "phonon-dos", _CAPTIONS["phonon-dos"], phonon_dos(cases)))
            curves = heat_capacity(cases, references)
            drawings.append(Drawing(structure, None, "heat-capacity", _CAPTIONS["heat-capacity"], curves))
        drawings += [
            Drawing(structure, case.calculator, "bands", _CAPTIONS["bands"], band_profiles(case)) for case in cases if case.bands
        ]
        for case in cases:
            if case.defects and has_pairs(case.defects):
                dots = pair_energies(case.defects, f"{structure} {case.calculator}")
                drawings.append(Drawing(structure, case.calculator, "pair-energies", PAIRS, dots))
            if case.charged and any(defect.formation_energy_ev for defect in case.charged.defects):
                lines = formation_energies(case.charged, f"{structure} {case.calculator}")
                drawings.append(Drawing(structure, case.calculator, "formation-energies", CAPTION, lines))
    return drawings


def _stable(case: Case) -> bool:
    """Whether there is a stiffness from which Young's modulus follows."""
    return case.elasticity is not None and case.elasticity.young_modulus_gpa is not None


_CAPTIONS = {
    "moduli": "Moduli: computed (bars) and published (markers).",
    "young-modulus": "Young's modulus by direction, in the planes of the Cartesian axes of the stiffness.",
    "phonon-dos": "Phonon density of states.",
    "heat-capacity": "Harmonic Cv per mole of formula units; markers: published (Cp: at constant pressure).",
    "bands": "Energy along each hop, met in relaxations from its saddle to both ends. Dots are computed, lines guide the eye.",
}


def band_profiles(case: Case) -> str:
    """Energy against path coordinate, one curve for each hop, the barrier written at its top.

    The curves between the computed points (dots) are monotone cubic: a guide to the eye without invented extrema.
    """
    columns = -(-len(case.bands) // _LEGEND_ROWS)
    with canvas(f"bands {case.structure} {case.calculator}", (4.8 + 1.6 * max(columns, 1), 3.9)) as (figure, svg):
        axes = figure.subplots()
        for number, hop in enumerate(case.bands):
            _profile(axes, hop, number, named=len(case.bands) <= _LABELLED_PEAKS)
        axes.axhline(0, color="#888888", linewidth=0.8)
        axes.set_xlabel("Path coordinate (Å)")
        axes.set_ylabel("Energy above the initial state (eV)")
        axes.margins(y=0.14)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), title="Hop", alignment="left", ncols=columns)
    return svg.text


def _profile(axes: "Axes", hop: Band, number: int, *, named: bool) -> None:
    from scipy.interpolate import PchipInterpolator

    x, y = np.array(hop.path.coordinate_angstrom), np.array(hop.path.energy_ev)
    color, dash = PALETTE[number % len(PALETTE)], ("-", "--", ":", "-.")[number // len(PALETTE) % 4]
    dense = np.linspace(x[0], x[-1], 121)
    axes.plot(
        dense, PchipInterpolator(x, y)(dense), dash, color=color, label=f"{_literal(hop.hop)}, {hop.barrier_forward_ev:.2f} eV"
    )
    axes.plot(x, y, "o", color=color, markersize=4.5)
    if named:
        top = int(np.argmax(y))
        text = f"{hop.barrier_forward_ev:.2f} eV"
        axes.annotate(text, (x[top], y[top]), xytext=(0, 7), textcoords="offset points", ha="center", color=color)


def young_modulus(cases: Sequence[Case]) -> str:
    """Directional Young's modulus in the three principal planes of the axes of the stiffness, one curve for each calculator."""
    with canvas(f"young {cases[0].structure}", (9.0, 3.7), layout=None) as (figure, svg):
        panels = figure.subplots(1, 3, subplot_kw={"projection": "polar"})
        highest = max(case.elasticity.young_modulus_max_gpa or 0 for case in cases if case.elasticity)
        for axes, (plane, (first, second)) in zip(panels, _PLANES.items(), strict=True):
            angles = np.linspace(0, 2 * np.pi, 181)
            directions = np.zeros((len(angles), 3))
            directions[:, first], directions[:, second] = np.cos(angles), np.sin(angles)
            for number, case in enumerate(cases):
                if case.elasticity and _stable(case):
                    modulus = directional_young_modulus(np.array(case.elasticity.stiffness_gpa), directions)
                    axes.plot(angles, modulus, color=PALETTE[number % len(PALETTE)], label=_literal(case.calculator))
            axes.set_xlabel(f"{plane} plane", labelpad=4)
            axes.set_ylim(0, 1.05 * highest)
            axes.set_rlabel_position(67.5)
            axes.yaxis.set_major_locator(_few_ticks())
            axes.set_xticks(np.radians([0, 90, 180, 270]), [*plane, "", ""])
            axes.tick_params(axis="x", pad=1)
            axes.tick_params(axis="y", labelsize=8, colors="#666666")
            axes.spines["polar"].set_visible(False)
        figure.subplots_adjust(left=0.04, right=0.96, top=0.93, bottom=0.27, wspace=0.2)
        handles, labels = panels[0].get_legend_handles_labels()
        title = "Young's modulus in GPa, from the centre outwards"
        figure.legend(handles, labels, loc="lower center", ncols=5, title=title)
    return svg.text


def directional_young_modulus(stiffness: "NDArray[np.float64]", directions: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return Young's modulus along unit vectors.

    Args:
        stiffness: 6 x 6, Voigt xx yy zz yz xz xy; its unit is that of the result.
        directions: n x 3 unit vectors.
    """
    x, y, z = directions.T
    voigt = np.stack([x * x, y * y, z * z, y * z, x * z, x * y], axis=1)
    inverse = np.einsum("ni,ij,nj->n", voigt, np.linalg.inv(stiffness), voigt)
    return np.asarray(1 / inverse, dtype=float)


def phonon_dos(cases: Sequence[Case]) -> str:
    """Phonon density of states, one curve for each calculator; imaginary frequencies left of zero."""
    with canvas(f"dos {cases[0].structure}", (6.4, 3.4)) as (figure, svg):
        axes = figure.subplots()
        for number, case in enumerate(cases):
            if case.phonons:
                x, y, color = case.phonons.dos.frequency_thz, case.phonons.dos.density_per_thz, PALETTE[number % len(PALETTE)]
                axes.plot(x, y, color=color, label=_literal(case.calculator), linewidth=1.4)
                axes.fill_between(x, y, color=color, alpha=0.10, linewidth=0)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("Frequency (THz)")
        axes.set_ylabel("Density of states (1/THz)")
        _legend_below(figure, axes)
    return svg.text


def heat_capacity(cases: Sequence[Case], references: References) -> str:
    """Harmonic heat capacity, one curve for each calculator, and the published values at 300 K."""
    with canvas(f"heat capacity {cases[0].structure}", (6.4, 3.4)) as (figure, svg):
        axes = figure.subplots()
        for number, case in enumerate(cases):
            if case.phonons:
                curve = case.phonons.heat_capacity
                color = PALETTE[number % len(PALETTE)]
                axes.plot(curve.temperature_k, curve.cv_j_per_mol_k, color=color, label=_literal(case.calculator))
        for name, addition in (("heat_capacity_300k_j_per_mol_k", ""), ("heat_capacity_cp_room_j_per_mol_k", ", Cp")):
            for reference in find(references, cases[0].structure, name):
                _mark(axes, 300, reference.value, kind(reference), addition)
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        axes.set_xlabel("Temperature (K)")
        axes.set_ylabel("Heat capacity (J/(mol K))")
        _legend_below(figure, axes)
    return svg.text


def moduli(cases: Sequence[Case], references: References) -> str:
    """Moduli as bars, one for each calculator, and published ones as markers beside them."""
    calculated = [case for case in cases if _stable(case)]
    keys = MODULI if all(case.elasticity and is_cubic(case.elasticity) for case in calculated) else MODULI[3:]
    names = ["C11", "C12", "C44", "K", "G", "E"][-len(keys) :]
    published = [(place, reference) for place, key in enumerate(keys) for reference in find(references, cases[0].structure, key)]
    width = 0.8 / (len(calculated) + bool(published))
    with canvas(f"moduli {cases[0].structure}", (7.6, 3.6)) as (figure, svg):
        axes = figure.subplots()
        for number, case in enumerate(cases):
            if case in calculated:
                values = {key: found[0].quantity.value for key, found in compare(references, case).items()}
                places = np.arange(len(keys)) + (calculated.index(case) + 0.5) * width - 0.4
                heights = [float(values[key] or 0) for key in keys]
                axes.bar(places, heights, width * 0.9, color=PALETTE[number % len(PALETTE)], label=_literal(case.calculator))
        for place, reference in published:
            _mark(axes, place + 0.4 - width / 2, reference.value, kind(reference))
        axes.set_xticks(range(len(keys)), names)
        axes.grid(visible=False, axis="x")
        axes.set_ylabel("Modulus (GPa)")
        _legend_below(figure, axes)
    return svg.text


def _mark(axes: "Axes", x: float, value: float | tuple[float, float], what: str, addition: str = "") -> None:
    """Draw a published value: a marker, with a bar over the range where a range was published."""
    low, high = value if isinstance(value, tuple) else (value, value)
    label = f"{what}{addition}"
    axes.errorbar(
        x,
        (low + high) / 2,
        (high - low) / 2 if high > low else None,
        fmt="^" if addition else PUBLISHED[what],
        color=INK,
        markerfacecolor=INK if what == "experiment" else "white",
        label=None if label in axes.get_legend_handles_labels()[1] else label,
        markersize=5.5,
        markeredgewidth=1.2,
        elinewidth=1.2,
        capsize=3,
        zorder=5,
    )


def _legend_below(figure: "Figure", axes: "Axes") -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5)


def _few_ticks() -> object:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4)


def _literal(text: str) -> str:
    """Keep a name from being read as a formula or as a hidden legend entry."""
    shown = text.replace("$", r"\$")
    return f"\N{ZERO WIDTH SPACE}{shown}" if shown.startswith("_") else shown
