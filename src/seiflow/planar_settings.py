"""Settings of boundaries, interfaces and slabs."""

from pydantic import Field

from seiflow.settings_base import Apart, Positive, Settings


class PlanarSettings(Settings):
    """Relaxation of a boundary or interface (ions, and the cell along the normal of the plane) or a slab (ions)."""

    fmax: Positive = Field(0.02, description="largest force on an atom allowed at the end, eV/Å")
    stress_gpa: Positive = Field(0.02, description="largest traction on the plane allowed at the end, GPa")
    max_steps: int = Field(400, gt=0, description="optimiser steps before the relaxation is given up")
    shakes: int = Field(
        3,
        ge=0,
        description="how often at most what has relaxed is shaken and relaxed again, while that lowers the energy",
    )
    anneal_kelvin: Positive | None = Field(
        None,
        description="temperature of molecular dynamics after that, K; the lowest of what relaxes along it is taken, and "
        "what one of two equivalent boundaries finds is given to the other",
    )
    anneal_ps: Positive = Field(1.0, description="length of the molecular dynamics, ps; relaxed from every 0.2 ps of it")


class RegistrySettings(Settings):
    """Search for how the grains of a boundary or interface lie on each other."""

    candidates: int = Field(
        3,
        ge=0,
        le=50,
        description="how many of the best of an ionic model are relaxed beside the recipe's own; 0 takes that one",
    )
    removed_max: int = Field(0, ge=0, le=4, description="whole formula units that may be taken out at each boundary")
    step: Positive = Field(0.7, description="largest step of the grid of translations, Å")
    fmax: Positive = Field(0.03, description="largest force on an atom at which two registries are compared, eV/Å")
    max_steps: int = Field(150, gt=0, description="optimiser steps before a registry is given up")


class BoundarySettings(Settings):
    """Energies of a boundary, interface or slab."""

    vacuum: Positive = Field(15.0, description="room above a grain that stands alone, Å")
    thicker_by: Positive | None = Field(
        None, description="grains thicker by at least this, Å, are computed too, to see whether the energy stays; null leaves it"
    )


class SegregationSettings(Settings):
    """Vacancies and interstitials of the mobile ion near a boundary or interface."""

    image_distance: Apart = Field(8.0, description="smallest distance between two images of a vacancy or interstitial, Å")
    fmax: Positive = Field(0.02, description="largest force on an atom allowed at the end, eV/Å")
    max_steps: int = Field(300, gt=0, description="optimiser steps for each vacancy or interstitial")
    interstitials: int = Field(
        0,
        ge=0,
        description="interstitial sites tried at most: the widest in the middle of each grain first, then those with the largest "
        "radius; 0 leaves them out",
    )
