"""Commands of ``seiflow library`` that search: planes that fit, registries, sites of point defects."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from seiflow.errors import InputError
from seiflow.library.tables import json_text, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from seiflow.library.entries import Library
    from seiflow.library.recipe_files import Searched

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names the type no other way
    Command = Callable[[Commands, str, str, Callable[[argparse.Namespace], None]], argparse.ArgumentParser]

TYPES = ("mirror", "twofold", "twist")


def add_searches(commands: "Commands", make: "Command") -> None:
    """Add the commands of this module.

    Args:
        commands: Of ``seiflow library``.
        make: What makes one of them.
    """
    _add_match(make(commands, "match", "list planes of two phases that fit, and make an interface of one match", _match))
    _add_register(make(commands, "register", "list the best registries of a boundary or interface in the ionic model", _register))
    _add_sites(make(commands, "sites", "make a supercell for point defects and list its distinct sites", _sites))


def _add_match(command: argparse.ArgumentParser) -> None:
    command.add_argument("phases", nargs=2, metavar="PHASE", help="names of the two phases, the lower grain first")
    command.add_argument("--planes", nargs=2, metavar='"H K L"', help="plane of each phase; all matches of these are listed")
    command.add_argument("--index", type=int, help="highest Miller index of the planes tried otherwise (default 1)")
    command.add_argument("--max-strain", type=float, default=0.03, help="of either phase: 0.03 is 3 %%")
    command.add_argument("--max-area", type=float, default=120.0, help="largest area of the shared net, Å²")
    command.add_argument("--thickness", type=float, default=10.0, help="least thickness of each grain, Å")
    command.add_argument("--most", type=int, default=20, help="how many matches to list")
    command.add_argument("--number", type=int, help="which match to write, by its number in the list (default 0)")
    command.add_argument("--write", metavar="NAME", help="write this interface into the folder that --library names first")
    command.add_argument("--json", action="store_true", help="print JSON instead")


def _add_register(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", nargs="?", help="grain boundary or interface of the library; or else --phase, --plane, --type")
    command.add_argument("--phase", help="phase of a new grain boundary")
    command.add_argument("--plane", type=int, nargs=3, metavar=("H", "K", "L"), help="its plane in the conventional cell")
    command.add_argument("--type", choices=TYPES, help="how its second grain follows from the first")
    command.add_argument("--sigma", type=int, help="index of the coincidence lattice; of a twist only")
    command.add_argument("--thickness", type=float, help="least thickness of its grains, Å (default 10)")
    command.add_argument("--best", type=int, default=5, help="how many registries to list")
    command.add_argument("--removed", type=int, default=0, help="formula units that may be taken out at each boundary")
    command.add_argument("--step", type=float, default=0.7, help="largest step of the grid of translations, Å")
    command.add_argument("--crystals", type=Path, nargs="+", default=[], help="relaxed conventional cells, one a phase")
    command.add_argument("--write", metavar="NEWNAME", help="write the best into the folder that --library names first")
    command.add_argument("--json", action="store_true", help="print JSON instead")


def _add_sites(command: argparse.ArgumentParser) -> None:
    command.add_argument("structure", metavar="NAME_OR_FILE", help="structure of the library, or a file such as relaxed.extxyz")
    command.add_argument("--species", required=True, help="chemical symbol, or name of a polyatomic group")
    command.add_argument(
        "--phases", nargs="+", default=[], help="phases a file consists of; found from the composition if left out"
    )
    command.add_argument("--image-distance", type=float, default=8.0, help="least distance between images of a defect, Å")
    command.add_argument("--output", dest="target", type=Path, help="extended XYZ file to write the supercell to")
    command.add_argument("--loose", action="store_true", help="let the supercell have less symmetry, which may make it smaller")
    command.add_argument(
        "--tolerance",
        type=float,
        help="how far atoms may be from symmetric places, Å (default 0.001); relaxed structures need about 0.05",
    )
    command.add_argument("--json", action="store_true", help="print JSON instead")


def _match(options: argparse.Namespace) -> None:
    from seiflow.library.proposals import HEADINGS, Limits, best_registry, fits, interface_recipe, near_limit, row
    from seiflow.library.recipe_files import write_recipe

    _refuse_match_options(options)
    library, folder = _opened(options)
    planes = (options.planes[0], options.planes[1]) if options.planes else None
    limits = Limits(options.max_strain, options.max_area, options.thickness)
    found = fits(library, tuple(options.phases), planes, highest=1 if options.index is None else options.index, limits=limits)
    number = options.number or 0
    if options.write:
        interface_recipe(found, number, options.write)
    rows = [row(place, item) for place, item in enumerate(found.proposals[: options.most])]
    print(json_text(found.as_json(options.most)) if options.json else table(HEADINGS, rows))
    for text in found.left_out:
        print(f"left out: {text}", file=sys.stderr)
    print(f"{len(found.proposals)} found", file=sys.stderr)
    if options.write:
        best = best_registry(found, number, options.write)
        path = write_recipe(library, folder, best.recipe, dict(zip(options.phases, found.parts, strict=True)))
        told = f"match {number}, {best.score_j_per_m2:.3f} J/m² in the ionic model, {len(best.atoms)} atoms"
        print(f"{path}: {told}", file=sys.stderr)
        if near_limit(found, number):
            print(f"note: {near_limit(found, number)}", file=sys.stderr)


def _refuse_match_options(options: argparse.Namespace) -> None:
    if options.number is not None and not options.write:
        message = "--number says which match to write; give --write NAME too"
        raise InputError(message)
    if options.planes and options.index is not None:
        message = "--index does not go with --planes; leave one of them out"
        raise InputError(message)
    if options.most < 1:
        message = f"--most {options.most}: at least one match must be wanted"
        raise InputError(message)


def _register(options: argparse.Namespace) -> None:
    from seiflow.library.recipe_files import named, write_recipe
    from seiflow.library.registries import HEADINGS, as_json, best_registries, ingredients_of, row

    library, folder = _opened(options)
    recipe = _wanted(options, library)
    recipe = named(recipe, options.write) if options.write else recipe
    parts = ingredients_of(library, recipe, options.crystals)
    found = best_registries(recipe, parts, best=options.best, step=options.step, removed=options.removed)
    numbered = list(enumerate(found))
    if options.json:
        print(json_text([as_json(number, item) for number, item in numbered]))
    else:
        print(table(HEADINGS[recipe.kind], [row(number, item) for number, item in numbered]))
    if options.write:
        path = write_recipe(library, folder, found[0].recipe, parts)
        print(f"{path}: written", file=sys.stderr)


def _wanted(options: argparse.Namespace, library: "Library") -> "Searched":
    from seiflow.library.registries import new_boundary, searched_recipe

    asked = {"--phase": options.phase, "--plane": options.plane, "--type": options.type}
    besides = {**asked, "--sigma": options.sigma, "--thickness": options.thickness}
    if options.name:
        extra = [option for option, value in besides.items() if value is not None]
        if extra:
            message = f"{', '.join(extra)}: of a new grain boundary only; leave them out, or leave out {options.name}"
            raise InputError(message)
        return searched_recipe(library, options.name)
    missing = [option for option, value in asked.items() if value is None]
    if missing:
        message = (
            f"{', '.join(missing)} missing; name a structure of the library, or give --phase, --plane and --type of a new one"
        )
        raise InputError(message)
    thickness = 10.0 if options.thickness is None else options.thickness
    return new_boundary(library, options.phase, options.plane, options.type, sigma=options.sigma, thickness=thickness)


def _sites(options: argparse.Namespace) -> None:
    from seiflow.library.defect_supercells import HEADINGS, as_json, choose_structure, notes, row, sites_of, write_supercell
    from seiflow.structures.space_group import SYMMETRY_TOLERANCE

    library, _ = _opened(options)
    tolerance = SYMMETRY_TOLERANCE if options.tolerance is None else options.tolerance
    structure = choose_structure(library, options.structure, options.phases)
    distance, symmetric = options.image_distance, not options.loose
    found = sites_of(structure, options.species, image_distance=distance, symmetric=symmetric, tolerance=tolerance)
    if options.json:
        print(json_text(as_json(structure, found)))
    else:
        times = " × ".join(map(str, found.expansion))
        atoms = f"{len(found.atoms)} atoms ({found.atoms.get_chemical_formula()})"
        print(f"supercell {times}, {atoms}, images {found.image_distance_angstrom:.2f} Å apart")
        print(table(HEADINGS, [row(structure, site) for site in found.sites]))
    for advice in notes(structure, tolerance):
        print(f"note: {advice}", file=sys.stderr)
    if options.target:
        write_supercell(options.target, found)
        print(f"{options.target}: written", file=sys.stderr)


def _opened(options: argparse.Namespace) -> "tuple[Library, Path]":
    """Return the library, and the folder into which a recipe is written, which need not exist yet."""
    from seiflow.library.adding import require_free
    from seiflow.library.entries import Library

    name = getattr(options, "write", None)
    if name is None:
        return Library(options.library), Path()
    if not options.library:
        message = f"--write {name} needs --library FOLDER: the recipe is written to FOLDER/structures"
        raise InputError(message)
    library = Library([path for path in options.library if path.exists()])
    require_free(library, name)
    return library, options.library[0]
