"""Lowest modes at stationary points of each order, against the full matrix of second derivatives."""

from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.build import add_adsorbate, bulk, fcc100
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from hypothesis import given, settings
from hypothesis import strategies as st

from seiflow.engine import Engine
from seiflow.model_hessian import model_hessian
from seiflow.properties.migration.modes import Modes, lowest_modes

TOLERANCE = 0.15
ORDER = {"hollow": 0, "bridge": 1, "ontop": 2}


class Quadratic(Calculator):
    """Energy u·H·u/2 of the displacements u from a reference structure, for a given matrix H."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self, reference: np.ndarray, hessian: np.ndarray) -> None:
        """Take the reference structure and the matrix."""
        super().__init__()
        self._reference, self._hessian = reference, hessian

    def calculate(
        self, atoms: Atoms | None = None, properties: list[str] | None = None, system_changes: list[str] = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        shift = (self.atoms.positions - self._reference).ravel()
        forces = -self._hessian @ shift
        self.results = {"energy": float(-forces @ shift / 2), "forces": forces.reshape(-1, 3)}


def with_spectrum(curvatures: list[float], atoms: int, seed: int) -> np.ndarray:
    """A matrix that ignores translations: modes of the first three atoms with given curvatures, the others 2 to 12 eV/Å²."""
    rng = np.random.default_rng(seed)
    local = np.zeros((atoms, 3, len(curvatures)))
    local[:3] = rng.normal(size=(3, 3, len(curvatures)))
    translations = np.tile(np.eye(3), atoms).T / np.sqrt(atoms)
    rest = rng.normal(size=(3 * atoms, 3 * atoms - 3 - len(curvatures)))
    basis = np.linalg.qr(np.hstack([translations, local.reshape(3 * atoms, -1), rest]))[0][:, 3:]
    values = np.concatenate([curvatures, rng.uniform(2, 12, rest.shape[1])])
    return np.asarray((basis * values) @ basis.T)


def curvatures_by_differences(atoms: Atoms, engine: Engine, step: float = 0.005) -> np.ndarray:
    """Eigenvalues of the full matrix of second derivatives, without the three translations."""
    rows = []
    for atom, axis in np.ndindex(len(atoms), 3):
        forces = []
        for sign in (1, -1):
            displaced = atoms.copy()
            displaced.positions[atom, axis] += sign * step
            forces.append(engine.evaluate(displaced).forces.ravel())
        rows.append((forces[1] - forces[0]) / (2 * step))
    values = np.linalg.eigvalsh((np.array(rows) + np.array(rows).T) / 2)
    translations = np.argsort(np.abs(values))[:3]
    assert np.abs(values[translations]).max() < 1e-6
    return np.delete(values, translations)


@pytest.fixture(scope="module")
def adatom() -> dict[str, tuple[Modes, np.ndarray]]:
    """A Cu atom on Cu(100), stationary over the hollow, over the bridge and on top of an atom: modes found and all curvatures."""
    found = {}
    for site in ORDER:
        slab = fcc100("Cu", (3, 3, 2), vacuum=5.0)
        add_adsorbate(slab, "Cu", 1.9, site)
        slab.set_constraint()
        slab.pbc = True
        engine = Engine(EMT())
        stationary = engine.relax(slab, fmax=0.01, symmetric=True)
        stationary.set_constraint()
        found[site] = (
            lowest_modes(stationary, len(slab) - 1, engine, TOLERANCE, model_hessian(stationary)),
            curvatures_by_differences(stationary, engine),
        )
    return found


@pytest.fixture(scope="module")
def vacancy_hop() -> tuple[Modes, np.ndarray]:
    """The saddle of a vacancy hop in Cu, found by symmetry: the ion half way between two vacant sites."""
    supercell = bulk("Cu", cubic=True).repeat(2)
    near = int(supercell.get_distances(0, range(1, 32), mic=True).argmin()) + 1
    supercell.positions[0] += supercell.get_distance(0, near, mic=True, vector=True) / 2
    del supercell[near]
    engine = Engine(EMT())
    saddle = engine.relax(supercell, fmax=0.01, symmetric=True)
    saddle.set_constraint()
    return lowest_modes(saddle, 0, engine, TOLERANCE, model_hessian(saddle)), curvatures_by_differences(saddle, engine)


@pytest.mark.parametrize("site", ORDER)
def test_order_of_a_stationary_point_is_found(adatom: dict[str, tuple[Modes, np.ndarray]], site: str) -> None:
    """An adatom on a square surface has no negative mode in the hollow, one on the bridge, two on top."""
    modes, exact = adatom[site]
    assert int((exact < -TOLERANCE).sum()) == ORDER[site]
    assert modes.negative == ORDER[site]
    assert modes.certain


def test_saddle_of_a_vacancy_hop_has_one_negative_mode(vacancy_hop: tuple[Modes, np.ndarray]) -> None:
    """At a saddle the lowest modes and the full matrix agree on one negative curvature, within a few per cent."""
    modes, exact = vacancy_hop
    assert modes.negative == (exact < -TOLERANCE).sum() == 1
    assert modes.certain
    assert modes.curvatures[0] == pytest.approx(exact[0], rel=0.05)


def test_residual_bounds_the_error_of_a_curvature(
    adatom: dict[str, tuple[Modes, np.ndarray]], vacancy_hop: tuple[Modes, np.ndarray]
) -> None:
    """Within its residual of every curvature lies an eigenvalue, and no curvature is below the eigenvalue of its rank."""
    for modes, exact in [*adatom.values(), vacancy_hop]:
        distances = np.abs(exact[None, :] - modes.curvatures[:, None]).min(axis=1)
        assert (distances <= modes.residuals + 0.05).all()
        assert (modes.curvatures >= exact[: len(modes.curvatures)] - 0.05).all()


def test_vectors_are_orthonormal_and_free_of_drift(vacancy_hop: tuple[Modes, np.ndarray]) -> None:
    """Modes are orthonormal displacement fields that do not move the crystal as a whole."""
    vectors = vacancy_hop[0].vectors
    assert np.einsum("iak,jak->ij", vectors, vectors) == pytest.approx(np.eye(len(vectors)), abs=1e-9)
    assert vectors.sum(axis=1) == pytest.approx(0, abs=1e-9)


@given(st.lists(st.floats(-3, -0.5), max_size=3), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_any_number_of_negative_modes_is_told_apart(negatives: list[float], seed: int) -> None:
    """None, one, or more than one: the three cases that decide about a saddle are told apart in any quadratic landscape."""
    reference = np.random.default_rng(seed).uniform(0, 8, (30, 3))
    atoms = Atoms("Cu30", positions=reference, cell=[8, 8, 8], pbc=True)
    engine = Engine(Quadratic(reference, with_spectrum(negatives, 30, seed)))
    modes = lowest_modes(atoms, 0, engine, TOLERANCE, model_hessian(atoms))
    assert min(modes.negative, 2) == min(len(negatives), 2)
    assert modes.certain


def test_negative_mode_that_leaves_the_moving_ion_at_rest_is_found() -> None:
    """A second negative mode of the neighbours alone is orthogonal to every motion of the ion, and counts all the same."""
    reference = np.random.default_rng(3).uniform(0, 8, (40, 3))
    hidden = np.zeros((40, 3))
    hidden[3, 0], hidden[7, 0] = 1, -1
    reaction = np.zeros((40, 3))
    reaction[0, 1], reaction[1:, 1] = 1, -1 / 39
    hessian = with_spectrum([], 40, 5)
    for mode, curvature in ((hidden, -1.0), (reaction, -2.0)):
        unit = mode.ravel() / np.linalg.norm(mode)
        others = np.eye(120) - np.outer(unit, unit)
        hessian = others @ hessian @ others + curvature * np.outer(unit, unit)
    atoms = Atoms("Cu40", reference, cell=[8, 8, 8], pbc=True)
    modes = lowest_modes(atoms, 0, Engine(Quadratic(reference, hessian)), TOLERANCE, model_hessian(atoms))
    assert modes.negative == 2
    assert modes.curvatures[0] == pytest.approx(-2.0, rel=0.1)


def test_soft_mode_within_the_tolerance_is_not_negative() -> None:
    """A curvature of -0.1 eV/Å² does not count where -0.15 is the limit."""
    reference = np.random.default_rng(4).uniform(0, 8, (8, 3))
    engine = Engine(Quadratic(reference, with_spectrum([-2.0, -0.1], 8, 4)))
    atoms = Atoms("Cu8", reference, cell=[8, 8, 8], pbc=True)
    model = model_hessian(atoms)
    assert lowest_modes(atoms, 0, engine, TOLERANCE, model).negative == 1
    assert lowest_modes(atoms, 0, engine, 0.02, model).negative == 2
