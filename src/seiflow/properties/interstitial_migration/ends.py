"""The two ends of an interstitial hop, every ion under the same number in both."""

from typing import TYPE_CHECKING

import numpy as np

from seiflow.properties.interstitial_migration.network import Hop, Network
from seiflow.properties.migration.states import Ends, Swap

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray


MOVED = 0.3
"""Å; ions that move less keep out of each other's way."""

CLOSEST = 1.0
"""Å; atoms nearer than this overlap."""


def hop_ends(network: Network, hop: Hop) -> Ends:
    """Return the ends of a hop; those of a symmetric hop are exact images of each other.

    The added ion is the last atom. In a knock-off it ends at the site of the ion that it pushes on, and that ion ends as the
    added one. The ion that goes farthest is the one that the saddle is described by.
    """
    lattice, places = network.lattice, network.places
    start, end = places[hop.initial], places[hop.final]
    before = start.configuration.displacements_angstrom
    after = end.configuration.displacements_angstrom
    if hop.exchanging:
        after = lattice.symmetry.carry(hop.exchanging[0], before)
    initial = lattice.structure(start.configuration)
    final = initial.copy()
    final.positions[:-1] = lattice.atoms.positions + after
    target = start.position + hop.vector_angstrom
    if hop.pushed is None:
        final.positions[-1] = target
    else:
        site = lattice.atoms.positions[hop.pushed]
        final.positions[-1] = start.position + hop.to_pushed_angstrom + after[hop.pushed]
        final.positions[hop.pushed] = site + hop.vector_angstrom - hop.to_pushed_angstrom
    steps = np.linalg.norm(final.positions - initial.positions, axis=1)
    # of two ions that go equally far, the added one
    mover = len(steps) - 1 if steps[-1] > steps.max() - 1e-3 else int(steps.argmax())
    before_ev, after_ev = (network.states[place.state].energy_ev for place in (start, end))
    swaps = () if _crowded(network, initial, final) else tuple(_swap(network, hop, number) for number in hop.exchanging)
    return Ends(initial, final, mover, before_ev, after_ev, swaps)


def _crowded(network: Network, initial: "Atoms", final: "Atoms") -> bool:
    """Tell whether ions meet half way on straight lines, where no search for a symmetric saddle can start."""
    middle = (initial.positions + final.positions) / 2
    moved = np.flatnonzero(np.linalg.norm(final.positions - initial.positions, axis=1) > MOVED)
    distances = np.linalg.norm(network.lattice.gaps(middle[None], middle[moved][:, None]), axis=-1)
    distances[np.arange(len(moved)), moved] = np.inf
    return bool(distances.min(initial=np.inf) < CLOSEST)


def _swap(network: Network, hop: Hop, operation: int) -> Swap:
    """Return what an operation that exchanges the ends does with the atoms; an ion pushed on changes roles with the added one."""
    symmetry = network.lattice.symmetry
    added = symmetry.permutations.shape[1]
    index: NDArray[np.int64] = np.append(symmetry.permutations[operation], added)
    if hop.pushed is not None:
        index[[hop.pushed, added]] = added, hop.pushed
    return Swap(symmetry.rotations[operation], index)
