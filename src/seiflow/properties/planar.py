"""Boundaries, interfaces and slabs at rest: relaxation, and the references their energies are counted from.

The net of the plane stays that of the crystal; ions move, and in a periodic cell so does the vector that leads out of the plane.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase.units import GPa

from seiflow.errors import PhysicsError
from seiflow.properties.settling import annealed_down, area_of, lower, on_its_symmetry, opens, shaken_down
from seiflow.structures.build import Ingredient
from seiflow.structures.checks import Certificate, certify, formula_units
from seiflow.structures.space_group import primitive_count

if TYPE_CHECKING:
    from ase import Atoms

    from seiflow.engine import Engine
    from seiflow.planar_settings import PlanarSettings
    from seiflow.structures.recipes import PhaseRecipe

GROWN_TOGETHER = 0.1
"""Å; tolerance with which a relaxed boundary is compared with the crystal."""


@dataclass(frozen=True)
class PlanarRelaxation:
    """What the relaxation of a structure with a plane reached.

    Attributes:
        formula_units: Of each phase.
        atoms: Their number.
        area_angstrom2: Of the plane.
        height_angstrom: Of the cell along the normal.
        volume_angstrom3: Of the cell, vacuum included.
        energy_ev: Of the cell.
        largest_force_ev_per_angstrom: Left on an atom.
        largest_traction_gpa: Left on the plane; null where the cell does not relax.
        relaxations_ev: Energies reached one after the other, each from the structure before, shaken.
        annealed_ev: Energies of what relaxed along the molecular dynamics, in the order of time; empty without.
        shared_ev: Energies with both boundaries like one of them in the lowest of those; empty if nothing lower was found, or no
            operation takes one boundary to the other.
        certificate: Of the relaxed structure.
    """

    formula_units: dict[str, int]
    atoms: int
    area_angstrom2: float
    height_angstrom: float
    volume_angstrom3: float
    energy_ev: float
    largest_force_ev_per_angstrom: float
    largest_traction_gpa: float | None
    relaxations_ev: tuple[float, ...]
    annealed_ev: tuple[float, ...]
    shared_ev: tuple[float, ...]
    certificate: Certificate
    warnings: tuple[str, ...]


def planar_relaxation(
    start: "Atoms", phases: "Sequence[PhaseRecipe]", engine: "Engine", settings: "PlanarSettings", *, name: str
) -> "tuple[Atoms, PlanarRelaxation]":
    """Relax a boundary, interface or slab.

    Args:
        start: As built. A cell that is not periodic along its third vector is a slab.
        phases: What it consists of, in the order of its grains.
        engine: Relaxes.
        settings: How far.
        name: What messages call it.

    Raises:
        ConvergenceError: if force or traction stayed above its tolerance.
        StructureError: if the relaxed structure fails its certificate.
        PhysicsError: if the grains have grown together to one crystal.
    """
    relaxed, energies = shaken_down(start, engine, settings, label=f"relax {name}")
    annealed = annealed_down(relaxed, engine, settings, label=f"anneal {name}")
    relaxed = on_its_symmetry(annealed.lowest, engine, settings, label=f"relax {name}, symmetric")
    certificate = certify(relaxed, phases, name=f"{name}, relaxed", owners=owners(relaxed, phases))
    refuse_crystal(relaxed, name)
    area = area_of(relaxed)
    result = PlanarRelaxation(
        formula_units=formula_units(relaxed, phases),
        atoms=len(relaxed),
        area_angstrom2=area,
        height_angstrom=float(relaxed.get_volume()) / area,
        volume_angstrom3=float(relaxed.get_volume()),
        energy_ev=float(relaxed.get_potential_energy()),
        largest_force_ev_per_angstrom=float(np.linalg.norm(relaxed.get_forces(), axis=1).max()),
        largest_traction_gpa=float(np.abs(relaxed.get_stress(voigt=False)[2]).max()) / GPa if opens(relaxed) else None,
        relaxations_ev=energies,
        annealed_ev=annealed.energies,
        shared_ev=annealed.shared,
        certificate=certificate,
        warnings=_shaken_enough(energies, settings, area) + _annealed_enough(annealed.energies, min(energies), area),
    )
    return relaxed, result


def _annealed_enough(energies: Sequence[float], before: float, area: float) -> tuple[str, ...]:
    if not energies or not lower(energies[-1], min((before, *energies[:-1])), area):
        return ()
    return ("Annealing still found a lower energy at the end: allow it more time (settings: planar, anneal_ps).",)


def _shaken_enough(energies: Sequence[float], settings: "PlanarSettings", area: float) -> tuple[str, ...]:
    if not settings.shakes and settings.anneal_kelvin is None:
        return ("The structure was not shaken: it may be a saddle.",)
    if not 0 < settings.shakes < len(energies) or not lower(energies[-1], energies[-2], area):
        return ()
    return ("Shaking the structure still found a lower energy at the end: allow more shakes (settings: planar, shakes).",)


def owners(atoms: "Atoms", phases: "Sequence[PhaseRecipe]") -> list[int] | None:
    """Return the phase of each atom, for structures of several phases."""
    return atoms.get_array("grain").tolist() if len(phases) > 1 and atoms.has("grain") else None


def grains_apart(atoms: "Atoms", vacuum: float) -> "list[Atoms]":
    """Return each grain of a boundary or interface alone, as it stands, with vacuum above it.

    Args:
        atoms: With the array ``grain`` and, in ``info["planes"]``, the heights of its boundaries in fractions of the third
            vector.
        vacuum: Å.
    """
    planes = list(atoms.info["planes"])
    upper_end = planes[1] if len(planes) > 1 else 1.0
    middles = [(upper_end - 1 + planes[0]) / 2 if len(planes) > 1 else planes[0] / 2, (planes[0] + upper_end) / 2]
    places = np.linalg.solve(np.asarray(atoms.cell).T, atoms.positions.T).T
    grain = atoms.get_array("grain")
    found = []
    for number, middle in enumerate(middles):
        chosen = grain == number
        inside = places[chosen].copy()
        inside[:, 2] -= np.rint(inside[:, 2] - middle)
        slab = atoms[chosen]
        slab.positions = inside @ np.asarray(atoms.cell)
        low, high = slab.positions[:, 2].min(), slab.positions[:, 2].max()
        slab.positions[:, 2] -= low
        cell = np.array(atoms.cell)
        cell[2] = [0.0, 0.0, high - low + vacuum]
        slab.set_cell(cell)
        slab.pbc = [True, True, False]
        slab.info.clear()
        found.append(slab)
    return found


def bulk_energy(units: dict[str, int], parts: Sequence[Ingredient]) -> float:
    """Return the energy of so many formula units of the relaxed crystals, eV; their energies come with them."""
    return sum(units[part.recipe.name] * per_unit(part, part.crystal.get_potential_energy()) for part in parts)


def bulk_volume(units: dict[str, int], parts: Sequence[Ingredient]) -> float:
    """Return the volume of so many formula units of the relaxed crystals, Å³."""
    return sum(units[part.recipe.name] * per_unit(part, part.crystal.get_volume()) for part in parts)


def per_unit(part: Ingredient, value: float) -> float:
    """Return the share of one formula unit in a value of the crystal's cell."""
    return value * sum(part.recipe.composition.values()) / len(part.crystal)


def refuse_crystal(relaxed: "Atoms", name: str) -> None:
    """Refuse a boundary whose grains have become one crystal: its cell repeats a smaller one.

    Raises:
        PhysicsError: if so.
    """
    if relaxed.pbc[2] and "grain" in relaxed.arrays and primitive_count(relaxed, GROWN_TOGETHER) <= len(relaxed) / 4:
        message = (
            f"{name}: relaxed into a perfect crystal, the two grains have grown together. Choose another registry (termination, "
            "translation, gap), or another plane."
        )
        raise PhysicsError(message)
