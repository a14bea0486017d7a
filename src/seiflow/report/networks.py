"""The network of hops of a structure in its own cell: sites with the energies of their vacancies, hops, best paths.

Records number sites in a supercell; here they are folded back into the cell that is shown.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from seiflow.errors import InputError
from seiflow.report.collect import Case, Collected, Missing
from seiflow.report.migration_views import HopEdges, HopNetwork, NamedSite, Offset, PlanarMigration
from seiflow.report.scene import require_drawable

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

State = Literal["computed", "bounded", "failed"]

MISPLACED = 0.05
"""Å; an atom of the supercell farther than that from its place in the cell is of another structure."""


@dataclass(frozen=True)
class Line:
    """A hop from a site of the cell to a site of the cell ``offset`` away.

    Attributes:
        level_ev: Highest energy on the way, above the most stable vacancy; None unless it was computed.
        state: What is known of it: it was computed, is only bounded, or could not be computed.
    """

    hop: str
    first: int
    second: int
    offset: Offset
    level_ev: float | None
    state: State


@dataclass(frozen=True)
class NetworkMap:
    """What a barrier map shows.

    Attributes:
        atoms: The cell.
        energies_ev: Of the vacancy at each site, by index, above the most stable one.
        moved: Sites whose vacancy did not stay there.
        lines: Every hop once.
        routes: The hops of the best path along each cell vector.
    """

    structure: str
    calculator: str
    species: str
    atoms: "Atoms"
    energies_ev: dict[int, float | None]
    moved: frozenset[int]
    lines: tuple[Line, ...]
    routes: dict[str, tuple[Line, ...]]

    @property
    def sites(self) -> list[int]:
        """All sites of the mobile ion."""
        return list(self.energies_ev)


def find_maps(results: Path, collected: Collected) -> tuple[list[NetworkMap], list[Missing]]:
    """Return the networks of all cases that have one, and what cannot be shown, with the reason."""
    found, damaged = [], []
    for case in collected.cases:
        path = results / case.structure / case.calculator / "relaxed.extxyz"
        if not (case.paths or (case.migration and case.network)) or not path.exists():
            continue
        try:
            found.append(network_map(case, path))
        except InputError as error:
            damaged.append(Missing(case.structure, case.calculator, "barrier map", str(error)))
    return found, damaged


def network_map(case: Case, path: Path) -> NetworkMap:
    """Return the network of a case that has migration.

    Args:
        case: What was computed.
        path: The relaxed structure.

    Raises:
        InputError: if the structure is not the one whose hops were computed.
    """
    from seiflow.jobs.task import read_structure

    atoms = read_structure(path)
    require_drawable(atoms, path)
    try:
        return _planar(case, case.paths, atoms) if case.paths else _bulk(case, case.network, atoms)
    except IndexError as error:
        message = f"{path}: is not the structure whose hops were computed ({error}). Run the study again."
        raise InputError(message) from error


def _planar(case: Case, paths: PlanarMigration, atoms: "Atoms") -> NetworkMap:
    fold = _Fold(atoms, atoms.repeat(paths.expansion), paths.species, paths.atoms)
    failed = {hop.hop for hop in paths.failed}
    levels = {hop.hop: hop.level_ev for hop in paths.network}

    def line(hop: str, first: int, second: int, offset: Offset) -> Line:
        state: State = "failed" if hop in failed else "bounded" if levels.get(hop) is None else "computed"
        return Line(hop, *fold(first, second, offset), levels.get(hop), state)

    names = fold.names(paths.sites, paths.network)
    energies = {site.site: site.energy_ev for site in paths.sites}
    gone = {site.site for site in paths.sites if site.energy_ev is not None and not site.stays}
    return NetworkMap(
        structure=case.structure,
        calculator=case.calculator,
        species=paths.species,
        atoms=atoms,
        energies_ev={site: energies.get(names.get(site, "")) for site in fold.sites},
        moved=frozenset(site for site, name in names.items() if name in gone),
        lines=_once(line(hop.hop, *edge) for hop in paths.network for edge in hop.edges),
        routes={
            route.axis: _once(line(step.hop, step.first, step.second, step.offset) for step in route.passages)
            for route in paths.routes
        },
    )


def _bulk(case: Case, network: HopNetwork | None, atoms: "Atoms") -> NetworkMap:
    from seiflow.properties.migration.network import make_supercell

    assert network is not None  # noqa: S101 - chosen for having one
    matrix = np.array(network.supercell, dtype=np.int64)
    fold = _Fold(atoms, make_supercell(atoms, matrix), network.mobile, network.atoms)
    ends = {hop.hop: (hop.initial_energy_ev, hop.final_energy_ev) for hop in case.hops}
    lowest = min((energy for pair in ends.values() for energy in pair), default=0.0)
    levels = {hop.hop: max(hop.saddle_energy_ev, *ends[hop.hop]) - lowest for hop in case.hops}
    energies = {
        name: energy - lowest
        for hop in network.hops
        if hop.hop in ends
        for name, energy in zip((hop.site_initial, hop.site_final), ends[hop.hop], strict=True)
    }
    names = fold.names(network.sites, network.hops)
    lines = _once(
        Line(hop.hop, *fold(*edge), levels.get(hop.hop), "computed" if hop.hop in levels else "failed")
        for hop in network.hops
        for edge in hop.edges
    )
    sites = {site: energies.get(names.get(site, "")) for site in fold.sites}
    return NetworkMap(case.structure, case.calculator, network.mobile, atoms, sites, frozenset(), lines, _best(fold.sites, lines))


def _best(sites: Iterable[int], lines: Sequence[Line]) -> dict[str, tuple[Line, ...]]:
    """Return the best path along each cell vector over computed hops; no entry where they form none."""
    from seiflow.properties.migration.percolation import Edge, best_path, thresholds

    known = [(line, line.level_ev) for line in lines if line.level_ev is not None]
    edges = [Edge(line.first, line.second, line.offset, level) for line, level in known]
    return {
        name: tuple(known[step.edge][0] for step in best_path(edges, axis, level))
        for axis, (name, level) in enumerate(zip("abc", thresholds(sites, edges).along, strict=True))
        if np.isfinite(level)
    }


def _once(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Return each hop once, whichever way it was written."""
    found: dict[tuple[str, int, int, Offset], Line] = {}
    for line in lines:
        back = (line.offset[0] * -1, line.offset[1] * -1, line.offset[2] * -1)
        there, home = (line.first, line.second, line.offset), (line.second, line.first, back)
        found.setdefault((line.hop, *min(there, home)), line)
    return tuple(found.values())


class _Fold:
    """Brings sites and hops of a supercell back into the cell."""

    def __init__(self, cell: "Atoms", supercell: "Atoms", species: str, atoms: int) -> None:
        if len(supercell) != atoms:
            message = f"its supercell has {len(supercell)} atoms, not {atoms}"
            raise IndexError(message)
        inverse = np.linalg.inv(cell.cell.array)
        self._size = len(cell)
        steps = (supercell.positions - np.tile(cell.positions, (len(supercell) // len(cell), 1))) @ inverse
        self._cells: NDArray[np.int64] = np.rint(steps).astype(int)
        if len(steps) and np.abs((steps - self._cells) @ cell.cell.array).max() > MISPLACED:
            message = "its supercell is numbered differently"
            raise IndexError(message)
        self._matrix = np.rint(supercell.cell.array @ inverse).astype(int)
        self.sites: list[int] = np.flatnonzero(cell.symbols == species).tolist()
        self._known = set(self.sites)

    def site(self, index: int) -> int:
        """Return the site of the cell that a site of the supercell is an image of."""
        folded = index % self._size
        if not 0 <= index < len(self._cells) or folded not in self._known:
            message = f"atom {index} of its supercell is no site"
            raise IndexError(message)
        return folded

    def __call__(self, first: int, second: int, offset: Offset) -> tuple[int, int, Offset]:
        """Return a hop of the supercell in the cell."""
        ends = self.site(first), self.site(second)
        step = self._cells[second] - self._cells[first] + np.array(offset) @ self._matrix
        return (*ends, (int(step[0]), int(step[1]), int(step[2])))

    def names(self, sites: Sequence[NamedSite], hops: Sequence[HopEdges]) -> dict[int, str]:
        """Return which class each site belongs to: from one site of each class, every hop tells its other end's."""
        found = {self.site(site.index): site.site for site in sites}
        around: dict[int, list[tuple[int, dict[str, str]]]] = {}
        for hop in hops:
            other = {hop.site_initial: hop.site_final, hop.site_final: hop.site_initial}
            for first, second, _ in hop.edges:
                one, two = self.site(first), self.site(second)
                around.setdefault(one, []).append((two, other))
                around.setdefault(two, []).append((one, other))
        waiting = list(found)
        while waiting:
            site = waiting.pop()
            for neighbour, other in around.get(site, ()):
                if neighbour not in found and found[site] in other:
                    found[neighbour] = other[found[site]]
                    waiting.append(neighbour)
        return found
