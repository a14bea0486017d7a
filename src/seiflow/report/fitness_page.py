"""Calculators side by side: what each computes of the same structures, what is published, what each can be trusted for."""

from collections.abc import Mapping, Sequence

from seiflow.report.collect import Case, Collected
from seiflow.report.html import FITNESS, FORCES, Fitness, fitness
from seiflow.report.quantities import Comparison, References, compare, summary_keys
from seiflow.report.references import Reference
from seiflow.report.wording import kind, show

TRUSTED = {"Lattice constants": 0.02}
"""How far a ratio may be from one for a calculator to be trusted with a group of quantities."""

TRUSTED_OTHERWISE = 0.15

NAMES = {
    "Lattice constants": "lattice constants",
    "Moduli": "moduli",
    "Migration barriers": "migration barriers",
    "Highest phonon frequency": "highest phonon frequencies",
    "Heat capacity at 300 K": "heat capacities",
    FORCES: "forces off equilibrium",
}

NOTHING_PUBLISHED = (
    "Nothing published of the energies of these boundaries is known to this project, and they are too large for its own density "
    "functional theory; what can be compared is their order with different calculators."
)

HIDDEN = ("barrier_forward_ev", "young_modulus_min_gpa", "young_modulus_max_gpa", "poisson_ratio")
"""Left out of the page: each hop, and what follows from the other moduli."""

CORRECTED = ("percolation_barrier_3d_ev", "bulk_modulus_gpa", "shear_modulus_gpa")
"""Shown once more, corrected for softness."""


def verdict(calculator: str, measured: Mapping[str, Fitness]) -> str:
    """Return in one sentence what a calculator can be trusted for, as its numbers say.

    Args:
        calculator: Its name.
        measured: Ratios of computed to published values by group, and of forces to those of the reference.
    """
    good = [_ratio(group, found) for group, found in measured.items() if _trusted(group, found)]
    bad = [_ratio(group, found) for group, found in measured.items() if not _trusted(group, found)]
    parts = [f"trusted for {', '.join(good)}"] if good else []
    parts += [f"not for {', '.join(bad)}"] if bad else []
    return f"{calculator}: {'; '.join(parts)}." if parts else f"{calculator}: nothing computed has a published value beside it."


def _trusted(group: str, found: Fitness) -> bool:
    return max(abs(ratio - 1) for ratio in found.ratios) <= TRUSTED.get(group, TRUSTED_OTHERWISE)


def _ratio(group: str, found: Fitness) -> str:
    low, high = min(found.ratios), max(found.ratios)
    digits = 3 if group in TRUSTED else 2
    spread = f", {low:.{digits}f}–{high:.{digits}f}" if len(found.ratios) > 1 else ""
    return f"{NAMES[group]} ({found.mean:.{digits}f} ×{spread})"


def boundary_order(collected: Collected) -> str:
    """Return the boundaries by their energies for each calculator, and that nothing is published of them; or nothing."""
    lines = []
    for calculator in dict.fromkeys(case.calculator for case in collected.cases):
        found = [case for case in collected.cases if case.calculator == calculator and case.boundary]
        told = [f"{case.structure} {show(energy, 'J/m²')}" for case in found if (energy := _energy(case)) is not None]
        ordered = sorted(zip(map(_energy, found), told, strict=True), key=lambda pair: pair[0] or 0.0)
        if ordered:
            lines.append(f"  {calculator}: {' < '.join(text for _, text in ordered)}")
    return "\n".join(["Boundaries by energy", *lines, f"  {NOTHING_PUBLISHED}"]) if lines else ""


def _energy(case: Case) -> float | None:
    return case.boundary.energy_j_per_m2 if case.boundary else None


def fitness_page(
    collected: Collected, references: References, left_out: Sequence[str] = (), not_tested: Sequence[str] = ()
) -> str:
    """Return the page that sets calculators side by side, as Markdown.

    Args:
        collected: The studies of all calculators together.
        references: Published values.
        left_out: Sentences on what could not be asked for.
        not_tested: The same on calculators that are not on the page.
    """
    measured = fitness(collected, references)
    calculators = list(dict.fromkeys(case.calculator for case in collected.cases))
    parts = [HEAD.format(names=" ".join(calculators)), "## What each is trusted for", TRUST]
    parts += ["\n".join(f"- {verdict(name, measured.get(name, {}))}" for name in calculators)]
    parts += ["## Mean ratios", RATIOS, _ratio_table(measured, calculators)]
    for structure in dict.fromkeys(case.structure for case in collected.cases if case.kind == "phase"):
        parts += [f"## {structure}", _phase_table(structure, collected, references, calculators)]
    parts += _boundaries(collected, calculators)
    missing = [f"- {item.structure} with {item.calculator}, {item.name}: {item.reason}" for item in collected.missing]
    missing += [f"- {text}" for text in left_out]
    parts += ["## What is missing", "\n".join(missing)] if missing else []
    parts += ["## Not tested", "\n".join(f"- {text}" for text in not_tested)] if not_tested else []
    return "\n\n".join(parts) + "\n"


def _ratio_table(measured: Mapping[str, Mapping[str, Fitness]], calculators: Sequence[str]) -> str:
    groups = [group for group in (*FITNESS, FORCES) if any(group in measured.get(name, {}) for name in calculators)]
    rows = [[NAMES[group], *(_mean(measured.get(name, {}).get(group)) for name in calculators)] for group in groups]
    return _table(["", *calculators], rows)


def _mean(found: Fitness | None) -> str:
    return "–" if found is None else f"{found.mean:.2f} ({min(found.ratios):.2f}–{max(found.ratios):.2f}, {len(found.ratios)})"


def _phase_table(structure: str, collected: Collected, references: References, calculators: Sequence[str]) -> str:
    cases = {case.calculator: case for case in collected.cases if case.structure == structure}
    compared = {name: compare(references, case) for name, case in cases.items()}
    keys = dict.fromkeys(key for case in cases.values() for key in summary_keys(case) if key.partition("[")[0] not in HIDDEN)
    rows = []
    for key in keys:
        found = {name: compared[name][key] for name in compared if key in compared[name]}
        first = next(iter(found.values()))
        cells = [_computed(found.get(name), cases.get(name)) for name in calculators]
        rows.append([first[0].quantity.label, *cells, _published(first, "experiment"), _published(first, "DFT")])
        if key in CORRECTED and any(one[0].corrected is not None for one in found.values()):
            cells = [found[name][0].corrected_text or "–" if name in found else "–" for name in calculators]
            rows.append([f"*{first[0].quantity.label}, corrected for softness, estimate*", *cells, "", ""])
    return _table(["", *calculators, "experiment", "DFT"], rows)


def _computed(found: Sequence[Comparison] | None, case: Case | None) -> str:
    if not found:
        return "–"
    if found[0].quantity.key == "force_scale" and case and case.softness:
        return f"{case.softness.force_scale:.2f} ± {case.softness.force_scale_error:.2f}"
    return found[0].quantity.text


def _published(beside: Sequence[Comparison], wanted: str) -> str:
    """Return the best published value of a kind with its identifier, or nothing."""
    found = [(one, one.reference) for one in beside if one.reference is not None and kind(one.reference) == wanted]
    return _cited(*found[0]) if found else ""


def _cited(comparison: Comparison, reference: Reference) -> str:
    recalled = ", recalled" if reference.evidence == "recalled" else ""
    return f"{comparison.published} ({reference.id}{recalled})"


def _boundaries(collected: Collected, calculators: Sequence[str]) -> list[str]:
    energies = {(case.structure, case.calculator): _energy(case) for case in collected.cases if case.kind != "phase"}
    if not energies:
        return []
    rows = []
    for structure in dict.fromkeys(structure for structure, _ in energies):
        cells = [energies.get((structure, name)) for name in calculators]
        rows.append([structure, *("–" if energy is None else show(energy, "J/m²") for energy in cells)])
    return ["## Boundaries", NOTHING_PUBLISHED, _table(["", *calculators], rows)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


HEAD = """\
# Fitness of the calculators

What each calculator computes of the same phases and boundaries, beside what is published. The page is written by

```bash
seiflow calculators test {names} --markdown docs/fitness.md
```

which runs a study for each of these calculators in `results-fitness/NAME` and finds again what was computed before. With
`make fitness` these are all that are installed and quick; with `seiflow calculators test NAME` it is one, also one of your own.
Published values have numbers (R024a), by which [references/](../references/README.md) tells their sources; *recalled* ones were
quoted from memory."""

TRUST = """\
Trusted: every ratio of computed to published values within 15 % of one, for lattice constants 2 %; the mean ratio and its range
follow. These sentences are worked out from the numbers below and know no more than they."""

RATIOS = """\
Computed over best published value (read before recalled, experiment before calculation): mean (smallest–largest, number of
values). Forces: the slope of the forces on displaced crystals on those of density functional theory
([methods](methods.md#softness))."""
