"""One charged defect relaxed, what is in the cell in the end, and its correction.

An ion that moves into a vacancy makes another defect of it, of which there is no energy here. An ion added may settle at another
place than that it was put at, or share the site of another, as a neutral one may: the cell still holds one ion more, and its
energy counts. The charge of the correction is where the defect is in the end. Potentials are compared atom by atom; the ion added
has no partner in the perfect cell and is left out.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import PhysicsError
from seiflow.properties.charged.corrections import NONE, Correction, freysoldt
from seiflow.properties.charged.site_average import kumagai
from seiflow.properties.defects.cells import Found, as_asked, defective, find_defects, shaken

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seiflow.calculators.electronic import ElectronicState
    from seiflow.engine import Engine
    from seiflow.properties.charged.plan import Asked
    from seiflow.properties.defects.arrangements import Arrangement
    from seiflow.properties.defects.host import Host
    from seiflow.settings import ChargedDefectSettings


@dataclass(frozen=True)
class ChargedCell:
    """A supercell with a charged defect.

    Attributes:
        name: Of the defect.
        atoms: Of the cell.
        energy_ev: Relaxed at the volume of the crystal, not corrected.
        largest_force_ev_per_angstrom: Reached by the relaxation.
        farthest_moved_angstrom: By an ion.
        found: What there is in the end.
        moved: An ion added left the place it was put at.
        correction: Of the energy, by the method asked for.
        other_correction: By the other method, for comparison; None without correction.
    """

    name: str
    atoms: int
    energy_ev: float
    largest_force_ev_per_angstrom: float
    farthest_moved_angstrom: float
    found: str
    moved: bool
    correction: Correction
    other_correction: Correction | None


def relax_charged(
    host: "Host", asked: "Asked", engine: "Engine", perfect: "ElectronicState", settings: "ChargedDefectSettings"
) -> ChargedCell:
    """Relax the ions around a defect at fixed cell and correct the energy.

    Args:
        host: The perfect supercell.
        asked: The defect and its charge.
        engine: The calculator for that charge.
        perfect: State of the perfect supercell.
        settings: Of the study.

    Raises:
        ConvergenceError: if the ions did not relax.
        PhysicsError: if the cell does not hold one vacancy or one ion more, as asked for, any longer.
    """
    arrangement = asked.arrangement
    start, leaders = defective(host, arrangement)
    relaxed = engine.relax(
        shaken(host, start, arrangement) if settings.shake else start,
        fmax=settings.fmax,
        max_steps=settings.max_steps,
        symmetric=not settings.shake,
        label=asked.name,
    )
    moved = relaxed.positions - start.positions
    moved -= moved.mean(axis=0)
    found = find_defects(host, {index: start.positions[number] + moved[number] for index, number in leaders.items()}, arrangement)
    _refuse_other(asked, found)
    chosen, other = NONE, None
    if settings.correction != "none":
        state = engine.electronic_state(relaxed)
        both = _corrections(host, asked, found, start.positions + moved, state, perfect, np.array(settings.tensor))
        chosen = both.pop(settings.correction)
        (other,) = both.values()
    return ChargedCell(
        name=arrangement.name,
        atoms=len(relaxed),
        energy_ev=float(relaxed.get_potential_energy()),
        largest_force_ev_per_angstrom=float(np.linalg.norm(relaxed.get_forces(), axis=1).max()),
        farthest_moved_angstrom=float(np.linalg.norm(moved, axis=1).max()),
        found=found.text,
        moved=not as_asked(host, arrangement, found),
        correction=chosen,
        other_correction=other,
    )


def _refuse_other(asked: "Asked", found: Found) -> None:
    """Refuse a cell that does not hold the vacancy asked for, or not one ion more."""
    arrangement = asked.arrangement
    vacant = tuple(unit.leader for unit in arrangement.missing)
    added = [place.species for place in arrangement.added]
    if found.vacant == vacant and [kind for kind, _, _ in found.extra] == added and not found.exchanged:
        return
    if added:
        message = f"{asked.name} does not hold one {asked.species} more any longer: {found.text}"
    else:
        message = f"{asked.name} did not stay where it was put: {found.text}"
    raise PhysicsError(message + ". Its energy is that of another defect.")


def _centre(host: "Host", arrangement: "Arrangement", found: Found) -> "NDArray[np.float64]":
    """Return where the defect is: the site of the vacancy, or where the ion added has come to."""
    if arrangement.missing:
        return np.asarray(host.atoms.positions[arrangement.missing[0].leader])
    return found.extra[0][2]


def _corrections(
    host: "Host",
    asked: "Asked",
    found: Found,
    positions: "NDArray[np.float64]",
    defect: "ElectronicState",
    perfect: "ElectronicState",
    dielectric: "NDArray[np.float64]",
) -> dict[str, Correction]:
    """Return the correction by each method."""
    cell = host.atoms.cell
    place = _centre(host, asked.arrangement, found)
    gone = [index for unit in asked.arrangement.missing for index in unit.members]
    partners = np.delete(perfect.sites_ev, gone)
    shared = len(partners)  # an ion added is the last atom
    difference = defect.sites_ev[:shared] - partners
    fractions = cell.scaled_positions(place[None])[0].tolist()
    return {
        "freysoldt": freysoldt(asked.charge, cell.array, fractions, defect, perfect, dielectric),
        "kumagai": kumagai(asked.charge, cell.array, place, positions[:shared], difference, dielectric),
    }
