"""Interstitial hops along and across boundaries: the search for those that decide, and a crystal taken for a boundary."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from hypothesis import given, settings
from hypothesis import strategies as st

from seiflow.engine import Engine
from seiflow.errors import InputError
from seiflow.properties.interstitial_migration.ground import in_boundary, in_crystal
from seiflow.properties.interstitial_migration.lattice import Configuration, Lattice
from seiflow.properties.interstitial_migration.migration import interstitial_migration
from seiflow.properties.interstitial_migration.network import Network, hop_network
from seiflow.properties.interstitial_migration.percolation import ALL, deciding_hop, floor, levels, percolation
from seiflow.properties.interstitial_migration.record import InterstitialMigration
from seiflow.properties.interstitial_migration.states import State
from seiflow.properties.migration.symmetry import site_symmetry
from seiflow.settings import InterstitialMigrationSettings
from seiflow.shelves import phase_shelf

A = 3.6
PHASE = phase_shelf().get("Cu")
SETTINGS = InterstitialMigrationSettings(image_distance=7.0, cutoff=1.9, sites=1)
"""Only the knock-offs in which both ions go half a lattice constant."""


@pytest.fixture(scope="module")
def network() -> Network:
    """Octahedral and tetrahedral sites of a face-centred crystal, in which nothing has moved."""
    atoms = bulk("Cu", a=A, cubic=True)
    lattice = Lattice(atoms, site_symmetry(atoms), "Cu", np.arange(len(atoms)))
    states = []
    for number, (position, energy) in enumerate([([A / 2, 0, 0], 0.0), ([A / 4] * 3, 0.2)], start=1):
        here = Configuration(np.zeros((len(atoms), 3)), np.array(position, dtype=float))
        states.append(State(f"state_{number}", (f"interstitial_{number}",), energy, 0.0, here, lattice.shared_site(here)))
    return hop_network(lattice, tuple(states), 2.7)


@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_the_hops_that_decide_give_the_barriers_of_all(network: Network, data: st.DataObject) -> None:
    """Whatever the saddles are, and whichever hops fail, the barriers are those of all hops, and the rest cannot lower them."""
    true, failing = {}, set()
    for hop in network.hops:
        true[hop.hop] = floor(network, hop) + data.draw(st.floats(0, 1), label=hop.hop)
        if data.draw(st.integers(0, 4)) == 0:
            failing.add(hop.hop)
    found: dict[str, float] = {}
    failed: list[str] = []
    while (wanted := deciding_hop(network, found, failed)) is not None:
        assert wanted.hop not in found
        assert wanted.hop not in failed
        if wanted.hop in failing:
            failed.append(wanted.hop)
        else:
            found[wanted.hop] = true[wanted.hop]
    possible = {name: level for name, level in true.items() if name not in failing}
    assert levels(network, ALL, found).along == pytest.approx(levels(network, ALL, possible).along)
    result = percolation(network, ALL, found)
    for axis, barrier in result.percolation_barrier_ev.items():
        least = result.least_possible_ev[axis]
        assert barrier is None or (least is not None and least <= barrier + 1e-9)
        if not failed:
            assert barrier == pytest.approx(least)


def test_hops_that_cannot_matter_are_left_out(network: Network) -> None:
    """Where one class of hops is open already, those from the higher state are never asked for."""
    within = [hop for hop in network.hops if network.places[hop.initial].state == network.places[hop.final].state == 0]
    assert len(within) < len(network.hops)
    assert deciding_hop(network, {hop.hop: 0.1 for hop in within}, ()) is None


@pytest.fixture(scope="module")
def crystal() -> Atoms:
    found = Engine(EMT()).relax_crystal(bulk("Cu", cubic=True), fmax=0.002, stress_gpa=0.01)
    found.set_constraint()
    found.calc = None
    return found


@pytest.fixture(scope="module")
def both(crystal: Atoms) -> tuple[InterstitialMigration, InterstitialMigration]:
    """Copper as a crystal, and with two of its planes taken for boundaries."""
    disguised = crystal.repeat((1, 1, 2))
    disguised.info["planes"] = np.array([0.0, 0.5])  # as read from a file
    disguised.new_array("grain", (disguised.get_scaled_positions()[:, 2] >= 0.5 - 1e-6).astype(int))
    grounds = in_crystal(crystal, PHASE, SETTINGS), in_boundary(disguised, "Cu-none", [PHASE], "Cu", SETTINGS)
    one, other = (interstitial_migration(ground, Engine(EMT()), SETTINGS)[0] for ground in grounds)
    return one, other


def test_boundary_that_is_none_has_the_barriers_of_the_crystal(both: tuple[InterstitialMigration, InterstitialMigration]) -> None:
    """Along and across planes of the perfect crystal the barrier is that of the crystal, from fewer hops, and proved."""
    one, other = both
    assert one.knock_off.percolation_barrier_3d_ev is not None
    assert other.all.percolation_barrier_ev == pytest.approx(
        dict.fromkeys("abc", one.knock_off.percolation_barrier_3d_ev), abs=5e-3
    )
    assert other.all.least_possible_ev == pytest.approx(other.all.percolation_barrier_ev)
    assert len(other.hops) <= len(one.hops)


def test_states_tell_how_far_they_are_from_a_boundary(both: tuple[InterstitialMigration, InterstitialMigration]) -> None:
    """The octahedral sites lie in and half way between the planes; a crystal has no boundary to be far from."""
    one, other = both
    assert [state.distance_angstrom for state in one.states] == [None]
    (state,) = other.states
    assert state.distance_angstrom is not None
    assert min(abs(state.distance_angstrom - at) for at in (0.0, A / 2)) < 0.1


def test_boundary_whose_images_are_near_is_refused(crystal: Atoms) -> None:
    """The message names the setting of this property."""
    planar = crystal.copy()
    planar.info["planes"] = [0.0]
    near = SETTINGS.model_copy(update={"image_distance": 1.0})
    with pytest.raises(InputError, match=r"interstitial_migration\.image_distance"):
        in_boundary(planar, "Cu-none", [PHASE], "Cu", near)
