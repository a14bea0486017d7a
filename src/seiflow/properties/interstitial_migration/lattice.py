"""A supercell with an ion of a mobile kind added: its atoms, its images under the space group, and when two are the same."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from seiflow.properties.defects.cells import SPLIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ase import Atoms
    from numpy.typing import NDArray

    from seiflow.properties.migration.symmetry import SiteSymmetry


@dataclass(frozen=True)
class Configuration:
    """A supercell with one ion added.

    Attributes:
        displacements_angstrom: sites × 3, from the perfect supercell.
        position: Of the added ion, Å.
    """

    displacements_angstrom: "NDArray[np.float64]"
    position: "NDArray[np.float64]"


@dataclass(frozen=True)
class Lattice:
    """The perfect supercell, its symmetry, and which of its ions move.

    Attributes:
        ions: Indices of the lattice ions of the mobile kind.
    """

    atoms: "Atoms"
    symmetry: "SiteSymmetry"
    mobile: str
    ions: "NDArray[np.int64]"

    @cached_property
    def shifts(self) -> "NDArray[np.float64]":
        """Vectors among which the one to the nearest image is once fractions are rounded off, Å."""
        if np.allclose(self.atoms.cell.angles(), 90.0):
            return np.zeros((1, 3))
        return self.neighbours

    @cached_property
    def neighbours(self) -> "NDArray[np.float64]":
        """Vectors to the neighbouring cells and to the cell itself, 27 × 3, Å."""
        counts = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        return np.asarray(counts @ self.atoms.cell.array)

    def images(self, position: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """Return where each operation takes a position, operations × 3, in some cell, Å."""
        gaps = self.gaps(self.atoms.positions, position)
        near = int(np.linalg.norm(gaps, axis=1).argmin())
        sites = self.atoms.positions[self.symmetry.permutations[:, near]]
        return np.asarray(sites - self.symmetry.rotations @ gaps[near])

    def carried(self, operation: int, configuration: Configuration) -> Configuration:
        """Return the image of a configuration."""
        displacements = self.symmetry.carry(operation, configuration.displacements_angstrom)
        return Configuration(displacements, self.images(configuration.position)[operation])

    def gaps(self, positions: "NDArray[np.float64]", origin: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """Return the shortest vectors from origins to positions (… × 3, broadcast against each other), Å."""
        steps = np.asarray(positions - origin, dtype=float)
        cell = self.atoms.cell.array
        steps = steps - np.rint(np.linalg.solve(cell.T, steps.reshape(-1, 3).T).T.reshape(steps.shape)) @ cell
        others = steps[..., None, :] + self.shifts
        nearest = np.linalg.norm(others, axis=-1).argmin(axis=-1)
        return np.asarray(np.take_along_axis(others, nearest[..., None, None], axis=-2)[..., 0, :])

    def around(
        self, positions: "NDArray[np.float64]", origin: "NDArray[np.float64]", distance: float
    ) -> "Iterator[tuple[int, NDArray[np.float64]]]":
        """Yield the positions, images included, within a distance (Å) of an origin, with the vectors to them."""
        vectors = self.gaps(positions, origin)[:, None] + self.neighbours
        for number, shift in np.argwhere(np.linalg.norm(vectors, axis=-1) <= distance).tolist():
            yield number, vectors[number, shift]

    def structure(self, configuration: Configuration) -> "Atoms":
        """Return the atoms: those of the supercell in their order, then the added ion."""
        from ase import Atom

        atoms: Atoms = self.atoms.copy()
        atoms.positions += configuration.displacements_angstrom
        atoms.append(Atom(self.mobile, configuration.position))
        return atoms

    def configuration(self, atoms: "Atoms") -> Configuration:
        """Return a structure as displacements and an added ion: each lattice site gets an ion such that they are nearest."""
        displacements = atoms.positions[:-1] - self.atoms.positions
        drift = displacements.mean(axis=0)
        positions = atoms.positions[[*self.ions, len(atoms) - 1]] - drift
        gaps = self.gaps(positions[None], self.atoms.positions[self.ions][:, None])
        columns = _assigned(np.linalg.norm(gaps, axis=-1))
        displacements = displacements - drift
        displacements[self.ions] = gaps[np.arange(len(columns)), columns]
        (left,) = set(range(len(positions))) - set(columns.tolist())
        return Configuration(displacements, positions[left])

    def added(self, atoms: "Atoms") -> set[int]:
        """Return the ions of a structure that may be called the added one: one in a void, two at a shared site."""
        configuration = self.configuration(atoms)
        mobile = np.array([*self.ions, len(atoms) - 1])
        places = [configuration.position]
        site = self.shared_site(configuration)
        if site is not None:
            places.append(self.atoms.positions[site] + configuration.displacements_angstrom[site])
        drift = (atoms.positions[:-1] - self.atoms.positions).mean(axis=0)
        gaps = self.gaps(atoms.positions[mobile][:, None] - drift, np.array(places)[None])
        return set(mobile[np.linalg.norm(gaps, axis=-1).argmin(axis=0)].tolist())

    def shared_site(self, configuration: Configuration) -> int | None:
        """Return the site that the added ion shares with its ion, None if it sits in a void."""
        distances = np.linalg.norm(self.gaps(self.atoms.positions[self.ions], configuration.position), axis=1)
        site = int(self.ions[distances.argmin()])
        off = float(np.linalg.norm(configuration.displacements_angstrom[site]))
        return site if off > SPLIT * distances.min() else None

    def difference(self, first: Configuration, second: Configuration) -> float:
        """Return how far the mobile ions of one configuration are from those of another at most, whichever is which, Å."""
        distances = self._apart(first, second)
        return float(distances[np.arange(len(distances)), _assigned(distances)].max())

    def matches(self, first: Configuration, second: Configuration) -> "NDArray[np.int64]":
        """Return for each atom of one configuration that of another which it is; only mobile ions can change places."""
        index = np.arange(len(self.atoms) + 1)
        numbers = np.append(self.ions, len(self.atoms))
        index[numbers] = numbers[_assigned(self._apart(first, second))]
        return index

    def alike(self, first: Configuration, second: Configuration, distance: float) -> list[int]:
        """Return the operations that bring every mobile ion of one configuration within a distance (Å) of one of another."""
        ions = np.vstack([self.atoms.positions[self.ions] + second.displacements_angstrom[self.ions], second.position])
        gaps = self.gaps(self.images(first.position)[:, None], ions[None])
        near = np.linalg.norm(gaps, axis=-1).min(axis=1) < distance
        return [n for n in np.flatnonzero(near).tolist() if self.difference(self.carried(n, first), second) < distance]

    def _apart(self, first: Configuration, second: Configuration) -> "NDArray[np.float64]":
        one, other = (self.structure(item).positions[[*self.ions, len(self.atoms)]] for item in (first, second))
        return np.asarray(np.linalg.norm(self.gaps(other[None], one[:, None]), axis=-1))


def _assigned(distances: "NDArray[np.float64]") -> "NDArray[np.int64]":
    from scipy.optimize import linear_sum_assignment

    return np.asarray(linear_sum_assignment(distances**2)[1], dtype=np.int64)
