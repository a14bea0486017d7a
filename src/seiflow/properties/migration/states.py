"""The two ends of a vacancy hop, from vacancies relaxed once per orbit of sites and carried there by symmetry."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.engine import Engine
from seiflow.errors import InputError, PhysicsError
from seiflow.properties.migration.network import Hop, Site
from seiflow.properties.migration.symmetry import SiteSymmetry
from seiflow.settings import MigrationSettings
from seiflow.structures.transfer import transferred

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

LARGEST_DISPLACEMENT = 1.0
"""Å; an ion that leaves its site by more has hopped: the vacancy is no longer where it was made."""


@dataclass(frozen=True)
class Vacancy:
    """A relaxed vacancy.

    Attributes:
        site: Name of the orbit of sites.
        index: The site left empty.
        energy_ev: Of the supercell without the ion.
        displacements_angstrom: sites × 3, from the perfect supercell; zero at the empty site.
        largest_force_ev_per_angstrom: What the relaxation reached.
    """

    site: str
    index: int
    energy_ev: float
    largest_force_ev_per_angstrom: float
    displacements_angstrom: "NDArray[np.float64]"


@dataclass(frozen=True)
class Swap:
    """An operation that exchanges the ends of a hop, acting on the atoms of its states.

    A displacement u of atom i becomes ``rotation @ u`` of atom ``permutation[i]``; the moving ion stays the moving ion.
    """

    rotation: "NDArray[np.float64]"
    permutation: "NDArray[np.int64]"

    def even(self, displacements: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """Return the part of a displacement field (atoms × 3) that the operation leaves unchanged."""
        image = np.empty_like(displacements)
        image[self.permutation] = displacements @ self.rotation.T
        return np.asarray((displacements + image) / 2)


@dataclass(frozen=True)
class Ends:
    """Initial and final state of a hop, with the same order of atoms.

    Attributes:
        initial: The relaxed vacancy at the final site.
        final: The relaxed vacancy at the initial site.
        mover: Index of the moving ion in both.
        energy_initial: eV.
        energy_final: eV.
        swaps: Operations that exchange the two states; none for an asymmetric hop.
    """

    initial: "Atoms"
    final: "Atoms"
    mover: int
    energy_initial: float
    energy_final: float
    swaps: tuple[Swap, ...]

    @property
    def chord(self) -> "NDArray[np.float64]":
        """From the moving ion's place in the initial state to that in the final one, Å."""
        return np.asarray(self.final.positions[self.mover] - self.initial.positions[self.mover])

    @property
    def length(self) -> float:
        """Length of the chord, Å."""
        return float(np.linalg.norm(self.chord))

    def along(self, atoms: "Atoms") -> float:
        """Return how far along the chord the moving ion of a structure has come, Å."""
        return float((atoms.positions[self.mover] - self.initial.positions[self.mover]) @ self.chord) / self.length


def relax_vacancy(
    supercell: "Atoms", site: Site, engine: Engine, settings: MigrationSettings, head_start: "Atoms | None" = None
) -> Vacancy:
    """Relax a vacancy within the point group of its site.

    Args:
        supercell: The perfect supercell.
        site: Which site is left empty.
        engine: Relaxes.
        settings: Tolerances and limits.
        head_start: The vacancy as another calculator relaxed it, to start from.

    Raises:
        InputError: if the site is not one of the supercell.
        PhysicsError: if an ion moved into the vacancy.
    """
    if not 0 <= site.index < len(supercell):
        message = f"{site.site}: index {site.index} is not one of the {len(supercell)} sites"
        raise InputError(message)
    rest = np.delete(np.arange(len(supercell)), site.index)
    start = supercell[rest]
    given = None if head_start is None else transferred(head_start, start)
    relaxed = engine.relax(
        given or start, fmax=settings.fmax, max_steps=settings.max_steps, symmetric=True, label=f"vacancy {site.site}"
    )
    displacements = np.zeros((len(supercell), 3))
    displacements[rest] = relaxed.positions - start.positions
    farthest = float(np.linalg.norm(displacements, axis=1).max())
    if farthest > LARGEST_DISPLACEMENT:
        message = f"vacancy {site.site}: an ion moved {farthest:.2f} Å; the vacancy is no longer at the site it was made at"
        raise PhysicsError(message)
    force = float(np.linalg.norm(relaxed.get_forces(), axis=1).max())
    return Vacancy(site.site, site.index, relaxed.get_potential_energy(), force, displacements)


def vacancy_in(supercell: "Atoms", site: str, index: int, relaxed: "Atoms") -> Vacancy:
    """Return a vacancy from its relaxed structure, which has the atoms of the supercell without the one at ``index``.

    An ion that moved into the vacancy has a displacement as long as a hop; such a state is an end of hops like any other.
    """
    rest = np.delete(np.arange(len(supercell)), index)
    displacements = np.zeros((len(supercell), 3))
    displacements[rest] = relaxed.positions - supercell.positions[rest]
    force = float(np.linalg.norm(relaxed.get_forces(), axis=1).max())
    return Vacancy(site, index, float(relaxed.get_potential_energy()), force, displacements)


def hop_ends(supercell: "Atoms", hop: Hop, vacancies: Mapping[str, Vacancy], symmetry: SiteSymmetry) -> Ends:
    """Return the ends of a hop; those of a symmetric hop are exact images of each other."""
    full, empty = vacancies[hop.site_final], vacancies[hop.site_initial]
    before = symmetry.carry(symmetry.mapping(full.index, hop.final), full.displacements_angstrom)
    exchanging = _exchanging(hop, symmetry)
    if exchanging:
        after = symmetry.carry(exchanging[0], before)
    else:
        after = symmetry.carry(symmetry.mapping(empty.index, hop.initial), empty.displacements_angstrom)
    rest = np.delete(np.arange(len(supercell)), hop.final)
    initial, final = supercell[rest], supercell[rest]
    mover = int(np.flatnonzero(rest == hop.initial)[0])
    initial.positions = initial.positions + before[rest]
    final.positions = final.positions + after[rest]
    final.positions[mover] = supercell.positions[hop.initial] + np.array(hop.vector_angstrom) + after[hop.final]
    swaps = tuple(_swap(operation, symmetry, rest, mover) for operation in exchanging)
    if not swaps:
        mover = _farthest(initial, final, mover)
    return Ends(initial, final, mover, full.energy_ev, empty.energy_ev, swaps)


def _farthest(initial: "Atoms", final: "Atoms", mover: int) -> int:
    """Return the ion of the mover's kind that goes farthest: another one if the mover had already gone over in an end."""
    way = np.linalg.norm(final.positions - initial.positions, axis=1)
    way[initial.numbers != initial.numbers[mover]] = 0.0
    return int(way.argmax())


def _swap(operation: int, symmetry: SiteSymmetry, rest: "NDArray[np.int64]", mover: int) -> Swap:
    index = np.full(len(rest) + 1, mover)
    index[rest] = np.arange(len(rest))
    return Swap(symmetry.rotations[operation], index[symmetry.permutations[operation][rest]])


def _exchanging(hop: Hop, symmetry: SiteSymmetry) -> list[int]:
    """Return the operations that exchange the two ends of a hop."""
    there = np.array(hop.vector_angstrom)
    ends = (symmetry.permutations[:, hop.initial] == hop.final) & (symmetry.permutations[:, hop.final] == hop.initial)
    turned = symmetry.rotations @ there
    back = np.linalg.norm(turned + there, axis=1) < 1e-2  # noqa: PLR2004 - Å, far below any distance between sites
    return np.flatnonzero(ends & back).tolist()
