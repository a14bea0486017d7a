"""Single hops of a boundary or interface: what they cost at least, at most, and what they cost."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

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
from seiflow.properties.migration.search import Way
from seiflow.properties.migration.states import LARGEST_DISPLACEMENT, Ends, Vacancy, hop_ends
from seiflow.properties.migration.symmetry import SiteSymmetry
from seiflow.settings import MigrationSettings

if TYPE_CHECKING:
    from ase import Atoms

ONE_STATE = "no barrier: both ends are one state"
DOWNHILL = "no barrier: a band is highest at one end"


class _Hop(Way, Protocol):
    """A class of hops with the number of them."""

    @property
    def multiplicity(self) -> int: ...


H = TypeVar("H", bound=_Hop)


class PlanarHops(ABC, Generic[H]):
    """Computes hops and keeps what is known of them: the :class:`~seiflow.properties.migration.search.Costs` of a search.

    Attributes:
        barriers: Of hops with a saddle, by name.
        frames: Their structures, in the same order.
        summaries: Of all hops computed.
        begun: Hops whose saddles were looked for, whether they were found or not.
    """

    def __init__(self, engine: Engine, settings: MigrationSettings) -> None:
        """Take what evaluates, and limits."""
        self._engine = engine
        self._settings = settings
        self._on_the_way: dict[str, Atoms] = {}
        self._heights: dict[str, float] = {}
        self.barriers: dict[str, Barrier] = {}
        self.frames: list[Frames] = []
        self.summaries: list[HopSummary] = []
        self.begun: set[str] = set()

    @abstractmethod
    def ends(self, hop: H) -> Ends:
        """Return the two states of a hop."""

    @abstractmethod
    def described(self, hop: H) -> str:
        """Return the hop in words."""

    def one_state(self, ends: Ends) -> bool:
        """Tell whether two states are one, because an ion came over without a barrier."""
        return has_arrived(ends.initial, ends.final, ends.mover)

    def check_one_state(self, hop: H) -> None:
        """Raise a :class:`PhysicsError` if the ends of a hop are one state and it is not known what lies between its sites."""

    def check_barrier(self, hop: H, barrier: Barrier, frames: Frames) -> None:
        """Raise a :class:`PhysicsError` if a barrier is none."""

    def bound(self, hop: H) -> float:
        """Return what a hop costs at least, eV."""
        ends = self.ends(hop)
        if self.one_state(ends):
            return max(ends.energy_initial, ends.energy_final)
        self._engine.report(f"{self.described(hop)}, a bound")
        found = divide(ends, self._engine)
        self._on_the_way[hop.hop] = found.lowest
        return found.bound

    def ceiling(self, hop: H) -> float:
        """Return the highest energy of some way over a hop, eV: of the one that a search for its saddle left, if there is one.

        Raises:
            PhysicsError: if its ends are one state and it is not known what lies between its sites.
        """
        ends = self.ends(hop)
        if self.one_state(ends):
            self.check_one_state(hop)
            return max(ends.energy_initial, ends.energy_final)
        if hop.hop in self._heights:
            return self._heights[hop.hop]
        self._engine.report(f"{self.described(hop)}, a path")
        return highest_of_path(ends, self._engine, self._settings, self._on_the_way.get(hop.hop))

    def level(self, hop: H) -> float:
        """Return the highest energy of a hop, eV."""
        ends = self.ends(hop)
        if self.one_state(ends):
            self.check_one_state(hop)
            level = max(ends.energy_initial, ends.energy_final)
            self._add(hop, ONE_STATE, level - ends.energy_initial, level - ends.energy_final)
            return level
        self._engine.report(self.described(hop))
        self.begun.add(hop.hop)
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
        self._heights[hop.hop] = barrier.level_ev
        self.check_barrier(hop, barrier, frames)
        self.barriers[hop.hop] = barrier
        for name, frame in (("initial", frames.initial), ("saddle", frames.saddle), ("final", frames.final)):
            frame.info |= {"hop": hop.hop, "frame": name}
        self.frames.append(frames)
        self._add(hop, barrier.method, barrier.barrier_forward_ev, barrier.barrier_backward_ev)
        return barrier.level_ev

    def _add(self, hop: H, method: str, forward: float, backward: float) -> None:
        self.summaries.append(HopSummary(hop.hop, hop.distance_angstrom, hop.multiplicity, method, forward, backward))


class VacancyHops(PlanarHops[Hop]):
    """Hops of a vacancy."""

    def __init__(
        self,
        supercell: "Atoms",
        vacancies: Mapping[str, Vacancy],
        symmetry: SiteSymmetry,
        engine: Engine,
        settings: MigrationSettings,
    ) -> None:
        """Take the perfect supercell, its vacancies by site and its symmetry."""
        super().__init__(engine, settings)
        self._supercell = supercell
        self._vacancies = vacancies
        self._symmetry = symmetry

    def ends(self, hop: Hop) -> Ends:
        """Return the two states of a hop.

        Raises:
            PhysicsError: if a vacancy at one of them did not relax.
        """
        missing = [site for site in dict.fromkeys((hop.site_initial, hop.site_final)) if site not in self._vacancies]
        if missing:
            message = f"the vacancy at {' and that at '.join(missing)} did not relax"
            raise PhysicsError(message)
        return hop_ends(self._supercell, hop, self._vacancies, self._symmetry)

    def described(self, hop: Hop) -> str:
        """Return the hop in words."""
        return f"{hop.hop}: {hop.site_initial} to {hop.site_final}, {hop.distance_angstrom:.2f} Å"

    def one_state(self, ends: Ends) -> bool:
        """Tell whether two states are one, because an ion came over without a barrier."""
        return has_arrived(ends.initial, ends.final, ends.mover)

    def check_one_state(self, hop: Hop) -> None:
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
