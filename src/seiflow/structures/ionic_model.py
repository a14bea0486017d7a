"""A cheap energy for comparing boundaries before any calculator is asked: formal charges and a hard repulsion.

Coulomb energy of the oxidation states, cut off and shifted with its force (C. J. Fennell and J. D. Gezelter, J. Chem. Phys.
124, 234104 (2006)), plus Born repulsion (d/r)^n between ions of different units, where d is the shortest distance of the two
species in the crystal. Its one strength is set so that the crystal is under no pressure. Uncharged atoms attract with the
sixth power instead. The numbers rank candidates; they are no energies of the material.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from ase.neighborlist import neighbor_list

from seiflow.structures.recipes import PhaseRecipe
from seiflow.structures.units import contact_matrix, find_units, shortest_contacts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from numpy.typing import NDArray

COULOMB = 14.399645
"""eV Å; energy of two unit charges 1 Å apart."""

EXPONENT = 9
DAMPING = 0.25
"""1/Å."""

CUTOFF = 9.0
"""Å."""

SPACING = 0.002
"""Å; of the table of pair energies."""


@dataclass(frozen=True)
class IonicModel:
    """The model for one crystal.

    Attributes:
        names: Species, in the order of the arrays.
        charges: Oxidation states.
        contacts: d of each pair of species, Å.
        strength: Of the repulsion, eV.
        attraction: Of uncharged atoms, eV.
        phase: The phase's recipe, for its polyatomic groups.
        crystal_energy: Of one formula unit, eV.
    """

    names: tuple[str, ...]
    charges: "NDArray[np.float64]"
    contacts: "NDArray[np.float64]"
    strength: float
    attraction: float
    phase: PhaseRecipe
    crystal_energy: float

    def kinds(self, symbols: "Sequence[str]") -> "NDArray[np.int64]":
        """Return the index of each atom's species."""
        return np.array([self.names.index(symbol) for symbol in symbols])

    def pair_energies(
        self, first: "NDArray[np.int64]", second: "NDArray[np.int64]", distances: "NDArray[np.float64]"
    ) -> "NDArray[np.float64]":
        """Return the energy of each pair of species at a distance, eV; arrays that broadcast."""
        near = np.maximum(distances, 0.3)
        ratio = self.contacts[first, second] / near
        energies = self.strength * (ratio**EXPONENT - (self.contacts[first, second] / CUTOFF) ** EXPONENT)
        if self.attraction:
            return energies - self.attraction * ratio**6
        return energies + self.charges[first] * self.charges[second] * _shifted(near)

    def tabulated(
        self, first: "NDArray[np.int64]", second: "NDArray[np.int64]", distances: "NDArray[np.float64]"
    ) -> "NDArray[np.float64]":
        """Return :meth:`pair_energies` read off a fine table."""
        places = np.minimum(distances, CUTOFF) / SPACING
        below = places.astype(np.int64)
        rows = (first * len(self.names) + second) * self._table.shape[-1] + below
        flat = self._table.ravel()
        return np.asarray(flat[rows] + (places - below) * (flat[rows + 1] - flat[rows]))

    @cached_property
    def _table(self) -> "NDArray[np.float64]":
        kinds = np.arange(len(self.names))
        distances = np.minimum(np.arange(round(CUTOFF / SPACING) + 2) * SPACING, CUTOFF)
        return self.pair_energies(kinds[:, None, None], kinds[None, :, None], distances)

    def energy(self, atoms: "Atoms") -> float:
        """Return the energy of a structure, bonds inside polyatomic groups left out, eV."""
        return self._of_pairs(atoms, *_outer_pairs(atoms, self.phase))

    def _of_pairs(
        self, atoms: "Atoms", first: "NDArray[np.int64]", second: "NDArray[np.int64]", distances: "NDArray[np.float64]"
    ) -> float:
        kinds = self.kinds(atoms.get_chemical_symbols())
        return 0.5 * float(self.pair_energies(kinds[first], kinds[second], distances).sum())


def ionic_model(crystal: "Atoms", phase: PhaseRecipe) -> IonicModel:
    """Return the model in which a crystal is at rest."""
    names = tuple(sorted(set(crystal.get_chemical_symbols())))
    charges = np.array([phase.charges[name] for name in names], dtype=float)
    contacts = contact_matrix(names, shortest_contacts(crystal, phase.polyatomic, CUTOFF))
    alike = np.outer(charges, charges) > 0
    contacts = np.where(alike, 0.8 * contacts, contacts)
    metal = not charges.any()
    units = len(crystal) / sum(phase.composition.values())
    first, second, distances = _outer_pairs(crystal, phase)

    def slope(strength: float, attraction: float) -> float:
        model = IonicModel(names, charges, contacts, strength, attraction, phase, 0.0)
        up, down = (model._of_pairs(crystal, first, second, distances * scale) for scale in (1.001, 0.999))  # noqa: SLF001
        return up - down

    attraction = float(metal)
    rest = slope(0.0, attraction)
    strength = -rest / (slope(1.0, attraction) - rest)
    model = IonicModel(names, charges, contacts, strength, attraction, phase, 0.0)
    energy = model._of_pairs(crystal, first, second, distances) / units  # noqa: SLF001
    return IonicModel(names, charges, contacts, strength, attraction, phase, energy)


def _outer_pairs(atoms: "Atoms", phase: PhaseRecipe) -> "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]":
    first, second, distances, shifts = neighbor_list("ijdS", atoms, CUTOFF)
    outside = ~find_units(atoms, phase.polyatomic).inside(first, second, shifts)
    return first[outside], second[outside], distances[outside]


def _shifted(distances: "NDArray[np.float64]") -> "NDArray[np.float64]":
    from scipy.special import erfc

    value = erfc(DAMPING * CUTOFF) / CUTOFF
    slope = value / CUTOFF + 2 * DAMPING / np.sqrt(np.pi) * np.exp(-((DAMPING * CUTOFF) ** 2)) / CUTOFF
    inside = distances < CUTOFF
    found = erfc(DAMPING * distances) / distances - value + slope * (distances - CUTOFF)
    return np.asarray(COULOMB * np.where(inside, found, 0.0))
