"""Structures that the reader of the page can turn: what viewer.js draws, and a still picture where no script runs."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import InputError
from seiflow.report.collect import Collected, Missing
from seiflow.report.pictures import AXES, picture, section_name
from seiflow.report.scene import Scene, colour, grain_names, require_drawable, scene, view

if TYPE_CHECKING:
    from ase import Atoms
    from markupsafe import Markup
    from numpy.typing import NDArray

STILL_DOTS_PER_INCH = 80
STILL_COLOURS = 32
"""A still picture of so many dots and colours keeps the page small."""

_FRAGMENT = """\
<div class="viewer">
<img src="data:image/png;base64,{still}" alt="{title}: two views">
<script type="application/json">{data}</script>
</div>"""


@dataclass(frozen=True)
class Hops:
    """Hops as lines of colour.

    Attributes:
        lines: By colour, n × 2 × 3: both ends of each, Å, from the origin of the cell.
        levels: What the lowest and the highest colour mean.
    """

    lines: "dict[str, NDArray[np.float64]]"
    levels: tuple[tuple[str, str], ...]


NO_HOPS = Hops({}, ())


@dataclass(frozen=True)
class Portrait:
    """A relaxed structure, the calculator that relaxed it, and the hops in it."""

    structure: str
    calculator: str
    atoms: "Atoms"
    hops: Hops = NO_HOPS

    @property
    def grains(self) -> tuple[str, ...]:
        """Names of its grains."""
        return grain_names(self.atoms)

    @property
    def file_name(self) -> str:
        """Name of the file that holds its picture."""
        return f"{self.structure}.png"

    @property
    def caption(self) -> str:
        """What the page says below it."""
        formula = self.atoms.symbols.formula.format("metal")
        return f"{formula}, {len(self.atoms)} atoms, relaxed with {self.calculator}."


def find_portraits(results: Path, collected: Collected) -> tuple[list[Portrait], list[Missing]]:
    """Read each structure as relaxed by the first calculator that has it; say which files are damaged."""
    from seiflow.jobs.task import read_structure

    found: dict[str, Portrait] = {}
    damaged = []
    for case in collected.cases:
        path = results / case.structure / case.calculator / "relaxed.extxyz"
        if case.structure in found or not path.exists():
            continue
        try:
            atoms = read_structure(path)
            require_drawable(atoms, path)
        except InputError as error:
            damaged.append(Missing(case.structure, case.calculator, "picture", str(error)))
        else:
            found[case.structure] = Portrait(case.structure, case.calculator, atoms)
    return list(found.values()), damaged


def viewer_html(atoms: "Atoms", *, title: str, grains: Sequence[str] = (), hops: Hops = NO_HOPS) -> "Markup":
    """Return the part of a page that shows a structure; the page needs :func:`viewer_script` once.

    Args:
        atoms: The structure, as :func:`seiflow.report.scene.scene` takes it.
        title: What screen readers say.
        grains: Names of the grains, by their numbers.
        hops: Drawn into it.
    """
    from jinja2.utils import htmlsafe_json_dumps
    from markupsafe import Markup

    still = picture(atoms, title=title, grains=grains, dots_per_inch=STILL_DOTS_PER_INCH, colours=STILL_COLOURS)
    data = viewer_data(scene(atoms), title=title, grains=grains, hops=hops)
    packed = htmlsafe_json_dumps(data, separators=(",", ":"), ensure_ascii=False)
    return Markup(_FRAGMENT).format(  # noqa: S704 - text of this module; format escapes what it is given
        still=base64.b64encode(still).decode(), title=title, data=packed
    )


def viewer_script() -> "Markup":
    """Return the script that brings all viewers of a page to life."""
    from markupsafe import Markup

    code = (resources.files("seiflow.report") / "viewer.js").read_text(encoding="utf-8")
    return Markup(code)  # noqa: S704 - a file of this package


def viewer_data(drawn: Scene, *, title: str, grains: Sequence[str] = (), hops: Hops = NO_HOPS) -> dict[str, object]:
    """Return what viewer.js draws, as JSON types.

    ``kinds`` are element, colour and radius (Å); ``atoms`` holds kind, x, y, z of each atom in turn, lengths in 0.01 Å;
    ``hops`` are colours, each with both ends of its lines in turn, likewise;
    ``views`` are matrices along the three cell vectors, row by row.
    """
    looks = [(symbol, colour(symbol), round(float(radius), 2)) for symbol, radius in zip(drawn.symbols, drawn.radii, strict=True)]
    kinds = sorted(set(looks))
    places = np.rint(drawn.positions * 100).astype(int)
    atoms = np.column_stack([[kinds.index(look) for look in looks], places])
    named = [(section.bottom, section.top, section_name(section, grains)) for section in drawn.sections]
    return {
        "title": title,
        "kinds": kinds,
        "atoms": atoms.ravel().tolist(),
        "bonds": drawn.bonds.ravel().tolist(),
        "cell": drawn.cell.round(3).tolist(),
        "hops": [[shade, np.rint(ends * 100).astype(int).ravel().tolist()] for shade, ends in hops.lines.items()],
        "levels": hops.levels,
        "planes": [round(plane, 4) for plane in drawn.planes],
        "sections": [[round(bottom, 4), round(top, 4), name] for bottom, top, name in named if name],
        "views": {name: view(drawn.cell, axis, planar=drawn.planar).round(5).ravel().tolist() for axis, name in enumerate(AXES)},
    }
