"""A cheap energy for comparing boundaries before any calculator is asked: formal charges and a hard repulsion.

Coulomb energy of the oxidation states, cut off and shifted with its force (C. J. Fennell and J. D. Gezelter, J. Chem. Phys.
124, 234104 (2006)), plus Born repulsion (d/r)^n between ions of different units, where d is the shortest distance of the two
species in the crystal. Its one strength is set so that the crystal is under no pressure. Uncharged atoms attract with the
sixth power instead. The numbers rank candidates; they are no energies of the material.

Between two phases the charges are those of each phase and the strengths the geometric mean of both. The surface atoms of a
metal bind the anions of a salt like atoms of their own, and turn its cations away: image charges are left out.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from ase.neighborlist import neighbor_list

from seiflow.structures.recipes import PhaseRecipe
from seiflow.structures.units import contact_matrix, find_units, shortest_contacts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ase import Atoms
    from numpy.typing import NDArray

COULOMB = 14.399645
"""eV Å; energy of two unit charges 1 Å apart."""

EXPONENT = 9
DAMPING = 0.25
"""1/Å."""

CUTOFF = 9.0
"""Å."""

LIKE_SIZE = 0.8
"""d of ions of like charge, as a fraction of their shortest distance."""

SPACING = 0.002
"""Å; of the table of pair energies."""


@dataclass(frozen=True)
class PairModel:
    """Energies of pairs.

    Attributes:
        names: Species, in the order of the arrays.
        charges: Oxidation states, n.
        contacts: d of each pair of species, n × n, Å.
        strength: Of the repulsion, n × n, eV.
        attraction: Of uncharged atoms, n × n, eV.
    """

    names: tuple[str, ...]
    charges: "NDArray[np.float64]"
    contacts: "NDArray[np.float64]"
    strength: "NDArray[np.float64]"
    attraction: "NDArray[np.float64]"

    def kinds(self, symbols: "Sequence[str]") -> "NDArray[np.int64]":
        """Return the index of each atom's species."""
        return np.array([self.names.index(symbol) for symbol in symbols])

    def pair_energies(
        self, first: "NDArray[np.int64]", second: "NDArray[np.int64]", distances: "NDArray[np.float64]"
    ) -> "NDArray[np.float64]":
        """Return the energy of each pair of species at a distance, eV; arrays that broadcast."""
        near = np.maximum(distances, 0.3)
        ratio = self.contacts[first, second] / near
        repulsion = ratio**EXPONENT - (self.contacts[first, second] / CUTOFF) ** EXPONENT
        energies = self.strength[first, second] * repulsion - self.attraction[first, second] * ratio**6
        return np.asarray(energies + self.charges[first] * self.charges[second] * _shifted(near))

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


@dataclass(frozen=True)
class IonicModel(PairModel):
    """The model for one crystal.

    Attributes:
        phase: The phase's recipe, for its polyatomic groups.
        crystal_energy: Of one formula unit, eV.
    """

    phase: PhaseRecipe
    crystal_energy: float

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
    contacts = np.where(alike, LIKE_SIZE * contacts, contacts)
    metal = not charges.any()
    units = len(crystal) / sum(phase.composition.values())
    first, second, distances = _outer_pairs(crystal, phase)

    def with_strength(strength: float, crystal_energy: float = 0.0) -> IonicModel:
        uniform = np.ones_like(contacts)
        return IonicModel(names, charges, contacts, strength * uniform, float(metal) * uniform, phase, crystal_energy)

    def slope(strength: float) -> float:
        model = with_strength(strength)
        up, down = (model._of_pairs(crystal, first, second, distances * scale) for scale in (1.001, 0.999))  # noqa: SLF001
        return up - down

    rest = slope(0.0)
    strength = -rest / (slope(1.0) - rest)
    energy = with_strength(strength)._of_pairs(crystal, first, second, distances) / units  # noqa: SLF001
    return with_strength(strength, energy)


def model_across(models: tuple[IonicModel, IonicModel], contacts: "Mapping[tuple[str, str], tuple[float, bool]]") -> PairModel:
    """Return the model of pairs of two phases; the species of the first come first, named as :func:`labelled` names them.

    Args:
        models: Of the two crystals.
        contacts: Yardstick distance (Å) of each species of the first phase from each of the second, and whether they attract.
    """
    names = tuple(name for index, model in enumerate(models) for name in labelled(model.names, index))
    distances, strength, attraction = np.zeros((3, len(names), len(names)))
    pulls = [float(model.attraction[0, 0]) for model in models]
    pushes = [float(model.strength[0, 0]) for model in models]
    metals = [index for index in (0, 1) if pulls[index]]
    alone = metals[0] if len(metals) == 1 else None
    push = float(np.sqrt(pushes[0] * pushes[1])) if alone is None else pushes[alone]
    pull = float(np.sqrt(pulls[0] * pulls[1])) if alone is None else pulls[alone]
    for (one, other), (distance, attracting) in contacts.items():
        i, j = models[0].names.index(one), len(models[0].names) + models[1].names.index(other)
        distances[i, j] = distances[j, i] = distance * (1.0 if attracting else LIKE_SIZE)
        strength[i, j] = strength[j, i] = push
        attraction[i, j] = attraction[j, i] = pull if attracting else 0.0
    return PairModel(names, np.concatenate([model.charges for model in models]), distances, strength, attraction)


def labelled(symbols: "Sequence[str]", grain: int) -> tuple[str, ...]:
    """Return the names of species of one of two phases."""
    return tuple(f"{grain} {symbol}" for symbol in symbols)


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
