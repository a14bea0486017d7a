"""VASP behind ASE: plane waves, any charge of the cell, a correction for slabs; one run of the program for each structure.

All runs of a job are in one folder: the orbitals of a structure start the next one of the same atoms and k-points (ISTART 1), its
density is made of them (ICHARG 0). A charged cell is neutralised by a uniform background.

Sources: Kresse and Furthmüller, Phys. Rev. B 54, 11169 (1996), doi 10.1103/PhysRevB.54.11169; Kresse and Joubert, Phys. Rev.
B 59, 1758 (1999), doi 10.1103/PhysRevB.59.1758.
"""

import contextlib
import re
import shutil
import subprocess
import tempfile
import warnings
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, ClassVar

from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.vasp import Vasp

from seiflow.calculators.densities import copy_density, write_of
from seiflow.calculators.moments import Moments, checked
from seiflow.calculators.processes import TiedProgram, told_last
from seiflow.calculators.values import refuse_senseless
from seiflow.calculators.vasp_input import Tag, VaspSettings
from seiflow.errors import CalculatorError, UnconvergedDensityError

if TYPE_CHECKING:
    from ase import Atoms

OUTPUT = "vasp.out"
"""What VASP says on its standard output, where it also says why it stops."""

ORBITALS = "WAVECAR"

FUNCTIONALS = ", ".join(sorted(Vasp.xc_defaults))

SECONDS_FOR_VERSION = 60


class TiedVasp(Vasp):  # type: ignore[misc] # the base class is untyped
    """ASE's calculator; its runs end with this process, and its potentials are those of the recipe."""

    def __init__(self, command: str, folder: Path, settings: VaspSettings, parameters: Mapping[str, object]) -> None:
        """Write and run in a folder."""
        self._settings = settings
        super().__init__(command=command, directory=str(folder), txt=OUTPUT, **parameters)

    def _run(self, command: str, out: "IO[str]", directory: str) -> tuple[int, str]:
        """Run VASP; return its exit status, and nothing of what it said, which is in the output."""
        return TiedProgram(command, Path(directory), output=out, errors=subprocess.STDOUT).wait(), ""

    def _build_pp_list(self, atoms: "Atoms", **_: object) -> list[str]:
        """Return the potentials, in the order of the elements."""
        return [str(self._settings.potcar(symbol)) for symbol in dict.fromkeys(atoms.symbols)]


class VaspCalculator(Calculator):  # type: ignore[misc] # the base class is untyped
    """VASP with a mesh of k-points that follows the size of the cell, and spin where the number of electrons is odd."""

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, command: str, settings: VaspSettings) -> None:
        """Remember the settings; VASP runs with the first structure."""
        super().__init__()
        self._command = command
        self._settings = settings
        self._folder: Path | None = None
        self._started: tuple[object, ...] = ()
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
            CalculatorError: if VASP ended without a result, or a potential is missing.
        """
        super().calculate(atoms, properties, system_changes)
        stress = "stress" in (properties or [])
        structure = self._settings.prepared(self.atoms)
        parameters = self._settings.parameters(self.atoms)
        folder = self._folder_for(structure, parameters)
        goes_on = (folder / ORBITALS).exists()
        start = {"istart": 1, "icharg": 0} if goes_on else {"istart": 0, "icharg": 2}
        solver = TiedVasp(self._command, folder, self._settings, parameters | start | {"isif": 2 if stress else 0})
        self._run(solver, structure, folder)
        wanted = ["energy", "free_energy", "forces", *(["stress"] if stress else [])]
        self.results = {name: solver.results[name] for name in wanted}

    def keep_density(self, folder: Path) -> None:
        """Write the orbitals of the structure evaluated last, of which VASP makes its density."""
        if self._folder is not None and (self._folder / ORBITALS).exists():
            shutil.copy(self._folder / ORBITALS, folder)
            write_of(folder, self._started)

    def take_density(self, folder: Path) -> None:
        """Let the first run begin with what was written."""
        self._kept = folder

    def close(self) -> None:
        """Remove what VASP wrote; the next structure starts from atoms."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None

    def _folder_for(self, structure: "Atoms", parameters: Mapping[str, object]) -> Path:
        """Return the folder to run in: a new one if orbitals of the last structure cannot start this one."""
        start = (structure.symbols.get_chemical_formula("reduce"), parameters["kpts"], parameters["ispin"])
        if self._folder is None or start != self._started:
            self.close()
            self._folder = Path(tempfile.mkdtemp(prefix="seiflow-vasp-"))
            self._started = start
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            kept, self._kept = self._kept, None
            copy_density(kept, start, self._folder)
        return self._folder

    def _run(self, solver: TiedVasp, structure: "Atoms", folder: Path) -> None:
        what = f"{structure.get_chemical_formula()}, charge {self._settings.charge:+d}"
        for name in ("vasprun.xml", "OUTCAR", OUTPUT):
            (folder / name).unlink(missing_ok=True)  # of the structure before: never to be taken for new ones
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # on moments of single atoms, which nobody asks for
                solver.calculate(structure, ["energy"], all_changes)
        except CalculatorError:
            raise
        except Exception as error:  # ASE's parsers fail in many ways where VASP stopped in the middle
            raise self._ended(what, folder) from error
        if solver.converged is None:  # its file ends before it says how the search for the density did
            raise self._ended(what, folder)
        if not solver.converged:
            self.close()
            message = f"{what}: the density did not become self-consistent in {self._settings.iterations} iterations"
            raise UnconvergedDensityError(message)

    def _ended(self, what: str, folder: Path) -> CalculatorError:
        """Return the failure of a run that told no result, with what it said; nothing starts from what it left."""
        said = _text(folder / OUTPUT)
        self.close()
        return CalculatorError(f"{what}: VASP ended without a result. It said\n{told_last(said)}")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def vasp(
    *,
    command: str,
    folder: str,
    library: str = "potpaw_PBE",
    functional: str = "PBE",
    setups: Mapping[str, str],
    cutoff_ev: float = 520.0,
    precision: str = "Accurate",
    kpoint_length: float = 8.0,
    metals: Sequence[str] = (),
    metal_kpoint_length: float = 30.0,
    smearing_ev: float = 0.05,
    metal_smearing_ev: float | None = None,
    density_tolerance_ev: float = 1e-6,
    iterations: int = 100,
    algorithm: str = "Normal",
    real_space: bool = False,
    dipole: bool = False,
    tags: Mapping[str, Tag] | None = None,
    moments: Moments | None = None,
    charge: int = 0,
) -> VaspCalculator:
    """Return a VASP calculator.

    Args:
        command: Command line of VASP.
        folder: Where the libraries of potentials are; that of an element is ``FOLDER/LIBRARY/SETUP/POTCAR``.
        library: Name of the library.
        functional: Name of the exchange-correlation functional as ASE knows them, such as PBE, PBEsol, r2SCAN, HSE06.
        setups: Name of the potential of each element, such as Li_sv.
        cutoff_ev: Of the plane waves (ENCUT).
        precision: PREC: Normal or Accurate.
        kpoint_length: The mesh along a reciprocal vector has this length over the distance of the lattice planes as its number
            of points, rounded, Γ among them; Å.
        metals: Elements; what consists of them alone is a metal.
        metal_kpoint_length: As above for metals.
        smearing_ev: Width of the Gaussian smearing (SIGMA); the energy is extrapolated to zero.
        metal_smearing_ev: The same for metals; None takes the other.
        density_tolerance_ev: Change of the energy of a cell below which its density is self-consistent (EDIFF).
        iterations: After so many the density is given up (NELM).
        algorithm: ALGO, such as Normal, Fast, All.
        real_space: Whether projectors are in real space (LREAL), which is faster in large cells and less exact.
        dipole: Whether a slab, not periodic along one cell vector, gets the correction that undoes its field (LDIPOL).
        tags: Further tags of the INCAR, such as ``{NCORE: 4, KPAR: 2}``.
        moments: Initial magnetic moment of the atoms of an element, μB, such as ``{Ni: 0.6}``, for structures that have none of
            their own.
        charge: Of the cell, e.

    Raises:
        CalculatorError: if VASP has no such functional, the library is missing, or a number makes no sense.
    """
    if functional.lower() not in Vasp.xc_defaults:
        message = f"no functional {functional!r}; there are {FUNCTIONALS}"
        raise CalculatorError(message)
    if not (Path(folder) / library).is_dir():
        message = (
            f"no folder {Path(folder) / library} with VASP's potentials; say in a machine file where they are (folders: vasp)"
        )
        raise CalculatorError(message)
    settings = VaspSettings(
        potcars=Path(folder) / library,
        functional=functional,
        setups=setups,
        cutoff_ev=cutoff_ev,
        precision=precision,
        kpoint_length=kpoint_length,
        metals=frozenset(metals),
        metal_kpoint_length=metal_kpoint_length,
        smearing_ev=smearing_ev,
        metal_smearing_ev=smearing_ev if metal_smearing_ev is None else metal_smearing_ev,
        density_tolerance_ev=density_tolerance_ev,
        iterations=iterations,
        algorithm=algorithm,
        real_space=real_space,
        dipole=dipole,
        tags=tags or {},
        moments=checked(moments),
        charge=charge,
    )
    refuse_senseless(settings)
    return VaspCalculator(command, settings)


def program_version(command: str) -> str:
    """Return the version of VASP that a command line starts.

    VASP has no option for it: it is run with nothing but an empty INCAR, says its version, and stops for want of a structure.
    """
    folder = Path(tempfile.mkdtemp(prefix="seiflow-vasp-"))
    (folder / "INCAR").touch()
    try:
        with (folder / OUTPUT).open("w", encoding="utf-8") as output:
            program = TiedProgram(command, folder, output=output, errors=subprocess.STDOUT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.process.wait(SECONDS_FOR_VERSION)
        version = re.search(r"vasp\.(\d\S*)", _text(folder / OUTPUT))
        program.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return version[1] if version else "not told"
