"""What a reader of charged defects should know."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seiflow.properties.charged.cells import ChargedCell
    from seiflow.properties.charged.limits import Limit
    from seiflow.properties.charged.plan import Asked, Plan
    from seiflow.settings import ChargedDefectSettings

SMALL_ANGSTROM = 10.0
"""Images of a charged defect nearer than this are worth a warning."""

UNCERTAIN_EV = 0.05
"""Shifts of the potential, and corrections by two methods, that differ by more than this are worth one, too."""


def notes(
    plan: "Plan",
    cells: "Sequence[tuple[Asked, ChargedCell]]",
    settings: "ChargedDefectSettings",
    corners: "Sequence[Limit]",
) -> Iterator[str]:
    """Yield warnings on charged cells."""
    distance = plan.host.image_distance_angstrom
    if distance < SMALL_ANGSTROM:
        yield (
            f"images of a defect are {distance:.2f} Å apart: the model of the correction, a charge small against the cell, is "
            f"stretched below {SMALL_ANGSTROM:g} Å, and elastic interaction is not corrected; compare a larger cell"
        )
    if settings.correction == "none":
        yield "energies of charged cells are not corrected for their images and the alignment of the potential"
    if not corners:
        yield (
            "no formation energies: no phases of the study with the same calculator and elements fix the chemical potentials, or "
            "they are more stable than the crystal; name the element among the structures, or under charged_defects.elements_ev"
        )
    yield "band edges and gap are those of the functional: semilocal ones have gaps that are far too small"
    if settings.interstitials:
        yield from _of_interstitials(plan, settings)
    for asked, cell in cells:
        yield from _of_cell(asked, cell)


def _of_interstitials(plan: "Plan", settings: "ChargedDefectSettings") -> Iterator[str]:
    if plan.left_out:
        names = ", ".join(plan.left_out)
        yield f"interstitial sites of {plan.mobile} not tried: {names} (settings: charged_defects.interstitials)"
    if not settings.shake:
        yield (
            "interstitials keep the symmetry of the sites they were put at, also where that is a saddle from which the ion would "
            "move (settings: charged_defects.shake)"
        )
    kinds = {asked.kind for asked in plan.asked if asked.species == plan.mobile and asked.is_ionic}
    if len(kinds) < len(("vacancy", "interstitial")):
        yield (
            f"no Frenkel energy: it takes the vacancy and the interstitial of {plan.mobile}, each in the charge of the ion "
            "(settings: charged_defects.vacancies, interstitial_charges)"
        )


def _of_cell(asked: "Asked", cell: "ChargedCell") -> Iterator[str]:
    name = asked.name
    if cell.moved:
        yield f"{name} did not stay: {cell.found}"
    if not asked.is_ionic:
        yield (
            f"{name}: electrons or holes beside the charge of the ion; whether they stay at the defect is not looked at, and "
            "semilocal functionals spread them too far"
        )
    shifts = cell.correction.shifts_ev or (0.0,)
    spread = max(max(shifts) - min(shifts), cell.correction.roughness_ev)
    if spread > UNCERTAIN_EV:
        yield f"{name}: the potential far from the defect is uncertain by {spread:.2f} eV, and so is the energy per charge"
    other = cell.other_correction
    if other is not None and abs(other.correction_ev - cell.correction.correction_ev) > UNCERTAIN_EV:
        yield (
            f"{name}: corrections differ, {cell.correction.correction_ev:+.2f} eV by {cell.correction.method} and "
            f"{other.correction_ev:+.2f} eV by {other.method}: the cell is too small for either to be sure"
        )
