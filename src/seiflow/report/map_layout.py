"""Where things stand on a barrier map: two views of one cell, and what of hops and sites lies in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.report.networks import Line
from seiflow.report.panels import panel
from seiflow.report.scene import AT_TOP, ON_FACE, Scene

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

LARGEST = (3.4, 5.6)
"""Width and height of a view, inches."""

SCALE = 0.55
"""Inches per Å at most."""

WIDTH = 7.4
"""Of the sheet at least, inches; the legend needs it."""

TINY = 1e-3
"""Of a cell vector; what lies that close to a face lies in it."""


@dataclass(frozen=True)
class Piece:
    """The part of a hop that lies in the cell: its ends in fractions of the cell vectors."""

    line: Line
    start: "NDArray[np.float64]"
    end: "NDArray[np.float64]"


class Layout:
    """Places on the sheet, inches, of fractions of the cell vectors.

    The first view is along the second cell vector, the second along the first. A structure whose upper boundary lies at the top
    of the cell is shown from that boundary up, as in its picture.

    Attributes:
        axes: Along which cell vector one looks in each view.
        horizontal: Which cell vector leads to the right in each view.
        depths: Of the atoms, towards the eye.
        low: Where the cell shown starts, in fractions.
        scale: Inches per Å.
        right: How far the views reach.
        size: Of the sheet.
    """

    FOOT = 2.3
    HEAD = 0.12
    GAP = 0.65
    MARGIN = 0.45
    axes = (1, 0)
    horizontal = (0, 1)

    def __init__(self, drawn: Scene, grains: Sequence[str]) -> None:
        """Find the scale at which both views fit."""
        self.low = np.array([0.0, 0.0, max(drawn.planes) - 1 if max(drawn.planes, default=0.0) > AT_TOP else 0.0])
        self.depths = [panel(drawn, axis).depth for axis in self.axes]
        corners = [panel(drawn, axis).corners for axis in self.axes]
        self._vectors = [edge[[4, 2, 1]] - edge[0] for edge in corners]
        self._points = [
            panel(drawn, axis).points - self.low @ vectors for axis, vectors in zip(self.axes, self._vectors, strict=True)
        ]
        lows = [_lowest(edge, points, drawn.radii) for edge, points in zip(corners, self._points, strict=True)]
        highs = [-_lowest(-edge, -points, drawn.radii) for edge, points in zip(corners, self._points, strict=True)]
        widths = [float(high[0] - low[0]) for low, high in zip(lows, highs, strict=True)]
        bottom, top = min(float(low[1]) for low in lows), max(float(high[1]) for high in highs)
        self.scale = min(SCALE, LARGEST[1] / (top - bottom), LARGEST[0] / max(widths))
        words = max([len(name) for name in grains] + [len("boundary 1") if drawn.planes else 0])
        labels = 0.3 + 0.095 * words
        total = self.scale * sum(widths) + self.GAP + self.MARGIN + labels
        left = self.MARGIN + max(0.0, (WIDTH - total) / 2)
        self._origins = []
        for low, width in zip(lows, widths, strict=True):
            self._origins.append(np.array([left - self.scale * low[0], self.FOOT - self.scale * bottom]))
            left += self.scale * width + self.GAP
        self.right = left - self.GAP
        self.size = (max(WIDTH, total), self.FOOT + self.scale * (top - bottom) + self.HEAD)

    def place(self, view: int, fractions: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """Return where fractions (… × 3) lie in a view, … × 2."""
        return np.asarray(self._origins[view] + self.scale * ((fractions - self.low) @ self._vectors[view]))

    def atoms(self, view: int) -> "NDArray[np.float64]":
        """Return where the atoms of the scene lie in a view, n × 2."""
        return np.asarray(self._origins[view] + self.scale * self._points[view])


def _lowest(corners: "NDArray[np.float64]", points: "NDArray[np.float64]", radii: "NDArray[np.float64]") -> "NDArray[np.float64]":
    return np.asarray(np.minimum(corners.min(axis=0), (points - radii[:, None]).min(axis=0)))


class Contents:
    """What of a network lies in the cell shown."""

    def __init__(self, atoms: "Atoms", low: "NDArray[np.float64]", *, planar: bool) -> None:
        """Keep the places of the sites."""
        self._low = low
        self._fractions = atoms.get_scaled_positions(wrap=False)
        closing = np.array([1.0, 1.0, not planar])
        self._edge = ON_FACE * np.linalg.norm(np.linalg.inv(np.asarray(atoms.cell)), axis=0) * closing + TINY

    def images(self, site: int) -> "list[NDArray[np.float64]]":
        """Return where a site is, and where its images are if it lies at a face of the cell."""
        places = [self._home(site) + step for step in _around()]
        return [place for place in places if self._holds(place)]

    def pieces(self, line: Line) -> list[Piece]:
        """Return the parts of a hop and of its images that lie in the cell."""
        first = self._home(line.first)
        step = self._fractions[line.second] + np.array(line.offset) - self._fractions[line.first]
        clipped = [_inside(first + cell, step, self._low) for cell in _around()]
        return [Piece(line, *ends) for ends in clipped if ends is not None]

    def _home(self, site: int) -> "NDArray[np.float64]":
        place = self._fractions[site]
        return np.asarray(place - np.floor(place - self._low + TINY))

    def _holds(self, place: "NDArray[np.float64]") -> bool:
        return bool(((place >= self._low - self._edge) & (place <= self._low + 1 + self._edge)).all())


def _around() -> "NDArray[np.int64]":
    """Return the cell and those that touch it."""
    return np.array(list(np.ndindex(3, 3, 3))) - 1


def _inside(
    start: "NDArray[np.float64]", step: "NDArray[np.float64]", low: "NDArray[np.float64]"
) -> "tuple[NDArray[np.float64], NDArray[np.float64]] | None":
    """Clip a line to the cell, in fractions of its vectors; None if no more than a point of it lies inside.

    Liang and Barsky, ACM Trans. Graph. 3, 1 (1984).
    """
    first, last = 0.0, 1.0
    for at, along, bottom in zip(start, step, low, strict=True):
        near, far = bottom - TINY - at, bottom + 1 + TINY - at
        if abs(along) < TINY:
            if near > TINY or far < -TINY:
                return None
            continue
        enter, leave = sorted((near / along, far / along))
        first, last = max(first, enter), min(last, leave)
    return (start + first * step, start + last * step) if last - first > 30 * TINY else None
