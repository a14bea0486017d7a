"""What ``seiflow library`` can do: its arguments, and what it prints."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seiflow.errors import InputError, StructureError
from seiflow.library.searching_commands import add_searches
from seiflow.library.tables import json_text

if TYPE_CHECKING:
    from seiflow.library.checking import Checked
    from seiflow.library.entries import Entry, Library

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names the type no other way

FORMATS = ("extxyz", "cif", "poscar", "db")

SORT_KEYS = ("name", "kind", "sigma", "strain", "atoms", "energy")


def register(commands: "Commands") -> None:
    """Add ``library`` with its own commands to those of the program."""
    library = commands.add_parser("library", help="find, show, build, check, add and export structures")
    inner = library.add_subparsers(title="commands", metavar="COMMAND", required=True, help="what to do with structures")
    _add_list(inner)
    _add_show(inner)
    _add_search(inner)
    _add_build(inner)
    _add_export(inner)
    _add_add(inner)
    _add_check(inner)
    add_searches(inner, _command)


def _command(
    commands: "Commands", name: str, help_text: str, run: Callable[[argparse.Namespace], None]
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=help_text, description=help_text)
    command.add_argument("--library", type=Path, action="append", default=[], help="folder with your own structures/; repeatable")
    command.set_defaults(run=run)
    return command


def _add_list(commands: "Commands") -> None:
    command = _command(commands, "list", "list all structures with kind and summary", _list)
    command.add_argument("--digests", action="store_true", help="build each and show its digest, to compare machines")


def _add_show(commands: "Commands") -> None:
    command = _command(commands, "show", "tell all that is known of a structure", _show)
    command.add_argument("name", help="name of the structure")
    command.add_argument("--picture", type=Path, help="PNG file to draw it to")
    command.add_argument("--json", action="store_true", help="print JSON instead")


def _add_search(commands: "Commands") -> None:
    command = _command(commands, "search", "list the structures that have certain properties", _search)
    command.add_argument("--phase", nargs="+", action="extend", default=[], help="phases it must consist of, all of them")
    command.add_argument("--kind", help="phase, grain_boundary, interface, slab or imported")
    command.add_argument("--sigma", type=int, help="index of the coincidence lattice")
    command.add_argument("--plane", type=int, nargs=3, metavar=("H", "K", "L"), help="a plane; symmetry makes others equal")
    command.add_argument("--max-strain", type=float, help="largest strain of a phase, without unit: 0.02 is 2 %%")
    command.add_argument("--min-atoms", type=int, help="least number of atoms")
    command.add_argument("--max-atoms", type=int, help="largest number of atoms")
    command.add_argument("--max-energy", type=float, help="largest energy in J/m²; leaves out what has none")
    command.add_argument(
        "--results", type=Path, nargs="+", action="extend", default=[], help="results folders of studies, for energies"
    )
    command.add_argument("--sort", choices=SORT_KEYS, default="name", help="what to sort by")
    command.add_argument("--json", action="store_true", help="print JSON instead")


def _add_build(commands: "Commands") -> None:
    command = _command(commands, "build", "build a structure with its certificate inside", _build)
    command.add_argument("name", help="name of the structure")
    command.add_argument("--output", type=Path, required=True, help="extended XYZ file to write")
    command.add_argument(
        "--crystals",
        type=Path,
        nargs="+",
        default=[],
        help="relaxed conventional cells, one a phase, in the recipe's order",
    )


def _add_export(commands: "Commands") -> None:
    command = _command(commands, "export", "write structures for other programs", _export)
    command.add_argument("names", nargs="*", metavar="NAME", help="names of structures")
    command.add_argument("--all", action="store_true", help="all structures instead")
    command.add_argument("--format", choices=FORMATS, required=True, help="of the files, or db for an ASE database")
    command.add_argument(
        "--output",
        dest="target",
        required=True,
        help="file, or folder for several structures; of a database the .db file or postgresql://user:password@host/database",
    )


def _add_add(commands: "Commands") -> None:
    command = _command(commands, "add", "make a structure file a recipe of your own library", _add)
    command.add_argument("file", type=Path, help="structure: CIF, POSCAR, extended XYZ or whatever ASE reads")
    command.add_argument("--name", required=True, help="what it will be called")
    kinds = command.add_mutually_exclusive_group(required=True)
    kinds.add_argument("--phases", nargs="+", help="phases of the library that it consists of")
    kinds.add_argument("--charges", nargs="+", metavar="SPECIES=CHARGE", help="oxidation states, which make it a new phase")
    command.add_argument("--summary", help="one sentence for lists")
    command.add_argument("--citation", default="not stated", help="where it comes from")
    command.add_argument("--planes", type=float, nargs="+", help="heights of boundaries, in fractions of the third cell vector")
    command.add_argument("--mobile", help="species that migrates; of a new phase")
    command.add_argument(
        "--polyatomic", nargs="+", default=[], metavar="GROUP", help="groups kept whole, as carbonate:C:O:3:1.5; of a new phase"
    )


def _add_check(commands: "Commands") -> None:
    command = _command(commands, "check", "check structure files and find the same ones among them", _check)
    command.add_argument("files", type=Path, nargs="+", metavar="FILE", help="structure files")
    command.add_argument("--phases", nargs="+", default=[], help="phases they consist of; found from the composition if left out")
    command.add_argument("--json", action="store_true", help="print JSON instead")


def _library(options: argparse.Namespace) -> "Library":
    from seiflow.library.entries import Library

    return Library(options.library)


def _list(options: argparse.Namespace) -> None:
    from seiflow.library.tables import table

    library = _library(options)
    problems: list[str] = []
    if options.digests:
        rows = [(entry.name, entry.recipe.kind, entry.digest) for entry in library.entries(problems)]
    else:
        rows = [(recipe.name, recipe.kind, recipe.summary) for recipe in library.recipes(problems)]
    print(table(("name", "kind", "digest" if options.digests else "summary"), rows))
    _refuse(problems)


def _show(options: argparse.Namespace) -> None:
    from seiflow.library.describe import description, description_text

    entry = _library(options).entry(options.name)
    print(json_text(description(entry)) if options.json else description_text(entry))
    if options.picture:
        from seiflow.report.pictures import write_picture

        write_picture(entry.built.atoms, options.picture, title=entry.name, grains=entry.grains)
        print(f"picture: {options.picture}", file=sys.stderr)


def _search(options: argparse.Namespace) -> None:
    from seiflow.library.search import HEADINGS, Query, as_json, read_energies, row, search
    from seiflow.library.tables import table

    query = Query(
        phases=tuple(options.phase),
        kind=options.kind,
        sigma=options.sigma,
        plane=tuple(options.plane) if options.plane else None,
        max_strain=options.max_strain,
        min_atoms=options.min_atoms,
        max_atoms=options.max_atoms,
        max_energy_j_per_m2=options.max_energy,
    )
    problems: list[str] = []
    hits = search(_library(options), query, read_energies(options.results), sort=options.sort, problems=problems)
    print(json_text([as_json(hit) for hit in hits]) if options.json else table(HEADINGS, [row(hit) for hit in hits]))
    print(f"{len(hits)} found", file=sys.stderr)
    _refuse(problems)


def _build(options: argparse.Namespace) -> None:
    from seiflow.library.building import build_file
    from seiflow.library.entries import SHORT

    identifier = build_file(_library(options), options.name, options.crystals, options.output)
    print(f"{options.output}: {options.name}, digest {identifier[:SHORT]}")


def _export(options: argparse.Namespace) -> None:
    from seiflow.library.database import shown

    problems: list[str] = []
    entries = _chosen(options, problems)
    if options.format == "db":
        from seiflow.library.database import export_rows

        written, skipped = export_rows(entries, options.target)
        for name, known in skipped:
            print(f"{name}: skipped, the database holds the same structure as {known}")
        print(f"{shown(options.target)}: {len(written)} added, {len(skipped)} skipped")
    else:
        from seiflow.library.files import export_files

        for path in export_files(entries, options.format, options.target):
            print(path)
    _refuse(problems)


def _chosen(options: argparse.Namespace, problems: list[str]) -> "list[Entry]":
    if options.all == bool(options.names):
        message = "name the structures to export, or give --all for every one"
        raise InputError(message)
    library = _library(options)
    if options.all:
        return list(library.entries(problems))
    return [library.entry(name) for name in dict.fromkeys(options.names)]


def _add(options: argparse.Namespace) -> None:
    from seiflow.library.adding import add_imported, add_phase, read_charges
    from seiflow.library.entries import Library
    from seiflow.library.files import read_one

    folder = options.library[0] if options.library else Path()
    library = Library([path for path in options.library if path.exists()] if options.library else [folder])
    atoms = read_one(options.file)
    if options.phases:
        _refuse_options(options, ("mobile", "polyatomic"), "--phases")
        path = add_imported(
            library,
            folder,
            atoms,
            name=options.name,
            phases=options.phases,
            summary=options.summary,
            citation=options.citation,
            planes=options.planes,
        )
    else:
        _refuse_options(options, ("planes",), "--charges")
        path = add_phase(
            library,
            folder,
            atoms,
            name=options.name,
            charges=read_charges(options.charges),
            mobile=options.mobile,
            polyatomic=options.polyatomic,
            summary=options.summary,
            citation=options.citation,
        )
    print(f"{path}: added")


def _refuse_options(options: argparse.Namespace, names: Sequence[str], beside: str) -> None:
    for name in names:
        if getattr(options, name):
            message = f"--{name} does not go with {beside}; leave one of them out"
            raise InputError(message)


def _check(options: argparse.Namespace) -> None:
    from seiflow.library.checking import check_files, duplicates

    checked = list(check_files(_library(options), options.files, options.phases))
    same = duplicates(checked)
    if options.json:
        print(json_text({"structures": [item.as_json() for item in checked], "duplicates": [list(pair) for pair in same]}))
    else:
        print("\n\n".join(_verdict(item) for item in checked))
        for label, earlier in same:
            print(f"\n{label} is the same structure as {earlier}")
    refused = [item.label for item in checked if item.problems]
    if refused:
        message = f"{', '.join(refused)}: refused"
        raise StructureError(message)


def _verdict(item: "Checked") -> str:
    from seiflow.library.describe import aligned, cell_text, certificate_lines
    from seiflow.library.entries import SHORT
    from seiflow.library.tables import text_of

    lines = [("file", item.label), ("phases", text_of(item.phases))]
    lines += [("could be as well", ", ".join(names)) for names in item.others]
    lines += [("cell", cell_text(item.atoms)), ("digest", text_of((item.digest or "")[:SHORT] or None))]
    if item.certificate:
        lines += certificate_lines(item.certificate, item.atoms.get_chemical_formula())
    lines.append(("verdict", "refused" if item.problems else "sound"))
    return "\n".join([aligned(lines), *(f"  - {problem}" for problem in item.problems)])


def _refuse(problems: Sequence[str]) -> None:
    """Fail after the rest was shown, with all that could not be."""
    if problems:
        noun = "recipe" if len(problems) == 1 else "recipes"
        listed = "\n".join("  - " + problem.replace("\n", "\n    ") for problem in problems)
        message = f"{len(problems)} {noun} of the library cannot be used\n{listed}"
        raise InputError(message)
