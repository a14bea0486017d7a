"""What CP2K is told: settings, and the parts of its input that follow from them and from a structure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase.units import kB

from seiflow.calculators.kpoints import Mesh, mesh
from seiflow.calculators.moments import Moments, with_moments
from seiflow.calculators.slabs import vacuum_axis
from seiflow.errors import CalculatorError

if TYPE_CHECKING:
    from ase import Atoms

BROYDEN_HISTORY = 8

UPRIGHT = 1e-6
"""How far from one the cosine between a cell vector and an axis may be."""

GAMMA = (1, 1, 1)

Section = list[str]
"""Lines of an input."""

Kind = tuple[str, str]
"""Name of a kind of atoms, and its element."""


@dataclass(frozen=True)
class Cp2kSettings:
    """Settings of :func:`seiflow.calculators.cp2k.cp2k`, where they are explained."""

    folder: Path
    functional: str
    basis: Mapping[str, str]
    basis_files: Sequence[str]
    potential: Mapping[str, str]
    potential_file: str
    cutoff_ev: float
    relative_cutoff_ev: float
    integral_tolerance: float
    kpoint_length: float
    metals: frozenset[str]
    metal_kpoint_length: float
    smearing_ev: float
    metal_smearing_ev: float
    density_tolerance: float
    iterations: int
    outer: int
    algorithm: str
    minimizer: str
    preconditioner: str
    mixing: float
    dipole: bool
    moments: Moments
    charge: int

    def is_metal(self, atoms: "Atoms") -> bool:
        """Return whether a structure consists of metals alone."""
        return set(atoms.symbols) <= self.metals

    def mesh(self, atoms: "Atoms") -> Mesh:
        """Return the k-points of a structure."""
        return mesh(atoms, self.metal_kpoint_length if self.is_metal(atoms) else self.kpoint_length)

    def smearing(self, atoms: "Atoms") -> float:
        """Return the width of the smearing of a structure, eV."""
        return self.metal_smearing_ev if self.is_metal(atoms) else self.smearing_ev

    def transformed(self, atoms: "Atoms") -> bool:
        """Return whether the orbitals of a structure are found by orbital transformation, which knows Γ and full shells alone."""
        return self.algorithm == "OT" and not self.is_metal(atoms) and self.mesh(atoms) == GAMMA


@dataclass(frozen=True)
class Cp2kInput:
    """Input of a structure but for its coordinates; while it stays the same the process may go on.

    Attributes:
        parameters: Of ASE's calculator.
        kinds: Name of the kind of each atom: its element, and a number where moments tell atoms of an element apart.
        smeared: Whether levels near the Fermi energy are partly occupied.
    """

    parameters: Mapping[str, object]
    kinds: tuple[str, ...]
    smeared: bool


def cp2k_input(settings: Cp2kSettings, atoms: "Atoms") -> Cp2kInput:
    """Return the input of a structure.

    Raises:
        CalculatorError: if the recipe names no basis or potential of an element.
    """
    atoms = with_moments(atoms, settings.moments)
    kinds, moments = _kinds(atoms)
    multiplicity = _multiplicity(settings, atoms)
    parameters: dict[str, object] = {
        "inp": "\n".join(_template(settings, atoms, moments, polarised=multiplicity is not None)),
        "basis_set": None,
        "basis_set_file": None,
        "pseudo_potential": None,
        "potential_file": settings.potential_file,
        "xc": settings.functional,
        "cutoff": settings.cutoff_ev,
        "max_scf": settings.iterations,
        "charge": settings.charge,
        "uks": multiplicity is not None,
        "multiplicity": multiplicity,
    }
    return Cp2kInput(parameters, kinds, smeared=not settings.transformed(atoms))


def _template(settings: Cp2kSettings, atoms: "Atoms", moments: Mapping[Kind, float], *, polarised: bool) -> Section:
    """Return what ASE completes to an input.

    The finer grid for exchange and correlation takes away nine tenths of the force on an atom from its place between grid points.
    """
    points = settings.mesh(atoms)
    dft = [
        *_dipole(settings, atoms),
        *(f"BASIS_SET_FILE_NAME {name}" for name in settings.basis_files),
        *_section("MGRID", [f"REL_CUTOFF [eV] {settings.relative_cutoff_ev:.10g}"]),
        *_section("QS", [f"EPS_DEFAULT {settings.integral_tolerance:g}"]),
        *_section("XC", _section("XC_GRID", ["USE_FINER_GRID TRUE"])),
        *_section("SCF", [*_start(), *_scf(settings, atoms, polarised=polarised)]),
        *([] if points == GAMMA else _section("KPOINTS", _kpoints(points))),
    ]
    described = [line for kind, moment in moments.items() for line in _kind(settings, kind, moment)]
    return _section("FORCE_EVAL", [*_section("DFT", dft), *_section("SUBSYS", described)])


def _dipole(settings: Cp2kSettings, atoms: "Atoms") -> Section:
    """Return what undoes the field between the sides of a slab.

    Raises:
        CalculatorError: if its vacuum is not along x, y or z.
    """
    axis = vacuum_axis(atoms) if settings.dipole else None
    if axis is None:
        return []
    vector = atoms.cell.array[axis]
    if abs(vector[axis]) < (1 - UPRIGHT) * np.linalg.norm(vector):
        message = f"dipole: the vacuum of {atoms.get_chemical_formula()} is along cell vector {'abc'[axis]}, CP2K needs it along "
        raise CalculatorError(message + "xyz"[axis])
    return ["SURFACE_DIPOLE_CORRECTION TRUE", f"SURF_DIP_DIR {'XYZ'[axis]}"]


def _section(name: str, lines: Iterable[str]) -> Section:
    return [f"&{name}", *lines, f"&END {name.partition(' ')[0]}"]


def _start() -> Section:
    """Return what starts the density: a file if it is there, written after each structure."""
    seldom = ["BACKUP_COPIES 0", "ADD_LAST NUMERIC", *_section("EACH", ["QS_SCF 0"])]
    return ["SCF_GUESS RESTART", *_section("PRINT", _section("RESTART", seldom))]


def _scf(settings: Cp2kSettings, atoms: "Atoms", *, polarised: bool) -> Section:
    """Return how the density is sought."""
    tolerance = f"EPS_SCF {settings.density_tolerance:g}"
    if settings.transformed(atoms):
        method = [f"MINIMIZER {settings.minimizer}", f"PRECONDITIONER {settings.preconditioner}"]
        return [tolerance, *_section("OT", method), *_section("OUTER_SCF", [tolerance, f"MAX_SCF {settings.outer}"])]
    mixing = ["METHOD BROYDEN_MIXING", f"ALPHA {settings.mixing:g}", f"NBROYDEN {BROYDEN_HISTORY}"]
    smearing = ["METHOD FERMI_DIRAC", f"ELECTRONIC_TEMPERATURE [K] {settings.smearing(atoms) / kB:.10g}"]
    return [
        tolerance,
        f"ADDED_MOS -1{' -1' if polarised else ''}",
        *_section("DIAGONALIZATION", ["ALGORITHM STANDARD"]),
        *_section("MIXING", mixing),
        *_section("SMEAR ON", smearing),
    ]


def _kpoints(numbers: Mesh) -> Section:
    """Return a mesh with Γ among its points, one of each pair that time reversal makes equal."""
    weights: dict[tuple[int, ...], int] = {}
    for point in product(*map(range, numbers)):
        opposite = tuple(-one % number for one, number in zip(point, numbers, strict=True))
        kept = min(point, opposite)
        weights[kept] = weights.get(kept, 0) + 1
    lines = []
    for point, weight in weights.items():
        fractions = " ".join(f"{one / number:.12f}" for one, number in zip(point, numbers, strict=True))
        lines.append(f"KPOINT {fractions} {weight}")
    return ["SCHEME GENERAL", "UNITS B_VECTOR", *lines]


def _kinds(atoms: "Atoms") -> tuple[tuple[str, ...], dict[Kind, float]]:
    """Return the kind of each atom; and the moment of each kind, by its name and element."""
    moments = atoms.get_initial_magnetic_moments()
    numbers: dict[tuple[str, float], int] = {}
    kinds, described = [], {}
    for symbol, moment in zip(atoms.symbols, moments, strict=True):
        number = numbers.setdefault((symbol, float(moment)), sum(one == symbol for one, _ in numbers) + 1)
        kind = f"{symbol}{number}" if moments.any() else symbol
        kinds.append(kind)
        described[kind, symbol] = float(moment)
    return tuple(kinds), described


def _kind(settings: Cp2kSettings, kind: Kind, moment: float) -> Section:
    name, symbol = kind
    for what, known in (("basis", settings.basis), ("potential", settings.potential)):
        if symbol not in known:
            message = f"the recipe names no {what} of {symbol} (arguments: {{{what}: {{{symbol}: NAME}}}})"
            raise CalculatorError(message)
    lines = [f"ELEMENT {symbol}", f"BASIS_SET {settings.basis[symbol]}", f"POTENTIAL {settings.potential[symbol]}"]
    return _section(f"KIND {name}", [*lines, *([f"MAGNETIZATION {moment:g}"] if moment else [])])


def _multiplicity(settings: Cp2kSettings, atoms: "Atoms") -> int | None:
    """Return that of the initial moments, or that of one unpaired electron if their number is odd and it is no metal."""
    moments = atoms.get_initial_magnetic_moments()
    odd = (int(atoms.numbers.sum()) - settings.charge) % 2
    if moments.any():
        unpaired = round(abs(moments.sum()))
        return int(unpaired + (unpaired % 2 != odd)) + 1
    return 2 if odd and not settings.is_metal(atoms) else None
