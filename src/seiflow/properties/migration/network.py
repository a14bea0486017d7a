"""All symmetry-distinct vacancy hops of the mobile ion between neighbouring sites of a supercell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import StructureError, UnsuitedError
from seiflow.properties.migration.percolation import Edge, Offset, thresholds
from seiflow.properties.migration.symmetry import SiteSymmetry, site_symmetry
from seiflow.settings import MigrationSettings
from seiflow.structures.supercell import image_distance, supercell_matrix

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

LONGEST_HOP = 8.0
"""Å; beyond it no search for a percolating network goes."""

LENGTH_TOLERANCE = 1e-3
"""Å; hops whose lengths differ by less belong to one shell."""


HOP_LENGTHS_APART = 1.5
"""Images of a vacancy are at least this many lengths of the longest hop apart."""

Pair = tuple[int, int, Offset, float]
"""First site, second site, cell offset, distance in Å."""


@dataclass(frozen=True)
class Site:
    """Symmetry-equivalent sites of the mobile ion, and the one that stands for them."""

    site: str
    index: int
    multiplicity: int


@dataclass(frozen=True)
class Hop:
    """Symmetry-equivalent hops, and the one that stands for them: the ion goes from site ``initial`` to a vacancy at ``final``.

    Attributes:
        vector_angstrom: From the initial site to the final one.
        site_initial: Name of the orbit of the initial site.
        site_final: Name of the orbit of the final site.
        multiplicity: Hops in the supercell, each counted in one direction.
        symmetric: Whether an operation of the crystal exchanges the two ends.
        edges: All of them, as (initial, final, cell offset).
    """

    hop: str
    initial: int
    final: int
    offset: Offset
    vector_angstrom: tuple[float, float, float]
    distance_angstrom: float
    site_initial: str
    site_final: str
    multiplicity: int
    symmetric: bool
    edges: tuple[tuple[int, int, Offset], ...]


@dataclass(frozen=True)
class Network:
    """The hops of one structure, in the supercell they will be computed in."""

    mobile: str
    supercell: "NDArray[np.int64]"
    atoms: int
    image_distance_angstrom: float
    cutoff_angstrom: float
    sites: tuple[Site, ...]
    hops: tuple[Hop, ...]


def make_supercell(crystal: "Atoms", matrix: "NDArray[np.int64]") -> "Atoms":
    """Return the perfect supercell in which sites are numbered."""
    from ase.build import make_supercell as expand

    supercell = expand(crystal, matrix)
    supercell.calc = None
    supercell.set_constraint()
    return supercell


def hop_network(crystal: "Atoms", mobile: str, settings: MigrationSettings) -> Network:
    """Find the hops of the mobile ion.

    Args:
        crystal: The relaxed crystal in its conventional cell.
        mobile: Symbol of the mobile ion.
        settings: Supercell size and cut-off.

    Raises:
        UnsuitedError: if the hops within the cut-off do not percolate in three dimensions; it names the cut-off that does.
    """
    matrix = supercell_matrix(crystal, settings.image_distance)
    supercell = make_supercell(crystal, matrix)
    symmetry = site_symmetry(supercell)
    orbits = symmetry.orbits(np.flatnonzero(supercell.symbols == mobile))
    sites = tuple(Site(f"site_{number}", int(orbit[0]), len(orbit)) for number, orbit in enumerate(orbits, start=1))
    cutoff = percolating_cutoff(crystal, mobile, settings.cutoff)
    hops = hop_classes(supercell, mobile, symmetry, sites, cutoff)
    return Network(mobile, matrix, len(supercell), image_distance(supercell.cell), cutoff, sites, hops)


def refuse_small(name: str, image_distance_angstrom: float, longest_hop: float, setting: str) -> None:
    """Refuse a supercell in which a hop is not told from that of its periodic images.

    Args:
        name: Of the structure, for the message.
        image_distance_angstrom: Between images of the vacancy.
        longest_hop: Å.
        setting: Name of the setting that makes the supercell larger.

    Raises:
        UnsuitedError: saying how large a supercell has to be.
    """
    needed = HOP_LENGTHS_APART * longest_hop
    if image_distance_angstrom < needed:
        message = (
            f"{name}: hops are up to {longest_hop:.2f} Å long and images of the vacancy {image_distance_angstrom:.2f} Å apart; "
            f"the supercell must hold them at least {needed:.2f} Å apart (settings: {setting}: {np.ceil(needed * 10) / 10:.1f})"
        )
        raise UnsuitedError(message)


def percolating_cutoff(crystal: "Atoms", mobile: str, wanted: float | None) -> float:
    """Return the cut-off wanted, or the shortest one whose hops percolate in three dimensions.

    Raises:
        UnsuitedError: if the hops within the wanted cut-off do not percolate; it names the cut-off that does.
    """
    pairs = _pairs(crystal, mobile, LONGEST_HOP)
    edges = [Edge(first, second, offset, distance) for first, second, offset, distance in pairs]
    needed = thresholds(np.flatnonzero(crystal.symbols == mobile).tolist(), edges).dimensions[2]
    if not np.isfinite(needed):
        message = f"{crystal.get_chemical_formula()}: hops up to {LONGEST_HOP} Å form no network in three dimensions"
        raise UnsuitedError(message)
    if wanted is not None and wanted < needed - LENGTH_TOLERANCE:
        message = (
            f"{crystal.get_chemical_formula()}: hops up to {wanted:g} Å do not percolate in three dimensions; "
            f"the shortest cut-off that does is {needed:.3f} Å (settings: migration.cutoff, null finds it)"
        )
        raise UnsuitedError(message)
    return needed if wanted is None else wanted


def _pairs(atoms: "Atoms", mobile: str, cutoff: float) -> list[Pair]:
    from ase.neighborlist import neighbor_list

    first, second, offsets, distances = neighbor_list("ijSd", atoms, {(mobile, mobile): cutoff})
    found = zip(first.tolist(), second.tolist(), offsets.tolist(), distances.tolist(), strict=True)
    pairs = [(i, j, (s[0], s[1], s[2]), d) for i, j, s, d in found]
    return sorted(pairs, key=lambda pair: (round(pair[3], 3), pair[0], pair[1], pair[2]))


def hop_classes(supercell: "Atoms", mobile: str, symmetry: SiteSymmetry, sites: Sequence[Site], cutoff: float) -> tuple[Hop, ...]:
    """Return the symmetry-distinct hops up to a length.

    Args:
        supercell: The perfect supercell.
        mobile: Symbol of the mobile ion.
        symmetry: Operations of the supercell.
        sites: One for each orbit of the mobile ion's sites.
        cutoff: Longest hop, Å.

    Raises:
        StructureError: if the sites are not one for each orbit.
    """
    orbits = {int(index): site.site for site in sites for index in symmetry.orbit(site.index)}
    if len(orbits) < (supercell.symbols == mobile).sum() or len({min(symmetry.orbit(site.index)) for site in sites}) < len(sites):
        message = f"the {len(sites)} sites are not one for each orbit of {mobile} in the supercell"
        raise StructureError(message)
    representatives = {site.index for site in sites}
    seen: set[tuple[int, int, Offset]] = set()
    hops: list[Hop] = []
    for initial, final, offset, distance in _pairs(supercell, mobile, cutoff + LENGTH_TOLERANCE):
        if (initial, final, offset) in seen or initial not in representatives:
            continue
        forward = _images(initial, final, offset, supercell, symmetry)
        backward = {(j, i, (-s[0], -s[1], -s[2])) for i, j, s in forward}
        seen |= forward | backward
        vector = _vector(supercell, initial, final, offset)
        edges = {min((i, j, s), (j, i, (-s[0], -s[1], -s[2]))) for i, j, s in forward}
        hops.append(
            Hop(
                hop=f"hop_{len(hops) + 1}",
                initial=initial,
                final=final,
                offset=offset,
                vector_angstrom=(float(vector[0]), float(vector[1]), float(vector[2])),
                distance_angstrom=distance,
                site_initial=orbits[initial],
                site_final=orbits[final],
                multiplicity=len(edges),
                symmetric=bool(forward & backward),
                edges=tuple(sorted(edges)),
            )
        )
    return tuple(hops)


def _images(initial: int, final: int, offset: Offset, supercell: "Atoms", symmetry: SiteSymmetry) -> set[tuple[int, int, Offset]]:
    vector = _vector(supercell, initial, final, offset)
    starts, ends = symmetry.permutations[:, initial], symmetry.permutations[:, final]
    vectors = symmetry.rotations @ vector
    gaps = vectors - supercell.positions[ends] + supercell.positions[starts]
    offsets = np.round(np.linalg.solve(supercell.cell.array.T, gaps.T).T).astype(int)
    found = zip(starts.tolist(), ends.tolist(), offsets.tolist(), strict=True)
    return {(i, j, (s[0], s[1], s[2])) for i, j, s in found}


def _vector(supercell: "Atoms", initial: int, final: int, offset: Offset) -> "NDArray[np.float64]":
    step = supercell.positions[final] - supercell.positions[initial] + np.array(offset) @ supercell.cell.array
    return np.asarray(step, dtype=float)
