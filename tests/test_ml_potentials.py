"""ML potentials: shipped recipes are whole, devices and precisions are those stated, and a trained model is used by its path.

Packages other than chgnet and sevenn are no part of the main environment, here or on a build server, so what needs them is
skipped unless their environment is there. Each factory then meets an untrained model, whose forces must still obey its energy.
"""

import ast
import importlib.util
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.io import write
from ase.stress import full_3x3_to_voigt_6_stress

from seiflow.calculators.factory import make_calculator, weight_digests
from seiflow.calculators.learned import model_path, prepare_torch
from seiflow.calculators.machine import Machine
from seiflow.calculators.recipes import CalculatorRecipe, calculator_shelf
from seiflow.errors import CalculatorError
from seiflow.records import digest_file
from seiflow.shelves import data_folder

REPOSITORY = Path(__file__).parents[1]
FACTORIES = ("chgnet", "grace", "mace", "matgl", "mattersim", "orb", "sevennet")
SHIPPED = [
    recipe
    for path in sorted(data_folder("calculators").glob("*.yaml"))
    for recipe in [calculator_shelf().get(path.stem)]
    if recipe.factory.startswith(tuple(f"seiflow.calculators.{name}:" for name in FACTORIES))
]
SEPARATE = [recipe for recipe in SHIPPED if recipe.environment]

TRAINING = {
    "model": {
        "chemical_species": "Auto",
        "cutoff": 4.0,
        "channel": 8,
        "lmax": 1,
        "num_convolution_layer": 1,
        "weight_nn_hidden_neurons": [16],
    },
    "train": {
        "random_seed": 1,
        "is_train_stress": True,
        "epoch": 20,
        "optimizer": "adam",
        "optim_param": {"lr": 0.02},
        "scheduler": "exponentiallr",
        "scheduler_param": {"gamma": 0.9},
        "force_loss_weight": 1.0,
        "stress_loss_weight": 1e-6,
        "per_epoch": 20,
        "error_record": [["Energy", "RMSE"], ["TotalLoss", "None"]],
    },
    "data": {
        "batch_size": 4,
        "shift": "per_atom_energy_mean",
        "scale": "force_rms",
        "load_trainset_path": ["frames.extxyz"],
        "load_validset_path": ["frames.extxyz"],
    },
}
"""Of a SevenNet that learns copper in seconds."""

MACE_TRAINING = """\
--name tiny --train_file labelled.extxyz --valid_fraction 0.2 --model MACE --hidden_irreps 16x0e --max_ell 2 --correlation 2
--num_interactions 1 --num_radial_basis 6 --r_max 4.5 --MLP_irreps 8x0e --batch_size 4 --valid_batch_size 4 --max_num_epochs 12
--lr 0.02 --device cpu --default_dtype float64 --E0s average --energy_key REF_energy --forces_key REF_forces --seed 1
"""

FORCES = """\
import sys
import numpy as np
from ase.io import read
from seiflow.calculators.factory import make_calculator
from seiflow.calculators.recipes import calculator_shelf
from pathlib import Path
frames = read("frames.extxyz", ":")
calculator = make_calculator(calculator_shelf([Path("mine")]).get("own"))
found = []
for atoms in frames:
    copy = atoms.copy()
    copy.calc = calculator
    found.append(copy.get_forces())
np.save("found.npy", np.array(found))
"""


def changed(name: str, **arguments: object) -> CalculatorRecipe:
    """Return a shipped recipe with other arguments."""
    recipe = calculator_shelf().get(name)
    return recipe.model_copy(update={"arguments": recipe.arguments | arguments})


@pytest.mark.parametrize("recipe", SHIPPED, ids=lambda recipe: recipe.name)
def test_recipe_fits_its_factory(recipe: CalculatorRecipe) -> None:
    """The factory takes all arguments of the recipe; device and precision are stated, elements of the SEI covered, no charge."""
    module, _, name = recipe.factory.partition(":")
    path = REPOSITORY / "src" / f"{module.replace('.', '/')}.py"
    functions = {
        node.name: node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)
    }
    assert set(recipe.arguments) <= {argument.arg for argument in functions[name].args.kwonlyargs}
    assert {"device", "precision"} <= set(recipe.arguments)
    assert {"H", "Li", "C", "N", "O", "F", "P", "S"} <= set(recipe.elements)
    assert (recipe.charge, recipe.stress) == (False, True)
    assert recipe.weights


@pytest.mark.parametrize("recipe", SEPARATE, ids=lambda recipe: recipe.name)
def test_recipe_with_an_environment_is_whole(recipe: CalculatorRecipe) -> None:
    """The environment and the extra exist, and fetched weights lie below the home."""
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert recipe.extra in extras
    assert (REPOSITORY / "workflows" / "envs" / f"{recipe.environment}.yml").is_file()
    assert recipe.fetched
    assert all(entry.startswith("~/") for entry in recipe.weights)
    assert recipe.source.doi


@pytest.mark.parametrize("name", ["chgnet", "sevennet-0"])
def test_device_that_is_not_there_is_refused(name: str, installed: Callable[[str], object]) -> None:
    """A graphics card that is not there is named, and so is what is no device at all."""
    import torch

    installed(name)
    absent = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(CalculatorError, match=rf"calculator {name}: device {absent} is not there.*device: cpu"):
        make_calculator(changed(name, device=absent))
    with pytest.raises(CalculatorError, match="device 'gpu' is none of cpu, cuda"):
        make_calculator(changed(name, device="gpu"))


@pytest.mark.filterwarnings("ignore:Converting a tensor")
@pytest.mark.parametrize("name", ["chgnet", "sevennet-0"])
def test_precision_that_a_potential_lacks_is_refused(name: str, installed: Callable[[str], object]) -> None:
    """A potential that computes in single precision alone says so, and stating that changes no number."""
    installed(name)
    with pytest.raises(CalculatorError, match=f"calculator {name}: precision 'float64': this potential computes in float32"):
        make_calculator(changed(name, precision="float64"))
    energies = []
    for recipe in (calculator_shelf().get(name), changed(name, precision="float32", device="cpu")):
        atoms = bulk("LiF", "rocksalt", a=4.0)
        atoms.calc = make_calculator(recipe)
        energies.append(atoms.get_potential_energy())
    assert energies[0] == energies[1]


def test_number_of_threads_is_that_of_the_recipe(installed: Callable[[str], object]) -> None:
    """The recipe fixes the threads of PyTorch; one is the default."""
    import torch

    installed("chgnet")
    before = torch.get_num_threads()
    try:
        make_calculator(changed("chgnet", threads=2))
        assert torch.get_num_threads() == 2
        prepare_torch(device="cpu", precision="float64", threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_model_is_a_path_or_a_keyword(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds a slash is a path, with the home expanded, and must be there; anything else is a keyword."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "own.model").write_bytes(b"")
    assert model_path("~/own.model") == str(tmp_path / "own.model")
    assert model_path("medium-mpa-0") is None
    with pytest.raises(CalculatorError, match=r"no model .*other\.model"):
        model_path("~/other.model")


def frames(count: int) -> list[Atoms]:
    """Return strained and rattled copper with energies, forces and stresses of EMT."""
    generator, found = np.random.default_rng(0), []
    for _ in range(count):
        atoms = bulk("Cu", a=3.6) * (2, 1, 1)
        atoms.set_cell(atoms.cell @ (np.eye(3) + generator.normal(0, 0.02, (3, 3))), scale_atoms=True)
        atoms.positions += generator.normal(0, 0.05, atoms.positions.shape)
        atoms.calc = EMT()
        atoms.get_forces()
        atoms.get_stress()
        found.append(atoms)
    return found


def own_recipe(folder: Path, model: Path, **changes: object) -> None:
    """Write a recipe for a trained model into a user's library."""
    recipe = {
        "name": "own",
        "summary": "trained on copper",
        "elements": ["Cu"],
        "charge": False,
        "seconds_per_atom": 0.01,
        "weights": [str(model)],
        "source": {"citation": "a test"},
    }
    (folder / "mine" / "calculators").mkdir(parents=True)
    text = yaml.safe_dump(recipe | changes)
    (folder / "mine" / "calculators" / "own.yaml").write_text(text, encoding="utf-8")


def worst(found: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]", wanted: list[Atoms]) -> float:
    """Return the root mean square error of forces relative to that of no forces at all."""
    exact = np.array([atoms.get_forces() for atoms in wanted])
    return float(np.sqrt(((found - exact) ** 2).mean() / (exact**2).mean()))


def test_model_trained_on_extended_xyz_is_used_by_its_path(tmp_path: Path, installed: Callable[[str], object]) -> None:
    """A SevenNet trained here on copper gives forces near those it has learnt, from a recipe in a user's folder."""
    installed("sevennet-0")
    learnt = frames(20)
    write(tmp_path / "frames.extxyz", learnt)
    (tmp_path / "input.yaml").write_text(yaml.safe_dump(TRAINING), encoding="utf-8")
    trained = subprocess.run(
        [sys.executable, "-m", "sevenn.main.sevenn", "train", "input.yaml", "-s"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    model = tmp_path / "checkpoint_best.pth"
    assert model.is_file(), trained.stdout + trained.stderr
    arguments = {"model": str(model), "device": "cpu", "precision": "float32"}
    own_recipe(tmp_path, model, factory="seiflow.calculators.sevennet:sevennet", arguments=arguments)
    recipe = calculator_shelf([tmp_path / "mine"]).get("own")
    assert weight_digests(recipe) == {str(model): digest_file(model)}
    found, calculator = [], make_calculator(recipe)
    for atoms in learnt:
        calculator.calculate(atoms.copy(), ["energy", "forces"], all_changes)
        found.append(calculator.results["forces"])
    assert worst(np.array(found), learnt) < 0.3


def test_mace_trained_on_extended_xyz_is_used_in_its_environment(tmp_path: Path) -> None:
    """A MACE trained in its own environment on copper gives forces near those it has learnt, through a recipe."""
    python = Machine.from_environment().pythons.get("mace")
    if python is None:
        pytest.skip("no environment mace: make environment NAME=mace, and SEIFLOW_MACHINE must name a file with its interpreter")
    learnt = frames(20)
    write(tmp_path / "frames.extxyz", learnt)
    labelled = [atoms.copy() for atoms in learnt]
    for copy, atoms in zip(labelled, learnt, strict=True):
        copy.info["REF_energy"], copy.arrays["REF_forces"] = atoms.get_potential_energy(), atoms.get_forces()
    write(tmp_path / "labelled.extxyz", labelled)
    command = [python, "-m", "mace.cli.run_train", *MACE_TRAINING.split()]
    trained = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    model = tmp_path / "tiny.model"
    assert model.is_file(), trained.stderr[-3000:]
    arguments = {"model": str(model), "device": "cpu", "precision": "float64"}
    own_recipe(
        tmp_path, model, factory="seiflow.calculators.mace:mace", arguments=arguments, packages=["mace"], environment="mace"
    )
    done = subprocess.run([python, "-c", FORCES], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert worst(np.load(tmp_path / "found.npy"), learnt) < 0.3


def untrained_mace(folder: Path) -> tuple[str, dict[str, object]]:
    """Save an untrained MACE of two layers."""
    import torch
    from mace.modules import ScaleShiftMACE, gate_dict, interaction_classes

    irreps = importlib.import_module("e3nn.o3").Irreps  # which can be read only after mace
    torch.set_default_dtype(torch.float64)
    block = interaction_classes["RealAgnosticResidualInteractionBlock"]
    size = {"r_max": 5.0, "num_bessel": 8, "num_polynomial_cutoff": 5, "max_ell": 2, "num_interactions": 2, "num_elements": 2}
    network = ScaleShiftMACE(
        **size,
        hidden_irreps=irreps("8x0e+8x1o"),
        MLP_irreps=irreps("8x0e"),
        atomic_energies=np.zeros(2),
        avg_num_neighbors=30.0,
        atomic_numbers=[3, 9],
        correlation=2,
        gate=gate_dict["silu"],
        interaction_cls=block,
        interaction_cls_first=block,
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
    )
    torch.save(network, folder / "net.model")
    return "mace", {"model": str(folder / "net.model"), "precision": "float64"}


def untrained_orb(folder: Path) -> tuple[str, dict[str, object]]:
    """Save an untrained Orb of the published architecture."""
    import torch
    from orb_models.forcefield.atomic_system import SystemConfig
    from orb_models.forcefield.pretrained import orb_v3_conservative_architecture

    network = orb_v3_conservative_architecture(device="cpu", system_config=SystemConfig(radius=6.0, max_num_neighbors=120))
    torch.save(network.state_dict(), folder / "orb.ckpt")
    return "orb", {"model": "orb-v3-conservative-inf-omat", "weights": str(folder / "orb.ckpt"), "precision": "float64"}


def untrained_mattersim(folder: Path) -> tuple[str, dict[str, object]]:
    """Save an untrained MatterSim."""
    import torch
    from mattersim.forcefield.m3gnet.m3gnet import M3Gnet

    size = {"num_blocks": 2, "units": 32, "max_l": 4, "max_n": 4, "cutoff": 5.0, "max_z": 94, "threebody_cutoff": 4.0}
    network = M3Gnet(device="cpu", **size)
    torch.save({"model_name": "m3gnet", "model_args": size, "model": network.state_dict()}, folder / "mattersim.pth")
    return "mattersim", {"model": str(folder / "mattersim.pth"), "precision": "float32"}


def untrained_matgl(folder: Path) -> tuple[str, dict[str, object]]:
    """Save an untrained TensorNet."""
    from matgl.apps.pes import Potential
    from matgl.models import TensorNet

    Potential(TensorNet(element_types=("Li", "F"), units=32, is_intensive=False), element_refs=np.zeros(2)).save(folder / "net")
    return "matgl", {"model": str(folder / "net"), "precision": "float64"}


def untrained_grace(folder: Path) -> tuple[str, dict[str, object]]:
    """Save an untrained GRACE of one layer."""
    from tensorflow import config
    from tensorpotential.potentials.presets import GRACE_1LAYER_v1_24
    from tensorpotential.tensorpot import TensorPotential

    config.threading.set_intra_op_parallelism_threads(1)  # cannot be changed once TensorFlow has computed something
    config.threading.set_inter_op_parallelism_threads(1)
    size = {"rcut": 5.0, "lmax": 2, "max_order": 3, "n_rad_max": 6, "embedding_size": 8, "n_rad_base": 6, "avg_n_neigh": 30.0}
    potential = GRACE_1LAYER_v1_24(element_map={"F": 0, "Li": 1}, func_init="random", **size).get_instructions()
    TensorPotential(potential=potential).save_model(exact_path=str(folder / "grace"))
    return "grace", {"model": str(folder / "grace"), "precision": "float32"}


def shipped_chgnet(_: Path) -> tuple[str, dict[str, object]]:
    """Return the factory and arguments of a model inside its package, whose derivatives are taken in a way of its own."""
    return "chgnet", {"model": "0.3.0", "precision": "float32"}


MODELS = {
    "chgnet": shipped_chgnet,
    "mace": untrained_mace,
    "orb_models": untrained_orb,
    "mattersim": untrained_mattersim,
    "matgl": untrained_matgl,
    "tensorpotential": untrained_grace,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("package", MODELS)
def test_forces_and_stress_are_derivatives_of_the_energy(package: str, tmp_path: Path) -> None:
    """Forces and stress of a factory's calculator, in ASE's units and order, are those of its energy, also for random weights."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not in this environment; run pytest with the interpreter of the one that has it")
    name, arguments = MODELS[package](tmp_path)
    changes = {"factory": f"seiflow.calculators.{name}:{name}", "arguments": arguments, "elements": ["Li", "F"]}
    own_recipe(tmp_path, tmp_path, **changes, weights=[])
    calculator = make_calculator(calculator_shelf([tmp_path / "mine"]).get("own"))
    crystal = bulk("LiF", "rocksalt", a=4.03, cubic=True)
    crystal.rattle(0.05, seed=1)
    crystal.set_cell(crystal.cell @ [[1.01, 0.02, 0], [0, 0.99, 0.01], [0, 0, 1.015]], scale_atoms=True)
    calculator.calculate(crystal.copy(), ["energy", "forces"], all_changes)
    assert name == "grace" or "stress" not in calculator.results
    calculator.calculate(crystal.copy(), ["energy", "forces", "stress"], all_changes)
    forces, stress = (np.array(calculator.results[name], dtype=float) for name in ("forces", "stress"))
    stress = stress if stress.shape == (6,) else full_3x3_to_voigt_6_stress(stress)
    single = arguments["precision"] == "float32"
    step, tolerance = (1e-2, 2e-2) if single else (1e-4, 1e-5)
    slopes = [slope(calculator, lambda x, axis=axis: moved(crystal, axis, x), step) for axis in range(3)]
    assert forces[1] == pytest.approx(-np.array(slopes), abs=tolerance * np.abs(forces).max())
    pairs = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]
    slopes = [slope(calculator, lambda x, pair=pair: strained(crystal, pair, x), step / 4) for pair in pairs]
    assert stress == pytest.approx(np.array(slopes) / crystal.get_volume(), abs=tolerance * np.abs(stress).max())


def slope(calculator: Calculator, at: Callable[[float], Atoms], step: float) -> float:
    """Return the central difference of the energy."""
    energies = []
    for sign in (1, -1):
        calculator.calculate(at(sign * step), ["energy", "forces"], all_changes)
        energies.append(float(calculator.results["energy"]))
    return (energies[0] - energies[1]) / (2 * step)


def moved(crystal: Atoms, axis: int, distance: float) -> Atoms:
    """Return a copy whose second atom is displaced."""
    copy = crystal.copy()
    copy.positions[1, axis] += distance
    return copy


def strained(crystal: Atoms, pair: tuple[int, int], amount: float) -> Atoms:
    """Return a copy under one of the six strains of Voigt."""
    strain = np.eye(3)
    strain[pair] += amount / 2
    strain[pair[::-1]] += amount / 2
    copy = crystal.copy()
    copy.set_cell(crystal.cell @ strain, scale_atoms=True)
    return copy
