"""GPAW behind ASE: plane waves or atomic orbitals, any charge of the cell, the electrostatic potential and band edges.

A charged cell is neutralised by a uniform background; the average potential is zero, which is the zero of its levels too. Density
and wave functions of one structure start the next one of the same cell.

Sources: Mortensen et al., J. Chem. Phys. 160, 092503 (2024), doi 10.1063/5.0182685; stress of a finite basis, Froyen and Cohen,
J. Phys. C 19, 2623 (1986).
"""

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np
from ase.calculators.calculator import Calculator, all_changes, compare_atoms
from gpaw import KohnShamConvergenceError
from gpaw.mpi import world
from gpaw.new.ase_interface import GPAW
from gpaw.new.symmetry import SymmetryBrokenError

from seiflow.calculators.densities import is_of, write_of
from seiflow.calculators.electronic import ElectronicState
from seiflow.calculators.gpaw_files import (
    missing_file,
    require_basis,
    require_mixer,
    require_setup,
    setup_functional,
    take_recorded_folders,
)
from seiflow.calculators.gpaw_program import GpawProgram, program_version, require_mpi
from seiflow.calculators.moments import Moments, checked, with_moments
from seiflow.calculators.processes import told_last
from seiflow.calculators.slabs import vacuum_axis
from seiflow.calculators.values import refuse_senseless
from seiflow.errors import CalculatorError, UnconvergedDensityError

if TYPE_CHECKING:
    from ase import Atoms


__all__ = ["GpawCalculator", "GpawSettings", "gpaw", "program_version"]

STATE = "state.gpw"
"""File of a density and its wave functions."""

CONVERGED = re.compile(r"^Converged in (\d+) steps", re.MULTILINE)

CUTOFF_CHANGE = 0.03
"""By which part the cut-off is raised and lowered to see how the energy changes with it."""


@dataclass(frozen=True)
class GpawSettings:
    """Settings of :func:`gpaw`, where they are explained."""

    functional: str
    cutoff_ev: float
    basis: str | None
    grid_angstrom: float
    kpoint_length: float
    metals: frozenset[str]
    metal_kpoint_length: float
    smearing_ev: float
    metal_smearing_ev: float
    density_tolerance: float
    iterations: int
    mixer: Mapping[str, float | str] | None
    dipole: bool
    setups: Mapping[str, str]
    moments: Moments
    charge: int

    def representation(self, cutoff_ev: float) -> dict[str, object]:
        """Return what wave functions and density are made of, as GPAW's parameters."""
        if self.basis is None:
            return {"mode": {"name": "pw", "ecut": cutoff_ev}}
        return {"mode": {"name": "lcao"}, "basis": self.basis, "h": self.grid_angstrom}

    def described(self) -> str:
        """Return all of them, in the same words for the same settings."""
        return json.dumps(asdict(self), default=sorted, sort_keys=True)


class GpawCalculator(Calculator):  # type: ignore[misc] # the base class is untyped
    """GPAW with a mesh of k-points that follows the size of the cell, and spin where the number of electrons is odd."""

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, settings: GpawSettings) -> None:
        """Remember the settings; nothing is computed yet."""
        super().__init__()
        self._settings = settings
        self._solver: Any = None  # GPAW has no name for the type of its calculators
        self._solved: Atoms | None = None
        self._said: WeakKeyDictionary[Calculator, io.StringIO] = WeakKeyDictionary()
        self.scf_iterations = 0
        """Of densities, all structures together."""
        self.measured_once: dict[str, float] = {}
        """How the energy of a composition falls with the cut-off, per atom: measured once, and kept by whoever resumes a job."""

    def calculate(
        self,
        atoms: "Atoms | None" = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fill ``results`` with energy and forces, and with the stress if it is among ``properties``.

        Raises:
            UnconvergedDensityError: if the density did not become self-consistent.
            CalculatorError: if GPAW ended without a result, with the last lines of its output.
        """
        super().calculate(atoms, properties, system_changes)
        wanted = ["energy", "forces", *(["stress"] if "stress" in (properties or []) else [])]
        self._solve(self.atoms, wanted)
        found = self._solver.results
        self.results = {name: found[name] for name in wanted} | {"free_energy": found["energy"]}
        if "stress" in self.results:
            self.results["stress"] = self.results["stress"] + self._basis_stress()

    def electronic_state(self, atoms: "Atoms") -> ElectronicState:
        """Return potential and band edges of a structure."""
        self._solve(atoms, ["energy"])
        potential = self._solver.get_electrostatic_potential()
        first, second, third = (potential.mean(axis=axes) for axes in ((1, 2), (0, 2), (0, 1)))
        valence, conduction = self._solver.get_homo_lumo()
        sites = np.asarray(self._solver.get_atomic_electrostatic_potentials())
        return ElectronicState((first, second, third), sites, float(valence), float(conduction))

    def keep_density(self, folder: Path) -> None:
        """Write density and wave functions of the structure evaluated last; without these GPAW begins with atoms all the same."""
        if self._solved is None:
            return
        self._solver.write(folder / STATE, mode="all")
        if world.rank == 0:
            write_of(folder, self._settings.described())

    def take_density(self, folder: Path) -> None:
        """Go on from what was written with the same settings."""
        if not is_of(folder, self._settings.described()):
            return
        said = io.StringIO()
        with (folder / STATE).open("rb") as file:
            solver = GPAW(file, txt=said)
            solver.dft.ibzwfs.make_sure_wfs_are_read_from_gpw_file()  # else it stays open
        self._said[solver] = said
        self._solver, self._solved = solver, self._prepared(solver.atoms)

    def _solve(self, atoms: "Atoms", wanted: list[str]) -> None:
        structure = self._prepared(atoms)
        last = self._solved
        if last is None or set(compare_atoms(last, structure)) - {"positions"}:
            self._solver = self._made(structure, self._settings.cutoff_ev)
        self._solved = None
        try:
            self._run(self._solver, structure, wanted)
        except SymmetryBrokenError:
            self._solver = self._made(structure, self._settings.cutoff_ev)
            self._run(self._solver, structure, wanted)
        self._solved = structure

    def _run(self, solver: "Calculator", structure: "Atoms", wanted: list[str]) -> None:
        what = f"{structure.get_chemical_formula()}, charge {self._settings.charge:+g}"
        said = self._said[solver]
        before = said.tell()
        try:
            solver.calculate(structure, wanted, all_changes)
        except KohnShamConvergenceError as error:
            message = f"{what}: the density did not become self-consistent in {self._settings.iterations} iterations"
            raise UnconvergedDensityError(message) from error
        except FileNotFoundError as error:
            raise missing_file(error) from error
        except SymmetryBrokenError:
            raise
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            message = f"{what}: GPAW ended without a result ({told}). It said\n{told_last(said.getvalue())}"
            raise CalculatorError(message) from error
        self.scf_iterations += sum(map(int, CONVERGED.findall(said.getvalue(), before)))

    def _prepared(self, atoms: "Atoms") -> "Atoms":
        """Return the structure alone, with moments: its own, those of its elements, or that of an odd electron of no metal."""
        structure = with_moments(atoms, self._settings.moments)
        if structure.get_initial_magnetic_moments().any():
            return structure
        odd = (int(structure.numbers.sum()) - self._settings.charge) % 2
        moment = 1 / len(structure) if odd and not self._is_metal(structure) else 0.0
        structure.set_initial_magnetic_moments([moment] * len(structure))
        return structure

    def _is_metal(self, atoms: "Atoms") -> bool:
        return set(atoms.symbols) <= self._settings.metals

    def _made(self, structure: "Atoms", cutoff_ev: float) -> "Calculator":
        settings = self._settings
        spacings = 1 / np.linalg.norm(np.linalg.inv(structure.cell.array), axis=0)
        length, smearing = (
            (settings.metal_kpoint_length, settings.metal_smearing_ev)
            if self._is_metal(structure)
            else (settings.kpoint_length, settings.smearing_ev)
        )
        mesh = np.where(structure.pbc, np.maximum(1, np.rint(length / spacings)), 1).astype(int)
        dipole = settings.dipole and vacuum_axis(structure) is not None
        said = io.StringIO()
        solver = GPAW(
            **settings.representation(cutoff_ev),
            xc=settings.functional,
            kpts={"size": mesh.tolist(), "gamma": True},
            occupations={"name": "fermi-dirac", "width": smearing},
            setups=dict(settings.setups),
            convergence={"density": settings.density_tolerance},
            maxiter=settings.iterations,
            **({"mixer": dict(settings.mixer)} if settings.mixer else {}),
            **({"poissonsolver": {"dipolelayer": True}} if dipole else {}),
            charge=settings.charge,
            txt=said,
        )
        self._said[solver] = said
        return solver

    def _basis_stress(self) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        """Return what the stress at a fixed set of plane waves lacks to that at a fixed cut-off, Voigt, eV/Å³.

        How the energy falls with the cut-off is measured once for each composition, at two cut-offs near its own. GPAW's own
        estimate from free atoms is off by up to the stress itself.
        """
        formula = self.atoms.symbols.formula.reduce()[0].format()
        if formula not in self.measured_once:
            self.measured_once[formula] = self._energy_slope(self._prepared(self.atoms)) / len(self.atoms)
        pressure = 2 / 3 * self._settings.cutoff_ev * self.measured_once[formula] * len(self.atoms) / self.atoms.get_volume()
        return np.array([pressure] * 3 + [0.0] * 3)

    def _energy_slope(self, structure: "Atoms") -> float:
        """Return the derivative of the energy by the cut-off."""
        energies = []
        for change in (CUTOFF_CHANGE, -CUTOFF_CHANGE):
            solver = self._made(structure, self._settings.cutoff_ev * (1 + change))
            self._run(solver, structure, ["energy"])
            energies.append(float(solver.results["energy"]))
        return (energies[0] - energies[1]) / (2 * CUTOFF_CHANGE * self._settings.cutoff_ev)


def gpaw(
    *,
    functional: str = "PBE",
    cutoff_ev: float = 500.0,
    basis: str | None = None,
    grid_angstrom: float = 0.18,
    kpoint_length: float = 8.0,
    metals: Sequence[str] = (),
    metal_kpoint_length: float = 30.0,
    smearing_ev: float = 0.05,
    metal_smearing_ev: float = 0.2,
    density_tolerance: float = 1e-5,
    iterations: int = 100,
    mixer: Mapping[str, float | str] | None = None,
    dipole: bool = False,
    setups: Mapping[str, str] | None = None,
    moments: Moments | None = None,
    charge: int = 0,
    command: str | None = None,
) -> GpawCalculator | GpawProgram:
    """Return a GPAW calculator with the setups of the package ``gpaw_data`` and those in the folder ``setups`` beside this file.

    Args:
        functional: Name of the exchange-correlation functional; setups of the same name are used.
        cutoff_ev: Of the plane waves.
        basis: Name of a set of atomic orbitals, such as dzp; plane waves without one. GPAW then tells no stress.
        grid_angstrom: Spacing of the grid that goes with atomic orbitals.
        kpoint_length: The mesh along a reciprocal vector has this length over the distance of the lattice planes as its number of
            points, rounded, Γ among them; Å.
        metals: Elements; what consists of them alone is a metal.
        metal_kpoint_length: As above for metals.
        smearing_ev: Width of the Fermi-Dirac distribution; the energy is extrapolated to zero.
        metal_smearing_ev: The same for metals.
        density_tolerance: Change of the density, electrons per valence electron, below which it is self-consistent.
        iterations: After so many the density is given up.
        mixer: GPAW's parameters of mixing, such as ``{name: pulay, beta: 0.05, nmaxold: 5, weight: 50}``; None for its own.
        dipole: Whether a slab, not periodic along one cell vector, gets a layer of dipoles in its vacuum that undoes its field.
        setups: Name of the setup of an element that is not to have GPAW's default one, such as ``{Li: sc}``.
        moments: Initial magnetic moment of the atoms of an element, μB, such as ``{Ni: 0.6}``, for structures that have none of
            their own.
        charge: Of the cell, e.
        command: Starts GPAW's program, such as ``mpirun -np 4 gpaw``, in which all is computed; without one this process does.

    Raises:
        CalculatorError: if there is no such functional, setup or basis, a number makes no sense, or a GPAW without MPI is to have
            several processes.
    """
    take_recorded_folders()
    of_setups = setup_functional(functional)
    for symbol, name in (setups or {}).items():
        require_setup(symbol, name, of_setups)
    if basis is not None:
        require_basis(basis)
    if mixer:
        require_mixer(mixer)
    settings = GpawSettings(
        functional=functional,
        cutoff_ev=cutoff_ev,
        basis=basis,
        grid_angstrom=grid_angstrom,
        kpoint_length=kpoint_length,
        metals=frozenset(metals),
        metal_kpoint_length=metal_kpoint_length,
        smearing_ev=smearing_ev,
        metal_smearing_ev=metal_smearing_ev,
        density_tolerance=density_tolerance,
        iterations=iterations,
        mixer=mixer,
        dipole=dipole,
        setups=setups or {},
        moments=checked(moments),
        charge=charge,
    )
    refuse_senseless(settings)
    if command is None:
        return GpawCalculator(settings)
    require_mpi(command)
    return GpawProgram(settings, command)
