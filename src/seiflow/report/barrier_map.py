"""Barrier maps: the sites of the mobile ion and its hops in the cell of the structure, seen along two cell vectors.

A boundary is seen edge-on in both views. The paths that lead along the two vectors in the paper are outlined.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from seiflow.report.canvas import INK, Drawing, canvas
from seiflow.report.map_layout import Contents, Layout, Piece
from seiflow.report.map_legend import FAINT, SITE, UNKNOWN, Legend, Shades, Stroke, shades
from seiflow.report.networks import Line, NetworkMap
from seiflow.report.pictures import AXES, SOFT, section_name
from seiflow.report.scene import AT_TOP, Scene, colour, grain_names, scene
from seiflow.report.viewer import Hops
from seiflow.report.wording import show

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

TINTS = ("#EAF1F7", "#F8F1E4")
"""Of the grains, by turns."""

HOPS, SITES = ("YlOrRd", 0.32), ("YlGnBu", 0.12)
"""Maps of colours, and where they start."""


def draw_maps(maps: Sequence[NetworkMap]) -> list[Drawing]:
    """Draw the barrier map of each structure and calculator."""
    return [Drawing(shown.structure, shown.calculator, "barrier-map", caption(shown), barrier_map(shown)) for shown in maps]


def caption(shown: NetworkMap) -> str:
    """Return what the page says below a map."""
    states = {line.state for line in shown.lines}
    parts = [f"Hops of {shown.species} by the highest energy on the way, counted from the most stable vacancy"]
    parts += ["thin and grey: not computed"] if "bounded" in states else []
    parts += ["dotted: could not be computed"] if "failed" in states else []
    parts += ["outlined: the best paths along the two cell vectors in the paper"] if shown.routes else []
    hollow = any(step.state != "computed" for route in shown.routes.values() for step in route)
    parts += ["hollow: their hops that were not computed, because a bound was enough or the search ended"] if hollow else []
    return "; ".join(parts) + "."


def coloured_hops(shown: NetworkMap) -> Hops:
    """Return the hops that were computed, in the colours of the map, for a structure that can be turned."""
    from matplotlib.colors import to_hex

    drawn = scene(shown.atoms)
    contents = Contents(shown.atoms, Layout(drawn, ()).low, planar=bool(drawn.planes))
    known = [(line, line.level_ev) for line in shown.lines if line.level_ev is not None]
    chosen = shades(*HOPS, [level for _, level in known])
    ends: dict[str, list[NDArray[np.float64]]] = {}
    for line, level in known:
        ends.setdefault(to_hex(chosen(level)), []).extend(np.array([one.start, one.end]) for one in contents.pieces(line))
    cell = np.asarray(shown.atoms.cell)
    named = {show(level, "eV"): to_hex(chosen(level)) for level in (chosen.low, chosen.high) if known}
    return Hops({shade: np.array(lines) @ cell for shade, lines in sorted(ends.items()) if lines}, tuple(named.items()))


def barrier_map(shown: NetworkMap) -> str:
    """Return the map as SVG: two views, beside them the grains, below them scales of colours and a legend."""
    drawn = scene(shown.atoms)
    grains = grain_names(shown.atoms)
    layout = Layout(drawn, grains)
    hops = shades(*HOPS, [line.level_ev for line in shown.lines if line.level_ev is not None])
    sites = shades(*SITES, [energy for energy in shown.energies_ev.values() if energy is not None])
    with canvas(f"barrier map {shown.structure} {shown.calculator}", layout.size, layout=None) as (figure, svg):
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(0, layout.size[0])
        axes.set_ylim(0, layout.size[1])
        views = _Views(axes, drawn, layout)
        views.draw(shown, hops, sites)
        views.names(grains)
        Legend(axes, layout).draw(shown, drawn, hops, sites)
    return svg.text


class _Views:
    """Both views of a structure."""

    def __init__(self, axes: "Axes", drawn: Scene, layout: Layout) -> None:
        self._axes, self._drawn, self._layout = axes, drawn, layout

    def draw(self, shown: NetworkMap, hops: Shades, sites: Shades) -> None:
        contents = Contents(shown.atoms, self._layout.low, planar=bool(self._drawn.planes))
        pieces = [piece for line in shown.lines for piece in contents.pieces(line)]
        for view, horizontal in enumerate(self._layout.horizontal):
            self._ground(view)
            self._ions(view, shown.species)
            self._hops(view, pieces, hops)
            for axis in (AXES[horizontal], AXES[2]):
                self._route(view, [piece for line in shown.routes.get(axis, ()) for piece in contents.pieces(line)], hops)
            self._sites(view, shown, contents, sites)
            self._words(view)

    def names(self, grains: Sequence[str]) -> None:
        """Draw the boundaries, and name them and the grains at the right."""
        planes = [*enumerate(self._drawn.planes, start=1)]
        planes += [(number, plane - 1) for number, plane in planes if plane > AT_TOP]
        for number, plane in planes:
            name = "boundary" if len(self._drawn.planes) == 1 else f"boundary {number}"
            for view in (0, 1):
                left, right = self._level(view, plane)
                ends = [left[0] - 0.1, right[0] + 0.1]
                self._axes.plot(ends, [left[1], right[1]], color=INK, dashes=(4, 2.5), linewidth=1.0, zorder=5)
            self._axes.text(self._layout.right + 0.2, right[1], name, va="center", fontsize=9, color=INK)
        for section in self._drawn.sections:
            _, right = self._level(1, (section.bottom + section.top) / 2)
            self._axes.text(
                self._layout.right + 0.2, right[1], section_name(section, grains), va="center", fontsize=10, color=INK
            )

    def _level(self, view: int, height: float) -> "NDArray[np.float64]":
        """Return the ends of a horizontal line across a view."""
        ends = np.zeros((2, 3))
        ends[1, self._layout.horizontal[view]], ends[:, 2] = 1, height
        return self._layout.place(view, ends)

    def _ground(self, view: int) -> None:
        """Draw the grains as tints, and the edges of the cell."""
        from matplotlib.collections import LineCollection
        from matplotlib.patches import Polygon

        for section in self._drawn.sections:
            if section.grain is not None:
                low = section.bottom or float(self._layout.low[2])
                outline = np.vstack([self._level(view, low), self._level(view, section.top)[::-1]])
                self._axes.add_patch(Polygon(outline, facecolor=TINTS[section.grain % 2], edgecolor="none", zorder=0))
        corners = self._layout.place(view, np.array(list(np.ndindex(2, 2, 2))) + self._layout.low)
        edges = [corners[[i, i + step]] for step in (4, 2, 1) for i in range(8) if not i & step]
        self._axes.add_collection(LineCollection(edges, colors="#AAAAAA", linewidths=0.8, zorder=1))

    def _ions(self, view: int, species: str) -> None:
        """Draw what does not move, faintly."""
        from matplotlib.collections import PatchCollection
        from matplotlib.patches import Circle

        places, scale = self._layout.atoms(view), self._layout.scale
        order = np.argsort(self._layout.depths[view].round(3), kind="stable")
        others = [index for index in order.tolist() if self._drawn.symbols[index] != species]
        if others:
            balls = [Circle((float(places[i, 0]), float(places[i, 1])), scale * float(self._drawn.radii[i])) for i in others]
            shown = [colour(self._drawn.symbols[index]) for index in others]
            self._axes.add_collection(PatchCollection(balls, facecolors=shown, edgecolors="none", alpha=FAINT, zorder=1.5))

    def _hops(self, view: int, pieces: Sequence[Piece], hops: Shades) -> None:
        """Draw hops, the lowest on top."""
        for state, style, shade, width in (("bounded", "-", UNKNOWN, 0.6), ("failed", ":", INK, 1.0)):
            ends = [[piece.start, piece.end, np.full(3, np.nan)] for piece in pieces if piece.line.state == state]
            places = self._layout.place(view, np.reshape(ends, (-1, 3)))
            self._axes.plot(places[:, 0], places[:, 1], style, color=shade, linewidth=width, zorder=2)
        order = sorted((-level, place) for place, piece in enumerate(pieces) if (level := piece.line.level_ev) is not None)
        known = [pieces[place] for _, place in order]
        self._lines(view, known, [Stroke(hops(-level), 2.0) for level, _ in order], 2.2)

    def _route(self, view: int, pieces: Sequence[Piece], hops: Shades) -> None:
        """Outline a path; its hops that are only bounded stay hollow."""
        inside = [_inside(piece.line, hops) for piece in pieces]
        self._lines(view, pieces, [Stroke(INK, 4.6)] * len(pieces), 3.0)
        self._lines(view, pieces, inside, 3.1)

    def _lines(self, view: int, pieces: Sequence[Piece], strokes: Sequence[Stroke], order: float) -> None:
        from matplotlib.collections import LineCollection

        if not pieces:
            return
        ends = self._layout.place(view, np.array([[piece.start, piece.end] for piece in pieces]))
        lines = LineCollection(
            list(ends),
            colors=[stroke.colour for stroke in strokes],
            linewidths=[stroke.width for stroke in strokes],
            capstyle="butt",
            zorder=order,
        )
        self._axes.add_collection(lines)

    def _sites(self, view: int, shown: NetworkMap, contents: Contents, sites: Shades) -> None:
        """Draw the sites, the cheapest vacancies on top."""
        size = float(np.clip(40 * self._layout.scale, 5.5, 12) ** 2)
        images = [(energy, site, place) for site, energy in shown.energies_ev.items() for place in contents.images(site)]
        images.sort(key=lambda image: -(image[0] or 0.0))
        for marker in "oD":
            chosen = [image for image in images if (image[1] in shown.moved) == (marker == "D")]
            if chosen:
                places = self._layout.place(view, np.array([place for _, _, place in chosen]))
                fills = [_fill(energy, sites) for energy, _, _ in chosen]
                share = 0.8 if marker == "D" else 1.0
                self._axes.scatter(
                    places[:, 0], places[:, 1], s=share * size, marker=marker, c=fills, edgecolors=INK, linewidths=0.7, zorder=4
                )

    def _words(self, view: int) -> None:
        """Name the directions below a view."""
        right, low = self._layout.horizontal[view], self._layout.low
        base = self._layout.place(view, np.array([low, low + np.eye(3)[right], low + np.eye(3)[2]]))
        start = np.array([base[0, 0] - 0.2, self._layout.FOOT - 0.5])
        style = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0}
        for name, end in ((AXES[right], base[1]), (AXES[2], base[2])):
            unit = (end - base[0]) / np.linalg.norm(end - base[0])
            tip, (x, y) = start + 0.36 * unit, start + 0.47 * unit
            self._axes.annotate("", (tip[0], tip[1]), (start[0], start[1]), arrowprops=style)
            self._axes.text(x, y, name, ha="center", va="center", style="italic", color=INK)
        text = f"seen along {AXES[self._layout.axes[view]]}"
        self._axes.text(start[0] + 0.7, start[1], text, va="center", fontsize=9, color=SOFT)


def _inside(line: Line, hops: Shades) -> Stroke:
    return Stroke("white" if line.level_ev is None else hops(line.level_ev), 2.6)


def _fill(energy: float | None, sites: Shades) -> object:
    if energy is None:
        return "white"
    return SITE if sites.single else sites(energy)
