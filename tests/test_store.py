"""The cache of finished steps: what a key is made of, entries that appear whole, many users at once, and what is told of it."""

import ast
import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import seiflow
from seiflow.calculators.recipes import CalculatorRecipe
from seiflow.cli import main
from seiflow.identity import calculator_identity, input_identity, recipe_identity, weights_identity
from seiflow.jobs import crystal, planar
from seiflow.provenance.cache import checked, contents, prune
from seiflow.reach import NO_NUMBERS, changes_numbers, code_digests, modules_of, parsed, scanned
from seiflow.records import digest_file, record_digest
from seiflow.settings import ElasticitySettings
from seiflow.shelves import data_folder, load_recipe, load_structure
from seiflow.store import Key, Store
from seiflow.store_folder import MANIFEST

Run = Callable[..., subprocess.CompletedProcess[str]]
Command = Callable[..., list[str]]
Library = Callable[..., Path]

SOURCE = Path(__file__).parents[1] / "src" / "seiflow"
EMT = "ase.calculators.emt:EMT"
KEY = Key("Cu", "emt", "hop hop_1", {"step": "hop hop_1", "settings": {"fmax": 0.1 + 0.2}})

COUNTING = """\
import os, sys
from ase.calculators.emt import EMT

class Counting(EMT):
    def calculate(self, *arguments, **options):
        with open(os.environ["COUNT_TO"], "a") as file:
            file.write(sys.argv[1] + "\\n")
        super().calculate(*arguments, **options)
"""
COUNTED = {
    "name": "counted",
    "summary": "EMT that counts",
    "factory": "counting:Counting",
    "elements": ["Al", "Cu"],
    "charge": False,
    "seconds_per_atom": 0.001,
    "source": {"citation": "a test"},
}
SETTINGS = {"migration": {"image_distance": 5}, "phonons": {"image_distance": 5, "mesh_density": 20}}
SLAB = {"kind": "slab", "name": "Cu-111", "summary": "a test", "phase": "Cu", "plane": [1, 1, 1], "thickness_angstrom": 8}


def kept(folder: Path, record: str = '{"energy": 1}', frame: str = "2\n") -> list[Path]:
    """Write the files of a step."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "a.json", folder / "a.extxyz"]
    for file, text in zip(files, (record, frame), strict=True):
        file.write_text(text, encoding="utf-8")
    return files


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store with one entry."""
    made = Store(tmp_path / "store")
    assert made.keep(KEY, kept(tmp_path / "files")) is None
    return made


def entry(store: Store) -> Path:
    assert store.folder is not None
    return store.folder / KEY.place


def test_entry_comes_back_whole_or_not_at_all(store: Store) -> None:
    """What is kept comes back byte for byte; without it, or with a file missing or changed, nothing does and the entry goes."""
    assert store.fetch(KEY) == ['{"energy": 1}', "2\n"]
    assert store.fetch(Key("Cu", "emt", "hop hop_1", {"step": "hop hop_2"})) is None
    (entry(store) / "structures-1.extxyz").chmod(0o644)
    (entry(store) / "structures-1.extxyz").write_text("3\n", encoding="utf-8")
    assert [problem for _, _, problem in checked(store)] == ["structures-1.extxyz: changed after it was kept"]
    assert store.fetch(KEY) is None
    assert not entry(store).exists()
    assert not store.remains()


def test_equal_step_is_kept_once(store: Store, tmp_path: Path) -> None:
    """A step finished twice, with other bits even, leaves the first result and no rubbish."""
    assert store.keep(KEY, kept(tmp_path / "later", '{"energy": 2}')) is None
    assert store.fetch(KEY) == ['{"energy": 1}', "2\n"]
    assert store.remains() == []


def test_damaged_entry_of_another_user_is_left_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged entry that belongs to somebody else is neither used nor removed, nor is a sound one pruned."""
    monkeypatch.setattr("os.geteuid", lambda: entry(store).stat().st_uid + 1)
    assert prune(store, larger_than_gb=0).of_others == 1
    (entry(store) / "record.json").unlink()
    assert store.fetch(KEY) is None
    assert entry(store).is_dir()


def test_entry_is_as_open_as_the_store(tmp_path: Path) -> None:
    """Folders take the mode of the store whatever the umask is; files are for reading, only the manifest's date may change."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store").chmod(0o2775)
    before = os.umask(0o077)
    try:
        Store(tmp_path / "store").keep(KEY, kept(tmp_path))
    finally:
        os.umask(before)
    place = tmp_path / "store" / KEY.place
    assert [path.stat().st_mode & 0o7777 for path in (place, *list(place.parents)[:3])] == [0o2775] * 4
    modes = {path.name: path.stat().st_mode & 0o777 for path in place.iterdir()}
    assert modes == {"record.json": 0o444, "structures-1.extxyz": 0o444, MANIFEST: 0o664}


@pytest.mark.parametrize(
    "name", ["../../../../../secret", "/etc/hostname", "..", "", "link", "pipe", "folder"], ids=lambda name: name or "empty"
)
def test_manifest_names_nothing_outside(store: Store, tmp_path: Path, name: str) -> None:
    """A manifest that names a path, a link, a pipe or a folder gives nothing, and nothing blocks."""
    (tmp_path / "secret").write_text("x", encoding="utf-8")
    place = entry(store)
    (place / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(place / "pipe")
    (place / "folder").mkdir()
    manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"][name] = digest_file(tmp_path / "secret")
    (place / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    assert all(problem for _, _, problem in checked(store))
    assert store.fetch(KEY) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": 1}', '{"files": {"record.json": 1}}', "[" * 99999, "null"])
def test_malformed_manifest_is_a_miss(store: Store, text: str) -> None:
    """A manifest of any content gives nothing and raises nothing."""
    (entry(store) / MANIFEST).write_text(text, encoding="utf-8")
    assert [problem for _, _, problem in checked(store)] == ["its manifest cannot be read"]
    assert store.fetch(KEY) is None


def test_names_of_a_key_stay_in_the_store() -> None:
    """A site or step named like a path makes one folder."""
    place = Key("..", ".emt", "hop ../../x", {}).place
    assert place.split("/")[:3] == ["_.", "_emt", "hop_.._.._x"]


def test_what_cannot_be_kept_is_said(tmp_path: Path) -> None:
    """On a place that is no folder nothing is kept, the reason comes back, and a look-up finds nothing."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    store = Store(tmp_path / "file" / "store")
    assert "the result could not be kept" in str(store.keep(KEY, kept(tmp_path)))
    assert store.fetch(KEY) is None
    assert "nothing can be kept here" in str(store.problem())


def _keep_with_little_room(folder: Path, files: list[Path]) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
    said = Store(folder).keep(KEY, files)
    os._exit(0 if said and "could not be kept" in said else 1)


def test_full_disk_leaves_no_part_of_an_entry(tmp_path: Path) -> None:
    """A write that fails half-way is told, and nothing of the entry is seen."""
    files = kept(tmp_path, frame="x" * 6000)
    process = multiprocessing.get_context("fork").Process(target=_keep_with_little_room, args=(tmp_path / "store", files))
    process.start()
    process.join(30)
    assert process.exitcode == 0
    assert not (tmp_path / "store" / KEY.place).exists()
    assert Store(tmp_path / "store").remains() == []


def _work(folder: Path, files: list[Path], end: float) -> None:
    store = Store(folder)
    while time.monotonic() < end:
        store.keep(KEY, files)


def _read(folder: Path, expected: list[list[str]], end: float) -> None:
    store, seen = Store(folder), 0
    while time.monotonic() < end:
        found = store.fetch(KEY)
        seen += found is not None
        if found is not None and found not in expected:
            os._exit(1)
    os._exit(0 if seen else 2)


def _remove(folder: Path, end: float) -> None:
    while time.monotonic() < end:
        prune(Store(folder), larger_than_gb=0)


def test_writers_readers_and_removers_at_once(tmp_path: Path) -> None:
    """While two write an entry, with other bits each, and one removes it, a reader sees all of one of them or nothing."""
    texts = [['{"energy": 1}', "2\n" * 9999], ['{"energy": 3}', "4\n" * 9999]]
    end, context = time.monotonic() + 3, multiprocessing.get_context("fork")
    folder = tmp_path / "store"
    workers = [context.Process(target=_work, args=(folder, kept(tmp_path / text[0][-2], *text), end)) for text in texts]
    workers += [context.Process(target=_read, args=(folder, texts, end)), context.Process(target=_remove, args=(folder, end))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    assert all(problem is None for _, _, problem in checked(Store(folder)))
    assert Store(folder).remains() == []


def test_prune_takes_what_is_old_or_too_much(store: Store, tmp_path: Path) -> None:
    """What nobody used for so long goes, or the longest unused until the store is small enough; a use makes young again."""
    other = Key("Al", "emt", "relax", {"step": "relax"})
    store.keep(other, kept(tmp_path / "other"))
    old = time.time() - 10 * 86400
    os.utime(entry(store) / MANIFEST, (old, old))
    assert prune(store, older_than_days=11).entries == 0
    assert prune(store, older_than_days=9, dry=True).entries == 1
    size = sum(row.size_bytes for row in contents(store))
    assert prune(store, larger_than_gb=(size - 1) / 1e9, dry=True).entries == 1
    assert store.fetch(KEY) is not None
    assert prune(store, older_than_days=9).entries == 0
    os.utime(entry(store) / MANIFEST, (old, old))
    assert prune(store, larger_than_gb=(size - 1) / 1e9).entries == 1
    assert [row.structure for row in contents(store)] == ["Al"]


def test_remains_of_killed_jobs_go(store: Store) -> None:
    """What a killed job left half-written is pruned after a day, not before: the job may live."""
    left = entry(store).parent / ".partial-x"
    left.mkdir()
    prune(store, older_than_days=1)
    assert left.exists()
    os.utime(left, (0, 0))
    prune(store, older_than_days=1)
    assert not left.exists()


def test_killed_removal_leaves_no_part_of_an_entry(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that is being removed is out of sight before its first file goes."""
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)
    prune(store, larger_than_gb=0)
    assert not entry(store).exists()
    (left,) = store.remains()
    assert len(list(left.iterdir())) == 3


# What a key is made of


def test_words_of_a_recipe_do_not_count(tmp_path: Path) -> None:
    """A comment, another summary or source in a recipe changes no key; any number of it does."""
    text = (data_folder("structures") / "phases" / "LiF.yaml").read_text(encoding="utf-8")
    data = yaml.safe_load(text)
    own = recipe_identity(load_structure(data_folder("structures") / "phases" / "LiF.yaml"))

    def identity(**changes: object) -> dict[str, Any]:
        path = tmp_path / "LiF.yaml"
        path.write_text("# a comment\n" + yaml.safe_dump(data | changes), encoding="utf-8")
        return recipe_identity(load_structure(path))

    assert identity(summary="another", source={"citation": "another"}) == own
    assert identity(cell={key: value + 1e-9 for key, value in data["cell"].items()}) != own
    assert identity(mobile="F") != own


def calculator(tmp_path: Path, **changes: object) -> CalculatorRecipe:
    """Return the recipe of a calculator that a file defines."""
    data = {"name": "own", "summary": "x", "factory": EMT, "elements": ["Cu"], "charge": False, "seconds_per_atom": 1}
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(data | {"source": {"citation": "x"}} | changes), encoding="utf-8")
    return load_recipe(path, CalculatorRecipe)


def test_what_a_calculator_costs_does_not_count(tmp_path: Path) -> None:
    """Cost, memory, processes, elements and words of a calculator change no key; a factory, an argument, a remedy does."""
    own = calculator_identity(calculator(tmp_path), {})
    for changes in ({"seconds_per_atom": 2}, {"memory_mb": 9}, {"elements": ["H-Bi"]}, {"summary": "y"}):
        assert calculator_identity(calculator(tmp_path, **changes), {}) == own, changes
    started = [calculator_identity(calculator(tmp_path, program="code", processes=number), {}) for number in (1, 4)]
    assert started[0] == started[1]
    remedies = [{"name": "a", "arguments": {"b": 1}}]
    for changes in ({"factory": "a:b"}, {"arguments": {"asap_cutoff": True}}, {"stress": False}, {"remedies": remedies}):
        assert calculator_identity(calculator(tmp_path, **changes), {}) != own, changes


def test_weights_count_by_content(tmp_path: Path) -> None:
    """Weights in another folder are the same, given by file or by folder; other weights, or two exchanged, are not."""

    def identity(folder: str, first: str = "1", second: str = "2") -> tuple[object, object]:
        paths = [tmp_path / folder / name for name in ("a.pt", "b.pt")]
        weights = dict(zip(map(str, paths), (first, second), strict=True))
        arguments = {"model": str(paths[0]), "others": [str(paths[1])], "folder": str(tmp_path / folder), "text": "a/b"}
        recipe = calculator(tmp_path, weights=list(weights), arguments=arguments)
        return calculator_identity(recipe, weights), weights_identity(weights)

    assert identity("here") == identity("there")
    assert identity("here") != identity("here", first="3")
    assert identity("here", "1", "2") != identity("here", "2", "1")
    assert str(tmp_path) not in str(identity("here"))


def test_input_counts_by_its_numbers(tmp_path: Path) -> None:
    """A record that came about in another way counts as the same input; one with another number does not."""
    path = tmp_path / "a.json"

    def identity(**record: object) -> str:
        path.write_text(json.dumps(record), encoding="utf-8")
        return input_identity(path)

    assert identity(energy=1.0, provenance={"git_revision": "a"}) == identity(energy=1.0, provenance={"git_revision": "b"})
    assert identity(energy=1.0) != identity(energy=1.0000000001)


# Which code a step can reach


def test_lines_tell_all_imports() -> None:
    """Imports read off the lines of every module of the package are those that a parser of Python finds."""
    for path in modules_of(SOURCE, "seiflow").values():
        source = path.read_text(encoding="utf-8")
        found = {name: names for name, names in scanned(source).items() if name.startswith("seiflow")}
        expected = {name: names for name, names in parsed(ast.parse(source).body).items() if name.startswith("seiflow")}
        assert {name: names & found.get(name, set()) for name, names in expected.items()} == expected, path


def test_only_the_factory_is_imported_by_name() -> None:
    """Of the modules that numbers depend on, one imports others in a way that its source does not show: it makes calculators."""
    hidden = {"import_module", "__import__", "exec", "eval", "run_module", "run_path"}
    found = set()
    for name, path in modules_of(SOURCE, "seiflow").items():
        calls = [node.func for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        called = {ast.unparse(call).removeprefix("importlib.").removeprefix("runpy.") for call in calls}
        found |= {name} if called & hidden and changes_numbers(name) else set()
    assert found == {"seiflow.calculators.factory"}


def test_names_of_modules_without_numbers_are_modules() -> None:
    """Every module that is said to change no number exists."""
    assert set(modules_of(SOURCE, "seiflow")) >= NO_NUMBERS


CHANGES = """
import sys
from pathlib import Path
from seiflow import reach
from seiflow.jobs import crystal, planar

job, factory, *files = sys.argv[1:]
job = getattr(planar if job == "register" else crystal, job)
before = reach.code_digests(job, factory)
for each in files:
    name, _, function = each.partition(":")
    path = Path(reach.__file__).parent / name
    text = path.read_text()
    start = text.index(":\\n", text.index(f"def {function}(")) + 2 if function else len(text)
    path.write_text(text[:start] + ("    1 + 1\\n" if function else "\\nEXTRA = 1\\n") + text[start:])
    reach.code_digests.cache_clear()
    print(each, reach.code_digests(job, factory) != before)
    path.write_text(text)
"""
REACHED = [
    "properties/elasticity.py",
    "properties/strains.py",
    "structures/space_group.py",
    "engine.py",
    "calculators/learned.py",
]
ELSEWHERE = ["properties/phonons.py", "structures/slab.py", "calculators/gpaw.py", "status.py", "estimate.py", "store.py"]
ELSEWHERE += ["jobs/crystal.py:phonons", "report/html.py", "calculators/environments.py", "relaxation.py"]


def test_code_counts_where_a_step_can_reach_it(tmp_path: Path) -> None:
    """Changed code that elasticity with CHGNet can reach makes it new, and other code does not; of jobs each counts alone."""
    shutil.copytree(SOURCE, tmp_path / "seiflow")

    def changed(job: str, factory: str, *files: str) -> list[str]:
        command = [sys.executable, "-c", CHANGES, job, factory, *files]
        variables = os.environ | {"PYTHONPATH": str(tmp_path)}
        told = subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout
        return [name for name, answer in (line.split() for line in told.splitlines()) if answer == "True"]

    assert changed("elasticity", "seiflow.calculators.chgnet:chgnet", *REACHED, *ELSEWHERE) == REACHED
    own = ["jobs/planar.py:register", "jobs/planar.py:_ingredients", "jobs/task.py:read_structures", "structures/slab.py"]
    assert changed("register", EMT, *own, "jobs/planar.py:boundary", "calculators/learned.py") == own


def test_code_of_a_calculator_counts_unless_it_has_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of a user's own calculator, and those beside it that it imports, count; those of installed packages go by version."""
    files = {
        "lab/__init__.py": "",
        "lab/calc.py": "from .parts import a\ntry:\n    import lab_tools, numpy\nexcept ImportError: pass\n",
        "lab/parts.py": "a = 1\n",
        "lab_tools.py": "",
        "lab/unused.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    found = code_digests(crystal.elasticity, "lab.calc:Calculator")
    own = {name for name in found if not name.startswith("seiflow")}
    assert own == {"lab", "lab.calc", "lab.parts", "lab_tools"}
    assert not [name for name in code_digests(crystal.elasticity, EMT) if not name.startswith("seiflow")]
    (tmp_path / "lab/parts.py").write_text("a = 2\n", encoding="utf-8")
    code_digests.cache_clear()
    assert code_digests(crystal.elasticity, "lab.calc:Calculator")["lab.parts"] != found["lab.parts"]


def test_code_is_read_quickly() -> None:
    """Which code a job can reach is known in less time than it takes to parse it: each job asks."""
    known = modules_of(Path(seiflow.__file__).parent, "seiflow")
    shares = []
    for _ in range(5):
        code_digests.cache_clear()
        start = time.process_time()
        found = code_digests(planar.boundary, "seiflow.calculators.chgnet:chgnet")
        read = time.process_time()
        for name in found:
            ast.parse(known[name].read_text(encoding="utf-8"))
        shares.append((read - start) / (time.process_time() - read))
    assert min(shares) < 0.8


# Studies


@dataclass(frozen=True)
class Shared:
    """Two studies that were run at once on one cache.

    Attributes:
        folder: Which holds all.
        evaluations: File with a line for each force evaluation: the command that made it.
    """

    folder: Path

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def evaluations(self) -> Path:
        return self.folder / "evaluations"

    def study(self, name: str, *blocks: dict[str, object], words: str = "", **settings: object) -> Path:
        """Write a study with a library of its own: recipes and weights by the same content in other files."""
        folder = self.folder / name
        mine = folder / "mine"
        for kind in ("calculators", "structures"):
            (mine / kind).mkdir(parents=True)
        (mine / "weights.bin").write_text("weights", encoding="utf-8")
        recipe = {**COUNTED, "weights": [str(mine / "weights.bin")]}
        (mine / "calculators/counted.yaml").write_text(f"# {words}\n" + yaml.safe_dump(recipe), encoding="utf-8")
        for phase in ("Al", "Cu"):
            text = (data_folder("structures") / f"phases/{phase}.yaml").read_text(encoding="utf-8")
            (mine / f"structures/{phase}.yaml").write_text(f"# {words}\n{text}", encoding="utf-8")
        data = {"title": name, "library": ["mine"], "calculations": list(blocks), "settings": SETTINGS | settings}
        (folder / "study.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
        return folder


def block(structures: list[str], *properties: str) -> dict[str, object]:
    return {"structures": structures, "calculators": ["counted"], "properties": list(properties)}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, run: Run, workflow: Command) -> Iterator[Shared]:
    """Run two studies at once from a cold cache, with a calculator of the user's own that counts."""
    made = Shared(tmp_path_factory.mktemp("shared"))
    (made.folder / "counting.py").write_text(COUNTING, encoding="utf-8")
    folders = [
        made.study("first", block(["Cu", "Al"], "elasticity")),
        made.study("second", block(["Cu"], "elasticity", "migration"), words="a comment"),
    ]
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(made.folder), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))
        patch.setenv("COUNT_TO", str(made.evaluations))
        patch.syspath_prepend(made.folder)
        for done in pool.map(lambda folder: run("snakemake", *workflow(), cwd=folder, store=made.cache), folders):
            assert done.returncode == 0, done.stdout + done.stderr
        yield made


def numbers(path: Path) -> dict[str, Any]:
    return {key: value for key, value in json.loads(path.read_text(encoding="utf-8")).items() if key != "provenance"}


def said(capsys: pytest.CaptureFixture[str], *arguments: str | Path, fails: bool = False) -> str:
    """Return what a command of the cache prints."""
    assert main(["cache", *map(str, arguments)]) == int(fails)
    told = capsys.readouterr()
    return told.err if fails else told.out


@pytest.mark.study
def test_two_studies_at_once_end_alike(shared: Shared, capsys: pytest.CaptureFixture[str]) -> None:
    """Two studies that share steps and run at once from a cold cache get the same numbers and files, and leave it sound."""
    first, second = (shared.folder / name / "results/Cu/counted" for name in ("first", "second"))
    for name in ("relaxation.json", "elasticity.json"):
        assert numbers(first / name) == numbers(second / name)
    assert (first / "relaxed.extxyz").read_bytes() == (second / "relaxed.extxyz").read_bytes()
    assert "all sound" in said(capsys, "check", "--cache", shared.cache)
    assert Store(shared.cache).remains() == []


@pytest.mark.study
def test_second_study_relaxes_nothing(shared: Shared, run: Run, workflow: Command) -> None:
    """A study elsewhere on the same phases, its recipes commented and priced otherwise, evaluates for what it adds alone.

    Its records name its own recipes, and have the numbers of the first.
    """
    before = shared.evaluations.read_text(encoding="utf-8").splitlines()
    assert {"relax", "elasticity", "vacancy", "hop"} <= set(before)
    folder = shared.study("third", block(["Cu", "Al"], "elasticity"), block(["Al"], "phonons"), words="priced otherwise")
    recipe = folder / "mine/calculators/counted.yaml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("seconds_per_atom: ", "seconds_per_atom: 1"), encoding="utf-8")
    done = run("snakemake", *workflow(), cwd=folder, store=shared.cache)
    assert done.returncode == 0, done.stdout + done.stderr
    after = shared.evaluations.read_text(encoding="utf-8").splitlines()
    assert set(after[len(before) :]) == {"phonons"}
    for name in ("Cu/counted/relaxation.json", "Al/counted/elasticity.json"):
        path = folder / "results" / name
        assert numbers(path) == numbers(shared.folder / "first/results" / name)
        provenance = json.loads(path.read_text(encoding="utf-8"))["provenance"]
        assert provenance["recipes_sha256"]["calculator"] == digest_file(recipe)
        assert provenance["record_sha256"] == record_digest(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.study
def test_everything_a_study_made_is_explained_as_there(
    shared: Shared, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every result of a study is in the cache under the key that the explanation gives, asked from any folder."""
    monkeypatch.chdir("/")
    told = said(capsys, "explain", shared.folder / "second/results", "--cache", shared.cache).splitlines()
    assert [line.split()[0] for line in told[:-1]] == ["hit"] * 6
    assert told[-1].startswith("6 of 6 steps are in the cache")
    path = shared.folder / "second/results/Cu/counted/hops/hop_1.json"
    assert f"{path}: in the cache" in said(capsys, "explain", path, "--cache", shared.cache)
    assert said(capsys, "explain", path.with_suffix(".extxyz"), "--cache", shared.cache).splitlines()[1] in said(
        capsys, "explain", path, "--cache", shared.cache
    )


FMAX = ElasticitySettings().fmax


@pytest.mark.study
@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("study.yaml", "title: ", "title: new ", None),
        ("mine/structures/Cu.yaml", "3.615", "3.625", r"structure +line \d+: cell\.a: 3\.615 there, 3\.625 here"),
        (
            "mine/calculators/counted.yaml",
            "charge: false",
            "charge: true",
            r"calculator +line \d+: charge: False there",
        ),
        ("mine/weights.bin", "weights", "others", r"weights +weights\.bin: other content"),
        ("../counting.py", "import os", "import io, os", r"code +counting: other content"),
    ],
    ids=["title", "structure", "calculator", "weights", "code"],
)
def test_change_is_a_miss_and_named(
    shared: Shared,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    file: str,
    old: str,
    new: str,
    expected: str | None,
) -> None:
    """A changed number of a recipe, weight file or calculator is a miss, and the explanation tells which; a title is none."""
    folder = shared.study(f"changed-{request.node.callspec.id}", block(["Cu"], "elasticity"))
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    monkeypatch.chdir(folder)
    code_digests.cache_clear()
    shutil.copytree(shared.folder / "first/results/Cu", folder / "results/Cu")
    shutil.copy("study.yaml", "results")
    told = said(capsys, "explain", "results/Cu/counted/relaxation.json", "--cache", shared.cache)
    path.write_text(text, encoding="utf-8")
    code_digests.cache_clear()
    if expected is None:
        assert ": in the cache" in told
    else:
        assert ": not in the cache" in told
        assert re.search(expected, told), told


@pytest.mark.study
def test_study_is_explained_before_it_runs(
    shared: Shared, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What of a study will be computed is told before anything is there, through what is in the cache; nothing is written."""
    folder = shared.study("asked", block(["Cu"], "elasticity", "migration"), elasticity={"fmax": FMAX / 2})
    monkeypatch.chdir(folder)
    told = said(capsys, "explain", "study.yaml", "--cache", shared.cache)
    lines = {tuple(line.split()[1:4]): line for line in told.splitlines()[:-1]}
    assert len(lines) == 6
    assert lines.pop(("Cu", "counted", "elasticity")).startswith("miss")
    assert f"settings: fmax: {FMAX} there, {FMAX / 2} here" in told
    assert all(line.startswith("hit") for line in lines.values())
    assert not (folder / "results").exists()


@pytest.mark.study
@pytest.mark.parametrize("name", ["elasticity", "hop", "register"])
def test_every_module_that_a_job_loads_counts(shared: Shared, tmp_path: Path, name: str) -> None:
    """What a job has loaded when it is done is part of its key, known to change no number, or a kind of recipe not in use."""
    slab = tmp_path / "Cu-111.yaml"
    slab.write_text(yaml.safe_dump(SLAB), encoding="utf-8")
    command = [sys.executable, "-c", LOADED, name, str(shared.folder / "second"), str(tmp_path), str(slab)]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert len(told["loaded"]) > 20
    kinds_of_recipes = {"seiflow.structures.planar_recipes", "seiflow.structures.imported"}
    assert {module for module in told["loaded"] if changes_numbers(module)} <= set(told["code"]) | kinds_of_recipes


def test_wrong_questions_get_sentences(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be explained, pruned or listed is refused with what to do."""
    monkeypatch.chdir(tmp_path)
    assert "name a study file, or a result" in said(capsys, "explain", "a.json", fails=True)
    assert "--older-than DAYS" in said(capsys, "prune", "--cache", str(store.folder), fails=True)
    assert "name a folder with --cache" in said(capsys, "list", fails=True)
    (entry(store) / "record.json").unlink()
    assert "1 of 1 entries are damaged" in said(capsys, "check", "--cache", str(store.folder), fails=True)


LOADED = """
import json, sys
from pathlib import Path
from seiflow.jobs.task import Task
from seiflow.reach import code_digests
from seiflow.settings import PropertySettings

name, study, folder, slab = sys.argv[1], *map(Path, sys.argv[2:])
phase, here = study / "mine/structures/Cu.yaml", study / "results/Cu/counted"
emt = Path("%s")
settings = PropertySettings.model_validate({"migration": {"image_distance": 5}, "registry": {"candidates": 0}})
planes = name == "register"
task = Task(slab if planes else phase, (phase,) if planes else (), emt, settings, folder / f"{name}.json")
if name == "elasticity":
    from seiflow.jobs.crystal import elasticity as job
    job(task, here / "relaxed.extxyz")
elif name == "hop":
    from seiflow.jobs.migration import hop as job
    job(task, here / "relaxed.extxyz", "hop_1", sorted((here / "vacancies").glob("*.json")), folder / "frames.extxyz")
else:
    from seiflow.jobs.planar import register as job
    job(task, [here / "relaxed.extxyz"], [], folder / "registered.extxyz")
loaded = sorted(module for module in sys.modules if module.startswith("seiflow"))
print(json.dumps({"loaded": loaded, "code": list(code_digests(job, "ase.calculators.emt:EMT"))}))
""" % (data_folder("calculators") / "emt.yaml")
