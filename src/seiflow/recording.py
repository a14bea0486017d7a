"""The calculator behind an engine: every evaluation counted, checked, and kept in a journal.

Forces that are not finite or that no solid has are refused. What a calculator measures once and uses ever after is kept too, in
its dictionary ``measured_once`` if it has one: a job that goes on after a kill must not measure it again on another structure.
"""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from seiflow.calculators.electronic import Electronic, ElectronicState
from seiflow.errors import CalculatorError, ConvergenceError, NonsenseError, UnconvergedDensityError
from seiflow.journal import Journal, Results
from seiflow.kept_density import KeptDensity

if TYPE_CHECKING:
    from ase import Atoms

LARGEST_SANE_FORCE = 1000.0
"""eV/Å; beyond it atoms sit on top of each other or a potential has left its domain."""

ADVICE = "The structure may hold overlapping atoms, or lie outside what the calculator was made for."


class RecordingCalculator(Calculator):  # type: ignore[misc] # the base class is untyped
    """An ASE calculator that counts, checks and journals the evaluations of another one."""

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, calculator: Calculator, journal: Journal) -> None:
        """Wrap ``calculator``."""
        super().__init__()
        self._calculator = calculator
        self._journal = journal
        self._density = KeptDensity(journal.density_folder)
        self.force_evaluations = 0
        self.most_evaluations: int | None = None
        self._failed: tuple[Atoms, str, bool] | None = None

    def calculate(
        self,
        atoms: "Atoms | None" = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fill ``results``, from the journal where it holds this structure."""
        super().calculate(atoms, properties, system_changes)
        if self.most_evaluations is not None and self.force_evaluations >= self.most_evaluations:
            message = "the force evaluations allowed for this were used up"
            raise ConvergenceError(message)
        stress = "stress" in (properties or [])
        results = self._journal.find(self.atoms, stress=stress)
        if results is None:
            results = self._computed(stress=stress)
        self.force_evaluations += 1
        self.results = dict(results)
        self.results["free_energy"] = self.results["energy"]

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the result, those of an earlier run included."""
        return tuple(self._journal.notes)

    def electronic_state(self, atoms: "Atoms") -> ElectronicState:
        """Return potential and band edges, from the journal where it holds those of this structure."""
        journal = self._journal.sibling("electronic")
        found = journal.find(atoms, stress=False)
        if found is None:
            electronic = self._calculator
            if not isinstance(electronic, Electronic):
                message = f"{type(electronic).__name__} tells no electrostatic potential and band edges"
                raise CalculatorError(message)
            state = self._density.begin(self._calculator, lambda: electronic.electronic_state(atoms))
            found = {f"planar_{axis}_ev": values for axis, values in enumerate(state.planar_ev)}
            found |= {"sites_ev": state.sites_ev, "valence_ev": state.valence_ev, "conduction_ev": state.conduction_ev}
            journal.add(atoms, found, stress=False)
        first, second, third = (np.asarray(found[f"planar_{axis}_ev"]) for axis in range(3))
        sites = np.asarray(found["sites_ev"])
        return ElectronicState((first, second, third), sites, float(found["valence_ev"]), float(found["conduction_ev"]))

    def _computed(self, *, stress: bool) -> Results:
        """Return new results and keep them.

        A failure is kept when the next evaluation shows that the job goes on in spite of it. One that ends the job is not: it is
        to be tried again.
        """
        if self._failed is not None:
            atoms, why, with_stress = self._failed
            self._journal.add_failure(atoms, why, stress=with_stress)
            self._failed = None
        known = self._journal.failure(self.atoms, stress=stress)
        if known is not None:
            raise CalculatorError(known)
        try:
            results = self._asked(stress=stress)
        except (NonsenseError, UnconvergedDensityError) as error:
            self._failed = (self.atoms.copy(), str(error), stress)
            raise
        self._journal.add(self.atoms, results, stress=stress)
        self._density.keep(self._calculator)
        return results

    def _asked(self, *, stress: bool) -> Results:
        """Return what the calculator says."""
        atoms = self.atoms.copy()
        atoms.set_constraint()
        self._recall()
        wanted = ["energy", "forces", *(["stress"] if stress else [])]
        self._density.begin(self._calculator, lambda: self._calculator.calculate(atoms, wanted, all_changes))
        self._remember()
        for remedy in getattr(self._calculator, "helped", ()):
            self._journal.note(f"A density became self-consistent only with a remedy of the recipe: {remedy}.")
        found = self._calculator.results
        results: Results = {
            "energy": float(found["energy"]),
            "forces": np.asarray(found["forces"], dtype=float),
        }
        if stress:
            results["stress"] = np.asarray(found["stress"], dtype=float)
        self._check(results)
        return results

    def _recall(self) -> None:
        measured: dict[str, float] | None = getattr(self._calculator, "measured_once", None)
        if measured is not None:
            measured.update(self._journal.measured)

    def _remember(self) -> None:
        measured: dict[str, float] | None = getattr(self._calculator, "measured_once", None)
        if measured is not None and measured != self._journal.measured:
            self._journal.remember(measured)

    def _check(self, results: Results) -> None:
        formula = self.atoms.get_chemical_formula()
        number = self.force_evaluations + 1
        if not all(np.isfinite(value).all() for value in results.values()):
            message = f"evaluation {number} of {formula}: the calculator returned NaN or infinity. {ADVICE}"
            raise NonsenseError(message)
        largest = float(np.abs(results["forces"]).max())
        if largest > LARGEST_SANE_FORCE:
            message = f"evaluation {number} of {formula}: a force of {largest:.3g} eV/Å, above {LARGEST_SANE_FORCE:g}. {ADVICE}"
            raise NonsenseError(message)
