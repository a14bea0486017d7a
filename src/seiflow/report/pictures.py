"""Pictures of structures: two views side by side, for a page that cannot turn them or a figure of a paper."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import InputError
from seiflow.report.canvas import INK
from seiflow.report.panels import Panel, heights, panel
from seiflow.report.scene import AT_TOP, Scene, Section, colour, scene

if TYPE_CHECKING:
    from ase import Atoms
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch
    from numpy.typing import NDArray
    from PIL.Image import Image

AXES = "abc"
SIZE = (5.2, 5.6)
"""Largest width of a view and its largest height, inches."""
SCALE = 0.4
"""Inches per Å at most."""
SOFT = "#666666"
BOND_RADIUS = 0.13
"""Å."""


def write_picture(atoms: "Atoms", path: Path, *, title: str, grains: Sequence[str] = ()) -> None:
    """Write a PNG with two views of a structure; equal structures give equal bytes.

    The views are along the first and the second cell vector. Boundaries (``atoms.info["planes"]``, fractions of the third
    vector) are dashed, the grains (array ``grain``) marked beside them.

    Args:
        atoms: The structure.
        path: The file; its folder is made.
        title: Written above.
        grains: Names of the grains, by their numbers.

    Raises:
        InputError: if the file cannot be written.
    """
    content = picture(atoms, title=title, grains=grains, dots_per_inch=200)
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError as error:
        message = f"{path}: cannot be written ({error.strerror}). Free some space or make the folder writable, then run again."
        raise InputError(message) from error


def picture(atoms: "Atoms", *, title: str, grains: Sequence[str] = (), dots_per_inch: int, colours: int = 256) -> bytes:
    """Return the PNG of a structure, with a palette of so many colours."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    drawn = scene(atoms)
    buffer = io.BytesIO()
    with rc_context({"font.family": "sans-serif", "font.size": 10, "text.parse_math": False}):
        figure = Figure()
        FigureCanvasAgg(figure)
        size = _Sheet(drawn, scale_of(drawn)).draw(figure.add_axes((0, 0, 1, 1)), title, grains)
        figure.set_size_inches(*size)
        figure.savefig(buffer, format="png", dpi=dots_per_inch, metadata={"Software": None})
    packed = io.BytesIO()
    _with_palette(Image.open(buffer).convert("RGB"), colours).save(
        packed, format="png", optimize=True, dpi=(dots_per_inch, dots_per_inch)
    )
    return packed.getvalue()


def _with_palette(image: "Image", colours: int) -> "Image":
    """Return an image of few colours, among them those of text and lines."""
    from PIL import Image
    from scipy.spatial import cKDTree

    kept = [[int(text[i : i + 2], 16) for i in (1, 3, 5)] for text in ("#FFFFFF", INK, SOFT, "#888888", "#BBBBBB")]
    number = colours - len(kept)
    chosen = image.quantize(number, dither=Image.Dither.NONE).getpalette() or []
    palette = np.vstack([kept, np.reshape(chosen[: 3 * number], (-1, 3))])
    pixels = np.asarray(image).astype(np.int64)
    codes, where = np.unique(pixels @ np.array([65536, 256, 1]), return_inverse=True)
    _, nearest = cKDTree(palette).query(np.column_stack([codes >> 16, codes >> 8 & 255, codes & 255]))
    reduced = Image.fromarray(nearest[where].astype(np.uint8).reshape(image.height, image.width))
    reduced.putpalette(palette.ravel().tolist())
    return reduced


def scale_of(drawn: Scene) -> float:
    """Return inches per Å so that the views fit on a page."""
    panels = [panel(drawn, axis) for axis in (0, 1)]
    width = sum(seen.right - seen.left for seen in panels)
    height = max(seen.top - seen.bottom for seen in panels)
    return min(SCALE, SIZE[0] / width, SIZE[1] / height)


class _Sheet:
    """Both views, their labels and the legend on one plane whose unit is the Å."""

    def __init__(self, drawn: Scene, scale: float) -> None:
        self.drawn = drawn
        self.inch = 1 / scale
        self.panels = [panel(drawn, axis) for axis in (0, 1)]
        self.bottom = min(seen.bottom for seen in self.panels)
        self.top = max(seen.top for seen in self.panels)
        first, second = self.panels
        gap = 0.45 * self.inch
        across = (-first.left, first.right - first.left + gap - second.left)
        level = [0.0 if drawn.planar else (self.bottom + self.top - seen.bottom - seen.top) / 2 for seen in self.panels]
        self.moves = np.column_stack([across, level])
        self.right = second.right + across[1]
        lowest = heights(second, [again for _, again in _repeated(drawn.planes)])
        self.bottom = min([self.bottom, *lowest])

    def draw(self, axes: "Axes", title: str, grains: Sequence[str]) -> tuple[float, float]:
        """Draw everything; return width and height of the sheet in inches."""
        inch = self.inch
        for seen, move in zip(self.panels, self.moves, strict=True):
            self._panel(axes, seen, move)
        edge = self._marks(axes, grains) if self.drawn.planes or self.drawn.sections else self.right
        low = self._foot(axes)
        high = self.top + 0.42 * inch
        axes.text(0, self.top + 0.2 * inch, title, va="baseline", weight="bold", fontsize=11.5, color=INK)
        left = -0.2 * inch
        edge = max(edge + 0.15 * inch, left + (0.6 + 0.105 * len(title)) * inch, left + self._foot_width())
        axes.set_axis_off()
        axes.set_xlim(left, edge)
        axes.set_ylim(low, high)
        return (edge - left) / inch, (high - low) / inch

    def _panel(self, axes: "Axes", seen: Panel, move: "NDArray[np.float64]") -> None:
        from matplotlib.collections import LineCollection, PatchCollection

        corners = seen.corners + move
        steps = [(i, i + step) for step in (4, 2, 1) for i in range(8) if not i & step]
        axes.add_collection(LineCollection([corners[list(pair)] for pair in steps], colors="#888888", linewidths=0.9, zorder=1))
        patches = _patches(self.drawn, seen, move)
        axes.add_collection(PatchCollection(patches, match_original=True, zorder=2))
        label = f"along {AXES[seen.axis]}"
        middle = (seen.left + seen.right) / 2 + move[0]
        axes.text(middle, self.bottom - 0.12 * self.inch, label, ha="center", va="top", style="italic", color=INK)

    def _marks(self, axes: "Axes", grains: Sequence[str]) -> float:
        """Draw boundaries and grains; return how far to the right they reach."""
        inch, second = self.inch, self.panels[1]
        start, bracket = -0.08 * inch, self.right + 0.12 * inch
        texts = [0.0]
        shown = [*enumerate(self.drawn.planes, start=1), *_repeated(self.drawn.planes)]
        for (number, _), y in zip(shown, heights(second, [plane for _, plane in shown]), strict=True):
            axes.plot([start, bracket + 0.12 * inch], [y, y], color=INK, dashes=(4, 2.5), linewidth=1.1, zorder=3)
            name = "boundary" if len(self.drawn.planes) == 1 else f"boundary {number}"
            axes.text(bracket + 0.2 * inch, y, name, va="center", fontsize=9, color=INK)
            texts.append(0.2 + 0.075 * len(name))
        for section in self.drawn.sections:
            name = section_name(section, grains)
            if name:
                self._bracket(axes, section, bracket, name)
                texts.append(0.2 + 0.095 * len(name))
        return bracket + max(texts) * inch

    def _bracket(self, axes: "Axes", section: Section, x: float, name: str) -> None:
        inch = self.inch
        low, high = heights(self.panels[1], [section.bottom, section.top]) + np.array([1, -1]) * 0.13 * inch
        tick = x - 0.06 * inch
        colour = SOFT if section.grain is None else INK
        axes.plot([tick, x, x, tick], [low, low, high, high], color=colour, linewidth=1.0, solid_joinstyle="miter", zorder=3)
        axes.text(x + 0.1 * inch, (low + high) / 2, name, va="center", fontsize=10, color=colour)

    def _foot(self, axes: "Axes") -> float:
        """Draw the legend of elements and the scale bar below the views; return how far down they reach."""
        inch = self.inch
        y = self.bottom - 0.62 * inch
        x = 0.1 * inch
        for symbol in dict.fromkeys(sorted(self.drawn.symbols)):
            for patch in _ball(np.array([x, y]), 0.085 * inch, colour(symbol)):
                axes.add_patch(patch)
            axes.text(x + 0.15 * inch, y - 0.05 * inch, symbol, va="baseline", color=INK)
            x += 0.55 * inch
        length = self._bar()
        x += 0.1 * inch
        axes.plot([x, x + length], [y, y], color=INK, linewidth=2.2, solid_capstyle="butt")
        axes.text(x + length + 0.09 * inch, y - 0.05 * inch, f"{length:g} Å", va="baseline", color=INK)
        return y - 0.22 * inch

    def _bar(self) -> float:
        return next(length for length in (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0) if length > 0.35 * self.inch)

    def _foot_width(self) -> float:
        return (0.2 + 0.55 * len(set(self.drawn.symbols)) + 0.9) * self.inch + self._bar()


def _repeated(planes: Sequence[float]) -> list[tuple[int, float]]:
    """Return number and height of the planes at the top of the cell as they show again at its bottom."""
    return [(number, plane - 1) for number, plane in enumerate(planes, start=1) if plane > AT_TOP]


def section_name(section: Section, grains: Sequence[str]) -> str:
    """Return what is written beside a section; nothing if its grain has no name."""
    if section.grain is None:
        return "vacuum"
    return grains[section.grain] if section.grain < len(grains) else ""


def _patches(drawn: Scene, seen: Panel, move: "NDArray[np.float64]") -> "list[Patch]":
    """Return bonds and atoms from the back to the front."""
    span = max(float(np.ptp(seen.depth)), 1e-6)
    fog = 0.3 * (seen.depth.max() - seen.depth) / span
    colours = [_mixed(colour(symbol), "#FFFFFF", share) for symbol, share in zip(drawn.symbols, fog, strict=True)]
    points = seen.points + move
    found: list[tuple[float, int, list[Patch]]] = [
        (depth, 1, _ball(point, radius, shade))
        for point, depth, radius, shade in zip(points, seen.depth, drawn.radii, colours, strict=True)
    ]
    for one, other in drawn.bonds:
        for start, end in ((one, other), (other, one)):
            found += _half_bond(drawn, seen, (int(start), int(end)), points, colours[start])
    return [patch for _, _, patches in sorted(found, key=lambda item: (round(item[0], 3), item[1])) for patch in patches]


def _half_bond(
    drawn: Scene, seen: Panel, ends: tuple[int, int], points: "NDArray[np.float64]", shade: str
) -> "list[tuple[float, int, list[Patch]]]":
    """Return the half of a bond that has the colour of its first end: from the surface of the sphere to the middle."""
    from matplotlib.patches import Polygon

    start, end = ends
    length = float(np.linalg.norm(drawn.positions[end] - drawn.positions[start]))
    near = np.sqrt(max(drawn.radii[start] ** 2 - BOND_RADIUS**2, 0.0)) / length
    middle = (1 + (drawn.radii[start] - drawn.radii[end]) / length) / 2
    along = points[end] - points[start]
    seen_length = float(np.linalg.norm(along))
    if seen_length < 0.05:  # noqa: PLR2004 - Å; seen end on
        return []
    side = BOND_RADIUS * np.array([-along[1], along[0]]) / seen_length
    first, last = points[start] + near * along, points[start] + middle * along
    shape = Polygon(
        [first + side, last + side, last - side, first - side],
        facecolor=shade,
        edgecolor=_mixed(shade, "#000000", 0.45),
        linewidth=0.4,
    )
    depth = seen.depth[start] + (near + middle) / 2 * (seen.depth[end] - seen.depth[start])
    return [(float(depth), 0, [shape])]


def _ball(centre: "NDArray[np.float64]", radius: float, shade: str) -> "list[Patch]":
    """Return a sphere lit from the upper left."""
    from matplotlib.patches import Circle

    x, y = (float(value) for value in centre)
    dark, rim = _mixed(shade, "#000000", 0.12), _mixed(shade, "#000000", 0.5)
    discs = [Circle((x, y), radius, facecolor=dark, edgecolor=rim, linewidth=0.6)]
    for size, far, white in ((0.80, 0.35, 0.0), (0.55, 0.7, 0.2), (0.30, 1.0, 0.5), (0.14, 1.15, 0.8)):
        middle = (x - 0.26 * far * radius, y + 0.3 * far * radius)
        discs.append(Circle(middle, radius * size, color=_mixed(shade, "#FFFFFF", white), linewidth=0))
    return [*discs]


def _mixed(one: str, other: str, share: float) -> str:
    pairs = [(int(one[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(low + (high - low) * share):02X}" for low, high in pairs)
