"""What pw.x prints: whether and how a density converged, what smearing costs, and why it stopped."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ase.units import Ry

from seiflow.calculators.processes import told_last
from seiflow.errors import CalculatorError, UnconvergedDensityError

if TYPE_CHECKING:
    from ase import Atoms

_ITERATION = re.compile(r"^ +iteration # *\d+", re.MULTILINE)
_ACHIEVED = "convergence has been achieved"
_MISSED = "convergence NOT achieved"
_SMEARING = re.compile(r"smearing contrib\. \(-TS\) += +(\S+) Ry")
_DIAGONALISATION = re.compile(r"Error in routine +\w*(?:c_bands|diaghg|cholesky|orthoUwfc)|S matrix not positive definite")
_BOX = "Error in routine"
_TRACE = re.compile(r"#\d+ |\tat |Error termination\. Backtrace")


def words(output: Path, errors: Path, start: int = 0) -> str:
    """Return what pw.x printed from a byte on, and then its errors, without the addresses that Fortran adds."""
    printed = output.read_bytes()[start:].decode(errors="replace")
    told = [line for line in errors.read_text(encoding="utf-8", errors="replace").splitlines() if not _TRACE.match(line)]
    return "\n".join([printed, *told])


def iterations(printed: str) -> int:
    """Return the number of iterations of densities."""
    return len(_ITERATION.findall(printed))


def ended(printed: str) -> bool:
    """Tell whether the search for a density has ended, well or not."""
    return _ACHIEVED in printed or _MISSED in printed


def at_zero_width(energy: float, printed: str) -> float:
    """Return the energy extrapolated to no smearing, by half the entropy of a Gaussian's; from the free energy, both eV."""
    found = _SMEARING.findall(printed)
    return energy - float(found[-1]) * Ry / 2 if found else energy


def problem(structure: "Atoms", charge: int, printed: str) -> CalculatorError | None:
    """Return why what was printed led to no energy; None if it did.

    That eigenvalues were not found counts as a density that did not converge: the same remedies help.
    """
    what = f"{structure.get_chemical_formula()}, charge {charge:+d}"
    if _MISSED in printed:
        number = iterations(printed)
        return UnconvergedDensityError(f"{what}: the density did not become self-consistent in {number} iterations of pw.x")
    if _DIAGONALISATION.search(printed):
        return UnconvergedDensityError(f"{what}: pw.x found no eigenvalues. Its last lines:\n{told_last(printed, _BOX)}")
    if _ACHIEVED not in printed or _BOX in printed:
        return CalculatorError(f"{what}: pw.x stopped without a result. Its last lines:\n{told_last(printed, _BOX)}")
    return None
