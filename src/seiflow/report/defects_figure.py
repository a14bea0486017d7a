"""The figure of point defects: energies of Frenkel pairs against how far apart vacancy and interstitial are."""

from seiflow.report.canvas import PALETTE, canvas
from seiflow.report.views import Defects

CAPTION = "Energy of Frenkel pairs against the separation of vacancy and interstitial; dashed: each alone in a cell of its own."


def has_pairs(record: Defects) -> bool:
    """Whether there is a pair that did not recombine."""
    disorders = [disorder for disorder in (record.frenkel, record.anion_frenkel) if disorder]
    return any(pair.formation_energy_ev is not None for disorder in disorders for pair in disorder.pairs)


def pair_energies(record: Defects, name: str) -> str:
    """Return a point for each pair that did not recombine, and a line for each limit."""
    with canvas(f"pairs {name}", (6.0, 3.9)) as (figure, svg):
        axes = figure.subplots()
        for color, disorder in zip(PALETTE, (record.frenkel, record.anion_frenkel), strict=False):
            if disorder is None:
                continue
            stayed = [
                (pair.separation_angstrom, pair.formation_energy_ev)
                for pair in disorder.pairs
                if pair.separation_angstrom is not None and pair.formation_energy_ev is not None
            ]
            if stayed:
                axes.plot(*zip(*stayed, strict=True), "o", color=color, label=disorder.species)
            if stayed and disorder.isolated_energy_ev is not None:
                axes.axhline(disorder.isolated_energy_ev, color=color, linestyle="--", label=f"{disorder.species}, each alone")
        axes.set_xlabel("Separation (Å)")
        axes.set_ylabel("Energy of the pair (eV)")
        axes.margins(y=0.14)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return svg.text
