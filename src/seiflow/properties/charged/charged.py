"""Formation energies of charged vacancies of a crystal, for calculators that honour the charge of a cell.

E_f(q, E_F) = E(defect, q) - E(perfect) + sum of n_i mu_i of the ions taken out + q (E_V + E_F) + E_corr

with E_V the highest occupied level of the perfect cell, from which the Fermi level E_F is counted, and mu_i from the limits at
which the crystal coexists with other phases of the study. Displace: an ion is taken out of a supercell. Evaluate: ions relax at
the volume of the crystal with the charge of the cell. Reduce: correct, and add the reservoirs of ions and electrons.

Concepts and conventions: Freysoldt et al., Rev. Mod. Phys. 86, 253 (2014).
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import PhysicsError
from seiflow.properties.charged.cells import ChargedCell, relax_charged
from seiflow.properties.charged.limits import Limit, Phase, limits
from seiflow.properties.charged.notes import SMALLEST_GAP_EV, notes
from seiflow.properties.charged.plan import plan_charged
from seiflow.properties.defects.arrangements import vacancy

if TYPE_CHECKING:
    from ase import Atoms

    from seiflow.calculators.electronic import ElectronicState
    from seiflow.engine import Engine
    from seiflow.properties.defects.host import Host, Unit
    from seiflow.settings import ChargedDefectSettings
    from seiflow.structures.recipes import PhaseRecipe

EngineOf = Callable[[int], "Engine"]
"""The calculator for cells of a charge."""


@dataclass(frozen=True)
class BandEdges:
    """Edges of the perfect supercell, counted from its average electrostatic potential.

    Attributes:
        valence_ev: Highest occupied level.
        conduction_ev: Lowest empty level.
        gap_ev: Between them, as the functional has it.
        taken_from: Where they were looked for.
    """

    valence_ev: float
    conduction_ev: float
    gap_ev: float
    taken_from: str


@dataclass(frozen=True)
class ChargedDefect:
    """One vacancy in one charge state.

    Attributes:
        name: Of the defect.
        species: Taken out.
        charge: Of the cell, e.
        cell: What was computed.
        formation_energy_ev: By limit, Fermi level at the valence edge, corrected; it rises by the charge per eV of Fermi level.
    """

    name: str
    species: str
    charge: int
    cell: ChargedCell
    formation_energy_ev: Mapping[str, float]


@dataclass(frozen=True)
class TransitionLevel:
    """Fermi level at which two charge states have one energy; independent of chemical potentials.

    Attributes:
        defect: Name.
        charges: The one that is lower below, and the one that is lower above.
        level_ev: Above the valence edge.
        inside_gap: Between the edges.
    """

    defect: str
    charges: tuple[int, int]
    level_ev: float
    inside_gap: bool


@dataclass(frozen=True)
class Curve:
    """Lowest formation energy of a defect against the Fermi level, at one limit.

    Attributes:
        defect: Name.
        limit: Name.
        fermi_levels_ev: From the valence edge to the conduction edge.
        energies_ev: Of the charge state that is lowest there.
        charges: That state.
    """

    defect: str
    limit: str
    fermi_levels_ev: tuple[float, ...]
    energies_ev: tuple[float, ...]
    charges: tuple[int, ...]


@dataclass(frozen=True)
class ChargedDefects:
    """Charged vacancies of a crystal.

    Attributes:
        schottky_energy_ev: All vacancies of one formula unit, each alone in the charge that its ion leaves; no Fermi level and no
            chemical potential is in it. None if one of them was not asked for.
        band_edges: Of the perfect supercell.
        limits: At which the crystal coexists with other phases.
        defects: Every vacancy in every charge state.
        transition_levels: Between charge states that follow each other.
        curves: Lowest energies against the Fermi level.
        correction: Method.
        dielectric: Tensor; None without correction.
        image_distance_angstrom: Between images of a defect.
        atoms: Of the perfect supercell.
        supercell: How often the crystal's cell is repeated.
        perfect_energy_ev: Of the perfect supercell.
        warnings: What a reader should know.
    """

    schottky_energy_ev: float | None
    band_edges: BandEdges
    limits: tuple[Limit, ...]
    defects: tuple[ChargedDefect, ...]
    transition_levels: tuple[TransitionLevel, ...]
    curves: tuple[Curve, ...]
    correction: str
    dielectric: tuple[tuple[float, ...], ...] | None
    image_distance_angstrom: float
    atoms: int
    supercell: tuple[int, int, int]
    perfect_energy_ev: float
    warnings: tuple[str, ...]


def charged_defects(
    crystal: "Atoms",
    recipe: "PhaseRecipe",
    engine_of: EngineOf,
    settings: "ChargedDefectSettings",
    others: Sequence[Phase] = (),
) -> ChargedDefects:
    """Return formation energies of the charged vacancies of a relaxed crystal.

    Args:
        crystal: Relaxed, in its conventional cell.
        recipe: Of the phase.
        engine_of: Gives the calculator for a charge.
        settings: Of the study.
        others: Phases that bound the chemical potentials, relaxed with the same calculator.

    Raises:
        InputError: if what is asked for does not exist in the crystal, or no dielectric constant is given.
        PhysicsError: if the crystal has no band gap.
    """
    host, asked = plan_charged(crystal, recipe, settings)
    perfect_energy = engine_of(0).evaluate(host.atoms).energy
    perfect = engine_of(0).electronic_state(host.atoms)
    edges = band_edges(perfect, recipe.name)
    cells = [
        (unit, charge, relax_charged(host, vacancy(unit, number), charge, engine_of(charge), perfect, settings))
        for number, unit, charge in asked
    ]
    phase = Phase(recipe.name, recipe.composition, perfect_energy / host.formula_units)
    corners = limits(phase, [*others, *_given(settings, [other.name for other in others])])
    defects = tuple(_defect(unit, charge, cell, perfect_energy, edges, corners) for unit, charge, cell in cells)
    return ChargedDefects(
        schottky_energy_ev=_schottky(host, cells, perfect_energy),
        band_edges=edges,
        limits=corners,
        defects=defects,
        transition_levels=transition_levels(defects, perfect_energy, edges),
        curves=tuple(_curves(defects, edges, corners, settings.fermi_levels)),
        correction=settings.correction,
        dielectric=None if settings.correction == "none" else settings.tensor,
        image_distance_angstrom=host.image_distance_angstrom,
        atoms=len(host.atoms),
        supercell=host.expansion,
        perfect_energy_ev=perfect_energy,
        warnings=tuple(notes(host, [(unit.charge, charge, cell) for unit, charge, cell in cells], settings, corners)),
    )


def _given(settings: "ChargedDefectSettings", names: Sequence[str]) -> list[Phase]:
    """Return the elements whose energies the user gives, under names that no phase has."""
    energies = sorted(settings.elements_ev.items())
    return [Phase(f"{symbol} as given" if symbol in names else symbol, {symbol: 1}, energy) for symbol, energy in energies]


def band_edges(state: "ElectronicState", name: str) -> BandEdges:
    """Return the band edges of a perfect supercell.

    Raises:
        PhysicsError: if there is no gap.
    """
    gap = state.conduction_ev - state.valence_ev
    if gap < SMALLEST_GAP_EV:
        message = f"{name}: a band gap of {gap:.2f} eV; in a metal charges are screened, and defects have none"
        raise PhysicsError(message)
    taken = "highest occupied and lowest empty level of the perfect supercell at the calculator's k-points"
    return BandEdges(state.valence_ev, state.conduction_ev, gap, taken)


def _defect(
    unit: "Unit", charge: int, cell: ChargedCell, perfect: float, edges: BandEdges, corners: Sequence[Limit]
) -> ChargedDefect:
    bare = _bare(charge, cell, perfect, edges)
    energies = {corner.name: bare + corner.chemical_potentials_ev[unit.kind] for corner in corners}
    return ChargedDefect(cell.name, unit.kind, charge, cell, energies)


def _bare(charge: int, cell: ChargedCell, perfect: float, edges: BandEdges) -> float:
    """Return the formation energy at the valence edge without the reservoir of the ion."""
    return cell.energy_ev - perfect + charge * edges.valence_ev + cell.correction.correction_ev


def _schottky(host: "Host", cells: "Sequence[tuple[Unit, int, ChargedCell]]", perfect: float) -> float | None:
    energy = perfect / host.formula_units
    for kind, count in host.formula.items():
        alone = [
            cell.energy_ev - perfect + cell.correction.correction_ev
            for unit, charge, cell in cells
            if unit.kind == kind and charge == -unit.charge
        ]
        if not alone:
            return None
        energy += count * min(alone)
    return energy


def transition_levels(defects: Sequence[ChargedDefect], perfect: float, edges: BandEdges) -> tuple[TransitionLevel, ...]:
    """Return the levels between charge states of each defect that follow each other."""
    found = []
    for name in dict.fromkeys(defect.name for defect in defects):
        states = sorted((one for one in defects if one.name == name), key=lambda one: -one.charge)
        for lower, upper in itertools.pairwise(states):
            energies = [_bare(one.charge, one.cell, perfect, edges) for one in (lower, upper)]
            level = (energies[1] - energies[0]) / (lower.charge - upper.charge)
            found.append(TransitionLevel(name, (lower.charge, upper.charge), level, 0 <= level <= edges.gap_ev))
    return tuple(found)


def _curves(defects: Sequence[ChargedDefect], edges: BandEdges, corners: Sequence[Limit], count: int) -> "list[Curve]":
    levels = np.linspace(0.0, edges.gap_ev, count).tolist()
    found = []
    for name, corner in itertools.product(dict.fromkeys(defect.name for defect in defects), corners):
        states = [one for one in defects if one.name == name]
        energies = np.array([[one.formation_energy_ev[corner.name] + one.charge * level for one in states] for level in levels])
        lowest = energies.argmin(axis=1).tolist()
        charges = tuple(states[number].charge for number in lowest)
        found.append(Curve(name, corner.name, tuple(levels), tuple(energies.min(axis=1).tolist()), charges))
    return found
