"""Charges in a dielectric by sums of their own, which corrections of charged cells are compared with."""

import itertools

import numpy as np
from ase.units import Bohr, Hartree
from scipy.special import erfc

from seiflow.calculators.electronic import ElectronicState

COULOMB = Hartree * Bohr
"""eV Å; energy of two unit charges at unit distance."""


def madelung(cell: np.ndarray) -> float:
    """Return the energy of a unit point charge with its images and a neutralising background, eV, by an Ewald sum."""
    volume = abs(np.linalg.det(cell))
    alpha = np.pi**0.5 / volume ** (1 / 3)
    numbers = np.array(list(itertools.product(range(-6, 7), repeat=3)))
    numbers = numbers[np.any(numbers != 0, axis=1)]
    distances = np.linalg.norm(numbers @ cell, axis=1)
    squares = np.sum((numbers @ np.linalg.inv(cell).T * 2 * np.pi) ** 2, axis=1)
    real = np.sum(erfc(alpha * distances) / distances)
    reciprocal = np.sum(4 * np.pi / volume / squares * np.exp(-squares / 4 / alpha**2))
    return COULOMB / 2 * float(real + reciprocal - 2 * alpha / np.pi**0.5 - np.pi / volume / alpha**2)


def gaussian_state(
    cell: np.ndarray, charge: float, dielectric: float, *, sigma: float, place: np.ndarray, shift: float
) -> ElectronicState:
    """Return the potential of a Gaussian charge in a dielectric, as electrons feel it, its average moved by a shift."""
    volume = abs(np.linalg.det(cell))
    reciprocal = 2 * np.pi * np.linalg.inv(cell).T
    lines = []
    for axis, points in enumerate((64, 70, 75)):
        waves = np.fft.fftfreq(points, 1 / points)
        squares = np.sum((waves[:, None] * reciprocal[axis]) ** 2, axis=1)
        squares[0] = np.inf
        amplitudes = -charge * 4 * np.pi * COULOMB / dielectric / volume / squares * np.exp(-squares * sigma**2 / 2)
        values = np.fft.ifft(amplitudes * np.exp(-2j * np.pi * waves * place[axis])) * points
        lines.append(np.real(values) + shift)
    return ElectronicState((lines[0], lines[1], lines[2]), np.zeros(0), 0.0, 0.0)
