"""A structure projected onto paper."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.report.scene import Scene, view

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Panel:
    """One view on the sheet, in Å.

    Attributes:
        axis: The cell vector along which one looks.
        points: Atoms, n × 2.
        depth: Of the atoms, towards the eye, n.
        corners: The eight corners of the cell, 8 × 2, the third vector counting fastest.
        left: How far atoms and cell reach, as right, bottom and top.
    """

    axis: int
    points: "NDArray[np.float64]"
    depth: "NDArray[np.float64]"
    corners: "NDArray[np.float64]"
    left: float
    right: float
    bottom: float
    top: float


def panel(drawn: Scene, axis: int) -> Panel:
    """Return one view: distances across the line of sight are kept, so that lengths can be read off the sheet."""
    right, up, towards = view(drawn.cell, axis, planar=drawn.planar)
    across = np.column_stack([right, up])
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) @ drawn.cell
    points, edges = drawn.positions @ across, corners @ across
    radii = drawn.radii[:, None]
    low = np.minimum((points - radii).min(axis=0), edges.min(axis=0))
    high = np.maximum((points + radii).max(axis=0), edges.max(axis=0))
    return Panel(axis, points, drawn.positions @ towards, edges, low[0], high[0], low[1], high[1])


def heights(seen: Panel, fractions: Sequence[float]) -> "NDArray[np.float64]":
    """Return where fractions of the third cell vector lie on the vertical axis of a planar structure, Å."""
    return np.asarray(np.asarray(fractions) * (seen.corners[1, 1] - seen.corners[0, 1]))
