"""The search for the hops that decide, against all hops computed; bounds of hops; hops at a boundary of copper."""

import dataclasses
import itertools
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write
from ase.mep import NEB
from ase.optimize import BFGS
from hypothesis import given, settings
from hypothesis import strategies as st

from seiflow.cli import main
from seiflow.engine import Engine
from seiflow.errors import ConvergenceError, InputError, PhysicsError
from seiflow.properties.migration.climb import PATH_ERROR, interpolated
from seiflow.properties.migration.crossing import highest_of_path
from seiflow.properties.migration.dividing import DividingPlane, divide
from seiflow.properties.migration.fitness import refuse_hops
from seiflow.properties.migration.hop import hop_barrier
from seiflow.properties.migration.larger import in_larger_supercell
from seiflow.properties.migration.network import Hop, Network, Site, hop_network, make_supercell
from seiflow.properties.migration.percolation import Edge, best_path, thresholds
from seiflow.properties.migration.planar import PlanarMigration, planar_migration, planar_network, vacancy_ways
from seiflow.properties.migration.planar_hops import ONE_STATE
from seiflow.properties.migration.search import search
from seiflow.properties.migration.states import Vacancy, hop_ends, relax_vacancy, vacancy_in
from seiflow.properties.migration.symmetry import site_symmetry
from seiflow.settings import MigrationSettings, PropertySettings
from seiflow.shelves import phase_shelf
from seiflow.structures.bulk import build_crystal
from seiflow.structures.defect_sites import DefectSupercell, defect_supercell

OFFSETS = [offset for offset in itertools.product((-1, 0, 1), repeat=3) if any(offset)]
SETTINGS = MigrationSettings(image_distance=5.0, fmax=0.01)

LOST = "no saddle"

levels = st.floats(0, 1, allow_nan=False).map(lambda value: round(value, 3))


@st.composite
def networks(draw: st.DrawFn) -> tuple[Network, dict[str, float], dict[str, float], dict[str, float]]:
    """Hops between a few sites with the energies of the sites, a sharper bound of each hop and its true level."""
    sites = draw(st.integers(1, 4))
    energies = {f"s{site}": draw(levels) for site in range(sites)}
    hops, bounds, true = [], {}, {}
    for number in range(draw(st.integers(3, 9))):
        first, second = draw(st.integers(0, sites - 1)), draw(st.integers(0, sites - 1))
        name, ends = f"h{number}", (f"s{first}", f"s{second}")
        edge = (first, second, draw(st.sampled_from(OFFSETS)))
        hops.append(Hop(name, *edge, (1.0, 0.0, 0.0), draw(st.floats(2, 3)), *ends, 1, symmetric=False, edges=(edge,)))
        bounds[name] = max(energies[end] for end in ends) + draw(levels)
        true[name] = bounds[name] + draw(levels)
    places = tuple(Site(f"s{site}", site, 1) for site in range(sites))
    return Network("X", np.eye(3, dtype=int), sites, 9.0, 3.0, places, tuple(hops)), energies, bounds, true


class Known:
    """Costs that are known beforehand, and which hops were computed."""

    def __init__(self, bounds: dict[str, float], true: dict[str, float], over: float = 0.0, lost: str = "") -> None:
        """Take bounds and levels of hops; paths known are ``over`` higher; the hop ``lost`` cannot be computed."""
        self.bounds, self.true, self.over, self.lost = bounds, true, over, lost
        self.tried = 0

    def bound(self, hop: Hop) -> float:
        return self.bounds[hop.hop]

    def ceiling(self, hop: Hop) -> float:
        return self.true[hop.hop] + self.over

    def level(self, hop: Hop) -> float:
        self.tried += 1
        if hop.hop == self.lost:
            raise PhysicsError(LOST)
        return self.true[hop.hop]


def along(network: Network, energies: dict[str, float], true: dict[str, float]) -> list[float | None]:
    lowest = min(energies.values())
    edges = [Edge(*edge, true[hop.hop] - lowest) for hop in network.hops for edge in hop.edges]
    found = thresholds(range(len(network.sites)), edges).along
    return [level if np.isfinite(level) else None for level in found]


@given(networks(), levels)
@settings(deadline=None)
def test_search_finds_what_all_hops_together_give(
    case: tuple[Network, dict[str, float], dict[str, float], dict[str, float]], over: float
) -> None:
    """The barriers are those of the network with every hop computed, and are proved, however good the ceilings are."""
    network, energies, bounds, true = case
    wanted = along(network, energies, true)
    found = search(vacancy_ways(network, energies), Known(bounds, true, over))
    assert [route.barrier_ev for route in found.routes] == pytest.approx(wanted, abs=1e-12)
    assert all(route.proved for route in found.routes if route.barrier_ev is not None)


@given(networks(), st.data())
@settings(deadline=None)
def test_estimates_that_contradict_each_other_end_the_search_with_a_range_that_holds(
    case: tuple[Network, dict[str, float], dict[str, float], dict[str, float]], data: st.DataObject
) -> None:
    """Saddles above a known way and ways below a bound: nothing is proved that a known way disproves, and the search ends."""
    network, energies, bounds, true = case
    ways = {hop.hop: data.draw(levels) + max(energies[hop.site_initial], energies[hop.site_final]) for hop in network.hops}

    class Contradictory(Known):
        def ceiling(self, hop: Hop) -> float:
            return ways[hop.hop]

    found = search(vacancy_ways(network, energies), Contradictory(bounds, true))
    best = {name: min(true[name], found.ceilings.get(name, np.inf)) for name in true}
    for route, wanted in zip(found.routes, along(network, energies, best), strict=True):
        if route.barrier_ev is not None and wanted is not None:
            assert route.lower_bound_ev <= route.barrier_ev + 1e-12
            assert not route.proved or route.barrier_ev <= wanted + 1e-12


@given(networks(), st.integers(0, 3), levels)
@settings(deadline=None)
def test_range_of_an_unfinished_search_holds_the_truth(
    case: tuple[Network, dict[str, float], dict[str, float], dict[str, float]], most: int, over: float
) -> None:
    """After a few hops only, or none, the barrier lies between the bound and what computed hops and known ways give."""
    network, energies, bounds, true = case
    costs = Known(bounds, true, over)
    found = search(vacancy_ways(network, energies), costs, lambda: costs.tried < most)
    assert len(found.levels) <= most
    for route, wanted in zip(found.routes, along(network, energies, true), strict=True):
        if wanted is not None:
            assert route.barrier_ev is not None
            assert route.lower_bound_ev <= wanted + 1e-12 < route.barrier_ev + 2e-12


@given(networks(), st.integers(0, 8), levels)
@settings(deadline=None)
def test_hop_that_fails_leaves_a_range_and_is_told(
    case: tuple[Network, dict[str, float], dict[str, float], dict[str, float]], lost: int, over: float
) -> None:
    """A hop that cannot be computed is listed with its reason if it was needed, and the truth stays within the range."""
    network, energies, bounds, true = case
    name = f"h{lost % len(network.hops)}"
    found = search(vacancy_ways(network, energies), Known(bounds, true, over, name))
    assert [(failed.hop, failed.reason) for failed in found.failed] in ([], [(name, LOST)])
    for route, wanted in zip(found.routes, along(network, energies, true), strict=True):
        if wanted is not None:
            assert route.lower_bound_ev <= wanted + 1e-12
            assert route.barrier_ev is None or route.barrier_ev >= wanted - 1e-12


@given(networks())
@settings(deadline=None)
def test_best_path_is_closed_and_as_high_as_its_threshold(
    case: tuple[Network, dict[str, float], dict[str, float], dict[str, float]],
) -> None:
    """The hops of a path join up, lead into another cell along its axis, and the highest is at the threshold."""
    network, _, _, true = case
    edges = [Edge(*edge, true[hop.hop]) for hop in network.hops for edge in hop.edges]
    for axis, level in enumerate(thresholds(range(len(network.sites)), edges).along):
        if not np.isfinite(level):
            continue
        path = best_path(edges, axis, level)
        walked = np.zeros(3, dtype=int)
        ends = []
        for step in path:
            edge, sign = edges[step.edge], 1 if step.forward else -1
            ends.append((edge.first, edge.second)[::sign])
            walked += sign * np.array(edge.offset)
        assert all(before[1] == after[0] for before, after in itertools.pairwise([*ends, ends[0]]))
        assert walked[axis] != 0
        assert max(edges[step.edge].level for step in path) == level


def test_path_that_is_not_there_is_an_error() -> None:
    """Where no path leads along a vector, that is told."""
    with pytest.raises(PhysicsError, match="no path leads along cell vector c"):
        best_path([Edge(0, 0, (1, 0, 0), 0.1)], 2, 1.0)


def test_unknown_hops_are_avoided_by_a_path() -> None:
    """Of two paths at one level the one of known hops is taken."""
    edges = [Edge(0, 0, (1, 0, 0), 0.1), Edge(0, 1, (0, 0, 0), 0.1), Edge(1, 0, (1, 0, 0), 0.1)]
    assert len(best_path(edges, 0, 0.1)) == 1
    assert {step.edge for step in best_path(edges, 0, 0.1, unknown={0})} == {1, 2}


@cache
def copper() -> Atoms:
    """Return copper relaxed with EMT."""
    atoms = Engine(EMT()).relax_crystal(build_crystal(phase_shelf().get("Cu")), fmax=1e-4, stress_gpa=1e-3)
    atoms.set_constraint()
    return atoms


@cache
def copper_hop() -> tuple[Atoms, Hop, dict[str, Vacancy]]:
    network = hop_network(copper(), "Cu", SETTINGS)
    supercell = make_supercell(copper(), network.supercell)
    vacancy = relax_vacancy(supercell, network.sites[0], Engine(EMT()), SETTINGS)
    return supercell, network.hops[0], {vacancy.site: vacancy}


def test_vacancy_and_migration_energy_of_copper_by_plain_ase() -> None:
    """Formation and migration energy of the vacancy of copper agree with ASE's own optimiser, on the midpoint, to 1 meV."""
    supercell, hop, vacancies = copper_hop()
    barrier, _ = hop_barrier(supercell, hop, vacancies, site_symmetry(supercell), Engine(EMT()), SETTINGS)
    atoms = supercell.copy()
    atoms.calc = EMT()
    perfect = atoms.get_potential_energy()
    empty = supercell.copy()
    del empty[hop.final]
    empty.calc = EMT()
    BFGS(empty, logfile=None).run(fmax=0.002)
    middle = supercell.copy()
    middle.positions[hop.initial] += np.array(hop.vector_angstrom) / 2
    del middle[hop.final]
    middle.calc = EMT()
    BFGS(middle, logfile=None).run(fmax=0.002)
    formation = empty.get_potential_energy() - perfect * len(empty) / len(supercell)
    own = next(iter(vacancies.values())).energy_ev - perfect * len(empty) / len(supercell)
    assert own == pytest.approx(formation, abs=1e-3)
    assert barrier.barrier_forward_ev == pytest.approx(middle.get_potential_energy() - empty.get_potential_energy(), abs=1e-3)


def test_plane_in_the_middle_of_a_symmetric_hop_bounds_it_tightly() -> None:
    """The least energy on the plane halfway is at most the saddle's and within 10 meV of it."""
    supercell, hop, vacancies = copper_hop()
    symmetry = site_symmetry(supercell)
    barrier, _ = hop_barrier(supercell, hop, vacancies, symmetry, Engine(EMT()), SETTINGS)
    bound = divide(hop_ends(supercell, hop, vacancies, symmetry), Engine(EMT())).bound
    assert barrier.saddle_energy_ev - 0.01 <= bound <= barrier.saddle_energy_ev + 1e-6


def test_relaxation_on_a_plane_holds_the_atom_there() -> None:
    """The place of the atom along the normal, relative to the centre of all others, does not change."""
    atoms = copper().repeat(2)
    atoms.rattle(0.05, seed=0)
    normal = np.array([0.6, 0.8, 0.0])

    def place(structure: Atoms) -> float:
        return float((structure.positions[3] - np.delete(structure.positions, 3, axis=0).mean(axis=0)) @ normal)

    atoms.set_constraint(DividingPlane(3, normal, len(atoms)))
    relaxed = Engine(EMT()).relax(atoms, fmax=0.01)
    assert place(relaxed) == pytest.approx(place(atoms), abs=1e-8)
    assert not np.allclose(relaxed.positions, atoms.positions, atol=1e-2)


@cache
def crystal_as_boundary() -> tuple[Atoms, DefectSupercell, dict[str, Vacancy]]:
    """Return the crystal with two planes drawn into it, as if it were a boundary: all is known from the crystal."""
    atoms = copper().copy()
    atoms.info["planes"] = [0.25, 0.75]
    cell = defect_supercell(atoms, species="Cu", image_distance=5.0)
    vacancies = {}
    for site in cell.sites:
        empty = cell.atoms.copy()
        del empty[site.index]
        relaxed = Engine(EMT()).relax(empty, fmax=SETTINGS.fmax)
        vacancies[site.name] = vacancy_in(cell.atoms, site.name, site.index, relaxed)
    return atoms, cell, vacancies


def as_boundary(settings: MigrationSettings = SETTINGS) -> PlanarMigration:
    atoms, cell, vacancies = crystal_as_boundary()
    network = planar_network(atoms, cell, "Cu", settings)
    stay = dict.fromkeys(vacancies, True)
    return planar_migration(cell, network, vacancies, stay, [], Engine(EMT()), settings)[0]


def test_crystal_taken_for_a_boundary_has_the_barrier_of_the_crystal() -> None:
    """Along and across planes drawn into a crystal the barrier is that of its hop, proved."""
    supercell, hop, vacancies = copper_hop()
    barrier, _ = hop_barrier(supercell, hop, vacancies, site_symmetry(supercell), Engine(EMT()), SETTINGS)
    found = as_boundary()
    for axis in "abc":
        assert found.percolation_barrier_ev[axis] == pytest.approx(barrier.barrier_forward_ev, abs=0.03)
        assert found.percolation_lower_bound_ev[axis] == found.percolation_barrier_ev[axis]
    assert not found.warnings or all("certain" in warning for warning in found.warnings)


def test_cutoff_too_short_to_percolate_is_refused_with_the_one_that_does() -> None:
    """A cut-off below the distance of neighbours is an error that names a longer one."""
    with pytest.raises(InputError, match=r"the shortest cut-off that does is 2\.5"):
        as_boundary(SETTINGS.model_copy(update={"cutoff": 2.0}))


@cache
def layered() -> tuple[Atoms, DefectSupercell]:
    """Return copper with every fourth (001) layer of gold, and its supercell: a boundary with hops whose ends differ."""
    atoms = copper().repeat((1, 1, 2))
    atoms.symbols[atoms.positions[:, 2] < 0.1] = "Au"
    atoms.info["planes"] = [0.0]
    return atoms, defect_supercell(atoms, species="Cu", image_distance=5.0)


@cache
def layered_migration() -> tuple[PlanarMigration, Network, dict[str, Vacancy]]:
    """Return the barriers of the layers, their hops, and the vacancies, relaxed by ASE."""
    atoms, cell = layered()
    network = planar_network(atoms, cell, "Cu", SETTINGS)
    vacancies = {}
    for site in cell.sites:
        empty = cell.atoms.copy()
        del empty[site.index]
        relaxed = Engine(EMT()).attach(empty)
        assert BFGS(relaxed, logfile=None).run(fmax=0.005, steps=200)
        vacancies[site.name] = vacancy_in(cell.atoms, site.name, site.index, relaxed)
    stay = dict.fromkeys(vacancies, True)
    return planar_migration(cell, network, vacancies, stay, [], Engine(EMT()), SETTINGS)[0], network, vacancies


def test_forward_less_backward_barrier_is_the_difference_of_the_ends() -> None:
    """For every hop computed at a boundary, to 1 meV, with ends that ASE relaxes further in the supercell of the hop."""
    found, network, _ = layered_migration()
    cell = layered()[1]
    energies = {}
    for site in cell.sites:
        empty = cell.atoms.copy()
        del empty[site.index]
        empty.calc = EMT()
        assert BFGS(empty, logfile=None).run(fmax=0.001, steps=300)
        energies[site.name] = empty.get_potential_energy()
    ends = {hop.hop: (hop.site_initial, hop.site_final) for hop in network.hops}
    differences = []
    for hop in found.hops:
        before, after = (energies[site] for site in reversed(ends[hop.hop]))  # the vacancy goes the other way
        assert hop.barrier_forward_ev - hop.barrier_backward_ev == pytest.approx(after - before, abs=1e-3)
        differences.append(abs(after - before))
    assert max(differences) > 0.01, "or nothing is compared"


def test_hops_left_out_could_not_have_lowered_a_proved_barrier() -> None:
    """With real forces: each hop computed by itself has its level above its bound, and all together give the same barriers."""
    found, network, vacancies = layered_migration()
    cell, lowest = layered()[1], min(vacancy.energy_ev for vacancy in vacancies.values())
    bounds = {hop.hop: hop.bound_ev for hop in found.network}
    true = {}
    for hop in network.hops:
        try:
            barrier, _ = hop_barrier(cell.atoms, hop, vacancies, site_symmetry(cell.atoms), Engine(EMT()), SETTINGS)
        except (PhysicsError, ConvergenceError):
            true[hop.hop] = bounds[hop.hop]  # as favourable as can be
            continue
        initial = vacancies[hop.site_final].energy_ev  # the ion comes from the other site
        true[hop.hop] = initial + barrier.barrier_forward_ev - lowest
        assert true[hop.hop] >= bounds[hop.hop] - PATH_ERROR
    computed = set(true) - {hop for hop in true if true[hop] == bounds[hop]}
    assert len(computed - {hop.hop for hop in found.hops}) > 0, "some that the search left out"
    edges = [Edge(*edge, true[hop.hop]) for hop in network.hops for edge in hop.edges]
    wanted = thresholds(range(len(cell.atoms)), edges).along
    proved = [axis for axis in "abc" if found.percolation_barrier_ev[axis] == found.percolation_lower_bound_ev[axis]]
    assert len(proved) > 1
    for axis in proved:
        assert found.percolation_barrier_ev[axis] == pytest.approx(wanted["abc".index(axis)], abs=5e-3)


@pytest.mark.parametrize("which", [min, max])
def test_vacancy_that_did_not_relax_leaves_bounds_that_hold(which: Callable[..., str]) -> None:
    """Hops from there fail with the reason, and no barrier is settled, for it may be the most stable one: bounds are left."""
    whole, network, vacancies = layered_migration()
    engine = Engine(EMT())
    lost = which(vacancies, key=lambda name: vacancies[name].energy_ev)
    known = {name: vacancy for name, vacancy in vacancies.items() if name != lost}
    stay = {name: name != lost for name in vacancies}
    found, _ = planar_migration(layered()[1], network, known, stay, [], engine, SETTINGS)
    at_lost = {hop.hop for hop in network.hops if lost in (hop.site_initial, hop.site_final)}
    failed = {each.hop for each in found.failed if each.reason == f"the vacancy at {lost} did not relax"}
    assert set() < failed <= at_lost
    assert not at_lost & {hop.hop for hop in found.hops}
    assert [site.site for site in found.sites if site.energy_ev is None] == [lost]
    assert found.warnings[0].startswith(f"The vacancy did not relax at {lost}: ")
    assert set(found.percolation_barrier_ev.values()) == {None}
    for axis, barrier in whole.percolation_barrier_ev.items():
        assert barrier is not None
        assert found.percolation_lower_bound_ev[axis] <= barrier + 0.005
    with pytest.raises(ConvergenceError, match=r"no vacancy relaxed.*max_steps"):
        planar_migration(layered()[1], network, {}, dict.fromkeys(vacancies, False), [], engine, SETTINGS)


def test_equivalent_hops_computed_by_themselves_agree() -> None:
    """Two hops that symmetry makes equal, each with vacancies of its own, have one barrier, to 5 meV both ways."""
    atoms, cell = layered()
    network = planar_network(atoms, cell, "Cu", SETTINGS)
    hop = next(hop for hop in network.hops if hop.site_initial != hop.site_final)
    barriers = []
    for initial, final, offset in (hop.edges[0], hop.edges[-1]):
        if initial not in site_symmetry(cell.atoms).orbit(hop.initial):
            initial, final, offset = final, initial, (-offset[0], -offset[1], -offset[2])  # noqa: PLW2901 - the other way round
        way = cell.atoms.positions[final] - cell.atoms.positions[initial] + np.array(offset) @ cell.atoms.cell.array
        single = dataclasses.replace(
            hop, initial=initial, final=final, offset=offset, vector_angstrom=(float(way[0]), float(way[1]), float(way[2]))
        )
        vacancies = {}
        for name, index in ((hop.site_initial, initial), (hop.site_final, final)):
            empty = cell.atoms.copy()
            del empty[index]
            empty.rattle(0.01, seed=index)
            relaxed = Engine(EMT()).relax(empty, fmax=0.005)
            vacancies[name] = vacancy_in(cell.atoms, name, index, relaxed)
        barrier, _ = hop_barrier(cell.atoms, single, vacancies, site_symmetry(cell.atoms), Engine(EMT()), SETTINGS)
        barriers.append((barrier.barrier_forward_ev, barrier.barrier_backward_ev))
    assert barriers[0] == pytest.approx(barriers[1], abs=0.005)
    assert barriers[0][0] != pytest.approx(barriers[0][1], abs=0.005)


def test_vacancy_that_fell_into_another_is_one_state_with_it() -> None:
    """A hop whose two ends are one structure costs nothing beyond them, and nothing is evaluated for it."""
    atoms, cell = layered()
    network = planar_network(atoms, cell, "Cu", SETTINGS)
    hop = next(hop for hop in network.hops if hop.site_initial != hop.site_final)
    empty = cell.atoms.copy()
    del empty[hop.initial]
    stable = vacancy_in(cell.atoms, hop.site_initial, hop.initial, Engine(EMT()).attach(empty))
    fallen = cell.atoms.copy()
    fallen.positions[hop.initial] += hop.vector_angstrom
    del fallen[hop.final]
    moved = vacancy_in(cell.atoms, hop.site_final, hop.final, Engine(EMT()).attach(fallen))
    engine = Engine(EMT())
    states = {hop.site_initial: stable, hop.site_final: moved}
    x, y, z = hop.offset
    way, further = (hop.initial, hop.final, hop.offset), (hop.initial, hop.final, (x + 1, y, z))
    fall, ridge = dataclasses.replace(hop, edges=(way,)), dataclasses.replace(hop, hop="hop_0", edges=(further,))
    stay = dict.fromkeys(states, True)
    result, _ = planar_migration(cell, dataclasses.replace(network, hops=(fall, ridge)), states, stay, [], engine, SETTINGS)
    assert {found.method for found in result.hops} == {ONE_STATE}
    assert result.percolation_barrier_ev["a"] == pytest.approx(0, abs=1e-6)
    both = dataclasses.replace(hop, edges=(way, further))
    result, _ = planar_migration(cell, dataclasses.replace(network, hops=(both,)), states, stay, [], engine, SETTINGS)
    assert result.percolation_barrier_ev["a"] is None
    assert "one of 2 equal ones" in result.failed[0].reason
    assert engine.force_evaluations == 0
    assert moved.energy_ev == pytest.approx(stable.energy_ev, abs=1e-6)


@pytest.mark.parametrize("apart", [2.0, 3.0])
def test_supercell_too_small_for_its_images_is_refused_with_the_size_it_needs(apart: float) -> None:
    """Images of the vacancy nearer than one and a half hops are refused, and it is told how far apart they must be."""
    phase = phase_shelf().get("Cu")
    small = PropertySettings(migration=MigrationSettings(image_distance=apart))
    with pytest.raises(InputError, match=r"Cu: hops are up to 2\.5\d Å long .* migration\.image_distance: 3\.9"):
        refuse_hops(phase, [phase], copper(), small)
    refuse_hops(phase, [phase], copper(), PropertySettings(migration=MigrationSettings(image_distance=3.9)))


def test_hop_is_found_again_in_a_larger_supercell() -> None:
    """In copper the barrier of images 7 Å apart is within 30 meV of that at 10 Å, and the change told is their difference."""
    network = hop_network(copper(), "Cu", SETTINGS)
    supercell, hop, vacancies = copper_hop()
    engine = Engine(EMT())
    barrier, _ = hop_barrier(supercell, hop, vacancies, site_symmetry(supercell), engine, SETTINGS)
    assert in_larger_supercell(copper(), network, hop, barrier, engine, SETTINGS) is None
    wide = SETTINGS.model_copy(update={"larger_image_distance": 10.0})
    larger = in_larger_supercell(copper(), network, hop, barrier, engine, wide)
    assert larger is not None
    assert larger.image_distance_angstrom >= 10
    assert larger.atoms > network.atoms
    assert larger.barrier_change_ev == pytest.approx(larger.barrier_forward_ev - barrier.barrier_forward_ev)
    assert larger.barrier_forward_ev == pytest.approx(larger.barrier_backward_ev, abs=1e-6)
    assert bool(larger.warnings) == (abs(larger.barrier_change_ev) > 0.03)


def test_larger_supercell_that_is_not_larger_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is computed, by the study and by the first job: the same supercell would tell a change of nothing."""
    phase = phase_shelf().get("Cu")
    same = PropertySettings(migration=MigrationSettings(image_distance=7.0, larger_image_distance=7.1))
    with pytest.raises(InputError, match="it must be larger"):
        refuse_hops(phase, [phase], copper(), same)
    write(tmp_path / "relaxed.extxyz", copper())
    shelf = Path(__file__).parents[1]
    arguments = ["--structure", str(shelf / "structures/phases/Cu.yaml"), "--calculator", str(shelf / "calculators/emt.yaml")]
    arguments += ["--settings", same.model_dump_json(include={"migration"}), "--relaxed", str(tmp_path / "relaxed.extxyz")]
    assert main(["hops", *arguments, "--output", str(tmp_path / "hops.json")]) == 1
    assert "Cu: a supercell for images 7.1 Å apart has" in capsys.readouterr().err
    assert not (tmp_path / "hops.json").exists()


@given(networks())
@settings(deadline=None)
def test_level_below_its_bound_is_kept_beside_it(
    case: tuple[Network, dict[str, float], dict[str, float], dict[str, float]],
) -> None:
    """The bounds of hops that were computed are still known, so that one that does not hold can be told."""
    network, energies, bounds, true = case
    low = {name: level - 2 for name, level in true.items()}
    found = search(vacancy_ways(network, energies), Known(bounds, low))
    assert all(found.bounds[name] == bounds[name] and level == true[name] - 2 for name, level in found.levels.items())


def test_hop_that_some_path_shows_to_be_lower_is_not_computed() -> None:
    """Of two hops in a row the higher is computed; the other one has a ceiling below it and stays as it is."""
    there, back = (0, 1, (0, 0, 0)), (1, 0, (1, 0, 0))
    hops = tuple(
        Hop(name, *edge, (1.0, 0.0, 0.0), 2.0, "s0", "s0", 1, symmetric=False, edges=(edge,))
        for name, edge in (("low", there), ("high", back))
    )
    network = Network("X", np.eye(3, dtype=int), 2, 9.0, 3.0, (Site("s0", 0, 2),), hops)
    costs = Known({"low": 0.1, "high": 0.4}, {"low": 0.2, "high": 0.5}, over=0.1)
    found = search(vacancy_ways(network, {"s0": 0.0}), costs)
    assert found.levels == {"high": 0.5}
    assert found.ceilings == pytest.approx({"low": 0.3})
    assert found.routes[0].barrier_ev == 0.5
    assert found.routes[0].proved
    assert {passage.hop: passage.known for passage in found.routes[0].passages} == {"low": "at most", "high": "computed"}


def test_interpolated_path_is_not_below_the_saddle() -> None:
    """The ceiling of a hop is above its saddle; on a path through the structure on the plane by little more than its error."""
    supercell, hop, vacancies = copper_hop()
    symmetry = site_symmetry(supercell)
    barrier, _ = hop_barrier(supercell, hop, vacancies, symmetry, Engine(EMT()), SETTINGS)
    ends = hop_ends(supercell, hop, vacancies, symmetry)
    straight = highest_of_path(ends, Engine(EMT()), SETTINGS)
    through = highest_of_path(ends, Engine(EMT()), SETTINGS, divide(ends, Engine(EMT())).lowest)
    assert barrier.saddle_energy_ev < through < barrier.saddle_energy_ev + PATH_ERROR + 0.02 < straight


def corner_hop() -> tuple[Atoms, Atoms]:
    """Return a vacancy hop of rock salt whose ion passes the corner of the cell, not relaxed."""
    supercell = bulk("LiF", "rocksalt", a=4.03, cubic=True) * (2, 2, 2)
    lithium = np.flatnonzero(supercell.symbols == "Li")
    distances = np.linalg.norm(supercell.positions[lithium] - supercell.positions[lithium[0]], axis=1)
    neighbour = lithium[np.flatnonzero(np.isclose(distances, 4.03 / 2**0.5))[0]]
    initial = supercell.copy()
    del initial[neighbour]
    final = initial.copy()
    final.positions[lithium[0]] = supercell.positions[neighbour]
    return initial, final


def test_interpolated_path_sees_neighbours_across_the_faces_of_the_cell() -> None:
    """An ion on its way keeps as far from its neighbours as with all minimum images, wherever the cell begins."""
    initial, final = corner_hop()
    mover = int(np.linalg.norm(final.positions - initial.positions, axis=1).argmax())
    exact = [initial.copy() for _ in range(4)] + [final.copy()]
    NEB(exact, method="improvedtangent").interpolate(method="idpp", mic=True)
    paths = []
    for shift in (np.zeros(3), np.array([2.3, 4.1, 7.7])):
        ends = initial.copy(), final.copy()
        for end in ends:
            end.positions += shift
        back = np.zeros_like(initial.positions)
        if shift.any():  # wrapped into the cell, both ends alike
            back = ends[0].positions - ends[0].get_positions(wrap=True)
            for end in ends:
                end.positions -= back
        paths.append(interpolated(*ends, 3).reshape(-1, len(initial), 3) - shift + back)
    assert np.allclose(paths[0], paths[1], atol=1e-9)
    for positions, image in zip(paths[0], exact, strict=True):
        atoms = image.copy()
        atoms.positions = positions
        others = np.delete(np.arange(len(atoms)), mover)
        nearest, wanted = (item.get_distances(mover, others, mic=True).min() for item in (atoms, image))
        assert nearest == pytest.approx(wanted, abs=0.03)
