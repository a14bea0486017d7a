"""CP2K behind ASE: Gaussians and plane waves, forces and stress, any charge of the cell; one process for a whole job.

Cells with Γ alone find their orbitals by orbital transformation, others, and metals, by diagonalisation with partly occupied
levels. Slabs repeat across their vacuum. A charged cell is neutralised by a uniform background.

Sources: Kühne et al., J. Chem. Phys. 152, 194103 (2020), doi 10.1063/5.0007045; orbital transformation, VandeVondele and Hutter,
J. Chem. Phys. 118, 4365 (2003); basis sets, VandeVondele and Hutter, J. Chem. Phys. 127, 114105 (2007); pseudopotentials,
Goedecker, Teter and Hutter, Phys. Rev. B 54, 1703 (1996).
"""

import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from ase.calculators.calculator import Calculator, all_changes, compare_atoms
from ase.units import GPa, Ha

from seiflow.calculators.cp2k_input import Cp2kInput, Cp2kSettings, cp2k_input
from seiflow.calculators.cp2k_shell import PROJECT, CP2KEndedError, ShellCalculator
from seiflow.calculators.densities import copy_density, write_of
from seiflow.calculators.moments import Moments, checked
from seiflow.calculators.processes import told_last
from seiflow.calculators.values import refuse_senseless
from seiflow.errors import CalculatorError, UnconvergedDensityError

if TYPE_CHECKING:
    from ase import Atoms

RESTART = f"{PROJECT}-RESTART.*"
"""What CP2K begins a density with."""

CONVERGED, UNCONVERGED = "SCF run converged", "SCF run NOT converged"
ABORTED = "[ABORT]"
LARGEST_SANE_STRESS = 10.0
"""eV/Å³; beyond it the levels are not those of electrons."""

ALGORITHMS = ("OT", "DIAGONALIZATION")
ENTROPIC_ENERGY = re.compile(r"Electronic entropic energy:\s*(\S+)")


class Cp2kCalculator(Calculator):  # type: ignore[misc] # the base class is untyped
    """CP2K with k-points that follow the size of the cell, and spin where the number of electrons is odd."""

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, command: str, settings: Cp2kSettings) -> None:
        """Remember the settings; the process starts with the first structure."""
        super().__init__()
        self._command = command
        self.settings = settings
        self._shell: ShellCalculator | None = None
        self._output = Path()
        self._input: Cp2kInput | None = None
        self._solved: Atoms | None = None
        self._kept: Path | None = None

    def calculate(
        self,
        atoms: "Atoms | None" = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fill ``results``: energy without smearing, free energy, forces, and the stress if it is among ``properties``.

        Raises:
            UnconvergedDensityError: if the density did not become self-consistent.
            CalculatorError: if CP2K ended without a result.
        """
        super().calculate(atoms, properties, system_changes)
        wanted = cp2k_input(self.settings, self.atoms)
        if self._shell is None or wanted != self._input:
            self.close()
            self._shell = self._started(wanted)
            self._input = wanted
        said = self._evaluate(self._shell)
        free_energy = self._shell.results["free_energy"]
        entropic = float(ENTROPIC_ENERGY.findall(said)[-1]) * Ha if wanted.smeared else 0.0
        self.results = {"energy": free_energy - entropic / 2, "free_energy": free_energy, "forces": self._shell.results["forces"]}
        if "stress" in (properties or []):
            self.results["stress"] = self._shell.results["stress"]

    def keep_density(self, folder: Path) -> None:
        """Write the orbitals of the structure evaluated last, or its density if there are several k-points."""
        if self._shell is None:
            return
        for path in self._output.parent.glob(RESTART):
            shutil.copy(path, folder)
        write_of(folder, self._input)

    def take_density(self, folder: Path) -> None:
        """Let the first process begin with what was written."""
        self._kept = folder

    def close(self) -> None:
        """End the process; the next structure starts another."""
        if self._shell is not None:
            self._shell.close()
        self._shell = None
        self._solved = None

    def _started(self, wanted: Cp2kInput) -> ShellCalculator:
        folder = Path(tempfile.mkdtemp(prefix="seiflow-cp2k-"))
        for name in (*self.settings.basis_files, self.settings.potential_file):
            (folder / name).symlink_to(self.settings.folder / name)  # CP2K takes no long paths
        self._output = folder / f"{PROJECT}.out"
        kept, self._kept = self._kept, None
        try:
            copy_density(kept, wanted, folder)
            return ShellCalculator(self._command, folder, wanted.parameters, wanted.kinds)
        except (CP2KEndedError, ValueError) as error:
            message = f"no shell of CP2K answers to {self._command}:\n{told_last(str(error))}"
            raise CalculatorError(message) from error

    def _evaluate(self, shell: ShellCalculator) -> str:
        """Evaluate the structure; return what CP2K said of it."""
        structure: Atoms = self.atoms.copy()
        structure.pbc = True
        changes = all_changes if self._solved is None else compare_atoms(self._solved, structure)
        self._solved = None
        before = self._output.stat().st_size if self._output.exists() else 0
        what = f"{structure.get_chemical_formula()}, charge {self.settings.charge:+d}"
        try:
            shell.calculate(structure, ["energy"], changes)
        except (CP2KEndedError, AssertionError, ValueError) as error:
            said = self._said(before)
            self.close()
            if UNCONVERGED in said:
                raise UnconvergedDensityError(self._not_converged(what)) from error
            message = f"{what}: CP2K ended without a result. It said\n{told_last(said or str(error), ABORTED)}"
            raise CalculatorError(message) from error
        except BaseException:
            self.close()  # in the middle of a sentence
            raise
        said = self._said(before)
        if UNCONVERGED in said or CONVERGED not in said:
            self.close()  # nothing starts from what it left
            raise UnconvergedDensityError(self._not_converged(what))
        if np.abs(shell.results["stress"]).max() > LARGEST_SANE_STRESS:
            self.close()
            message = (
                f"{what}: a stress of {np.abs(shell.results['stress']).max() / GPa:.3g} GPa. Orbitals of the basis may be nearly "
                "linearly dependent in this cell: lower integral_tolerance in the recipe, or take a smaller basis"
            )
            raise CalculatorError(message)
        self._solved = structure
        return said

    def _said(self, start: int) -> str:
        """Return CP2K's output from a byte on."""
        if not self._output.exists():
            return ""
        with self._output.open("rb") as output:
            output.seek(start)
            return output.read().decode(errors="replace")

    def _not_converged(self, what: str) -> str:
        rounds = f"{self.settings.outer} times {self.settings.iterations}"
        number = rounds if self.settings.transformed(self.atoms) else self.settings.iterations
        return f"{what}: the density did not become self-consistent in {number} iterations"


def cp2k(
    *,
    command: str,
    folder: str,
    functional: str = "PBE",
    basis: Mapping[str, str],
    basis_files: Sequence[str] = ("BASIS_MOLOPT_UZH",),
    potential: Mapping[str, str],
    potential_file: str = "GTH_POTENTIALS",
    cutoff_ev: float = 8000.0,
    relative_cutoff_ev: float = 800.0,
    integral_tolerance: float = 1e-12,
    kpoint_length: float = 8.0,
    metals: Sequence[str] = (),
    metal_kpoint_length: float = 30.0,
    smearing_ev: float = 0.05,
    metal_smearing_ev: float | None = None,
    density_tolerance: float = 1e-7,
    iterations: int = 50,
    outer: int = 5,
    algorithm: str = "OT",
    minimizer: str = "DIIS",
    preconditioner: str = "FULL_ALL",
    mixing: float = 0.4,
    dipole: bool = False,
    moments: Moments | None = None,
    charge: int = 0,
) -> Cp2kCalculator:
    """Return a CP2K calculator.

    Args:
        command: Command line of CP2K in shell mode.
        folder: Where CP2K keeps its data: basis sets and potentials.
        functional: CP2K's name of the exchange-correlation functional; or libxc's of its parts, such as
            ``XC_GGA_X_PBE_SOL XC_GGA_C_PBE_SOL``.
        basis: Name of the basis set of each element.
        basis_files: Files in the folder that hold them.
        potential: Name of the pseudopotential of each element.
        potential_file: File in the folder that holds them.
        cutoff_ev: Of the plane waves on the finest grid.
        relative_cutoff_ev: Of the grid that a Gaussian of unit exponent is put on.
        integral_tolerance: Integrals below it are left out (EPS_DEFAULT).
        kpoint_length: The mesh along a reciprocal vector has this length over the distance of the lattice planes as its number of
            points, rounded, Γ among them; Å.
        metals: Elements; what consists of them alone is a metal.
        metal_kpoint_length: As above for metals.
        smearing_ev: Width of the Fermi-Dirac distribution where levels are found by diagonalisation; the energy is extrapolated
            to zero.
        metal_smearing_ev: The same for metals; None takes the other.
        density_tolerance: Below it a density is self-consistent: largest change of its matrix, or gradient of the orbitals.
        iterations: After so many the density is given up, or an orbital transformation begins its next round.
        outer: Rounds of an orbital transformation, each with a new preconditioner.
        algorithm: ``OT`` for orbital transformation where there is Γ alone and no metal; ``DIAGONALIZATION`` everywhere.
        minimizer: Of the orbital transformation: ``DIIS``, ``CG`` or ``BROYDEN``.
        preconditioner: Of the orbital transformation, such as ``FULL_ALL``, or ``FULL_SINGLE_INVERSE`` for large cells.
        mixing: Part of the new density, where levels are found by diagonalisation.
        dipole: Whether a slab, not periodic along one cell vector, gets the correction that undoes its field; that vector must be
            along x, y or z.
        moments: Initial magnetic moment of the atoms of an element, μB, such as ``{Ni: 0.6}``, for structures that have none of
            their own.
        charge: Of the cell, e.

    Raises:
        CalculatorError: if there is no such algorithm, or a number makes no sense.
    """
    if algorithm not in ALGORITHMS:
        message = f"no algorithm {algorithm!r}; take {' or '.join(ALGORITHMS)}"
        raise CalculatorError(message)
    settings = Cp2kSettings(
        folder=Path(folder),
        functional=functional,
        basis=basis,
        basis_files=tuple(basis_files),
        potential=potential,
        potential_file=potential_file,
        cutoff_ev=cutoff_ev,
        relative_cutoff_ev=relative_cutoff_ev,
        integral_tolerance=integral_tolerance,
        kpoint_length=kpoint_length,
        metals=frozenset(metals),
        metal_kpoint_length=metal_kpoint_length,
        smearing_ev=smearing_ev,
        metal_smearing_ev=smearing_ev if metal_smearing_ev is None else metal_smearing_ev,
        density_tolerance=density_tolerance,
        iterations=iterations,
        outer=outer,
        algorithm=algorithm,
        minimizer=minimizer,
        preconditioner=preconditioner,
        mixing=mixing,
        dipole=dipole,
        moments=checked(moments),
        charge=charge,
    )
    refuse_senseless(settings)
    return Cp2kCalculator(command, settings)


def program_version(command: str) -> str:
    """Return the version of CP2K that a command line starts, with the revision of its source.

    Raises:
        CalculatorError: if it does not tell one.
    """
    done = subprocess.run([*shlex.split(command), "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - the user's own
    version = re.search(r"CP2K version (\S+)", done.stdout)
    if version is None:
        message = f"{command} --version tells no version of CP2K:\n{told_last(done.stdout + done.stderr)}"
        raise CalculatorError(message)
    revision = re.search(r"revision (\S+)", done.stdout)
    return f"{version[1]} ({revision[1]})" if revision else version[1]
