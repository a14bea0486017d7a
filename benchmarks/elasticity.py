"""Cost and accuracy of the stiffness: seiflow, the full set of strains with plain ASE, and matcalc, on the same potential.

Run ``python benchmarks/elasticity.py [PHASE ...]``. One thread. The phases are relaxed once and handed to every method. The peers
get the calculator of the chgnet package as it is; seiflow has the same model without the stress where it is not needed.
Deviations are taken from the full set of 24 strains with ions relaxed 5 times tighter than by default.
"""

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import yaml
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.optimize import BFGS
from ase.units import GPa
from chgnet.model.dynamics import CHGNetCalculator
from numpy.typing import NDArray

from seiflow.calculators.chgnet import chgnet
from seiflow.engine import Engine
from seiflow.properties.elasticity import elasticity
from seiflow.properties.stiffness import moduli
from seiflow.properties.strains import strained
from seiflow.settings import ElasticitySettings, RelaxationSettings
from seiflow.structures.bulk import build_crystal
from seiflow.structures.recipes import PhaseRecipe

PHASES = ("LiF", "Li2O", "Li2CO3")
RECIPES = Path(__file__).parents[1] / "structures" / "phases"
SETTINGS = ElasticitySettings()
TIGHT = 1e-4
REFERENCE = "ASE, 24 relaxed strains, tight"

Method = Callable[[Atoms, Calculator], NDArray[np.float64]]


class CountingCalculator(Calculator):
    """Counts how many times another calculator was asked."""

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, calculator: Calculator) -> None:
        """Wrap ``calculator``."""
        super().__init__()
        self._calculator = calculator
        self.evaluations = 0

    def calculate(
        self, atoms: Atoms | None = None, properties: list[str] | None = None, system_changes: list[str] = all_changes
    ) -> None:
        """Evaluate and count."""
        super().calculate(atoms, properties, system_changes)
        self._calculator.results = {}
        self._calculator.calculate(self.atoms, properties, system_changes)
        self.results = dict(self._calculator.results)
        self.evaluations += 1


def seiflow(crystal: Atoms, calculator: Calculator) -> NDArray[np.float64]:
    """Run seiflow with its defaults."""
    return elasticity(crystal, Engine(calculator), SETTINGS).stiffness_gpa


def full_set(fmax: float) -> Method:
    """Return the method that strains each component by four amplitudes and fits a line to each stress component."""
    amplitudes = SETTINGS.strain * np.array([-1, -0.5, 0.5, 1])

    def stiffness(crystal: Atoms, calculator: Calculator) -> NDArray[np.float64]:
        slopes = []
        for component in np.eye(6):
            stresses = []
            for amplitude in amplitudes:
                atoms = strained(crystal, amplitude * component)
                atoms.calc = calculator
                if not BFGS(atoms, logfile=None).run(fmax=fmax, steps=150):
                    print(f"  not converged: strain {amplitude:g} along {component}")
                stresses.append(atoms.get_stress() / GPa)
            slopes.append(np.polyfit(amplitudes, np.array(stresses), 1)[0])
        return (np.array(slopes) + np.array(slopes).T) / 2

    return stiffness


def matcalc(*, relaxed: bool, fmax: float | None = None) -> Method:
    """Return matcalc's method with its default strains, and its default tolerance unless one is given."""

    def stiffness(crystal: Atoms, calculator: Calculator) -> NDArray[np.float64]:
        from matcalc import ElasticityCalc

        options = {} if fmax is None else {"fmax": fmax}
        task = ElasticityCalc(
            calculator, relax_structure=False, relax_deformed_structures=relaxed, units_GPa=True, r2_min=-1, **options
        )
        return np.asarray(task.calc(crystal)["elastic_tensor"].voigt, dtype=float)

    return stiffness


METHODS: dict[str, Method] = {
    REFERENCE: full_set(TIGHT),
    "seiflow": seiflow,
    "ASE, 24 relaxed strains": full_set(SETTINGS.fmax),
    "matcalc, relaxed": matcalc(relaxed=True),
    "matcalc, relaxed, fmax 0.002": matcalc(relaxed=True, fmax=0.002),
    "matcalc, defaults (clamped)": matcalc(relaxed=False),
}


def relaxed_phase(name: str, calculator: Calculator) -> Atoms:
    """Return the relaxed conventional cell of a phase of the library."""
    recipe = PhaseRecipe.model_validate({"name": name} | yaml.safe_load((RECIPES / f"{name}.yaml").read_text(encoding="utf-8")))
    settings = RelaxationSettings()
    relaxed = Engine(calculator).relax_crystal(
        build_crystal(recipe), fmax=settings.fmax, stress_gpa=settings.stress_gpa, max_steps=settings.max_steps
    )
    crystal = relaxed.copy()
    crystal.set_constraint()
    return crystal


def compare(name: str) -> None:
    """Print one line for each method."""
    frugal = chgnet()
    plain = CHGNetCalculator(model=frugal.model, use_device="cpu")
    crystal = relaxed_phase(name, frugal)
    found, cost = {}, {}
    for label, method in METHODS.items():
        counting = CountingCalculator(frugal if label == "seiflow" else plain)
        start = time.perf_counter()
        found[label] = method(crystal, counting)
        cost[label] = (counting.evaluations, time.perf_counter() - start)
    print(f"\n{name}, {len(crystal)} atoms, strain {SETTINGS.strain:g}, fmax {SETTINGS.fmax:g} eV/Å")
    print(f"{'method':34}{'evaluations':>12}{'ratio':>8}{'seconds':>9}{'ratio':>8}{'max |dC| GPa':>14}{'K GPa':>8}{'G GPa':>8}")
    for label, stiffness in found.items():
        evaluations, seconds = cost[label]
        result = moduli(stiffness)
        averages = "".join(f"{value or np.nan:8.2f}" for value in (result.bulk_modulus_gpa, result.shear_modulus_gpa))
        print(
            f"{label:34}{evaluations:12d}{evaluations / cost['seiflow'][0]:8.1f}{seconds:9.1f}{seconds / cost['seiflow'][1]:8.1f}"
            f"{np.abs(stiffness - found[REFERENCE]).max():14.2f}{averages}",
            flush=True,
        )
    print(np.array2string(found["seiflow"], precision=2, suppress_small=True))


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for phase in sys.argv[1:] or PHASES:
        compare(phase)
