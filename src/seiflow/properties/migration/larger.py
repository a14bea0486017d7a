"""A hop once more in a larger supercell: how much its barrier owes to the periodic images of the vacancy."""

from typing import TYPE_CHECKING

import numpy as np

from seiflow.engine import Engine
from seiflow.errors import StructureError, UnsuitedError
from seiflow.properties.migration.hop import Barrier, LargerSupercell, hop_barrier
from seiflow.properties.migration.network import Hop, Network, hop_network, make_supercell
from seiflow.properties.migration.states import relax_vacancy
from seiflow.properties.migration.symmetry import site_symmetry
from seiflow.settings import MigrationSettings
from seiflow.structures.supercell import supercell_matrix

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

SAME_PLACE = 1e-3
"""Å."""


def in_larger_supercell(
    crystal: "Atoms", network: Network, hop: Hop, barrier: Barrier, engine: Engine, settings: MigrationSettings
) -> LargerSupercell | None:
    """Return the barrier of a hop in the larger supercell of the settings; None if they ask for none.

    That it is larger is for :func:`refuse_not_larger` to see, before anything is computed.

    Args:
        crystal: The relaxed crystal.
        network: Its hops in the supercell that the barrier is known in.
        hop: One of them.
        barrier: Its barrier.
        engine: Evaluates and relaxes.
        settings: Of the hop.
    """
    if settings.larger_image_distance is None:
        return None
    wide = settings.model_copy(update={"image_distance": settings.larger_image_distance})
    larger = hop_network(crystal, network.mobile, wide)
    supercell = make_supercell(crystal, larger.supercell)
    small, symmetry = make_supercell(crystal, network.supercell), site_symmetry(supercell)
    same = same_hop(crystal, small, hop, supercell, larger)
    needed = [site for site in larger.sites if site.site in (same.site_initial, same.site_final)]
    vacancies = {site.site: relax_vacancy(supercell, site, engine, wide) for site in needed}
    found, _ = hop_barrier(supercell, same, vacancies, symmetry, engine, wide)
    forward, backward = found.barrier_forward_ev, found.barrier_backward_ev
    starts = (supercell.positions[site] for site in symmetry.orbit(same.initial))
    if not any(_lattice_apart(crystal, start - small.positions[hop.initial]) for start in starts):
        forward, backward = backward, forward
    return LargerSupercell(
        image_distance_angstrom=larger.image_distance_angstrom,
        atoms=larger.atoms,
        barrier_forward_ev=forward,
        barrier_backward_ev=backward,
        barrier_change_ev=forward - barrier.barrier_forward_ev,
    )


def refuse_not_larger(name: str, crystal: "Atoms", supercell: "NDArray[np.int64]", settings: MigrationSettings) -> None:
    """Refuse a larger supercell that is not larger.

    Args:
        name: Of the structure, for the message.
        crystal: Its cell.
        supercell: How that is expanded.
        settings: What asks for the larger one.

    Raises:
        UnsuitedError: naming the two settings.
    """
    if settings.larger_image_distance is None:
        return
    matrices = (supercell, supercell_matrix(crystal, settings.larger_image_distance))
    sizes = [round(len(crystal) * abs(np.linalg.det(matrix))) for matrix in matrices]
    if sizes[1] <= sizes[0]:
        message = (
            f"{name}: a supercell for images {settings.larger_image_distance:g} Å apart has {sizes[1]} atoms, that for "
            f"{settings.image_distance:g} Å {sizes[0]}: it must be larger (settings: migration.larger_image_distance)"
        )
        raise UnsuitedError(message)


def same_hop(crystal: "Atoms", supercell: "Atoms", hop: Hop, other: "Atoms", network: Network) -> Hop:
    """Return the hop of another supercell's network that is the same hop of the crystal.

    Raises:
        StructureError: if there is none.
    """
    start = supercell.positions[hop.initial]
    for candidate in network.hops:
        for initial, final, offset in candidate.edges:
            way = other.positions[final] + np.array(offset) @ other.cell.array - other.positions[initial]
            there = np.linalg.norm(way - hop.vector_angstrom) < SAME_PLACE
            if there and _lattice_apart(crystal, other.positions[initial] - start):
                return candidate
            back = np.linalg.norm(way + hop.vector_angstrom) < SAME_PLACE
            if back and _lattice_apart(crystal, other.positions[final] - start):
                return candidate
    message = f"{hop.hop} is no hop of the larger supercell"
    raise StructureError(message)


def _lattice_apart(crystal: "Atoms", step: "np.ndarray") -> bool:
    fractions = np.linalg.solve(crystal.cell.array.T, step)
    gap = (fractions - np.rint(fractions)) @ crystal.cell.array
    return bool(np.linalg.norm(gap) < SAME_PLACE)
