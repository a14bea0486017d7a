"""Molecular dynamics between relaxations: it has the temperature asked for, repeats itself, and finds what relaxations miss."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

from seiflow.engine import Engine
from seiflow.errors import ConvergenceError
from seiflow.journal import Journal
from seiflow.planar_settings import PlanarSettings
from seiflow.properties.annealing import STRETCH, TIME_STEP_FS, snapshots, steps_of
from seiflow.properties.planar import planar_relaxation
from seiflow.properties.settling import annealed_down, shaken_down
from seiflow.shelves import phase_shelf

SPRING = 3.0
"""eV/Å², that holds each atom at its place."""

HIGH, TILT = 0.15, 0.1
"""eV and eV/Å, of the two wells of the first atom: its energy is HIGH (x² − 1)² + TILT x, x in Å."""

PLAIN = PlanarSettings(fmax=0.01, shakes=2)
HOT = PlanarSettings(fmax=0.01, shakes=2, anneal_kelvin=900, anneal_ps=1.0)


def places() -> Atoms:
    atoms = bulk("Cu", a=3.6, cubic=True) * (2, 2, 2)
    atoms.pbc = False
    return atoms


def in_well(x: float) -> Atoms:
    atoms = places()
    atoms.positions[0, 0] += x
    return atoms


def x_of(atoms: Atoms) -> float:
    return float(atoms.positions[0, 0] - places().positions[0, 0])


PLACES = places().positions


class Springs(Calculator):  # type: ignore[misc] # the base class is untyped
    """Each atom on a spring; with wells, the first one between two of them along x, the upper at x = 1 Å."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self, *, wells: bool = False) -> None:
        """Say whether there are wells."""
        super().__init__()
        self.wells, self.calls = wells, 0

    def calculate(
        self, atoms: Atoms | None = None, properties: list[str] | None = None, system_changes: list[str] = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        moved = self.atoms.positions - PLACES
        energies, forces = SPRING * moved**2 / 2, -SPRING * moved
        if self.wells:
            x = moved[0, 0]
            energies[0, 0] = HIGH * (x**2 - 1) ** 2 + TILT * x
            forces[0, 0] = -4 * HIGH * x * (x**2 - 1) - TILT
        self.results = {"energy": float(energies.sum()), "forces": forces}


def test_ions_have_the_temperature_asked_for() -> None:
    """Equipartition: on springs the mean potential energy is kT/2 for each way to move, the centre of mass standing still."""
    engine, atoms = Engine(Springs()), places()
    energies = []
    for snapshot in snapshots(atoms, engine, kelvin=600, picoseconds=16.0, label="test"):
        assert not snapshot.has("momenta")
        assert not snapshot.constraints
        assert np.allclose(snapshot.get_center_of_mass(), atoms.get_center_of_mass(), atol=1e-9)
        energies.append(engine.evaluate(snapshot).energy)
    assert len(energies) == steps_of(16.0) // STRETCH == round(16000 / TIME_STEP_FS / STRETCH)
    ways = 3 * len(atoms) - 3
    expected = ways * units.kB * 600 / 2
    spread = expected * np.sqrt(2 / ways / len(energies))  # of a mean of independent snapshots
    assert np.mean(energies[5:]) == pytest.approx(expected, abs=6 * spread)


def test_annealing_finds_what_relaxing_and_shaking_leave() -> None:
    """An atom that relaxing and shaking leave in the upper of two wells is found in the lower one."""
    engine = Engine(Springs(wells=True))
    upper, _ = shaken_down(in_well(0.9), engine, PLAIN, label="test")
    assert x_of(upper) > 0.5
    annealed = annealed_down(upper, engine, HOT, label="test")
    best, energies = annealed.lowest, annealed.energies
    assert x_of(best) < -0.5
    assert len(energies) == steps_of(HOT.anneal_ps) // STRETCH
    assert best.get_potential_energy() == min(energies)
    assert upper.get_potential_energy() - best.get_potential_energy() == pytest.approx(2 * TILT, rel=0.1)
    assert np.linalg.norm(best.get_forces(), axis=1).max() <= HOT.fmax


def test_annealing_never_returns_something_higher() -> None:
    """From the lowest structure there is, whatever is found on the way, that one is returned."""
    engine = Engine(Springs(wells=True))
    lowest, _ = shaken_down(in_well(-1.0), engine, PLAIN, label="test")
    for _ in range(3):  # to the last digit of what an optimiser reaches
        lowest = engine.relax(lowest, fmax=1e-7)
    annealed = annealed_down(lowest, engine, HOT, label="test")
    assert len(annealed.energies) > 0
    assert annealed.lowest is lowest


def test_without_a_temperature_nothing_is_done() -> None:
    """The default anneals nothing and evaluates nothing."""
    engine, start = Engine(Springs()), places()
    annealed = annealed_down(start, engine, PLAIN, label="test")
    assert annealed.lowest is start
    assert annealed.energies == ()
    assert engine.force_evaluations == 0


def test_trajectory_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    """Cut off in the middle and started again with its journal, it ends with the same bits; nothing is done twice."""

    def ended(engine: Engine) -> Atoms:
        return list(snapshots(places(), engine, kelvin=600, picoseconds=0.4, label="test"))[-1]

    undisturbed = ended(Engine(Springs()))
    first, second = Springs(), Springs()
    cut = Engine(first, Journal(tmp_path / "journal"))
    with cut.at_most(130), pytest.raises(ConvergenceError):
        ended(cut)
    again = ended(Engine(second, Journal(tmp_path / "journal")))
    assert np.array_equal(again.positions, undisturbed.positions)
    assert first.calls + second.calls == steps_of(0.4) + 1


def test_record_tells_what_annealing_found_and_whether_it_was_enough() -> None:
    """The record holds the energies in their order; a last one that is the lowest by far is warned of."""
    for picoseconds in (0.2, 1.0, 2.0):
        settings = HOT.model_copy(update={"anneal_ps": picoseconds})
        engine = Engine(Springs(wells=True))
        _, result = planar_relaxation(in_well(0.9), [phase_shelf().get("Cu")], engine, settings, name="wells")
        before = min(result.relaxations_ev + result.annealed_ev[:-1])
        assert len(result.annealed_ev) == steps_of(picoseconds) // STRETCH
        assert any("more time" in warning for warning in result.warnings) == (before - result.annealed_ev[-1] > TILT)
        assert result.energy_ev == pytest.approx(min(result.relaxations_ev + result.annealed_ev), abs=1e-4)


def test_annealing_keeps_a_metal_what_it_is() -> None:
    """A copper crystal at 600 K comes back to its energy."""
    engine = Engine(EMT())
    crystal = engine.relax(bulk("Cu", a=3.59, cubic=True) * (2, 2, 2), fmax=0.001)
    warm = PlanarSettings(fmax=0.001, anneal_kelvin=600, anneal_ps=0.2)
    energies = annealed_down(crystal, engine, warm, label="test").energies
    assert energies == pytest.approx([crystal.get_potential_energy()], abs=1e-4)
