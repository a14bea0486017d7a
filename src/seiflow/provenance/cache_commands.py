"""What ``seiflow cache`` can do: its arguments, and what it prints."""

import argparse
import contextlib
import os
import pwd
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seiflow.errors import InputError

if TYPE_CHECKING:
    from seiflow.provenance.explaining import Explanation
    from seiflow.provenance.planned import Place
    from seiflow.store import Entry, Store
    from seiflow.study import Study

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names the type no other way

SHORT = 12
"""Characters of a key that are printed."""

KILO, TEN = 1000, 10

STUDY = "study.yaml"


def add_cache(commands: "Commands") -> None:
    """Add ``cache`` with its own commands to those of the program."""
    cache = commands.add_parser(
        "cache", help="tell why a finished step is found again or not; list, check and prune what is kept"
    )
    inner = cache.add_subparsers(title="commands", metavar="COMMAND", required=True, help="what to do with the cache")
    explain = inner.add_parser("explain", help="tell why results are in the cache, or what differs from what is there")
    explain.add_argument("what", type=Path, metavar="STUDY|RESULT", help="study file, results folder, or one result in it")
    explain.set_defaults(run=_explain)
    listing = inner.add_parser("list", help="tell what is in the cache, how large it is and when it was last used")
    listing.set_defaults(run=_list)
    check = inner.add_parser("check", help="compare everything in the cache with its digests")
    check.set_defaults(run=_check)
    prune = inner.add_parser("prune", help="remove what was not used for long; safe while studies run")
    prune.add_argument("--older-than", type=float, metavar="DAYS", help="remove what nobody has used for so long")
    prune.add_argument(
        "--larger-than", type=float, metavar="GB", help="remove the longest unused until no more than so much is left"
    )
    prune.add_argument("--dry-run", action="store_true", help="remove nothing, tell what would be")
    prune.set_defaults(run=_prune)
    for command in (explain, listing, check, prune):
        help_text = "folder of the cache; by default that of SEIFLOW_STORE, or else that of the study"
        command.add_argument("--cache", type=Path, metavar="FOLDER", help=help_text)


@dataclass(frozen=True)
class _Asked:
    """What is to be explained.

    Attributes:
        study: Its file.
        run_from: Folder that its paths are relative to.
        results: Folder of its results; None for the one that it names.
        place: One result; None for all of them.
    """

    study: Path
    run_from: Path
    results: Path | None
    place: "Place | None"


def _explain(options: argparse.Namespace) -> None:
    from seiflow.calculators.environments import enter
    from seiflow.provenance.explaining import explain, explain_study
    from seiflow.study import Study

    asked = _asked(options.what)
    given = options.cache.absolute() if options.cache else None
    with contextlib.chdir(asked.run_from):
        study = Study.read(asked.study)
        results = asked.results or Path(study.config.results)
        store = _store(given, study)
        if asked.place is None:
            _print_study(explain_study(study, results, store), store)
            return
        pair = (asked.place.structure, asked.place.calculator)
        if pair not in {(job.structure, job.calculator) for job in study.jobs}:
            message = f"{options.what}: {asked.study} asks for nothing of {pair[0]} with {pair[1]}"
            raise InputError(message)
        recipe = study.calculators.get(asked.place.calculator)
    enter(recipe, options.arguments)
    with contextlib.chdir(asked.run_from):
        _print_one(options.what, explain(study, results, asked.place, store), store)


def _asked(what: Path) -> _Asked:
    from seiflow.provenance.nearby import no_result
    from seiflow.provenance.planned import Place
    from seiflow.provenance.rules import label_of, rule_of

    path = Path(os.path.normpath(what.absolute()))
    if path.is_dir() and (path / STUDY).is_file():
        return _Asked(path / STUDY, _run_from(path), path, None)
    if path.suffix in {".yaml", ".yml"}:
        return _Asked(path, Path.cwd(), None, None)
    folder = next((parent for parent in list(path.parents)[2:] if (parent / STUDY).is_file()), None)
    if folder is None:
        message = f"{what}: no study, and no result below a folder with {STUDY}; name a study file, or a result"
        raise InputError(message)
    structure, calculator, *rest = path.relative_to(folder).parts
    label = label_of("/".join(rest))
    if rule_of(label, crystal=True) is None:
        raise no_result(what)
    return _Asked(folder / STUDY, _run_from(folder), folder, Place(structure, calculator, label))


def _run_from(results: Path) -> Path:
    """Return the folder that a study was run from, by the folder of its results; this one if that cannot be told."""
    from seiflow.documents import read_yaml

    data = read_yaml(results / STUDY)
    named = Path(os.path.normpath(str(data.get("results", "results") if isinstance(data, dict) else "results")))
    inside = not named.is_absolute() and results.parts[-len(named.parts) :] == named.parts
    return results.parents[len(named.parts) - 1] if inside else Path.cwd()


def _store(given: Path | None, study: "Study | None" = None) -> "Store":
    """Return the store that is named on the command line, by the environment, by the study or by default.

    Raises:
        InputError: if there is none.
    """
    from seiflow.store import VARIABLE, Store
    from seiflow.study import StudyConfig

    named = study.config.store if study else StudyConfig.model_fields["store"].default
    folder = str(given) if given else os.environ.get(VARIABLE, named)
    if not folder:
        message = f"no cache: nothing is kept, as {VARIABLE} or the study says; name a folder with --cache"
        raise InputError(message)
    return Store(Path(os.path.normpath(Path(folder).expanduser().absolute())))


def _print_one(what: Path, told: "Explanation", store: "Store") -> None:
    if told.key is None:
        _say(f"{what}: cannot be told yet, {told.waits}")
        return
    lines = [("key", told.key.place)]
    if told.nearest is not None:
        lines += [("nearest", f"{_short(told.nearest)}, {_history(told.nearest)}; it differs in"), *told.differences]
    elif not told.found:
        lines += [("nearest", "none: no entry of this step of a structure of this name")]
    width = max(len(word) for word, _ in lines)
    _say(f"{what}: {'in' if told.found else 'not in'} the cache {store.folder}")
    for word, sentence in lines:
        _say(f"  {word:{width}s}  {sentence}")


def _print_study(told: "list[Explanation]", store: "Store") -> None:
    words = ["waits" if each.key is None else "hit" if each.found else "miss" for each in told]
    wide = max(len(_name(each)) for each in told)
    for word, each in zip(words, told, strict=True):
        reason = each.waits or "; ".join(f"{kind}: {sentence}" for kind, sentence in each.differences)
        reason = reason or ("" if each.found else "nothing of this step of a structure of this name")
        _say(f"{word:5s}  {_name(each):{wide}s}  {reason}".rstrip())
    counts = f"{words.count('hit')} of {len(told)} steps are in the cache {store.folder}, {words.count('miss')} are not"
    waiting = words.count("waits")
    _say(counts + (f", {waiting} cannot be told before others are computed" if waiting else ""))


def _name(told: "Explanation") -> str:
    return f"{told.place.structure} {told.place.calculator} {told.place.label}"


def _list(options: argparse.Namespace) -> None:
    from seiflow.library.tables import table
    from seiflow.provenance.cache import contents

    store = _store(options.cache)
    rows = contents(store)
    headings = ("structure", "calculator", "step", "entries", "size", "last used")
    shown = [(row.structure, row.calculator, row.step, str(row.entries), _size(row.size_bytes), _day(row.used)) for row in rows]
    _say(table(headings, shown))
    _say(f"{sum(row.entries for row in rows)} entries, {_size(sum(row.size_bytes for row in rows))} in {store.folder}")


def _check(options: argparse.Namespace) -> None:
    from seiflow.provenance.cache import checked

    store = _store(options.cache)
    count, wrong = 0, 0
    for path, owner, problem in checked(store):
        count += 1
        if problem:
            wrong += 1
            _say(f"{path}: {problem}; of {_user(owner)}")
    if wrong:
        message = (
            f"{store.folder}: {wrong} of {count} entries are damaged; none of them is used, and their owners may delete them"
        )
        raise InputError(message)
    _say(f"{store.folder}: {count} entries, all sound")


def _prune(options: argparse.Namespace) -> None:
    from seiflow.provenance.cache import prune

    if options.older_than is None and options.larger_than is None:
        message = "say what to remove: --older-than DAYS, --larger-than GB, or both"
        raise InputError(message)
    store = _store(options.cache)
    done = prune(store, older_than_days=options.older_than, larger_than_gb=options.larger_than, dry=options.dry_run)
    verb = "would be removed" if options.dry_run else "removed"
    others = f"; {done.of_others} more belong to other users" if done.of_others else ""
    _say(f"{store.folder}: {done.entries} entries, {_size(done.size_bytes)} {verb}; {_size(done.left_bytes)} left{others}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _short(entry: "Entry") -> str:
    return "/".join((*entry.folder.parts[-4:-1], entry.folder.name[:SHORT]))


def _history(entry: "Entry") -> str:
    return f"kept by {_user(entry.owner)}, last used {_day(entry.used)}"


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < KILO:
            return f"{number:.0f} {unit}" if number >= TEN or unit == "B" else f"{number:.1f} {unit}"
        number /= KILO
    return f"{number:.1f} GB"
