"""Relaxed-ion elastic stiffness from the stress of a few strained crystals.

Displace, evaluate, reduce. The point group leaves some of the 21 constants independent; the fewest strain states that
determine them are applied at plus and minus the full strain and at plus half of it, the ions relaxed at fixed cell, and the
stresses fitted in the basis of invariant tensors. Terms even in the strain cancel in the ± pair, the stress left in the
unstrained crystal among them; the third amplitude checks the linearity.

Ions relaxed to a force f have not quite reached their places, which changes the stress to first order. The response U of the
ions to strain, known from the relaxations themselves and their images under the group, takes this order out: the stress is
lowered by f·U/V. In the harmonic energy of strain and displacements this makes the stiffness the variational one, so the error
left is of second order in f.

The stress is the Cauchy stress, the cell is multiplied by 1 plus a symmetric strain. At zero stress all finite-strain measures
agree but for even terms; a stress left in the crystal changes the constants by a few times its size. Point-group use of
stress-strain data: Le Page and Saxe, Phys. Rev. B 65, 104104 (2002). Ions and strain: Wu, Vanderbilt and Hamann, Phys. Rev. B
72, 035105 (2005).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase.units import GPa

from seiflow.properties.ions import IonRelaxer, Strained, ionic_response
from seiflow.properties.stiffness import Moduli, moduli
from seiflow.properties.strains import fit, point_group, strain_states

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

    from seiflow.engine import Engine
    from seiflow.settings import ElasticitySettings

WARN_FRACTION = 0.02
"""Share of the largest constant above which a deviation is told."""

STRESS_SENSITIVITY = 10.0
"""Typical change of an elastic constant per pressure, at the high end; turns a residual stress into an error of the constants."""


@dataclass(frozen=True)
class Elasticity(Moduli):
    """Relaxed-ion stiffness of a crystal, what follows from it, and how good the fit is.

    Attributes:
        residual_gpa: Root mean square misfit of the stresses, divided by the strain.
        asymmetry_gpa: Largest ``|C_ij - C_ji|`` when major symmetry is not imposed. Point groups that force it (the cubic ones
            with a fourfold axis, for instance) give zero. The fewest strain states do not determine all antisymmetric parts;
            the smallest tensor that explains the stresses is taken, so this is a lower bound.
        nonlinearity_gpa: Largest deviation of a stress at half the strain from what the ± pair predicts, divided by half the
            strain.
        strain_limit: Elastic limit assumed for the energy below.
        elastic_deformation_energy_mj_per_m3: Half of Young's modulus (Hill) times the strain limit squared.
        strained_relaxations: How many strained crystals were relaxed.
        warnings: Sentences on what may spoil the result.
    """

    residual_gpa: float
    asymmetry_gpa: float
    nonlinearity_gpa: float
    strain_limit: float
    elastic_deformation_energy_mj_per_m3: float | None
    strained_relaxations: int
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Response:
    """The relaxed crystal at plus, minus and plus half of one strain state."""

    plus: Strained
    minus: Strained
    half: Strained


def elasticity(crystal: "Atoms", engine: "Engine", settings: "ElasticitySettings") -> Elasticity:
    """Return the relaxed-ion stiffness of a crystal already relaxed to zero stress.

    Args:
        crystal: Any cell in any orientation; the stiffness is given in its Cartesian frame.
        engine: Relaxes and evaluates.
        settings: Size of the strain and convergence of the ions.

    Raises:
        ConvergenceError: if the ions of a strained crystal did not relax.
    """
    states = strain_states(point_group(crystal))
    relaxer = IonRelaxer(crystal, engine, settings)
    responses = [
        response(relaxer, settings.strain * state, label=f"strain state {number} of {len(states)}")
        for number, state in enumerate(states, start=1)
    ]
    return reduce_responses(crystal, states, responses, relaxer.unstrained, settings)


def response(relaxer: IonRelaxer, strain: "NDArray[np.float64]", *, label: str) -> Response:
    """Relax the ions at plus, minus and plus half of a strain (engineering Voigt).

    The ions move nearly linearly with the strain, so each relaxation starts where the earlier ones say it ends.
    """
    plus = relaxer.relax(strain, np.zeros_like(relaxer.unstrained.moved), label=f"{label}, plus")
    minus = relaxer.relax(-strain, -plus.moved, label=f"{label}, minus")
    halfway = (plus.moved - minus.moved) / 4 + (plus.moved + minus.moved) / 8
    return Response(plus, minus, relaxer.relax(strain / 2, halfway, label=f"{label}, half"))


def reduce_responses(
    crystal: "Atoms",
    states: "NDArray[np.float64]",
    responses: list[Response],
    unstrained: Strained,
    settings: "ElasticitySettings",
) -> Elasticity:
    """Fit the stiffness to the stresses and derive everything else.

    Args:
        crystal: The unstrained crystal.
        states: Engineering Voigt strains in units of ``settings.strain``, m x 6.
        responses: One for each state.
        unstrained: What the unstrained crystal gave.
        settings: Those the responses were computed with.
    """
    movements = np.array([(each.plus.moved - each.minus.moved) / 2 for each in responses])
    ions = ionic_response(crystal, settings.strain * states, movements)

    def stress(found: Strained) -> "NDArray[np.float64]":
        return np.asarray(found.stress - np.tensordot(found.forces, ions, axes=2) / crystal.get_volume() / GPa)

    zero = stress(unstrained)
    odd = np.array([stress(each.plus) - stress(each.minus) for each in responses]) / 2
    even = np.array([stress(each.plus) + stress(each.minus) for each in responses]) / 2 - zero
    half = np.array([stress(each.half) for each in responses]) - zero
    stiffness, residual, asymmetry = fit(point_group(crystal), states, odd / settings.strain)
    nonlinearity = float(np.abs(half - odd / 2 - even / 4).max() / (settings.strain / 2))
    found = moduli(stiffness)
    energy = None if found.young_modulus_gpa is None else 1000 * found.young_modulus_gpa * settings.strain_limit**2 / 2
    return Elasticity(
        **vars(found),
        residual_gpa=residual,
        asymmetry_gpa=asymmetry,
        nonlinearity_gpa=nonlinearity,
        strain_limit=settings.strain_limit,
        elastic_deformation_energy_mj_per_m3=energy,
        strained_relaxations=3 * len(responses),
        warnings=_warnings(found, asymmetry, nonlinearity, float(np.abs(unstrained.stress).max())),
    )


def _warnings(found: Moduli, asymmetry: float, nonlinearity: float, stress: float) -> tuple[str, ...]:
    limit = WARN_FRACTION * float(np.abs(found.stiffness_gpa).max())
    share = f"above {limit:.3g} GPa ({WARN_FRACTION:.0%} of the largest constant)"
    told = {
        f"The crystal is mechanically unstable: the lowest eigenvalue of its stiffness is "
        f"{found.stiffness_eigenvalues_gpa[0]:.3g} GPa. Moduli that need the compliance do not exist and are left empty.": (
            not found.born_stable
        ),
        f"The stress is not linear in the strain: it deviates by {nonlinearity:.3g} GPa, {share}. Try a smaller strain, or a "
        "smaller fmax.": nonlinearity > limit,
        f"The stiffness is not symmetric: it deviates by {asymmetry:.3g} GPa, {share}. Try a smaller fmax.": asymmetry > limit,
        f"The crystal was not at zero stress: {stress:.3g} GPa are left, which may change constants by about "
        f"{STRESS_SENSITIVITY * stress:.3g} GPa, {share}. Relax its cell further.": STRESS_SENSITIVITY * stress > limit,
    }
    return tuple(sentence for sentence, applies in told.items() if applies)
