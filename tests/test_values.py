"""Numbers that make no sense are refused by every code, when its calculator is made and when a study is checked."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from ase import Atoms

from seiflow.calculators.factory import make_calculator
from seiflow.calculators.recipes import CalculatorRecipe
from seiflow.calculators.slabs import vacuum_axis, vacuum_middle
from seiflow.calculators.vasp import vasp
from seiflow.errors import CalculatorError, StudyError
from seiflow.study import Study

CODES = ["gpaw-pbe-fast", "espresso-pbesol-fast", "cp2k-pbe-fast"]

MISTAKES = [
    ("cutoff_ev", -3, "number above 0"),
    ("cutoff_ev", 0, "number above 0"),
    ("cutoff_ev", "500 eV", "number above 0"),
    ("cutoff_ev", float("nan"), "number above 0"),
    ("kpoint_length", 0, "number above 0"),
    ("metal_kpoint_length", -30.0, "number above 0"),
    ("smearing_ev", -0.05, "number of at least 0"),
    ("metal_smearing_ev", -0.2, "number of at least 0"),
    ("iterations", 0, "whole number above 0"),
    ("iterations", 50.5, "whole number above 0"),
    ("iterations", True, "whole number above 0"),
]


def wrong(recipe: CalculatorRecipe, **arguments: object) -> CalculatorRecipe:
    return recipe.model_copy(update={"arguments": recipe.arguments | arguments})


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(("name", "value", "allowed"), MISTAKES)
def test_senseless_number_is_refused(
    installed: Callable[[str], CalculatorRecipe], code: str, name: str, value: object, allowed: str
) -> None:
    """The message names the argument, what the recipe says, and what it may say."""
    with pytest.raises(CalculatorError, match=rf"calculator {code}: {name}: {value!r} is no {allowed}$"):
        make_calculator(wrong(installed(code), **{name: value}))


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(
    ("moments", "said"),
    [({"Nii": 0.6}, r"moments: 'Nii' is no chemical symbol"), ({"Ni": "up"}, r"moments: 'up' of Ni is no number")],
)
def test_senseless_moment_is_refused(
    installed: Callable[[str], CalculatorRecipe], code: str, moments: dict[str, object], said: str
) -> None:
    """A misspelt element would be without its moment, silently."""
    with pytest.raises(CalculatorError, match=said):
        make_calculator(wrong(installed(code), moments=moments))


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("gpaw-pbe-fast", "density_tolerance"),
        ("gpaw-pbe-fast", "grid_angstrom"),
        ("espresso-pbesol-fast", "density_tolerance_ev"),
        ("espresso-pbesol-fast", "density_cutoff_ev"),
        ("espresso-pbesol-fast", "mixing_beta"),
        ("cp2k-pbe-fast", "density_tolerance"),
        ("cp2k-pbe-fast", "relative_cutoff_ev"),
        ("cp2k-pbe-fast", "integral_tolerance"),
        ("cp2k-pbe-fast", "outer"),
    ],
)
def test_senseless_number_of_one_code_is_refused(installed: Callable[[str], CalculatorRecipe], code: str, name: str) -> None:
    """So are those that only one code has."""
    with pytest.raises(CalculatorError, match=rf"{name}: 0 is no .*number above 0$"):
        make_calculator(wrong(installed(code), **{name: 0}))


@pytest.mark.parametrize(("name", "value", "allowed"), [*MISTAKES, ("density_tolerance_ev", 0.0, "number above 0")])
def test_senseless_number_is_refused_for_vasp(tmp_path: Path, name: str, value: object, allowed: str) -> None:
    """VASP need not be there for it."""
    (tmp_path / "potpaw_PBE").mkdir()
    with pytest.raises(CalculatorError, match=rf"^{name}: {value!r} is no {allowed}$"):
        vasp(command="vasp_std", folder=str(tmp_path), setups={}, **{name: value})  # type: ignore[arg-type]


def test_check_of_a_study_tells_senseless_numbers(installed: Callable[[str], CalculatorRecipe], tmp_path: Path) -> None:
    """Neither the recipe's own arguments nor those of a remedy wait for the first job."""
    recipe = installed("gpaw-pbe-fast").model_dump(mode="json", exclude_unset=True)
    (tmp_path / "calculators").mkdir()
    block = {"structures": ["LiF"], "calculators": ["wrong"], "properties": ["elasticity"]}
    remedies = [{"name": "none", "arguments": {"iterations": -1}}]
    for changes, said in (
        ({"arguments": {"cutoff_ev": -3}}, r"calculator wrong: cutoff_ev: -3 is no number above 0"),
        ({"remedies": remedies}, r"iterations: -1 is no whole number above 0 \(remedy 'none'\)"),
    ):
        text = yaml.safe_dump(recipe | {"name": "wrong"} | changes)
        (tmp_path / "calculators" / "wrong.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(StudyError, match=said):
            Study({"library": [str(tmp_path)], "calculations": [block]})


def test_middle_of_the_vacuum_is_that_of_the_widest_gap() -> None:
    """Wherever a slab lies in its cell, and however much heavier one side of it is than the other."""
    slab = Atoms("Li2W2", positions=[[0, 0, 1], [0, 0, 3], [0, 0, 5], [0, 0, 7]], cell=[3, 3, 20], pbc=[True, True, False])
    assert vacuum_axis(slab) == 2
    assert vacuum_middle(slab, 2) == pytest.approx(14 / 20)
    slab.positions[:, 2] += 9
    assert vacuum_middle(slab, 2) == pytest.approx(3 / 20)
    slab.pbc = True
    assert vacuum_axis(slab) is None
    slab.pbc = False
    assert vacuum_axis(slab) is None
