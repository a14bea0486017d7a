"""Vacancy hops: the network, the ends, the saddle and its proof, and the barrier of a whole crystal."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.geometry import find_mic
from ase.mep import NEB
from ase.optimize import BFGS
from ase.spacegroup import crystal

from seiflow.engine import Engine
from seiflow.errors import InputError, PhysicsError
from seiflow.properties.migration import finding
from seiflow.properties.migration.band import NoBarrierError, NoSaddleError, climbing_band
from seiflow.properties.migration.crossing import cross
from seiflow.properties.migration.descent import descend
from seiflow.properties.migration.finding import BAND, CLIMB
from seiflow.properties.migration.hop import Barrier, Frames, barrier_between, hop_barrier
from seiflow.properties.migration.migration import HopResult, migration
from seiflow.properties.migration.network import Hop, Network, Site, hop_network, make_supercell
from seiflow.properties.migration.saddle import find_saddle
from seiflow.properties.migration.states import Ends, Swap, Vacancy, hop_ends, relax_vacancy
from seiflow.properties.migration.symmetry import SiteSymmetry, site_symmetry
from seiflow.settings import MigrationSettings
from seiflow.structures.bulk import build_crystal
from seiflow.structures.recipes import PhaseRecipe

RECIPES = Path(__file__).parents[1] / "structures" / "phases"
SETTINGS = MigrationSettings(image_distance=7.0)


@dataclass(frozen=True)
class Case:
    """A crystal with its network, vacancies and first hop."""

    network: Network
    supercell: Atoms
    symmetry: SiteSymmetry
    vacancies: dict[str, Vacancy]
    barrier: Barrier
    frames: Frames

    @property
    def hop(self) -> Hop:
        return self.network.hops[0]

    @property
    def ends(self) -> Ends:
        return hop_ends(self.supercell, self.hop, self.vacancies, self.symmetry)


def case(start: Atoms) -> Case:
    engine = Engine(EMT())
    relaxed = engine.relax_crystal(start, fmax=0.002, stress_gpa=0.01)
    network = hop_network(relaxed, "Cu", SETTINGS)
    supercell = make_supercell(relaxed, network.supercell)
    symmetry = site_symmetry(supercell)
    vacancies = {site.site: relax_vacancy(supercell, site, engine, SETTINGS) for site in network.sites}
    barrier, frames = hop_barrier(supercell, network.hops[0], vacancies, symmetry, engine, SETTINGS)
    return Case(network, supercell, symmetry, vacancies, barrier, frames)


@pytest.fixture(scope="module")
def copper() -> Case:
    """Cu: every hop is symmetric."""
    return case(bulk("Cu", cubic=True))


@pytest.fixture(scope="module")
def alloy() -> Case:
    """Cu3Au in the D0_22 order: two kinds of Cu sites, and the shortest hop leads from one to the other."""
    gold, first, second = (0, 0, 0), (0, 0, 0.5), (0.5, 0, 0.25)
    return case(crystal(["Au", "Cu", "Cu"], [gold, first, second], spacegroup=139, cellpar=[3.71, 3.71, 7.41, 90, 90, 90]))


def rock_salt() -> Atoms:
    return crystal(["Li", "F"], [(0, 0, 0), (0.5, 0.5, 0.5)], spacegroup=225, cellpar=[4.09, 4.09, 4.09, 90, 90, 90])


def antifluorite() -> Atoms:
    return crystal(["Li", "O"], [(0.25, 0.25, 0.25), (0, 0, 0)], spacegroup=225, cellpar=[4.65, 4.65, 4.65, 90, 90, 90])


def carbonate() -> Atoms:
    text = (RECIPES / "Li2CO3.yaml").read_text(encoding="utf-8")
    return build_crystal(PhaseRecipe.model_validate({"name": "Li2CO3"} | yaml.safe_load(text)))


def bonds_each_way(network: Network, hop: Hop) -> float:
    """How many hops of a class leave one site."""
    return 2 * hop.multiplicity / sum(site.multiplicity for site in network.sites)


def relaxed_by_ase(atoms: Atoms, fmax: float = 0.005) -> Atoms:
    copy = atoms.copy()
    copy.set_constraint()
    copy.calc = EMT()
    assert BFGS(copy, logfile=None).run(fmax=fmax, steps=300)
    return copy


def farthest(first: Atoms, second: Atoms) -> float:
    """Largest distance between the same atoms of two structures, Å, whatever the drift between them."""
    shifts, _ = find_mic(first.positions - second.positions, first.cell)
    return float(np.linalg.norm(shifts - shifts.mean(axis=0), axis=1).max())


# Network


def test_copper_has_one_hop_to_its_twelve_neighbours(copper: Case) -> None:
    """The automatic cut-off of a face-centred crystal is the nearest-neighbour distance, and all 12 hops there are one."""
    assert [site.multiplicity for site in copper.network.sites] == [len(copper.supercell)]
    assert len(copper.network.hops) == 1
    assert copper.hop.symmetric
    assert bonds_each_way(copper.network, copper.hop) == 12
    nearest = copper.supercell.get_distances(0, range(1, len(copper.supercell)), mic=True).min()
    assert copper.network.cutoff_angstrom == pytest.approx(nearest, abs=1e-6)


@pytest.mark.parametrize(("structure", "neighbours", "distance"), [(rock_salt, 12, 4.09 / 2**0.5), (antifluorite, 6, 4.65 / 2)])
def test_binary_salts_have_one_hop(structure: object, neighbours: int, distance: float) -> None:
    """Cations of rock salt form a face-centred net, those of antifluorite a simple cubic one."""
    assert callable(structure)
    network = hop_network(structure(), "Li", MigrationSettings(image_distance=4.0))
    (hop,) = network.hops
    assert [hop.distance_angstrom, network.cutoff_angstrom] == pytest.approx([distance, distance])
    assert bonds_each_way(network, hop) == neighbours
    assert hop.symmetric


def test_longer_cutoff_adds_the_next_shell() -> None:
    """At the lattice constant the six second neighbours of a face-centred net come in as a class of their own."""
    network = hop_network(rock_salt(), "Li", MigrationSettings(image_distance=8.0, cutoff=4.1))
    assert [round(bonds_each_way(network, hop)) for hop in network.hops] == [12, 6]


def test_carbonate_has_three_hops_one_of_them_asymmetric() -> None:
    """In monoclinic lithium carbonate three classes are needed to percolate, and one joins sites that no operation exchanges."""
    network = hop_network(carbonate(), "Li", MigrationSettings(image_distance=4.0))
    assert len(network.sites) == 1
    assert sorted(hop.symmetric for hop in network.hops) == [False, True, True]
    assert network.hops[-1].distance_angstrom == pytest.approx(network.cutoff_angstrom)


def test_classes_hold_every_pair_within_the_cutoff_once() -> None:
    """The classes of the carbonate together are all pairs of mobile ions within the cut-off, each in one direction."""
    structure = carbonate()
    network = hop_network(structure, "Li", MigrationSettings(image_distance=4.0, cutoff=4.0))
    supercell = make_supercell(structure, network.supercell)
    ions = np.flatnonzero(supercell.symbols == "Li")
    expected = 0
    for offset in np.ndindex(5, 5, 5):
        shift = (np.array(offset) - 2) @ supercell.cell.array
        gaps = supercell.positions[ions][None] + shift - supercell.positions[ions][:, None]
        distances = np.linalg.norm(gaps, axis=-1)
        expected += int(((distances < 4.0) & (distances > 0.1)).sum())
    edges = [edge for hop in network.hops for edge in hop.edges]
    assert len(set(edges)) == len(edges) == expected / 2
    for hop in network.hops:
        for first, second, cell in hop.edges:
            step = supercell.positions[second] + np.array(cell) @ supercell.cell.array - supercell.positions[first]
            assert np.linalg.norm(step) == pytest.approx(hop.distance_angstrom, abs=1e-6)


def test_short_cutoff_is_refused_with_the_one_that_works() -> None:
    """The message names the shortest cut-off that percolates, and that one is accepted."""
    with pytest.raises(InputError, match="do not percolate") as caught:
        hop_network(carbonate(), "Li", MigrationSettings(image_distance=4.0, cutoff=2.9))
    named = re.search(r"cut-off that does is (\d+\.\d+) Å", str(caught.value))
    assert named
    network = hop_network(carbonate(), "Li", MigrationSettings(image_distance=4.0, cutoff=float(named[1])))
    assert len(network.hops) == 3


# Ends


def test_ends_of_a_symmetric_hop_have_one_energy(copper: Case) -> None:
    """Initial and final state are images of each other, to rounding."""
    ends = copper.ends
    engine = Engine(EMT())
    assert engine.evaluate(ends.initial).energy == pytest.approx(engine.evaluate(ends.final).energy, abs=1e-6)
    assert ends.energy_initial == ends.energy_final
    assert np.linalg.norm(ends.final.positions[ends.mover] - ends.initial.positions[ends.mover]) > 2.0


@pytest.mark.parametrize("name", ["copper", "alloy"])
def test_carried_vacancies_are_those_relaxed_on_the_spot(name: str, request: pytest.FixtureRequest) -> None:
    """A vacancy relaxed at another site of the orbit and carried here equals the one relaxed here by plain ASE."""
    found: Case = request.getfixturevalue(name)
    for end, energy in ((found.ends.initial, found.ends.energy_initial), (found.ends.final, found.ends.energy_final)):
        assert Engine(EMT()).evaluate(end).energy == pytest.approx(energy, abs=1e-6)
    empty = found.supercell.copy()
    del empty[found.hop.final]
    initial = relaxed_by_ase(empty)
    assert farthest(initial, found.ends.initial) < 0.01
    assert initial.get_potential_energy() == pytest.approx(found.ends.energy_initial, abs=1e-4)
    empty.positions[found.ends.mover] += found.hop.vector_angstrom
    final = relaxed_by_ase(empty)
    assert farthest(final, found.ends.final) < 0.01
    assert final.get_potential_energy() == pytest.approx(found.ends.energy_final, abs=1e-4)


@pytest.mark.parametrize("index", [-1, 32, 1000])
def test_site_out_of_range_is_refused(copper: Case, index: int) -> None:
    """A number that is no site of the supercell never becomes a vacancy."""
    with pytest.raises(InputError, match="not one of the 32 sites"):
        relax_vacancy(copper.supercell, Site("site_9", index, 1), Engine(EMT()), SETTINGS)


def test_vacancy_that_a_neighbour_fills_is_refused(copper: Case) -> None:
    """An interstitial beside the empty site falls into it: the vacancy is then elsewhere, and not reported as one."""
    crowded = copper.supercell.copy()
    crowded.append("Cu")
    crowded.positions[-1] = crowded.positions[0] + [copper.hop.distance_angstrom / 2**0.5, 0, 0]
    with pytest.raises(PhysicsError, match="an ion moved"):
        relax_vacancy(crowded, Site("site_1", 0, 1), Engine(EMT()), SETTINGS)


# Barriers


def climbing_barrier(initial: Atoms, final: Atoms) -> float:
    """Barrier of a climbing band run with ASE alone."""
    images = [initial.copy() for _ in range(6)] + [final.copy()]
    for image in images:
        image.calc = EMT()
    neb = NEB(images, climb=True, method="improvedtangent")
    neb.interpolate(method="idpp")
    assert BFGS(neb, logfile=None).run(fmax=0.01, steps=300)
    return float(max(image.get_potential_energy() for image in images) - initial.get_potential_energy())


def test_copper_barrier_is_that_of_a_band(copper: Case) -> None:
    """The saddle found by symmetry and a tight climbing band between ends relaxed without symmetry agree to 1 meV."""
    empty = copper.supercell.copy()
    del empty[copper.hop.final]
    initial = relaxed_by_ase(empty)
    empty.positions[copper.ends.mover] += copper.hop.vector_angstrom
    barrier = climbing_barrier(initial, relaxed_by_ase(empty))
    assert copper.barrier.barrier_forward_ev == pytest.approx(barrier, abs=1e-3)
    assert copper.barrier.barrier_backward_ev == copper.barrier.barrier_forward_ev


@pytest.mark.parametrize("name", ["copper", "alloy"])
def test_reported_saddle_is_stationary_with_one_negative_mode(name: str, request: pytest.FixtureRequest) -> None:
    """The structure handed out has no force, the energy reported, and a single negative curvature beyond its residual."""
    found: Case = request.getfixturevalue(name)
    evaluation = Engine(EMT()).evaluate(found.frames.saddle)
    assert np.linalg.norm(evaluation.forces, axis=1).max() < 2**0.5 * SETTINGS.fmax + 1e-6
    assert evaluation.energy == pytest.approx(found.barrier.saddle_energy_ev, abs=1e-6)
    assert found.barrier.negative_modes == 1
    lowest, second = found.barrier.curvatures_ev_per_angstrom2[:2]
    assert lowest < -SETTINGS.curvature_tolerance
    assert second - found.barrier.curvature_residuals_ev_per_angstrom2[1] > -SETTINGS.curvature_tolerance
    assert not found.barrier.warnings


def test_barriers_of_both_directions_differ_by_the_ends(alloy: Case) -> None:
    """Forward minus backward is the energy of the final state minus that of the initial one, relaxed independently."""
    assert not alloy.hop.symmetric
    initial, final = (relaxed_by_ase(end).get_potential_energy() for end in (alloy.frames.initial, alloy.frames.final))
    assert abs(final - initial) > 0.005
    assert alloy.barrier.barrier_forward_ev - alloy.barrier.barrier_backward_ev == pytest.approx(final - initial, abs=1e-3)


def test_band_and_saddle_search_agree(alloy: Case) -> None:
    """Two unrelated ways to the saddle of an asymmetric hop end at one energy, within 5 meV."""
    engine = Engine(EMT())
    band = climbing_band(alloy.ends, engine, SETTINGS.model_copy(update={"band_fmax": 0.02}))
    assert band.energies[band.top] == pytest.approx(alloy.barrier.saddle_energy_ev, abs=5e-3)
    assert engine.evaluate(band.images[band.top]).energy == pytest.approx(band.energies[band.top], abs=1e-6)
    assert band.energies.max() == band.energies[band.top]


def test_height_of_an_unfinished_band_is_above_the_saddle_and_falls(alloy: Case) -> None:
    """A band given up early still is a path: its highest energy bounds the saddle from above, the closer the longer it ran."""
    heights = []
    for steps in (1, 4):
        settings = SETTINGS.model_copy(update={"band_fmax": 1e-4, "band_steps": steps})
        with pytest.raises(NoSaddleError, match="largest force on an image") as caught:
            climbing_band(alloy.ends, Engine(EMT()), settings)
        heights.append(caught.value.height_ev)
    assert alloy.barrier.saddle_energy_ev - 2e-3 < heights[1] < heights[0]


def test_hop_with_too_few_evaluations_keeps_a_bound_from_above(alloy: Case) -> None:
    """Allowed forty evaluations, a hop has a path that is not below the saddle, and the limit is kept but for a step."""
    engine = Engine(EMT())
    with pytest.raises(NoSaddleError, match="evaluations allowed for the hop were used up") as caught:
        barrier_between(alloy.ends, "hop", 2.5, engine, SETTINGS.model_copy(update={"band_fmax": 1e-4}), most_evaluations=40)
    assert alloy.barrier.saddle_energy_ev - 5e-3 < caught.value.height_ev < alloy.barrier.saddle_energy_ev + 0.5
    assert engine.force_evaluations < 40 + 3 * (SETTINGS.images + 2)
    engine.evaluate(alloy.ends.initial)


def other_hops(found: Case) -> Iterator[Hop]:
    """Two more hops of the same class, in the direction of the first."""
    sites = {found.hop.initial: found.hop.site_initial, found.hop.final: found.hop.site_final}
    kinds = {index: sites.get(index) for index in sites}
    orbits = found.symmetry.orbits(np.flatnonzero(found.supercell.symbols == "Cu"))
    kinds = {int(index): f"site_{number}" for number, orbit in enumerate(orbits, start=1) for index in orbit}
    for first, second, offset in (found.hop.edges[7], found.hop.edges[-5]):
        forward = kinds[first] == found.hop.site_initial
        start, end = (first, second) if forward else (second, first)
        cell = offset if forward else (-offset[0], -offset[1], -offset[2])
        vector = found.supercell.positions[end] + np.array(cell) @ found.supercell.cell.array - found.supercell.positions[start]
        yield replace(found.hop, initial=start, final=end, offset=cell, vector_angstrom=tuple(vector.tolist()))


@pytest.mark.parametrize("name", ["copper", "alloy"])
def test_equivalent_hops_have_one_barrier(name: str, request: pytest.FixtureRequest) -> None:
    """A hop of the class elsewhere, with vacancies relaxed at its own two sites, has the same barriers."""
    found: Case = request.getfixturevalue(name)
    for hop in other_hops(found):
        engine = Engine(EMT())
        places = {hop.site_initial: hop.initial, hop.site_final: hop.final}
        vacancies = {
            site: relax_vacancy(found.supercell, Site(site, index, 1), engine, SETTINGS) for site, index in places.items()
        }
        barrier, _ = hop_barrier(found.supercell, hop, vacancies, found.symmetry, engine, SETTINGS)
        assert barrier.barrier_forward_ev == pytest.approx(found.barrier.barrier_forward_ev, abs=5e-3)
        assert barrier.barrier_backward_ev == pytest.approx(found.barrier.barrier_backward_ev, abs=5e-3)


@pytest.mark.parametrize("name", ["copper", "alloy"])
def test_a_harder_push_changes_nothing(name: str, request: pytest.FixtureRequest) -> None:
    """Where the saddle is unique, pushing it twice as far off the line leads back to it."""
    found: Case = request.getfixturevalue(name)
    settings = SETTINGS.model_copy(update={"push": 2 * SETTINGS.push})
    barrier, _ = hop_barrier(found.supercell, found.hop, found.vacancies, found.symmetry, Engine(EMT()), settings)
    assert barrier.barrier_forward_ev == pytest.approx(found.barrier.barrier_forward_ev, abs=1e-3)
    assert barrier.method == found.barrier.method


@pytest.mark.parametrize("name", ["copper", "alloy"])
def test_path_climbs_to_the_saddle_and_down_again(name: str, request: pytest.FixtureRequest) -> None:
    """The energies along the hop start and end at the two states and have their maximum, the barrier, between them."""
    found: Case = request.getfixturevalue(name)
    path = found.barrier.path
    energies = np.array(path.energy_ev)
    assert list(path.coordinate_angstrom) == sorted(path.coordinate_angstrom)
    assert energies[0] == 0
    assert energies[-1] == pytest.approx(found.barrier.final_energy_ev - found.barrier.initial_energy_ev)
    top = int(energies.argmax())
    assert energies[top] == pytest.approx(found.barrier.barrier_forward_ev)
    assert (np.diff(energies[: top + 1]) > 0).all()
    assert (np.diff(energies[top:]) < 0).all()


def test_saddle_that_leads_elsewhere_is_refused(alloy: Case) -> None:
    """A saddle whose descent ends in another state than the one claimed is not the saddle of the hop."""
    engine = Engine(EMT())
    ends = alloy.ends
    saddle = find_saddle(ends, engine, SETTINGS)
    right = descend(saddle, ends, engine, SETTINGS)
    assert right.initial is None
    assert right.final is None
    wrong = ends.final.copy()
    distances = wrong.get_distances(ends.mover, range(len(wrong)), mic=True)
    neighbour = int(np.where((distances > 0.1) & (wrong.numbers == wrong.numbers[ends.mover]), distances, np.inf).argmin())
    wrong.positions[neighbour] = ends.initial.positions[ends.mover]
    assert descend(saddle, replace(ends, final=wrong), engine, SETTINGS).final is not None


def test_band_takes_over_where_the_search_gives_up(copper: Case) -> None:
    """A search without enough steps is followed by a band, which says so and finds the same barrier."""
    settings = SETTINGS.model_copy(update={"max_steps": 1})
    barrier, frames = hop_barrier(copper.supercell, copper.hop, copper.vacancies, copper.symmetry, Engine(EMT()), settings)
    assert barrier.method == BAND
    assert barrier.straight_barrier_ev is None
    assert "given up" in barrier.warnings[0]
    assert "may be too high" in barrier.warnings[0]
    assert barrier.barrier_forward_ev == pytest.approx(copper.barrier.barrier_forward_ev, abs=5e-3)
    assert len(frames.saddle) == len(copper.supercell) - 1


def test_saddle_sought_from_the_top_of_a_band_is_the_one_of_the_search(alloy: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """A band that stands in for a failed search only shows where to look: the saddle has the usual force and barrier."""

    def fails(*_: object) -> None:
        message = "the saddle lies beside the hop"
        raise PhysicsError(message)

    monkeypatch.setattr(finding, "_searched", fails)
    coarse = SETTINGS.model_copy(update={"band_fmax": 0.3})
    engine = Engine(EMT())
    band = climbing_band(alloy.ends, engine, coarse)
    cost = engine.force_evaluations
    assert band.energies.max() != pytest.approx(alloy.barrier.saddle_energy_ev, abs=2e-4)
    barrier, _ = barrier_between(alloy.ends, "hop", 2.5, Engine(EMT()), coarse)
    assert barrier.method == CLIMB
    assert "found from the top of a climbing band" in barrier.warnings[0]
    assert barrier.largest_force_ev_per_angstrom <= SETTINGS.fmax
    assert barrier.saddle_energy_ev == pytest.approx(alloy.barrier.saddle_energy_ev, abs=2e-4)
    monkeypatch.setattr(finding, "PROOF", cost)
    engine = Engine(EMT())
    barrier, _ = barrier_between(alloy.ends, "hop", 2.5, engine, coarse, most_evaluations=2 * cost)
    assert barrier.method == BAND
    assert engine.force_evaluations <= 2 * cost


# Saddles off the line: a model whose every stationary point is known


class Landscape(Calculator):
    """An ion in a cage of springs, its energy a polynomial of its place r = (x, y, z) relative to the mean of the cage.

    E = 0.5 (x² - 1)² + y² (2x² - bow) + y⁴ + 2 z²: minima at x = ±1, y = 0; on the line between them the top (0.5 eV) has two
    negative modes if bow > 0; the saddles are then at x = 0, y² = bow/2, lower by bow²/4. With ``well`` the first term is
    6 x² (x² - 1)²: saddles of 24/27 eV at x² = 1/3, and a minimum between them; ``slant`` multiplies it by 1 - slant x.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]
    spring = 5.0

    def __init__(self, reference: np.ndarray, *, bow: float = 0.4, well: bool = False, slant: float = 0.0) -> None:
        """Take the places of all atoms, the ion first and at the origin of its coordinates."""
        super().__init__()
        self._reference, self._bow, self._well, self._slant = reference, bow, well, slant

    def calculate(
        self, atoms: Atoms | None = None, properties: list[str] | None = None, system_changes: list[str] = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        shifts = self.atoms.positions - self._reference
        drift = shifts[1:].mean(axis=0)
        x, y, z = shifts[0] - drift
        cage = shifts[1:] - drift
        along, slope = 0.5 * (x**2 - 1) ** 2, 2 * x * (x**2 - 1)
        if self._well:
            along, slope = 6 * x**2 * (x**2 - 1) ** 2, 12 * x * (x**2 - 1) * (3 * x**2 - 1)
            along, slope = along * (1 - self._slant * x), slope * (1 - self._slant * x) - self._slant * along
        energy = along + y**2 * (2 * x**2 - self._bow) + y**4 + 2 * z**2
        gradient = np.array([slope + 4 * x * y**2, 2 * y * (2 * x**2 - self._bow) + 4 * y**3, 4 * z])
        forces = np.vstack([-gradient, np.tile(gradient / len(cage), (len(cage), 1)) - self.spring * cage])
        self.results = {"energy": float(energy + self.spring / 2 * (cage**2).sum()), "forces": forces}


REFERENCE = np.vstack([np.zeros(3), 3 * np.eye(3), -3 * np.eye(3)]) + 5.0
MIRROR = Swap(np.diag([-1.0, 1, 1]), np.array([0, 4, 2, 3, 1, 5, 6]))
TURN = Swap(np.diag([-1.0, -1, 1]), np.array([0, 4, 5, 3, 1, 2, 6]))


def model_ends(*swaps: Swap) -> Ends:
    """The two minima of the landscape, and the operations said to exchange them."""
    initial = Atoms("CuAg2Au2Pt2", positions=REFERENCE[[0, 1, 4, 2, 5, 3, 6]], cell=[10, 10, 10], pbc=True)
    initial = initial[[0, 1, 3, 5, 2, 4, 6]]
    final = initial.copy()
    initial.positions[0, 0] -= 1
    final.positions[0, 0] += 1
    return Ends(initial, final, 0, 0.0, 0.0, swaps)


@pytest.mark.parametrize("swaps", [(MIRROR,), (TURN,), (MIRROR, TURN), ()], ids=["mirror", "turn", "both", "none"])
def test_line_with_two_negative_modes_is_left_for_the_saddle_beside_it(swaps: tuple[Swap, ...]) -> None:
    """The top of the straight line is met first, recognised by its second negative mode, and left for the true saddle."""
    engine = Engine(Landscape(REFERENCE))
    ends = model_ends(*swaps)
    saddle = find_saddle(ends, engine, MigrationSettings())
    assert saddle.trials[0].energy == pytest.approx(0.5, abs=1e-3)
    assert saddle.trials[0].negative_modes == 2
    assert saddle.energy == pytest.approx(0.46, abs=1e-3)
    assert saddle.modes.negative == 1
    offset = saddle.atoms.positions[0] - saddle.atoms.positions[1:].mean(axis=0)
    assert np.abs(offset) == pytest.approx([0, 0.2**0.5, 0], abs=0.02)
    descent = descend(saddle, ends, engine, MigrationSettings())
    assert descent.initial is None
    assert descent.final is None


def test_band_that_only_falls_has_no_barrier() -> None:
    """From a place on the slope to the minimum below it the highest energy is that of the start, and the band says so."""
    ends = model_ends()
    slope = ends.initial.copy()
    slope.positions[0, 0] += 1.2
    downhill = replace(ends, initial=slope, energy_initial=0.5 * (0.2**2 - 1) ** 2)
    with pytest.raises(NoBarrierError, match="no maximum between its ends"):
        climbing_band(downhill, Engine(Landscape(REFERENCE, bow=-0.6)), MigrationSettings())


def test_band_over_a_minimum_is_refused_and_bounds_the_saddles() -> None:
    """A band that passes an intermediate minimum is no band of one hop; it still bounds the higher saddle from above."""
    engine = Engine(Landscape(REFERENCE, bow=-0.6, well=True))
    with pytest.raises(NoSaddleError, match=r"intermediate minimum at image \d: the hop is two hops") as caught:
        climbing_band(model_ends(), engine, MigrationSettings(band_fmax=0.2))
    assert caught.value.height_ev == pytest.approx(24 / 27, abs=0.05)


def test_minimum_that_a_band_passes_splits_the_hop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the search fails and the band passes a minimum, the hop is split there; the higher of two unlike saddles is proved.

    Where that fails too, the hop is refused and bounded by the band.
    """

    def fails(*_: object) -> None:
        message = "the saddle lies beside the hop"
        raise PhysicsError(message)

    monkeypatch.setattr(finding, "_searched", fails)
    x = np.linspace(-1, 1, 20001)
    highest = (6 * x**2 * (x**2 - 1) ** 2 * (1 - 0.4 * x)).max()
    settings, landscape = MigrationSettings(band_fmax=0.2), {"bow": -0.6, "well": True, "slant": 0.4}
    engine = Engine(Landscape(REFERENCE, **landscape))
    barrier, _ = barrier_between(model_ends(), "hop", 2.0, engine, settings)
    assert barrier.method == CLIMB
    assert "beside a minimum that a climbing band passes" in barrier.warnings[0]
    assert barrier.barrier_forward_ev == pytest.approx(highest, abs=2e-3)
    assert barrier.negative_modes == 1
    assert barrier.intermediate_minima_ev == pytest.approx([0.0], abs=2e-3)
    monkeypatch.setattr(finding, "split_at", fails)
    with pytest.raises(NoSaddleError, match="the hop is two hops") as caught:
        barrier_between(model_ends(), "hop", 2.0, Engine(Landscape(REFERENCE, **landscape)), settings)
    assert caught.value.height_ev == pytest.approx(highest, abs=0.1)


def test_symmetric_hop_over_a_minimum_is_two_hops() -> None:
    """Where the ion can rest half way, the hop has the barrier of the saddles beside that minimum, and names it."""
    crossing = cross(model_ends(MIRROR), Engine(Landscape(REFERENCE, bow=-0.6, well=True)), MigrationSettings())
    assert crossing.saddle.energy == pytest.approx(24 / 27, abs=2e-3)
    assert crossing.saddle.modes.negative == 1
    assert [minimum.energy for minimum in crossing.minima] == pytest.approx([0.0], abs=2e-3)
    assert max(crossing.path.energy_ev) == pytest.approx(crossing.saddle.energy)
    assert list(crossing.path.coordinate_angstrom) == sorted(crossing.path.coordinate_angstrom)


@pytest.mark.parametrize("slant", [-0.4, 0.4])
def test_of_two_saddles_the_higher_is_the_barrier(slant: float) -> None:
    """A hop over a minimum between unlike saddles has the barrier of the higher one, whichever comes first."""
    x = np.linspace(-1, 1, 20001)
    highest = (6 * x**2 * (x**2 - 1) ** 2 * (1 - slant * x)).max()
    engine = Engine(Landscape(REFERENCE, bow=-0.6, well=True, slant=slant))
    crossing = cross(model_ends(), engine, MigrationSettings())
    assert crossing.saddle.energy == pytest.approx(highest, abs=2e-3)
    assert crossing.saddle.modes.negative == 1
    assert [minimum.energy for minimum in crossing.minima] == pytest.approx([0.0], abs=2e-3)
    assert max(crossing.path.energy_ev) == pytest.approx(crossing.saddle.energy)
    assert crossing.path.energy_ev[-1] == pytest.approx(0.0)


@pytest.mark.parametrize("bow", [0.4, -0.6])
@pytest.mark.parametrize("swaps", [(MIRROR,), (TURN,), ()], ids=["mirror", "turn", "none"])
def test_minimum_on_the_way_never_goes_unnoticed(swaps: tuple[Swap, ...], bow: float) -> None:
    """A hop that passes a minimum, on the line or beside it, is split there or refused; it is never one hop over one saddle."""
    try:
        crossing = cross(model_ends(*swaps), Engine(Landscape(REFERENCE, bow=bow, well=True)), MigrationSettings())
    except PhysicsError:
        return
    assert crossing.minima
    assert crossing.saddle.energy == pytest.approx(24 / 27, abs=2e-3)


# The whole crystal


def results(network: Network, levels: list[tuple[float, float, float]]) -> dict[str, HopResult]:
    """Results made of (initial, saddle, final) energies, one per class of hops."""
    return {
        hop.hop: HopResult("model", saddle - initial, saddle - final, saddle, initial, final, "neutral cell", ())
        for hop, (initial, saddle, final) in zip(network.hops, levels, strict=True)
    }


def test_percolation_of_one_class_is_its_saddle_above_the_best_vacancy(alloy: Case) -> None:
    """With a single class of hops the bottleneck everywhere is that saddle, counted from the more stable of the two vacancies."""
    result = HopResult.from_record(asdict(alloy.barrier))
    found = migration(alloy.network, {alloy.hop.hop: result})
    expected = max(alloy.barrier.barrier_forward_ev, alloy.barrier.barrier_backward_ev)
    for value in (*found.percolation_barrier_ev.values(), found.percolation_barrier_1d_ev, found.percolation_barrier_3d_ev):
        assert value == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_more_dimensions_cost_more_and_levels_shift_together(seed: int) -> None:
    """Percolation barriers never fall with the dimension, and raising every saddle by one amount raises them all by it."""
    network = hop_network(carbonate(), "Li", MigrationSettings(image_distance=4.0))
    saddles = np.random.default_rng(seed).uniform(0.2, 0.9, 3)
    low = migration(network, results(network, [(0.0, level, 0.0) for level in saddles]))
    high = migration(network, results(network, [(0.0, level + 0.1, 0.0) for level in saddles]))
    dimensions = [low.percolation_barrier_1d_ev, low.percolation_barrier_2d_ev, low.percolation_barrier_3d_ev]
    assert dimensions == sorted(dimensions)
    assert min(low.percolation_barrier_ev.values()) == low.percolation_barrier_1d_ev
    assert set(dimensions) <= set(saddles)
    assert high.percolation_barrier_3d_ev == pytest.approx(low.percolation_barrier_3d_ev + 0.1)
    assert high.percolation_barrier_ev == pytest.approx({axis: value + 0.1 for axis, value in low.percolation_barrier_ev.items()})
