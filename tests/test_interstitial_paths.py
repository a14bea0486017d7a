"""Interstitial hops along and across boundaries: the search for those that decide, and a crystal taken for a boundary."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from hypothesis import given, settings
from hypothesis import strategies as st

from seiflow.engine import Engine
from seiflow.errors import InputError, PhysicsError
from seiflow.properties.interstitial_migration.ground import in_boundary, in_crystal
from seiflow.properties.interstitial_migration.lattice import Configuration, Lattice
from seiflow.properties.interstitial_migration.migration import interstitial_migration
from seiflow.properties.interstitial_migration.network import DIRECT, Hop, Network, hop_network
from seiflow.properties.interstitial_migration.percolation import ALL, bridges, floor, levels, percolation
from seiflow.properties.interstitial_migration.planar import AddedIonHops, deciding_hops
from seiflow.properties.interstitial_migration.record import InterstitialMigration
from seiflow.properties.interstitial_migration.states import State
from seiflow.properties.migration.planar_hops import DOWNHILL
from seiflow.properties.migration.search import Ways, search
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


@pytest.fixture(scope="module")
def split() -> Network:
    """Two ions at one site of a face-centred crystal."""
    atoms = bulk("Cu", a=A, cubic=True)
    lattice = Lattice(atoms, site_symmetry(atoms), "Cu", np.arange(len(atoms)))
    shifted = np.zeros((len(atoms), 3))
    shifted[0, 0] = 1.1
    here = Configuration(shifted, np.array([-1.1, 0.0, 0.0]))
    return hop_network(lattice, (State("state_1", ("interstitial_1",), 0.0, 0.0, here, lattice.shared_site(here)),), 2.6)


LOST = "this hop cannot be computed"

BOTTOM = -5.0
"""eV; of the most stable state where hops are made up."""


class Known:
    """Costs that are known beforehand."""

    def __init__(self, bounds: dict[str, float], true: dict[str, float], over: float, lost: set[str]) -> None:
        """Take bounds and levels of hops; ways known are ``over`` higher; the hops ``lost`` cannot be computed."""
        self.bounds, self.true, self.over, self.lost = bounds, true, over, lost

    def bound(self, hop: Hop) -> float:
        return self.bounds[hop.hop]

    def ceiling(self, hop: Hop) -> float:
        return self.true[hop.hop] + self.over

    def level(self, hop: Hop) -> float:
        if hop.hop in self.lost:
            raise PhysicsError(LOST)
        return self.true[hop.hop]


def ways(network: Network) -> Ways[Hop]:
    floors = {hop.hop: floor(network, hop) for hop in network.hops}
    return Ways(network.hops, floors, 0.0, bridges(network))


@pytest.mark.parametrize("which", ["network", "split"])
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_the_hops_that_decide_give_the_barriers_of_all(request: pytest.FixtureRequest, which: str, data: st.DataObject) -> None:
    """Whatever saddles and bounds are, the barriers are those of all hops, proved unless a hop fails, which leaves a range."""
    network: Network = request.getfixturevalue(which)
    true, bounds, lost = {}, {}, set()
    for hop in network.hops:
        rise = data.draw(st.floats(0, 1), label=hop.hop)
        true[hop.hop] = floor(network, hop) + rise
        bounds[hop.hop] = floor(network, hop) + rise * data.draw(st.floats(0, 1))
        if data.draw(st.integers(0, 4)) == 0:
            lost.add(hop.hop)
    found = search(ways(network), Known(bounds, true, data.draw(st.floats(0, 0.3)), lost))
    barriers = levels(network, ALL, true).along
    result = percolation(network, ALL, found.highest, found.least)
    for route, barrier in zip(found.routes, barriers, strict=True):
        assert result.percolation_barrier_ev[route.axis] == pytest.approx(route.barrier_ev)
        assert result.least_possible_ev[route.axis] == pytest.approx(route.lower_bound_ev)
        assert route.barrier_ev is not None
        assert route.lower_bound_ev - 1e-9 <= barrier <= route.barrier_ev + 1e-9
        assert route.proved or found.failed


def test_hops_that_cannot_matter_are_left_out(network: Network) -> None:
    """Where hops between the lower states cost less than the higher states, hops from those are never computed."""
    low = [hop.hop for hop in network.hops if network.places[hop.initial].state == network.places[hop.final].state == 0]
    assert len(low) < len(network.hops)
    true = {hop.hop: 0.1 if hop.hop in low else 0.3 for hop in network.hops}
    found = search(ways(network), Known({hop.hop: floor(network, hop) for hop in network.hops}, true, 1.0, set()))
    assert set(found.levels) <= set(low)
    assert all(route.proved and route.barrier_ev == pytest.approx(0.1) for route in found.routes)


def test_shared_sites_are_left_by_either_ion(split: Network) -> None:
    """Places of one shared site are joined at no cost but that of the state: the best path needs that, and is worse without."""
    alone = {hop.hop: levels(split, DIRECT, {hop.hop: 0.4}).along for hop in split.hops}
    joined = {hop.hop: levels(split, ALL, {hop.hop: 0.4}).along for hop in split.hops}
    needing = next(name for name in alone if np.isinf(alone[name]).all() and np.isfinite(joined[name]).all())
    true = {hop.hop: 0.4 if hop.hop == needing else 0.9 for hop in split.hops}
    costs = Known(dict(ways(split).floors), true, 1.0, set())
    with_bridges, without = search(ways(split), costs), search(replace(ways(split), bridges=()), costs)
    assert [route.barrier_ev for route in with_bridges.routes] == pytest.approx([0.4] * 3)
    assert [route.barrier_ev for route in without.routes] == pytest.approx([0.9] * 3)
    assert all(route.proved for route in with_bridges.routes)
    assert needing in with_bridges.levels


class Made(AddedIonHops):
    """Hops whose levels rise with their number above the most stable state, at -5 eV; some have none, or lead another way."""

    failing: ClassVar[set[str]] = set()
    elsewhere: ClassVar[set[str]] = set()

    def bound(self, hop: Hop) -> float:  # noqa: ARG002 - nothing is known
        return BOTTOM

    def ceiling(self, hop: Hop) -> float:
        raise PhysicsError(hop.hop)

    def level(self, hop: Hop) -> float:
        self.begun.add(hop.hop)
        if hop.hop in self.failing:
            raise PhysicsError(LOST)
        level = BOTTOM + 0.3 + 0.1 * int(hop.hop.removeprefix("hop_"))
        self._add(hop, DOWNHILL, level - BOTTOM, level - BOTTOM)
        if hop.hop in self.elsewhere:
            self.other_ways[hop.hop] = "a chain of knock-offs"
        return level


@pytest.fixture
def deep(network: Network, monkeypatch: pytest.MonkeyPatch) -> Network:
    """The states at their energies in cells, hops made up."""
    monkeypatch.setattr("seiflow.properties.interstitial_migration.planar.AddedIonHops", Made)
    monkeypatch.setattr(Made, "failing", set())
    monkeypatch.setattr(Made, "elsewhere", set())
    return replace(network, states=tuple(replace(state, energy_ev=state.energy_ev + BOTTOM) for state in network.states))


def test_levels_count_from_the_most_stable_state(deep: Network) -> None:
    """The first class of hops decides at 0.4 eV, whatever the energy of the cell."""
    computed = deciding_hops(deep, Engine(EMT()), SETTINGS)
    assert percolation(deep, ALL, computed.highest_ev, computed.least_ev).percolation_barrier_3d_ev == pytest.approx(0.4)
    assert computed.levels_ev == computed.highest_ev
    assert set(computed.attempts) == set(computed.levels_ev)
    assert not computed.warnings


def test_hops_that_fail_count_among_the_most_hops(deep: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hop for whose saddle was looked in vain has cost as much as one that was found."""
    monkeypatch.setattr(Made, "failing", {hop.hop for hop in deep.hops})
    computed = deciding_hops(deep, Engine(EMT()), SETTINGS.model_copy(update={"most_hops": 2}))
    assert list(computed.attempts.values()) == [LOST, LOST]
    assert [text.split(";")[0] for text in computed.warnings] == [f"Along {axis} no path is known" for axis in "abc"]


def test_way_other_than_the_hop_counts_for_all_hops_only(deep: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """A direct hop that is a chain of knock-offs has a level, but no barrier of its own."""
    monkeypatch.setattr(Made, "elsewhere", {"hop_1"})
    computed = deciding_hops(deep, Engine(EMT()), SETTINGS)
    assert computed.highest_ev["hop_1"] == pytest.approx(0.4)
    assert "hop_1" not in computed.levels_ev
    assert computed.attempts["hop_1"] == "a chain of knock-offs"


def test_hops_that_form_no_path_are_told(deep: Network) -> None:
    """Without hops no bound is told, for there is none."""
    computed = deciding_hops(replace(deep, hops=()), Engine(EMT()), SETTINGS)
    assert computed.warnings == tuple(f"Along {axis} the hops form no path, whatever they cost." for axis in "abc")


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
