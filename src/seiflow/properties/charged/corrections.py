"""What a charged cell of finite size lacks to a single charge in an endless crystal.

A cell of charge q is neutralised by a uniform background. Its energy holds the interaction of the charge with its images and the
background, and its levels are counted from an average potential that the defect itself has changed. The method of Freysoldt,
Neugebauer and Van de Walle removes the first by the energy of a model charge in a dielectric, the second by aligning potentials
far from the defect once the long-ranged potential of the model is taken off (Phys. Rev. Lett. 102, 016402 (2009)):

E_corr = E_isolated - E_periodic + q C,   C = <V_defect - V_perfect - V_model> midway between images.

Potentials are energies of an electron. The work is done by the library pymatgen-analysis-defects (Shen and Varley, J. Open Source
Softw. 9, 5941 (2024)), from averages over planes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase.cell import Cell
    from numpy.typing import NDArray

    from seiflow.calculators.electronic import ElectronicState

MODEL_CUTOFF_EV = 520.0
"""Start of the plane waves that the energy of the model charge is summed over; raised until it stays."""

MODEL_TOLERANCE = 1e-4
"""Hartree; below it the energy of the model charge stays."""


@dataclass(frozen=True)
class Correction:
    """Correction of one cell.

    Attributes:
        method: freysoldt, kumagai or none.
        correction_ev: To be added to the formation energy: the two parts.
        lattice_ev: Of the model charge: single less periodic.
        alignment_ev: Charge times shift.
        shift_ev: Of the potential far from the defect against that of the crystal: mean of the three directions, or of atoms.
        shifts_ev: Along each direction; empty for atoms.
        roughness_ev: Standard deviation of the shift over what it is averaged from: zero where a plateau is reached.
    """

    method: str
    correction_ev: float
    lattice_ev: float
    alignment_ev: float
    shift_ev: float
    shifts_ev: tuple[float, ...]
    roughness_ev: float


NONE = Correction("none", 0.0, 0.0, 0.0, 0.0, (), 0.0)
"""No correction."""


def freysoldt(
    charge: int,
    cell: "Cell | NDArray[np.float64]",
    position: Sequence[float],
    defect: "ElectronicState",
    perfect: "ElectronicState",
    dielectric: "NDArray[np.float64]",
) -> Correction:
    """Return the correction of a charged cell.

    Args:
        charge: Of the cell, e.
        cell: Lattice vectors as rows, Å; the same with and without the defect.
        position: Of the defect, in fractions of the lattice vectors.
        defect: State of the cell with the defect.
        perfect: State of the cell without it.
        dielectric: Tensor of the crystal: static where ions relax, electronic where they do not.
    """
    if charge == 0:
        return Correction("freysoldt", 0.0, 0.0, 0.0, 0.0, (), 0.0)
    from pymatgen.analysis.defects.corrections.freysoldt import get_freysoldt_correction
    from pymatgen.core import Lattice

    found = get_freysoldt_correction(
        q=charge,
        dielectric=dielectric,
        defect_locpot=_at_origin(defect, position),
        bulk_locpot=_at_origin(perfect, position),
        defect_frac_coords=[0.0, 0.0, 0.0],
        lattice=Lattice(np.asarray(cell)),
        energy_cutoff=MODEL_CUTOFF_EV,
        mad_tol=MODEL_TOLERANCE,
    )
    details = found.metadata
    spreads = [plot["pot_corr_uncertainty_md"]["stats"]["variance"] for plot in details["plot_data"].values()]
    return Correction(
        method="freysoldt",
        correction_ev=float(found.correction_energy),
        lattice_ev=float(details["electrostatic"]),
        alignment_ev=float(details["potential"]),
        shift_ev=float(details["mean_alignments"]),
        shifts_ev=tuple(float(shift) for shift in details["alignments"].values()),
        roughness_ev=float(np.sqrt(max(spreads))),
    )


def _at_origin(state: "ElectronicState", position: Sequence[float]) -> "dict[int, NDArray[np.float64]]":
    """Return the averages over planes with the defect at the origin, where the library needs no rounding to grid points."""
    return {axis: _shifted(values, position[axis]) for axis, values in enumerate(state.planar_ev)}


def _shifted(values: "NDArray[np.float64]", fraction: float) -> "NDArray[np.float64]":
    waves = np.fft.rfft(values)
    phases = np.exp(2j * np.pi * fraction * np.arange(len(waves)))
    return np.asarray(np.fft.irfft(waves * phases, len(values)))
