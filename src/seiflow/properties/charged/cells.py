"""One charged vacancy relaxed, what is in the cell in the end, and its correction."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import PhysicsError
from seiflow.properties.charged.corrections import NONE, Correction, freysoldt
from seiflow.properties.charged.site_average import kumagai
from seiflow.properties.defects.cells import defective, find_defects, shaken

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seiflow.calculators.electronic import ElectronicState
    from seiflow.engine import Engine
    from seiflow.properties.defects.arrangements import Arrangement
    from seiflow.properties.defects.host import Host, Unit
    from seiflow.settings import ChargedDefectSettings


@dataclass(frozen=True)
class ChargedCell:
    """A supercell with a charged vacancy.

    Attributes:
        name: Of the defect.
        atoms: Of the cell.
        energy_ev: Relaxed at the volume of the crystal, not corrected.
        largest_force_ev_per_angstrom: Reached by the relaxation.
        farthest_moved_angstrom: By an ion.
        correction: Of the energy, by the method asked for.
        other_correction: By the other method, for comparison; None without correction.
    """

    name: str
    atoms: int
    energy_ev: float
    largest_force_ev_per_angstrom: float
    farthest_moved_angstrom: float
    correction: Correction
    other_correction: Correction | None


def relax_charged(
    host: "Host",
    arrangement: "Arrangement",
    charge: int,
    engine: "Engine",
    perfect: "ElectronicState",
    settings: "ChargedDefectSettings",
) -> ChargedCell:
    """Relax the ions around a vacancy at fixed cell and correct the energy.

    Args:
        host: The perfect supercell.
        arrangement: One vacancy.
        charge: Of the cell, e.
        engine: The calculator for that charge.
        perfect: State of the perfect supercell.
        settings: Of the study.

    Raises:
        ConvergenceError: if the ions did not relax.
        PhysicsError: if an ion moved into the vacancy.
    """
    start, leaders = defective(host, arrangement)
    name = f"{arrangement.name}, charge {charge:+d}"
    relaxed = engine.relax(
        shaken(host, start, arrangement) if settings.shake else start,
        fmax=settings.fmax,
        max_steps=settings.max_steps,
        symmetric=not settings.shake,
        label=name,
    )
    moved = relaxed.positions - start.positions
    moved -= moved.mean(axis=0)
    places = {index: start.positions[number] + moved[number] for index, number in leaders.items()}
    found = find_defects(host, places, arrangement)
    unit = arrangement.missing[0]
    if found.vacant != (unit.leader,) or found.extra:
        message = f"{name} did not stay where it was put: {found.text}. Its energy is that of another defect."
        raise PhysicsError(message)
    corrections = {"none": NONE}
    if settings.correction != "none":
        state = engine.electronic_state(relaxed)
        corrections = _corrections(host, unit, charge, start.positions + moved, state, perfect, np.array(settings.tensor))
    correction = corrections.pop(settings.correction)
    return ChargedCell(
        name=arrangement.name,
        atoms=len(relaxed),
        energy_ev=float(relaxed.get_potential_energy()),
        largest_force_ev_per_angstrom=float(np.linalg.norm(relaxed.get_forces(), axis=1).max()),
        farthest_moved_angstrom=float(np.linalg.norm(moved, axis=1).max()),
        correction=correction,
        other_correction=next(iter(corrections.values()), None),
    )


def _corrections(
    host: "Host",
    unit: "Unit",
    charge: int,
    positions: "NDArray[np.float64]",
    defect: "ElectronicState",
    perfect: "ElectronicState",
    dielectric: "NDArray[np.float64]",
) -> dict[str, Correction]:
    """Return the correction by each method."""
    cell = host.atoms.cell.array
    place = host.atoms.positions[unit.leader]
    fractions = host.atoms.get_scaled_positions()[unit.leader].tolist()
    difference = defect.sites_ev - np.delete(perfect.sites_ev, list(unit.members))
    return {
        "freysoldt": freysoldt(charge, cell, fractions, defect, perfect, dielectric),
        "kumagai": kumagai(charge, cell, place, positions, difference, dielectric),
    }
