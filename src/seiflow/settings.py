"""How each quantity is computed, as data: one model per step of the pipeline, every key with unit and default."""

import json
from typing import Annotated, Literal

from pydantic import Field, field_validator

from seiflow.documents import problems_of
from seiflow.errors import InputError
from seiflow.planar_settings import BoundarySettings, PlanarSettings, RegistrySettings, SegregationSettings
from seiflow.settings_base import Apart, Positive, Settings

Row = tuple[float, float, float]
Tensor = tuple[Row, Row, Row]


class RelaxationSettings(Settings):
    """Relaxation of a crystal, ions and cell, within its space group."""

    fmax: Positive = Field(0.002, description="largest force on an atom allowed at the end, eV/Å")
    stress_gpa: Positive = Field(0.01, description="largest stress component allowed at the end, GPa")
    max_steps: int = Field(500, gt=0, description="optimiser steps before the relaxation is given up")


class ElasticitySettings(Settings):
    """Relaxed-ion stiffness from the stress of strained crystals."""

    strain: Annotated[float, Field(gt=0, le=0.005)] = Field(
        0.001, description="largest strain component, without unit; half of it is used for the linearity check"
    )
    fmax: Positive = Field(0.0002, description="largest force allowed in a strained crystal, eV/Å")
    max_steps: int = Field(300, gt=0, description="optimiser steps for each strained crystal")
    strain_limit: Annotated[float, Field(gt=0, le=0.2)] = Field(
        0.01, description="elastic limit assumed for the maximum elastic deformation energy, without unit"
    )


class MigrationSettings(Settings):
    """Vacancy hops of the mobile ion in a supercell."""

    image_distance: Apart = Field(
        8.0, description="smallest distance between two images of the defect, Å; in a boundary or interface that of segregation"
    )
    larger_image_distance: Apart | None = Field(
        None,
        description="compute each hop of a crystal once more in a supercell with images this far apart, Å, to see what changes; "
        "null leaves it",
    )
    cutoff: Positive | None = Field(
        None,
        description="longest hop, Å; null takes the shortest one whose network percolates in three dimensions, a tenth more in a "
        "boundary or interface",
    )
    charge: int = Field(
        0,
        description="charge of the cell with a vacancy in a crystal, e, if the calculator honours it: -1 for the vacancy that "
        "a lithium ion leaves",
    )
    most_evaluations: int | None = Field(
        None,
        ge=1,
        description="force evaluations after which nothing more is begun for the hops of a boundary or interface, even if the "
        "barriers are then ranges; null spends as many as the proof needs",
    )
    hop_evaluations: int | None = Field(
        600,
        ge=2,
        description="force evaluations for one hop of a boundary or interface, half for the search of its saddle, half for a "
        "band if that fails; then the path that is known bounds it from above. null allows as many as it takes",
    )
    fmax: Positive = Field(0.01, description="largest force on an atom of a relaxed vacancy or saddle, eV/Å")
    max_steps: int = Field(300, gt=0, description="optimiser steps for each relaxation")
    push: Positive = Field(0.3, description="how far the ion is pushed off the symmetry line of a symmetric hop, Å")
    curvature_tolerance: Positive = Field(
        0.2, description="a mode besides the reaction coordinate is negative when its curvature is below minus this, eV/Å²"
    )
    images: int = Field(5, ge=3, description="moving images of a band")
    band_fmax: Positive = Field(0.05, description="largest force on any image of a climbing band, eV/Å")
    band_steps: int = Field(120, gt=0, description="optimiser steps for a band")

    @property
    def charge_state(self) -> str:
        """The charge of the cells in words."""
        return "neutral cell" if self.charge == 0 else f"cell of charge {self.charge:+d} e in a uniform background"


class InterstitialMigrationSettings(MigrationSettings):
    """Interstitial hops of the mobile ion, direct and by knock-off, in a supercell."""

    image_distance: Apart = Field(8.0, description="smallest distance between two images of the defect, Å")
    larger_image_distance: None = Field(None, description="null: a larger supercell is for vacancies only")
    charge: Literal[0] = Field(0, description="0: charged cells are for vacancies only")
    cutoff: Positive | None = Field(
        None,
        description="longest step of an ion in a hop, Å; null takes for each mechanism the shortest one whose network percolates "
        "in three dimensions, in a boundary or interface a tenth more than all mechanisms together need",
    )
    fmax: Positive = Field(0.01, description="largest force on an atom of a relaxed interstitial or saddle, eV/Å")
    sites: int = Field(8, ge=1, description="interstitial sites that are relaxed, those with the largest radius first")
    longest_step: Positive = Field(6.0, description="no ion goes farther than this in a hop that is looked at, Å")
    most_hops: int = Field(
        24, ge=1, description="distinct hops whose saddles are looked for, at most; those left out are listed in the record"
    )


class PhononSettings(Settings):
    """Harmonic phonons from finite displacements (phonopy)."""

    image_distance: Apart = Field(8.0, description="smallest distance between two images of a displaced atom, Å")
    displacement: Positive = Field(0.02, description="length of a displacement, Å")
    mesh_density: Positive = Field(60.0, description="length that fixes the density of the q-point mesh, Å")
    temperature_max_k: Positive = Field(1000.0, description="highest temperature of the heat capacity, K")
    temperature_step_k: Positive = Field(50.0, description="step of the temperature scale, K")
    imaginary_tolerance_thz: Positive = Field(
        0.1, description="a mode counts as imaginary when its frequency is below minus this, THz"
    )


class SoftnessSettings(Settings):
    """Forces against those of a reference on the same displaced crystals."""

    reference: str = Field(
        "gpaw-pbe", description="calculator whose forces are the reference: those in references/forces/PHASE-REFERENCE.extxyz"
    )


class DefectSettings(Settings):
    """Point defects in neutral, stoichiometric sets: Frenkel pairs and Schottky sets."""

    image_distance: Apart = Field(8.0, description="smallest distance between two images of a defect, Å")
    larger_image_distance: Apart | None = Field(
        None,
        description="compute all once more in a supercell with images this far apart, Å, to see what changes; null leaves it",
    )
    fmax: Positive = Field(0.02, description="largest force on an atom of a relaxed cell, eV/Å")
    max_steps: int = Field(300, gt=0, description="optimiser steps for each cell")
    pairs: int = Field(3, ge=2, le=20, description="vacancy and interstitial pairs, from the nearest that stays to the farthest")
    interstitials: int = Field(3, ge=1, description="interstitial sites tried, those with the largest radius first")
    anion: bool = Field(default=False, description="also Frenkel pairs of the anion, where it is a single ion")


class ChargedDefectSettings(Settings):
    """Charged vacancies and interstitials, with a calculator that honours the charge of a cell."""

    vacancies: dict[str, Annotated[tuple[int, ...], Field(min_length=1)]] = Field(
        default={},
        description="charges of the cell, e, by the ion taken out; empty for the mobile ion in the charge that it leaves",
    )
    interstitials: int = Field(
        0, ge=0, description="interstitial sites of the mobile ion tried, those with the largest radius first; 0 leaves them out"
    )
    interstitial_charges: tuple[int, ...] = Field(
        (), description="charges of the cell with an ion added, e; empty for the charge of the ion"
    )
    image_distance: Apart = Field(8.0, description="smallest distance between two images of a defect, Å")
    fmax: Positive = Field(0.03, description="largest force on an atom of a relaxed cell, eV/Å")
    max_steps: int = Field(100, gt=0, description="optimiser steps for each cell")
    shake: bool = Field(
        default=True,
        description="ions start displaced by 0.05 Å, so that they may leave a symmetric saddle; false keeps symmetry",
    )
    correction: Literal["freysoldt", "kumagai", "none"] = Field(
        "freysoldt",
        description="of the interaction with images, and alignment of the potential by averages over planes or at atoms",
    )
    dielectric: Annotated[float, Field(ge=1)] | Tensor | None = Field(
        None,
        description="static dielectric constant of the crystal, ions relaxed, or tensor by rows (Cartesian), at least 1; without "
        "unit",
    )
    elements_ev: dict[str, float] = Field(
        default={},
        description="energies per atom, eV, by the same calculator, of elements that are no phase of the study",
    )
    fermi_levels: int = Field(21, ge=2, description="Fermi levels, from the valence to the conduction edge, of the curves")

    @field_validator("dielectric")
    @classmethod
    def _is_dielectric(cls, given: float | Tensor | None) -> float | Tensor | None:
        import numpy as np

        if not isinstance(given, tuple):
            return given
        if not np.allclose(given, np.transpose(given)) or np.linalg.eigvalsh(given).min() < 1 - 1e-9:
            message = "a dielectric tensor is symmetric, with eigenvalues of at least 1"
            raise ValueError(message)
        return given

    @field_validator("elements_ev")
    @classmethod
    def _are_elements(cls, given: dict[str, float]) -> dict[str, float]:
        from ase.data import atomic_numbers

        unknown = sorted(set(given) - set(atomic_numbers))
        if unknown:
            message = f"no chemical symbols: {', '.join(unknown)}"
            raise ValueError(message)
        return given

    @property
    def tensor(self) -> tuple[tuple[float, ...], ...]:
        """The dielectric tensor."""
        given = self.dielectric
        if isinstance(given, tuple):
            return given
        return tuple(tuple((given or 1.0) * (row == column) for column in range(3)) for row in range(3))


class PropertySettings(Settings):
    """Settings of every step; what is left out has its default."""

    relaxation: RelaxationSettings = RelaxationSettings()
    elasticity: ElasticitySettings = ElasticitySettings()
    migration: MigrationSettings = MigrationSettings()
    interstitial_migration: InterstitialMigrationSettings = InterstitialMigrationSettings()
    phonons: PhononSettings = PhononSettings()
    softness: SoftnessSettings = SoftnessSettings()
    defects: DefectSettings = DefectSettings()
    charged_defects: ChargedDefectSettings = ChargedDefectSettings()
    planar: PlanarSettings = PlanarSettings()
    registry: RegistrySettings = RegistrySettings()
    boundary: BoundarySettings = BoundarySettings()
    segregation: SegregationSettings = SegregationSettings()

    def combined(self, *sections: str) -> dict[str, dict[str, object]]:
        """Return several sections as JSON types, for a result that depends on more than one.

        Of segregation beside another section that is what vacancies depend on: nothing else takes its interstitials.
        """
        found = {section: getattr(self, section).model_dump(mode="json") for section in sections}
        if len(found) > 1 and "segregation" in found:
            del found["segregation"]["interstitials"]
        return found


def parse_settings(text: str) -> PropertySettings:
    """Return settings handed from a rule to a command."""
    try:
        data = json.loads(text)
    except ValueError as error:
        message = f"settings: no JSON ({error})"
        raise InputError(message) from error
    found = problems_of(data, PropertySettings)
    if found:
        message = "settings: " + "; ".join(problem for _, problem in found)
        raise InputError(message)
    return PropertySettings.model_validate(data)
