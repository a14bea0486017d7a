"""The figure of the README: what the first study found. Run ``python docs/figures/study.py`` after ``make run``."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from seiflow.report import Target, collect
from seiflow.report.figures import PALETTE, directional_young_modulus
from seiflow.report.references import find, load_references

ROOT = Path(__file__).parents[2]
PHASES = ("LiF", "Li2O", "Li2CO3")
MODULI = {"C11": "c11_gpa", "C12": "c12_gpa", "C44": "c44_gpa"}
VOIGT = {"C11": (0, 0), "C12": (0, 1), "C44": (3, 3)}


def main() -> None:
    """Draw the three panels."""
    targets = [Target(phase, "chgnet", name) for phase in PHASES for name in ("elasticity", "migration")]
    cases = collect(ROOT / "results", targets).cases
    references = load_references(ROOT / "references")
    figure = Figure(figsize=(11.0, 3.4), layout="constrained")
    constants, paths = figure.add_subplot(1, 3, 1), figure.add_subplot(1, 3, 2)
    directions = figure.add_subplot(1, 3, 3, projection="polar")
    labels = []
    for case, color in zip(cases, PALETTE, strict=False):
        stiffness = np.array(case.elasticity.stiffness_gpa)
        if case.structure != "Li2CO3":
            for name, index in VOIGT.items():
                place = len(labels)
                labels.append(f"{name}\n{case.structure}")
                constants.bar(place, stiffness[index], color=color, width=0.6)
                for reference in find(references, case.structure, MODULI[name]):
                    constants.plot(place, np.mean(reference.value), "kD", markersize=4.5, markerfacecolor="white")
        for hop in case.hops:
            label = f"{case.structure}" if hop is case.hops[0] else None
            x = np.array(hop.path.coordinate_angstrom)
            paths.plot(x / x[-1], hop.path.energy_ev, "o-", color=color, markersize=2.5, linewidth=1, label=label)
        angles = np.linspace(0, 2 * np.pi, 181)
        plane = np.stack([np.cos(angles), np.sin(angles), np.zeros_like(angles)], axis=1)
        directions.plot(angles, directional_young_modulus(stiffness, plane), color=color, label=case.structure)
    constants.set_xticks(range(len(labels)), labels, fontsize=8)
    constants.set_ylabel("GPa")
    constants.set_title("Elastic constants; diamonds: published", fontsize=10)
    paths.set_xlabel("Fraction of the hop")
    paths.set_ylabel("Energy (eV)")
    paths.set_title("Vacancy hops", fontsize=10)
    paths.legend(fontsize=8)
    directions.set_title("Young's modulus in the xy plane (GPa)", fontsize=10)
    directions.set_xticks(np.radians([0, 90, 180, 270]), ["x", "y", "", ""])
    directions.tick_params(axis="y", labelsize=7)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
