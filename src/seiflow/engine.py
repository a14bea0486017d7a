"""What a property may ask of a calculator: evaluate a structure, or relax it.

The engine counts force evaluations (the currency in which costs are stated), keeps a journal from which a killed job resumes,
and reports progress. Physics code sees an :class:`Engine` and never learns which calculator is behind it.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase.calculators.calculator import Calculator
from ase.constraints import FixSymmetry
from ase.units import GPa

from seiflow.calculators.electronic import ElectronicState
from seiflow.cell_filters import CellFilter, CrystalFilter, NormalFilter
from seiflow.errors import ConvergenceError
from seiflow.journal import Journal
from seiflow.quasi_newton import QuasiNewton
from seiflow.recording import RecordingCalculator
from seiflow.structures.space_group import SYMMETRY_TOLERANCE

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

Report = Callable[[str], None]


def silent(_: str) -> None:
    """Report progress to nobody."""


@dataclass(frozen=True)
class Evaluation:
    """Energy (eV), forces (n×3, eV/Å) and, when asked for, stress (Voigt xx yy zz yz xz xy, eV/Å³, tension positive)."""

    energy: float
    forces: "NDArray[np.float64]"
    stress: "NDArray[np.float64] | None" = None


class Engine:
    """A calculator as physics code sees it.

    Args:
        calculator: Any ASE calculator.
        journal: Where evaluations are kept for a resume; none are kept by default.
        report: Called with a line of text at each step.
    """

    def __init__(self, calculator: Calculator, journal: Journal | None = None, report: Report = silent) -> None:
        """Wrap the calculator."""
        self._calculator = RecordingCalculator(calculator, Journal() if journal is None else journal)
        self.report = report

    @property
    def force_evaluations(self) -> int:
        """How many times energy and forces were asked for, those read back from the journal included."""
        return self._calculator.force_evaluations

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the result should know of the calculator's troubles."""
        return self._calculator.notes

    @contextlib.contextmanager
    def at_most(self, evaluations: int | None) -> Iterator[None]:
        """Allow only so many force evaluations in a block; one more there is a :class:`ConvergenceError`. None allows any."""
        before = self._calculator.most_evaluations
        self._calculator.most_evaluations = None if evaluations is None else self.force_evaluations + evaluations
        try:
            yield
        finally:
            self._calculator.most_evaluations = before

    def attach(self, atoms: "Atoms") -> "Atoms":
        """Return a copy of ``atoms`` with the calculator on it, constraints kept."""
        copy = atoms.copy()
        copy.calc = self._calculator
        return copy

    def evaluate(self, atoms: "Atoms", *, stress: bool = False) -> Evaluation:
        """Return energy and forces, without constraints, and the stress if asked for."""
        attached = self.attach(atoms)
        attached.set_constraint()
        voigt = attached.get_stress() if stress else None
        return Evaluation(attached.get_potential_energy(), attached.get_forces(), voigt)

    def electronic_state(self, atoms: "Atoms") -> ElectronicState:
        """Return electrostatic potential and band edges of a structure, best one that was evaluated last.

        Raises:
            CalculatorError: if the calculator does not tell them.
        """
        plain: Atoms = atoms.copy()
        plain.set_constraint()
        return self._calculator.electronic_state(plain)

    def relax(
        self,
        atoms: "Atoms",
        *,
        fmax: float,
        max_steps: int = 300,
        symmetric: bool = False,
        watch: Callable[["Atoms"], None] | None = None,
        label: str = "relax",
    ) -> "Atoms":
        """Relax the ions at fixed cell.

        Args:
            atoms: The start; constraints on it are kept.
            fmax: Largest force on an atom allowed at the end, eV/Å.
            max_steps: Steps before it is given up.
            symmetric: Keep the space group that the start has.
            watch: Called with the structure after each step.
            label: Heads the progress lines.

        Returns:
            A relaxed copy, with energy and forces attached.

        Raises:
            ConvergenceError: if ``max_steps`` did not suffice.
        """
        relaxed = self.attach(atoms)
        if symmetric:
            relaxed.set_constraint([*relaxed.constraints, FixSymmetry(relaxed, symprec=SYMMETRY_TOLERANCE)])
        optimizer = QuasiNewton(relaxed)
        if watch is not None:
            optimizer.attach(watch, atoms=relaxed)
        self._run(optimizer, relaxed, fmax, max_steps, label)
        return relaxed

    def relax_crystal(self, atoms: "Atoms", *, fmax: float, stress_gpa: float, max_steps: int = 500) -> "Atoms":
        """Relax ions and cell together within the space group of the start.

        Args:
            atoms: The start.
            fmax: Largest force allowed at the end, eV/Å.
            stress_gpa: Largest component of the stress allowed at the end.
            max_steps: Steps before it is given up.

        Raises:
            ConvergenceError: if either tolerance was not reached.
        """
        relaxed = self.attach(atoms)
        relaxed.set_constraint(FixSymmetry(relaxed, symprec=SYMMETRY_TOLERANCE))
        self._relax_with_cell(relaxed, CrystalFilter, fmax, stress_gpa, max_steps, "relax crystal")
        return relaxed

    def relax_along_normal(self, atoms: "Atoms", *, fmax: float, stress_gpa: float, max_steps: int, label: str) -> "Atoms":
        """Relax the ions and the third cell vector, the first two staying as they are.

        Args:
            atoms: The start, its first two cell vectors in the xy plane.
            fmax: Largest force allowed at the end, eV/Å.
            stress_gpa: Largest traction on the plane allowed at the end.
            max_steps: Steps before it is given up.
            label: Heads the progress lines.

        Raises:
            ConvergenceError: if ``max_steps`` did not suffice.
        """
        relaxed = self.attach(atoms)
        self._relax_with_cell(relaxed, NormalFilter, fmax, stress_gpa, max_steps, label)
        return relaxed

    def _relax_with_cell(
        self,
        atoms: "Atoms",
        kind: type[CrystalFilter] | type[NormalFilter],
        fmax: float,
        stress_gpa: float,
        max_steps: int,
        label: str,
    ) -> None:
        steps = 0
        while True:
            # forces count as in the cell that a filter starts with: a new one at the end makes them those of the end
            moving = kind(atoms, stress_gpa * GPa)
            if moving.within(moving.get_forces(), fmax):
                return
            optimizer = QuasiNewton(moving)
            self._run(optimizer, moving, fmax, max_steps - steps, label)
            steps += max(optimizer.nsteps, 1)

    def _run(self, optimizer: QuasiNewton, moving: "Atoms | CellFilter", fmax: float, max_steps: int, label: str) -> None:
        def tell() -> None:
            self.report(f"{label}: step {optimizer.nsteps}, {_reached(moving)}, {self.force_evaluations} evaluations")

        optimizer.attach(tell)
        if not optimizer.run(fmax=fmax, steps=max_steps):
            message = f"{label}: {_reached(moving)} after {optimizer.nsteps} steps, wanted {_wanted(moving, fmax)}. {ALLOW}"
            raise ConvergenceError(message)


ALLOW = "Allow more steps (settings: max_steps), or look whether the structure is falling into another one."


def _reached(moving: "Atoms | CellFilter") -> str:
    if isinstance(moving, CellFilter):
        return f"{_reached(moving.atoms)}, stress {moving.largest_stress() / GPa:.3g} GPa"
    return f"largest force {np.linalg.norm(moving.get_forces(), axis=1).max():.4f} eV/Å"


def _wanted(moving: "Atoms | CellFilter", fmax: float) -> str:
    return f"{fmax:g} eV/Å, {moving.allowed_stress / GPa:g} GPa" if isinstance(moving, CellFilter) else f"{fmax:g}"
