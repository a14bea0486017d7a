"""Searches of the library: planes of two phases that fit, registries of boundaries, sites of point defects."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from ase.io import read, write

from seiflow.cli import main
from seiflow.library.entries import Library
from seiflow.shelves import load_structure
from seiflow.structures.fingerprint import same_structure
from seiflow.structures.interface import Interface
from seiflow.structures.interface_proposals import low_index_planes
from seiflow.structures.planar_recipes import GrainBoundaryRecipe, InterfaceRecipe
from seiflow.structures.space_group import operations
from seiflow.study import Study

Said = Callable[..., str]

PAIR = ("match", "LiF", "Li2O", "--planes", "0 1 1", "1 1 1")
STUDY = {"title": "New", "library": ["lib"], "calculations": [{"calculators": ["chgnet"], "properties": ["boundary"]}]}

CHAINS = {
    "name": "chains",
    "summary": "a test",
    "formula": "SiO",
    "space_group": 47,
    "cell": {"a": 4.0, "b": 4.3, "c": 3.0},
    "sites": [{"species": "Si", "position": [0, 0, 0]}, {"species": "O", "position": [0, 0, 0.5]}],
    "charges": {"Si": 2, "O": -2},
    "polyatomic": [{"name": "chain", "centre": "Si", "ligand": "O", "count": 2, "bond_max": 1.6}],
    "source": {"citation": "a test"},
}


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
    """Return a function that runs a command of the library, which must be refused decently, and returns what it said."""

    def call(*words: str | Path) -> str:
        assert main(["library", *map(str, words)]) == 1
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert "unexpected" not in error
        return error

    return call


def told(text: str) -> Any:  # noqa: ANN401 - what a program printed
    return json.loads(text)


def accepted(folder: Path, name: str) -> Study:
    study = STUDY | {"calculations": [{**STUDY["calculations"][0], "structures": [name]}]}  # type: ignore[dict-item]
    (folder / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    return Study.read(folder / "study.yaml")


def test_matches_keep_their_limits(said: Said, capsys: pytest.CaptureFixture[str]) -> None:
    """Matches come by area and within the limits, and every plane is in one that fits, or tried, or left out with the reason."""
    found = told(said("match", "Li2O", "Li2CO3", "--max-strain", "0.04", "--max-area", "70", "--json"))
    areas = [item["area_angstrom2"] for item in found["matches"]]
    assert found["found"] == len(areas) > 1
    assert np.all(np.diff(np.round(areas, 2)) >= 0)
    assert max(areas) <= 70
    assert max(max(item["largest_strains"]) for item in found["matches"]) <= 0.04
    assert [item["number"] for item in found["matches"]] == list(range(len(areas)))
    tried = {tuple(plane) for item in found["matches"] for plane in [item["planes"][0]]}
    assert tried <= set(low_index_planes(Library().ingredient("Li2O").crystal))
    assert found["left_out"] == ["Li2O (0 0 1): every termination has a dipole"]
    assert main(["library", "match", "Li2O", "Li2CO3", "--max-strain", "0.04", "--max-area", "70", "--most", "1"]) == 0
    out, error = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert "left out: Li2O (0 0 1): every termination has a dipole\n" in error


def test_plane_that_cuts_every_group_is_left_out(here: Path, said: Said, capsys: pytest.CaptureFixture[str]) -> None:
    """Phases of one's own are matched too; a plane of which every termination cuts a group is left out and said to be."""
    shelf = here / "lib/structures/phases"
    shelf.mkdir(parents=True)
    (shelf / "chains.yaml").write_text(yaml.safe_dump(CHAINS), encoding="utf-8")
    words = ("match", "chains", "LiF", "--max-strain", "0.06", "--max-area", "60", "--library", "lib")
    assert main(["library", *words]) == 0
    assert "left out: chains (0 0 1): every termination cuts a chain\n" in capsys.readouterr().err
    assert all(item["planes"][0][2] == 0 for item in told(said(*words, "--json"))["matches"])


def test_higher_indices_add_planes() -> None:
    """Planes with higher indices have no common divisor, no two are images, and the lower ones are among them."""
    crystal = Library().ingredient("Li2CO3").crystal
    low, high = low_index_planes(crystal), low_index_planes(crystal, 2)
    assert set(low) < set(high)
    assert all(np.gcd.reduce(plane) == 1 for plane in high)
    images = [
        {tuple(sign * np.array(plane) @ turn) for turn in operations(crystal).rotations for sign in (1, -1)} for plane in high
    ]
    assert all(other not in images[index] for index in range(len(high)) for other in high[index + 1 :])


def test_written_interface_is_the_match_listed(here: Path, said: Said, refused: Said) -> None:
    """A match becomes a recipe that builds with its strain and area, is sound, fits a study, and is never overwritten."""
    found = told(said(*PAIR, "--number", "1", "--write", "new", "--library", "lib", "--json"))["matches"][1]
    path = here / "lib/structures/interfaces/new.yaml"
    recipe = load_structure(path)
    entry = Library([here / "lib"]).entry("new")
    assert isinstance(recipe, InterfaceRecipe)
    assert isinstance(entry.built.details, Interface)
    assert not entry.built.certificate.problems
    assert entry.built.details.area_angstrom2 == pytest.approx(found["area_angstrom2"])
    assert entry.built.details.largest_strains == pytest.approx(found["largest_strains"])
    assert len(entry.built.atoms) == found["atoms"]
    assert {"LiF", "Li2O", "new"} == {job.structure for job in accepted(here, "new").jobs}
    text = path.read_text(encoding="utf-8")
    assert "exists already" in refused(*PAIR, "--write", "new", "--library", "lib")
    assert path.read_text(encoding="utf-8") == text


def test_shipped_interface_is_found_again(here: Path, said: Said) -> None:
    """What is written has the same form as what is shipped, and the first match of its planes is the shipped structure."""
    said(*PAIR, "--write", "again", "--library", "lib")
    library = Library([here / "lib"])
    assert same_structure(library.entry("again").built.atoms, library.entry("LiF-011-Li2O-111").built.atoms)
    ours, theirs = (library.path(name).read_text(encoding="utf-8").splitlines() for name in ("again", "LiF-011-Li2O-111"))
    assert [line.split(":")[0] for line in ours] == [line.split(":")[0] for line in theirs]
    assert [line for line in ours if line.startswith(("phases", "planes", "thick", "turned"))] == [
        line for line in theirs if line.startswith(("phases", "planes", "thick", "turned"))
    ]


def test_best_beyond_the_limit_is_named(said: Said, refused: Said) -> None:
    """Where nothing fits, the least strained match is named, and it is found within a limit just above its strain."""
    planes = ("match", "LiF", "Li2CO3", "--planes", "0 0 1", "-1 0 1")
    message = refused(*planes)
    assert "the least strained one is (0 0 1) | (-1 0 1) with 114.6 Å² and strains of 1.26% and 4.09%" in message
    found = told(said(*planes, "--max-strain", "0.041", "--json"))["matches"]
    assert [round(item["area_angstrom2"], 1) for item in found] == [114.6]


def test_registries_come_by_energy(here: Path, said: Said) -> None:
    """Registries come by energy; a new boundary has those of the recipe of its plane; the best is written and sound."""
    known = told(said("register", "LiF-210-mirror", "--best", "3", "--json"))
    asked = ("--phase", "LiF", "--plane", "2", "1", "0", "--type", "mirror")
    new = told(said("register", *asked, "--best", "3", "--write", "new", "--library", "lib", "--json"))
    scores = [item["score_j_per_m2"] for item in known]
    assert scores == sorted(scores) == [item["score_j_per_m2"] for item in new]
    recipe = load_structure(here / "lib/structures/grain_boundaries/new.yaml")
    assert isinstance(recipe, GrainBoundaryRecipe)
    assert recipe.model_dump(mode="json", exclude_none=True) == new[0]["recipe"]
    assert recipe.summary == "LiF, (2 1 0) mirror boundary, Σ5"
    entry = Library([here / "lib"]).entry("new")
    assert not entry.built.certificate.problems
    assert entry.built.certificate.boundaries_equivalent
    assert len(entry.built.atoms) == new[0]["atoms"]
    assert {"LiF", "new"} == {job.structure for job in accepted(here, "new").jobs}


def test_registries_of_an_interface(said: Said) -> None:
    """The shipped registry of an interface is the best one, and each line tells both terminations and how both grains stand."""
    found = told(said("register", "LiF-011-Li2O-111", "--best", "2", "--json"))
    shipped = Library().recipe("LiF-011-Li2O-111")
    assert found[0]["recipe"] == shipped.model_dump(mode="json", exclude_none=True)
    assert found[0]["score_j_per_m2"] <= found[1]["score_j_per_m2"]


def test_registries_of_relaxed_crystals(here: Path, said: Said, refused: Said) -> None:
    """A crystal that is wider in all directions gives wider gaps; the crystal of another phase is refused."""
    crystal = Library().ingredient("LiF").crystal
    crystal.set_cell(crystal.cell * 1.02, scale_atoms=True)
    write(here / "wide.extxyz", crystal)
    asked = ("register", "LiF-210-mirror", "--best", "1", "--json")
    gaps = [told(said(*asked, *more))[0]["recipe"]["gap_angstrom"] for more in ((), ("--crystals", "wide.extxyz"))]
    assert gaps[1] > gaps[0]
    assert "belongs to no phase" in refused("register", "Li2O-210-mirror", "--crystals", "wide.extxyz")


@pytest.mark.parametrize(("name", "species"), [("LiF-210-mirror", "F"), ("Li2CO3-110-mirror", "carbonate"), ("Li2O", "Li")])
@pytest.mark.usefixtures("here")
def test_multiplicities_add_up(said: Said, name: str, species: str) -> None:
    """The multiplicities of the sites add up to the sites in the cell; each has an atom of its own in the supercell."""
    found = told(said("sites", name, "--species", species, "--image-distance", "7", "--output", "cell.extxyz", "--json"))
    cell = Library().entry(name).built.atoms
    symbol = "C" if species == "carbonate" else species
    assert sum(site["multiplicity"] for site in found["sites"]) == cell.symbols.count(symbol)
    supercell = read("cell.extxyz")
    assert len(supercell) == found["atoms"] == len(cell) * np.prod(found["expansion"])
    assert found["image_distance_angstrom"] >= 7
    assert supercell.info["sites"] == {site["name"]: site["index"] for site in found["sites"]}
    assert all(supercell.symbols[site["members"]].count(symbol) == 1 for site in found["sites"])


def test_sites_of_a_file_are_those_of_the_structure(here: Path, said: Said, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of a structure has its sites; one that relaxation moved a little has them with the tolerance advised."""
    atoms = Library().entry("LiF-210-mirror").built.atoms
    write(here / "exact.extxyz", atoms)
    atoms.rattle(0.003, seed=1)
    write(here / "relaxed.extxyz", atoms)
    named = told(said("sites", "LiF-210-mirror", "--species", "Li", "--json"))["sites"]
    exact = told(said("sites", "exact.extxyz", "--species", "Li", "--json"))["sites"]
    keys = ("multiplicity", "distance_angstrom")
    assert [[site[key] for key in keys] for site in exact] == pytest.approx(
        np.array([[site[key] for key in keys] for site in named]), abs=1e-3
    )
    assert main(["library", "sites", "relaxed.extxyz", "--species", "Li"]) == 0
    assert "--tolerance 0.05 joins more sites" in capsys.readouterr().err
    loose = told(said("sites", "relaxed.extxyz", "--species", "Li", "--tolerance", "0.05", "--json"))["sites"]
    assert [site["multiplicity"] for site in loose] == [site["multiplicity"] for site in named]
    assert sum(site["multiplicity"] for site in loose) == atoms.symbols.count("Li")


def test_sites_of_an_interface(here: Path, said: Said, capsys: pytest.CaptureFixture[str]) -> None:
    """Sites of an interface are told with the phase they are in; groups are known in a file too, of metal beside salt as well."""
    text = said("sites", "Li-011-Li2CO3-001", "--species", "carbonate", "--loose")
    assert "1 Li2CO3" in text
    assert "0 Li " not in text
    write(here / "mine.extxyz", Library().entry("Li-011-Li2CO3-001").built.atoms)
    found = told(said("sites", "mine.extxyz", "--species", "carbonate", "--loose", "--json"))
    assert sum(site["multiplicity"] for site in found["sites"]) == 12
    assert main(["library", "sites", "mine.extxyz", "--species", "Li", "--loose"]) == 0
    assert "--phases names them" in capsys.readouterr().err


def test_single_boundary_of_a_file_is_read(here: Path, said: Said) -> None:
    """One height, which extended XYZ holds as a bare number, counts as the height of one boundary."""
    atoms = Library().entry("LiF-210-mirror").built.atoms
    atoms.info = {"planes": [0.5]}
    write(here / "one.extxyz", atoms)
    found = told(said("sites", "one.extxyz", "--species", "Li", "--json"))["sites"]
    assert {site["plane"] for site in found} == {0}


def test_unsound_file_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sites of a file that fails its certificate are listed, but not without a word."""
    atoms = Library().entry("LiF").built.atoms
    atoms.positions[0] += 0.9
    write(here / "bad.extxyz", atoms)
    assert main(["library", "sites", "bad.extxyz", "--species", "Li"]) == 0
    assert "note: not sound: " in capsys.readouterr().err


NEW = ("register", "--phase", "LiF", "--plane")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("match", "LiF", "LiF"), "both phases are LiF"),
        (("match", "LiFe", "Li2O"), "did you mean 'LiF'"),
        (("match", "LiF", "Li2O", "--planes", "2 2 0", "1 1 1"), "common divisor 2; write (1 1 0)"),
        (("match", "LiF", "Li2O", "--planes", "1 1", "1 1 1"), "three whole numbers are wanted"),
        (("match", "LiF", "Li2O", "--planes", "a b c", "1 1 1"), "three whole numbers are wanted"),
        (("match", "LiF", "Li2O", "--planes", "0 0 0", "1 1 1"), "has no direction"),
        (("match", "LiF", "Li2O", "--max-strain", "3"), "--max-strain 3: it must be above zero and at most 0.1"),
        (("match", "LiF", "Li2O", "--max-area", "nan"), "--max-area nan"),
        (("match", "LiF", "Li2O", "--most", "0"), "--most 0"),
        (("match", "LiF", "Li2O", "--index", "9"), "--index 9"),
        (("match", "LiF", "Li2O", "--index", "0"), "--index 0"),
        (("match", "LiF", "Li2O", "--number", "1"), "give --write NAME too"),
        (("match", "LiF", "Li2O", "--write", "new"), "--write new needs --library FOLDER"),
        (("match", "LiF", "Li2O", "--write", "LiF", "--library", "lib"), "exists already"),
        ((*PAIR, "--write", "../new", "--library", "lib"), "name: letters, digits"),
        ((*PAIR, "--write", "new", "--number", "99", "--library", "lib"), "numbered from 0 to 5"),
        ((*PAIR, "--index", "2"), "--index does not go with --planes"),
        ((*PAIR, "--max-area", "5"), "raise --max-area"),
        (("register",), "--phase, --plane, --type missing"),
        (("register", "LiF"), "name a grain boundary or an interface"),
        (("register", "LiF-210-miror"), "did you mean 'LiF-210-mirror'"),
        (("register", "LiF-210-mirror", "--sigma", "5"), "--sigma: of a new grain boundary only"),
        (("register", "LiF-210-mirror", "--best", "0"), "--best 0"),
        (("register", "LiF-210-mirror", "--step", "0"), "--step 0"),
        (("register", "LiF-210-mirror", "--removed", "9"), "--removed 9"),
        (("register", "LiF-011-Li2O-111", "--removed", "1"), "grain boundaries only"),
        (("register", "LiF-210-mirror", "--write", "a b", "--library", "lib"), "name: letters, digits"),
        ((*NEW, "2", "1", "0"), "--type missing"),
        ((*NEW, "2", "2", "0", "--type", "mirror"), "common divisor 2"),
        ((*NEW, "0", "0", "1", "--type", "mirror"), "there is no boundary"),
        ((*NEW, "0", "0", "1", "--type", "twist"), "needs sigma"),
        ((*NEW, "0", "0", "1", "--type", "twist", "--sigma", "6"), "nearest: Σ5"),
        ((*NEW, "2", "1", "0", "--type", "mirror", "--thickness", "inf"), "--thickness inf"),
        (("register", "--phase", "Li2CO3", "--plane", "0", "0", "1", "--type", "twist", "--sigma", "5"), "cubic crystals"),
        (("sites", "nowhere.cif", "--species", "Li"), "nowhere.cif: no such file, and no such structure"),
        (("sites", "LiF", "--species", "O"), "no 'O' in F4Li4"),
        (("sites", "LiF", "--species", "Li", "--phases", "LiF"), "--phases does not go with LiF"),
        (("sites", "LiF", "--species", "Li", "--image-distance", "0"), "must be above zero"),
        (("sites", "LiF", "--species", "Li", "--image-distance", "1e9"), "at most 60 Å"),
        (("sites", "LiF", "--species", "Li", "--tolerance", "3"), "no space group was found"),
        (("sites", "planes.extxyz", "--species", "Li"), "heights of boundaries are fractions"),
        (("sites", "grain.extxyz", "--species", "Li"), "its column grain must hold"),
        (("sites", "free.extxyz", "--species", "Li"), "not periodic"),
    ],
)
def test_mistakes_are_named(here: Path, refused: Said, words: tuple[str, ...], message: str) -> None:
    """Every mistake is refused with what is wrong, and nothing is written."""
    if words[0] == "sites" and words[1].endswith(".extxyz"):
        atoms = Library().entry("LiF").built.atoms
        atoms.info["planes"] = "up" if words[1].startswith("planes") else []
        atoms.set_array("grain", np.full(len(atoms), 0.5 if words[1].startswith("grain") else 0))
        atoms.pbc = not words[1].startswith("free")
        write(here / words[1], atoms)
    assert message in refused(*words)
    assert not list(here.rglob("*.yaml"))
