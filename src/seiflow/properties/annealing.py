"""Molecular dynamics between relaxations, for structures that their forces leave in a poor minimum.

A coherent interface is cut from two crystals and put together: what its first layers want to be is often another arrangement,
behind barriers that neither a relaxation nor a shake crosses. Ions move at a temperature, in the cell of the start; copies taken
at even times are for the caller to relax. Seeds are fixed and every step is an evaluation in the journal, so a killed job goes
on with the same trajectory.

Thermostat: stochastic velocity rescaling, Bussi, Donadio and Parrinello, J. Chem. Phys. 126, 014101 (2007), the centre of
mass held. Relaxing structures along a trajectory: Stillinger and Weber, Phys. Rev. A 25, 978 (1982).
"""

from typing import TYPE_CHECKING

import numpy as np
from ase import units

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ase import Atoms

    from seiflow.engine import Engine

TIME_STEP_FS = 2.0
"""A twelfth of the fastest vibration here, that of C-O in a carbonate."""

STRETCH = 100
"""Time steps between two snapshots."""

COUPLING_FS = 50.0
"""Relaxation time of the thermostat."""

SEED = 20


def steps_of(picoseconds: float) -> int:
    """Return the time steps of an annealing, whole stretches."""
    return STRETCH * max(1, round(1000 * picoseconds / TIME_STEP_FS / STRETCH))


def snapshots(relaxed: "Atoms", engine: "Engine", *, kelvin: float, picoseconds: float, label: str) -> "Iterator[Atoms]":
    """Yield structures of a trajectory at constant cell, evenly in time, without velocities.

    Args:
        relaxed: The start.
        engine: Evaluates.
        kelvin: Temperature.
        picoseconds: Length of the trajectory, rounded to whole stretches.
        label: Heads the progress lines.
    """
    from ase.constraints import FixCom
    from ase.md.bussi import Bussi
    from ase.md.velocitydistribution import thermalize_momenta

    rng = np.random.default_rng(SEED)
    moving = engine.attach(relaxed)
    moving.set_constraint(FixCom())
    thermalize_momenta(moving, kelvin, rng=rng)
    dynamics = Bussi(moving, TIME_STEP_FS * units.fs, temperature_K=kelvin, taut=COUPLING_FS * units.fs, rng=rng)
    total = steps_of(picoseconds)
    for done in range(STRETCH, total + 1, STRETCH):
        dynamics.run(STRETCH)
        told = f"{done * TIME_STEP_FS / 1000:g} of {total * TIME_STEP_FS / 1000:g} ps at {kelvin:g} K"
        engine.report(f"{label}: {told}, {engine.force_evaluations} evaluations")
        still = moving.copy()
        still.set_constraint()
        del still.arrays["momenta"]
        yield still
