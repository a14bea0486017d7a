"""Quantum ESPRESSO behind ASE: plane waves, and one pw.x for as many structures as it can serve.

A pw.x that is asked through a socket begins each structure with the density of the one before. It also keeps the plane waves it
began with, a set fixed in number: in a strained cell they belong to another cut-off, that of the recipe times the square of first
length over length. Energies would then depend on what was computed before, and energy and stress jump a little where a new
pw.x chooses its plane waves afresh. ``restart_strain`` is how far a cell may strain before that happens; with zero the energy
depends on the structure alone.

The energy is extrapolated to zero width of the smearing, E - TS/2 for a free energy E - TS; forces and stress are those of the
free energy. Without a partly filled band they agree. A charged cell is neutralised by a uniform background.

Sources: Giannozzi et al., J. Phys.: Condens. Matter 29, 465901 (2017), doi 10.1088/1361-648X/aa8f79; plane waves of a fixed
number, Gomes Dacosta, Nielsen, Kunc, J. Phys. C 19, 3163 (1986).
"""

import functools
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.espresso import Espresso, EspressoProfile
from ase.units import Ry, create_units

from seiflow.calculators.densities import copy_density, write_of
from seiflow.calculators.espresso_driver import Driver, Results
from seiflow.calculators.espresso_input import DIAGONALIZATIONS, MIXING_MODES, EspressoSettings
from seiflow.calculators.espresso_input import pseudopotentials as read
from seiflow.calculators.espresso_output import at_zero_width, iterations, problem, words
from seiflow.calculators.moments import Moments, checked
from seiflow.calculators.processes import TiedProgram, told_last
from seiflow.calculators.values import refuse_senseless
from seiflow.errors import CalculatorError

if TYPE_CHECKING:
    from ase import Atoms

TELLING = "6.7"
"""The version of pw.x that is told what to compute (:class:`seiflow.calculators.espresso_driver.Telling`)."""

FOLDER = "seiflow-pw-"
"""How the names of working folders begin."""

SAVED = "pwscf.save"
"""Folder in which pw.x keeps densities."""

DENSITY = ("charge-density.*", "ekin-density.*", "paw.txt")
"""Its files there; the last is what the atoms' own functions hold."""


class TiedProfile(EspressoProfile):  # type: ignore[misc] # the base class is untyped
    """How ASE starts one pw.x for one structure, tied to this process."""

    def run(self, directory: Path, inputfile: str, outputfile: str, errorfile: str, append: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - as ASE calls it
        """Wait for pw.x; what became of it is for the reader of its output to say."""
        with (directory / outputfile).open("w") as output, (directory / errorfile).open("w") as errors:
            TiedProgram(f"{self.command} -in {inputfile}", directory, output=output, errors=errors).wait()


class EspressoCalculator(Calculator):  # type: ignore[misc] # the base class is untyped
    """pw.x, with a mesh of k-points that follows the size of the cell, and spin where the number of electrons is odd.

    Attributes:
        scf_iterations: Of densities, all structures together.
        processes: How many times pw.x was started.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, settings: EspressoSettings, *, socket: bool) -> None:
        """Remember the settings; nothing is started yet."""
        super().__init__()
        self._settings = settings
        self._ask = self._ask_driver if socket else self._ask_once
        self._driver: Driver | None = None
        self._begun: tuple[object, ...] = ()
        self._kept: Path | None = None
        self.scf_iterations = 0
        self.processes = 0

    def calculate(
        self,
        atoms: "Atoms | None" = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fill ``results`` with energy and forces, and with the stress if it is among ``properties``.

        Raises:
            UnconvergedDensityError: if the density did not become self-consistent.
            CalculatorError: if pw.x crashed; the message holds its last lines.
        """
        super().calculate(atoms, properties, system_changes)
        structure = self._settings.prepared(self.atoms)
        wanted = "stress" in (properties or [])
        if wanted and self._settings.has_dipole(structure):
            message = f"{structure.get_chemical_formula()}: pw.x knows no stress where it undoes the field of a slab (dipole)"
            raise CalculatorError(message)
        results, printed = self._ask(structure, stress=wanted)
        self.scf_iterations += iterations(printed)
        error = problem(structure, self._settings.charge, printed)
        if error:
            self.close()
            raise error
        free = float(results["energy"])
        self.results = results | {"energy": at_zero_width(free, printed), "free_energy": free}

    def keep_density(self, folder: Path) -> None:
        """Write the density of the structure evaluated last, if a pw.x that serves many of one cell is at work."""
        if self._driver is None or self._driver.moving:
            return
        for path in (path for name in DENSITY for path in (self._driver.folder / SAVED).glob(name)):
            shutil.copy(path, folder)
        write_of(folder, self._begun)

    def take_density(self, folder: Path) -> None:
        """Let the first pw.x that serves many begin with what was written."""
        self._kept = folder

    def close(self) -> None:
        """End pw.x and remove its folder."""
        if self._driver is not None:
            self._driver.close()
        self._driver = None

    def _ask_driver(self, structure: "Atoms", *, stress: bool) -> tuple[Results, str]:
        """Ask the pw.x at work, or a new one if it cannot serve the structure."""
        settings = self._settings
        mesh = settings.mesh(structure)
        if self._driver is None or not self._driver.may_serve(structure, mesh, settings.restart_strain):
            self.close()
            moving = stress and settings.restart_strain > 0

            moments = structure.get_initial_magnetic_moments()
            self._begun = structure.numbers.tolist(), structure.cell.tolist(), moments.tolist(), mesh
            kept, self._kept = self._kept, None

            def write(folder: Path) -> str:
                goes_on = copy_density(kept, self._begun, folder / SAVED)
                files = self._written(folder, structure, moving=moving, stress=True, keeps=True, goes_on=goes_on)
                return str(files.template.inputname)

            telling = program_version(settings.command).startswith(TELLING)
            self._driver = Driver(settings.command, structure, mesh, write, telling=telling, moving=moving)
            self.processes += 1
        return self._driver.evaluate(structure, stress=stress)

    def _ask_once(self, structure: "Atoms", *, stress: bool) -> tuple[Results, str]:
        """Start a pw.x for this structure alone."""
        self.processes += 1
        with tempfile.TemporaryDirectory(prefix=FOLDER, ignore_cleanup_errors=True) as name:
            folder = Path(name)
            espresso = self._written(folder, structure, moving=False, stress=stress)
            espresso.template.execute(folder, espresso.profile)
            printed = words(folder / espresso.template.outputname, folder / espresso.template.errorname)
            if problem(structure, self._settings.charge, printed):
                return {}, printed
            found = espresso.template.read_results(folder)
        units = Ry / create_units("2006")["Ry"]  # ASE reads files with units of 2006, and all else with newer ones
        names = ["energy", "forces", *(["stress"] if stress else [])]
        return {name: found[name] * units for name in names}, printed

    def _written(
        self, folder: Path, structure: "Atoms", *, moving: bool, stress: bool, keeps: bool = False, goes_on: bool = False
    ) -> Espresso:
        settings = self._settings
        mesh = settings.mesh(structure)
        espresso = Espresso(
            profile=TiedProfile(settings.command, settings.folder),
            directory=folder,
            input_data=settings.namelists(structure, moving=moving, stress=stress, keeps=keeps, goes_on=goes_on),
            pseudopotentials={element: file.name for element, file in settings.pseudopotentials.items()},
            kpts=None if mesh == (1, 1, 1) else mesh,  # Γ alone takes half the time and memory
        )
        espresso.write_inputfiles(settings.polarised(structure), [])
        return espresso


@functools.cache
def program_version(command: str) -> str:
    """Return the version of pw.x.

    Raises:
        CalculatorError: if the command does not start it.
    """
    with tempfile.TemporaryDirectory(prefix=FOLDER) as folder:
        try:
            done = subprocess.run(  # noqa: S603 - the command is the user's own
                shlex.split(command), cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
        except OSError as error:
            message = f"{command!r} cannot be started ({error.strerror}); the machine's file says how pw.x is (programs: pw.x)"
            raise CalculatorError(message) from error
    found = re.search(r"Program PWSCF v\.(\S+)", done.stdout)
    if found is None:
        message = f"{command!r} does not start pw.x of Quantum ESPRESSO. Its last lines:\n{told_last(done.stdout + done.stderr)}"
        raise CalculatorError(message)
    return found[1]


def espresso(
    *,
    command: str,
    folder: str,
    pseudopotentials: Mapping[str, str],
    functional: str,
    cutoff_ev: float,
    density_cutoff_ev: float,
    input_dft: str | None = None,
    kpoint_length: float = 8.0,
    metals: Sequence[str] = (),
    metal_kpoint_length: float = 30.0,
    smearing_ev: float = 0.05,
    metal_smearing_ev: float | None = None,
    density_tolerance_ev: float = 1e-7,
    mixing_beta: float = 0.7,
    mixing_mode: str = "plain",
    iterations: int = 100,
    diagonalization: str = "david",
    dipole: bool = False,
    moments: Moments | None = None,
    charge: int = 0,
    socket: bool = True,
    restart_strain: float = 0.0,
) -> EspressoCalculator:
    """Return a calculator that asks pw.x.

    Args:
        command: Command line that starts pw.x, on this machine: it is asked through a Unix socket.
        folder: Where the pseudopotentials are.
        pseudopotentials: File of each element, in version 2 of the UPF.
        functional: What they were made for: LDA, PBE, PBEsol, or as the files write it.
        cutoff_ev: Of the plane waves.
        density_cutoff_ev: Of the density; four times the other for PAW, or more.
        input_dft: Functional to use in place of theirs.
        kpoint_length: The mesh along a reciprocal vector has this length over the distance of the lattice planes as its number of
            points, rounded, Γ among them; Å.
        metals: Elements; what consists of them alone is a metal.
        metal_kpoint_length: As above for metals.
        smearing_ev: Width of the Gaussian that smears occupations; 0 fills bands as an insulator does.
        metal_smearing_ev: The same for metals; None takes the other.
        density_tolerance_ev: Error of the energy of the cell below which a density is self-consistent.
        mixing_beta: Part of the new density.
        mixing_mode: plain, TF or local-TF.
        iterations: After so many a density is given up.
        diagonalization: david, cg, ppcg or paro; from version 7 on rmm-davidson or rmm-paro.
        dipole: Whether a slab, not periodic along one cell vector, gets a layer of dipoles in its vacuum that undoes its field.
        moments: Initial magnetic moment of the atoms of an element, μB, such as ``{Ni: 0.6}``, for structures that have none of
            their own.
        charge: Of the cell, e.
        socket: Whether one pw.x serves many structures; else there is one for each.
        restart_strain: Largest element of the strain between the first cell of a pw.x and others it serves; see above.

    Raises:
        InputError: if a pseudopotential is missing, is none, or was made for another functional.
        CalculatorError: if there is no such mode of mixing or diagonalization, or a number makes no sense.
    """
    for what, name, known in (("mixing_mode", mixing_mode, MIXING_MODES), ("diagonalization", diagonalization, DIAGONALIZATIONS)):
        if name not in known:
            message = f"no {what} {name!r}; take {', '.join(known)}"
            raise CalculatorError(message)
    first, *rest = shlex.split(command)
    found = shutil.which(first)
    settings = EspressoSettings(
        command=shlex.join([str(Path(found).absolute()) if found else first, *rest]),
        folder=Path(folder),
        pseudopotentials=read(Path(folder), pseudopotentials, functional),
        input_dft=input_dft,
        cutoff_ev=cutoff_ev,
        density_cutoff_ev=density_cutoff_ev,
        kpoint_length=kpoint_length,
        metals=frozenset(metals),
        metal_kpoint_length=metal_kpoint_length,
        smearing_ev=smearing_ev,
        metal_smearing_ev=smearing_ev if metal_smearing_ev is None else metal_smearing_ev,
        density_tolerance_ev=density_tolerance_ev,
        mixing_beta=mixing_beta,
        mixing_mode=mixing_mode,
        iterations=iterations,
        diagonalization=diagonalization,
        dipole=dipole,
        moments=checked(moments),
        charge=charge,
        restart_strain=restart_strain,
    )
    refuse_senseless(settings)
    return EspressoCalculator(settings, socket=socket)
