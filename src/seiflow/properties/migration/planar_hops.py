"""Single hops of a boundary or interface: what they cost at least, at most, and what they cost."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from seiflow.engine import Engine
from seiflow.errors import PhysicsError
from seiflow.properties.migration.band import NoBarrierError, NoSaddleError
from seiflow.properties.migration.crossing import highest_of_path
from seiflow.properties.migration.descent import has_arrived
from seiflow.properties.migration.dividing import divide
from seiflow.properties.migration.hop import Barrier, Frames, barrier_between
from seiflow.properties.migration.migration import HopSummary
from seiflow.properties.migration.network import Hop
from seiflow.properties.migration.states import LARGEST_DISPLACEMENT, Ends, Vacancy, hop_ends
from seiflow.properties.migration.symmetry import SiteSymmetry
from seiflow.settings import MigrationSettings

if TYPE_CHECKING:
    from ase import Atoms

ONE_STATE = "no barrier: both ends are one state"
DOWNHILL = "no barrier: a band is highest at one end"


class PlanarHops:
    """Computes hops and keeps what is known of them: the :class:`~seiflow.properties.migration.search.Costs` of a search.

    Attributes:
        barriers: Of hops with a saddle, by name.
        frames: Their structures, in the same order.
        summaries: Of all hops computed.
    """

    def __init__(
        self,
        supercell: "Atoms",
        vacancies: Mapping[str, Vacancy],
        symmetry: SiteSymmetry,
        engine: Engine,
        settings: MigrationSettings,
    ) -> None:
        """Take the perfect supercell, its vacancies by site and its symmetry."""
        self._supercell = supercell
        self._vacancies = vacancies
        self._symmetry = symmetry
        self._engine = engine
        self._settings = settings
        self._on_the_way: dict[str, Atoms] = {}
        self._heights: dict[str, float] = {}
        self.barriers: dict[str, Barrier] = {}
        self.frames: list[Frames] = []
        self.summaries: list[HopSummary] = []

    def bound(self, hop: Hop) -> float:
        """Return what a hop costs at least, eV."""
        ends = self._ends(hop)
        if has_arrived(ends.initial, ends.final, ends.mover):
            return max(ends.energy_initial, ends.energy_final)
        self._engine.report(f"{hop.hop}: {hop.site_initial} to {hop.site_final}, {hop.distance_angstrom:.2f} Å, a bound")
        found = divide(ends, self._engine)
        self._on_the_way[hop.hop] = found.lowest
        return found.bound

    def ceiling(self, hop: Hop) -> float:
        """Return the highest energy of some way over a hop, eV: of the path of a band if one was run.

        Raises:
            PhysicsError: if its ends are one state and it is not known what lies between its sites.
        """
        ends = self._ends(hop)
        if has_arrived(ends.initial, ends.final, ends.mover):
            self._refuse_ridge(hop)
            return max(ends.energy_initial, ends.energy_final)
        if hop.hop in self._heights:
            return self._heights[hop.hop]
        self._engine.report(f"{hop.hop}: {hop.site_initial} to {hop.site_final}, {hop.distance_angstrom:.2f} Å, a path")
        return highest_of_path(ends, self._engine, self._settings, self._on_the_way.get(hop.hop))

    def level(self, hop: Hop) -> float:
        """Return the highest energy of a hop, eV."""
        ends = self._ends(hop)
        if has_arrived(ends.initial, ends.final, ends.mover):
            self._refuse_ridge(hop)
            level = max(ends.energy_initial, ends.energy_final)
            self._add(hop, ONE_STATE, level - ends.energy_initial, level - ends.energy_final)
            return level
        self._engine.report(f"{hop.hop}: {hop.site_initial} to {hop.site_final}, {hop.distance_angstrom:.2f} Å")
        try:
            most = self._settings.hop_evaluations
            barrier, frames = barrier_between(
                ends, hop.hop, hop.distance_angstrom, self._engine, self._settings, most_evaluations=most
            )
        except NoSaddleError as error:
            self._heights[hop.hop] = error.height_ev
            raise
        except NoBarrierError:
            level = max(ends.energy_initial, ends.energy_final)
            self._add(hop, DOWNHILL, level - ends.energy_initial, level - ends.energy_final)
            return level
        self.barriers[hop.hop] = barrier
        for name, frame in (("initial", frames.initial), ("saddle", frames.saddle), ("final", frames.final)):
            frame.info |= {"hop": hop.hop, "frame": name}
        self.frames.append(frames)
        self._add(hop, barrier.method, barrier.barrier_forward_ev, barrier.barrier_backward_ev)
        return barrier.level_ev

    def _refuse_ridge(self, hop: Hop) -> None:
        """Refuse a site whose vacancy could have fallen into any of several equal ones: it lies on the ridge between them."""
        fallen = [
            site
            for site, name in ((hop.initial, hop.site_initial), (hop.final, hop.site_final))
            if np.linalg.norm(self._vacancies[name].displacements_angstrom, axis=1).max() > LARGEST_DISPLACEMENT
        ]
        for site in fallen:
            ways = sum(site in (first, second) for first, second, _ in hop.edges)
            if ways > 1:
                message = (
                    f"the vacancy at its one end fell into that at its other end, which is one of {ways} equal ones: what lies "
                    "between these is not known"
                )
                raise PhysicsError(message)

    def _ends(self, hop: Hop) -> Ends:
        return hop_ends(self._supercell, hop, self._vacancies, self._symmetry)

    def _add(self, hop: Hop, method: str, forward: float, backward: float) -> None:
        self.summaries.append(HopSummary(hop.hop, hop.distance_angstrom, hop.multiplicity, method, forward, backward))
