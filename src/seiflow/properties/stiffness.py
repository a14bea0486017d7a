"""What a stiffness tensor says: its symmetry, its stability, and the moduli of a single crystal and of a polycrystal.

Tensors of rank four are handled as 6 x 6 matrices in the Kelvin notation (also named after Mandel), in which shear components of
stress and strain carry a factor √2. Rotations are then orthogonal 6 x 6 matrices and eigenvalues do not depend on the axes
(Mehrabadi and Cowin, Q. J. Mech. Appl. Math. 43, 15, 1990). Voigt matrices, with engineering shear strains, appear only at
the border; their order is xx yy zz yz xz xy everywhere.

Stability: all eigenvalues positive (Mouhat and Coudert, Phys. Rev. B 90, 224104, 2014). Averages: Hill, Proc. Phys. Soc. A 65,
349 (1952). Universal anisotropy: Ranganathan and Ostoja-Starzewski, Phys. Rev. Lett. 101, 055504 (2008).
"""

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

VOIGT_PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""Tensor indices of the six Voigt components."""

KELVIN = np.array([1.0, 1.0, 1.0, np.sqrt(2), np.sqrt(2), np.sqrt(2)])
"""Kelvin stress over Voigt stress; Voigt (engineering) strain over Kelvin strain."""

GRID = 6
"""Directions with integer components up to this are where the search for extremes starts."""

REFINED = 12
"""How many of them are refined."""


@dataclass(frozen=True)
class Moduli:
    """What follows from one stiffness tensor.

    All that needs the compliance (Reuss and Hill averages and what is built on them, Young's modulus by direction) is None
    for a tensor that is not stable: an unstable crystal has no finite response to a prescribed stress.

    Attributes:
        stiffness_gpa: 6 x 6, Voigt order xx yy zz yz xz xy, engineering shear strains, in the Cartesian frame of the crystal.
        bulk_modulus_voigt_gpa: Average at uniform strain, upper bound of a polycrystal without texture.
        bulk_modulus_reuss_gpa: Average at uniform stress, lower bound.
        bulk_modulus_gpa: Hill average of the two.
        shear_modulus_voigt_gpa: As for the bulk modulus.
        shear_modulus_reuss_gpa: As for the bulk modulus.
        shear_modulus_gpa: Hill average.
        young_modulus_gpa: 9KG/(3K + G) of the Hill averages.
        young_modulus_min_gpa: Lowest over all directions of a single crystal.
        young_modulus_max_gpa: Highest over all directions.
        young_modulus_min_direction: Unit vector, Cartesian; one of those related by symmetry.
        young_modulus_max_direction: Likewise.
        poisson_ratio: (3K - 2G)/(6K + 2G) of the Hill averages.
        pugh_ratio: K/G of the Hill averages; ductile metals lie above 1.75.
        universal_anisotropy: 5 G_Voigt/G_Reuss + K_Voigt/K_Reuss - 6; zero when isotropic.
        born_stable: Whether every eigenvalue of the stiffness is positive.
        stiffness_eigenvalues_gpa: The six eigenvalues in the Kelvin notation, ascending.
    """

    stiffness_gpa: "NDArray[np.float64]"
    bulk_modulus_voigt_gpa: float
    bulk_modulus_reuss_gpa: float | None
    bulk_modulus_gpa: float | None
    shear_modulus_voigt_gpa: float
    shear_modulus_reuss_gpa: float | None
    shear_modulus_gpa: float | None
    young_modulus_gpa: float | None
    young_modulus_min_gpa: float | None
    young_modulus_max_gpa: float | None
    young_modulus_min_direction: tuple[float, float, float] | None
    young_modulus_max_direction: tuple[float, float, float] | None
    poisson_ratio: float | None
    pugh_ratio: float | None
    universal_anisotropy: float | None
    born_stable: bool
    stiffness_eigenvalues_gpa: "NDArray[np.float64]"


def moduli(stiffness_gpa: "NDArray[np.float64]") -> Moduli:
    """Return all that follows from a 6 x 6 Voigt stiffness (GPa), which must be symmetric."""
    kelvin = np.asarray(stiffness_gpa * np.outer(KELVIN, KELVIN), dtype=float)
    eigenvalues = np.linalg.eigvalsh(kelvin).astype(float)
    stable = bool(eigenvalues[0] > 0)
    dilation, shear_pair = _isotropic(kelvin)
    bulk_voigt, shear_voigt = dilation / 3, shear_pair / 2
    bulk_reuss = shear_reuss = bulk = shear = young = poisson = pugh = anisotropy = None
    lowest: Extreme = (None, None)
    highest: Extreme = (None, None)
    if stable:
        compliance = np.linalg.inv(kelvin).astype(float)
        dilation, shear_pair = _isotropic(compliance)
        bulk_reuss, shear_reuss = 1 / (3 * dilation), 1 / (2 * shear_pair)
        bulk, shear = (bulk_voigt + bulk_reuss) / 2, (shear_voigt + shear_reuss) / 2
        young = 9 * bulk * shear / (3 * bulk + shear)
        poisson = (3 * bulk - 2 * shear) / (6 * bulk + 2 * shear)
        pugh = bulk / shear
        anisotropy = 5 * shear_voigt / shear_reuss + bulk_voigt / bulk_reuss - 6
        lowest, highest = _young_extreme(compliance, sign=-1), _young_extreme(compliance, sign=1)
    return Moduli(
        stiffness_gpa=stiffness_gpa,
        bulk_modulus_voigt_gpa=bulk_voigt,
        bulk_modulus_reuss_gpa=bulk_reuss,
        bulk_modulus_gpa=bulk,
        shear_modulus_voigt_gpa=shear_voigt,
        shear_modulus_reuss_gpa=shear_reuss,
        shear_modulus_gpa=shear,
        young_modulus_gpa=young,
        young_modulus_min_gpa=lowest[0],
        young_modulus_max_gpa=highest[0],
        young_modulus_min_direction=lowest[1],
        young_modulus_max_direction=highest[1],
        poisson_ratio=poisson,
        pugh_ratio=pugh,
        universal_anisotropy=anisotropy,
        born_stable=stable,
        stiffness_eigenvalues_gpa=eigenvalues,
    )


def young_modulus(stiffness_gpa: "NDArray[np.float64]", direction: "NDArray[np.float64]") -> float:
    """Return Young's modulus (GPa) of a single crystal pulled along a Cartesian direction of any length."""
    compliance = np.linalg.inv(stiffness_gpa * np.outer(KELVIN, KELVIN))
    dyad = _dyads(direction / np.linalg.norm(direction))
    return float(1 / (dyad @ compliance @ dyad))


def kelvin_rotation(rotation: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return the orthogonal 6 x 6 matrix that turns Kelvin stresses and strains as ``rotation`` (3 x 3) turns vectors."""
    turned = np.empty((6, 6))
    for column, (i, j) in enumerate(VOIGT_PAIRS):
        unit = np.zeros((3, 3))
        unit[i, j] = unit[j, i] = 1.0
        tensor = rotation @ unit @ rotation.T / KELVIN[column]
        turned[:, column] = [KELVIN[row] * tensor[pair] for row, pair in enumerate(VOIGT_PAIRS)]
    return turned


def rotated(stiffness: "NDArray[np.float64]", rotation: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return the Voigt stiffness of a crystal that was turned by ``rotation`` (3 x 3)."""
    scale = np.outer(KELVIN, KELVIN)
    turn = kelvin_rotation(rotation)
    return np.asarray(turn @ (stiffness * scale) @ turn.T / scale)


def _isotropic(kelvin: "NDArray[np.float64]") -> tuple[float, float]:
    """Return the eigenvalues of the isotropic part: 3K and 2G of a stiffness, 1/3K and 1/2G of a compliance."""
    dilation = float(kelvin[:3, :3].sum()) / 3
    return dilation, (float(np.trace(kelvin)) - dilation) / 5


Extreme = tuple[float | None, tuple[float, float, float] | None]


def _young_extreme(compliance: "NDArray[np.float64]", *, sign: int) -> Extreme:
    """Return the highest (sign +1) or lowest (-1) Young's modulus and its direction.

    Directions equivalent by symmetry tie up to rounding; of those the one with the largest components first is taken.
    """
    grid = _directions()
    dyads = _dyads(grid)
    values = sign * np.einsum("ni,ij,nj->n", dyads, compliance, dyads)
    best = [_refined(compliance, grid[index], sign) for index in np.argsort(values, kind="stable")[:REFINED]]
    least = min(value for value, _ in best)
    ties = [direction for value, direction in best if value <= least + 1e-6 * abs(least)]
    return sign / least, max(ties)


def _refined(
    compliance: "NDArray[np.float64]", start: "NDArray[np.float64]", sign: int
) -> tuple[float, tuple[float, float, float]]:
    from scipy.optimize import minimize

    scale = sign / float(np.abs(compliance).max())

    def along(vector: "NDArray[np.float64]") -> float:
        dyad = _dyads(vector / np.linalg.norm(vector))
        return float(scale * dyad @ compliance @ dyad)

    found = minimize(along, start, method="BFGS", options={"gtol": 1e-7}).x
    if along(found) >= along(start) - 1e-9:
        found = start
    direction = np.round(found / np.linalg.norm(found), 6) + 0.0
    direction *= np.sign(direction[np.flatnonzero(direction)[0]])
    x, y, z = (direction / np.linalg.norm(direction)).tolist()
    return along(found) / abs(scale), (x, y, z)


def _directions() -> "NDArray[np.float64]":
    """Return unit vectors (n x 3) with small integer components, one of each pair of opposite ones."""
    span = range(-GRID, GRID + 1)
    vectors = np.array([v for v in itertools.product(span, repeat=3) if v > (0, 0, 0) and np.gcd.reduce(v) == 1], dtype=float)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _dyads(directions: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return n⊗n in the Kelvin notation (… x 6) of unit vectors (… x 3)."""
    return np.stack([KELVIN[k] * directions[..., i] * directions[..., j] for k, (i, j) in enumerate(VOIGT_PAIRS)], axis=-1)
