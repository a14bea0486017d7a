"""Slabs: every termination of a plane that keeps the formula and cuts no polyatomic group.

A slab is a run of sheets (whole units at one height). It is a termination if it holds whole formula units. Terminations
that a symmetry operation of the crystal maps onto each other, upside down included, are listed once.

Polarity after P. W. Tasker, J. Phys. C 12, 4977 (1979): type I if every sheet is neutral, II if sheets are charged but the
repeat unit has no dipole along the normal, III if it has one; the energy of a slab of type III grows with its thickness.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from math import gcd
from typing import TYPE_CHECKING, Literal

import numpy as np

from seiflow.errors import InputError, StructureError
from seiflow.structures.checks import Certificate, Polarity, certify
from seiflow.structures.layers import Layers, Operation, Plane, layers
from seiflow.structures.nets import HALF
from seiflow.structures.recipes import PhaseRecipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from numpy.typing import NDArray

Tasker = Literal["I", "II", "III"]

POLAR = 1e-3
"""e/Å²; surface charge that the dipole of a repeat unit asks for, below which it is none."""


@dataclass(frozen=True)
class Termination:
    """A way to cut a plane.

    Attributes:
        run: First sheet and number of sheets of the thinnest slab; whole layers are added to it. Always the same run, so that a
            thicker slab has the same faces in the same place.
        bottom_face: Formula of the lowest sheet.
        top_face: Formula of the highest sheet.
        opening_angstrom: Distance between the sheets that are parted, mean of the two faces.
        tasker: Type of polarity.
        surface_charge_e_per_angstrom2: What each face would need to cancel the dipole; zero unless the type is III.
        faces_equivalent: Whether a symmetry operation of the crystal turns the slab upside down.
    """

    run: tuple[int, int]
    bottom_face: str
    top_face: str
    opening_angstrom: float
    tasker: Tasker
    surface_charge_e_per_angstrom2: float
    faces_equivalent: bool

    def refuse_polar(self, name: str) -> None:
        """Refuse a termination whose surface energy would grow with the thickness.

        Raises:
            StructureError: if the type is III.
        """
        if self.tasker == "III":
            message = (
                f"{name}: the faces {self.bottom_face} and {self.top_face} make a dipole of ±"
                f"{abs(self.surface_charge_e_per_angstrom2):.3f} e/Å²: the surface energy would grow with the "
                "thickness of the slab. Choose another termination or plane"
            )
            raise StructureError(message)


@dataclass(frozen=True)
class Slab:
    """A slab with its certificate; the normal is along z and the net in the xy plane."""

    atoms: "Atoms"
    plane: Plane
    termination: Termination
    thickness_angstrom: float
    area_angstrom2: float
    certificate: Certificate


@dataclass(frozen=True)
class Block:
    """Sheets of a slab without a cell along the normal.

    Attributes:
        symbols: Species, n.
        positions: Å, n × 3; the plane of the lower cut is z = 0.
        height: Height of the plane of the upper cut, Å.
        climb: How far the layers of the block have moved along the plane at the upper cut, 2, Å.
        net: Rows: the vectors of the plane's net, 2 × 2, Å.
        keeping: Turns in the plane (2 × 2) of the operations that map the block onto itself as it stands.
        flipping: Turns in the plane of the operations that turn it upside down.
    """

    symbols: tuple[str, ...]
    positions: "NDArray[np.float64]"
    height: float
    climb: "NDArray[np.float64]"
    net: "NDArray[np.float64]"
    keeping: "tuple[NDArray[np.float64], ...]"
    flipping: "tuple[NDArray[np.float64], ...]"


def build_slab(
    recipe: PhaseRecipe,
    crystal: "Atoms",
    plane: "Sequence[int]",
    *,
    thickness: float,
    termination: int = 0,
    vacuum: float | None = None,
) -> Slab:
    """Return a slab, certified.

    Args:
        recipe: The phase.
        crystal: Its conventional cell, as built or relaxed.
        plane: Miller indices in that cell.
        thickness: Least thickness, Å, measured between the planes of the cuts.
        termination: Index into :func:`terminations`.
        vacuum: Room above the slab, Å; without it the slab goes on as the crystal does.

    Raises:
        InputError: if the plane or the termination does not exist.
        StructureError: if every cut goes through a group, or the slab fails its certificate.
    """
    from ase import Atoms

    stack = layers(crystal, plane, recipe.polyatomic)
    chosen = choose(terminations(stack, recipe.charges), termination, stack.plane)
    block = build_block(stack, chosen, thickness)
    if vacuum is None and chosen.run[1] != len(stack.sheets):
        raise InputError(_no_fit(stack, chosen))
    cell = np.zeros((3, 3))
    cell[:2, :2] = block.net
    cell[2, 2] = block.height + (vacuum or 0.0)
    if vacuum is None:
        step = block.climb @ np.linalg.inv(block.net)
        cell[2, :2] = (step - np.ceil(step - HALF)) @ block.net
    atoms = Atoms(block.symbols, positions=block.positions, cell=cell, pbc=[True, True, vacuum is None])
    atoms.wrap(pbc=[True, True, vacuum is None])
    charges = np.array([recipe.charges[symbol] for symbol in block.symbols])
    polarity = Polarity(
        tasker=chosen.tasker,
        dipole_e_angstrom=float(charges @ block.positions[:, 2]) if charges.sum() == 0 else None,
        faces_equivalent=chosen.faces_equivalent,
    )
    certificate = certify(atoms, recipe, polarity=polarity)
    return Slab(atoms, stack.plane, chosen, block.height, stack.area, certificate)


def terminations(stack: Layers, charges: Mapping[str, int]) -> tuple[Termination, ...]:
    """Return every stoichiometric termination, each once: those without dipole first, then the widest openings."""
    number = len(stack.sheets)
    faces = _face_orbits(stack)
    found: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for first in range(number):
        for count in range(1, number + 1):
            if _is_whole(stack, first, count):
                key = (faces[first, True], faces[(first + count) % number, False])
                found.setdefault((min(key), max(key)), []).append((first, count))
    described = [
        _described(stack, charges, min(runs, key=lambda run: (run[1] != number, run)), equivalent=key[0] == key[1])
        for key, runs in found.items()
    ]
    return tuple(sorted(described, key=lambda item: (item.tasker == "III", -round(item.opening_angstrom, 3), item.run)))


def choose(options: "Sequence[Termination]", index: int, plane: Plane) -> Termination:
    """Return one termination by its index."""
    if not 0 <= index < len(options):
        listed = "; ".join(f"{i}: {item.bottom_face} to {item.top_face}" for i, item in enumerate(options))
        message = f"plane {plane} has {len(options)} terminations, no number {index}; they are {listed}"
        raise InputError(message)
    return options[index]


def build_block(stack: Layers, termination: Termination, thickness: float) -> Block:
    """Return the thinnest block with the faces of a termination that is at least as thick as asked for (Å)."""
    number = len(stack.sheets)
    first, count = termination.run
    more = max(0, int(np.ceil((thickness - 1e-6) / stack.spacing - (_cut(stack, first + count) - _cut(stack, first)))))
    count += more * number
    bottom, top = _cut(stack, first), _cut(stack, first + count)
    atoms, places = [], []
    for index in range(first, first + count):
        sheet = stack.sheets[index % number]
        atoms.append(sheet.atoms)
        places.append(sheet.places + np.array([0, 0, index // number]))
    positions = np.vstack(places) @ stack.cell
    positions[:, 2] -= bottom * stack.spacing
    keeping: list[NDArray[np.float64]] = []
    flipping: list[NDArray[np.float64]] = []
    for operation in stack.operations:
        if _same(_moved(operation, bottom), top if operation.flips else bottom):
            (flipping if operation.flips else keeping).append(operation.turn)
    symbols = tuple(stack.symbols[index] for index in np.concatenate(atoms))
    net = stack.cell[:2, :2]
    climb = (count // number) * stack.cell[2, :2]
    return Block(symbols, positions, (top - bottom) * stack.spacing, climb, net, tuple(keeping), tuple(flipping))


def _no_fit(stack: Layers, termination: Termination) -> str:
    return (
        f"plane {stack.plane}: the faces {termination.bottom_face} and {termination.top_face} do not fit onto each other as "
        "in the crystal; give the slab a vacuum"
    )


def _cut(stack: Layers, index: int) -> float:
    """Return the height, in layers, half way between a sheet and the one below it."""
    return (_height(stack, index - 1) + _height(stack, index)) / 2


def _height(stack: Layers, index: int) -> float:
    return stack.sheets[index % len(stack.sheets)].height + index // len(stack.sheets)


def _face_orbits(stack: Layers) -> dict[tuple[int, bool], int]:
    """Number the faces (cut, whether the crystal lies above it) so that equivalent ones have the same number."""
    number = len(stack.sheets)
    orbits: dict[tuple[int, bool], int] = {}
    for start in ((cut, above) for cut in range(number) for above in (True, False)):
        if start in orbits:
            continue
        label = len(orbits)
        for operation in stack.operations:
            height = _moved(operation, _cut(stack, start[0]))
            image = next((cut for cut in range(number) if _same(_cut(stack, cut), height)), None)
            if image is not None:
                orbits.setdefault((image, start[1] != operation.flips), label)
    return orbits


def _moved(operation: Operation, height: float) -> float:
    return operation.rise + (-height if operation.flips else height)


def _same(one: float, other: float) -> bool:
    return abs((one - other) - round(one - other)) < 1e-3  # noqa: PLR2004 - of a layer


def _is_whole(stack: Layers, first: int, count: int) -> bool:
    total = Counter(stack.symbols)
    unit = {symbol: value // reduce(gcd, total.values()) for symbol, value in total.items()}
    held = Counter(symbol for index in range(first, first + count) for symbol in _species(stack, index))
    return len({held[symbol] / value for symbol, value in unit.items()}) == 1 and all(
        held[symbol] % value == 0 for symbol, value in unit.items()
    )


def _species(stack: Layers, index: int) -> list[str]:
    return [stack.symbols[atom] for atom in stack.sheets[index % len(stack.sheets)].atoms]


def _described(stack: Layers, charges: Mapping[str, int], run: tuple[int, int], *, equivalent: bool) -> Termination:
    from ase.formula import Formula

    first, count = run
    number = len(stack.sheets)
    dipole, charged = 0.0, False
    for index in range(first, first + number):
        sheet = stack.sheets[index % number]
        values = np.array([charges[symbol] for symbol in _species(stack, index)])
        charged |= bool(values.sum())
        dipole += float(values @ (sheet.places[:, 2] + index // number)) * stack.spacing
    surface_charge = dipole / (stack.area * stack.spacing)
    polar = abs(surface_charge) > POLAR
    openings = [_height(stack, cut) - _height(stack, cut - 1) for cut in (first, first + count)]
    bottom, top = ("".join(sorted(_species(stack, index))) for index in (first, first + count - 1))
    return Termination(
        run=run,
        bottom_face=Formula(bottom).format("hill"),
        top_face=Formula(top).format("hill"),
        opening_angstrom=float(np.mean(openings)) * stack.spacing,
        tasker="III" if polar else "II" if charged else "I",
        surface_charge_e_per_angstrom2=surface_charge if polar else 0.0,
        faces_equivalent=equivalent,
    )
