"""Formation energies of charged vacancies and interstitials of a crystal, for calculators that honour the charge of a cell.

E_f(q, E_F) = E(defect, q) - E(perfect) - sum of n_i mu_i of the ions added (negative: taken out) + q (E_V + E_F) + E_corr

with E_V the highest occupied level of the perfect cell, from which the Fermi level E_F is counted, and mu_i from the limits at
which the crystal coexists with other phases of the study. Displace: an ion is taken out of a supercell, or added. Evaluate: ions
relax at the volume of the crystal with the charge of the cell. Reduce: correct, and add the reservoirs of ions and electrons.

Concepts and conventions: Freysoldt et al., Rev. Mod. Phys. 86, 253 (2014).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seiflow.errors import ConvergenceError, PhysicsError
from seiflow.properties.charged.cells import ChargedCell, relax_charged
from seiflow.properties.charged.disorder import frenkel, schottky
from seiflow.properties.charged.levels import (
    BandEdges,
    ChargedDefect,
    Curve,
    TransitionLevel,
    band_edges,
    charged_defect,
    curves,
    transition_levels,
)
from seiflow.properties.charged.limits import Limit, Phase, limits
from seiflow.properties.charged.notes import notes
from seiflow.properties.charged.plan import Asked, Plan, plan_charged

if TYPE_CHECKING:
    from ase import Atoms

    from seiflow.calculators.electronic import ElectronicState
    from seiflow.engine import Engine
    from seiflow.settings import ChargedDefectSettings
    from seiflow.structures.recipes import PhaseRecipe

EngineOf = Callable[[int], "Engine"]
"""The calculator for cells of a charge."""


@dataclass(frozen=True)
class ChargedDefects:
    """Charged vacancies of a crystal, and interstitials of its mobile ion.

    Attributes:
        schottky_energy_ev: All vacancies of one formula unit, each alone in the charge that its ion leaves; no Fermi level and no
            chemical potential is in it. None if one of them was not asked for.
        frenkel_energy_ev: Vacancy and interstitial of the mobile ion, the lowest of each, each alone in the charge that the ion
            leaves or brings; no Fermi level and no chemical potential is in it. None if one of them is not there.
        band_edges: Of the perfect supercell.
        limits: At which the crystal coexists with other phases.
        defects: Every vacancy in every charge state, then every interstitial.
        transition_levels: Between charge states that follow each other.
        curves: Lowest energies against the Fermi level.
        correction: Method.
        dielectric: Tensor; None without correction.
        image_distance_angstrom: Between images of a defect.
        atoms: Of the perfect supercell.
        supercell: How often the crystal's cell is repeated.
        perfect_energy_ev: Of the perfect supercell.
        warnings: What a reader should know.
    """

    schottky_energy_ev: float | None
    frenkel_energy_ev: float | None
    band_edges: BandEdges
    limits: tuple[Limit, ...]
    defects: tuple[ChargedDefect, ...]
    transition_levels: tuple[TransitionLevel, ...]
    curves: tuple[Curve, ...]
    correction: str
    dielectric: tuple[tuple[float, ...], ...] | None
    image_distance_angstrom: float
    atoms: int
    supercell: tuple[int, int, int]
    perfect_energy_ev: float
    warnings: tuple[str, ...]


def charged_defects(
    crystal: "Atoms",
    recipe: "PhaseRecipe",
    engine_of: EngineOf,
    settings: "ChargedDefectSettings",
    others: Sequence[Phase] = (),
) -> ChargedDefects:
    """Return formation energies of the charged defects of a relaxed crystal.

    Args:
        crystal: Relaxed, in its conventional cell.
        recipe: Of the phase.
        engine_of: Gives the calculator for a charge.
        settings: Of the study.
        others: Phases that bound the chemical potentials, relaxed with the same calculator.

    Raises:
        InputError: if what is asked for does not exist in the crystal, or no dielectric constant is given.
        ConvergenceError: if the ions around a vacancy did not relax.
        PhysicsError: if the crystal has no band gap, a vacancy did not stay, or no interstitial is left.
    """
    plan = plan_charged(crystal, recipe, settings)
    host = plan.host
    energy = engine_of(0).evaluate(host.atoms).energy
    perfect = engine_of(0).electronic_state(host.atoms)
    edges = band_edges(perfect, recipe.name)
    cells, refused = _relaxed(plan, engine_of, perfect, settings)
    phase = Phase(recipe.name, recipe.composition, energy / host.formula_units)
    corners = limits(phase, [*others, *_given(settings, [other.name for other in others])])
    defects = tuple(charged_defect(asked, cell, energy, edges, corners) for asked, cell in cells)
    return ChargedDefects(
        schottky_energy_ev=schottky(host, cells, energy),
        frenkel_energy_ev=frenkel(cells, plan.mobile, energy),
        band_edges=edges,
        limits=corners,
        defects=defects,
        transition_levels=transition_levels(defects, energy, edges),
        curves=tuple(curves(defects, edges, corners, settings.fermi_levels)),
        correction=settings.correction,
        dielectric=None if settings.correction == "none" else settings.tensor,
        image_distance_angstrom=host.image_distance_angstrom,
        atoms=len(host.atoms),
        supercell=host.expansion,
        perfect_energy_ev=energy,
        warnings=(*notes(plan, cells, settings, corners), *refused),
    )


def _relaxed(
    plan: Plan, engine_of: EngineOf, perfect: "ElectronicState", settings: "ChargedDefectSettings"
) -> tuple[list[tuple[Asked, ChargedCell]], list[str]]:
    """Return the relaxed cells, and why there is none of some interstitials.

    Raises:
        SeiflowError: if a vacancy has none, or no interstitial has one.
    """
    cells: list[tuple[Asked, ChargedCell]] = []
    refused: list[str] = []
    for asked in plan.asked:
        try:
            cells.append((asked, relax_charged(plan.host, asked, engine_of(asked.charge), perfect, settings)))
        except (ConvergenceError, PhysicsError) as error:
            if asked.kind == "vacancy":
                raise
            refused.append(f"{asked.name}, has no energy: {error}")
    if refused and all(asked.kind == "vacancy" for asked, _ in cells):
        raise PhysicsError("; ".join(refused))
    return cells, refused


def _given(settings: "ChargedDefectSettings", names: Sequence[str]) -> list[Phase]:
    """Return the elements whose energies the user gives, under names that no phase has."""
    energies = sorted(settings.elements_ev.items())
    return [Phase(f"{symbol} as given" if symbol in names else symbol, {symbol: 1}, energy) for symbol, energy in energies]
