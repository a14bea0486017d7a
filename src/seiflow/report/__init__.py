"""What a study found, beside what is published: a table, figures and one HTML page."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from seiflow.records import write_text
from seiflow.report.barrier_map import coloured_hops, draw_maps
from seiflow.report.collect import Collected, Missing, Target, collect
from seiflow.report.figures import draw
from seiflow.report.html import write_report
from seiflow.report.networks import find_maps
from seiflow.report.pictures import write_picture
from seiflow.report.profiles import draw_profiles
from seiflow.report.references import load_references
from seiflow.report.table import format_table, write_table
from seiflow.report.viewer import NO_HOPS, find_portraits

__all__ = ["Collected", "Missing", "Target", "collect", "format_table", "make_report", "write_report", "write_table"]


def make_report(results: Path, targets: Iterable[Target], references_folder: Path, title: str) -> str:
    """Write ``table.csv``, ``report.html`` and, in ``figures``, curves (SVG) and structures (PNG) below ``results``.

    Returns:
        The headline numbers as a table for the terminal.
    """
    references = load_references(references_folder)
    collected = collect(results, targets)
    portraits, damaged = find_portraits(results, collected)
    maps, unmapped = find_maps(results, collected)
    collected = replace(collected, missing=(*collected.missing, *damaged, *unmapped))
    hops = {(shown.structure, shown.calculator): coloured_hops(shown) for shown in maps}
    portraits = [replace(one, hops=hops.get((one.structure, one.calculator), NO_HOPS)) for one in portraits]
    drawings = [*draw_maps(maps), *draw(collected, references), *draw_profiles(collected.cases)]
    (results / "figures").mkdir(parents=True, exist_ok=True)
    for drawing in drawings:
        write_text(results / "figures" / drawing.file_name, drawing.svg)
    for portrait in portraits:
        path = results / "figures" / portrait.file_name
        write_picture(portrait.atoms, path, title=portrait.structure, grains=portrait.grains)
    write_table(results / "table.csv", collected, references)
    write_report(results / "report.html", collected, references, title, drawings=drawings, portraits=portraits)
    return format_table(collected, references)
