"""The report of a study as one HTML page that fetches nothing: numbers beside published ones, figures, what is missing."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seiflow.records import write_text
from seiflow.report.canvas import Drawing, inline
from seiflow.report.collect import Case, Collected
from seiflow.report.figures import draw
from seiflow.report.interstitials import known_hops, paths_of
from seiflow.report.migration_quantities import intrinsic_in_words
from seiflow.report.migration_views import AXES
from seiflow.report.percolation import passable
from seiflow.report.quantities import MODULI, Comparison, References, compare, summary_keys
from seiflow.report.references import Reference
from seiflow.report.viewer import Portrait, viewer_html, viewer_script
from seiflow.report.views import Band, HopSummary, Record
from seiflow.report.wording import cite, cite_briefly, exactly, show

YOUNG_CRITERION_GPA = 3.0
"""Young's modulus that an SEI should exceed to resist dendrites: Shen et al., ChemSusChem 17, e202301777 (2024)."""

OVERVIEW = {
    "lattice_a_angstrom": "a",
    "bulk_modulus_gpa": "K",
    "shear_modulus_gpa": "G",
    "young_modulus_gpa": "E",
    "percolation_barrier_3d_ev": "Barrier, 3D",
    "interstitial_percolation_3d_ev": "Interstitial barrier, 3D",
    "max_frequency_thz": "Highest frequency",
    "heat_capacity_300k_j_per_mol_k": "Cv(300 K)",
}
"""Columns of the first table; those that the study has nothing for are left out."""

FITNESS = {
    "Lattice constants": ("lattice_a_angstrom", "lattice_b_angstrom", "lattice_c_angstrom"),
    "Moduli": MODULI,
    "Migration barriers": ("percolation_barrier_3d_ev",),
    "Highest phonon frequency": ("max_frequency_thz",),
    "Heat capacity at 300 K": ("heat_capacity_300k_j_per_mol_k",),
}
"""What the ratio of computed to published is averaged over."""

FORCES = "Forces on displaced crystals"
"""Group of the force scales: forces over those of the reference the study names, most often density functional theory."""


_WIDE = {"bands", "barrier-map", "moduli", "young-modulus"}
"""Drawings that take a row of the page for themselves."""


@dataclass(frozen=True)
class Fitness:
    """Computed over published for one group of quantities of one calculator, over all structures."""

    calculator: str
    group: str
    ratios: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean ratio; 1 is agreement."""
        return statistics.fmean(self.ratios)


@dataclass(frozen=True)
class Figure:
    """A drawing as the page holds it; ``id`` is unique on the page."""

    id: str
    caption: str
    svg: str
    wide: bool


@dataclass(frozen=True)
class HopRow:
    """A hop with what either file says of it."""

    summary: HopSummary | None
    detail: Band | None
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class Part:
    """One structure with one calculator."""

    id: str
    case: Case
    compared: dict[str, tuple[Comparison, ...]]
    figures: tuple[Figure, ...]
    hops: tuple[HopRow, ...]
    softness: Fitness | None

    @property
    def rows(self) -> list[tuple[Comparison, ...]]:
        """The headline numbers, each with all that is published of it."""
        return [self.compared[key] for key in summary_keys(self.case)]

    @property
    def provenance(self) -> dict[str, str]:
        """Provenance of each record, as JSON text."""
        return {name: _json(record) for name, record in self.case.records.items()}

    @property
    def intrinsic(self) -> str:
        """How the intrinsic activation energy follows from barrier and Schottky set, or nothing."""
        return intrinsic_in_words(self.case)


@dataclass(frozen=True)
class Chapter:
    """One structure with all its calculators."""

    id: str
    structure: str
    portrait: Portrait | None
    parts: tuple[Part, ...]
    figures: tuple[Figure, ...]
    references: tuple[Reference, ...]


def write_report(
    path: Path,
    collected: Collected,
    references: References,
    title: str,
    *,
    drawings: Sequence[Drawing] | None = None,
    portraits: Sequence[Portrait] = (),
) -> None:
    """Write the page; ``drawings`` are made here unless they are given, ``portraits`` are the structures shown."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("seiflow.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(
        show=show,
        cite=cite,
        cite_briefly=cite_briefly,
        exactly=exactly,
        viewer=viewer_html,
        axes=AXES,
        paths_of=paths_of,
        known_hops=known_hops,
    )
    measured = fitness(collected, references)
    drawings = draw(collected, references) if drawings is None else drawings
    chapters = _chapters(collected, references, drawings, measured, portraits)
    shown = {key for chapter in chapters for part in chapter.parts if part.case.kind == "phase" for key in part.compared}
    text = environment.get_template("report.html.jinja").render(
        title=title,
        chapters=chapters,
        viewer_script=viewer_script() if portraits else None,
        fitness=measured,
        groups=[group for group in (*FITNESS, FORCES) if any(group in found for found in measured.values())],
        overview={key: label for key, label in OVERVIEW.items() if key in shown},
        stability=any(case.phonons for case in collected.cases),
        criterion=YOUNG_CRITERION_GPA,
        boundaries=[case for case in collected.cases if case.boundary],
        strong=any(case.elasticity for case in collected.cases),
        passable=passable(collected.cases),
        missing=collected.missing,
    )
    write_text(path, text)


def fitness(collected: Collected, references: References) -> dict[str, dict[str, Fitness]]:
    """Return by calculator and group how computed numbers relate to the best published ones; groups without any are left out."""
    ratios: dict[str, dict[str, list[float]]] = {}
    for case in collected.cases:
        compared = compare(references, case)
        shown = set(summary_keys(case))
        for group, keys in FITNESS.items():
            found = [compared[key][0].ratio for key in keys if key in shown]
            known = [ratio for ratio in found if ratio is not None]
            if known:
                ratios.setdefault(case.calculator, {}).setdefault(group, []).extend(known)
        if case.softness:
            ratios.setdefault(case.calculator, {}).setdefault(FORCES, []).append(case.softness.force_scale)
    return {
        calculator: {group: Fitness(calculator, group, tuple(values)) for group, values in groups.items()}
        for calculator, groups in ratios.items()
    }


def _chapters(
    collected: Collected,
    references: References,
    drawings: Sequence[Drawing],
    measured: dict[str, dict[str, Fitness]],
    portraits: Sequence[Portrait],
) -> list[Chapter]:
    chapters = []
    shown = {portrait.structure: portrait for portrait in portraits}
    for number, structure in enumerate(dict.fromkeys(case.structure for case in collected.cases), start=1):
        name = f"phase-{number}"
        cases = [case for case in collected.cases if case.structure == structure]
        parts = tuple(
            _part(f"{name}-{place}", case, references, drawings, measured.get(case.calculator, {}).get("Moduli"))
            for place, case in enumerate(cases, start=1)
        )
        figures = _figures(name, drawings, structure, None)
        chapters.append(Chapter(name, structure, shown.get(structure), parts, figures, references.get(structure, ())))
    return chapters


def _part(name: str, case: Case, references: References, drawings: Sequence[Drawing], softness: Fitness | None) -> Part:
    compared = compare(references, case)
    figures = _figures(name, drawings, case.structure, case.calculator)
    return Part(name, case, compared, figures, _hops(case, compared), softness)


def _figures(prefix: str, drawings: Sequence[Drawing], structure: str, calculator: str | None) -> tuple[Figure, ...]:
    chosen = [drawing for drawing in drawings if (drawing.structure, drawing.calculator) == (structure, calculator)]
    names = [f"{prefix}-{drawing.name}" for drawing in chosen]
    return tuple(
        Figure(name, drawing.caption, inline(drawing.svg, name), drawing.name in _WIDE)
        for name, drawing in zip(names, chosen, strict=True)
    )


def _hops(case: Case, compared: dict[str, tuple[Comparison, ...]]) -> tuple[HopRow, ...]:
    final = case.migration or case.paths
    summaries = {hop.hop: hop for hop in final.hops} if final else {}
    details = {hop.hop: hop for hop in case.bands}
    return tuple(
        HopRow(summaries.get(name), details.get(name), compared[f"barrier_forward_ev[{name}]"])
        for name in dict.fromkeys([*summaries, *details])
    )


def _json(record: Record) -> str:
    return json.dumps(record.provenance, indent=2, sort_keys=True, ensure_ascii=False)
