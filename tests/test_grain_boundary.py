"""Grain boundaries: the laws every one of them obeys, and what is refused."""

import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list
from pydantic import ValidationError

from seiflow.errors import InputError, RecipeError, SeiflowError, StructureError
from seiflow.shelves import boundary_shelf, load_recipe, phase_shelf
from seiflow.structures.bicrystal import faces_across
from seiflow.structures.bulk import build_crystal
from seiflow.structures.coincidence import distinct_angles, mirror_sigma, shared_net, twist_angle, twist_angles
from seiflow.structures.fingerprint import digest
from seiflow.structures.grain_boundary import GrainBoundary, build_grain_boundary, grains_of
from seiflow.structures.layers import layers
from seiflow.structures.planar_recipes import GrainBoundaryRecipe
from seiflow.structures.recipes import PhaseRecipe
from seiflow.structures.registry import registry_candidates, translations
from seiflow.structures.space_group import operations, standard_cell

SHIPPED = boundary_shelf().names
EVERY_BOUNDARY = pytest.mark.parametrize("name", SHIPPED)
CUBIC_PLANES = [(2, 1, 0), (3, 1, 0), (1, 1, 1), (2, 2, 1), (2, 1, 1), (3, 1, 1), (3, 2, 0), (3, 3, 1)]
MONOCLINIC_PLANES = [(0, 0, 1), (1, 0, 0), (1, 1, 0), (-1, 1, 1), (1, 1, 1), (0, 1, 1)]
WANTED = [
    *[(name, plane, None) for name in ("LiF", "Li2O") for plane in CUBIC_PLANES],
    *[(name, (0, 0, 1), 5) for name in ("LiF", "Li2O")],
    *[("Li2CO3", plane, None) for plane in MONOCLINIC_PLANES],
]


@cache
def phase(name: str) -> PhaseRecipe:
    return phase_shelf().get(name)


@cache
def crystal(name: str) -> Atoms:
    return build_crystal(phase(name))


@cache
def shipped(name: str) -> GrainBoundary:
    recipe = boundary_shelf().get(name)
    return build_grain_boundary(recipe, phase(recipe.phase), crystal(recipe.phase))


def wanted(name: str, plane: tuple[int, ...], /, **changes: object) -> GrainBoundaryRecipe:
    data = {"kind": "grain_boundary", "name": "test", "summary": "a test", "phase": name, "plane": plane, "type": "mirror"}
    return GrainBoundaryRecipe.model_validate(data | changes)


def build(name: str, plane: tuple[int, ...], /, **changes: object) -> GrainBoundary:
    return build_grain_boundary(wanted(name, plane, **changes), phase(name), crystal(name))


def boundary_height(boundary: GrainBoundary) -> float:
    return boundary.thickness_angstrom + boundary.gap_angstrom / 2


@EVERY_BOUNDARY
def test_every_shipped_boundary_is_sound(name: str) -> None:
    """Neutral, stoichiometric, groups whole, at most 400 atoms, grains as thick as asked for, two equal boundaries."""
    boundary = shipped(name)
    certificate = boundary.certificate
    recipe = boundary_shelf().get(name)
    assert certificate.problems == ()
    assert certificate.net_charge_e == 0
    assert certificate.formula_units[recipe.phase] > 0
    assert all(group.broken == 0 and group.whole > 0 for group in certificate.groups.values())
    assert certificate.boundaries_equivalent
    assert len(boundary.atoms) <= 400
    assert boundary.thickness_angstrom >= recipe.thickness_angstrom - 1e-6
    assert np.bincount(boundary.atoms.arrays["grain"]).tolist() == [len(boundary.atoms) // 2] * 2


@pytest.mark.parametrize(("name", "plane", "sigma"), WANTED)
def test_every_wanted_boundary_is_sound_with_defaults_and_built_quickly(
    name: str, plane: tuple[int, int, int], sigma: int | None
) -> None:
    """Without a registry search too, ions keep their distances; building takes less than five seconds of a processor."""
    times = []
    while not times or (times[-1] >= 5 and len(times) < 3):  # others can only make it slower
        start = time.process_time()
        boundary = build(name, plane, **({"type": "twist", "sigma": sigma} if sigma else {}))
        times.append(time.process_time() - start)
    assert times[-1] < 5
    assert boundary.certificate.problems == ()
    assert boundary.certificate.boundaries_equivalent
    assert len(boundary.atoms) <= 400
    if name != "Li2CO3":
        assert boundary.sigma == (sigma or mirror_sigma(plane))


def test_four_boundaries_of_each_phase_are_shipped() -> None:
    """The library holds what it promises."""
    phases = [boundary_shelf().get(name).phase for name in SHIPPED]
    assert all(phases.count(name) >= 4 for name in ("LiF", "Li2O", "Li2CO3"))


@EVERY_BOUNDARY
def test_net_is_that_of_the_crystal(name: str) -> None:
    """The cell vectors in the plane are lattice vectors of the crystal, to the last digit, and span its plane's net."""
    recipe, boundary = boundary_shelf().get(name), shipped(name)
    stack = layers(crystal(recipe.phase), recipe.plane, phase(recipe.phase).polyatomic)
    times = recipe.sigma or 1
    assert boundary.area_angstrom2 == pytest.approx(times * stack.area, rel=1e-9)
    lengths = np.linalg.norm(np.asarray(boundary.atoms.cell)[:2], axis=1)
    points = np.array([(i, j) for i in range(-4, 5) for j in range(-4, 5)]) @ stack.cell[:2, :2]
    assert all(np.abs(np.linalg.norm(points, axis=1) - length).min() < 1e-9 for length in lengths)


@EVERY_BOUNDARY
def test_volume_is_the_crystals_and_the_gaps(name: str) -> None:
    """Away from the gaps the density is that of the crystal."""
    boundary = shipped(name)
    recipe = boundary_shelf().get(name)
    per_atom = crystal(recipe.phase).get_volume() / len(crystal(recipe.phase))
    grains = 2 * boundary.area_angstrom2 * boundary.thickness_angstrom
    assert grains == pytest.approx(per_atom * len(boundary.atoms))
    assert boundary.atoms.get_volume() == pytest.approx(grains + 2 * boundary.area_angstrom2 * boundary.gap_angstrom)


@EVERY_BOUNDARY
def test_far_from_the_boundary_the_crystal_is_undisturbed(name: str) -> None:
    """In the middle of each grain the neighbours up to 3 Å are those of some atom of the crystal."""
    boundary = shipped(name)
    recipe = boundary_shelf().get(name)
    atoms, whole = boundary.atoms, crystal(recipe.phase)
    period = boundary.thickness_angstrom + boundary.gap_angstrom
    for grain in (0, 1):
        middle = boundary.thickness_angstrom / 2 + grain * period
        heights = atoms.positions[:, 2] - middle
        heights -= 2 * period * np.rint(heights / (2 * period))
        inner = int(np.abs(heights).argmin())
        found = surroundings(atoms, inner)
        same = np.flatnonzero(whole.numbers == atoms.numbers[inner])
        assert any(
            len(found) == len(other) and np.allclose(found, other, atol=1e-4) for other in (surroundings(whole, i) for i in same)
        )
        assert atoms.arrays["grain"][inner] == grain


def surroundings(atoms: Atoms, index: int) -> np.ndarray:
    first, second, distances = neighbor_list("ijd", atoms, 3.0)
    return np.sort(atoms.numbers[second[first == index]] * 100 + distances[first == index])


@pytest.mark.parametrize(
    ("name", "plane"), [("LiF", (2, 1, 0)), ("Li2O", (3, 1, 0)), ("Li2CO3", (0, 0, 1)), ("Li2CO3", (1, 1, 1))]
)
def test_mirror_symmetry_holds(name: str, plane: tuple[int, int, int]) -> None:
    """Without translation, reflection in the boundary maps the bicrystal onto itself."""
    boundary = build(name, plane)
    assert boundary.faces == "like"
    found = operations(boundary.atoms)
    height = boundary_height(boundary) / boundary.atoms.cell[2, 2]
    mirrors = [
        shift
        for rotation, shift in zip(found.rotations, found.translations, strict=True)
        if (rotation == np.diag([1, 1, -1])).all() and not np.rint(shift[:2] * 1e3).any()
    ]
    assert any(abs((shift[2] - 2 * height) - round(shift[2] - 2 * height)) < 1e-4 for shift in mirrors)


@pytest.mark.parametrize(("name", "plane"), [("LiF", (2, 1, 0)), ("Li2O", (2, 1, 0)), ("Li2CO3", (1, 1, 0))])
def test_twofold_symmetry_holds(name: str, plane: tuple[int, int, int]) -> None:
    """In a twofold boundary, half a turn and half the cell along the normal map one grain onto the other."""
    boundary = build(name, plane, type="twofold")
    assert boundary.faces == "unlike"
    found = operations(boundary.atoms)
    turns = found.translations[(found.rotations == np.diag([-1, -1, 1])).all(axis=(1, 2))]
    assert any(abs(shift[2] - 0.5) < 1e-4 for shift in turns)


def test_grains_of_a_mirror_have_mirrored_lattices() -> None:
    """The grains are the two orientations of one crystal: each alone has its space group, together they have not."""
    boundary = build("Li2CO3", (1, 0, 0), translation=(0.2, 0.3))
    assert len(operations(boundary.atoms).rotations) <= 4
    assert boundary.certificate.groups["carbonate"].whole == 12


@pytest.mark.parametrize("translation", [(0.0, 0.0), (0.31, 0.0), (0.12, 0.43)])
@pytest.mark.parametrize("name", SHIPPED[::3])
def test_second_boundary_repeats_the_first_at_any_translation(name: str, translation: tuple[float, float]) -> None:
    """The lattice vector along the normal is slanted so that both boundaries are equivalent, wherever the grain is put."""
    recipe = boundary_shelf().get(name).model_copy(update={"translation": translation, "gap_angstrom": None})
    boundary = build_grain_boundary(recipe, phase(recipe.phase), crystal(recipe.phase))
    assert boundary.certificate.boundaries_equivalent


@EVERY_BOUNDARY
def test_thicker_grains_keep_the_boundary(name: str) -> None:
    """The ions on the two sides of the boundary see each other in the same way whatever the thickness of the grains."""
    recipe = boundary_shelf().get(name)
    seen = []
    for thickness in (8.0, 11.0, 16.0):
        thick = recipe.model_copy(update={"thickness_angstrom": thickness})
        _, _, grains = grains_of(thick, phase(recipe.phase), crystal(recipe.phase))
        boundaries = faces_across(grains, np.array(recipe.translation) @ grains.net, 4.0)
        seen += [np.sort(np.hypot(pairs.lateral, pairs.rise)) for pairs in boundaries]
    assert all(len(other) == len(seen[0]) and np.allclose(other, seen[0], atol=1e-6) for other in seen)


def test_coherent_twin_of_a_metal_needs_no_gap() -> None:
    """The (1 1 1) twin of a face-centred cubic metal has the crystal's contacts at the crystal's density."""
    recipe = wanted("Cu", (1, 1, 1))
    best = registry_candidates(recipe, phase("Cu"), crystal("Cu"), best=1)[0]
    boundary = build_grain_boundary(best.recipe, phase("Cu"), crystal("Cu"))
    assert boundary.sigma == 3
    assert boundary.gap_angstrom == 0
    assert best.score_j_per_m2 == pytest.approx(0, abs=0.2)
    assert len(neighbor_list("d", boundary.atoms, 3.0)) == 12 * len(boundary.atoms)


def test_unlike_faces_avoid_charged_boundaries() -> None:
    """A termination with a dipole is turned round by default; where like faces are asked for it is refused."""
    assert build("LiF", (1, 1, 1)).faces == "unlike"
    assert build("LiF", (2, 1, 0)).faces == "like"
    with pytest.raises(StructureError, match="let unlike faces meet"):
        build("LiF", (1, 1, 1), faces="like")


def test_ions_pressed_together_are_refused() -> None:
    """A gap below what ions need fails the certificate with the distances found."""
    with pytest.raises(StructureError, match="test: refused"):
        build("LiF", (2, 1, 0), gap_angstrom=-0.8)


def test_rebuilding_gives_the_same_digest() -> None:
    """Twice the same, and from the same crystal turned in space, shifted or given by a primitive cell."""
    recipe = boundary_shelf().get("Li2O-310-mirror")
    first = digest(shipped("Li2O-310-mirror").atoms)
    turned = crystal("Li2O").copy()
    turned.rotate(31, (3, 1, 2), rotate_cell=True)
    again = standard_cell(standard_cell(crystal("Li2O"), primitive=True))
    for other in (crystal("Li2O"), turned, again):
        assert digest(build_grain_boundary(recipe, phase("Li2O"), other).atoms) == first


def test_shipped_boundaries_are_distinct() -> None:
    """No two recipes give one structure."""
    assert len({digest(shipped(name).atoms) for name in SHIPPED}) == len(SHIPPED)


@pytest.mark.parametrize(
    ("axis", "sigmas"), [((0, 0, 1), {5: 36.87, 13: 22.62, 17: 28.07, 25: 16.26}), ((1, 1, 1), {3: 60.0, 7: 38.21, 13: 27.80})]
)
def test_known_coincidence_angles(axis: tuple[int, int, int], sigmas: dict[int, float]) -> None:
    """Σ and angle agree with the tables; other Σ do not exist."""
    for sigma, angle in sigmas.items():
        assert twist_angle(axis, sigma) == pytest.approx(angle, abs=0.01)
    assert 4 not in twist_angles(axis)


@pytest.mark.parametrize(
    ("axis", "sigma", "angles"),
    [((0, 0, 1), 5, [36.87]), ((0, 0, 1), 65, [14.25, 30.51]), ((1, 1, 0), 33, [20.05, 58.99]), ((1, 1, 1), 91, [10.42, 53.99])],
)
def test_every_angle_of_a_sigma_is_known(axis: tuple[int, int, int], sigma: int, angles: list[float]) -> None:
    """The angles of a Σ agree with the tables, the smallest is the default."""
    found = distinct_angles(axis, sigma, layers(crystal("LiF"), axis).operations)
    assert found == pytest.approx(angles, abs=0.01)
    assert found[0] == pytest.approx(twist_angle(axis, sigma))


@pytest.mark.parametrize("axis", [(0, 0, 1), (1, 1, 1), (1, 1, 0), (2, 1, 0), (3, 1, 1)])
def test_smallest_angles_are_the_smallest(axis: tuple[int, int, int]) -> None:
    """For every Σ up to 100 the tabulated angle is the first of all its angles."""
    stack = layers(crystal("LiF"), axis)
    for sigma, angle in twist_angles(axis).items():
        if sigma <= 100:
            assert distinct_angles(axis, sigma, stack.operations)[0] == pytest.approx(angle)


@pytest.mark.parametrize("axis", [(0, 0, 1), (1, 1, 1), (1, 1, 0), (3, 1, 1)])
@pytest.mark.parametrize("name", ["LiF", "Li2O"])
def test_distinct_angles_are_no_rotation_of_the_crystal_apart(name: str, axis: tuple[int, int, int]) -> None:
    """No turn about the axis that keeps the crystal, nor the mirror image, leads from one angle of a Σ to another."""
    stack = layers(crystal(name), axis)
    turns = [item.turn for item in stack.operations if not item.flips and np.linalg.det(item.turn) > 0]
    spins = [np.degrees(np.arctan2(turn[1, 0], turn[0, 0])) for turn in turns]
    for sigma in twist_angles(axis):
        angles = distinct_angles(axis, sigma, stack.operations)
        apart = [
            one + sign * other + spin
            for i, one in enumerate(angles)
            for other in angles[:i]
            for sign in (1, -1)
            for spin in spins
        ]
        assert all(abs(angle - 360 * round(angle / 360)) > 0.1 for angle in apart)


def test_angle_of_a_twist_can_be_chosen() -> None:
    """Each angle of a Σ is a boundary of its own; an equivalent angle gives the same one, no angle the smallest."""
    built = {
        angle: build("LiF", (1, 1, 0), type="twist", sigma=33, angle_degree=angle, thickness_angstrom=6)
        for angle in (None, 20.05, 59.0, 121.0)
    }
    assert all(boundary.certificate.problems == () for boundary in built.values())
    assert digest(built[None].atoms) == digest(built[20.05].atoms)
    assert digest(built[59.0].atoms) == digest(built[121.0].atoms)
    assert built[20.05].misorientation_degree == pytest.approx(20.05, abs=0.01)
    assert built[59.0].misorientation_degree == pytest.approx(58.99, abs=0.01)


@pytest.mark.parametrize("sigma", [5, 13, 17, 25])
def test_shared_net_has_sigma_cells(sigma: int) -> None:
    """About a fourfold axis, the net both grains share is Σ times that of the plane."""
    angle = np.radians(twist_angle((0, 0, 1), sigma))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    net = 2.8 * np.eye(2)
    below, above = shared_net(net, turn, sigma)
    assert abs(round(np.linalg.det(below))) == sigma
    np.testing.assert_allclose(below @ net, above @ net @ turn.T, atol=1e-9)


@pytest.mark.parametrize("sigma", [3, 7])
def test_twist_about_a_threefold_axis(sigma: int) -> None:
    """CSL boundaries about (1 1 1), polar in rock salt, meet with unlike faces and are sound."""
    boundary = build("LiF", (1, 1, 1), type="twist", sigma=sigma)
    assert boundary.certificate.problems == ()
    assert boundary.misorientation_degree == pytest.approx(twist_angle((1, 1, 1), sigma), abs=0.01)


def test_registry_search_finds_better_than_none_and_repeats_itself() -> None:
    """The search is deterministic, sorted, sound, and its first beats the untranslated boundary."""
    recipe = wanted("LiF", (2, 1, 0))
    found = registry_candidates(recipe, phase("LiF"), crystal("LiF"), best=4)
    again = registry_candidates(recipe, phase("LiF"), crystal("LiF"), best=4)
    assert [item.recipe for item in found] == [item.recipe for item in again]
    assert [item.score_j_per_m2 for item in found] == sorted(item.score_j_per_m2 for item in found)
    assert all(
        digest(build_grain_boundary(item.recipe, phase("LiF"), crystal("LiF")).atoms) == digest(item.atoms) for item in found
    )
    assert 0 < found[0].score_j_per_m2 < 2
    assert found[0].recipe.translation != (0.0, 0.0)


def test_registry_grid_is_reduced_by_symmetry() -> None:
    """Translations that an operation maps onto each other are tried once."""
    _, _, grains = grains_of(wanted("Li2O", (1, 1, 1)), phase("Li2O"), crystal("Li2O"))
    points = translations(grains, 0.5)
    lengths = np.linalg.norm(grains.shifts, axis=1)
    assert len(points) < 0.4 * np.prod(np.ceil(lengths / 0.5))
    assert np.allclose(points[0], 0)


@pytest.mark.parametrize("gap", [0.0, 0.7])
def test_score_is_the_energy_of_the_whole_bicrystal(gap: float) -> None:
    """The sum over pairs across the boundaries agrees with the model's energy of the periodic cell."""
    from seiflow.structures.bicrystal import put_together
    from seiflow.structures.ionic_model import CUTOFF, ionic_model
    from seiflow.structures.registry import energy_across

    recipe = wanted("Li2CO3", (0, 0, 1), thickness_angstrom=10.5)
    _, _, grains = grains_of(recipe, phase("Li2CO3"), crystal("Li2CO3"))
    model = ionic_model(crystal("Li2CO3"), phase("Li2CO3"))
    shift = np.array([0.3, 0.2]) @ grains.net
    together = model.energy(put_together(grains, shift, 1.5 + gap))
    apart = model.energy(put_together(grains, shift, 3 * CUTOFF))
    across = energy_across(grains, shift, [1.5 + gap], model)[0]
    assert across == pytest.approx(together - apart, abs=2e-2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plane": [0, 0, 0]}, "no direction"),
        ({"plane": [1.5, 0, 1]}, "three whole numbers"),
        ({"plane": [1, 0]}, "three whole numbers"),
        ({"plane": ["a", 0, 1]}, "three whole numbers"),
        ({"plane": "210"}, "three whole numbers"),
        ({"plane": [4, 2, 0]}, r"common divisor 2; write \[2, 1, 0\]"),
        ({"type": "tilt"}, "mirror"),
        ({"type": "twist"}, "needs sigma"),
        ({"sigma": 5}, "takes no sigma"),
        ({"thickness_angstrom": -1}, "greater than 0"),
        ({"translation": [1.2, 0]}, "less than 1"),
        ({"gap_angstrom": 50}, "less than or equal to 20"),
        ({"termination": -1}, "greater than or equal to 0"),
        ({"colour": "red"}, "not permitted"),
        ({"type": "twist", "sigma": 5, "faces": "like"}, "opposite faces"),
        ({"angle_degree": 36.87}, "takes no angle_degree"),
        ({"type": "twist", "sigma": 5, "angle_degree": 0}, "greater than 0"),
        ({"removed": 5}, "less than or equal to 4"),
    ],
)
def test_impossible_recipes_are_refused(changes: dict[str, object], message: str) -> None:
    """Each mistake is named before anything is built."""
    with pytest.raises(ValidationError, match=message):
        wanted("LiF", (2, 1, 0), **changes)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("LiF", {"plane": [0, 0, 1], "type": "twist", "sigma": 7}, r"no turn about \[0 0 1\] .* has Σ7; nearest: Σ5 \(36.87°\)"),
        (
            "LiF",
            {"plane": [1, 1, 0], "type": "twist", "sigma": 33, "angle_degree": 25},
            r"Σ33 about \[1 1 0\] is reached by 20.05° and 58.99°, not by 25°",
        ),
        ("Li2CO3", {"plane": [0, 0, 1], "type": "twist", "sigma": 5}, "twist boundaries are made of cubic crystals"),
        ("LiF", {"plane": [0, 0, 1]}, "gives the same crystal again"),
        ("Li2CO3", {"plane": [0, 1, 0]}, "gives the same crystal again"),
        ("Li2O", {"plane": [1, 1, 1], "termination": 9}, "has 2 terminations, no number 9"),
    ],
)
def test_boundaries_that_do_not_exist_are_refused(name: str, changes: dict[str, object], message: str) -> None:
    """What depends on the crystal is refused with the alternatives."""
    with pytest.raises(RecipeError, match=message):
        build(name, (2, 1, 0), **changes)


def test_mistakes_in_a_file_are_reported_with_their_line(tmp_path: Path) -> None:
    """A recipe on disk is read like every other one."""
    path = tmp_path / "bad.yaml"
    path.write_text(
        "kind: grain_boundary\nname: bad\nsummary: x\nphase: LiF\nplane: [0, 0, 0]\ntype: mirror\nsigmaa: 5\n", encoding="utf-8"
    )
    with pytest.raises(
        InputError, match=r"line 5: plane: \(0 0 0\) has no direction[\s\S]*sigmaa: unknown key; did you mean 'sigma'"
    ):
        load_recipe(path, GrainBoundaryRecipe)


def test_phases_and_boundaries_are_found_on_their_own_shelves(tmp_path: Path) -> None:
    """A user's folder may hold both kinds; each shelf shows its own."""
    folder = tmp_path / "structures"
    folder.mkdir()
    (folder / "mine.yaml").write_text(
        (Path(boundary_shelf().path("LiF-210-mirror"))).read_text(encoding="utf-8").replace("LiF-210-mirror", "mine"),
        encoding="utf-8",
    )
    assert "mine" in boundary_shelf([tmp_path]).names
    assert "mine" not in phase_shelf([tmp_path]).names
    assert boundary_shelf([tmp_path]).get("mine").plane == (2, 1, 0)


def test_polar_crystal_without_upside_down_has_only_its_natural_faces() -> None:
    """In a crystal that no operation turns upside down, the other faces are refused with the reason."""
    polar = bulk("ZnO", "wurtzite", a=3.25, c=5.2)
    recipe = PhaseRecipe.model_validate(
        {
            "name": "ZnO",
            "summary": "zinc oxide",
            "formula": "ZnO",
            "space_group": 186,
            "cell": {"a": 3.25, "b": 3.25, "c": 5.2, "gamma": 120},
            "sites": [{"species": "Zn", "position": [1 / 3, 2 / 3, 0]}, {"species": "O", "position": [1 / 3, 2 / 3, 0.375]}],
            "charges": {"Zn": 2, "O": -2},
            "source": {"citation": "a test"},
        }
    )
    with pytest.raises(SeiflowError, match="no symmetry turns the crystal upside down"):
        build_grain_boundary(wanted("ZnO", (0, 0, 1)), recipe, polar)
