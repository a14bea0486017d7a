"""What VASP is told: settings, and the tags of its INCAR that follow from them and from a structure."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seiflow.calculators.kpoints import Mesh, mesh
from seiflow.calculators.moments import Moments, with_moments
from seiflow.calculators.slabs import vacuum_axis, vacuum_middle
from seiflow.errors import CalculatorError

if TYPE_CHECKING:
    from ase import Atoms

Tag = str | int | float | bool | list[float]


@dataclass(frozen=True)
class VaspSettings:
    """Settings of :func:`seiflow.calculators.vasp.vasp`, where they are explained."""

    potcars: Path
    functional: str
    setups: Mapping[str, str]
    cutoff_ev: float
    precision: str
    kpoint_length: float
    metals: frozenset[str]
    metal_kpoint_length: float
    smearing_ev: float
    metal_smearing_ev: float
    density_tolerance_ev: float
    iterations: int
    algorithm: str
    real_space: bool
    dipole: bool
    tags: Mapping[str, Tag]
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

    def potcar(self, symbol: str) -> Path:
        """Return the file of an element's potential.

        Raises:
            CalculatorError: if the recipe names none, or there is no such file.
        """
        if symbol not in self.setups:
            message = f"the recipe names no setup of {symbol} (arguments: {{setups: {{{symbol}: FOLDER}}}})"
            raise CalculatorError(message)
        path = self.potcars / self.setups[symbol] / "POTCAR"
        if not path.is_file():
            message = (
                f"no file {path}, the potential of {symbol}. VASP's potentials come with its licence: unpack them so that this "
                "file is there, or say in a machine file where they are (folders: {vasp: FOLDER})"
            )
            raise CalculatorError(message)
        return path

    def prepared(self, atoms: "Atoms") -> "Atoms":
        """Return the structure as VASP takes it, with moments: its own, of its elements, or of an odd electron of no metal."""
        structure = with_moments(atoms, self.moments)
        structure.pbc = True
        odd = (int(structure.numbers.sum()) - self.charge) % 2
        if odd and not structure.get_initial_magnetic_moments().any() and not self.is_metal(structure):
            structure.set_initial_magnetic_moments([1 / len(structure)] * len(structure))
        return structure

    def parameters(self, atoms: "Atoms") -> dict[str, Tag | Mesh]:
        """Return the parameters of ASE's calculator, which are tags but for those of k-points and charge."""
        found: dict[str, Tag | Mesh] = {
            "xc": self.functional,
            "encut": self.cutoff_ev,
            "prec": self.precision,
            "lasph": True,
            "ismear": 0,
            "sigma": self.smearing(atoms),
            "ediff": self.density_tolerance_ev,
            "nelm": self.iterations,
            "algo": self.algorithm,
            "lreal": "Auto" if self.real_space else False,
            "ibrion": -1,
            "nsw": 0,
            "ispin": 2 if self.prepared(atoms).get_initial_magnetic_moments().any() else 1,
            "lcharg": False,
            "lwave": True,
            "kpts": self.mesh(atoms),
            "gamma": True,
            "charge": self.charge,
        }
        found |= self._dipole(atoms)
        twice = sorted(set(found) & {name.lower() for name in self.tags})
        if twice:
            message = f"tags {', '.join(twice).upper()} follow from other arguments of the recipe; leave them out of tags"
            raise CalculatorError(message)
        return found | {name.lower(): value for name, value in self.tags.items()}

    def _dipole(self, atoms: "Atoms") -> dict[str, Tag]:
        """Return the tags that undo the field between the sides of a slab."""
        axis = vacuum_axis(atoms) if self.dipole else None
        if axis is None:
            return {}
        middle = atoms.cell.scaled_positions(atoms.get_center_of_mass()) % 1.0
        middle[axis] = (vacuum_middle(atoms, axis) + 0.5) % 1.0  # VASP puts the layer half a cell away
        return {"ldipol": True, "idipol": axis + 1, "dipol": middle.tolist()}
