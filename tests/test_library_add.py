"""Structures that users bring: checked, made recipes of their library, or refused with the reason."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.io import read, write

from seiflow.cli import main
from seiflow.errors import StructureError
from seiflow.library.adding import add_imported
from seiflow.library.entries import Library
from seiflow.library.files import read_one, write_new
from seiflow.shelves import load_structure
from seiflow.structures.fingerprint import digest, same_structure
from seiflow.structures.imported import atoms_of, imported_recipe
from seiflow.structures.slab import build_slab
from seiflow.structures.space_group import standard_cell

Said = Callable[..., str]

CHARGES = {
    "LiF": ["Li=1", "F=-1"],
    "Li2O": ["Li=1", "O=-2"],
    "Li2CO3": ["Li=1", "C=4", "O=-2"],
    "Li": ["Li=0"],
    "Cu": ["Cu=0"],
}

CIF = """\
data_x
_cell_length_a 4.0
_cell_length_b 4.0
_cell_length_c 4.0
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_occupancy
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """Return a function that runs a command of the library, which must succeed, and returns what it printed."""

    def call(*words: str | Path) -> str:
        assert main(["library", *map(str, words)]) == 0
        return capsys.readouterr().out

    return call


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Said:
    """Return a function that runs a command of the library, which must be refused decently, and returns all it said."""

    def call(*words: str | Path) -> str:
        assert main(["library", *map(str, words)]) == 1
        out, error = capsys.readouterr()
        assert error.startswith("error: ")
        assert "unexpected" not in error
        assert "Traceback" not in error
        return out + error

    return call


def boundary(name: str = "LiF-310-mirror") -> Atoms:
    return Library().entry(name).built.atoms


@pytest.mark.parametrize("suffix", ["cif", "vasp", "extxyz"])
def test_imported_structure_is_that_of_the_file(here: Path, said: Said, suffix: str) -> None:
    """A structure read from a file becomes a recipe of its own that builds the same structure, with its digest and planes."""
    atoms = boundary("Li2CO3-110-mirror")
    write(here / f"mine.{suffix}", atoms)
    words = ("--phases", "Li2CO3", "--citation", "a test", "--planes", "0.25", "0.75")
    said("add", f"mine.{suffix}", "--name", "mine", *words, "--library", here / "lib")
    path = here / "lib/structures/imported/mine.yaml"
    told = json.loads(said("show", "mine", "--library", here / "lib", "--json"))
    entry = Library([here / "lib"]).entry("mine")
    assert same_structure(entry.built.atoms, atoms)
    assert told["digest"] == entry.digest == yaml.safe_load(path.read_text(encoding="utf-8"))["digest"]
    assert told["boundary_heights"] == [0.25, 0.75]
    assert told["certificate"]["groups"]["carbonate"]["whole"] == 12
    assert len(re.findall(r"^  - \[(Li|C|O), ", path.read_text(encoding="utf-8"), re.MULTILINE)) == len(atoms)


def test_digest_does_not_depend_on_order_or_orientation() -> None:
    """The same structure with its atoms shuffled, cell turned and atoms moved by lattice vectors has the same digest."""
    atoms = boundary("Li2CO3-110-mirror")
    other = atoms[np.random.default_rng(7).permutation(len(atoms))]
    other.rotate(33, (1, 2, 3), rotate_cell=True)
    other.positions += np.random.default_rng(8).integers(-2, 3, (len(atoms), 3)) @ np.asarray(other.cell)
    recipes = [imported_recipe(item, name="a", summary="a test", phases=["Li2CO3"], citation="a test") for item in (atoms, other)]
    assert recipes[0].digest == recipes[1].digest == digest(atoms_of(recipes[1]))


def test_slab_keeps_what_repeats(here: Path, said: Said) -> None:
    """A structure with vacuum is imported with the directions along which it repeats."""
    ingredient = Library().ingredient("LiF")
    slab = build_slab(ingredient.recipe, ingredient.crystal, (1, 0, 0), thickness=8, vacuum=12).atoms
    write("slab.extxyz", slab)
    said("add", "slab.extxyz", "--name", "slab", "--phases", "LiF", "--library", "lib")
    built = Library([here / "lib"]).entry("slab").built.atoms
    assert built.pbc.tolist() == [True, True, False]
    assert np.allclose(built.get_all_distances(mic=True), slab.get_all_distances(mic=True), atol=1e-5)


def test_molecule_in_a_box_is_kept_as_it_is(here: Path, said: Said) -> None:
    """A molecule that repeats nowhere may lie anywhere in its box, outside of it too."""
    molecule = Atoms("LiF", [[0, 0, -1], [0, 0, 0.9]], cell=[9, 9, 9], pbc=False)
    molecule.write("molecule.extxyz")
    said("add", "molecule.extxyz", "--name", "molecule", "--phases", "LiF", "--library", "lib")
    built = Library([here / "lib"]).entry("molecule").built.atoms
    assert not built.pbc.any()
    assert np.allclose(built.positions, molecule.positions)


@pytest.mark.parametrize("name", list(CHARGES))
def test_crystal_becomes_a_phase(here: Path, said: Said, name: str) -> None:
    """A crystal in a skewed double cell becomes a phase with the space group and the cell of its own recipe."""
    library = Library()
    wanted = library.phases.get(name)
    crystal = library.ingredient(name).crystal
    primitive = standard_cell(crystal, primitive=True, idealised=False)
    primitive.repeat((2, 1, 1)).write("crystal.cif")
    said("add", "crystal.cif", "--name", "mine", "--charges", *CHARGES[name], "--library", "lib")
    found = load_structure(here / "lib/structures/phases/mine.yaml")
    assert found.kind == "phase"
    assert (found.space_group, found.formula, found.charges) == (wanted.space_group, wanted.formula, wanted.charges)
    assert len(found.sites) == len(wanted.sites)
    built = Library([here / "lib"]).entry("mine").built.atoms
    assert same_structure(built, crystal)


@pytest.mark.parametrize(
    ("number", "cell", "sites"),
    [
        (227, (8.0, 8.0, 8.0, 90, 90, 90), [("Mg", (0, 0, 0)), ("Al", (0.625, 0.625, 0.625)), ("O", (0.387, 0.387, 0.387))]),
        (167, (4.99, 4.99, 17.06, 90, 90, 120), [("Ca", (0, 0, 0)), ("C", (0, 0, 0.25)), ("O", (0.257, 0, 0.25))]),
        (
            14,
            (5.0, 5.2, 5.3, 90, 99, 90),
            [("Zr", (0.275, 0.04, 0.208)), ("O", (0.07, 0.332, 0.345)), ("O", (0.45, 0.757, 0.48))],
        ),
        (62, (10.3, 6.0, 4.7, 90, 90, 90), [("Fe", (0.28, 0.25, 0.97)), ("O", (0.1, 0.25, 0.74)), ("P", (0.09, 0.25, 0.42))]),
    ],
)
def test_crystals_of_many_settings_come_back(
    here: Path, said: Said, number: int, cell: tuple[float, ...], sites: list[tuple[str, tuple[float, float, float]]]
) -> None:
    """Space groups with two origins, rhombohedral axes or a free choice of cell give recipes that build the crystal back."""
    from ase.spacegroup import crystal

    atoms = crystal([s for s, _ in sites], [p for _, p in sites], spacegroup=number, cellpar=cell)
    primitive = standard_cell(atoms, primitive=True, idealised=False)
    primitive.write("crystal.extxyz")
    charges = [f"{symbol}=0" for symbol, _ in sites]
    said("add", "crystal.extxyz", "--name", "mine", "--charges", *dict.fromkeys(charges), "--library", "lib")
    entry = Library([here / "lib"]).entry("mine")
    assert same_structure(standard_cell(entry.built.atoms, primitive=True), standard_cell(primitive, primitive=True))


def test_polyatomic_and_mobile_reach_the_recipe(here: Path, said: Said, refused: Said) -> None:
    """Groups and the mobile species are those stated; statements that cannot be are refused."""
    Library().ingredient("Li2CO3").crystal.write("crystal.cif")
    words = ("add", "crystal.cif", "--library", "lib", "--name", "mine", "--charges")
    said(*words, *CHARGES["Li2CO3"], "--mobile", "Li", "--polyatomic", "carbonate:C:O:3:1.5")
    entry = Library([here / "lib"]).entry("mine")
    assert entry.built.certificate.groups["carbonate"].whole == 4
    assert "not name:centre:ligand:count:bond_max" in refused(*words, *CHARGES["Li2CO3"], "--polyatomic", "carbonate")
    assert "carbonate around atom" in refused(*words, *CHARGES["Li2CO3"], "--polyatomic", "carbonate:C:O:4:1.5")
    assert "add up to +2 e" in refused(*words, "Li=2", "C=4", "O=-2")
    assert "the crystal has C, Li, O" in refused(*words, "Li=1", "O=-2")
    assert "not SPECIES=CHARGE" in refused(*words, "Li", "O=-2")
    assert "mobile species Na" in refused(*words, *CHARGES["Li2CO3"], "--mobile", "Na")


def write_file(path: Path, content: str | bytes) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


LATTICE = 'Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3\n'


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.extxyz", f"2\n{LATTICE}Qq 0 0 0\nLi 2 2 2\n", "'Qq' is not known; if it stands for a species"),
        ("a.extxyz", f"2\n{LATTICE}X 0 0 0\nLi 2 2 2\n", "atom 0 is of no chemical element"),
        ("a.extxyz", f"2\n{LATTICE}F 0 0 nan\nLi 2 2 2\n", "something that is no number"),
        ("a.extxyz", f"3\n{LATTICE}F 0 0 0\nLi 2 2 2\n", "a.extxyz: cannot be read"),
        ("a.extxyz", f"2\n{LATTICE}F 0 0 0\nLi 2 2 2\n" * 2, "holds 2 structures"),
        ("a.extxyz", f"2\n{LATTICE}F 0 0 0\nLi 0.5 0 0\n", "atoms 0 (F) and 1 (Li) are 0.50 Å apart"),
        ("a.extxyz", f"3\n{LATTICE}F 0 0 0\nLi 2 2 2\nLi 0 2 2\n", "FLi2 is not made of whole formula units of LiF"),
        ("a.extxyz", f"2\n{LATTICE}Na 0 0 0\nLi 2 2 2\n", "Na belongs to no phase of LiF"),
        ("a.xyz", "2\na molecule\nLi 0 0 0\nF 0 0 1.6\n", "give the structure a box, with vacuum around a molecule"),
        (
            "a.cif",
            CIF + "Li1 Li 0.5 0 0 0\nNa1 Na 0.5 0 0 0\nF1 F 1 .5 .5 .5\n",
            "the site at (0, 0, 0) is partly occupied (Li 0.5",
        ),
        ("a.cif", CIF + "Li1 Li 0.98 0.1 0 0\nF1 F 1 .5 .5 .5\n", "the site at (0.1, 0, 0) is partly occupied (Li 0.98)"),
        ("a.cif", "hello\n", "a.cif: not a readable structure (it does not have the form"),
        ("a.cif", "", "a.cif: not a readable structure (Empty file"),
        ("a.cif", b"\xff\x00\x13" * 50, "a.cif: not a readable structure"),
        ("a.vasp", "c\n1.0\n4 0 0\n0 4 0\n0 0 4\nLi F\n1 1\nDirect\n0 0 0\n", "a.vasp: not a readable structure"),
        ("a.yaml", "kind: phase\n", "a.yaml: not a readable structure"),
    ],
)
def test_file_that_is_no_sound_structure_is_refused(
    here: Path, refused: Said, name: str, content: str | bytes, said: str
) -> None:
    """Whatever is wrong with a file is told in a message that names it, and the library stays as it was."""
    write_file(here / name, content)
    message = refused("add", name, "--name", "mine", "--phases", "LiF", "--library", "lib")
    assert said in message
    assert not (here / "lib").exists()


def test_sites_that_are_full_or_say_nothing_are_not_partial(here: Path) -> None:
    """Occupancies of one, unknown and left to the default are those of whole atoms."""
    write_file(here / "a.cif", CIF + "Li1 Li 1.0 0 0 0\nF1 F ? .5 .5 .5\nF2 F . .5 0 0\n")
    assert len(read_one(here / "a.cif")) == 3


def test_wrong_names_are_refused(here: Path, refused: Said) -> None:
    """Names that no recipe can have, phases that do not exist, and missing or needless options are mistakes."""
    boundary().write("a.extxyz")
    words = ("add", "a.extxyz", "--library", "lib", "--name")
    assert "name" in refused(*words, "../mine", "--phases", "LiF")
    assert "did you mean 'LiF'" in refused(*words, "mine", "--phases", "LiFf")
    assert "planes.0" in refused(*words, "mine", "--phases", "LiF", "--planes", "1.5")
    assert "--mobile does not go with --phases" in refused(*words, "mine", "--phases", "LiF", "--mobile", "Li")
    assert "none.cif: no such file" in refused("add", "none.cif", "--name", "mine", "--phases", "LiF")
    assert not (here / "lib").exists()


def test_nothing_is_overwritten(here: Path, said: Said, refused: Said) -> None:
    """A name that is taken, by the user's library or the package's, is refused with the file that has it."""
    boundary().write("a.extxyz")
    words = ("add", "a.extxyz", "--phases", "LiF", "--library", "lib", "--name")
    said(*words, "mine")
    path = here / "lib/structures/imported/mine.yaml"
    before = path.read_bytes()
    assert str(Path("lib/structures/imported/mine.yaml")) in refused(*words, "mine")
    assert path.read_bytes() == before
    assert "LiF-310-mirror.yaml" in refused(*words, "LiF-310-mirror")
    assert "exists already" in refused("add", "a.extxyz", "--charges", "Li=1", "F=-1", "--library", "lib", "--name", "mine")


ADDER = """\
import sys, time
from pathlib import Path
from seiflow.errors import InputError
from seiflow.library.adding import add_imported
from seiflow.library.entries import Library
from seiflow.library.files import read_one
number, name = sys.argv[1:]
library, atoms = Library(), read_one(Path("a.extxyz"))
Path(number).touch()
while not Path("go").exists():
    time.sleep(1e-4)
try:
    add_imported(library, Path("lib"), atoms, name=name, phases=["LiF"], citation=number)
except InputError as error:
    print(error)
"""


def test_writers_at_once_lose_nothing(here: Path) -> None:
    """Of processes that add one name at once exactly one wins, whole, and the others are told; other names all land."""
    boundary().write("a.extxyz")
    names = ["same", "same", "same", "other"]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", ADDER, str(index), name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for index, name in enumerate(names)
    ]
    end = time.monotonic() + 60
    while not all((here / str(index)).exists() for index in range(len(names))):
        assert time.monotonic() < end
        time.sleep(0.01)
    (here / "go").touch()
    told = [writer.communicate(timeout=60) for writer in writers]
    assert [error for _, error in told] == [""] * len(names)
    assert sorted("exists already" in out for out, _ in told) == [False, False, True, True]
    winner = next(index for index, (out, _) in enumerate(told[:3]) if not out)
    library = Library([here / "lib"])
    assert yaml.safe_load(library.path("same").read_text(encoding="utf-8"))["source"]["citation"] == str(winner)
    assert library.entry("same").digest == library.entry("other").digest
    assert sorted(path.name for path in (here / "lib/structures/imported").iterdir()) == ["other.yaml", "same.yaml"]


def test_folder_that_cannot_be_written_is_refused(here: Path, refused: Said) -> None:
    """Where nothing can be written the folder is named, and what to do."""
    boundary().write("a.extxyz")
    (here / "lib").write_text("in the way", encoding="utf-8")
    words = ("add", "a.extxyz", "--name", "mine", "--phases", "LiF", "--library")
    assert "lib: no such folder" in refused(*words, "lib")
    (here / "other").mkdir()
    (here / "other/structures").write_text("in the way", encoding="utf-8")
    assert "Choose a folder you may write to" in refused(*words, "other")
    if Path("/proc/self").exists():
        assert "Choose a folder you may write to" in refused(*words, "/proc")
    if os.geteuid() != 0:
        (here / "closed").mkdir(mode=0o500)
        assert "Choose a folder you may write to" in refused(*words, "closed")


def test_new_file_is_whole_where_links_are_not(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system without links a new file is written all the same, and never over another."""

    def no_links(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", no_links)
    write_new(here / "new", "text\n")
    with pytest.raises(Exception, match="exists already"):
        write_new(here / "new", "other\n")
    assert [(path.name, path.read_text(encoding="utf-8")) for path in here.iterdir()] == [("new", "text\n")]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[F, 0.500000000", "[F, 0.510000000", "was damaged or edited; restore it"),
        ("[F, 0.5", "[Xx, 0.5", "'Xx' is no chemical symbol"),
        ("[F, 0.500000000, ", "[F, ", "line "),
        ("cell:", "cell: [", "mine.yaml, line "),
        ("- LiF", "- NaF", "phase NaF is not in the library"),
        ("digest: ", "digest: x", "digest: "),
    ],
)
def test_damaged_recipe_is_refused(here: Path, refused: Said, old: str, new: str, said: str) -> None:
    """A recipe whose content changed after it was written is refused with its name, and the line where there is one."""
    path = add_imported(Library(), here / "lib", boundary(), name="mine", phases=["LiF"], citation="a test")
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    message = refused("show", "mine", "--library", "lib")
    assert said in message
    assert "mine" in message


@pytest.mark.usefixtures("here")
def test_check_tells_phases_and_faults(said: Said, refused: Said) -> None:
    """Phases are found from the composition; a fault is told and makes the status one; numbers are those of the certificate."""
    for name in ("Li2CO3", "Cu"):
        Library().ingredient(name).crystal.write(f"{name}.cif")
    assert "Li2CO3 4" in said("check", "Li2CO3.cif")
    broken = read("Li2CO3.cif")
    del broken[[atom.index for atom in broken if atom.symbol == "O"][:1]]
    broken.write("broken.cif")
    assert "no phases of the library make up" in refused("check", "broken.cif")
    told = refused("check", "broken.cif", "Cu.cif", "--phases", "Li2CO3")
    assert "carbonate around atom" in told
    assert "Cu belongs to no phase of Li2CO3" in told
    both = Library().ingredient("LiF").crystal
    other = Library().ingredient("Li2O").crystal
    stacked = both.copy()
    other.positions += [0, 0, both.cell[2, 2] + 1.0]
    stacked.extend(other)
    stacked.set_cell([4.62, 4.62, both.cell[2, 2] + other.cell[2, 2] + 2])
    stacked.write("both.extxyz")
    answer = json.loads(said("check", "both.extxyz", "--json"))["structures"][0]
    assert answer["phases"] == ["Li2O", "LiF"]
    assert answer["certificate"]["formula_units"] == {"LiF": 4, "Li2O": 4}


def test_missing_anion_does_not_pass_for_metal(here: Path, refused: Said) -> None:
    """A salt that lacks an anion is not taken for the salt with some metal beside it."""
    crystal = Library().ingredient("LiF").crystal
    del crystal[next(atom.index for atom in crystal if atom.symbol == "F")]
    crystal.write(here / "vacancy.cif")
    assert "no phases of the library make up F3Li4" in refused("check", "vacancy.cif")


@pytest.mark.usefixtures("here")
def test_same_structures_are_found(said: Said) -> None:
    """Files with one structure in other orders, orientations and places are told to be the same; others are not."""
    atoms = boundary()
    atoms.write("a.extxyz")
    turned = atoms[::-1]
    turned.rotate(20, "z", rotate_cell=True)
    turned.positions += [0.1, 0.2, 0.3]
    turned.write("b.extxyz")
    boundary("LiF-210-mirror").write("c.extxyz")
    answer = json.loads(said("check", "a.extxyz", "c.extxyz", "b.extxyz", "--json"))
    assert answer["duplicates"] == [["b.extxyz", "a.extxyz"]]
    assert "b.extxyz is the same structure as a.extxyz" in said("check", "a.extxyz", "b.extxyz")


def test_phase_must_repeat_in_all_directions(here: Path, refused: Said) -> None:
    """A slab is no phase."""
    crystal = Library().ingredient("LiF").crystal
    crystal.pbc = (True, True, False)
    crystal.write(here / "slab.extxyz")
    assert "periodic in three directions" in refused("add", "slab.extxyz", "--name", "mine", "--charges", *CHARGES["LiF"])


def test_refusal_lists_every_reason() -> None:
    """All faults of a structure are told at once."""
    atoms = Library().ingredient("LiF").crystal
    del atoms[0]
    atoms.positions[0] = atoms.positions[1] + 0.3
    with pytest.raises(StructureError) as refusal:
        add_imported(Library(), Path("nowhere"), atoms, name="mine", phases=["LiF"], citation="a test")
    assert "whole formula units" in str(refusal.value)
    assert "Å apart" in str(refusal.value)
    assert not Path("nowhere").exists()
