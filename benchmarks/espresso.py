"""Iterations of densities of a relaxation by Quantum ESPRESSO: one pw.x for all structures, and one for each.

Run ``python benchmarks/espresso.py [RECIPE]``; pw.x is needed, the recipe is espresso-pbesol-fast unless another is named. Ions
of Li2O relaxed from displaced places (three atoms, and eleven, without one Li+), then cell and ions. Both ways take the same
steps and have to end at the same energy; the ratio of iterations is printed. The second way is what ASE's calculator does.
"""

import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from ase import Atoms
from ase.spacegroup import crystal

from seiflow.calculators.espresso import EspressoCalculator
from seiflow.calculators.factory import make_calculator
from seiflow.calculators.recipes import calculator_shelf
from seiflow.engine import Engine

RECIPE = "espresso-pbesol-fast"
FMAX = 0.005
AGREE_EV = 1e-4
SITES = [(0.25, 0.25, 0.25), (0, 0, 0)]


@dataclass(frozen=True)
class Case:
    """A relaxation: its start, the charge of the cell in e, and whether the cell relaxes too."""

    name: str
    start: Atoms
    charge: int
    cell: bool


def cases() -> Iterator[Case]:
    """Return the relaxations."""
    small = crystal(["Li", "O"], SITES, spacegroup=225, cellpar=[4.6] * 3 + [90] * 3, primitive_cell=True)
    displaced = small.copy()
    displaced.positions[0] += [0.06, -0.02, 0.04]
    yield Case("Li2O, 3 atoms displaced, ions", displaced, 0, cell=False)
    vacant = crystal(["Li", "O"], SITES, spacegroup=225, cellpar=[4.6] * 3 + [90] * 3)
    del vacant[0]
    yield Case("Li2O without one Li+, 11 atoms, ions", vacant, -1, cell=False)
    yield Case("Li2O, 3 atoms, cell and ions", small, 0, cell=True)


def relaxed(case: Case, recipe: str, *, socket: bool) -> tuple[float, int, EspressoCalculator]:
    """Return energy (eV) and evaluations of a relaxation, and the calculator, which has counted."""
    given = calculator_shelf().get(recipe)
    given = given.model_copy(update={"remedies": [], "arguments": given.arguments | {"socket": socket}})
    calculator = make_calculator(given, case.charge)
    if not isinstance(calculator, EspressoCalculator):
        message = f"{recipe} is no recipe of Quantum ESPRESSO"
        raise SystemExit(message)
    engine = Engine(calculator)
    start = case.start
    found = engine.relax_crystal(start, fmax=FMAX, stress_gpa=0.05) if case.cell else engine.relax(start, fmax=FMAX)
    calculator.close()
    return float(found.get_potential_energy()), engine.force_evaluations, calculator


def main(recipe: str) -> None:
    """Print a line for each relaxation."""
    print(f"{'':40}{'evaluations':>12}{'iterations: one pw.x':>22}{'each':>6}{'ratio':>8}{'pw.x':>6}{'each':>6}  same energy")
    for case in cases():
        energy, evaluations, one = relaxed(case, recipe, socket=True)
        other_energy, _, each = relaxed(case, recipe, socket=False)
        apart = abs(energy - other_energy)
        counts = f"{evaluations:12d}{one.scf_iterations:22d}{each.scf_iterations:6d}"
        counts += f"{one.scf_iterations / each.scf_iterations:8.2f}{one.processes:6d}{each.processes:6d}"
        print(f"{case.name:40}{counts}  {'yes' if apart < AGREE_EV else f'NO, {1000 * apart:.2f} meV'}", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1] if len(sys.argv) > 1 else RECIPE)
