"""Energies of grain boundaries, heterointerfaces and surfaces, counted from whole formula units.

With E the energy of the relaxed cell, A the area of the plane, n_i formula units of phase i whose crystal has e_i each:

- grain boundary: (E − n e) / 2A, the cell holding two boundaries; surface: the same with two faces;
- work of adhesion: (Σ E_grain − E) / kA, each grain alone with vacuum on both sides at the same net, k interfaces in the cell;
- interface: (E − Σ n_i e'_i) / kA with e' of the crystals strained to the common net and relaxed along the normal, less the two
  free surfaces where the cell has vacuum; what the strain itself costs is told apart;
- cleavage: what it takes to part the crystal in the plane of the boundary, the energy of two surfaces;
- excess volume: (V − Σ n_i v_i) / kA, a length.

Definitions: A. P. Sutton and R. W. Balluffi, Interfaces in Crystalline Materials, Oxford University Press (1995), ch. 5; work of
adhesion as M. W. Finnis, J. Phys.: Condens. Matter 8, 5811 (1996).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from seiflow.errors import PhysicsError
from seiflow.properties.planar import bulk_energy, bulk_volume, grains_apart
from seiflow.properties.settling import area_of, relax_planar
from seiflow.structures.build import Ingredient, build_structure, thicker
from seiflow.structures.checks import formula_units
from seiflow.structures.grain_boundary import GrainBoundary
from seiflow.structures.interface import Interface, strained_crystals
from seiflow.structures.planar_recipes import GrainBoundaryRecipe, InterfaceRecipe, PlanarRecipe, SlabRecipe
from seiflow.structures.registry import J_PER_M2

if TYPE_CHECKING:
    from ase import Atoms

    from seiflow.engine import Engine
    from seiflow.planar_settings import BoundarySettings, PlanarSettings
    from seiflow.structures.build import Built

CONVERGED_J_PER_M2 = 0.02
"""By how much the energy may change when the grains are made thicker."""


@dataclass(frozen=True)
class Surface:
    """A grain alone: energy per area of one of its two faces, mean of both, at the net it has in the boundary."""

    phase: str
    energy_j_per_m2: float
    atoms: int


@dataclass(frozen=True)
class Thicker:
    """The same boundary between thicker grains: height of the cell, atoms, change of the energy per area of one boundary."""

    height_angstrom: float
    atoms: int
    change_j_per_m2: float


@dataclass(frozen=True)
class Boundary:
    """Energies of a structure with a plane.

    Attributes:
        kind: grain_boundary, interface or slab.
        formula_units: Of each phase.
        area_angstrom2: Of the plane.
        boundaries: How many boundaries, interfaces or faces the cell holds.
        boundaries_equivalent: Whether symmetry makes both the same as built; otherwise the energies are means. Null for one.
        energy_j_per_m2: Of the boundary, interface or surface.
        largest_strains: Of each phase of an interface, along any direction in the plane; null without strain.
        strain_energy_j_per_m2: What straining the crystals onto the common net costs, per interface; null without strain.
        excess_volume_angstrom: Volume per area of one boundary that the crystals would not take; null with vacuum.
        work_of_adhesion_j_per_m2: Of one boundary; null for a slab.
        cleavage_energy_j_per_m2: Energy of the two surfaces that parting the crystal in this plane makes; null for an interface,
            and where units were taken out: the grains alone are pitted then.
        surfaces: Each grain alone.
        thicker: Between thicker grains; null where that was not asked for.
        warnings: Sentences on what may spoil the result.
    """

    kind: str
    formula_units: dict[str, int]
    area_angstrom2: float
    boundaries: int
    boundaries_equivalent: bool | None
    energy_j_per_m2: float
    largest_strains: dict[str, float] | None
    strain_energy_j_per_m2: float | None
    excess_volume_angstrom: float | None
    work_of_adhesion_j_per_m2: float | None
    cleavage_energy_j_per_m2: float | None
    surfaces: tuple[Surface, ...]
    thicker: Thicker | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Surroundings:
    """What the energies of one structure are computed with.

    Attributes:
        recipe: What it was built from, the registry chosen.
        parts: Its phases, relaxed by the same calculator, with their energies.
        engine: Relaxes grains alone, strained crystals and thicker grains.
        settings: Vacuum, and whether grains are made thicker.
        planar: Tolerances of relaxations.
    """

    recipe: PlanarRecipe
    parts: Sequence[Ingredient]
    engine: "Engine"
    settings: "BoundarySettings"
    planar: "PlanarSettings"

    def built(self, *, thicker_by: float = 0.0) -> "Built":
        """Return the structure as built, its grains thicker if wanted."""
        return build_structure(thicker(self.recipe, thicker_by), {part.recipe.name: part for part in self.parts})

    def relax(self, atoms: "Atoms", label: str) -> "Atoms":
        """Relax a grain, or the structure with thicker grains."""
        return relax_planar(atoms, self.engine, self.planar, label=label)

    def _relax_strained(self, crystal: "Atoms", name: str) -> "Atoms":
        tolerances = self.planar
        return self.engine.relax_along_normal(
            crystal,
            fmax=tolerances.fmax,
            stress_gpa=tolerances.stress_gpa,
            max_steps=tolerances.max_steps,
            label=f"{name}, strained",
        )

    @cached_property
    def references(self) -> Sequence[Ingredient]:
        """The crystals that energies are counted from: those of an interface strained onto its net."""
        if not isinstance(self.recipe, InterfaceRecipe):
            return self.parts
        strained = strained_crystals(self.recipe, (self.parts[0], self.parts[1]))
        return [
            Ingredient(part.recipe, self._relax_strained(crystal, part.recipe.name))
            for part, crystal in zip(self.parts, strained, strict=True)
        ]

    @property
    def pitted(self) -> bool:
        """Whether formula units were taken out at a grain boundary, so that its grains differ and their faces have pits."""
        return isinstance(self.recipe, GrainBoundaryRecipe) and self.recipe.removed > 0

    @cached_property
    def surfaces(self) -> tuple[Surface, ...]:
        """The grains alone; both grains of a grain boundary are the same slab, so one is enough unless units were taken out.

        There are none if a grain has a dipole, with which its energy grows with its thickness, or is not of whole units.
        """
        built = self.built()
        if isinstance(built.details, GrainBoundary) and built.details.termination.tasker == "III":
            return ()
        slabs = grains_apart(built.atoms, self.settings.vacuum)
        found = []
        references = self.references
        if self.pitted:
            references = [references[0], references[0]]
        for reference, slab in zip(references, slabs, strict=False):
            if not formula_units(slab, [reference.recipe]):
                return ()
            relaxed = self.relax(slab, f"{reference.recipe.name} alone")
            found.append(Surface(reference.recipe.name, self.excess(relaxed, [reference], 2), len(slab)))
        return tuple(found)

    def excess(self, relaxed: "Atoms", references: Sequence[Ingredient], count: int) -> float:
        """Return the energy beyond that of the crystals per area of each of so many planes, J/m²."""
        units = formula_units(relaxed, [part.recipe for part in references])
        energy = relaxed.get_potential_energy() - bulk_energy(units, references)
        return float(energy / (count * area_of(relaxed)) * J_PER_M2)


def boundary(relaxed: "Atoms", surroundings: Surroundings) -> Boundary:
    """Return the energies of a relaxed structure with a plane.

    Args:
        relaxed: The structure, with its energy.
        surroundings: What it was made from, and what relaxes its parts.

    Raises:
        ConvergenceError: if a relaxation failed.
    """
    recipe, parts, references = surroundings.recipe, surroundings.parts, surroundings.references
    units = formula_units(relaxed, [part.recipe for part in parts])
    is_slab, is_interface = isinstance(recipe, SlabRecipe), isinstance(recipe, InterfaceRecipe)
    built = surroundings.built()
    details = built.details
    count = 2 if relaxed.pbc[2] or is_slab else 1
    total = surroundings.excess(relaxed, references, count)
    surfaces = (Surface(parts[0].recipe.name, total, len(relaxed)),) if is_slab else surroundings.surfaces
    faces = sum((surfaces[0].energy_j_per_m2, surfaces[-1].energy_j_per_m2)) if surfaces else None
    if faces is None and is_interface and not relaxed.pbc[2]:
        message = f"{recipe.name}: a grain alone does not hold whole formula units, so its free surface cannot be taken off"
        raise PhysicsError(message)
    free = (faces or 0.0) if is_interface and not relaxed.pbc[2] else 0.0
    energy = total - free
    strain = (bulk_energy(units, references) - bulk_energy(units, parts)) / (count * area_of(relaxed)) * J_PER_M2
    result = Boundary(
        kind=recipe.kind,
        formula_units=units,
        area_angstrom2=area_of(relaxed),
        boundaries=count,
        boundaries_equivalent=built.certificate.boundaries_equivalent if relaxed.pbc[2] else None,
        energy_j_per_m2=energy,
        largest_strains=_strains(parts, details.largest_strains) if isinstance(details, Interface) else None,
        strain_energy_j_per_m2=strain if is_interface else None,
        excess_volume_angstrom=_excess_volume(relaxed, units, references) if relaxed.pbc[2] else None,
        work_of_adhesion_j_per_m2=None if is_slab or faces is None else faces - energy,
        cleavage_energy_j_per_m2=None if is_interface or surroundings.pitted else faces,
        surfaces=surfaces,
        thicker=_thicker(relaxed, surroundings, count, total),
        warnings=(),
    )
    return replace(result, warnings=tuple(_warnings(result)))


def _strains(parts: Sequence[Ingredient], largest: tuple[float, float]) -> dict[str, float]:
    return {part.recipe.name: strain for part, strain in zip(parts, largest, strict=True)}


def _excess_volume(relaxed: "Atoms", units: dict[str, int], references: Sequence[Ingredient]) -> float:
    return float(relaxed.get_volume() - bulk_volume(units, references)) / (2 * area_of(relaxed))


def _thicker(relaxed: "Atoms", surroundings: Surroundings, count: int, total: float) -> Thicker | None:
    """Compute the energy between grains thicker by the least number of repeats that the settings ask for."""
    by = surroundings.settings.thicker_by
    if by is None:
        return None
    larger = surroundings.built(thicker_by=by).atoms
    while len(larger) == len(relaxed):
        by += 1.0
        larger = surroundings.built(thicker_by=by).atoms
    found = surroundings.relax(larger, "thicker grains")
    change = surroundings.excess(found, surroundings.references, count) - total
    return Thicker(float(found.get_volume()) / area_of(found), len(found), change)


def _warnings(found: Boundary) -> Iterator[str]:
    if found.energy_j_per_m2 <= 0 and found.kind != "interface":
        yield (
            f"The energy is {found.energy_j_per_m2:.3f} J/m², not above zero: the crystal it is counted from is not the most "
            "stable one for this calculator, or the structure is no boundary."
        )
    if found.work_of_adhesion_j_per_m2 is not None and found.work_of_adhesion_j_per_m2 <= 0:
        yield f"The work of adhesion is {found.work_of_adhesion_j_per_m2:.3f} J/m²: the grains do not hold together."
    if found.thicker is not None and abs(found.thicker.change_j_per_m2) > CONVERGED_J_PER_M2:
        yield (
            f"Thicker grains change the energy by {found.thicker.change_j_per_m2:+.3f} J/m², more than "
            f"{CONVERGED_J_PER_M2} J/m²: make the grains thicker."
        )
    if found.boundaries_equivalent is False:
        yield "The two boundaries of the cell are not equivalent: energies are their means."
    if found.kind != "slab" and not found.surfaces:
        yield "A grain alone has a dipole or does not hold whole formula units: there is no work of adhesion."
