"""CP2K: slopes of its energy, agreement with plain use of it, and what becomes of its failures and its processes."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.cp2k import CP2K
from ase.stress import voigt_6_to_full_3x3_stress
from ase.units import kB

from seiflow.calculators.cp2k import Cp2kCalculator, cp2k, program_version
from seiflow.calculators.cp2k_input import cp2k_input
from seiflow.calculators.factory import calculator_versions, installation_problem, make_calculator
from seiflow.calculators.machine import Machine
from seiflow.calculators.processes import told_last, watch
from seiflow.calculators.recipes import CalculatorRecipe, calculator_shelf, weight_file
from seiflow.engine import Engine
from seiflow.errors import CalculatorError, UnconvergedDensityError

BASIS, BASIS_FILE, POTENTIAL = "DZVP-GTH-PADE", "BASIS_SET", "GTH-PBE-q1"

COARSE: dict[str, object] = {
    "basis": {"H": BASIS},
    "basis_files": [BASIS_FILE],
    "potential": {"H": POTENTIAL},
    "cutoff_ev": 3000,
    "relative_cutoff_ev": 600,
    "integral_tolerance": 1e-11,
    "kpoint_length": 1.0,
    "density_tolerance": 1e-7,
}
"""Hydrogen at a low cut-off and with a small basis: far from any number worth having, enough for laws."""

PLAIN = """\
&FORCE_EVAL
  &DFT
    BASIS_SET_FILE_NAME {folder}/BASIS_SET
    &MGRID
      REL_CUTOFF [eV] 600
    &END MGRID
    &QS
      EPS_DEFAULT 1e-11
    &END QS
    &SCF
      EPS_SCF 1e-7
{scf}
    &END SCF
    &XC
      &XC_GRID
        USE_FINER_GRID TRUE
      &END XC_GRID
    &END XC
{more}
  &END DFT
&END FORCE_EVAL
"""

Make = Callable[..., Cp2kCalculator]


@pytest.fixture(scope="module")
def folder(installed: Callable[[str], CalculatorRecipe]) -> Path:
    """Return the folder of CP2K's data, where it is installed."""
    installed("cp2k-pbe")
    found = Machine.from_environment().folder("cp2k")
    assert found is not None
    return found


@pytest.fixture
def make(folder: Path) -> Iterator[Make]:
    """Return a function that makes coarse calculators, which are closed after the test."""
    made: list[Cp2kCalculator] = []

    def coarse(**settings: object) -> Cp2kCalculator:
        arguments = {"command": "cp2k_shell", "folder": str(folder)} | COARSE | settings
        made.append(cp2k(**arguments))  # type: ignore[arg-type]
        return made[-1]

    yield coarse
    for calculator in made:
        calculator.close()


def molecule() -> Atoms:
    """Return hydrogen molecules in a small, skewed cell, none of its vectors along an axis but the first."""
    return Atoms(
        "H2", positions=[[0.1, 0.2, 0.3], [0.5, 0.7, 0.8]], cell=[[2.4, 0, 0], [0.3, 2.5, 0], [-0.2, 0.4, 2.6]], pbc=True
    )


def evaluated(calculator: Cp2kCalculator, atoms: Atoms, *, stress: bool = False) -> dict[str, object]:
    calculator.calculate(atoms, ["energy", "forces", *(["stress"] if stress else [])])
    return dict(calculator.results)


def free_energy(calculator: Cp2kCalculator, atoms: Atoms) -> float:
    return float(evaluated(calculator, atoms)["free_energy"])  # type: ignore[arg-type]


METAL = {"metals": ["H"], "metal_kpoint_length": 7.5, "smearing_ev": 0.5}


@pytest.mark.parametrize("settings", [{}, METAL], ids=["orbitals transformed", "k-points and smearing"])
def test_forces_and_stress_are_slopes_of_the_energy(make: Make, settings: dict[str, object]) -> None:
    """Finite differences of the free energy give a force, and the stress of a strain with all components."""
    calculator, atoms = make(**settings), molecule()
    found = evaluated(calculator, atoms, stress=True)
    energies = []
    for step in (0.01, -0.01):
        moved = atoms.copy()
        moved.positions[1] += step * np.array([0.6, 0.0, 0.8])
        energies.append(free_energy(calculator, moved))
    force = found["forces"][1] @ [0.6, 0.0, 0.8]  # type: ignore[index]
    assert -(energies[0] - energies[1]) / 0.02 == pytest.approx(force, rel=2e-3, abs=5e-3)
    strain = np.array([[1.0, 0.3, -0.2], [0.3, -0.5, 0.4], [-0.2, 0.4, 0.7]])
    energies = []
    for step in (2e-3, -2e-3):
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ (np.eye(3) + step * strain), scale_atoms=True)
        energies.append(free_energy(calculator, strained))
    slope = np.sum(voigt_6_to_full_3x3_stress(found["stress"]) * strain) * atoms.get_volume()
    assert (energies[0] - energies[1]) / 4e-3 == pytest.approx(slope, rel=5e-3)


ORBITALS = "&OT\nMINIMIZER CG\n&END OT\n&OUTER_SCF\nEPS_SCF 1e-7\n&END OUTER_SCF"
SMEARED = f"""\
ADDED_MOS 3
&DIAGONALIZATION
&END DIAGONALIZATION
&MIXING
METHOD DIRECT_P_MIXING
ALPHA 0.4
&END MIXING
&SMEAR ON
METHOD FERMI_DIRAC
ELECTRONIC_TEMPERATURE [K] {0.5 / kB}
&END SMEAR"""
MESH = "&KPOINTS\nSCHEME MACDONALD 1 1 2 0.0 0.0 0.25\n&END KPOINTS"


@pytest.mark.parametrize(
    ("settings", "scf", "more", "plain"),
    [
        ({}, ORBITALS, "", {}),
        ({"charge": 1}, ORBITALS, "", {"charge": 1, "uks": True, "multiplicity": 2}),
        ({"algorithm": "DIAGONALIZATION", "kpoint_length": 3.9, "smearing_ev": 0.5}, SMEARED, MESH, {}),
    ],
    ids=["neutral", "charged and odd", "two k-points"],
)
def test_energy_is_that_of_plain_ase(
    make: Make, folder: Path, tmp_path: Path, settings: dict[str, object], scf: str, more: str, plain: dict[str, object]
) -> None:
    """ASE's calculator alone, with an input written by hand and another way to the density, finds energy, forces and stress."""
    atoms = molecule()
    atoms.set_cell([1.9, 1.9, 1.9] if more == "" else [3.6, 3.6, 1.7])
    found = evaluated(make(**settings), atoms, stress=True)
    with CP2K(
        command="cp2k_shell",
        label=str(tmp_path / "plain"),
        inp=PLAIN.format(folder=folder, scf=scf, more=more),
        basis_set=BASIS,
        basis_set_file=None,
        pseudo_potential=POTENTIAL,
        potential_file=str(folder / "GTH_POTENTIALS"),
        xc="PBE",
        cutoff=3000,
        max_scf=100,
        **plain,
    ) as calculator:
        calculator.calculate(atoms, ["energy"])
        expected = dict(calculator.results)
    assert found["free_energy"] == pytest.approx(expected["free_energy"], abs=1e-5)
    assert found["forces"] == pytest.approx(expected["forces"], abs=1e-4)
    assert found["stress"] == pytest.approx(expected["stress"], abs=1e-5)


@pytest.mark.parametrize(("settings", "width"), [({}, 0.05), ({"metal_smearing_ev": 0.2}, 0.2)])
def test_metal_may_have_a_smearing_of_its_own(make: Make, settings: dict[str, float], width: float) -> None:
    """The width of metals is taken for them alone, and is that of all others unless the recipe says it."""
    for metals, expected in ((["H"], width), ([], 0.05)):
        calculator = make(metals=metals, kpoint_length=5.0, metal_kpoint_length=5.0, **settings)
        written = str(cp2k_input(calculator.settings, molecule()).parameters["inp"])
        assert f"ELECTRONIC_TEMPERATURE [K] {expected / kB:.10g}" in written


def test_kpoints_are_those_of_the_supercell(make: Make) -> None:
    """A cell with its mesh has the energy per atom, forces and stress of a supercell with Γ alone."""
    atoms = molecule()
    atoms.set_cell([3.6, 3.7, 1.7])
    small = evaluated(make(kpoint_length=3 * 1.7), atoms, stress=True)
    large = evaluated(make(), atoms * (1, 1, 3), stress=True)
    assert small["energy"] == pytest.approx(large["energy"] / 3, abs=1e-5)  # type: ignore[operator]
    assert small["forces"] == pytest.approx(large["forces"][:2], abs=1e-3)  # type: ignore[index]
    assert small["stress"] == pytest.approx(large["stress"], abs=1e-4)


@pytest.mark.parametrize("settings", [{}, METAL], ids=["orbitals transformed", "k-points and smearing"])
def test_energy_of_a_cell_does_not_depend_on_those_before(make: Make, settings: dict[str, object]) -> None:
    """A process that has seen another cell, of other k-points or grids too, finds the energy of one that has not."""
    calculator, atoms = make(**settings), molecule()
    evaluated(calculator, atoms)
    atoms.set_cell(atoms.cell * 1.3, scale_atoms=True)
    again, fresh = evaluated(calculator, atoms, stress=True), evaluated(make(**settings), atoms, stress=True)
    assert again["energy"] == pytest.approx(fresh["energy"], abs=1e-5)
    assert again["stress"] == pytest.approx(fresh["stress"], abs=1e-5)


def test_energy_is_that_without_smearing(make: Make) -> None:
    """Half of what smearing takes from the free energy is given back, so that the energy hardly depends on its width."""
    atoms = Atoms("H", cell=[2.2, 2.2, 1.1], pbc=True)
    wide, narrow = (evaluated(make(**METAL | {"smearing_ev": width, "metal_kpoint_length": 13.2}), atoms) for width in (0.6, 0.3))
    change = wide["energy"] - narrow["energy"]  # type: ignore[operator]
    free_change = wide["free_energy"] - narrow["free_energy"]  # type: ignore[operator]
    assert free_change < -0.02
    assert abs(change) < abs(free_change) / 4


def test_dipole_correction_makes_a_polar_slab_independent_of_its_vacuum(make: Make) -> None:
    """Upright LiH molecules in a layer: with the correction 4 Å more vacuum change the energy by less than a third."""
    recipe = calculator_shelf().get("cp2k-pbe-fast").arguments
    lithium = {name: recipe[name] for name in ("basis", "basis_files", "potential")}
    changes = []
    for dipole in (False, True):
        energies = []
        for height in (14.0, 18.0):
            layer = Atoms("LiH", positions=[[0, 0, 4.0], [0, 0, 5.6]], cell=[4.0, 4.0, height], pbc=[True, True, False])
            calculator = make(**lithium, cutoff_ev=2500, integral_tolerance=1e-12, density_tolerance=1e-5, dipole=dipole)
            energies.append(float(evaluated(calculator, layer)["energy"]))  # type: ignore[arg-type]
            calculator.close()
        changes.append(abs(energies[1] - energies[0]))
    assert changes[1] < changes[0] / 3
    skewed = Atoms("LiH", positions=[[0, 0, 4.0], [0, 0, 5.6]], cell=[[4, 0, 0], [0, 4, 0], [1, 0, 14]], pbc=[True, True, False])
    with pytest.raises(CalculatorError, match="vacuum of HLi is along cell vector c, CP2K needs it along z"):
        evaluated(make(**lithium, dipole=True), skewed)


def test_spin(make: Make) -> None:
    """Far apart, atoms with opposite moments have the energy of two alone, far below that of paired spins."""
    atoms = Atoms("H2", positions=[[0, 0, 0], [0, 0, 3.0]], cell=[2.8, 2.8, 6.0], pbc=True)
    coarse = {"cutoff_ev": 2000, "density_tolerance": 1e-5}
    paired = float(evaluated(make(**coarse), atoms)["energy"])  # type: ignore[arg-type]
    atoms.set_initial_magnetic_moments([1, -1])
    opposite = float(evaluated(make(**coarse), atoms)["energy"])  # type: ignore[arg-type]
    lone = float(evaluated(make(**coarse), atoms[:1])["energy"])  # type: ignore[arg-type]
    assert opposite < paired - 0.5
    assert opposite == pytest.approx(2 * lone, abs=0.3)


@pytest.mark.parametrize(
    ("moments", "charge", "multiplicity", "kinds"),
    [
        ([0, 0, 0], 0, 2, ("H", "H", "Li")),
        ([0, 0, 0], 1, None, ("H", "H", "Li")),
        ([1, 1, 1], 0, 4, ("H1", "H1", "Li1")),
        ([1, -1, 0], 0, 2, ("H1", "H2", "Li1")),
        ([1, -1, 0], -1, 1, ("H1", "H2", "Li1")),
    ],
)
def test_moments_become_kinds_and_a_multiplicity(
    make: Make, moments: list[float], charge: int, multiplicity: int | None, kinds: tuple[str, ...]
) -> None:
    """Moments tell atoms of one element apart and add up to a spin that the number of electrons allows."""
    atoms = Atoms("H2Li", positions=np.eye(3), cell=[4, 4, 4], pbc=True)
    atoms.set_initial_magnetic_moments(moments)
    both = {"basis": {"H": BASIS, "Li": "X"}, "potential": {"H": POTENTIAL, "Li": "Y"}}
    found = cp2k_input(make(charge=charge, **both).settings, atoms)
    assert found.kinds == kinds
    assert (found.parameters["multiplicity"], found.parameters["uks"]) == (multiplicity, multiplicity is not None)
    described = re.findall(
        r"&KIND (\w+)\nELEMENT (\w+)\nBASIS_SET \S+\nPOTENTIAL \S+\n(?:MAGNETIZATION (\S+)\n)?", str(found.parameters["inp"])
    )
    expected = {
        (kind, symbol, f"{moment:g}" if moment else "")
        for kind, symbol, moment in zip(kinds, atoms.symbols, moments, strict=True)
    }
    assert set(described) == expected


def test_moments_of_the_recipe_are_those_of_a_structure_without(make: Make) -> None:
    """Moments by element give the input of the same moments by atom, and leave a structure with its own as it is."""
    atoms = Atoms("H2Li", positions=np.eye(3), cell=[4, 4, 4], pbc=True)
    both = {"basis": {"H": BASIS, "Li": "X"}, "potential": {"H": POTENTIAL, "Li": "Y"}}
    by_element, plain = (make(moments=moments, **both).settings for moments in ({"Li": 1}, None))
    told = atoms.copy()
    told.set_initial_magnetic_moments([0, 0, 1])
    assert cp2k_input(by_element, atoms) == cp2k_input(plain, told)
    told.set_initial_magnetic_moments([1, 0, 0])
    assert cp2k_input(by_element, told) == cp2k_input(plain, told)


@pytest.mark.parametrize("settings", [{"iterations": 2, "outer": 2}, METAL | {"iterations": 2}])
def test_unconverged_density_is_told(make: Make, settings: dict[str, object]) -> None:
    """CP2K goes on with a density that is not self-consistent; its energy never passes."""
    with pytest.raises(UnconvergedDensityError, match=r"H2, charge \+0: the density did not .* in (2 times )?2 iterations"):
        evaluated(make(**settings), molecule())


def test_unconverged_density_is_remedied(folder: Path) -> None:
    """A remedy of the recipe replaces the calculator, and the record says so."""
    recipe = calculator_shelf().get("cp2k-pbe")
    remedy = recipe.remedies[0].model_copy(update={"name": "time", "arguments": {"iterations": 30}})
    assert folder.is_dir()
    recipe = recipe.model_copy(update={"arguments": COARSE | {"iterations": 2, "outer": 1}, "remedies": [remedy]})
    calculator = make_calculator(recipe)
    engine = Engine(calculator)
    engine.evaluate(molecule())
    calculator.close()
    assert engine.notes == ("A density became self-consistent only with a remedy of the recipe: time.",)


def test_crash_shows_what_cp2k_said(make: Make) -> None:
    """CP2K's own words reach the user, and the next structure gets a new process."""
    with pytest.raises(
        CalculatorError, match=r"(?s)H2, charge \+0: CP2K ended without a result.*\[ABORT\].*<NO-SUCH>.*not found"
    ):
        evaluated(make(basis={"H": "NO-SUCH"}), molecule())
    with pytest.raises(CalculatorError, match=r"names no basis of He \(arguments: \{basis: \{He: NAME\}\}\)"):
        evaluated(make(), Atoms("He", cell=[3, 3, 3], pbc=True))
    with pytest.raises(CalculatorError, match=r"(?s)no shell of CP2K answers to ls --no-such:.*no-such"):
        evaluated(make(command="ls --no-such"), molecule())
    with pytest.raises(CalculatorError, match="no algorithm 'OTT'; take OT or DIAGONALIZATION"):
        make(algorithm="OTT")


def test_what_is_missing_is_said_before_any_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without program or data a study is refused with what to do."""
    recipe = calculator_shelf().get("cp2k-pbe")
    weight_file.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert re.search(
        r"cp2k_shell is not on the path; install it.*programs: \{cp2k_shell: COMMAND\}", str(installation_problem(recipe))
    )
    program = tmp_path / "cp2k_shell"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o700)
    monkeypatch.setenv("CP2K_DATA_DIR", str(tmp_path))
    assert re.search(r"'cp2k:BASIS_MOLOPT_UZH' not found \(no file .*/BASIS_MOLOPT_UZH\)", str(installation_problem(recipe)))
    with pytest.raises(CalculatorError, match="tells no version of CP2K"):
        program_version(str(program))


@pytest.mark.parametrize("name", ["cp2k-pbe-fast", "cp2k-pbe", "cp2k-pbe-precise"])
def test_recipe_names_what_cp2k_has(folder: Path, name: str) -> None:
    """Basis and potential of each element of a recipe are in files that go into every result, as is CP2K's version."""
    recipe = calculator_shelf().get(name)
    arguments = recipe.arguments
    files = [*arguments["basis_files"], arguments["potential_file"]]  # type: ignore[misc]
    assert recipe.weights == [f"cp2k:{file}" for file in files]
    told = "\n".join((folder / str(file)).read_text(encoding="utf-8") for file in files)
    for kind in ("basis", "potential"):
        assert set(arguments[kind]) == set(recipe.elements)  # type: ignore[arg-type]
        for element, known in arguments[kind].items():  # type: ignore[union-attr]
            assert re.search(rf"^ *{element} +{known}\b", told, re.MULTILINE)
    assert re.match(r"\d{4}\.\d", calculator_versions(recipe)["cp2k_shell"])


def gone(number: int) -> bool:
    """Return whether a process has ended; one that nobody asked after yet has."""
    try:
        return Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(") ")[2].startswith("Z")
    except FileNotFoundError:
        return True


def wait_until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def descendants(number: int) -> list[int]:
    """Return the processes below one."""
    told = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in told.splitlines()[1:]]
    found = [number]
    for parent in found:
        found += [child for child, above in pairs if above == parent]
    return found[1:]


def folders() -> set[Path]:
    return set(Path(os.environ.get("TMPDIR", "/tmp")).glob("seiflow-cp2k-*"))  # noqa: S108 - where temporary folders are


JOB = """
from ase import Atoms
from seiflow.calculators.cp2k import cp2k
calculator = cp2k(command="cp2k_shell", folder={folder!r}, **{settings!r})
atoms = Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.8]], cell=[2.4, 2.5, 2.6], pbc=True)
calculator.calculate(atoms, ["energy"])
print("ready", flush=True)
while {busy}:
    calculator.calculate(atoms * (2, 2, 2), ["energy"])
"""


@pytest.mark.parametrize(
    ("number", "busy"), [(signal.SIGTERM, True), (signal.SIGKILL, True), (None, False)], ids=["ended", "killed", "finished"]
)
def test_no_process_outlives_a_job(folder: Path, tmp_path: Path, number: int | None, *, busy: bool) -> None:
    """When a job is over, killed in the middle of a structure or not, CP2K has ended and its folder is removed."""
    code = JOB.format(folder=str(folder), settings=COARSE, busy=busy)
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True) as job:
        try:
            assert job.stdout is not None
            assert job.stdout.readline() == "ready\n"
            if number is not None:
                # the larger structure takes another process, so that for a moment there may be none
                wait_until(lambda: bool(list(tmp_path.glob("seiflow-cp2k-*")) and descendants(job.pid)))
                started = descendants(job.pid)
                job.send_signal(number)
            job.wait()
            if number is not None:
                wait_until(lambda: all(map(gone, started)))
            wait_until(lambda: not list(tmp_path.glob("seiflow-cp2k-*")))
        finally:
            job.kill()  # a test that hung leaves nothing to disturb the next one


def test_closed_calculator_leaves_nothing(make: Make) -> None:
    """close() ends the process and removes its folder; the next structure starts another."""
    calculator, before, others = make(), folders(), descendants(os.getpid())
    first = evaluated(calculator, molecule())
    started = set(descendants(os.getpid())) - set(others)
    assert started
    assert folders() - before
    calculator.close()
    wait_until(lambda: all(map(gone, started)))
    assert not folders() - before
    assert evaluated(calculator, molecule())["energy"] == pytest.approx(first["energy"], abs=1e-6)


def test_watcher_ends_a_program_with_the_pipe(tmp_path: Path) -> None:
    """A program runs to its end while the pipe is open, and is ended with its folder once it is closed."""
    reading, writing = os.pipe()
    kept = tmp_path / "kept"
    kept.mkdir()
    assert watch(reading, kept, ["sh", "-c", "exit 3"]) == 3
    assert kept.is_dir()
    assert watch(reading, kept, [str(tmp_path / "nothing")]) == 127
    os.close(writing)
    assert watch(reading, kept, ["sleep", "60"]) == 128 + signal.SIGTERM
    assert not kept.exists()
    os.close(reading)


def test_last_lines_hold_what_a_program_abandoned_for() -> None:
    """Of long output the last lines are told, or those from the reason on where a mark leads to it."""
    lines = [f"line {number}" for number in range(40)]
    assert told_last("\n".join(lines)).splitlines() == lines[-15:]
    assert told_last("\n".join(lines), "line 7").splitlines() == lines[7:22]
    assert told_last("\n".join(lines), "line 30").splitlines() == lines[-15:]
    assert told_last("") == "(nothing)"
