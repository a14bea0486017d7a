"""Relaxation of a crystal within its space group, and the lattice it ends with."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase.units import GPa

from seiflow.engine import Engine
from seiflow.errors import PhysicsError
from seiflow.settings import RelaxationSettings
from seiflow.structures.checks import Certificate, certify
from seiflow.structures.recipes import PhaseRecipe
from seiflow.structures.space_group import space_group

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True)
class Lattice:
    """Conventional cell."""

    a_angstrom: float
    b_angstrom: float
    c_angstrom: float
    alpha_degree: float
    beta_degree: float
    gamma_degree: float


@dataclass(frozen=True)
class Relaxation:
    """What a relaxation reached.

    Attributes:
        largest_stress_gpa: None where the calculator gives no stress and the cell was taken as it was.
    """

    formula: str
    formula_units: int
    atoms: int
    space_group: str
    lattice: Lattice
    volume_angstrom3: float
    energy_ev: float
    largest_force_ev_per_angstrom: float
    largest_stress_gpa: float | None
    certificate: Certificate
    warnings: tuple[str, ...] = ()


def relaxation(
    crystal: "Atoms", recipe: PhaseRecipe, engine: Engine, settings: RelaxationSettings, *, cell: bool = True
) -> tuple["Atoms", Relaxation]:
    """Relax ions and cell of a crystal within its space group.

    Args:
        crystal: The start.
        recipe: What it is.
        engine: Relaxes.
        settings: Tolerances.
        cell: Whether the cell is relaxed too; a calculator without stress cannot.

    Raises:
        ConvergenceError: if force or stress stayed above its tolerance.
        StructureError: if the relaxed crystal fails its certificate.
        PhysicsError: if it lost its space group.
    """
    if cell:
        relaxed = engine.relax_crystal(crystal, fmax=settings.fmax, stress_gpa=settings.stress_gpa, max_steps=settings.max_steps)
    else:
        relaxed = engine.relax(crystal, fmax=settings.fmax, max_steps=settings.max_steps, symmetric=True, label="relax ions")
    certificate = certify(relaxed, recipe)
    symbol, number = space_group(relaxed)
    if number != recipe.space_group:
        message = f"{recipe.name}: relaxed into {symbol} ({number}), the recipe says {recipe.space_group}"
        raise PhysicsError(message)
    lengths_angles = relaxed.cell.cellpar()
    result = Relaxation(
        formula=recipe.formula,
        formula_units=len(relaxed) // sum(recipe.composition.values()),
        atoms=len(relaxed),
        space_group=f"{symbol} ({number})",
        lattice=Lattice(*(float(value) for value in lengths_angles)),
        volume_angstrom3=float(relaxed.get_volume()),
        energy_ev=float(relaxed.get_potential_energy()),
        largest_force_ev_per_angstrom=float(np.linalg.norm(relaxed.get_forces(), axis=1).max()),
        largest_stress_gpa=float(np.abs(relaxed.get_stress()).max()) / GPa if cell else None,
        certificate=certificate,
        warnings=() if cell else ("The calculator gives no stress: the cell is the one that it started from.",),
    )
    relaxed.set_constraint()
    return relaxed, result
