"""Interstitial hops: stable interstitials, direct hops and knock-offs, their ends, barriers and best paths."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.geometry import get_distances
from ase.io import read, write
from ase.spacegroup import crystal

from seiflow.cli import main
from seiflow.engine import Engine
from seiflow.errors import InputError
from seiflow.properties.interstitial_migration.ends import hop_ends
from seiflow.properties.interstitial_migration.ground import in_crystal
from seiflow.properties.interstitial_migration.lattice import Configuration, Lattice
from seiflow.properties.interstitial_migration.migration import interstitial_migration
from seiflow.properties.interstitial_migration.network import DIRECT, KNOCK_OFF, SHARED, Hop, Network, hop_network
from seiflow.properties.interstitial_migration.percolation import ALL, levels, next_hop, percolation
from seiflow.properties.interstitial_migration.record import InterstitialMigration
from seiflow.properties.interstitial_migration.states import State
from seiflow.properties.migration.hop import barrier_between
from seiflow.properties.migration.symmetry import site_symmetry
from seiflow.records import read_record
from seiflow.report.collect import Target, collect
from seiflow.report.quantities import quantities
from seiflow.report.table import format_table
from seiflow.settings import InterstitialMigrationSettings
from seiflow.shelves import phase_shelf
from seiflow.structures.recipes import PhaseRecipe

A = 3.6
SETTINGS = InterstitialMigrationSettings(image_distance=7.0, cutoff=1.9, sites=1)
"""Only the knock-offs in which both ions go half a lattice constant."""


def lattice_of(atoms: Atoms, mobile: str) -> Lattice:
    return Lattice(atoms, site_symmetry(atoms), mobile, np.flatnonzero(atoms.symbols == mobile))


def ideal(lattice: Lattice, position: object, energy: float = 0.0, name: str = "state_1") -> State:
    """A state in which nothing has moved."""
    here = Configuration(np.zeros((len(lattice.atoms), 3)), np.asarray(position, dtype=float))
    return State(name, ("interstitial_1",), energy, 0.0, here, lattice.shared_site(here))


@pytest.fixture(scope="module")
def octahedral() -> Network:
    """The octahedral sites of a face-centred crystal."""
    lattice = lattice_of(bulk("Cu", a=A, cubic=True).repeat(2), "Cu")
    return hop_network(lattice, (ideal(lattice, [A / 2, 0, 0]),), 2.7)


@pytest.fixture(scope="module")
def recipe() -> PhaseRecipe:
    return phase_shelf().get("Cu").model_copy(update={"mobile": "Cu"})


@pytest.fixture(scope="module")
def relaxed() -> Atoms:
    found = Engine(EMT()).relax_crystal(bulk("Cu", cubic=True), fmax=0.002, stress_gpa=0.01)
    found.set_constraint()
    found.calc = None
    return found


@pytest.fixture(scope="module")
def copper(relaxed: Atoms, recipe: PhaseRecipe) -> tuple[InterstitialMigration, list[Atoms]]:
    return interstitial_migration(in_crystal(relaxed, recipe, SETTINGS), Engine(EMT()), SETTINGS)


def per_place(network: Network, hop: Hop) -> float:
    """How many hops of a class leave one place."""
    return 2 * len(hop.edges) / len(network.places)


# Network


def test_octahedral_sites_form_a_face_centred_net(octahedral: Network) -> None:
    """Each octahedral site has 12 neighbours at a/√2, and may push 6 atoms on to 4 sites sideways or to one straight ahead."""
    found = {(hop.mechanism, round(hop.distance_angstrom / A, 3)): per_place(octahedral, hop) for hop in octahedral.hops}
    assert found == {(DIRECT, 0.707): 12, (KNOCK_OFF, 0.707): 24, (KNOCK_OFF, 1.0): 6}
    assert len(octahedral.places) == len(octahedral.lattice.atoms)
    assert all(hop.exchanging for hop in octahedral.hops)


def test_antifluorite_has_one_short_hop_of_each_mechanism() -> None:
    """An ion in the cube of an antifluorite pushes each of 8 neighbours on to 3 cubes, or goes itself to one of 12."""
    atoms = crystal(["Li", "O"], [(0.25, 0.25, 0.25), (0, 0, 0)], spacegroup=225, cellpar=[4.65, 4.65, 4.65, 90, 90, 90])
    lattice = lattice_of(atoms.repeat(2), "Li")
    network = hop_network(lattice, (ideal(lattice, [4.65 / 2, 0, 0]),), 3.5)
    assert [(hop.mechanism, per_place(network, hop)) for hop in network.hops] == [(KNOCK_OFF, 24), (DIRECT, 12)]
    assert [hop.longest_step_angstrom for hop in network.hops] == pytest.approx([4.65 * 3**0.5 / 4, 4.65 / 2**0.5])


def test_bonds_join_places_at_the_distance_of_their_hop(octahedral: Network) -> None:
    """Every bond of a class spans the same distance, and none is listed twice, in either direction."""
    cell = octahedral.lattice.atoms.cell.array
    for hop in octahedral.hops:
        for first, last, offset in hop.edges:
            step = octahedral.places[last].position + np.array(offset) @ cell - octahedral.places[first].position
            assert np.linalg.norm(step) == pytest.approx(hop.distance_angstrom)
        if hop.mechanism == DIRECT:
            assert not {(last, first, tuple(-np.array(offset))) for first, last, offset in hop.edges} & set(hop.edges)


def test_percolation_of_the_octahedral_net_is_that_of_its_lowest_hop(octahedral: Network) -> None:
    """Each class of hops carries an ion in three dimensions by itself, so all together have the lowest of their saddles."""
    saddles = {hop.hop: 0.3 + 0.1 * number for number, hop in enumerate(octahedral.hops)}
    for name in (DIRECT, KNOCK_OFF):
        own = min(level for hop, level in saddles.items() if mechanism(octahedral, hop) == name)
        found = percolation(octahedral, name, saddles)
        assert list(found.percolation_barrier_ev.values()) == pytest.approx([own] * 3)
        assert found.percolation_barrier_3d_ev == pytest.approx(own)
    assert percolation(octahedral, ALL, saddles).percolation_barrier_3d_ev == pytest.approx(0.3)
    assert percolation(octahedral, ALL, saddles).least_possible_3d_ev == pytest.approx(0.3)
    assert percolation(octahedral, ALL, {}).percolation_barrier_3d_ev is None
    assert percolation(octahedral, ALL, {}).least_possible_3d_ev == pytest.approx(0.0)


def mechanism(network: Network, name: str) -> str:
    return next(hop.mechanism for hop in network.hops if hop.hop == name)


def test_hops_are_wanted_from_short_to_long_until_each_mechanism_percolates(octahedral: Network) -> None:
    """The knock-offs come first, then the direct hop; one that failed is replaced by the next that restores the net."""
    done: dict[str, float] = {}
    order = []
    while (hop := next_hop(octahedral, done, (), None)) is not None:
        order.append(hop.mechanism)
        done[hop.hop] = 1.0
    assert order == [KNOCK_OFF, KNOCK_OFF, DIRECT]
    assert next_hop(octahedral, {}, {hop.hop for hop in octahedral.hops}, None) is None
    short = next_hop(octahedral, {}, (), 1.0)
    assert short is None


def test_hop_from_a_high_state_is_left_out() -> None:
    """A hop whose end lies above the barriers already found cannot lower them and is not computed."""
    lattice = lattice_of(bulk("Cu", a=A, cubic=True).repeat(2), "Cu")
    states = (ideal(lattice, [A / 2, 0, 0]), ideal(lattice, [A / 4] * 3, 2.0, "state_2"))
    network = hop_network(lattice, states, 2.7)
    within = [hop for hop in network.hops if network.places[hop.initial].state == network.places[hop.final].state == 0]
    done = {hop.hop: 0.5 for hop in within}
    assert {hop.hop for hop in within} < {hop.hop for hop in network.hops}
    assert levels(network, KNOCK_OFF, done).dimensions[2] == pytest.approx(0.5)
    assert next_hop(network, done | {hop.hop: 0.5 for hop in network.hops if hop.mechanism == DIRECT}, (), None) is None


def test_either_ion_of_a_shared_site_may_leave_but_not_as_the_added_one() -> None:
    """A split interstitial has two places; knock-offs pass from one to the other, direct hops do not."""
    lattice = lattice_of(bulk("Cu", a=A, cubic=True).repeat(2), "Cu")
    shifted = np.zeros((len(lattice.atoms), 3))
    shifted[0, 0] = 1.1
    split = Configuration(shifted, np.array([-1.1, 0.0, 0.0]))
    network = hop_network(lattice, (State("state_1", ("interstitial_1",), 0.0, 0.0, split, lattice.shared_site(split)),), 2.6)
    assert network.states[0].shared == 0
    assert len(network.places) == 6 * len(lattice.atoms)
    assert len(network.bridges) == len(network.places)
    assert {hop.mechanism for hop in network.hops} == {SHARED}
    for first, last, offset in network.bridges:
        step = network.places[last].position + np.array(offset) @ lattice.atoms.cell.array - network.places[first].position
        assert np.linalg.norm(step) == pytest.approx(2.2)
    shared = {hop.hop: hop.longest_step_angstrom for hop in network.hops if hop.mechanism == SHARED}
    assert levels(network, KNOCK_OFF, shared).dimensions <= levels(network, DIRECT, shared).dimensions


# Ends


def test_knock_off_ends_in_the_interstitial_at_its_end_with_ions_relabelled(octahedral: Network) -> None:
    """The final structure is the state at the final place, the pushed ion being the added one and the other in its stead."""
    lattice = octahedral.lattice
    for hop in octahedral.hops:
        ends = hop_ends(octahedral, hop)
        target = lattice.structure(octahedral.places[hop.final].configuration)
        distances = get_distances(ends.final.positions, target.positions, cell=lattice.atoms.cell, pbc=True)[1]
        assert distances.min(axis=1).max() < 1e-6
        moved = np.flatnonzero(np.linalg.norm(ends.final.positions - ends.initial.positions, axis=1) > 0.1).tolist()
        added = len(lattice.atoms)
        assert moved == [added] if hop.pushed is None else moved == [hop.pushed, added]
        assert ends.mover == added
        for swap in ends.swaps:
            image = np.empty_like(ends.initial.positions)
            image[swap.permutation] = ends.initial.positions @ swap.rotation.T
            gaps = lattice.gaps(image - ends.final.positions, (image - ends.final.positions)[0])
            assert np.abs(gaps).max() < 1e-6


def test_ions_that_would_meet_half_way_are_no_symmetric_hop() -> None:
    """Where the straight lines of two ions cross, the search does not start from their middle."""
    lattice = lattice_of(bulk("Cu", a=A, cubic=True).repeat(2), "Cu")
    network = hop_network(lattice, (ideal(lattice, [A / 2, 0, 0]),), 4.0)
    straight = [hop for hop in network.hops if hop.mechanism == DIRECT and round(hop.distance_angstrom / A, 3) == 1]
    assert straight
    assert all(hop.exchanging and not hop_ends(network, hop).swaps for hop in straight)


# Barriers


def test_state_is_relaxed_to_its_symmetry(copper: tuple[InterstitialMigration, list[Atoms]]) -> None:
    """The interstitial relaxed from a shaken start ends at the octahedral site, as many times as there are such sites."""
    result, frames = copper
    (state,) = result.states
    assert not state.shares_a_site
    assert state.multiplicity == result.atoms - 1
    assert np.allclose(np.mod(4 * np.array(state.position), 1.0), 0, atol=1e-3) or np.allclose(
        np.mod(4 * np.array(state.position) + 0.5, 1.0), 0.5, atol=1e-3
    )
    assert Engine(EMT()).evaluate(frames[0]).energy == pytest.approx(state.cell_energy_ev, abs=1e-6)


def test_forward_less_backward_is_the_difference_of_the_ends(copper: tuple[InterstitialMigration, list[Atoms]]) -> None:
    """Both barriers are counted to one saddle, which has one negative mode; symmetric hops have equal ones."""
    result, _ = copper
    assert [hop.mechanism for hop in result.hops] == [KNOCK_OFF, KNOCK_OFF]
    for hop in result.hops:
        assert hop.barrier is not None
        ends = hop.barrier.final_energy_ev - hop.barrier.initial_energy_ev
        assert hop.barrier.barrier_forward_ev - hop.barrier.barrier_backward_ev == pytest.approx(ends)
        assert hop.barrier.negative_modes == 1
        assert hop.symmetric
        assert hop.barrier.barrier_forward_ev == pytest.approx(hop.barrier.barrier_backward_ev)


def test_percolation_is_that_of_the_hops_and_says_what_is_missing(copper: tuple[InterstitialMigration, list[Atoms]]) -> None:
    """Knock-offs percolate over the lower of their saddles; direct hops were not asked for and have no barrier."""
    result, _ = copper
    barriers = [hop.barrier.barrier_forward_ev for hop in result.hops if hop.barrier]
    assert result.knock_off.percolation_barrier_3d_ev == pytest.approx(min(barriers))
    assert result.all == result.knock_off
    assert result.direct.percolation_barrier_3d_ev is None
    assert any("direct hops" in warning for warning in result.warnings)
    assert any(f"{len(result.not_computed)} hops" in warning for warning in result.warnings)
    assert result.charge_state == "neutral cell"


def test_equivalent_hops_have_one_barrier(copper: tuple[InterstitialMigration, list[Atoms]], relaxed: Atoms) -> None:
    """The image of a knock-off under a rotation, run by itself without using its symmetry, has the same barrier."""
    result, frames = copper
    lattice = lattice_of(relaxed.repeat(2), "Cu")
    here = lattice.configuration(frames[0])
    operation = next(
        number
        for number, rotation in enumerate(lattice.symmetry.rotations)
        if np.linalg.norm(rotation - np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])) < 1e-6
    )
    turned = lattice.carried(operation, here)
    state = State("state_1", ("interstitial_1",), result.states[0].cell_energy_ev, 0.0, turned, None)
    network = hop_network(lattice, (state,), 1.9)
    ends = replace(hop_ends(network, network.hops[0]), swaps=())
    barrier, _ = barrier_between(ends, "turned", network.hops[0].distance_angstrom, Engine(EMT()), SETTINGS)
    first = result.hops[0]
    assert network.hops[0].distance_angstrom == pytest.approx(first.distance_angstrom, abs=1e-3)
    assert first.barrier is not None
    assert barrier.barrier_forward_ev == pytest.approx(first.barrier.barrier_forward_ev, abs=2e-3)


def test_phase_without_mobile_ion_is_refused(relaxed: Atoms) -> None:
    """There is nothing to add to a phase whose recipe names no mobile ion."""
    with pytest.raises(InputError, match="no mobile species"):
        in_crystal(relaxed, phase_shelf().get("Cu").model_copy(update={"mobile": None}), SETTINGS)


@pytest.mark.parametrize("limit", ["cutoff", "longest_step"])
def test_limit_that_leaves_no_hop_is_refused(relaxed: Atoms, recipe: PhaseRecipe, limit: str) -> None:
    """An empty list of hops is an error that names the setting, no record without barriers."""
    settings = SETTINGS.model_copy(update={limit: 0.1})
    with pytest.raises(InputError, match=rf"no hop with steps up to 0\.10? Å.*interstitial_migration\.{limit}"):
        interstitial_migration(in_crystal(relaxed, recipe, settings), Engine(EMT()), settings)


def test_command_writes_a_record_that_the_table_shows(tmp_path: Path, relaxed: Atoms) -> None:
    """The command of the rule writes record and structures, and the report reads every number of the record."""
    folder = tmp_path / "results/Cu/emt"
    folder.mkdir(parents=True)
    write(folder / "relaxed.extxyz", relaxed)
    shelf = Path(__file__).parents[1]
    arguments = ["--structure", str(shelf / "structures/phases/Cu.yaml"), "--calculator", str(shelf / "calculators/emt.yaml")]
    arguments += ["--settings", SETTINGS_JSON, "--frames", str(folder / "interstitial_migration.extxyz")]
    arguments += ["--relaxed", str(folder / "relaxed.extxyz"), "--output", str(folder / "interstitial_migration.json")]
    assert main(["interstitial-migration", *arguments]) == 0
    record = read_record(folder / "interstitial_migration.json")
    frames = read(folder / "interstitial_migration.extxyz", ":")
    assert [frame.info.get("frame") for frame in frames] == [None, "initial", "saddle", "final"]
    found = collect(tmp_path / "results", [Target("Cu", "emt", "interstitial_migration")])
    assert found.missing == ()
    numbers = {quantity.key: quantity for quantity in quantities(found.cases[0])}
    assert numbers["knock_off_percolation_3d_ev"].value == record["knock_off"]["percolation_barrier_3d_ev"]
    (hop,) = record["hops"]  # of several as long as each other rounding decides which is first
    assert numbers[f"interstitial_barrier_forward_ev[{hop['hop']} knock-off]"].unit == "eV"
    assert "Interstitial knock-off" in format_table(found, {})


SETTINGS_JSON = '{"interstitial_migration": {"image_distance": 7, "cutoff": 1.9, "sites": 1, "most_hops": 1}}'
