"""Formula units taken out at boundaries: what every removal keeps, and what the search gains by it."""

from functools import cache

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list

from seiflow.errors import StructureError
from seiflow.shelves import boundary_shelf, phase_shelf
from seiflow.structures.bicrystal import put_together
from seiflow.structures.bulk import build_crystal
from seiflow.structures.fingerprint import digest
from seiflow.structures.grain_boundary import GrainBoundary, build_grain_boundary, grains_of
from seiflow.structures.ionic_model import IonicModel, ionic_model
from seiflow.structures.planar_recipes import GrainBoundaryRecipe
from seiflow.structures.recipes import PhaseRecipe
from seiflow.structures.registry import registry_candidates
from seiflow.structures.removal import TIE, removals, without_units

NAMES = ("LiF-210-mirror", "LiF-111-mirror", "Li2O-211-mirror", "Li2O-221-mirror", "Li2CO3-001-mirror", "Li2CO3-110-mirror")
TRIED = pytest.mark.parametrize("name", NAMES)
NUMBERS = pytest.mark.parametrize("number", [1, 2])


@cache
def phase(name: str) -> PhaseRecipe:
    return phase_shelf().get(name)


@cache
def crystal(name: str) -> Atoms:
    return build_crystal(phase(name))


@cache
def model(name: str) -> IonicModel:
    return ionic_model(crystal(name), phase(name))


def recipe(name: str, /, **changes: object) -> GrainBoundaryRecipe:
    return GrainBoundaryRecipe.model_validate(boundary_shelf().get(name).model_dump() | changes)


@cache
def built(name: str, removed: int) -> GrainBoundary:
    wanted = recipe(name, removed=removed)
    return build_grain_boundary(wanted, phase(wanted.phase), crystal(wanted.phase))


def taken(whole: Atoms, left: Atoms) -> np.ndarray:
    """Return which atoms of a bicrystal are missing in another with the same cell."""
    steps = whole.positions[:, None] - left.positions[None]
    return np.flatnonzero(np.linalg.norm(steps, axis=-1).min(axis=1) > 1e-6)


def heights(atoms: Atoms) -> np.ndarray:
    """Return the heights of atoms above each boundary, Å."""
    steps = atoms.get_scaled_positions()[:, 2:] - np.array(atoms.info["planes"])
    return (steps - np.rint(steps)) * atoms.cell[2, 2]


@TRIED
@NUMBERS
def test_what_is_left_is_sound(name: str, number: int) -> None:
    """Neutral, stoichiometric, groups whole, boundaries still equivalent, two formula units fewer for each one removed."""
    before, after = built(name, 0).certificate, built(name, number).certificate
    key = recipe(name).phase
    assert after.problems == ()
    assert after.net_charge_e == 0
    assert after.formula_units[key] == before.formula_units[key] - 2 * number
    assert all(group.broken == 0 for group in after.groups.values())
    assert after.boundaries_equivalent == before.boundaries_equivalent
    assert built(name, number).removed == number


@TRIED
@NUMBERS
def test_each_boundary_loses_the_same(name: str, number: int) -> None:
    """Half of what is missing lay at each boundary, at the same distances, and holds whole formula units."""
    whole, left = built(name, 0).atoms, built(name, number).atoms
    missing = taken(whole, left)
    side = np.abs(heights(whole)[missing]).argmin(axis=1)
    wanted = phase(recipe(name).phase).composition
    for plane in (0, 1):
        symbols = [whole.symbols[index] for index in missing[side == plane]]
        assert {symbol: symbols.count(symbol) for symbol in wanted} == {key: number * value for key, value in wanted.items()}
    first, second = (np.sort(np.abs(heights(whole)[missing[side == plane], plane])) for plane in (0, 1))
    np.testing.assert_allclose(first, second, atol=1e-3)


@TRIED
def test_nothing_removed_changes_nothing(name: str) -> None:
    """Zero formula units leave the bicrystal as it was."""
    atoms = built(name, 0).atoms
    left = without_units(atoms, model(recipe(name).phase), 0, name=name)
    assert digest(left) == digest(atoms)
    assert left is not atoms


@pytest.mark.parametrize("name", ["LiF-210-mirror", "Li2O-211-mirror", "Li2CO3-001-mirror"])
def test_energy_stated_is_that_of_what_is_left(name: str) -> None:
    """The energy is the model's, and the same wherever the origin lies along the plane."""
    atoms, key = built(name, 0).atoms, recipe(name).phase
    best = removals(atoms, model(key), 1)[0]
    left = atoms.copy()
    del left[list(best.atoms)]
    assert best.energy == pytest.approx(model(key).energy(left), abs=1e-6)
    moved = atoms.copy()
    moved.positions += 0.31 * moved.cell[0] + 0.17 * moved.cell[1]
    moved.wrap()
    assert removals(moved, model(key), 1)[0].energy == pytest.approx(best.energy, abs=2 * TIE)


def test_best_formula_unit_of_a_binary_is_the_best_of_all_pairs() -> None:
    """In rock salt, trying every cation and anion near the boundary with their images by hand finds nothing lower."""
    atoms = build_grain_boundary(recipe("LiF-210-mirror", thickness_angstrom=16), phase("LiF"), crystal("LiF")).atoms
    best = removals(atoms, model("LiF"), 1)[0]
    near = np.flatnonzero(np.abs(heights(atoms)[:, 0]) < 2.5)
    half = atoms.get_scaled_positions()
    mirror = 2 * (atoms.info["planes"][0] + 0.5 * (atoms.info["planes"][1] - atoms.info["planes"][0]))
    image = half * [1, 1, -1] + [0, 0, mirror]
    steps = image[:, None] - half[None]
    partner = np.linalg.norm((steps - np.rint(steps)) @ atoms.cell.array, axis=-1).argmin(axis=1)
    energies = []
    for i in near[atoms.symbols[near] == "Li"]:
        for j in near[atoms.symbols[near] == "F"]:
            left = atoms.copy()
            del left[[int(i), int(j), int(partner[i]), int(partner[j])]]
            energies.append(model("LiF").energy(left))
    assert best.energy <= min(energies) + 2 * TIE


@pytest.mark.parametrize("name", ["LiF-210-mirror", "Li2O-211-mirror", "Li2CO3-110-mirror"])
def test_rebuilding_and_the_order_of_atoms_do_not_matter(name: str) -> None:
    """The same structure comes out twice, and from a crystal whose atoms are listed in another order."""
    wanted = recipe(name, removed=1)
    first = digest(built(name, 1).atoms)
    whole = crystal(wanted.phase)
    for order in (np.arange(len(whole)), np.random.default_rng(7).permutation(len(whole)), np.arange(len(whole))[::-1]):
        again = build_grain_boundary(wanted, phase(wanted.phase), whole[order])
        assert digest(again.atoms) == first


@pytest.mark.parametrize("name", ["LiF-210-mirror", "Li2O-111-mirror", "Li2O-211-mirror", "Li2CO3-001-mirror"])
def test_thicker_grains_lose_the_same(name: str) -> None:
    """Grains thicker than the model reaches lose ions of the same species, heights and surroundings."""
    seen = []
    for thickness in (12.5, 17.0):
        wanted = recipe(name, thickness_angstrom=thickness)
        pieces = phase(wanted.phase), crystal(wanted.phase)
        whole, left = (build_grain_boundary(wanted.model_copy(update={"removed": n}), *pieces).atoms for n in (0, 1))
        missing = taken(whole, left)
        near = missing[np.abs(heights(whole)[missing, 0]) < 4]
        first, second, distances = neighbor_list("ijd", whole, 5.0)
        around = [np.sort(whole.numbers[second[first == i]] * 100 + distances[first == i].round(3)) for i in near]
        seen.append(
            sorted(
                (whole.symbols[i], round(float(abs(heights(whole)[i, 0])), 2), item.sum())
                for i, item in zip(near, around, strict=True)
            )
        )
    assert len(seen[0]) == len(seen[1]) > 0
    for one, other in zip(*seen, strict=True):
        assert one[0] == other[0]
        assert one[1:] == pytest.approx(other[1:], abs=0.05)


@pytest.mark.parametrize(("key", "plane", "gains"), [("Li2O", (2, 2, 1), True), ("Li2CO3", (0, 0, 1), False)])
def test_search_with_removal_is_never_worse(key: str, plane: tuple[int, int, int], *, gains: bool) -> None:
    """More freedom finds a lower score or the same; what is found is sorted, sound and built again from its recipe."""
    wanted = GrainBoundaryRecipe.model_validate(
        {
            "kind": "grain_boundary",
            "name": "test",
            "summary": "a test",
            "phase": key,
            "plane": plane,
            "type": "mirror",
            "thickness_angstrom": 7,
        }
    )
    without = registry_candidates(wanted, phase(key), crystal(key), best=2, step=2.5)
    found = registry_candidates(wanted, phase(key), crystal(key), best=2, step=2.5, removed_max=1)
    scores = [item.score_j_per_m2 for item in found]
    assert len(found) == 2
    assert scores[0] <= without[0].score_j_per_m2 + 1e-9
    assert (found[0].recipe.removed == 1) == gains
    assert np.round(scores, 4).tolist() == sorted(np.round(scores, 4))
    for item in found:
        again = build_grain_boundary(item.recipe, phase(key), crystal(key))
        assert digest(again.atoms) == digest(item.atoms)
        assert again.certificate.problems == ()


def test_thinner_grains_are_told_from_another_boundary() -> None:
    """Whole sheets that go with whole formula units from each face are told apart from what leaves a rougher boundary."""
    assert removals(built("LiF-210-mirror", 0).atoms, model("LiF"), 2)[1].peeled == (1, 1, 1, 1)
    assert removals(built("LiF-210-mirror", 0).atoms, model("LiF"), 1)[0].peeled is None
    assert removals(built("Li2O-211-mirror", 0).atoms, model("Li2O"), 2)[1].peeled is None


def test_different_boundaries_lose_units_each_for_itself() -> None:
    """Where no symmetry exchanges the boundaries, each loses what is best for it, and the whole stays stoichiometric."""
    wanted = recipe("Li2O-001-twist-5", gap_angstrom=1.0)
    _, _, grains = grains_of(wanted, phase("Li2O"), crystal("Li2O"))
    atoms = put_together(grains, np.array([0.13, 0.21]) @ grains.net, 1.0)
    atoms.set_cell(atoms.cell.array + np.outer([0, 0, 1], [0.7, 0.3, 0]))
    removal = removals(atoms, model("Li2O"), 1)[0]
    assert sorted(atoms.symbols[list(removal.atoms)]) == ["Li"] * 4 + ["O"] * 2
    assert np.bincount(np.abs(heights(atoms)[list(removal.atoms)]).argmin(axis=1)).tolist() == [3, 3]


def test_more_than_there_is_is_refused() -> None:
    """A grain that would be used up is refused with how much there is."""
    wanted = recipe("LiF-111-mirror", thickness_angstrom=4, removed=4)
    with pytest.raises(StructureError, match=r"LiF-111-mirror: 4 formula units cannot be .* hold \d, .*make the grains thicker"):
        build_grain_boundary(wanted, phase("LiF"), crystal("LiF"))
