"""The source code that a step can reach: its job, the modules that imports, those that they import, and its calculator's.

A step found in the cache must have been computed by the same code. Code that it cannot reach has no say: a change of the phonons
makes no elasticity new. Sources are read, not imported: a key is wanted before anything heavy is loaded, in milliseconds.
Jobs count function by function, all other modules as a whole. The one import that no source states is that of the calculator's
factory, which its recipe names; if no installed distribution with a version holds it, its files count as well.
"""

import ast
import functools
import hashlib
import importlib.util
import json
import re
import site
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from seiflow.calculators.factory import distribution_versions

PACKAGE = __name__.partition(".")[0]
JOBS = f"{PACKAGE}.jobs"
ALL = "*"
"""Stands for every name of a module."""

DIGITS = 16
"""Of a digest, kept for each module."""

NO_NUMBERS = frozenset(
    f"{PACKAGE}.{name}"
    for name in (
        "cli",
        "cli_jobs",
        "cli_people",
        "library",
        "report",
        "provenance",
        "resident",
        "workflow",
        "study",
        "study_blocks",
        "study_problems",
        "status",
        "estimate",
        "schema",
        "identity",  # these four keep results and look for them
        "reach",
        "store",
        "store_folder",
        "documents",  # these three read recipes, and what they read is in the key
        "shelves",
        "calculators.recipes",
        "calculators.environments",  # where a job runs; versions are in the key
        "calculators.machine",  # how a program is started; its version and its files are in the key
        "calculators.commands",
        "calculators.fitness",
        "calculators.fitness_commands",
    )
)
"""Modules and packages that change no number of a result."""

_GUARDED = re.compile(r"^if TYPE_CHECKING:\n(?:[ \t]+.*\n|[ \t]*\n)+", re.MULTILINE)
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n]+)|import[ \t]+([^\n]+))",
    re.MULTILINE,
)
_COMMENT = re.compile(r"#[^\n]*")


@functools.cache
def code_digests(job: Callable[..., None], factory: str) -> dict[str, str]:
    """Return a digest of every module that a job can reach, by name.

    Args:
        job: A function of ``seiflow.jobs``.
        factory: Import path of its calculator, ``module:callable``.
    """
    known = modules_of(Path(__file__).parent, PACKAGE)
    reached = _reached({job.__module__: {job.__name__}}, known)
    return dict(sorted((reached | calculator_digests(factory)).items()))


def calculator_digests(factory: str) -> dict[str, str]:
    """Return a digest of every module that a calculator can reach, by name; none of versioned distributions."""
    calculator = factory.partition(":")[0]
    known = modules_of(Path(__file__).parent, PACKAGE)
    own = {} if calculator in known else _of_factory(calculator)
    return dict(sorted((_reached({calculator: {ALL}}, known) | own).items()))


def _reached(first: Mapping[str, set[str]], known: Mapping[str, Path]) -> dict[str, str]:
    """Return the digests of modules of this package, and of those that they import, of jobs only what is named."""
    wanted = _modules(first, known)
    read: dict[str, set[str]] = {}
    found: dict[str, str] = {}
    while wanted:
        name, parts = wanted.popitem()
        if parts <= read.setdefault(name, set()):
            continue
        read[name] |= parts
        source = known[name].read_text(encoding="utf-8")
        text, imported = _of_job(source, read[name]) if name.startswith(f"{JOBS}.") else (source, scanned(source))
        found[name] = _digest(text)
        for other, names in _modules(imported, known).items():
            wanted.setdefault(other, set()).update(names)
    return found


def changes_numbers(module: str) -> bool:
    """Tell whether a module of this package may change a number of a result."""
    parts = module.split(".")
    return not any(".".join(parts[:end]) in NO_NUMBERS for end in range(1, len(parts) + 1))


def modules_of(folder: Path, package: str) -> dict[str, Path]:
    """Return the modules of a package in a folder by name."""
    found = {}
    for path in folder.rglob("*.py"):
        parts = (package, *path.relative_to(folder).with_suffix("").parts)
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def scanned(source: str) -> dict[str, set[str]]:
    """Return the modules that a source imports anywhere, with the names taken from each.

    Reads lines, ten times as fast as a parser: an import must stand on a line of its own, as in all formatted code.
    """
    found: dict[str, set[str]] = {}
    for module, names, plain in _IMPORT.findall(_GUARDED.sub("", source)):
        if module:
            listed = _COMMENT.sub("", names).strip("() \n").split(",")
            found.setdefault(module, set()).update(name.split()[0] for name in listed if name.strip())
        for name in _COMMENT.sub("", plain).split(","):
            if name.strip():
                found.setdefault(name.split()[0], set()).add(ALL)
    return found


def parsed(nodes: list[ast.stmt]) -> dict[str, set[str]]:
    """Return the modules that statements import, as :func:`scanned`."""
    found: dict[str, set[str]] = {}
    waiting: list[ast.AST] = list(nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
        elif isinstance(node, ast.ImportFrom):
            found.setdefault("." * node.level + (node.module or ""), set()).update(alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                found.setdefault(alias.name, set()).add(ALL)
        else:
            waiting += ast.iter_child_nodes(node)
    return found


def _of_job(source: str, wanted: set[str]) -> tuple[str, dict[str, set[str]]]:
    """Return the text of the definitions that names of a module of jobs need, and what they and the module import."""
    tree = ast.parse(source)
    defined = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    waiting = [*(defined if ALL in wanted else wanted)]
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in defined and name not in reached:
            reached.add(name)
            waiting += [node.id for node in ast.walk(defined[name]) if isinstance(node, ast.Name)]
    kept = [node for node in tree.body if getattr(node, "name", None) not in defined or getattr(node, "name", None) in reached]
    return "\n".join(ast.unparse(node) for node in kept), parsed(kept)


def _modules(imported: Mapping[str, set[str]], known: Mapping[str, Path]) -> dict[str, set[str]]:
    """Return the modules of this package that imports load, those that hold them included, with the names taken from each."""
    found = {module: set(names) for module, names in imported.items()}
    for module, names in imported.items():
        for name in names:
            found.setdefault(f"{module}.{name}", set()).add(ALL)
    parents = {module.rsplit(".", end)[0] for module in found if module in known for end in range(1, module.count(".") + 1)}
    every = {parent: {ALL} for parent in parents} | found
    return {module: names for module, names in every.items() if module in known and changes_numbers(module)}


def _of_factory(module: str) -> dict[str, str]:
    """Return digests of the sources of a calculator that no distribution with a version holds; none for others.

    Modules beside it that it imports count too, unless it lies where packages are installed; then those of its own package do.
    """
    top = module.partition(".")[0]
    spec = importlib.util.find_spec(top)
    if spec is None or _has_version(top):
        return {}
    places = [Path(place) for place in spec.submodule_search_locations or ()] or [Path(spec.origin or top)]
    folder = places[0].parent
    installed = {Path(path) for path in (*site.getsitepackages(), *sysconfig.get_paths().values())}
    found: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _file(folder, name)
        if path is None or name in found or (folder in installed and name.partition(".")[0] != top):
            continue
        source = path.read_bytes()
        found[name] = hashlib.sha256(source).hexdigest()[:DIGITS]
        waiting += [name.rsplit(".", end)[0] for end in range(1, name.count(".") + 1)]
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        with suppress(SyntaxError, ImportError):  # whoever imports it will say what is wrong with it
            waiting += _absolute(parsed(ast.parse(source).body), package)
    return found


def _absolute(imported: Mapping[str, set[str]], package: str) -> Iterator[str]:
    """Yield the modules that may be loaded by imports in a module of a package."""
    for module, names in imported.items():
        name = importlib.util.resolve_name(module, package) if module.startswith(".") and package else module
        yield from (name, *(f"{name}.{each}" for each in names))


def _file(folder: Path, name: str) -> Path | None:
    place = folder.joinpath(*name.split("."))
    return next((path for path in (place.with_name(f"{place.name}.py"), place / "__init__.py") if path.is_file()), None)


def _has_version(top: str) -> bool:
    """Tell whether a package belongs to installed distributions, whose files do not change under one version."""
    names = distribution_versions(top)
    told = [json.loads(metadata.distribution(name).read_text("direct_url.json") or "{}") for name in names]
    return bool(told) and not any(each.get("dir_info", {}).get("editable") for each in told)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
