"""Where point defects can sit in a structure, and the supercell in which they are far from their own images.

Sites that an operation of the structure's space group maps onto each other are one site with a multiplicity. In a structure with
boundaries each site has a distance from the nearest of them, along the normal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.documents import nearest
from seiflow.errors import InputError
from seiflow.structures.fingerprint import OFFSET, STEPS
from seiflow.structures.recipes import Polyatomic
from seiflow.structures.space_group import SYMMETRY_TOLERANCE, operations, permutation
from seiflow.structures.supercell import image_distance as distance_of_images
from seiflow.structures.supercell import supercell_matrix
from seiflow.structures.units import find_units

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

SAME_DISTANCE = 1e-3
"""Å; what lies as near to two boundaries is counted to the first."""


@dataclass(frozen=True)
class DefectSite:
    """Symmetry-equivalent sites, and the one that stands for them.

    Attributes:
        name: Species and number, by distance from the boundaries.
        species: Symbol, or name of the polyatomic group.
        index: Of the atom in the supercell; of a group, of its first atom.
        members: All atoms of the site in the supercell: one, or those of a group.
        multiplicity: Sites in the cell that was given.
        grain: Of the site that stands for all; None if the structure has no array ``grain``.
        distance_angstrom: From the nearest boundary, along the normal; None without boundaries.
        plane: Number of that boundary, for the site that stands for all.
    """

    name: str
    species: str
    index: int
    members: tuple[int, ...]
    multiplicity: int
    grain: int | None
    distance_angstrom: float | None
    plane: int | None


@dataclass(frozen=True)
class DefectSupercell:
    """A supercell for one defect.

    Attributes:
        atoms: The supercell; its first atoms are those of the given cell, in their order.
        expansion: How often the cell is repeated along each of its vectors.
        image_distance_angstrom: Between the periodic images of a defect.
        sites: By distance from the boundaries.
    """

    atoms: "Atoms"
    expansion: tuple[int, int, int]
    image_distance_angstrom: float
    sites: tuple[DefectSite, ...]


@dataclass(frozen=True)
class _Items:
    """What can be missing: atoms or groups of the given cell; first atom, middle (fractions), grain and boundary of each."""

    leaders: "NDArray[np.int64]"
    places: "NDArray[np.float64]"
    grains: "NDArray[np.int64] | None"
    distances: "NDArray[np.float64] | None"
    planes: "NDArray[np.int64] | None"


def defect_supercell(
    atoms: "Atoms",
    *,
    species: str,
    image_distance: float,
    planes: Sequence[float] | None = None,
    groups: Sequence[Polyatomic] = (),
    symmetric: bool = True,
    tolerance: float = SYMMETRY_TOLERANCE,
) -> DefectSupercell:
    """Return a supercell and the distinct sites of a species in it.

    A crystal is repeated such that its symmetry stays. A structure with boundaries is repeated along their normal only as far as
    the distance asks for, while the symmetry of the net stays; nothing is repeated along vacuum.

    Args:
        atoms: A crystal, boundary, interface or slab; its cell is the one repeated and its symmetry the one used.
        species: Symbol of the atoms, or name of one of ``groups``, each of which is then one site.
        image_distance: Least distance between images of a defect, Å.
        planes: Heights of the boundaries in fractions of the third cell vector; by default ``atoms.info["planes"]``.
        groups: Polyatomic groups.
        symmetric: Whether the supercell must have the symmetry of the cell, which may ask for a larger one. Operations that a
            structure with boundaries has besides those of its net may be lost nevertheless; sites that only they make equal are
            then listed apart. Otherwise the sites are those of the cell.
        tolerance: How far atoms may be from their symmetric places, Å. Relaxed boundaries are symmetric to about 1e-2 Å only. A
            loose tolerance joins sites that differ a little, whose energies may then differ by as little; one so loose that it
            joins neighbouring sites finds a wrong space group. A tight one lists equivalent sites several times.

    Raises:
        InputError: if there is no such species, or the image distance or the tolerance is not above zero.
        StructureError: if no space group is found.
    """
    _refuse(atoms, species, groups, image_distance, tolerance)
    heights = [float(plane) for plane in (atoms.info.get("planes", []) if planes is None else planes)]
    found = operations(atoms, tolerance)
    kept = found.rotations if symmetric else np.eye(3, dtype=np.int64)[None]
    expansion = _expansion(atoms, kept, image_distance, planar=bool(heights))
    chosen = [group for group in groups if group.name == species]
    items, labels = _items(atoms, species, chosen, heights)
    moves = [
        permutation(atoms, w, t)
        for w, t in zip(found.rotations, found.translations, strict=True)
        if not symmetric or keeps_lattice(w, expansion)
    ]
    orbits = _orbits(items, labels, moves)
    supercell = _repeated(atoms, expansion, heights)
    joined = find_units(supercell, chosen).labels
    sites = tuple(_site(number, species, items, orbit, joined) for number, orbit in enumerate(orbits, start=1))
    return DefectSupercell(supercell, expansion, distance_of_images(_effective(supercell)), sites)


def _refuse(atoms: "Atoms", species: str, groups: Sequence[Polyatomic], image_distance: float, tolerance: float) -> None:
    present = sorted(set(atoms.get_chemical_symbols()))
    named = [group.name for group in groups if group.centre in present]
    if species not in (*present, *named):
        message = f"no {species!r} in {atoms.get_chemical_formula()}{nearest(species, (*present, *named))}"
        raise InputError(message)
    for what, value in (("image distance", image_distance), ("tolerance", tolerance)):
        if not value > 0 or not np.isfinite(value):
            message = f"{what} of {value:g} Å: it must be above zero"
            raise InputError(message)


def _expansion(atoms: "Atoms", rotations: "NDArray[np.int64]", image_distance: float, *, planar: bool) -> tuple[int, int, int]:
    """Return how often to repeat the cell along each vector."""
    within = rotations.copy()
    if planar or not atoms.pbc.all():
        keeps = ~rotations[:, 2, :2].any(axis=1)
        within = np.zeros_like(rotations[keeps])
        within[:, :2, :2] = rotations[keeps, :2, :2]
        within[:, 2, 2] = 1
    cell = atoms.copy()
    cell.set_cell(_effective(atoms, image_distance))
    a, b, c = np.diag(supercell_matrix(cell, image_distance, rotations=within)).tolist()
    return a, b, c


def keeps_lattice(rotation: "NDArray[np.int64]", expansion: tuple[int, int, int]) -> bool:
    """Tell whether a rotation maps the lattice of the supercell onto itself."""
    times = np.array(expansion)
    return not (rotation * times[None, :] % times[:, None]).any()


def _effective(atoms: "Atoms", far: float | None = None) -> "NDArray[np.float64]":
    """Return the cell with vectors along which nothing repeats made so long that they never matter."""
    cell = np.array(atoms.cell)
    longest = 10 * max(far or 0.0, float(np.abs(cell).sum()))
    for axis in np.flatnonzero(~atoms.pbc):
        normal = np.cross(cell[axis - 2], cell[axis - 1])
        cell[axis] = normal / np.linalg.norm(normal) * longest
    return cell


def _items(
    atoms: "Atoms", species: str, groups: Sequence[Polyatomic], heights: Sequence[float]
) -> "tuple[_Items, NDArray[np.int64]]":
    """Return what can be missing, and for each atom of the cell the item it belongs to, or -1."""
    units = find_units(atoms, groups)
    wanted = {group.centre for group in groups} or {species}
    centres = [index for index, symbol in enumerate(atoms.get_chemical_symbols()) if symbol in wanted]
    chosen = np.unique(units.labels[centres])
    labels = np.full(len(atoms), -1, dtype=np.int64)
    places = np.linalg.solve(np.asarray(atoms.cell).T, atoms.positions.T).T + units.offsets
    middles, leaders = [], []
    for item, label in enumerate(chosen):
        members = np.flatnonzero(units.labels == label)
        labels[members] = item
        middles.append(places[members].mean(axis=0))
        leaders.append(int(members[0]))
    grains = atoms.arrays["grain"][leaders] if "grain" in atoms.arrays else None
    distances, planes = from_planes(atoms, np.array(middles), heights)
    return _Items(np.array(leaders), np.array(middles), grains, distances, planes), labels


def from_planes(
    atoms: "Atoms", places: "NDArray[np.float64]", heights: Sequence[float]
) -> "tuple[NDArray[np.float64] | None, NDArray[np.int64] | None]":
    """Return the distance (Å) of each place from the nearest boundary, and which one that is."""
    if not heights:
        return None, None
    a, b, _ = np.asarray(atoms.cell)
    total = atoms.get_volume() / np.linalg.norm(np.cross(a, b))
    gaps = places[:, 2:] - np.array(heights)
    if atoms.pbc[2]:
        gaps -= np.rint(gaps)
    gaps = np.abs(gaps) * total
    first = (gaps < gaps.min(axis=1, keepdims=True) + SAME_DISTANCE).argmax(axis=1)
    return gaps.min(axis=1), first


def _orbits(items: _Items, labels: "NDArray[np.int64]", moves: "list[NDArray[np.int64]]") -> list[list[int]]:
    """Return the items of each orbit, sorted by distance, boundary, grain and place; the orbits in the order of their first."""
    steps = np.floor(items.places * STEPS + OFFSET).astype(np.int64) % STEPS
    zeros = np.zeros(len(steps), dtype=np.int64)
    near = zeros if items.distances is None else np.floor(items.distances / SAME_DISTANCE + OFFSET).astype(np.int64)
    planes = zeros if items.planes is None else items.planes
    grains = zeros if items.grains is None else items.grains
    order = np.lexsort((*steps.T[::-1], grains, planes, near)).tolist()
    images = np.array([labels[move[items.leaders]] for move in moves])
    orbits, seen = [], set[int]()
    for item in order:
        if item not in seen:
            members = {int(image) for image in images[:, item]}
            orbits.append([other for other in order if other in members])
            seen |= members
    return orbits


def _repeated(atoms: "Atoms", expansion: tuple[int, int, int], heights: Sequence[float]) -> "Atoms":
    supercell: Atoms = atoms.repeat(expansion)
    supercell.calc = None
    supercell.set_constraint()
    if heights:
        times = expansion[2]
        supercell.info["planes"] = [(plane + copy) / times for copy in range(times) for plane in heights]
    return supercell


def _site(number: int, species: str, items: _Items, orbit: list[int], joined: "NDArray[np.int64]") -> DefectSite:
    leader = int(items.leaders[orbit[0]])
    return DefectSite(
        name=f"{species}_{number}",
        species=species,
        index=leader,
        members=tuple(np.flatnonzero(joined == joined[leader]).tolist()),
        multiplicity=len(orbit),
        grain=None if items.grains is None else int(items.grains[orbit[0]]),
        distance_angstrom=None if items.distances is None else float(items.distances[orbit[0]]),
        plane=None if items.planes is None else int(items.planes[orbit[0]]),
    )
