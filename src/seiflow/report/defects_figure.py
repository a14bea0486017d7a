"""The figure of point defects: energies of Frenkel pairs against how far apart vacancy and interstitial are."""

from seiflow.report.canvas import PALETTE, canvas
from seiflow.report.views import DefectPair, Defects, Frenkel

CAPTION = (
    "Energy of Frenkel pairs against the separation of vacancy and interstitial. Hollow: they are not where they were put. "
    "Dashed: each alone in a cell of its own."
)


def has_pairs(record: Defects) -> bool:
    """Whether there is a pair to be drawn."""
    return any(_drawn(disorder) for disorder in _disorders(record))


def pair_energies(record: Defects, name: str) -> str:
    """Return a point for each pair that is one in the end, and a line for each limit."""
    with canvas(f"pairs {name}", (6.0, 3.9)) as (figure, svg):
        axes = figure.subplots()
        for color, disorder in zip(PALETTE, _disorders(record), strict=False):
            for moved, label in ((False, disorder.species), (True, f"{disorder.species}, moved")):
                points = [(apart, energy) for pair, apart, energy in _drawn(disorder) if pair.moved == moved]
                if points:
                    face = "none" if moved else color
                    axes.plot(*zip(*points, strict=True), "o", color=color, markerfacecolor=face, label=label)
            if _drawn(disorder) and disorder.isolated_energy_ev is not None:
                label = f"{disorder.species}, each alone"
                axes.axhline(disorder.isolated_energy_ev, color=color, linestyle="--", label=label)
        axes.set_xlabel("Separation (Å)")
        axes.set_ylabel("Energy of the pair (eV)")
        axes.margins(y=0.14)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return svg.text


def _disorders(record: Defects) -> list[Frenkel]:
    return [disorder for disorder in (record.frenkel, record.anion_frenkel) if disorder]


def _drawn(disorder: Frenkel) -> list[tuple[DefectPair, float, float]]:
    """Return the pairs that are still pairs, with separation and energy."""
    return [
        (pair, pair.separation_angstrom, pair.formation_energy_ev)
        for pair in disorder.pairs
        if pair.separation_angstrom is not None and pair.formation_energy_ev is not None
    ]
