"""The stable places of an added mobile ion: relaxed interstitials, each once.

Sites found by geometry are starts only. Several may relax into one state, and an ion may end up sharing the site of a lattice ion
(a split interstitial, or dumbbell). Ions of a kind cannot be told apart, so two structures are one state if an operation of the
crystal brings every mobile ion of the one near a mobile ion of the other.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import ConvergenceError, PhysicsError
from seiflow.properties.interstitial_migration.lattice import Configuration, Lattice
from seiflow.properties.migration.descent import ARRIVED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ase import Atoms

    from seiflow.engine import Engine
    from seiflow.settings import InterstitialMigrationSettings

UNCHANGED = 0.25
"""Å; an operation that moves no ion of a relaxed state by more is taken as a symmetry of it."""

RISE = 0.002
"""eV; a state whose energy rises by more when it is made symmetric was not symmetric."""


@dataclass(frozen=True)
class State:
    """A stable interstitial.

    Attributes:
        state: Its name, by energy.
        sites: The geometric sites that relaxed into it.
        energy_ev: Of the supercell.
        largest_force_ev_per_angstrom: What the relaxation reached.
        configuration: The added ion and all displacements.
        shared: Index of the lattice site that the added ion shares with its ion; None if it sits in a void.
    """

    state: str
    sites: tuple[str, ...]
    energy_ev: float
    largest_force_ev_per_angstrom: float
    configuration: Configuration
    shared: int | None


def find_states(
    starts: "Iterable[tuple[str, Atoms]]", lattice: Lattice, engine: "Engine", settings: "InterstitialMigrationSettings"
) -> tuple[tuple[State, ...], tuple[str, ...]]:
    """Return the stable interstitials, the lowest first, and what went wrong on the way to others.

    Args:
        starts: Structures with an ion added, the last atom, by the name of the site it starts at.
        lattice: The supercell without it.
        engine: Relaxes.
        settings: Tolerances and limits.

    Raises:
        PhysicsError: if no site has room for the ion, or none relaxed.
    """
    found: list[State] = []
    failures: list[str] = []
    for site, start in starts:
        try:
            relaxed = engine.relax(start, fmax=2 * settings.fmax, max_steps=settings.max_steps, label=site)
        except ConvergenceError as error:
            failures.append(f"{site} did not relax: {error}")
            continue
        configuration = lattice.configuration(relaxed)
        known = next((number for number, state in enumerate(found) if _is_one(lattice, configuration, state)), None)
        if known is None:
            found.append(_refined(lattice, configuration, site, engine, settings))
        else:
            found[known] = _joined(found[known], site)
    if not found:
        reason = "; ".join(failures) or "no void has room for the ion"
        message = f"no stable interstitial {lattice.mobile} in {lattice.atoms.get_chemical_formula()}: {reason}"
        raise PhysicsError(message)
    return _named(lattice, found), tuple(failures)


def _is_one(lattice: Lattice, configuration: Configuration, state: State) -> bool:
    return bool(lattice.alike(configuration, state.configuration, ARRIVED))


def _joined(state: State, *sites: str) -> State:
    return State(
        state.state,
        (*state.sites, *sites),
        state.energy_ev,
        state.largest_force_ev_per_angstrom,
        state.configuration,
        state.shared,
    )


def _refined(
    lattice: Lattice, configuration: Configuration, site: str, engine: "Engine", settings: "InterstitialMigrationSettings"
) -> State:
    """Relax a state to the end, within the symmetry that it nearly has if that costs no energy."""
    plain = engine.relax(
        lattice.structure(configuration), fmax=settings.fmax, max_steps=settings.max_steps, label=f"{site}, on to its end"
    )
    start = lattice.structure(_symmetrised(lattice, lattice.configuration(plain)))
    exact = engine.relax(start, fmax=settings.fmax, max_steps=settings.max_steps, symmetric=True, label=f"{site}, made symmetric")
    exact.set_constraint()
    best = plain if exact.get_potential_energy() > plain.get_potential_energy() + RISE else exact
    force = float(np.linalg.norm(best.get_forces(), axis=1).max())
    final = lattice.configuration(best)
    return State("", (site,), float(best.get_potential_energy()), force, final, lattice.shared_site(final))


def _symmetrised(lattice: Lattice, configuration: Configuration) -> Configuration:
    """Return the mean of the images of a configuration that nearly are the configuration itself."""
    atoms = lattice.structure(configuration)
    steps = []
    for number in lattice.alike(configuration, configuration, UNCHANGED):
        image = lattice.carried(number, configuration)
        moved = np.empty_like(atoms.positions)
        moved[lattice.matches(image, configuration)] = lattice.structure(image).positions
        steps.append(lattice.gaps(moved, atoms.positions))
    atoms.positions += np.mean(steps, axis=0)
    return Configuration(atoms.positions[:-1] - lattice.atoms.positions, atoms.positions[-1])


def _named(lattice: Lattice, found: list[State]) -> tuple[State, ...]:
    """Return the states by energy; those that became one when relaxed to the end are joined."""
    kept: list[State] = []
    for state in sorted(found, key=lambda item: item.energy_ev):
        known = next((number for number, other in enumerate(kept) if _is_one(lattice, state.configuration, other)), None)
        if known is None:
            kept.append(state)
        else:
            kept[known] = _joined(kept[known], *state.sites)
    return tuple(
        State(f"state_{number}", item.sites, item.energy_ev, item.largest_force_ev_per_angstrom, item.configuration, item.shared)
        for number, item in enumerate(kept, start=1)
    )
