"""The report of hops: every hop of a best path is drawn, and what is not proved is never shown as a number."""

import csv
import json
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from seiflow.errors import ConvergenceError, PhysicsError
from seiflow.jobs.task import write_structures
from seiflow.properties.migration.migration import HopResult
from seiflow.properties.migration.migration import migration as percolation_of
from seiflow.properties.migration.network import Hop, Network, hop_network, make_supercell
from seiflow.properties.migration.planar import (
    BulkBarrier,
    HopSummary,
    PlanarHop,
    PlanarMigration,
    SiteState,
    planar_network,
    vacancy_ways,
)
from seiflow.properties.migration.routes import Found
from seiflow.properties.migration.search import search
from seiflow.records import read_record, write_record
from seiflow.report import Target, collect, make_report
from seiflow.report.barrier_map import barrier_map, caption, coloured_hops
from seiflow.report.collect import Case
from seiflow.report.interstitial_view import InterstitialMigration
from seiflow.report.map_layout import Contents
from seiflow.report.networks import Line, NetworkMap, find_maps, network_map
from seiflow.report.percolation import Passable, format_passable, passable
from seiflow.report.table import WIDTH
from seiflow.settings import MigrationSettings
from seiflow.structures.defect_sites import DefectSupercell, defect_supercell

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

PLANAR, BULK = "LiF-boundary", "LiF"
FAILING, FAILS = "hop_9", "the saddle was not found in 300 steps"
SETTINGS = MigrationSettings(image_distance=5.0)
BULK_BARRIER = 0.7

Json = dict[str, Any]


def common(structure: str) -> Json:
    record: Json = {"structure": structure, "calculator": "emt", "converged": True}
    return record | {"force_evaluations": 7, "warnings": [], "provenance": {}}


def boundary() -> "Atoms":
    """Return two grains of rock salt, one pushed sideways; the upper boundary lies at the top of the cell."""
    from ase.build import bulk

    atoms = bulk("LiF", "rocksalt", a=4.0, cubic=True).repeat((1, 1, 2))
    atoms.positions[:, 2] += 0.1 * 8
    upper = (atoms.positions[:, 2] > 0.475 * 8).astype(int)
    atoms.positions += np.outer(upper, [0.3, 0.5, 0.2])
    atoms.set_array("grain", upper)
    atoms.info["planes"] = [0.475, 0.975]
    atoms.positions[0, 0] += 4.0  # relaxation may leave an atom outside the cell
    return atoms


@dataclass(frozen=True)
class ByLength:
    """Costs that rise with the length of a hop; one hop cannot be computed, and of no other way over a hop anything is known."""

    energies: dict[str, float]
    tried: list[str] = field(default_factory=list)

    def bound(self, hop: Hop) -> float:
        return max(self.energies[hop.site_initial], self.energies[hop.site_final])

    def ceiling(self, hop: Hop) -> float:
        raise PhysicsError(hop.hop)

    def level(self, hop: Hop) -> float:
        self.tried.append(hop.hop)
        if hop.hop == FAILING:
            raise ConvergenceError(FAILS)
        return 0.2 * hop.distance_angstrom


def searched(most_hops: int | None) -> tuple[DefectSupercell, Network, Found, dict[str, float]]:
    cell = defect_supercell(boundary(), species="Li", image_distance=5.0)
    network = planar_network(boundary(), cell, "Li", SETTINGS)
    energies = {site.name: 0.05 * number for number, site in enumerate(cell.sites)}
    costs = ByLength(energies)
    return (
        cell,
        network,
        search(vacancy_ways(network, energies), costs, lambda: most_hops is None or len(costs.tried) < most_hops),
        energies,
    )


@cache
def planar_record(most_hops: int | None) -> PlanarMigration:
    """Return what a search over made-up energies finds, in the form of a result."""
    cell, network, found, energies = searched(most_hops)
    hops = {hop.hop: hop for hop in network.hops}
    return PlanarMigration(
        species="Li",
        charge_state="neutral cell",
        expansion=cell.expansion,
        atoms=network.atoms,
        image_distance_angstrom=network.image_distance_angstrom,
        cutoff_angstrom=network.cutoff_angstrom,
        percolation_barrier_ev={route.axis: route.barrier_ev for route in found.routes},
        percolation_lower_bound_ev={route.axis: route.lower_bound_ev for route in found.routes},
        bulk=(BulkBarrier("LiF", BULK_BARRIER),),
        routes=found.routes,
        hops=tuple(
            HopSummary(name, hops[name].distance_angstrom, hops[name].multiplicity, "band and climb", found.levels[name], 0.1)
            for name in found.levels
        ),
        failed=found.failed,
        sites=tuple(
            SiteState(
                site.name, site.index, site.multiplicity, site.grain, site.distance_angstrom, energies[site.name], stays=True
            )
            for site in cell.sites
        ),
        network=tuple(planar_hop(hop, energies, found) for hop in network.hops),
        barriers=(),
        warnings=(),
    )


def planar_hop(hop: Hop, energies: dict[str, float], found: Found) -> PlanarHop:
    bound = max(energies[hop.site_initial], energies[hop.site_final])
    return PlanarHop(
        hop.hop,
        hop.site_initial,
        hop.site_final,
        hop.distance_angstrom,
        hop.multiplicity,
        hop.edges,
        bound,
        found.ceilings.get(hop.hop),
        found.levels.get(hop.hop),
    )


def write_planar(results: Path, *, most_hops: int | None = None) -> PlanarMigration:
    folder = results / PLANAR / "emt"
    folder.mkdir(parents=True, exist_ok=True)
    found = planar_record(most_hops)
    write_structures(folder / "relaxed.extxyz", [boundary()])
    write_record(folder / "migration.json", common(PLANAR) | {name: getattr(found, name) for name in found.__dataclass_fields__})
    return found


def write_bulk(results: Path) -> dict[str, float]:
    """Write a crystal with two kinds of sites and return its percolation barriers."""
    from ase.build import bulk

    folder = results / BULK / "emt"
    (folder / "hops").mkdir(parents=True, exist_ok=True)
    crystal = bulk("LiF", "rocksalt", a=4.0, cubic=True)
    crystal.positions[crystal.symbols == "F", 2] += 0.2
    crystal.set_cell([4.0, 4.0, 4.4], scale_atoms=True)
    network = hop_network(crystal, "Li", SETTINGS)
    barriers = {
        hop.hop: HopResult("band and climb", 0.1 * number, 0.1 * number, 0.1 * number, 0.0, 0.0, "neutral cell", ())
        for number, hop in enumerate(network.hops, start=3)
    }
    found = percolation_of(network, barriers)
    write_structures(folder / "relaxed.extxyz", [crystal])
    write_record(folder / "hops.json", common(BULK) | {name: getattr(network, name) for name in network.__dataclass_fields__})
    write_record(folder / "migration.json", common(BULK) | {name: getattr(found, name) for name in found.__dataclass_fields__})
    for hop in found.hops:
        result = barriers[hop.hop]
        curve = {"coordinate_angstrom": [0.0, 1.0, 2.0], "energy_ev": [0.0, result.saddle_energy_ev, 0.0]}
        details: Json = {name: getattr(result, name) for name in result.__dataclass_fields__} | {"path": curve}
        details |= {"straight_barrier_ev": None, "pushed_barrier_ev": None, "offset_angstrom": 0.1, "negative_modes": 1}
        details |= {"hop": hop.hop, "distance_angstrom": hop.distance_angstrom, "curvatures_ev_per_angstrom2": [-1.0]}
        write_record(folder / "hops" / f"{hop.hop}.json", common(BULK) | details)
    return found.percolation_barrier_ev


def write_defects(results: Path, schottky: float, units: dict[str, int]) -> None:
    names = ("frenkel_energy_ev", "frenkel_isolated_energy_ev", "frenkel_bound_energy_ev", "anion_frenkel_energy_ev")
    names += ("schottky_bound_energy_ev", "vacancy_energy_ev", "interstitial_energy_ev", "frenkel", "anion_frenkel", "larger")
    record: Json = dict.fromkeys(names) | {"schottky_energy_ev": schottky, "schottky": {"units": units}}
    record |= {"image_distance_angstrom": 8.0, "atoms": 64}
    write_record(results / BULK / "emt" / "defects.json", common(BULK) | record)


def targets(*names: str) -> list[Target]:
    kinds = {PLANAR: "boundary", BULK: "phase"}
    return [Target(name, "emt", "migration", None, kind) for name, kind in kinds.items() if name in names]


def planar_case(results: Path) -> Case:
    (case,) = collect(results, targets(PLANAR)).cases
    return case


def drawn(results: Path, name: str) -> NetworkMap:
    ((found,), missing) = find_maps(results, collect(results, targets(name)))
    assert missing == []
    return found


def report(results: Path, wanted: list[Target]) -> tuple[str, str, list[dict[str, str]]]:
    """Return the text of the terminal, the page and the rows of the table."""
    folder = results.parent / "references"
    folder.mkdir(exist_ok=True)
    entry: Json = {"id": "T1", "property": "intrinsic_activation_energy_ev", "value": 2.0, "unit": "eV", "method": "experiment"}
    entry |= {"evidence": "read", "source": {"authors": "Body A.", "journal": "J. 1, 1", "year": 2000, "doi": None}}
    (folder / "LiF.yaml").write_text(yaml.safe_dump({"phase": BULK, "values": [entry]}), encoding="utf-8")
    terminal = make_report(results, wanted, folder, "Hops")
    with (results / "table.csv").open(encoding="utf-8", newline="") as file:
        return terminal, (results / "report.html").read_text(encoding="utf-8"), list(csv.DictReader(file))


def length(line: Line, atoms: "Atoms") -> float:
    step = atoms.positions[line.second] - atoms.positions[line.first] + np.array(line.offset) @ atoms.cell.array
    return float(np.linalg.norm(step))


def key(hop: str, first: int, second: int, offset: "NDArray[np.int64]") -> tuple[object, ...]:
    one, two = (first, second, *offset.tolist()), (second, first, *(-offset).tolist())
    return hop, min(one, two)


@pytest.mark.parametrize("most_hops", [None, 2])
def test_every_hop_of_every_route_is_drawn(tmp_path: Path, most_hops: int | None) -> None:
    """Each passage, brought back into the cell by its positions, is among the lines of its route, and some of it is seen."""
    record = write_planar(tmp_path, most_hops=most_hops)
    found = drawn(tmp_path, PLANAR)
    atoms = boundary()
    supercell, size = atoms.repeat(record.expansion), len(atoms)
    contents = Contents(found.atoms, np.array([0.0, 0.0, -0.025]), planar=True)
    assert [len(route.passages) > 0 for route in record.routes] == [True] * 3
    for route in record.routes:
        shown = {key(line.hop, line.first, line.second, np.array(line.offset)) for line in found.routes[route.axis]}
        for step in route.passages:
            vector = supercell.positions[step.second] - supercell.positions[step.first] + step.offset @ supercell.cell.array
            first, second = step.first % size, step.second % size
            beyond = vector - atoms.positions[second] + atoms.positions[first]
            offset = np.rint(beyond @ np.linalg.inv(atoms.cell.array)).astype(int)
            assert key(step.hop, first, second, offset) in shown
        assert all(contents.pieces(line) for line in found.routes[route.axis])


def test_lines_are_the_hops_of_the_record(tmp_path: Path) -> None:
    """Folded hops keep their length, and there are as many as in the supercell for each of its cells."""
    record = write_planar(tmp_path)
    found = drawn(tmp_path, PLANAR)
    for hop in record.network:
        lines = [line for line in found.lines if line.hop == hop.hop]
        assert len(lines) * np.prod(record.expansion) == hop.multiplicity
        assert [length(line, found.atoms) for line in lines] == pytest.approx([hop.distance_angstrom] * len(lines), abs=2e-3)
        assert {line.level_ev for line in lines} == {hop.level_ev and float(f"{hop.level_ev:.10g}")}


def test_every_site_has_the_energy_of_its_class(tmp_path: Path) -> None:
    record = write_planar(tmp_path)
    energies = sorted(energy for energy in drawn(tmp_path, PLANAR).energies_ev.values() if energy is not None)
    assert energies == pytest.approx(sorted(site.energy_ev for site in record.sites for _ in range(site.multiplicity)))


def test_a_hop_that_leaves_the_cell_enters_it_elsewhere(tmp_path: Path) -> None:
    """The parts that lie in the cell make up at least the whole hop; more where it lies in a face and is seen at both."""
    write_planar(tmp_path)
    found = drawn(tmp_path, PLANAR)
    contents = Contents(found.atoms, np.array([0.0, 0.0, -0.025]), planar=True)
    for line in found.lines:
        parts = [(piece.end - piece.start) @ found.atoms.cell.array for piece in contents.pieces(line)]
        assert sum(float(np.linalg.norm(part)) for part in parts) >= 0.95 * length(line, found.atoms)


def test_best_paths_of_a_crystal_have_its_percolation_barriers(tmp_path: Path) -> None:
    barriers = write_bulk(tmp_path)
    found = drawn(tmp_path, BULK)
    highest = {axis: max(line.level_ev or 0 for line in route) for axis, route in found.routes.items()}
    assert highest == pytest.approx(barriers)
    for number, axis in enumerate("abc"):
        assert found.routes[axis]
        assert any(line.offset[number] for line in found.routes[axis])


def test_what_is_not_proved_is_a_range_or_a_bound(tmp_path: Path) -> None:
    """The row of the table holds no number alone for a barrier that is open, and the page neither."""
    record = write_planar(tmp_path, most_hops=2)
    write_bulk(tmp_path)
    terminal, page, rows = report(tmp_path, targets(PLANAR, BULK))
    texts = []
    for axis in "abc":
        barrier, least = record.percolation_barrier_ev[axis], record.percolation_lower_bound_ev[axis]
        assert barrier is None or barrier > least + 1e-3
        texts.append(f"≥ {least:.3f} eV" if barrier is None else f"{least:.3f}–{barrier:.3f} eV")
    assert any(barrier is None for barrier in record.percolation_barrier_ev.values())
    number = f"{len(record.hops)} of {len(record.network)}"
    row = f"  {PLANAR + ' · emt':<31}{'0.700 eV':>16}" + "".join(f"{text:>15}" for text in texts) + f"  {number}"
    assert row in terminal.splitlines()
    assert max(map(len, terminal.splitlines())) <= WIDTH
    for text in texts:
        assert f'<td class="n">{text}</td>' in page
    values = {row["property"]: row["value"] for row in rows if row["structure"] == PLANAR}
    across, bound = values["percolation_barrier_across_ev"], float(values["percolation_lower_bound_across_ev"])
    assert across == "" or float(across) > bound
    assert bound == pytest.approx(record.percolation_lower_bound_ev["c"])


def test_a_proved_barrier_is_a_number(tmp_path: Path) -> None:
    record = write_planar(tmp_path)
    proved = {route.axis: route.barrier_ev for route in record.routes if route.proved}
    assert proved
    terminal, _, rows = report(tmp_path, targets(PLANAR))
    for axis, barrier in proved.items():
        label = "Percolation across" if axis == "c" else f"Percolation along {axis}"
        assert f"  {label:<26}{f'{barrier:.3f} eV':>16}" in terminal.splitlines()
        name = "percolation_barrier_across_ev" if axis == "c" else f"percolation_barrier_along_ev[{axis}]"
        assert [float(row["value"]) for row in rows if row["property"] == name] == pytest.approx([barrier])


def test_failed_hops_are_listed_with_their_reason(tmp_path: Path) -> None:
    record = write_planar(tmp_path)
    assert [failed.hop for failed in record.failed] == [FAILING]
    terminal, page, _ = report(tmp_path, targets(PLANAR))
    assert f'<th>{FAILING}</th><td class="n">{record.failed[0].bound_ev:.3f} eV</td><td class="reason">{FAILS}</td>' in page
    assert f"{len(record.hops)} of {len(record.network)}, 1 failed" in terminal
    found = drawn(tmp_path, PLANAR)
    assert {line.state for line in found.lines if line.hop == FAILING} == {"failed"}
    assert "could not be computed" in caption(found)


def test_a_map_of_another_structure_is_refused(tmp_path: Path) -> None:
    """Sites are numbered in the structure that was computed; with another one there is no map, and the page says so."""
    write_planar(tmp_path)
    atoms = boundary()
    write_structures(tmp_path / PLANAR / "emt" / "relaxed.extxyz", [atoms[atoms.symbols == "Li"]])
    maps, missing = find_maps(tmp_path, collect(tmp_path, targets(PLANAR)))
    assert maps == []
    assert [item.name for item in missing] == ["barrier map"]
    _, page, _ = report(tmp_path, targets(PLANAR))
    assert "is not the structure whose hops were computed" in page


def test_a_hop_without_site_is_refused(tmp_path: Path) -> None:
    write_planar(tmp_path)
    path = tmp_path / PLANAR / "emt" / "migration.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["network"][0]["edges"][0][1] = 10_000
    write_record(path, record)
    _, missing = find_maps(tmp_path, collect(tmp_path, targets(PLANAR)))
    assert "10000" in missing[0].reason


@pytest.mark.parametrize("lost", ["percolation_lower_bound_ev", "routes", "network"])
def test_a_damaged_record_is_missing(tmp_path: Path, lost: str) -> None:
    write_planar(tmp_path)
    path = tmp_path / PLANAR / "emt" / "migration.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    del record[lost]
    write_record(path, record)
    found = collect(tmp_path, targets(PLANAR))
    assert found.cases[0].paths is None
    assert [item.name for item in found.missing] == ["migration"]


@pytest.mark.parametrize(("name", "write"), [(PLANAR, write_planar), (BULK, write_bulk)])
def test_equal_networks_give_equal_maps(tmp_path: Path, name: str, write: Any) -> None:  # noqa: ANN401 - either writer
    write(tmp_path)
    first = barrier_map(drawn(tmp_path, name))
    assert barrier_map(drawn(tmp_path, name)) == first
    assert first.startswith("<?xml")


def test_a_vacancy_that_moves_away_is_marked(tmp_path: Path) -> None:
    write_planar(tmp_path)
    case = planar_case(tmp_path)
    assert case.paths is not None
    first = case.paths.sites[0]
    sites = (first.model_copy(update={"stays": False}), *case.paths.sites[1:])
    moved = replace(case, paths=case.paths.model_copy(update={"sites": sites}))
    found = network_map(moved, tmp_path / PLANAR / "emt" / "relaxed.extxyz")
    assert first.index % len(found.atoms) in found.moved
    assert "vacancy moves away" in barrier_map(found)
    assert "vacancy moves away" not in barrier_map(drawn(tmp_path, PLANAR))


@pytest.mark.parametrize(("units", "vacancies"), [({"A": 1, "B": 1}, 2), ({"A": 2, "B": 1}, 3)])
def test_intrinsic_activation_shares_the_schottky_set(tmp_path: Path, units: dict[str, int], vacancies: int) -> None:
    """Moving a vacancy costs the barrier, making it its share of the set; published values stand beside the sum."""
    barriers = write_bulk(tmp_path)
    write_defects(tmp_path, 2.4, units)
    wanted = [*targets(BULK), Target(BULK, "emt", "defects")]
    terminal, page, rows = report(tmp_path, wanted)
    (row,) = [row for row in rows if row["property"] == "intrinsic_activation_energy_ev"]
    assert float(row["value"]) == pytest.approx(max(barriers.values()) + 2.4 / vacancies)
    assert row["reference_value"] == "2"
    assert "Intrinsic activation" in terminal
    assert f"2.400/{vacancies} eV" in page


def test_no_intrinsic_activation_without_defects(tmp_path: Path) -> None:
    write_bulk(tmp_path)
    _, _, rows = report(tmp_path, targets(BULK))
    assert not [row for row in rows if row["property"] == "intrinsic_activation_energy_ev"]


def test_change_in_a_larger_supercell_is_in_the_table(tmp_path: Path) -> None:
    """A hop computed once more in a larger supercell has its change in the table; one that was not has no such row."""
    write_bulk(tmp_path / "results")
    path = tmp_path / f"results/{BULK}/emt/hops/hop_1.json"
    larger = {"image_distance_angstrom": 12.0, "atoms": 216, "barrier_change_ev": -0.038}
    write_record(path, read_record(path) | {"larger": larger | {"barrier_forward_ev": 0.262, "barrier_backward_ev": 0.262}})
    _, _, rows = report(tmp_path / "results", targets(BULK))
    found = {row["property"]: float(row["value"]) for row in rows if "larger" in row["property"]}
    assert found == {"barrier_larger_cell_change_ev[hop_1]": -0.038, "larger_image_distance_angstrom[hop_1]": 12.0}


def test_supercells_that_are_not_diagonal_fold_back(tmp_path: Path) -> None:
    """Hops of a crystal keep their lengths whatever the supercell they were numbered in."""
    write_bulk(tmp_path)
    path = tmp_path / BULK / "emt" / "hops.json"
    (case,) = collect(tmp_path, targets(BULK)).cases
    found = drawn(tmp_path, BULK)
    matrix = np.array([[1, 1, 0], [-1, 1, 0], [0, 0, 2]])
    supercell = make_supercell(found.atoms, matrix)
    settings = MigrationSettings(image_distance=1.0)
    network = hop_network(supercell, "Li", settings)
    assert np.array_equal(network.supercell, np.eye(3))
    fields: Json = {name: getattr(network, name) for name in network.__dataclass_fields__} | {"supercell": matrix}
    write_record(path, common(BULK) | fields)
    again = drawn(tmp_path, BULK)
    lengths = [sorted(round(length(line, shown.atoms), 3) for line in shown.lines) for shown in (found, again)]
    assert lengths[0] == lengths[1]
    assert case.network is not None


def test_computed_hops_are_in_the_structure_that_can_be_turned(tmp_path: Path) -> None:
    """Their lines are as long together as those of the map, and the colours of the lowest and highest level are named."""
    record = write_planar(tmp_path)
    found = drawn(tmp_path, PLANAR)
    hops = coloured_hops(found)
    contents = Contents(found.atoms, np.array([0.0, 0.0, -0.025]), planar=True)
    pieces = [piece for line in found.lines if line.state == "computed" for piece in contents.pieces(line)]
    lengths = [float(np.linalg.norm(ends[1] - ends[0])) for lines in hops.lines.values() for ends in lines]
    assert sum(lengths) == pytest.approx(
        sum(float(np.linalg.norm((one.end - one.start) @ found.atoms.cell.array)) for one in pieces)
    )
    levels = [hop.level_ev for hop in record.network if hop.level_ev is not None]
    assert [text for text, _ in hops.levels] == [f"{min(levels):.3f} eV", f"{max(levels):.3f} eV"]
    assert {shade for _, shade in hops.levels} <= set(hops.lines)


def test_hop_of_a_best_path_that_need_not_be_computed_is_hollow(tmp_path: Path) -> None:
    """A hop of which only a bound is known stays hollow on a path that holds it."""
    record = write_planar(tmp_path)
    name = next(step.hop for route in record.routes for step in route.passages)
    path = tmp_path / PLANAR / "emt" / "migration.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    for hop in document["network"]:
        if hop["hop"] == name:
            hop.update(level_ev=None, ceiling_ev=hop["bound_ev"] + 0.1)
    assert "hollow" not in caption(drawn(tmp_path, PLANAR))
    path.write_text(json.dumps(document), encoding="utf-8")
    shown = drawn(tmp_path, PLANAR)
    assert {line.state for line in shown.lines if line.hop == name} == {"bounded"}
    assert "hollow" in caption(shown)
    assert "<svg" in barrier_map(shown)


def added(structure: str, barriers: list[tuple[float, float]], distance: float | None) -> InterstitialMigration:
    """Return the record of the paths of ions that are added: a barrier along each cell vector, and what it is not below."""
    levels = dict(zip("abc", barriers, strict=True))
    highest = max(barrier for barrier, _ in barriers)
    paths: Json = {"percolation_barrier_ev": {axis: barrier for axis, (barrier, _) in levels.items()}}
    paths |= {"least_possible_ev": {axis: least for axis, (_, least) in levels.items()}, "least_possible_3d_ev": None}
    paths |= {f"percolation_barrier_{dimensions}d_ev": highest for dimensions in "123"}
    hop: Json = {"mechanism": "direct", "state_initial": "i_1", "state_final": "i_1", "distance_angstrom": 2.0, "multiplicity": 2}
    hop |= {"longest_step_angstrom": 2.0, "barrier": None}
    record: Json = dict.fromkeys(("all", "direct", "knock_off"), paths) | {"charge_state": "neutral cell"}
    record |= {"image_distance_angstrom": 9.0, "longest_step_angstrom": 6.0}
    record["states"] = [{"state": "i_1", "shares_a_site": False, "energy_ev": 0.0, "distance_angstrom": distance}]
    record["hops"] = [hop | {"hop": "hop_1", "problem": None}, hop | {"hop": "hop_2", "problem": "no saddle"}]
    record["not_computed"] = [hop | {"hop": "hop_3", "problem": "not computed"}]
    return InterstitialMigration.model_validate(common(structure) | record)


def test_ions_that_are_added_have_rows_of_their_own_beside_the_bulk() -> None:
    """Along, across, what is not proved, and the bulk of the phase as far as the study has it with the same calculator."""
    near = added(PLANAR, [(0.1, 0.1), (0.3, 0.2), (0.5, 0.5)], 1.0)
    crystal = Case(BULK, "emt", interstitial_migration=added(BULK, [(0.4, 0.4)] * 3, None))
    planar = Case(PLANAR, "emt", interstitial_migration=near, kind="boundary", phases=(BULK,))
    bulk_row, row = passable([crystal, planar])
    assert (bulk_row.structure, bulk_row.bulk, bulk_row.barriers) == (f"{BULK}, added", ("0.400 eV",), ("", "", ""))
    assert (row.structure, row.bulk) == (f"{PLANAR}, added", ("0.400 eV",))
    assert (row.barriers, row.hops, row.failed) == (("0.100 eV", "0.200–0.300 eV", "0.500 eV"), "2 of 3", 1)
    assert passable([crystal]) == []
    (alone,) = passable([planar, replace(crystal, calculator="other")])[:1]
    assert alone.bulk == ()
    assert "added" in format_passable([alone])


def test_long_names_are_shown_whole_beside_their_barriers() -> None:
    """A structure and calculator too long for a line take two, the second beside the bulk of the second phase."""
    row = Passable(
        "LiF-001-Li2CO3-010-thin", "sevennet-l3i5", ("LiF 0.5 eV", "Li2CO3 0.3 eV"), ("0.1 eV", "0.2 eV", "0.3 eV"), "2 of 9"
    )
    _, _, first, second = format_passable([row]).splitlines()
    assert first.split() == ["LiF-001-Li2CO3-010-thin", "LiF", "0.5", "eV", "0.1", "eV", "0.2", "eV", "0.3", "eV", "2", "of", "9"]
    assert second.split() == ["·", "sevennet-l3i5", "Li2CO3", "0.3", "eV"]
    alone = replace(row, bulk=("0.5 eV",))
    assert format_passable([alone]).splitlines()[-1].split() == ["·", "sevennet-l3i5"]
    assert format_passable([replace(row, structure="LiF", calculator="emt")]).splitlines()[2].split()[:3] == ["LiF", "·", "emt"]
    assert max(map(len, format_passable([row, alone]).splitlines())) <= WIDTH
