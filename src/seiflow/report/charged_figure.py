"""The figure of charged defects: formation energies against the Fermi level."""

from seiflow.report.canvas import PALETTE, canvas
from seiflow.report.charged_view import ChargedDefects
from seiflow.report.wording import MINUS

CAPTION = "Formation energy of charged defects against the Fermi level, from valence to conduction edge, at each limit."

DASHES = ("-", "--", ":", "-.")


def formation_energies(record: ChargedDefects, name: str) -> str:
    """Return one line for each defect, charge and limit; its slope is the charge."""
    gap = record.band_edges.gap_ev
    with canvas(f"formation {name}", (6.4, 3.9)) as (figure, svg):
        axes = figure.subplots()
        for number, defect in enumerate(record.defects):
            color = PALETTE[number % len(PALETTE)]
            charge = f"{defect.charge:+d}".replace("-", MINUS) if defect.charge else "0"
            for style, (limit, energy) in enumerate(defect.formation_energy_ev.items()):
                label = f"{defect.kind} {defect.site.replace('_', ' ')}, {charge}, {limit}"
                axes.plot([0, gap], [energy, energy + defect.charge * gap], DASHES[style % len(DASHES)], color=color, label=label)
        axes.axhline(0, color="#888888", linewidth=0.8)
        axes.set_xlim(0, gap)
        axes.set_xlabel("Fermi level above the valence edge (eV)")
        axes.set_ylabel("Formation energy (eV)")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), title="Defect, charge, limit", alignment="left")
    return svg.text
