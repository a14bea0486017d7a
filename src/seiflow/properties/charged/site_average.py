"""Correction of a charged cell from potentials at its atoms, with a point charge in an anisotropic dielectric.

The energy of the point charge with its images and the background is taken off, and the shift of the potential is averaged over
the atoms outside the largest sphere around the defect that does not meet its image's. Atoms take their potentials with them as
they relax, averages over planes do not. Source: Kumagai and Oba, Phys. Rev. B 89, 195205 (2014); the Ewald sum in a dielectric
is that of Rurali and Cartoixà, Nano Lett. 9, 975 (2009).
"""

import itertools
from typing import TYPE_CHECKING

import numpy as np
from ase.geometry import get_distances
from ase.units import Bohr, Hartree
from scipy.special import erfc

from seiflow.properties.charged.corrections import Correction
from seiflow.structures.supercell import LENGTH_TOLERANCE, image_distance

if TYPE_CHECKING:
    from numpy.typing import NDArray

COULOMB = Hartree * Bohr
"""Energy of two unit charges at unit distance, eV Å."""

REACH = 6.5
"""Terms of the Ewald sum are left out where the exponent is beyond the square of this."""


def kumagai(
    charge: int,
    cell: "NDArray[np.float64]",
    place: "NDArray[np.float64]",
    sites: "NDArray[np.float64]",
    difference_ev: "NDArray[np.float64]",
    dielectric: "NDArray[np.float64]",
) -> Correction:
    """Return the correction of a charged cell.

    Args:
        charge: Of the cell, e.
        cell: Lattice vectors as rows, Å.
        place: Of the defect, Å.
        sites: Of the atoms with the defect there, n × 3, Å.
        difference_ev: Potential of an electron at each of them less that at the same atom of the perfect cell.
        dielectric: Tensor of the crystal.
    """
    distances = get_distances(place[None], sites, cell=cell, pbc=True)[1][0]
    far = distances > image_distance(cell) / 2 + LENGTH_TOLERANCE
    model = -charge * np.array([unit_potential(site - place, cell, dielectric) for site in sites[far]])
    shifts = difference_ev[far] - model
    lattice = -(charge**2) * unit_potential(np.zeros(3), cell, dielectric) / 2
    shift = float(shifts.mean()) if charge else 0.0
    return Correction(
        method="kumagai",
        correction_ev=lattice + charge * shift,
        lattice_ev=lattice,
        alignment_ev=charge * shift,
        shift_ev=shift,
        shifts_ev=(),
        roughness_ev=float(shifts.std()) if charge else 0.0,
    )


def unit_potential(offset: "NDArray[np.float64]", cell: "NDArray[np.float64]", dielectric: "NDArray[np.float64]") -> float:
    """Return the potential of a unit point charge, its images and a neutralising background at an offset, V; average zero.

    At the charge itself it is that of the images and the background alone.
    """
    volume = abs(float(np.linalg.det(cell)))
    root = float(np.sqrt(np.linalg.det(dielectric)))
    stiff = np.linalg.inv(dielectric)
    gamma = np.pi**0.5 / volume ** (1 / 3)
    reciprocal = np.asarray(2 * np.pi * np.linalg.inv(cell).T, dtype=float)
    vectors = _lattice(cell, REACH / gamma * float(np.linalg.eigvalsh(dielectric).max()) ** 0.5) - offset
    lengths: NDArray[np.float64] = np.sqrt(np.einsum("ni,ij,nj->n", vectors, stiff, vectors))
    self_term = 0.0
    if not np.any(offset):
        lengths = lengths[lengths > 0]
        self_term = -2 * gamma / (np.pi**0.5 * root)
    waves = _lattice(reciprocal, 2 * gamma * REACH / float(np.linalg.eigvalsh(dielectric).min()) ** 0.5)
    squares = np.einsum("ni,ij,nj->n", waves, dielectric, waves)
    waves, squares = waves[squares > 0], squares[squares > 0]
    near = float((erfc(gamma * lengths) / lengths).sum()) / root
    smooth = 4 * np.pi / volume * float(np.sum(np.exp(-squares / (4 * gamma**2)) / squares * np.cos(waves @ offset)))
    return float(COULOMB * (near + smooth + self_term - np.pi / (volume * gamma**2)))


def _lattice(cell: "NDArray[np.float64]", radius: float) -> "NDArray[np.float64]":
    """Return all lattice vectors no longer than a radius, and some that are."""
    most = np.ceil(radius * np.linalg.norm(np.linalg.inv(cell), axis=0)).astype(int) + 1
    numbers = np.array(list(itertools.product(*(range(-count, count + 1) for count in most.tolist()))))
    return np.asarray(numbers @ cell)
