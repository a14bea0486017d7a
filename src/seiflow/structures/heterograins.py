"""Two rigid grains of different phases on the net of a match, and how close their ions may come.

A grain may stand upside down: it is then turned by half a turn about an axis in the plane, which is no mirroring. Both grains are
stretched onto the shared net; their thickness is left as it is. The second interface of a periodic cell repeats the first
wherever an operation turns both grains upside down in the same way; each grain is moved along the plane so that this operation
goes through the origin.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from seiflow.structures.bicrystal import Bicrystal, Grain, repeated
from seiflow.structures.grain_boundary import LIKE_CONTACT, UNLIKE_CONTACT
from seiflow.structures.layers import Layers, Plane, layers
from seiflow.structures.matching import Match, Net, in_plane_stiffness, isotropic_stiffness, shifts_of
from seiflow.structures.recipes import PhaseRecipe
from seiflow.structures.slab import Block, Termination, build_block, choose, terminations
from seiflow.structures.units import Pair, shortest_contacts

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

    from seiflow.structures.build import Ingredient

    Common = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]

Shared = Literal["stiffness", "young_modulus", "equal"]

TURNED = np.diag([1.0, -1.0])
"""What half a turn about x does in the plane."""

ONE = np.eye(2)
SAME_PLACE = 1e-3
"""Å."""


@dataclass(frozen=True)
class Side:
    """One phase of an interface.

    Attributes:
        part: The phase.
        stack: Its layers.
        turned: Whether it stands upside down.
        thickness: Asked for, Å.
    """

    part: "Ingredient"
    stack: Layers
    turned: bool
    thickness: float

    @property
    def options(self) -> tuple[Termination, ...]:
        """Its terminations."""
        return terminations(self.stack, self.part.recipe.charges)

    def block(self, termination: int) -> Block:
        """Return the grain on its own net, standing as it will."""
        chosen = choose(self.options, termination, self.stack.plane)
        block = build_block(self.stack, chosen, self.thickness)
        return _upside_down(block) if self.turned else block

    def crystal(self, stretch: "NDArray[np.float64]") -> "Atoms":
        """Return one layer of the crystal, periodic in all directions, stretched in the plane by a matrix, 2 × 2."""
        from ase import Atoms

        stack = self.stack
        places = np.empty((len(stack.symbols), 3))
        for sheet in stack.sheets:
            places[sheet.atoms] = sheet.places
        change = _standing(self).T
        change[:, :2] = change[:, :2] @ stretch.T
        atoms = Atoms(stack.symbols, scaled_positions=places, cell=stack.cell @ change, pbc=True)
        atoms.wrap()
        return atoms


def side(part: "Ingredient", plane: Plane, thickness: float, *, turned: bool) -> Side:
    """Return one phase of an interface.

    Raises:
        InputError: if the plane is none.
        StructureError: if every cut parallel to it goes through a polyatomic group.
    """
    return Side(part, layers(part.crystal, plane, part.recipe.polyatomic), turned, thickness)


def nets_of(sides: tuple[Side, Side]) -> tuple[tuple[Net, Net], Shared]:
    """Return what matching needs, and by what the strain is shared: the best that is known of both phases."""
    measured = [one.part.stiffness_gpa for one in sides]
    moduli = [one.part.recipe.young_modulus_gpa for one in sides]
    shared: Shared = "equal"
    stiffness, thickness = [isotropic_stiffness(1.0)] * 2, [1.0, 1.0]
    if all(value is not None for value in measured):
        shared = "stiffness"
        stiffness = [
            in_plane_stiffness(np.asarray(value), _standing(one) @ one.stack.frame)
            for value, one in zip(measured, sides, strict=True)
        ]
    elif all(value is not None for value in moduli):
        shared = "young_modulus"
        stiffness = [isotropic_stiffness(value or 1.0) for value in moduli]
    if shared != "equal":
        thickness = [one.thickness for one in sides]
    first, second = (
        Net(_vectors(one), _turns(one), height, matrix) for one, height, matrix in zip(sides, thickness, stiffness, strict=True)
    )
    return (first, second), shared


def heterograins(sides: tuple[Side, Side], match: Match, cuts: tuple[int, int]) -> Bicrystal:
    """Return the two grains on the shared net, not yet put together."""
    blocks = sides[0].block(cuts[0]), sides[1].block(cuts[1])
    flipping = _common(blocks, match, flips=True)
    # half a turn in all three directions first: it is kept by every strain
    flipping.sort(key=lambda found: round(float(np.trace(found[0])), 6))
    slant, centres = None, (np.zeros(2), np.zeros(2))
    for matrix, first, second in flipping:
        moves = np.linalg.pinv(ONE - matrix)
        if np.allclose((ONE - matrix) @ moves @ (first - second), first - second, atol=SAME_PLACE):
            slant, centres = ONE - matrix, (moves @ first, moves @ second)
            break
    grains = [_stretched(block, match, index, centre) for index, (block, centre) in enumerate(zip(blocks, centres, strict=True))]
    origin = match.stretches[0] @ blocks[0].climb + centres[1] - centres[0]
    shifts = shifts_of(match)
    equal = [matrix for matrix, first, second in _common(blocks, match, flips=False) if _none(second - first, shifts)]
    return Bicrystal(grains[0], grains[1], match.net, origin, slant, shifts, tuple(equal) or (ONE,))


def least_across(
    lower: Sequence[str], upper: Sequence[str], phases: tuple[PhaseRecipe, PhaseRecipe], crystals: "tuple[Atoms, Atoms]"
) -> "NDArray[np.float64]":
    """Return how close ions of the two grains may be put, n × m, Å."""
    contacts = contacts_across(phases, crystals)
    kinds = sorted(contacts)
    table = np.zeros((len(set(lower)), len(set(upper))))
    first, second = sorted(set(lower)), sorted(set(upper))
    for one, other in kinds:
        if one in first and other in second:
            distance, attracting = contacts[one, other]
            table[first.index(one), second.index(other)] = distance * (UNLIKE_CONTACT if attracting else LIKE_CONTACT)
    return np.asarray(table[np.ix_([first.index(name) for name in lower], [second.index(name) for name in upper])])


def contacts_across(
    phases: tuple[PhaseRecipe, PhaseRecipe], crystals: "tuple[Atoms, Atoms]"
) -> Mapping[Pair, tuple[float, bool]]:
    """Return the yardstick distance (Å) of each species of the first phase from each of the second, and whether they attract.

    The shortest distance in a crystal that holds both elements as ions of these signs counts. Otherwise ions that attract
    touch at the sum of their radii and others at the mean of their distances to their own kind. The radius of an anion, or of
    an atom of a metal, is half its distance to its own kind, that of a cation what is left of its distance to an anion.

    A metal binds anions with its surface atoms and turns cations away; so beside ions its atoms count as cations, and where a
    crystal holds the same element as a cation, at the distance found there.
    """
    inside = [shortest_contacts(crystal, phase.polyatomic) for phase, crystal in zip(phases, crystals, strict=True)]
    known: dict[Pair, float] = {}
    for contacts in inside:
        for (one, other), distance in contacts.items():
            for pair in ((one, other), (other, one)):
                known[pair] = min(distance, known.get(pair, distance))
    found: dict[Pair, tuple[float, bool]] = {}
    for one, first in phases[0].charges.items():
        for other, second in phases[1].charges.items():
            attracting = _attracting(first, second)
            held = known.get((one, other)) if attracting or first * second else None
            if held is not None:
                distance = held
            elif attracting:
                distance = _radius(one, phases[0], inside[0]) + _radius(other, phases[1], inside[1])
            else:
                distance = (inside[0].get((one, one), 0.0) + inside[1].get((other, other), 0.0)) / 2
            found[one, other] = (distance, attracting)
    return found


def _attracting(first: int, second: int) -> bool:
    """Tell whether atoms with these oxidation states draw each other; those of a metal count as cations beside ions."""
    if first == second == 0:
        return True
    return (first or 1) * (second or 1) < 0


def _radius(symbol: str, phase: PhaseRecipe, contacts: Mapping[Pair, float]) -> float:
    own = contacts.get((symbol, symbol), 0.0) / 2
    if phase.charges[symbol] <= 0:
        return own
    anions = [name for name, charge in phase.charges.items() if charge < 0]
    left = [contacts.get((min(symbol, name), max(symbol, name)), np.inf) - contacts.get((name, name), 0.0) / 2 for name in anions]
    return min([*left, own])


def _standing(one: Side) -> "NDArray[np.float64]":
    return np.diag([1.0, -1.0, -1.0]) if one.turned else np.eye(3)


def _vectors(one: Side) -> "NDArray[np.float64]":
    net = one.stack.cell[:2, :2]
    return TURNED @ net @ TURNED if one.turned else net


def _turns(one: Side) -> "tuple[NDArray[np.float64], ...]":
    kept = [item.turn for item in one.stack.operations if not item.flips and abs(item.rise - round(item.rise)) < SAME_PLACE]
    return tuple(TURNED @ turn @ TURNED if one.turned else turn for turn in kept)


def _upside_down(block: Block) -> Block:
    """Turn a block about x, such that its lower face lies where that of any thicker block would."""
    along = (block.positions[:, :2] - block.climb) @ TURNED
    return replace(
        block,
        positions=np.column_stack([along, block.height - block.positions[:, 2]]),
        climb=-TURNED @ block.climb,
        net=TURNED @ block.net @ TURNED,
        keeping=tuple(TURNED @ turn @ TURNED for turn in block.keeping),
        flipping=tuple(TURNED @ turn @ TURNED for turn in block.flipping),
    )


def _stretched(block: Block, match: Match, index: int, centre: "NDArray[np.float64]") -> Grain:
    symbols, positions = repeated(block, match.supercells[index])
    positions[:, :2] = positions[:, :2] @ match.stretches[index].T - centre
    return Grain(symbols, positions, block.height)


def _common(blocks: tuple[Block, Block], match: Match, *, flips: bool) -> "list[Common]":
    """Return the operations that both stretched grains have: what they do along the plane, and how far each then moves, Å."""
    found = []
    mapped: list[list[tuple[NDArray[np.float64], NDArray[np.float64]]]] = [[], []]
    for index, (block, stretch) in enumerate(zip(blocks, match.stretches, strict=True)):
        for turn in block.flipping if flips else block.keeping:
            mapped[index].append((stretch @ turn @ np.linalg.inv(stretch), turn))
    for matrix, first in mapped[0]:
        for other, second in mapped[1]:
            if np.allclose(matrix, other, atol=1e-6) and np.allclose(matrix @ matrix.T, ONE, atol=1e-6):
                moves = [
                    stretch @ _move(block, turn, flips=flips)
                    for block, stretch, turn in zip(blocks, match.stretches, (first, second), strict=True)
                ]
                found.append((matrix, moves[0], moves[1]))
    return found


def _move(block: Block, turn: "NDArray[np.float64]", *, flips: bool) -> "NDArray[np.float64]":
    """Return how far a block must move along the plane to lie on itself after an operation."""
    rare = min(set(block.symbols), key=lambda name: (block.symbols.count(name), name))
    symbols = np.array(block.symbols)
    images = np.column_stack(
        [block.positions[:, :2] @ turn.T, block.height - block.positions[:, 2] if flips else block.positions[:, 2]]
    )
    start = int(np.flatnonzero(symbols == rare)[0])
    for target in np.flatnonzero(symbols == rare):
        move = block.positions[target, :2] - images[start, :2]
        if abs(block.positions[target, 2] - images[start, 2]) < SAME_PLACE * 10 and _falls_on(block, symbols, images, move):
            return np.asarray(move)
    message = "an operation of the plane does not keep its block"
    raise AssertionError(message)


def _falls_on(block: Block, symbols: "NDArray[np.str_]", images: "NDArray[np.float64]", move: "NDArray[np.float64]") -> bool:
    apart = images[:, None, :2] + move - block.positions[None, :, :2]
    fractions = apart @ np.linalg.inv(block.net)
    apart = (fractions - np.rint(fractions)) @ block.net
    rise = images[:, None, 2] - block.positions[None, :, 2]
    close = (np.linalg.norm(apart, axis=2) < SAME_PLACE * 10) & (np.abs(rise) < SAME_PLACE * 10)
    return bool((close & (symbols[:, None] == symbols[None, :])).any(axis=1).all())


def _none(move: "NDArray[np.float64]", shifts: "NDArray[np.float64]") -> bool:
    fractions = move @ np.linalg.inv(shifts)
    return bool(np.allclose(fractions, np.rint(fractions), atol=1e-3))
