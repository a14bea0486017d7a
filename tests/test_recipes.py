"""Recipes of structures and calculators: contradictions are refused with the file, sound ones need no Python."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from ase import Atoms
from ase.calculators.lj import LennardJones
from hypothesis import given, settings
from hypothesis import strategies as st

from seiflow.calculators.factory import calculator_context, calculator_versions, installation_problem, make_calculator
from seiflow.calculators.recipes import CalculatorRecipe, calculator_shelf, uncovered, weight_file
from seiflow.documents import load
from seiflow.errors import CalculatorError, InputError, RecipeError, StructureError
from seiflow.shelves import data_folder, load_recipe, phase_shelf
from seiflow.structures.bulk import build_crystal
from seiflow.structures.checks import certify, inspect
from seiflow.structures.recipes import PhaseRecipe

Recipe = dict[str, object]

ROCK_SALT: Recipe = {
    "name": "MgO",
    "summary": "magnesium oxide, rock salt",
    "formula": "MgO",
    "space_group": 225,
    "cell": {"a": 4.212, "b": 4.212, "c": 4.212},
    "sites": [{"species": "Mg", "position": [0, 0, 0]}, {"species": "O", "position": [0.5, 0.5, 0.5]}],
    "charges": {"Mg": 2, "O": -2},
    "source": {"citation": "a test"},
}
SODIUM_FLUORIDE: Recipe = ROCK_SALT | {
    "name": "NaF",
    "formula": "NaF",
    "cell": {"a": 4.632, "b": 4.632, "c": 4.632},
    "sites": [{"species": "Na", "position": [0, 0, 0]}, {"species": "F", "position": [0.5, 0.5, 0.5]}],
    "charges": {"Na": 1, "F": -1},
    "mobile": "Na",
}
SULFATE: Recipe = {
    "name": "BaSO4",
    "summary": "baryte",
    "formula": "BaSO4",
    "space_group": 62,
    "cell": {"a": 8.884, "b": 5.458, "c": 7.153},
    "sites": [
        {"species": "Ba", "position": [0.1846, 0.25, 0.1585]},
        {"species": "S", "position": [0.4368, 0.75, 0.1907]},
        {"species": "O", "position": [0.5868, 0.75, 0.1062]},
        {"species": "O", "position": [0.3178, 0.75, 0.0499]},
        {"species": "O", "position": [0.4195, 0.9704, 0.3118]},
    ],
    "charges": {"Ba": 2, "S": 6, "O": -2},
    "polyatomic": [{"name": "sulfate", "centre": "S", "ligand": "O", "count": 4, "bond_max": 1.7}],
    "source": {"citation": "a test"},
}
CALCULATOR: Recipe = {
    "name": "own",
    "summary": "a user's own",
    "factory": "ase.calculators.lj:LennardJones",
    "arguments": {"sigma": 2.0},
    "elements": ["H-Og"],
    "charge": False,
    "seconds_per_atom": 0.001,
    "source": {"citation": "a test"},
}


def phase(**keys: object) -> PhaseRecipe:
    return PhaseRecipe.model_validate(ROCK_SALT | keys)


def calculator(**keys: object) -> CalculatorRecipe:
    return CalculatorRecipe.model_validate(CALCULATOR | keys)


def written(folder: Path, recipe: Recipe) -> Path:
    path = folder / f"{recipe['name']}.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", phase_shelf().names)
def test_shipped_phase_earns_its_certificate(name: str) -> None:
    """Every phase of the package builds: neutral, whole formula units, in its space group, groups whole, no atoms too close."""
    recipe = phase_shelf().get(name)
    certificate = certify(build_crystal(recipe), recipe)
    assert certificate.problems == ()
    assert certificate.net_charge_e == 0
    assert certificate.formula_units
    assert all(group.whole and not group.broken for group in certificate.groups.values())


@pytest.mark.parametrize(("recipe", "units"), [(ROCK_SALT, 4), (SODIUM_FLUORIDE, 4), (SULFATE, 4)])
def test_own_phase_earns_a_certificate(tmp_path: Path, recipe: Recipe, units: int) -> None:
    """A phase from a user's own YAML builds and earns its certificate without any code."""
    (tmp_path / "structures").mkdir()
    written(tmp_path / "structures", recipe)
    found = phase_shelf([tmp_path]).get(str(recipe["name"]))
    certificate = certify(build_crystal(found), found)
    assert (list(certificate.formula_units.values()), certificate.net_charge_e) == ([units], 0)


def test_certificate_states_distances_and_groups() -> None:
    """The certificate of a sulfate counts its whole ions and states the range of their bonds."""
    recipe = PhaseRecipe.model_validate(SULFATE)
    certificate = inspect(build_crystal(recipe), recipe)
    sulfate = certificate.groups["sulfate"]
    assert (sulfate.whole, sulfate.broken) == (4, 0)
    assert 1.4 < (sulfate.shortest_bond_angstrom or 0) <= (sulfate.longest_bond_angstrom or 0) < 1.6
    assert (certificate.shortest_unlike_angstrom or 0) > 1.6


@settings(max_examples=10, deadline=None)
@given(st.floats(3.9, 4.6), st.integers(1, 3))
def test_rock_salt_of_any_size_is_neutral(a: float, charge: int) -> None:
    """A rock salt with opposite charges is neutral and has four formula units, whatever its lattice constant."""
    recipe = phase(cell={"a": a, "b": a, "c": a}, charges={"Mg": charge, "O": -charge})
    certificate = certify(build_crystal(recipe), recipe)
    assert (certificate.net_charge_e, certificate.formula_units) == (0, {recipe.name: 4})


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"formula": "MgF2"}, "formula MgF2 has F, Mg, sites have Mg, O; they must be the same"),
        ({"charges": {"Mg": 2}}, "formula MgO has Mg, O, charges have Mg; they must be the same"),
        ({"charges": {"Mg": 2, "O": -1}}, r"charges of MgO add up to \+1 e; they must add up to zero"),
        ({"formula": "Mg2O2"}, "'Mg2O2' is not reduced; write MgO"),
        ({"formula": "Mg("}, r"'Mg\(' is no chemical formula"),
        ({"formula": "MgXy"}, "'MgXy' holds no or unknown elements Xy"),
        ({"mobile": "Na"}, "mobile species Na is not in MgO"),
        ({"sites": [{"species": "Qq", "position": [0, 0, 0]}]}, "'Qq' is no chemical symbol"),
        ({"space_group": 231}, "space_group: Input should be less than or equal to 230"),
        ({"spacegroup": 225}, "spacegroup: unknown key; did you mean 'space_group'"),
        ({"cell": {"a": -4, "b": 4, "c": 4}}, "cell.a: Input should be greater than 0"),
    ],
)
def test_contradiction_in_a_recipe_is_told_with_its_file(tmp_path: Path, keys: Recipe, said: str) -> None:
    """A recipe that contradicts itself is refused with its file and what to correct."""
    path = written(tmp_path, ROCK_SALT | keys)
    with pytest.raises(InputError, match=said) as caught:
        load(path, PhaseRecipe)
    assert str(caught.value).startswith(f"{path}: not a valid PhaseRecipe\n  - ")


def test_mistake_in_a_site_is_told_with_its_line(tmp_path: Path) -> None:
    """The line of a wrong species is that of its site."""
    sites = [{"species": species, "position": [0, 0, 0]} for species in ("Mg", "Oo")]
    path = written(tmp_path, ROCK_SALT | {"sites": sites})
    number = path.read_text(encoding="utf-8").splitlines().index("- species: Oo") + 1
    with pytest.raises(InputError, match=rf"line {number}: sites\.1\.species: 'Oo' is no chemical symbol"):
        load(path, PhaseRecipe)


def test_recipe_is_named_like_its_file(tmp_path: Path) -> None:
    """A recipe whose name is not that of its file is refused, since it would be found under neither."""
    path = written(tmp_path, ROCK_SALT)
    other = path.rename(tmp_path / "periclase.yaml")
    with pytest.raises(RecipeError, match=r"named 'MgO'; name the file MgO\.yaml or the recipe 'periclase'"):
        load_recipe(other, PhaseRecipe)


def test_wrong_composition_is_refused() -> None:
    """Sites that do not multiply to the formula are refused with what they give."""
    recipe = phase(formula="Mg2O", charges={"Mg": 1, "O": -2})
    with pytest.raises(StructureError, match="Mg4O4 is not made of whole formula units of Mg2O"):
        build_crystal(recipe)


def test_overlapping_atoms_are_refused() -> None:
    """Two atoms nearly on top of each other are refused with their names and distance."""
    sites = [{"species": "Mg", "position": [0, 0, 0]}, {"species": "O", "position": [0.05, 0, 0]}]
    recipe = phase(space_group=1, sites=sites)
    with pytest.raises(StructureError, match=r"atoms 0 \(Mg\) and 1 \(O\) are 0\.21 Å apart"):
        build_crystal(recipe)


def test_doubled_site_is_refused() -> None:
    """A site given twice is refused."""
    site = {"species": "Mg", "position": [0, 0, 0]}
    oxygen = {"species": "O", "position": [0.5, 0.5, 0.5]}
    with pytest.raises(RecipeError, match="space group 225 and sites do not fit together"):
        build_crystal(phase(sites=[site, site, oxygen]))


def test_wrong_space_group_is_refused() -> None:
    """A space group that the sites do not have is refused with the one they have."""
    every = [(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]
    sites = [{"species": "Mg", "position": place} for place in every]
    sites += [{"species": "O", "position": tuple(0.5 - x for x in place)} for place in every]
    with pytest.raises(StructureError, match=r"MgO: the sites have space group Fm-3m \(225\), the recipe says 1"):
        build_crystal(phase(space_group=1, sites=sites))


def test_cell_that_contradicts_the_space_group_is_refused() -> None:
    """A cubic space group with a cell that is not cubic is refused."""
    with pytest.raises((StructureError, RecipeError), match="225"):
        build_crystal(phase(cell={"a": 4.2, "b": 4.3, "c": 4.4}))


def test_broken_ion_is_refused() -> None:
    """A polyatomic ion that has lost an atom is refused, by its name and with what it has left."""
    recipe = PhaseRecipe.model_validate(SULFATE)
    atoms = build_crystal(recipe)
    bonded = atoms.get_distances(next(i for i, s in enumerate(atoms.symbols) if s == "S"), range(len(atoms)), mic=True)
    oxygen = next(i for i, d in enumerate(bonded) if atoms.symbols[i] == "O" and d < 1.7)
    moved = atoms.copy()
    moved.positions[oxygen] = moved.cell.cartesian_positions([[0.15, 0.25, 0.6]])[0]
    assert any("sulfate around atom" in problem and "has 3 O, wants 4" in problem for problem in inspect(moved, recipe).problems)
    del atoms[oxygen]
    problems = inspect(atoms, recipe).problems
    assert any("has 3 O, wants 4" in problem for problem in problems)
    assert any("net charge +2 e" in problem for problem in problems)


def test_building_twice_gives_the_same_atoms() -> None:
    """A recipe always gives the same atoms in the same order."""
    first, second = build_crystal(phase()), build_crystal(phase())
    assert isinstance(first, Atoms)
    assert first == second


def test_own_recipe_goes_before_that_of_the_package(tmp_path: Path) -> None:
    """A recipe in a user's folder, however deep, replaces one of the same name in the package."""
    name = phase_shelf().names[0]
    folder = tmp_path / "structures" / "deep"
    folder.mkdir(parents=True)
    path = written(folder, ROCK_SALT | {"name": name})
    assert phase_shelf([tmp_path]).path(name) == path
    assert phase_shelf().path(name).is_relative_to(data_folder("structures"))


@pytest.mark.parametrize("shelf", [phase_shelf(), calculator_shelf()])
def test_unknown_name_offers_the_nearest(shelf: object) -> None:
    """A name that no recipe has is answered with the nearest one."""
    name = shelf.names[0]
    with pytest.raises(RecipeError, match=rf"unknown \w+ '{name}x'; did you mean '{name}'\?"):
        shelf.get(f"{name}x")


@pytest.mark.parametrize("name", calculator_shelf().names)
def test_shipped_calculator_is_sound(name: str) -> None:
    """Every calculator of the package is valid, covers elements, and its source names where it was published."""
    recipe = calculator_shelf().get(name)
    assert recipe.elements
    assert recipe.source.citation


def test_shipped_weights_are_there() -> None:
    """The weights of a calculator whose package is a requirement are files that can be hashed."""
    recipes = [calculator_shelf().get(name) for name in calculator_shelf().names]
    needed = [recipe for recipe in recipes if recipe.extra is None and recipe.program is None]
    assert [installation_problem(recipe) for recipe in needed] == [None] * len(needed)
    assert all(weight_file(entry).stat().st_size > 0 for recipe in needed for entry in recipe.weights)


def test_ranges_of_elements_are_expanded() -> None:
    """A range of elements stands for all between its ends, both included."""
    assert calculator(elements=["H-Be", "O"]).elements == ["H", "He", "Li", "Be", "O"]
    assert uncovered(calculator(elements=["H-Be"]), ["O", "H", "F"]) == ["F", "O"]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"elements": ["H-Qq"]}, "'H-Qq' is neither a chemical symbol nor a range"),
        ({"elements": []}, "elements: "),
        ({"elements": ["O", "Be-H"]}, "'Be-H' runs backwards; write H-Be"),
        ({"factory": "ase.calculators.lj.LennardJones"}, "factory: "),
        ({"seconds_per_atom": 0}, "seconds_per_atom: Input should be greater than 0"),
        ({"argument": {}}, "did you mean 'arguments'"),
    ],
)
def test_mistake_in_a_calculator_is_told_with_its_file(tmp_path: Path, keys: Recipe, said: str) -> None:
    """A wrong calculator recipe is refused with its file and what is wrong."""
    path = written(tmp_path, CALCULATOR | keys)
    with pytest.raises(InputError, match=said) as caught:
        load(path, CalculatorRecipe)
    assert str(caught.value).startswith(f"{path}: not a valid CalculatorRecipe\n  - ")


def test_arguments_reach_the_calculator() -> None:
    """The calculator of a recipe is made with the recipe's arguments."""
    made = make_calculator(calculator(arguments={"sigma": 2.5}))
    assert isinstance(made, LennardJones)
    assert made.parameters.sigma == 2.5


def test_missing_package_is_told_with_the_command_that_installs_it() -> None:
    """A calculator whose package is missing says which, and the pip command of its extra."""
    recipe = calculator(factory="no_such_package.part:Calculator", extra="sevennet")
    said = "calculator own: no_such_package.part is not installed; pip install 'seiflow[sevennet]'"
    assert installation_problem(recipe) == said
    with pytest.raises(CalculatorError, match="not installed"):
        make_calculator(recipe)


@pytest.mark.parametrize("entry", ["/no/such/file.pt", "ase/no/such/file.pt", "no_such_package/file.pt"])
def test_missing_weights_are_named(entry: str) -> None:
    """Weights that are not there are named, with what to install."""
    problem = installation_problem(calculator(weights=[entry], extra="sevennet")) or ""
    assert f"weights {entry!r} not found" in problem
    assert "pip install 'seiflow[sevennet]'" in problem


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("ase.calculators.lj:NoSuchThing", "AttributeError"),
        ("seiflow.records:read_record", "TypeError"),
        ("builtins:dict", "returned a dict, no ASE calculator"),
    ],
)
def test_factory_that_makes_no_calculator_is_told(factory: str, said: str) -> None:
    """A factory that does not exist, fails, or returns something else is an error that names calculator and factory."""
    with pytest.raises(CalculatorError, match=said) as caught:
        make_calculator(calculator(factory=factory))
    assert f"calculator own: {factory}" in str(caught.value)


def test_evaluations_are_kept_apart_by_all_they_depend_on(tmp_path: Path) -> None:
    """Another factory, argument or weight file changes the digest that evaluations are kept under; a summary does not."""
    weights = tmp_path / "weights"
    weights.write_bytes(b"1")
    same = calculator_context(calculator())
    assert calculator_context(calculator(summary="other words")) == same
    others = [{"factory": "ase.calculators.emt:EMT"}, {"arguments": {"sigma": 2.1}}, {"weights": [str(weights)]}]
    assert len({same, *(calculator_context(calculator(**keys)) for keys in others)}) == 4


def test_version_of_the_calculator_is_known() -> None:
    """The versions of a calculator are those of the distribution its factory comes from."""
    assert set(calculator_versions(calculator())) == {"ase"}


def test_own_recipes_of_the_fixture_are_found(tmp_path: Path, library: Callable[..., Path]) -> None:
    """A folder with a user's recipes brings its structures and calculators beside those of the package."""
    folder = library(tmp_path / "mine")
    assert set(phase_shelf([folder]).names) == {*phase_shelf().names, "Cu3Au"}
    assert set(calculator_shelf([folder]).names) == {*calculator_shelf().names, "pair"}
