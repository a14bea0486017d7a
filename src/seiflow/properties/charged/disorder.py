"""What intrinsic disorder costs: charged defects that together make up the crystal again, each alone in a cell of its own.

Neither chemical potentials nor the Fermi level are left in such a sum: the ions taken out are those of a formula unit, or are
added elsewhere, and the charges add up to zero.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seiflow.properties.charged.cells import ChargedCell
    from seiflow.properties.charged.plan import Asked
    from seiflow.properties.defects.host import Host

    Cells = Sequence[tuple[Asked, ChargedCell]]


def schottky(host: "Host", cells: "Cells", perfect: float) -> float | None:
    """Return the energy of the vacancies of one formula unit; None if one of them is not there in the charge of its ion.

    Args:
        host: The perfect supercell.
        cells: Relaxed.
        perfect: Energy of the perfect supercell, eV.
    """
    energy = perfect / host.formula_units
    for kind, count in host.formula.items():
        alone = _lowest(cells, kind, -1, perfect)
        if alone is None:
            return None
        energy += count * alone
    return energy


def frenkel(cells: "Cells", species: str | None, perfect: float) -> float | None:
    """Return the energy of vacancy and interstitial of an ion, the lowest of each; None if one is not there in its charge."""
    if species is None:
        return None
    empty, filled = (_lowest(cells, species, change, perfect) for change in (-1, 1))
    return None if empty is None or filled is None else empty + filled


def _lowest(cells: "Cells", species: str, change: int, perfect: float) -> float | None:
    """Return the lowest energy of a defect in the charge of its ion, corrected and counted from the perfect supercell."""
    energies = (
        cell.energy_ev - perfect + cell.correction.correction_ev
        for asked, cell in cells
        if (asked.species, asked.change) == (species, change) and asked.is_ionic
    )
    return min(energies, default=None)
