"""Which charged vacancies a study asks for, and in which supercell: known, and refused, before anything is computed."""

from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import InputError
from seiflow.properties.defects.host import Host, make_host
from seiflow.structures.supercell import LENGTH_TOLERANCE

if TYPE_CHECKING:
    from ase import Atoms

    from seiflow.properties.defects.host import Unit
    from seiflow.settings import ChargedDefectSettings
    from seiflow.structures.recipes import PhaseRecipe


def plan_charged(
    crystal: "Atoms", recipe: "PhaseRecipe", settings: "ChargedDefectSettings"
) -> "tuple[Host, list[tuple[int, Unit, int]]]":
    """Return the supercell, and number, unit and charge of every vacancy asked for, without computing.

    Raises:
        InputError: if a species is no ion of the crystal, a dielectric constant is missing, the supercell is too small or the
            crystal a metal.
    """
    if settings.correction != "none" and settings.dielectric is None:
        message = (
            f"{recipe.name}: the correction {settings.correction} needs the static dielectric constant of the crystal "
            "(settings: charged_defects.dielectric); correction: none leaves cells uncorrected"
        )
        raise InputError(message)
    host = make_host(crystal, recipe, settings.image_distance)
    _refuse_unsuited(host, recipe)
    ions = {unit.kind: unit.charge for unit in host.units if len(unit.members) == 1}
    wanted = settings.vacancies or ({recipe.mobile: (-ions[recipe.mobile],)} if recipe.mobile in ions else {})
    for species in wanted:
        if species not in ions:
            message = f"{recipe.name}: no single ion {species} to take out (settings: charged_defects.vacancies); "
            raise InputError(message + f"there are {', '.join(sorted(ions))}")
    if not wanted:
        message = f"{recipe.name}: its recipe names no mobile species; say which vacancies (settings: charged_defects.vacancies)"
        raise InputError(message)
    return host, [
        (number, unit, charge)
        for species, charges in sorted(wanted.items())
        for number, unit in enumerate(host.distinct(species), start=1)
        for charge in dict.fromkeys(charges)
    ]


def _refuse_unsuited(host: Host, recipe: "PhaseRecipe") -> None:
    if not any(recipe.charges.values()):
        message = f"{recipe.name}: its ions have no charges, so it counts as a metal, in which defects have none either"
        raise InputError(message)
    needed = 2 * host.contact_angstrom
    if host.image_distance_angstrom < needed - LENGTH_TOLERANCE:
        message = (
            f"{recipe.name}: images of a defect would be {host.image_distance_angstrom:.2f} Å apart and share neighbours; they "
            f"must be at least {needed:.2f} Å apart (settings: charged_defects.image_distance: {np.ceil(needed * 10) / 10:.1f})"
        )
        raise InputError(message)
