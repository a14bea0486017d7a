"""The library's commands that look: list, show, search, build and export."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.io import read

from seiflow.cli import main
from seiflow.library.commands import SORT_KEYS
from seiflow.library.entries import Library
from seiflow.shelves import structure_shelf
from seiflow.structures.fingerprint import digest, same_structure

Said = Callable[..., str]

INTERFERING = "kind: grain_boundry\nname: odd\n"
DAMAGED = "kind: grain_boundary\nname: torn\nsummary: a test\nphase: [LiF\nplane"
SLAB = "kind: slab\nname: face\nsummary: a test\nphase: LiF\nplane: [1, 0, 0]\nthickness_angstrom: 8\n"


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """Return a function that runs a command of the library, which must succeed, and returns what it printed."""

    def call(*words: str | Path) -> str:
        assert main(["library", *map(str, words)]) == 0
        return capsys.readouterr().out

    return call


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Said:
    """Return a function that runs a command of the library, which must be refused decently, and returns the message."""

    def call(*words: str | Path) -> str:
        assert main(["library", *map(str, words)]) == 1
        error = capsys.readouterr().err
        assert "error: " in error
        assert "unexpected" not in error
        return error

    return call


def test_every_structure_is_listed(said: Said) -> None:
    """The list has a line on each structure of every kind, with its summary."""
    lines = {line.split()[0]: line for line in said("list").splitlines()[1:]}
    assert set(lines) == set(structure_shelf().names)
    assert all(structure_shelf().get(name).summary in line for name, line in lines.items())


def test_digests_do_not_depend_on_the_run(tmp_path: Path) -> None:
    """Every shipped structure has the same digest in processes that order their sets and mappings differently."""
    command = [sys.executable, "-m", "seiflow.cli", "library", "list", "--digests"]
    runs = [
        subprocess.Popen(command, cwd=tmp_path, env=os.environ | {"PYTHONHASHSEED": seed}, stdout=subprocess.PIPE)
        for seed in ("1", "4242")
    ]
    one, other = (process.communicate(timeout=120)[0] for process in runs)
    assert one == other
    rows = [line.split() for line in one.decode().splitlines()[1:]]
    assert {row[0] for row in rows} == set(structure_shelf().names)
    assert all(len(row[-1]) == 64 for row in rows)
    assert len({row[-1] for row in rows}) == len(rows)


def test_unusable_recipes_are_named_and_hide_no_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged recipe is named with file and line, one of an unknown kind with its kind; all others are still listed."""
    folder = tmp_path / "structures"
    folder.mkdir()
    (folder / "torn.yaml").write_text(DAMAGED, encoding="utf-8")
    (folder / "odd.yaml").write_text(INTERFERING, encoding="utf-8")
    assert main(["library", "list", "--library", str(tmp_path)]) == 1
    out, error = capsys.readouterr()
    assert len(out.splitlines()) == 1 + len(structure_shelf().names)
    assert f"{folder / 'torn.yaml'}, line " in error
    assert f"{folder / 'odd.yaml'}: unknown kind 'grain_boundry'; did you mean 'grain_boundary'?" in error


def test_all_is_told_of_a_boundary(said: Said) -> None:
    """Showing tells identifier, certificate, orientation, plane, termination and sizes; as JSON in full."""
    told = json.loads(said("show", "Li2CO3-110-mirror", "--json"))
    entry = Library().entry("Li2CO3-110-mirror")
    assert told["digest"] == entry.digest
    assert told["planes"] == [[1, 1, 0]]
    assert told["certificate"]["groups"]["carbonate"]["whole"] == 12
    assert told["certificate"]["boundaries_equivalent"] is True
    assert told["facts"]["termination"]["tasker"] in ("I", "II", "III")
    assert told["facts"]["area_angstrom2"] == pytest.approx(np.linalg.det(np.asarray(entry.built.atoms.cell)[:2, :2]), rel=1e-6)
    text = said("show", "Li2CO3-110-mirror")
    assert entry.digest[:12] in text
    assert "12 whole, 0 broken" in text
    assert "misorientation" in text


def test_slab_tells_its_polarity(said: Said, tmp_path: Path) -> None:
    """A slab of the user's own is shown with termination, type of polarity and the dipole along its normal."""
    (tmp_path / "structures").mkdir()
    (tmp_path / "structures/face.yaml").write_text(SLAB, encoding="utf-8")
    text = said("show", "face", "--library", tmp_path)
    assert "type I, dipole 0 e Å, faces equivalent" in text
    assert "periodic         yes, yes, no" in text
    assert [row["name"] for row in found(said, "--library", tmp_path, "--kind", "slab", "--plane", "0", "1", "0")] == ["face"]


def test_unknown_structure_is_refused_with_the_nearest(refused: Said, tmp_path: Path) -> None:
    """A wrong name is answered with the nearest one, a wrong folder with its name."""
    assert "did you mean 'LiF-310-mirror'?" in refused("show", "LiF-310-miror")
    assert f"{tmp_path / 'no'}: no such folder" in refused("list", "--library", tmp_path / "no")


def found(said: Said, *words: str | Path) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = json.loads(said("search", "--json", *words))
    return answer


def test_planes_equal_by_symmetry_are_found(said: Said) -> None:
    """A plane is found by the indices of any plane that the crystal's symmetry makes equal to it, and by no others."""
    boundaries = ("--phase", "LiF", "--kind", "grain_boundary", "--plane")
    assert [row["name"] for row in found(said, *boundaries, "0", "-1", "3")] == ["LiF-310-mirror"]
    monoclinic = ("--phase", "Li2CO3", "--kind", "grain_boundary", "--plane")
    assert [row["name"] for row in found(said, *monoclinic, "-1", "1", "0")] == ["Li2CO3-110-mirror"]
    assert found(said, *monoclinic, "0", "1", "0") == []


def test_search_gives_what_fits_and_all_that_fits(said: Said) -> None:
    """Limits are kept by every hit, and each structure is either a hit or beyond a limit; the order is that asked for."""
    all_of = ("--phase", "LiF", "--kind", "grain_boundary")
    every = found(said, *all_of, "--sort", "atoms")
    assert [row["atoms"] for row in every] == sorted(row["atoms"] for row in every)
    middle = every[len(every) // 2]["atoms"]
    low = found(said, *all_of, "--max-atoms", str(middle))
    high = found(said, *all_of, "--min-atoms", str(middle + 1))
    assert {row["name"] for row in low} | {row["name"] for row in high} == {row["name"] for row in every}
    assert len(low) + len(high) == len(every)
    assert all(row["sigma"] == 5 for row in found(said, *all_of, "--sigma", "5"))
    assert len(found(said, *all_of, "--max-strain", "0")) == len(every)


def results(folder: Path, energies: dict[tuple[str, str], float]) -> Path:
    for (structure, calculator), energy in energies.items():
        record = folder / structure / calculator / "boundary.json"
        record.parent.mkdir(parents=True)
        record.write_text(json.dumps({"calculator": calculator, "energy_j_per_m2": energy}), encoding="utf-8")
    return folder


def test_energies_of_studies_are_searched(said: Said, refused: Said, tmp_path: Path) -> None:
    """Each calculator that gave an energy gives a row; with a limit only rows with a low enough energy stay."""
    values = {("LiF-310-mirror", "one"): 0.9, ("LiF-310-mirror", "two"): 0.7, ("LiF-210-mirror", "one"): 0.5}
    folder = results(tmp_path / "results", values)
    words = ("--phase", "LiF", "--kind", "grain_boundary", "--results", folder)
    rows = found(said, *words, "--max-energy", "0.8", "--sort", "energy")
    assert [(row["name"], row["calculator"]) for row in rows] == [("LiF-210-mirror", "one"), ("LiF-310-mirror", "two")]
    table = [line.split() for line in said("search", *words, "--sort", "energy").splitlines()[1:]]
    assert [row[0] for row in table[:3]] == ["LiF-210-mirror", "LiF-310-mirror", "LiF-310-mirror"]
    assert all(row.count("–") >= 2 for row in table[3:])
    (folder / "LiF-210-mirror/one/boundary.json").write_text("{", encoding="utf-8")
    assert f"{folder / 'LiF-210-mirror/one/boundary.json'}: damaged" in refused("search", *words)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--phase", "LiFF"), "did you mean 'LiF'?"),
        (("--kind", "interfaces"), "did you mean 'interface'?"),
        (("--plane", "0", "0", "0"), "no plane"),
        (("--results", "nowhere"), "nowhere: no such folder"),
    ],
)
def test_impossible_question_is_refused(refused: Said, words: tuple[str, ...], reason: str) -> None:
    """A question about what does not exist is a mistake, not an empty answer."""
    assert reason in refused("search", *words)


def test_built_file_carries_its_certificate(said: Said, tmp_path: Path) -> None:
    """A built file read back holds name, digest and certificate, and the digest is that of its content."""
    path = tmp_path / "boundary.extxyz"
    said("build", "Li2CO3-110-mirror", "--output", path)
    atoms = read(path)
    entry = Library().entry("Li2CO3-110-mirror")
    assert atoms.info["name"] == "Li2CO3-110-mirror"
    assert atoms.info["digest"] == entry.digest == digest(atoms)
    assert atoms.info["certificate"]["net_charge_e"] == 0
    assert atoms.info["certificate"]["groups"]["carbonate"]["whole"] == entry.built.certificate.groups["carbonate"].whole
    assert list(atoms.info["planes"]) == entry.built.atoms.info["planes"]
    first = path.read_bytes()
    said("build", "Li2CO3-110-mirror", "--output", path)
    assert path.read_bytes() == first


def test_structure_is_built_of_relaxed_crystals(said: Said, refused: Said, tmp_path: Path) -> None:
    """The crystal given is the one the grains are made of; cells that are not its conventional one are refused."""
    crystal = Library().ingredient("LiF").crystal
    crystal.set_cell(crystal.cell * 1.01, scale_atoms=True)
    crystal.write(tmp_path / "LiF.extxyz")
    output = tmp_path / "boundary.extxyz"
    said("build", "LiF-310-mirror", "--crystals", tmp_path / "LiF.extxyz", "--output", output)
    published = Library().entry("LiF-310-mirror").built.atoms
    assert read(output).cell.lengths()[0] == pytest.approx(1.01 * published.cell.lengths()[0])
    crystal.repeat((2, 1, 1)).write(tmp_path / "double.extxyz")
    wrong = refused("build", "LiF-310-mirror", "--crystals", tmp_path / "double.extxyz", "--output", output)
    assert "not the conventional cell of LiF: 16 atoms" in wrong
    assert "needs 1: LiF" in refused("build", "LiF-310-mirror", "--crystals", *[tmp_path / "LiF.extxyz"] * 2, "--output", output)
    Library().ingredient("Li2O").crystal.write(tmp_path / "Li2O.extxyz")
    assert "O belongs to no phase" in refused(
        "build", "LiF-310-mirror", "--crystals", tmp_path / "Li2O.extxyz", "--output", output
    )


@pytest.mark.parametrize("file_format", ["extxyz", "cif", "poscar"])
def test_exported_files_hold_the_structures(said: Said, tmp_path: Path, file_format: str) -> None:
    """What another program reads back is the same structure; POSCAR lists each species in one run."""
    names = ("Li2CO3", "LiF-310-mirror")
    files = said("export", *names, "--format", file_format, "--output", f"{tmp_path}/out/").split()
    for name, path in zip(names, files, strict=True):
        atoms = read(path)
        assert same_structure(atoms, Library().entry(name).built.atoms)
        if file_format == "poscar":
            symbols = atoms.get_chemical_symbols()
            assert symbols == sorted(symbols)
            assert Path(path).read_text(encoding="utf-8").splitlines()[7] == "Direct"


def test_export_asks_for_what_is_missing(refused: Said, tmp_path: Path) -> None:
    """Several structures want a folder; no names, or names beside --all, are refused."""
    assert "2 structures do not go into one file" in refused(
        "export", "LiF", "Cu", "--format", "cif", "--output", tmp_path / "a.cif"
    )
    assert "or give --all" in refused("export", "--format", "cif", "--output", tmp_path)
    assert "or give --all" in refused("export", "LiF", "--all", "--format", "cif", "--output", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", SORT_KEYS)
def test_every_order_is_an_order(said: Said, key: str) -> None:
    """Every key sorts all hits and loses none."""
    rows = found(said, "--phase", "Cu", "--sort", key)
    assert [row["name"] for row in rows] == ["Cu"]
