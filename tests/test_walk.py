"""Walks up to a saddle and down to a minimum, and the Hessians they start from and learn."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from hypothesis import given, settings
from hypothesis import strategies as st
from test_modes import Quadratic, with_spectrum

from seiflow.engine import Engine
from seiflow.model_hessian import IN_PLACE, model_hessian
from seiflow.properties.migration.climb import measured
from seiflow.properties.migration.modes import lowest_modes
from seiflow.properties.migration.walk import learnt, walk

SEEDS = st.integers(0, 10**6)


def landscape(curvatures: list[float], seed: int) -> tuple[Atoms, np.ndarray, Engine]:
    """A quadratic landscape of twelve atoms: its stationary point, its Hessian, and an engine that evaluates it."""
    reference = np.random.default_rng(seed).uniform(0, 8, (12, 3))
    hessian = with_spectrum(curvatures, 12, seed)
    return Atoms("Cu12", reference, cell=[8, 8, 8], pbc=True), hessian, Engine(Quadratic(reference, hessian))


def displaced(atoms: Atoms, seed: int) -> Atoms:
    """The structure with every atom up to about 0.1 Å away, its centre where it was."""
    shifts = np.random.default_rng(seed).normal(scale=0.05, size=(len(atoms), 3))
    copy = atoms.copy()
    copy.positions += shifts - shifts.mean(axis=0)
    return copy


@given(SEEDS)
@settings(max_examples=20, deadline=None, derandomize=True)
def test_walk_up_ends_on_the_saddle(seed: int) -> None:
    """With one negative mode, followed up, the walk reaches the only stationary point, from a model that knows none of it."""
    saddle, hessian, engine = landscape([-2.0], seed)
    mode = np.linalg.eigh(hessian)[1][:, 0]
    start = displaced(saddle, seed)
    model = 3 * np.eye(len(mode)) - 5 * np.outer(mode, mode)
    end = walk(start, model, engine, fmax=0.01, steps=100, label="up", uphill=mode)
    assert end.largest_force <= 0.01
    assert end.atoms.positions == pytest.approx(saddle.positions, abs=0.05)


@given(SEEDS)
@settings(max_examples=20, deadline=None, derandomize=True)
def test_walk_down_ends_in_the_minimum(seed: int) -> None:
    """Without a negative mode the walk down reaches the minimum, and the energy never rises on the way."""
    minimum, _, engine = landscape([], seed)
    energies: list[float] = []
    start = displaced(minimum, seed)
    model = 3 * np.eye(3 * len(start))
    end = walk(start, model, engine, fmax=0.01, steps=100, label="down", watch=lambda _, energy: energies.append(energy))
    assert end.largest_force <= 0.01
    assert end.energy == pytest.approx(0, abs=1e-3)
    assert (np.diff(energies) <= 1e-3).all()


@given(SEEDS)
@settings(max_examples=20, deadline=None, derandomize=True)
def test_a_learnt_hessian_explains_the_step(seed: int) -> None:
    """After the update the Hessian is symmetric and maps the step onto the change of the gradient."""
    rng = np.random.default_rng(seed)
    start = rng.normal(size=(12, 12))
    step, change = rng.normal(size=12), rng.normal(size=12)
    found = learnt(start + start.T, step, change)
    assert found == pytest.approx(found.T)
    assert found @ step == pytest.approx(change)


def test_a_measured_hessian_is_exact_where_it_was_measured() -> None:
    """Products of the corrected Hessian with the measured directions are the measured products."""
    saddle, _, engine = landscape([-2.0], 3)
    model = model_hessian(saddle)
    modes = lowest_modes(saddle, 0, engine, 0.15, model)
    found = measured(model, modes)
    assert found == pytest.approx(found.T)
    assert found @ modes.basis.T == pytest.approx(modes.products.T, abs=1e-4)


def test_springs_resist_bending_a_molecule_but_not_carrying_it_away() -> None:
    """A molecule as a whole feels only what holds each atom in place; any change of its shape feels more."""
    ion = molecule("CO2", cell=[12, 12, 12], pbc=True)
    model = model_hessian(ion)
    assert model == pytest.approx(model.T)
    carried = np.tile([1.0, 0, 0], 3) / 3**0.5
    assert carried @ model @ carried == pytest.approx(IN_PLACE)
    bent = np.array([1.0, 0, 0, -0.5, 0, 0, -0.5, 0, 0])
    stretched = np.array([0, 0, 0, 0, 0, 1.0, 0, 0, -1.0])
    for shape in (bent, stretched):
        assert shape @ model @ shape / (shape @ shape) > IN_PLACE + 1
    assert np.linalg.eigvalsh(model).min() == pytest.approx(IN_PLACE)


def test_atoms_move_stiffly_against_their_neighbours_and_softly_with_them() -> None:
    """In the model of a crystal, layers that glide against each other are as stiff as ions are, a long wave is soft."""
    from ase.build import bulk

    crystal = bulk("LiF", "rocksalt", a=4.0, cubic=True).repeat((8, 1, 1))
    model = model_hessian(crystal)
    places = crystal.get_scaled_positions()[:, 0]

    def stiffness(waves: int) -> float:
        shape = np.zeros((len(crystal), 3))
        shape[:, 0] = np.cos(2 * np.pi * waves * places)
        return float(shape.ravel() @ model @ shape.ravel() / (shape**2).sum())

    assert stiffness(0) == pytest.approx(IN_PLACE)
    assert stiffness(1) < 2 * IN_PLACE
    assert stiffness(8) > 2 * stiffness(1)
    assert np.linalg.eigvalsh(model).min() == pytest.approx(IN_PLACE)


def test_model_has_the_symmetry_of_the_structure() -> None:
    """Operations of the crystal leave it as it is, so that a relaxation started from it keeps them."""
    from ase.build import bulk

    crystal = bulk("LiF", "rocksalt", a=4.0, cubic=True)
    model = model_hessian(crystal).reshape(8, 3, 8, 3)
    turned = crystal.get_scaled_positions()[:, [1, 2, 0]]
    image = [int(np.abs((turned[i] - crystal.get_scaled_positions() + 0.5) % 1 - 0.5).sum(axis=1).argmin()) for i in range(8)]
    axes = [1, 2, 0]
    assert model[:, axes][:, :, :, axes] == pytest.approx(model[image][:, :, image])
