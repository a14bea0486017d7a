"""What pw.x of Quantum ESPRESSO is told of a structure, and what its pseudopotentials say of themselves.

Sources: Giannozzi et al., J. Phys.: Condens. Matter 29, 465901 (2017), doi 10.1088/1361-648X/aa8f79; energy at zero width of a
smeared metal, De Vita and Gillan, J. Phys.: Condens. Matter 3, 6225 (1991).
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ase.units import Ry

from seiflow.calculators.kpoints import Mesh, mesh
from seiflow.calculators.moments import Moments, with_moments
from seiflow.calculators.slabs import vacuum_axis, vacuum_middle
from seiflow.errors import CalculatorError, InputError

if TYPE_CHECKING:
    from ase import Atoms

Namelists = dict[str, dict[str, object]]
"""Values by namelist and name."""

SPELLINGS = {
    "LDA": ("PZ", "SLA PZ NOGX NOGC"),
    "PBE": ("PBE", "SLA PW PBX PBC", "SLA PW PBE PBE"),
    "PBEsol": ("PBESOL", "SLA PW PSX PSC"),
}
"""How files of pseudopotentials write the usual functionals."""


DIPOLE_LAYER = 0.1
"""Part of the cell vector across a slab over which the potential jumps."""

MIXING_MODES = ("plain", "TF", "local-TF")
DIAGONALIZATIONS = ("david", "cg", "ppcg", "paro", "rmm-davidson", "rmm-paro")


@dataclass(frozen=True)
class Pseudopotential:
    """What a file says of itself.

    Attributes:
        name: Of the file, in the folder of pseudopotentials.
        functional: As the file writes it, in capitals with single spaces.
        valence: Electrons that a neutral atom brings.
    """

    name: str
    functional: str
    valence: float


@dataclass(frozen=True)
class EspressoSettings:
    """Settings of :func:`seiflow.calculators.espresso.espresso`, where they are explained."""

    command: str
    folder: Path
    pseudopotentials: Mapping[str, Pseudopotential]
    input_dft: str | None
    cutoff_ev: float
    density_cutoff_ev: float
    kpoint_length: float
    metals: frozenset[str]
    metal_kpoint_length: float
    smearing_ev: float
    metal_smearing_ev: float
    density_tolerance_ev: float
    mixing_beta: float
    mixing_mode: str
    iterations: int
    diagonalization: str
    dipole: bool
    moments: Moments
    charge: int
    restart_strain: float

    def is_metal(self, atoms: "Atoms") -> bool:
        """Tell whether a structure consists of metals alone."""
        return set(atoms.symbols) <= self.metals

    def mesh(self, atoms: "Atoms") -> Mesh:
        """Return the mesh of k-points of a structure."""
        return mesh(atoms, self.metal_kpoint_length if self.is_metal(atoms) else self.kpoint_length)

    def smearing(self, atoms: "Atoms") -> float:
        """Return the width of the smearing of a structure, eV."""
        return self.metal_smearing_ev if self.is_metal(atoms) else self.smearing_ev

    def prepared(self, atoms: "Atoms") -> "Atoms":
        """Return the structure alone, with moments: its own, those of its elements, or that of an odd electron of no metal.

        Raises:
            CalculatorError: if an element has no pseudopotential, or a metal no smearing.
        """
        if self.is_metal(atoms) and not self.smearing(atoms):
            message = f"{atoms.get_chemical_formula()} is a metal, whose bands are not filled; give a metal_smearing_ev above 0"
            raise CalculatorError(message)
        missing = sorted(set(atoms.symbols) - set(self.pseudopotentials))
        if missing:
            message = f"no pseudopotential for {', '.join(missing)}; name the file in the recipe (arguments: pseudopotentials)"
            raise CalculatorError(message)
        structure = with_moments(atoms, self.moments)
        if not structure.get_initial_magnetic_moments().any():
            moment = 1 / len(structure) if self._odd(structure) and not self.is_metal(structure) else 0.0
            structure.set_initial_magnetic_moments([moment] * len(structure))
        return structure

    def polarised(self, structure: "Atoms") -> "Atoms":
        """Return a prepared structure whose moments are parts of the valence electrons, as pw.x wants them."""
        told: Atoms = structure.copy()
        moments = structure.get_initial_magnetic_moments()
        parts = [
            moment / self.pseudopotentials[symbol].valence for moment, symbol in zip(moments, structure.symbols, strict=True)
        ]
        told.set_initial_magnetic_moments(parts)
        return told

    def namelists(self, structure: "Atoms", *, moving: bool, stress: bool, keeps: bool, goes_on: bool) -> Namelists:
        """Return the input for a prepared structure, whose cell may move.

        ``keeps`` writes the density of each structure, ``goes_on`` begins with one that is there.

        A moving cell needs longer tables of the pseudopotentials. The density that pw.x would extrapolate to it lacks charge, so
        that of the cell before is left as it is.
        """
        calculation = "vc-relax" if moving else "scf"
        field = self._dipole(structure)
        return {
            "control": {
                "calculation": calculation,
                "outdir": "./",
                "disk_io": "low" if keeps else "none",
                "tprnfor": True,
                "tstress": stress,
                **({"tefield": True, "dipfield": True} if field else {}),
            },
            "system": {
                **field,
                "ecutwfc": self.cutoff_ev / Ry,
                "ecutrho": self.density_cutoff_ev / Ry,
                "tot_charge": self.charge,
                **({"input_dft": self.input_dft} if self.input_dft else {}),
                **self._occupations(structure),
                **self._spin(structure),
            },
            "electrons": {
                "conv_thr": self.density_tolerance_ev / Ry,
                "electron_maxstep": self.iterations,
                "mixing_beta": self.mixing_beta,
                "mixing_mode": self.mixing_mode,
                "diagonalization": self.diagonalization,
                **({"startingpot": "file"} if goes_on else {}),
            },
            **({"ions": {"pot_extrapolation": "none"}, "cell": {"cell_factor": 1 + 4 * self.restart_strain}} if moving else {}),
        }

    def has_dipole(self, structure: "Atoms") -> bool:
        """Tell whether a structure is a slab whose field is undone."""
        return bool(self._dipole(structure))

    def _dipole(self, structure: "Atoms") -> dict[str, object]:
        """Return what undoes the field between the sides of a slab: a layer of dipoles in the middle of its vacuum."""
        axis = vacuum_axis(structure) if self.dipole else None
        if axis is None:
            return {}
        begin = (vacuum_middle(structure, axis) - DIPOLE_LAYER / 2) % 1.0
        return {"edir": axis + 1, "emaxpos": begin, "eopreg": DIPOLE_LAYER, "eamp": 0.0}

    def _occupations(self, structure: "Atoms") -> dict[str, object]:
        width = self.smearing(structure)
        if not width:
            return {"occupations": "fixed"}
        return {"occupations": "smearing", "smearing": "gaussian", "degauss": width / Ry}

    def _odd(self, structure: "Atoms") -> bool:
        electrons = sum(self.pseudopotentials[symbol].valence for symbol in structure.symbols) - self.charge
        return round(electrons) % 2 == 1

    def _spin(self, structure: "Atoms") -> dict[str, object]:
        """Return what sets the total moment: an odd electron of an insulator is not to be shared between the spins."""
        moments = structure.get_initial_magnetic_moments()
        total = round(float(moments.sum()))
        of_recipe = any(map(self.moments.get, structure.symbols))
        alone = math.isclose(moments.sum(), 1) and len(set(moments.tolist())) == 1 and not of_recipe
        return {"tot_magnetization": total} if moments.any() and (alone or not self.smearing(structure)) else {}


def pseudopotentials(folder: Path, names: Mapping[str, str], functional: str) -> dict[str, Pseudopotential]:
    """Return what the file of each element says of itself.

    Raises:
        InputError: if one is missing, is none, or was made for another functional.
    """
    found = {element: _read(folder, name) for element, name in names.items()}
    allowed = SPELLINGS.get(functional, (_plain(functional),))
    for file in found.values():
        if file.functional not in allowed:
            message = (
                f"{folder / file.name} was made for {file.functional}, the recipe says functional: {functional}; "
                "take a file made for it, or say input_dft if you mean to mix functionals"
            )
            raise InputError(message)
    return found


def _read(folder: Path, name: str) -> Pseudopotential:
    path = folder / name
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror}); a machine file says where pseudopotentials are (folders: espresso)"
        raise InputError(message) from error
    head = re.search(r"<PP_HEADER\s(.*?)/?>", text, re.DOTALL)
    pairs = re.findall(r"(\w+)\s*=\s*([\"'])(.*?)\2", head[1] if head else "", re.DOTALL)
    values = {key: value.strip() for key, _, value in pairs}
    try:
        return Pseudopotential(name, _plain(values["functional"]), float(values["z_valence"]))
    except (KeyError, ValueError) as error:
        message = f"{path}: no pseudopotential in version 2 of the UPF (no functional and z_valence in its head); take another"
        raise InputError(message) from error


def _plain(functional: str) -> str:
    return " ".join(functional.upper().split())
