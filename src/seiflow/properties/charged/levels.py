"""Formation energies of charged defects, Fermi levels at which charge states follow each other, and curves between the edges."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import PhysicsError
from seiflow.properties.charged.cells import ChargedCell

if TYPE_CHECKING:
    from seiflow.calculators.electronic import ElectronicState
    from seiflow.properties.charged.limits import Limit
    from seiflow.properties.charged.plan import Asked

SMALLEST_GAP_EV = 0.1
"""A crystal with a smaller gap counts as a metal."""


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
    """One defect in one charge state.

    Attributes:
        name: Of the defect.
        kind: vacancy or interstitial.
        species: Taken out or added.
        charge: Of the cell, e.
        cell: What was computed.
        formation_energy_ev: By limit, Fermi level at the valence edge, corrected; it rises by the charge per eV of Fermi level.
    """

    name: str
    kind: str
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


def charged_defect(
    asked: "Asked", cell: ChargedCell, perfect: float, edges: BandEdges, corners: "Sequence[Limit]"
) -> ChargedDefect:
    """Return a relaxed defect with its formation energies; ``perfect`` is the energy of the supercell without it, eV."""
    bare = _bare(asked.charge, cell, perfect, edges)
    energies = {corner.name: bare - asked.change * corner.chemical_potentials_ev[asked.species] for corner in corners}
    return ChargedDefect(cell.name, asked.kind, asked.species, asked.charge, cell, energies)


def _bare(charge: int, cell: ChargedCell, perfect: float, edges: BandEdges) -> float:
    """Return the formation energy at the valence edge without the reservoir of the ion."""
    return cell.energy_ev - perfect + charge * edges.valence_ev + cell.correction.correction_ev


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


def curves(defects: Sequence[ChargedDefect], edges: BandEdges, corners: "Sequence[Limit]", count: int) -> list[Curve]:
    """Return the lowest energy of each defect at each limit, at ``count`` Fermi levels from edge to edge."""
    levels = np.linspace(0.0, edges.gap_ev, count).tolist()
    found = []
    for name, corner in itertools.product(dict.fromkeys(defect.name for defect in defects), corners):
        states = [one for one in defects if one.name == name]
        energies = np.array([[one.formation_energy_ev[corner.name] + one.charge * level for one in states] for level in levels])
        lowest = energies.argmin(axis=1).tolist()
        charges = tuple(states[number].charge for number in lowest)
        found.append(Curve(name, corner.name, tuple(levels), tuple(energies.min(axis=1).tolist()), charges))
    return found
