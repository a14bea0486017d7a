"""Whether the hops of a structure can be computed with the settings of a study, told before anything is computed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from seiflow.properties.migration.larger import refuse_not_larger
from seiflow.properties.migration.network import percolating_cutoff, refuse_small
from seiflow.properties.migration.planar import planar_cutoff
from seiflow.settings import PropertySettings
from seiflow.structures.bulk import build_crystal
from seiflow.structures.defect_sites import defect_supercell
from seiflow.structures.recipes import PhaseRecipe
from seiflow.structures.supercell import image_distance, supercell_matrix

if TYPE_CHECKING:
    from ase import Atoms

    from seiflow.shelves import StructureRecipe


def refuse_hops(recipe: "StructureRecipe", phases: Sequence[PhaseRecipe], atoms: "Atoms", settings: PropertySettings) -> None:
    """Refuse hops too short to percolate in a phase, and supercells too small for them.

    Args:
        recipe: Of the structure.
        phases: What it is made of; a phase of itself.
        atoms: The structure, built but not relaxed.
        settings: Of the study.

    Raises:
        UnsuitedError: naming the setting and what it must be.
    """
    longest = 0.0
    for phase in phases:
        if phase.mobile is None:
            continue
        crystal = build_crystal(phase)
        cutoff = percolating_cutoff(crystal, phase.mobile, settings.migration.cutoff)
        longest = max(longest, cutoff)
        matrix = supercell_matrix(crystal, settings.migration.image_distance)
        refuse_small(phase.name, image_distance(matrix @ np.asarray(crystal.cell)), cutoff, "migration.image_distance")
        refuse_not_larger(phase.name, crystal, matrix, settings.migration)
    mobile = phases[0].mobile
    if not isinstance(recipe, PhaseRecipe) and mobile is not None:
        longest = max(longest, planar_cutoff(atoms, mobile, settings.migration))
        cell = defect_supercell(atoms, species=mobile, image_distance=settings.segregation.image_distance)
        refuse_small(recipe.name, cell.image_distance_angstrom, longest, "segregation.image_distance")
