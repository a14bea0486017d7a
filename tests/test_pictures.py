"""Pictures of structures keep lengths, show every atom, and take nothing into the page that is not theirs."""

import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from PIL import Image

from seiflow.errors import InputError
from seiflow.report import Target, make_report
from seiflow.report.panels import heights, panel
from seiflow.report.pictures import picture, write_picture
from seiflow.report.scene import BOND, Scene, colour, grain_names, scene, view
from seiflow.report.viewer import viewer_data, viewer_html, viewer_script
from seiflow.shelves import phase_shelf, structure_shelf
from seiflow.structures.build import build_structure, ingredients_as_published
from seiflow.structures.planar_recipes import SlabRecipe

NAMES = ["Li2CO3", "LiF", "Cu", "Li2CO3-m111-mirror", "LiF-001-twist-5", "LiF-320-mirror", "slab"]
PLANAR = [name for name in NAMES if "-" in name]
SCRIPT = "</script><script>alert('<b>&amp;')</script><!--"
PAGE_LIMIT = 60_000
NEAR = 0.06
"""Å; what rounding to 0.01 Å may move an atom."""


def make(name: str) -> Atoms:
    recipe = (
        SlabRecipe(kind="slab", name="slab", summary="a slab", phase="Li2CO3", plane=(0, 0, 1))
        if name == "slab"
        else structure_shelf().get(name)
    )
    phases = {phase: phase_shelf().get(phase) for phase in getattr(recipe, "ingredients", ())}
    return build_structure(recipe, ingredients_as_published(phases)).atoms


@pytest.fixture(scope="module")
def structures() -> dict[str, Atoms]:
    return {name: make(name) for name in NAMES}


def two_phases() -> Atoms:
    """Return layers of two salts one above the other, with two boundaries."""
    lower = Atoms("Li4F4", scaled_positions=np.random.default_rng(1).random((8, 3)) * [1, 1, 0.4], cell=[5, 5, 16], pbc=True)
    upper = Atoms("Li4O2", scaled_positions=np.random.default_rng(2).random((6, 3)) * [1, 1, 0.4], cell=[5, 5, 16], pbc=True)
    upper.positions[:, 2] += 8.0
    both = lower + upper
    both.set_array("grain", np.repeat([0, 1], [8, 6]))
    both.info["planes"] = [0.46, 0.96]
    return both


def shown_data(page: str) -> list[dict[str, object]]:
    return [json.loads(text) for text in re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)]


@pytest.mark.parametrize("name", NAMES)
def test_picture_is_a_png_that_fits_a_page(structures: dict[str, Atoms], name: str, tmp_path: Path) -> None:
    """The file is a sound PNG, of a size that a page can hold, whose border is empty: nothing is clipped."""
    path = tmp_path / "new" / f"{name}.png"
    write_picture(structures[name], path, title=name, grains=grain_names(structures[name]))
    image = Image.open(path)
    image.load()
    assert image.format == "PNG"
    assert 5_000 < path.stat().st_size < 400_000
    assert all(300 < side < 1700 for side in image.size)
    pixels = np.asarray(image.convert("L"))
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (border == 255).all()
    assert [path.name for path in path.parent.iterdir()] == [f"{name}.png"]


def test_equal_structures_give_equal_bytes(structures: dict[str, Atoms]) -> None:
    """Neither the picture nor the viewer holds a date or anything random."""
    atoms = structures["Li2CO3-m111-mirror"]
    first, second = (picture(atoms.copy(), title="$x$", dots_per_inch=60) for _ in range(2))
    assert first == second
    assert not {"Software", "Creation Time", "date"} & set(Image.open(io.BytesIO(first)).info)
    assert viewer_html(atoms, title="x") == viewer_html(atoms.copy(), title="x")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("axis", [0, 1])
def test_projection_keeps_lengths_across_the_line_of_sight(structures: dict[str, Atoms], name: str, axis: int) -> None:
    """Atoms that differ by a vector across the line of sight are as far apart on paper; along it they coincide."""
    drawn = scene(structures[name])
    seen = panel(drawn, axis)
    sight = drawn.cell[axis] / np.linalg.norm(drawn.cell[axis])
    apart = drawn.positions[:, None] - drawn.positions[None]
    across = np.linalg.norm(apart - (apart @ sight)[..., None] * sight, axis=-1)
    assert np.linalg.norm(seen.points[:, None] - seen.points[None], axis=-1) == pytest.approx(across, abs=1e-9)
    step = seen.corners[4 if axis == 0 else 2] - seen.corners[0]
    assert step == pytest.approx(np.zeros(2), abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_views_are_rotations(structures: dict[str, Atoms], name: str, axis: int) -> None:
    """A view turns the structure and never mirrors it."""
    drawn = scene(structures[name])
    matrix = view(drawn.cell, axis, planar=drawn.planar)
    assert matrix @ matrix.T == pytest.approx(np.eye(3), abs=1e-9)
    assert np.linalg.det(matrix) == pytest.approx(1.0)


@pytest.mark.parametrize("name", PLANAR)
def test_planes_are_drawn_between_the_grains(structures: dict[str, Atoms], name: str) -> None:
    """In both views the first plane has every atom of the first grain below it and every atom of the second above it."""
    drawn = scene(structures[name])
    for axis in (0, 1):
        seen = panel(drawn, axis)
        below, first, second = heights(seen, [structures[name].info["planes"][1] - 1, *structures[name].info["planes"]])
        lower, upper = (seen.points[drawn.grains == grain, 1] for grain in (0, 1))
        assert below < lower.min() < lower.max() < first < upper.min() < upper.max() < second
        normal = np.cross(drawn.cell[0], drawn.cell[1])
        total = drawn.cell[2] @ normal / np.linalg.norm(normal)
        assert [first, second] == pytest.approx(total * np.array(structures[name].info["planes"]), abs=1e-6)


@pytest.mark.parametrize("name", PLANAR)
def test_grains_are_named_from_below(structures: dict[str, Atoms], name: str) -> None:
    """Two grains of one phase are numbered, and each name stands between the planes that bound its grain."""
    drawn = scene(structures[name])
    assert grain_names(structures[name]) == ("grain 1", "grain 2")
    assert [section.grain for section in drawn.sections] == [0, 1]
    assert drawn.sections[0].top == drawn.sections[1].bottom == pytest.approx(structures[name].info["planes"][0])


def test_grains_of_two_phases_have_their_formulas() -> None:
    """Grains that differ in composition are told apart by it."""
    assert grain_names(two_phases()) == ("LiF", "Li₂O")


@pytest.mark.parametrize("name", NAMES)
def test_cell_looks_closed_and_groups_whole(structures: dict[str, Atoms], name: str) -> None:
    """Every atom is drawn, images are lattice translations of it, and a carbon atom drawn has its three oxygen atoms."""
    atoms = structures[name]
    drawn = scene(atoms)
    inverse = np.linalg.inv(drawn.cell)
    origin = np.array(list(atoms.symbols))
    found = set()
    for symbol, place in zip(drawn.symbols, drawn.positions, strict=True):
        apart = (place - atoms.positions) @ inverse
        same = np.flatnonzero((np.abs(apart - np.round(apart)) < 1e-6).all(axis=1) & (origin == symbol))
        assert len(same) == 1
        found.add(int(same[0]))
    assert found == set(range(len(atoms)))
    assert len({tuple(place) for place in drawn.positions.round(4)}) == len(drawn.positions)
    neighbours = np.bincount(drawn.bonds.ravel(), minlength=len(drawn.symbols))
    assert {symbol: set(neighbours[np.array(drawn.symbols) == symbol]) for symbol in set(drawn.symbols)} == {
        symbol: {3 if symbol == "C" else 1 if "C" in drawn.symbols and symbol == "O" else 0} for symbol in set(drawn.symbols)
    }


def test_corner_atoms_are_drawn_eight_times(structures: dict[str, Atoms]) -> None:
    """A face-centred cubic cell shows its eight corners and six faces; neighbouring metal atoms count as not bonded."""
    drawn = scene(structures["Cu"])
    assert len(drawn.symbols) == 8 + 6
    assert drawn.bonds.shape == (0, 2)


def test_slab_shows_no_images_in_the_vacuum(structures: dict[str, Atoms]) -> None:
    """Along a direction without periodicity nothing is repeated, and the empty room above is marked."""
    atoms = structures["slab"]
    drawn = scene(atoms)
    assert drawn.positions[:, 2].max() == pytest.approx(atoms.positions[:, 2].max())
    assert [section.grain for section in drawn.sections] == [None]
    assert drawn.sections[0].bottom == pytest.approx(atoms.positions[:, 2].max() / atoms.cell[2, 2])


def test_a_framework_without_end_is_drawn() -> None:
    """Non-metals bonded through the whole crystal have no piece to show whole; they are drawn as they lie in the cell."""
    diamond = Atoms("C2", scaled_positions=[[0.1, 0.1, 0.1], [0.35, 0.35, 0.35]], cell=1.785 * (1 - np.eye(3)), pbc=True)
    drawn = scene(diamond)
    lengths = np.linalg.norm(np.diff(drawn.positions[drawn.bonds], axis=1)[:, 0], axis=1)
    assert len(lengths)
    assert (lengths < BOND * 2 * 0.76).all()


def test_elements_have_colours_of_their_own() -> None:
    """Elements of the interphase, and those next to each other in a group, are not drawn alike."""
    for several in (["Li", "C", "O", "F", "H"], ["Li", "Na", "K"], ["O", "S"], ["F", "Cl"], ["Cu", "Au", "Ag"], ["P", "O"]):
        assert len({colour(symbol) for symbol in several}) == len(several)
    assert all(re.fullmatch("#[0-9A-F]{6}", colour(symbol)) for symbol in ("H", "He", "Sc", "La", "U", "Rn"))


@pytest.mark.parametrize("name", NAMES)
def test_every_atom_is_in_the_data_of_the_viewer(structures: dict[str, Atoms], name: str) -> None:
    """The data of the page place every atom of the cell, up to lattice translations, and say which element it is."""
    atoms = structures[name]
    (data,) = shown_data(viewer_html(atoms, title=name, grains=grain_names(atoms)))
    rows = np.array(data["atoms"]).reshape(-1, 4)
    symbols = [data["kinds"][kind][0] for kind in rows[:, 0]]
    for symbol, place in zip(atoms.symbols, atoms.positions, strict=True):
        apart = (rows[:, 1:] / 100 - place) @ np.linalg.inv(atoms.cell)
        lengths = np.linalg.norm((apart - np.round(apart)) @ np.asarray(atoms.cell), axis=1)
        assert min(length for length, other in zip(lengths, symbols, strict=True) if other == symbol) < NEAR
    assert data["planes"] == pytest.approx(list(atoms.info.get("planes", [])), abs=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_viewer_is_small(structures: dict[str, Atoms], name: str) -> None:
    assert len(viewer_html(structures[name], title=name).encode()) < PAGE_LIMIT


def test_names_cannot_leave_their_place(structures: dict[str, Atoms]) -> None:
    """A title or a grain that holds markup is text for the page, and arrives unchanged."""
    page = viewer_html(structures["LiF-001-twist-5"], title=SCRIPT, grains=[SCRIPT, SCRIPT])
    tags = Tags(page)
    assert tags.names == ["div", "img", "script"]
    assert tags.attributes["img"]["alt"] == f"{SCRIPT}: two views"
    (data,) = shown_data(page)
    assert data["title"] == SCRIPT
    assert [section[2] for section in data["sections"]] == [SCRIPT, SCRIPT]


def test_script_reaches_for_nothing() -> None:
    """The script of the viewers fetches nothing, stores nothing and cannot end its element early."""
    code = viewer_script()
    assert not re.search(r"https?:|fetch\(|XMLHttpRequest|import |WebSocket|localStorage|eval\(|innerHTML|</", code)


def test_data_hold_what_the_script_reads(structures: dict[str, Atoms]) -> None:
    """Every key that the script takes from the data is there."""
    data = viewer_data(scene(structures["LiF"]), title="x")
    assert set(re.findall(r"\bdata\.(\w+)", viewer_script())) <= set(data)


class Tags(HTMLParser):
    """Collects the tags of a page."""

    def __init__(self, text: str) -> None:
        """Read a whole page."""
        super().__init__()
        self.names: list[str] = []
        self.attributes: dict[str, dict[str, str | None]] = {}
        self.links: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes[tag] = dict(attrs)
        self.links += [value for key, value in attrs if key in {"src", "href", "srcset", "data"} and value]


def references(folder: Path) -> Path:
    (folder / "references").mkdir()
    return folder / "references"


def study(folder: Path, structures: dict[str, Atoms]) -> list[Target]:
    targets = []
    for name, atoms in structures.items():
        for calculator in ("one", "two"):
            path = folder / name / calculator / "relaxed.extxyz"
            path.parent.mkdir(parents=True)
            write(path, atoms)
            targets.append(Target(name, calculator, "relaxation"))
    return targets


def test_page_holds_a_viewer_for_each_structure(structures: dict[str, Atoms], tmp_path: Path) -> None:
    """Each structure is shown once, by the first calculator that has it, with a picture file; nothing is fetched."""
    targets = study(tmp_path, {name: structures[name] for name in ("LiF", "slab", "Li2CO3-m111-mirror")})
    (tmp_path / "slab" / "one" / "relaxed.extxyz").unlink()
    make_report(tmp_path, targets, references(tmp_path), "A study")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert [data["title"] for data in shown_data(page)] == ["LiF", "slab", "Li2CO3-m111-mirror"]
    captions = re.findall(r"atoms, relaxed with (\w+)", page)
    assert captions == ["one", "two", "one"]
    assert page.count("requestAnimationFrame") == viewer_script().count("requestAnimationFrame")
    assert all(link.startswith(("#", "data:image/png;base64,", "https://doi.org/")) for link in Tags(page).links)
    drawn = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert drawn == ["Li2CO3-m111-mirror.png", "LiF.png", "slab.png"]


@pytest.mark.parametrize(
    "text",
    [
        "8\nbroken",
        "",
        "1\nProperties=species:S:1:pos:R:3\nLi 0 0 0\n",
        '1\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3\nLi nan 0 0\n',
        '1\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 planes="no number"\nLi 0 0 0\n',
        '1\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3:grain:S:1 planes="0.5 1.0"\nLi 0 0 0 left\n',
    ],
)
def test_a_damaged_structure_is_one_more_thing_missing(structures: dict[str, Atoms], tmp_path: Path, text: str) -> None:
    """The report says why it shows no picture, and takes the next calculator's structure."""
    targets = study(tmp_path, {"LiF": structures["LiF"]})
    (tmp_path / "LiF" / "one" / "relaxed.extxyz").write_text(text, encoding="utf-8")
    make_report(tmp_path, targets, references(tmp_path), "A study")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert re.search(r"<td>picture</td>.*relaxed\.extxyz", page)
    assert "atoms, relaxed with two" in page


def test_a_page_without_structures_has_no_script(tmp_path: Path) -> None:
    make_report(tmp_path, [Target("LiF", "one", "relaxation")], references(tmp_path), "A study")
    assert "<script" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_folder_that_cannot_be_written_is_named(structures: dict[str, Atoms], tmp_path: Path) -> None:
    """The user is told which file could not be written."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"LiF\.png: cannot be written"):
        write_picture(structures["LiF"], tmp_path / "file" / "LiF.png", title="LiF")


def test_scene_does_not_depend_on_where_the_cell_starts(structures: dict[str, Atoms]) -> None:
    """Atoms that a relaxation left in a neighbouring cell are drawn in this one."""
    atoms = structures["Li2CO3"].copy()
    atoms.positions += atoms.cell[0] * np.arange(len(atoms))[:, None] - 2 * atoms.cell[1]

    def places(drawn: Scene) -> set[tuple[float, ...]]:
        return {(*place,) for place in (drawn.positions.round(3) + 0.0).tolist()}

    assert places(scene(atoms)) == places(scene(structures["Li2CO3"]))
