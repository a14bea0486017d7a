"""Scales of colours and the legend of a barrier map."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.report.canvas import INK
from seiflow.report.map_layout import Layout
from seiflow.report.networks import NetworkMap
from seiflow.report.scene import Scene, colour
from seiflow.report.wording import show

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

Colour = tuple[float, float, float, float]

SAME = 1e-3
"""eV; a scale of colours needs values farther apart than that."""

STEPS = 64
"""Of a scale of colours."""

FAINT = 0.25
"""Opacity of the other ions."""

SITE = "#7FA6C4"
"""Sites whose vacancies all cost the same."""

UNKNOWN = "#B4B8BD"
"""Of hops that are only bounded."""

LENGTH = 3.0
"""Of a scale of colours, inches."""

LINES, IONS = 0.48, 0.16
"""Heights of the samples of lines, and of what stands at sites, inches."""


@dataclass(frozen=True)
class Shades:
    """Colours of values in eV."""

    map: "Colormap"
    low: float
    high: float

    @property
    def single(self) -> bool:
        """Whether all values are one."""
        return self.high - self.low < SAME

    def __call__(self, value: float) -> Colour:
        """Return the colour of a value."""
        red, green, blue, alpha = self.map(0.5 if self.single else (value - self.low) / (self.high - self.low))
        return float(red), float(green), float(blue), float(alpha)


@dataclass(frozen=True)
class Stroke:
    """How a line is drawn."""

    colour: str | Colour
    width: float
    style: str = "-"


def shades(name: str, first: float, values: list[float]) -> Shades:
    """Return the colours of values from one of matplotlib's maps, without its palest part, which white paper would hide."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    chosen = colormaps[name](np.linspace(first, 1.0, STEPS))
    return Shades(ListedColormap(chosen), min(values, default=0.0), max(values, default=0.0))


class Legend:
    """What stands below the views."""

    def __init__(self, axes: "Axes", layout: Layout) -> None:
        """Draw on axes whose unit is the inch."""
        self._axes, self._layout = axes, layout
        self._left = self._x = layout.size[0] / 2 - 3.4
        self._y = LINES

    def draw(self, shown: NetworkMap, drawn: Scene, hops: Shades, sites: Shades) -> None:
        """Draw scales of colours, samples of what is drawn, and the scale of lengths."""
        if any(line.level_ev is not None for line in shown.lines):
            self._scale(hops, self._left, "Highest energy of a hop")
        if not sites.single:
            self._scale(sites, self._left + 3.6, "Vacancy at a site")
        for text, strokes in _samples(shown, hops):
            for stroke in strokes:
                ends = [self._x, self._x + 0.28]
                self._axes.plot(ends, [LINES, LINES], stroke.style, color=stroke.colour, linewidth=stroke.width)
            self._word(text, 0.36)
        self._x, self._y = self._left, IONS
        inside = SITE if sites.single else sites((sites.low + sites.high) / 2)
        self._dot(shown.species, "o", inside, 9)
        if shown.moved:
            self._dot(f"{shown.species}, vacancy moves away", "D", inside, 7)
        for symbol in sorted(set(drawn.symbols) - {shown.species}):
            self._axes.plot([self._x + 0.08], [IONS], "o", color=colour(symbol), alpha=FAINT, markersize=11, markeredgewidth=0)
            self._word(symbol, 0.22)
        self._ruler()

    def _dot(self, text: str, marker: str, inside: str | Colour, size: float) -> None:
        self._axes.plot([self._x + 0.08], [IONS], marker, color=inside, markeredgecolor=INK, markeredgewidth=0.7, markersize=size)
        self._word(text, 0.22)

    def _ruler(self) -> None:
        length = next(size for size in (1.0, 2.0, 5.0, 10.0, 20.0, 50.0) if size * self._layout.scale > 0.45)  # noqa: PLR2004 - inches
        end = self._x + length * self._layout.scale
        self._axes.plot([self._x, end], [IONS, IONS], color=INK, linewidth=2.2, solid_capstyle="butt")
        self._x = end
        self._word(f"{length:g} Å", 0.08)

    def _word(self, text: str, after: float) -> None:
        """Write a word and go on behind it."""
        self._axes.text(self._x + after, self._y, text, va="center", fontsize=9, color=INK)
        self._x += after + 0.072 * len(text) + 0.2

    def _scale(self, chosen: Shades, x: float, title: str) -> None:
        """Draw a scale of colours, or only name the value where there is one."""
        if chosen.single:
            self._axes.text(x, 1.05, f"{title}: {show(chosen.low, 'eV')}", va="center", fontsize=10, color=INK)
            return
        self._axes.text(x, 1.36, f"{title} (eV)", va="center", fontsize=10, color=INK)
        edges = np.linspace(x, x + LENGTH, STEPS + 1)
        middles = np.linspace(chosen.low, chosen.high, 2 * STEPS + 1)[1::2]
        for left, right, value in zip(edges[:-1], edges[1:], middles, strict=True):
            self._axes.fill_between([left, right], 1.06, 1.21, facecolor=chosen(value), edgecolor=chosen(value), linewidth=0.8)
        for value in _ticks(chosen.low, chosen.high):
            at = x + LENGTH * (value - chosen.low) / (chosen.high - chosen.low)
            self._axes.plot([at, at], [1.01, 1.06], color=INK, linewidth=0.8)
            self._axes.text(at, 0.9, f"{value:g}", ha="center", va="center", fontsize=9, color=INK)


def _ticks(low: float, high: float) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    values = MaxNLocator(5).tick_values(low, high)
    return [round(float(value), 6) for value in values if low <= value <= high]


def _samples(shown: NetworkMap, hops: Shades) -> list[tuple[str, list[Stroke]]]:
    """Return what is drawn, in words and lines."""
    steps = [step for route in shown.routes.values() for step in route]
    states = {line.state for line in shown.lines}
    inside = hops((hops.low + hops.high) / 2)
    best = [("best path", [Stroke(INK, 4.6), Stroke(inside, 2.6)])]
    hollow = [("best path, not computed", [Stroke(INK, 4.6), Stroke("white", 2.6)])]
    found = best if any(step.state == "computed" for step in steps) else []
    found = found + (hollow if any(step.state != "computed" for step in steps) else [])
    found = found + ([("not computed", [Stroke(UNKNOWN, 0.8)])] if "bounded" in states else [])
    return found + ([("failed", [Stroke(INK, 1.0, ":")])] if "failed" in states else [])
