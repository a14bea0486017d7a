"""A boundary, interface or slab relaxed as low as it is found to go.

Forces cannot tell a minimum from a saddle, and boundaries of high symmetry often start on one, against movements of ions or
against sliding. So every start is shaken: ions are moved and the grains slid on each other, always in the same way, and ions
answer before the cell may move, because only then do the forces on the cell tell whether it slides on. What has relaxed is shaken
again until that finds nothing lower. On request molecular dynamics follows, and the lowest of what relaxes along it is taken;
what one of two equivalent boundaries has found there is tried at the other.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase.units import GPa

from seiflow.errors import ConvergenceError, NonsenseError, StructureError, UnconvergedDensityError
from seiflow.properties.annealing import snapshots
from seiflow.properties.equivalent_planes import given_across
from seiflow.structures.registry import J_PER_M2
from seiflow.structures.space_group import operations, symmetrised

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ase import Atoms

    from seiflow.engine import Engine
    from seiflow.planar_settings import PlanarSettings

SHAKE = 0.08
"""Å; standard deviation of the movements of ions."""

SLIDE = 0.35
"""Å; how far the grains are slid on each other."""

SETTLED = 0.1
"""eV/Å; to which ions answer a slide before the cell may move."""

LOWER_J_PER_M2 = 1e-3
"""By how much the energy of a boundary must fall to count as lower."""

NEARLY = (0.3, 0.2, 0.1, 0.05)
"""Å; within which the symmetry of a relaxed structure is looked for, one after the other."""


def relax_planar(start: "Atoms", engine: "Engine", settings: "PlanarSettings", *, label: str) -> "Atoms":
    """Relax ions, and the third cell vector where there are planes, as far as the settings ask for; unchecked."""
    best, _ = shaken_down(start, engine, settings, label=label)
    return annealed_down(best, engine, settings, label=label).lowest


def shaken_down(start: "Atoms", engine: "Engine", settings: "PlanarSettings", *, label: str) -> "tuple[Atoms, tuple[float, ...]]":
    """Relax until shaking finds nothing lower; return the energy of each relaxation (eV) too."""
    best = _relaxed_from(start, engine, settings, 0, label)
    energies = [float(best.get_potential_energy())]
    for number in range(1, settings.shakes + 1):
        found = _relaxed_from(best, engine, settings, number, f"{label}, shaken")
        energies.append(float(found.get_potential_energy()))
        if not lower(energies[-1], min(energies[:-1]), area_of(start)):
            break
        best = found
    return best, tuple(energies)


@dataclass(frozen=True)
class Annealed:
    """What annealing reached: the lowest structure, and the energies of all that relaxed, eV.

    Attributes:
        energies: Along the molecular dynamics, in the order of time.
        shared: Of structures in which both boundaries are as one of them is in the lowest of those.
    """

    lowest: "Atoms"
    energies: tuple[float, ...] = ()
    shared: tuple[float, ...] = ()


def annealed_down(best: "Atoms", engine: "Engine", settings: "PlanarSettings", *, label: str) -> Annealed:
    """Anneal a relaxed structure; return it or what relaxes lower along its molecular dynamics.

    Of what is lower, what one of two equivalent boundaries has found is given to the other too. A structure that does not relax,
    as of a trajectory that passes a steep place, is left out.
    """
    if settings.anneal_kelvin is None:
        return Annealed(best)
    start = Settled(best, float(best.get_potential_energy()))
    trajectory = snapshots(best, engine, kelvin=settings.anneal_kelvin, picoseconds=settings.anneal_ps, label=label)
    quenched = list(_settled_each(trajectory, engine, settings, f"{label}, quenched"))
    lowest = min([start, *quenched], key=_energy)
    alike = [] if lowest is start else given_across(lowest.atoms, best, NEARLY[::-1])
    shared = list(_settled_each(alike, engine, settings, f"{label}, both boundaries alike"))
    energies, shared_energies = (tuple(map(_energy, settled)) for settled in (quenched, shared))
    return Annealed(min([lowest, *shared], key=_energy).atoms, energies, shared_energies)


@dataclass(frozen=True)
class Settled:
    """A relaxed structure and its energy, eV, which the calculator may have forgotten."""

    atoms: "Atoms"
    energy_ev: float


def _settled_each(starts: "Iterable[Atoms]", engine: "Engine", settings: "PlanarSettings", label: str) -> "Iterator[Settled]":
    """Yield what relaxes of some structures."""
    for start in starts:
        try:
            found = _settled(start, engine, settings, label)
        except (ConvergenceError, NonsenseError, UnconvergedDensityError) as error:
            engine.report(f"{label}: left out, {error}")
            continue
        yield Settled(found, float(found.get_potential_energy()))


def _energy(settled: Settled) -> float:
    return settled.energy_ev


def on_its_symmetry(relaxed: "Atoms", engine: "Engine", settings: "PlanarSettings", *, label: str) -> "Atoms":
    """Return a relaxed structure with the symmetry that it nearly has made exact, if that keeps its energy and its tolerances.

    Shaking leaves atoms off their symmetric places by as little as the forces allow; what is computed from a structure is cheaper
    by its symmetry.
    """
    least = len(operations(relaxed).rotations)
    for tolerance in NEARLY:
        try:
            exact = symmetrised(relaxed, tolerance)
            if len(operations(exact).rotations) <= least:
                continue
            exact = engine.relax(exact, fmax=settings.fmax, max_steps=settings.max_steps, symmetric=True, label=label)
        except (ConvergenceError, StructureError):
            continue
        exact.set_constraint()
        if _as_good(exact, relaxed, settings):
            return exact
    return relaxed


def _as_good(exact: "Atoms", relaxed: "Atoms", settings: "PlanarSettings") -> bool:
    if lower(relaxed.get_potential_energy(), exact.get_potential_energy(), area_of(relaxed)):
        return False
    if not opens(relaxed):
        return True
    return bool(np.abs(exact.get_stress(voigt=False)[2]).max() / GPa <= settings.stress_gpa)


def lower(energy: float, other: float, area: float) -> bool:
    """Tell whether an energy (eV) is below another by what counts, per area (Å²) of both boundaries."""
    return (other - energy) / (2 * area) * J_PER_M2 > LOWER_J_PER_M2


def _relaxed_from(start: "Atoms", engine: "Engine", settings: "PlanarSettings", seed: int, label: str) -> "Atoms":
    shaken = start.copy()
    shaken.rattle(SHAKE, seed=seed)
    if opens(start):
        cell = np.array(shaken.cell)
        angle = 1.0 + 2.4 * seed  # radians: never along a direction of symmetry, and each time far from the time before
        cell[2, :2] += SLIDE * np.array([np.cos(angle), np.sin(angle)])
        shaken.set_cell(cell, scale_atoms=True)
    return _settled(shaken, engine, settings, label)


def opens(atoms: "Atoms") -> bool:
    """Tell whether the third cell vector relaxes too: that of a slab, and of a structure without planes, stays."""
    return bool(atoms.pbc[2]) and "planes" in atoms.info


def _settled(start: "Atoms", engine: "Engine", settings: "PlanarSettings", label: str) -> "Atoms":
    """Relax the ions a little first, then, where the cell opens, the cell with them."""
    steps = settings.max_steps
    if not opens(start):
        return engine.relax(start, fmax=settings.fmax, max_steps=steps, label=label)
    settled = engine.relax(start, fmax=max(SETTLED, settings.fmax), max_steps=steps, label=label)
    return engine.relax_along_normal(settled, fmax=settings.fmax, stress_gpa=settings.stress_gpa, max_steps=steps, label=label)


def area_of(atoms: "Atoms") -> float:
    """Return the area of the plane, Å²."""
    first, second, _ = np.asarray(atoms.cell)
    return float(np.linalg.norm(np.cross(first, second)))
