"""What every figure shares: style, palette, and SVG text of which equal inputs give equal bytes.

Okabe and Ito, Color Universal Design (2008), for the palette.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D1F")
INK = "#222222"

_STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.labelsize": 11,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 10,
}


@dataclass(frozen=True)
class Drawing:
    """A finished figure; ``calculator`` is None where it shows all of them."""

    structure: str
    calculator: str | None
    name: str
    caption: str
    svg: str

    @property
    def file_name(self) -> str:
        """Name of the file that holds it."""
        return "-".join(part for part in (self.structure, self.calculator, self.name) if part) + ".svg"


class Svg:
    """Receives the text of a figure when it is finished."""

    text = ""


@contextmanager
def canvas(
    salt: str, size: tuple[float, float], layout: Literal["constrained"] | None = "constrained"
) -> Iterator[tuple["Figure", Svg]]:
    """Give a figure to draw on and write it as SVG, without date or creator, when the drawing is done."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    svg = Svg()
    with rc_context(_STYLE | {"svg.hashsalt": salt}):
        figure = Figure(figsize=size, layout=layout)
        FigureCanvasSVG(figure)
        yield figure, svg
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg.text = "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def inline(svg: str, name: str) -> str:
    """Return an SVG as an element of an HTML page: no prolog, ids of its own, and a caption for screen readers."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r'\bid="', f'id="{name}-', element)
    element = re.sub(r"url\(#", f"url(#{name}-", element)
    element = re.sub(r'href="#', f'href="#{name}-', element)
    return element.replace("<svg ", f'<svg role="img" aria-labelledby="{name}-caption" ', 1)
