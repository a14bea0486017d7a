"""VASP: its inputs, and what becomes of its outputs.

VASP is licensed, so a small program takes its place here: it reads what was written for VASP and writes files laid out as VASP's
are, with energies of a Lennard-Jones potential. This checks plumbing, not physics.
"""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.io import read

from seiflow.calculators.factory import calculator_versions, installation_problem, make_calculator
from seiflow.calculators.recipes import CalculatorRecipe, calculator_shelf, weight_file
from seiflow.calculators.vasp import program_version, vasp
from seiflow.engine import Engine
from seiflow.errors import CalculatorError, UnconvergedDensityError
from seiflow.journal import Journal

PAIR = {"sigma": 1.8, "epsilon": 0.5, "rc": 5.0, "smooth": True}
SMEARED = 0.25
"""eV; what the stand-in's free energy lies below its energy without smearing."""

VALENCE = {"Li_sv": 3, "F": 7, "O": 6}

STAND_IN = f"""#!{sys.executable}
import itertools, pathlib, shutil, sys, time
here = pathlib.Path(__file__).parent
print(" vasp.6.4.2 20Jul23 (build a test) complex", flush=True)
if not pathlib.Path("POSCAR").exists():
    sys.exit(1)
run = next(here / f"run-{{number}}" for number in itertools.count(1) if not (here / f"run-{{number}}").exists())
run.mkdir()
for name in ("INCAR", "KPOINTS", "POSCAR", "POTCAR"):
    shutil.copyfile(name, run / name)
incar = dict(line.split(" = ", 1) for line in map(str.strip, open("INCAR")) if " = " in line)
mode = (here / "mode").read_text()
(run / "read").write_text(str(incar["ISTART"] == "1" and pathlib.Path("WAVECAR").stat().st_size))
if mode == "crashes":
    print("internal error in subroutine IBZKPT:\\n I REFUSE TO CONTINUE WITH THIS SICK JOB ... BYE!!! Tetrahedron method fails")
    sys.exit(0)
if mode == "waits":
    (here / "folder").write_text(str(pathlib.Path.cwd()))
    (here / "started").write_text("")
    time.sleep(60)
from ase.calculators.lj import LennardJones
from ase.io import read
from ase.units import GPa
atoms = read("POSCAR")
atoms.calc = LennardJones(**{PAIR!r})
energy, forces = atoms.get_potential_energy(), atoms.get_forces()
rows = lambda values: "".join("<v>" + " ".join(f"{{x:.12f}}" for x in row) + "</v>" for row in values)
stress = "" if incar["ISIF"] == "0" else (
    '<varray name="stress">' + rows(atoms.get_stress(voigt=False) / -0.1 / GPa) + "</varray>")
energies = f'<energy><i name="e_fr_energy">{{energy - {SMEARED}}}</i><i name="e_0_energy">{{energy}}</i></energy>'
crystal = '<crystal><varray name="basis">' + rows(atoms.cell.array) + "</varray></crystal>"
places = '<varray name="positions">' + rows(atoms.get_scaled_positions()) + "</varray>"
pathlib.Path("vasprun.xml").write_text(
    '<?xml version="1.0"?><modeling><kpoints><varray name="kpointlist"><v>0 0 0</v></varray>'
    '<varray name="weights"><v>1</v></varray></kpoints><parameters><i name="ISPIN">' + incar["ISPIN"] + "</i></parameters>"
    '<atominfo><array name="atoms"><set>' + "".join(f"<rc><c>{{s}} </c><c>1</c></rc>" for s in atoms.symbols)
    + f'</set></array></atominfo><structure name="initialpos">{{crystal}}{{places}}</structure><calculation>'
    f"<scstep>{{energies}}</scstep><structure>{{crystal}}{{places}}</structure>"
    f'<varray name="forces">{{rows(forces)}}</varray>{{stress}}{{energies}}<dos><i name="efermi">1.0</i></dos>'
    "</calculation></modeling>")
reached = mode == "converges" or incar["ALGO"] == mode
told = "because EDIFF is reached" if reached else "EDIFF was not reached (unconverged)"
pathlib.Path("OUTCAR").write_text(
    f" vasp.6.4.2 20Jul23 (build a test) complex\\n   k-points NKPTS = 1   NKDIM = 1   number of bands NBANDS= 8\\n"
    f"   EDIFF  = 0.1E-05   stopping-criterion for ELM\\n ------ aborting loop {{told}} ------\\n"
    " number of electron      32.0000000 magnetization       1.0000000\\n")
if mode == "breaks off":
    outcar = pathlib.Path("OUTCAR").read_text()
    pathlib.Path("OUTCAR").write_text(outcar[: outcar.index("aborting loop")])
pathlib.Path("WAVECAR").write_text("orbitals")
"""

Inputs = dict[str, str]


class StandIn:
    """What takes VASP's place: a program, potentials, and what it was given in each run."""

    def __init__(self, folder: Path) -> None:
        """Write program and potentials."""
        self.folder = folder
        self.command = str(folder / "vasp_std")
        Path(self.command).write_text(STAND_IN, encoding="utf-8")
        Path(self.command).chmod(stat.S_IRWXU)
        self.mode("converges")
        for setup, electrons in VALENCE.items():
            place = folder / "potentials" / "potpaw_PBE" / setup
            place.mkdir(parents=True)
            lines = [f"  PAW_PBE {setup} 01Jan2000", f"   {electrons}.000", " parameters from PSCTR are:"]
            lines += ["   VRHFIN = a test", "   LEXCH = PE", "   EATOM = 1 eV", f"   TITEL = PAW_PBE {setup} 01Jan2000"]
            lines += ["   LULTRA = F", "   IUNSCR = 1", "   RPACOR = 2.0", f"   POMASS = 7.0; ZVAL   =    {electrons}.000"]
            (place / "POTCAR").write_text("\n".join([*lines, " End of Dataset"]) + "\n", encoding="utf-8")

    @property
    def potentials(self) -> str:
        """Where the libraries are."""
        return str(self.folder / "potentials")

    def mode(self, what: str) -> None:
        """Say what the program does: converges, crashes, breaks off, waits; or with which ALGO alone it converges."""
        (self.folder / "mode").write_text(what, encoding="utf-8")

    def given(self, run: int, name: str) -> str:
        """Return a file that a run was given."""
        return (self.folder / f"run-{run}" / name).read_text(encoding="utf-8")

    def tags(self, run: int = 1) -> dict[str, str]:
        """Return the INCAR of a run."""
        lines = (line.split(" = ", 1) for line in self.given(run, "INCAR").splitlines() if " = " in line)
        return {name.strip(): value.strip() for name, value in lines}


@pytest.fixture
def stand_in(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path)


@pytest.fixture
def recipe(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> CalculatorRecipe:
    """Return the recipe with the elements that there are potentials of, on a machine that has the stand-in."""
    monkeypatch.setenv("PATH", f"{stand_in.folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("VASP_PP_PATH", stand_in.potentials)
    weight_file.cache_clear()
    recipe = calculator_shelf().get("vasp-pbe")
    return recipe.model_copy(update={"weights": [f"vasp:potpaw_PBE/{setup}/POTCAR" for setup in VALENCE]})


SETUPS = {"Li": "Li_sv", "F": "F", "O": "O"}


def lif() -> Atoms:
    """Return LiF with its elements in turn, as VASP does not take them, and no symmetry left."""
    atoms = bulk("LiF", "rocksalt", 4.0, cubic=True)
    atoms.rattle(0.05, seed=1)
    return atoms[[0, 4, 1, 5, 2, 6, 3, 7]]


def evaluate(stand_in: StandIn, atoms: Atoms, **settings: object) -> dict[str, object]:
    calculator = vasp(command=stand_in.command, folder=stand_in.potentials, setups=SETUPS, **settings)  # type: ignore[arg-type]
    calculator.calculate(atoms, ["energy", "forces", "stress"])
    calculator.close()
    return dict(calculator.results)


@pytest.mark.parametrize("name", ["vasp-pbe-fast", "vasp-pbe", "vasp-pbe-precise"])
def test_recipe_lists_the_potential_of_each_element(name: str) -> None:
    """Whatever element a recipe covers has a setup, whose digest goes into every result."""
    recipe = calculator_shelf().get(name)
    setups = recipe.arguments["setups"]
    assert isinstance(setups, dict)
    assert list(setups) == recipe.elements
    assert recipe.weights == [f"vasp:potpaw_PBE/{setup}/POTCAR" for setup in setups.values()]


def test_recipe_becomes_files_of_vasp(stand_in: StandIn, recipe: CalculatorRecipe) -> None:
    """Cut-off, precision, smearing, tolerance, k-points, structure and potentials are those of recipe and structure."""
    atoms = lif()
    make_calculator(recipe).calculate(atoms, ["energy", "forces"])
    tags = stand_in.tags()
    numbers = {
        "ENCUT": 650.0,
        "SIGMA": 0.05,
        "EDIFF": 1e-6,
        "ISMEAR": 0,
        "IBRION": -1,
        "NSW": 0,
        "ISPIN": 1,
        "ISIF": 0,
        "NELM": 100,
    }
    assert {name: float(tags[name]) for name in numbers} == pytest.approx(numbers)
    assert (tags["PREC"], tags["ALGO"], tags["GGA"], tags["LREAL"], tags["LASPH"]) == (
        *("Accurate", "Normal", "PE"),
        *(".FALSE.", ".TRUE."),
    )
    assert "NELECT" not in tags
    assert "LDIPOL" not in tags
    assert stand_in.given(1, "KPOINTS").split("\n", 1)[1].split() == ["0", "Gamma", "2", "2", "2", "0", "0", "0"]
    written = read(stand_in.folder / "run-1" / "POSCAR")
    assert written.get_chemical_formula("reduce") == "Li4F4"
    assert sorted(written.positions.round(6).tolist()) == sorted(atoms.positions.round(6).tolist())
    titles = [line.split()[-2] for line in stand_in.given(1, "POTCAR").splitlines() if "TITEL" in line]
    assert titles == ["Li_sv", "F"]


def test_results_are_those_of_the_outputs(stand_in: StandIn) -> None:
    """Atoms, units and signs survive the way to VASP and back; the energy is the one without smearing."""
    atoms = lif()
    found = evaluate(stand_in, atoms)
    atoms.calc = LennardJones(**PAIR)
    assert found["energy"] == pytest.approx(atoms.get_potential_energy())
    assert found["free_energy"] == pytest.approx(atoms.get_potential_energy() - SMEARED)
    assert found["forces"] == pytest.approx(atoms.get_forces(), abs=1e-8)
    assert found["stress"] == pytest.approx(atoms.get_stress(), abs=1e-8)
    assert stand_in.tags()["ISIF"] == "2"


@pytest.mark.parametrize(
    ("charge", "moments", "spin", "electrons"),
    [(0, None, True, None), (1, None, False, 36.0), (-1, None, False, 38.0), (0, [1.0] + 6 * [0.0], True, None)],
)
def test_charge_and_odd_electrons(
    stand_in: StandIn, charge: int, moments: list[float] | None, electrons: float | None, *, spin: bool
) -> None:
    """A charge is taken from the valence electrons of the potentials; an odd number of electrons, or moments, call for spin."""
    atoms = lif()[1:]  # a lithium vacancy: 37 electrons
    if moments:
        atoms.set_initial_magnetic_moments(moments)
    evaluate(stand_in, atoms, charge=charge)
    tags = stand_in.tags()
    assert tags["ISPIN"] == ("2" if spin else "1")
    assert ("MAGMOM" in tags) == spin
    assert (float(tags["NELECT"]) if "NELECT" in tags else None) == electrons
    if spin:
        counts = [entry.split("*") for entry in tags["MAGMOM"].split()]
        assert sum(int(number) * float(moment) for number, moment in counts) == pytest.approx(1.0, abs=1e-3)


def test_moments_of_the_recipe_reach_the_input(stand_in: StandIn) -> None:
    """Each atom of an element gets its moment, the others none, in the order of VASP; a structure's own come first."""
    evaluate(stand_in, lif(), moments={"F": 0.5, "O": 1.0})
    assert stand_in.tags()["ISPIN"] == "2"
    assert stand_in.tags()["MAGMOM"].split() == ["4*0.0000", "4*0.5000"]
    own = lif()
    own.set_initial_magnetic_moments([1.0] * 8)
    evaluate(stand_in, own, moments={"F": 0.5})
    assert stand_in.tags(2)["MAGMOM"].split() == ["8*1.0000"]


def test_odd_metal_is_not_polarised_and_has_a_dense_mesh(stand_in: StandIn) -> None:
    """A cell of metals alone takes their mesh, and no moment for an odd electron."""
    metal = bulk("Li", "bcc", 3.44)
    metal.calc = None
    evaluate(stand_in, metal, metals=["Li"], metal_kpoint_length=24.0)
    assert stand_in.tags()["ISPIN"] == "1"
    spacing = 3.44 / 2**0.5
    assert stand_in.given(1, "KPOINTS").split()[-6:-3] == [str(round(24.0 / spacing))] * 3


@pytest.mark.parametrize(("settings", "width"), [({}, 0.05), ({"metal_smearing_ev": 0.2}, 0.2)])
def test_metal_may_have_a_smearing_of_its_own(stand_in: StandIn, settings: dict[str, float], width: float) -> None:
    """The width of metals is taken for them alone, and is that of all others unless the recipe says it."""
    evaluate(stand_in, bulk("Li", "bcc", 3.44), metals=["Li"], metal_kpoint_length=10.0, **settings)
    assert float(stand_in.tags()["SIGMA"]) == width
    evaluate(stand_in, lif(), metals=["Li"], **settings)
    assert float(stand_in.tags(2)["SIGMA"]) == 0.05


@pytest.mark.parametrize("dipole", [True, False])
def test_slab(stand_in: StandIn, *, dipole: bool) -> None:
    """Across its vacuum a slab has one k-point, and if asked for the correction for dipoles, the layer in the vacuum."""
    slab = lif()
    slab.center(vacuum=6.0, axis=2)
    slab.pbc = [True, True, False]
    evaluate(stand_in, slab, dipole=dipole)
    tags = stand_in.tags()
    assert stand_in.given(1, "KPOINTS").split()[-6:-3] == ["2", "2", "1"]
    assert ("LDIPOL" in tags) == dipole
    if dipole:
        assert (tags["LDIPOL"], tags["IDIPOL"]) == (".TRUE.", "3")
        middle = slab.get_center_of_mass() / slab.cell.lengths()
        middle[2] = 0.5  # half a cell from the middle of the vacuum, where VASP puts its layer
        assert np.array(tags["DIPOL"].split(), dtype=float) == pytest.approx(middle, abs=1e-3)


def test_orbitals_start_the_next_structure_of_the_same_atoms(stand_in: StandIn) -> None:
    """Runs of one job share a folder, until atoms or k-points are others; nothing is left when it is over."""
    atoms = lif()
    calculator = vasp(command=stand_in.command, folder=stand_in.potentials, setups=SETUPS)
    engine = Engine(calculator)
    engine.evaluate(atoms)
    moved = atoms.copy()
    moved.rattle(0.01, seed=2)
    engine.evaluate(moved)
    engine.evaluate(moved[1:])
    starts = [(stand_in.tags(run)["ISTART"], stand_in.tags(run)["ICHARG"], stand_in.given(run, "read")) for run in (1, 2, 3)]
    assert starts == [("0", "2", "False"), ("1", "0", "8"), ("0", "2", "False")]
    assert stand_in.tags(2)["LWAVE"] == ".TRUE."


def test_orbitals_start_a_resumed_job(stand_in: StandIn, tmp_path: Path) -> None:
    """The first run of a resumed job begins with the orbitals of the last one, unless its atoms are others."""

    def made() -> Engine:
        calculator = vasp(command=stand_in.command, folder=stand_in.potentials, setups=SETUPS)
        return Engine(calculator, Journal(tmp_path / "journal", "c"))

    atoms = lif()
    made().evaluate(atoms)
    moved = atoms.copy()
    moved.rattle(0.01, seed=2)
    resumed = made()
    resumed.evaluate(atoms)
    resumed.evaluate(moved)
    made().evaluate(moved[1:])
    starts = [(stand_in.tags(run)["ISTART"], stand_in.given(run, "read")) for run in (1, 2, 3)]
    assert starts == [("0", "False"), ("1", "8"), ("0", "False")]


def test_unconverged_density_is_told_and_remedied(stand_in: StandIn, recipe: CalculatorRecipe) -> None:
    """Energies of a density that is not self-consistent never pass; a remedy of the recipe is tried, and noted."""
    stand_in.mode("All")
    with pytest.raises(UnconvergedDensityError, match=r"F4Li4, charge \+0: the density did not .* in 100 iterations"):
        evaluate(stand_in, lif())
    engine = Engine(make_calculator(recipe))
    engine.evaluate(lif())
    assert stand_in.tags(3)["ALGO"] == "All"
    assert engine.notes == ("A density became self-consistent only with a remedy of the recipe: all bands at once.",)
    stand_in.mode("never")
    with pytest.raises(UnconvergedDensityError, match="tried: all bands at once, cautious mixing"):
        make_calculator(recipe).calculate(lif(), ["energy"])


def test_crash_shows_what_vasp_said(stand_in: StandIn) -> None:
    """VASP often stops with a word on its standard output alone, and no exit status: that word reaches the user."""
    stand_in.mode("crashes")
    with pytest.raises(CalculatorError, match=r"(?s)F4Li4, charge \+0: VASP ended without a result.*I REFUSE TO CONTINUE"):
        evaluate(stand_in, lif())


def test_run_that_broke_off_is_no_unconverged_density(stand_in: StandIn, recipe: CalculatorRecipe) -> None:
    """Where the OUTCAR ends before it says how the search ended, no remedy helps: none is tried, and what VASP said is shown."""
    stand_in.mode("breaks off")
    with pytest.raises(CalculatorError, match=r"(?s)VASP ended without a result.*vasp\.6\.4\.2") as told:
        make_calculator(recipe).calculate(lif(), ["energy"])
    assert not isinstance(told.value, UnconvergedDensityError)
    assert not (stand_in.folder / "run-2").exists()


def test_what_is_missing_is_said_before_any_job(
    stand_in: StandIn, recipe: CalculatorRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Program, library and the potential of an element are missed by name, with what to do."""
    assert installation_problem(recipe) is None
    gone = recipe.model_copy(update={"weights": ["vasp:potpaw_PBE/K_sv/POTCAR"]})
    assert "K_sv/POTCAR" in str(installation_problem(gone))
    monkeypatch.delenv("VASP_PP_PATH")
    weight_file.cache_clear()
    assert "machine file (folders: {vasp: FOLDER})" in str(installation_problem(recipe))
    monkeypatch.setenv("PATH", os.defpath)
    assert "the program vasp_std is not on the path" in str(installation_problem(recipe))
    with pytest.raises(CalculatorError, match=r"no folder .*potpaw_LDA with VASP's potentials"):
        evaluate(stand_in, lif(), library="potpaw_LDA")
    with pytest.raises(CalculatorError, match="names no setup of Cu"):
        evaluate(stand_in, bulk("Cu"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"functional": "PBA"}, "no functional 'PBA'; there are .*pbesol"),
        ({"tags": {"ENCUT": 400}}, "tags ENCUT follow from other arguments"),
        ({"setups": SETUPS | {"Li": "Li_xy"}}, r"no file .*Li_xy/POTCAR, the potential of Li\. VASP's potentials come with"),
    ],
)
def test_mistakes_in_a_recipe_are_told(stand_in: StandIn, settings: dict[str, object], said: str) -> None:
    """What cannot be is refused with what can."""
    calculator = {"command": stand_in.command, "folder": stand_in.potentials, "setups": SETUPS} | settings
    with pytest.raises(CalculatorError, match=said):
        vasp(**calculator).calculate(lif(), ["energy"])  # type: ignore[arg-type]


def test_further_tags_reach_the_input(stand_in: StandIn) -> None:
    """What a machine or a study needs besides is written as it is."""
    evaluate(stand_in, lif(), tags={"NCORE": 4, "KPAR": 2, "IVDW": 12, "METAGGA": "R2SCAN"})
    tags = stand_in.tags()
    assert (tags["NCORE"], tags["KPAR"], tags["IVDW"], tags["METAGGA"]) == ("4", "2", "12", "R2SCAN")


def test_version_is_part_of_every_result(recipe: CalculatorRecipe) -> None:
    """VASP says its version when it starts; one that says none is recorded as such."""
    assert calculator_versions(recipe)["vasp_std"] == "6.4.2"
    assert program_version("true") == "not told"


def test_no_run_outlives_a_killed_job(stand_in: StandIn) -> None:
    """When the job that started VASP is killed, VASP goes too, with its folder."""
    stand_in.mode("waits")
    code = (
        "from ase.build import bulk; from seiflow.calculators.vasp import vasp; "
        f"vasp(command={stand_in.command!r}, folder={stand_in.potentials!r}, setups={SETUPS!r})"
        ".calculate(bulk('LiF', 'rocksalt', 4.0), ['energy'])"
    )
    job = subprocess.Popen([sys.executable, "-c", code])
    wait_until((stand_in.folder / "started").exists)
    folder = Path((stand_in.folder / "folder").read_text(encoding="utf-8"))
    assert folder.is_dir()
    job.send_signal(signal.SIGKILL)
    job.wait()
    wait_until(lambda: not folder.exists())


def wait_until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)
