"""Cost of asymmetric vacancy hops: seiflow and climbing bands with ASE, from the same ends, on the same potential.

Run ``python benchmarks/bands.py [FOLDER]``. One thread. With a folder, evaluations are kept there, and a run that was stopped
goes on where it was. The hops are those of crystalline Li2CO3 that no operation turns round and hops between sites next to
boundaries, both with CHGNet, in small supercells; and hops next to boundaries of copper with EMT. Both methods get the same
relaxed ends, which are not counted. What comes after is: for seiflow the search, which gives what a band gives, then the proof
that the saddle has one negative mode and the descents to both ends, which a band does not give; ratios are printed for the search
alone and for all. The search is all that comes before the last proof: attempts that failed, bands, and, where a hop has several
saddles, what was spent on the others. For ASE it is five images from the image-dependent pair potential, improved tangents,
climbing once the largest force is below 0.5 eV/Å.

A band converged to 0.05 eV/Å can be far from the saddle in energy where many atoms still relax a little. Each optimiser of ASE
therefore goes on to tighter tolerances until its barrier agrees with that of seiflow within 5 meV, or until it needs more
evaluations than the best one so far. The fewest evaluations for both, and by how much the band is higher, are printed. A band
that has not come so far after 800 evaluations is stopped; its number and the ratios are then bounds.
"""

import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.mep import NEB
from ase.mep.neb import NEBOptimizer
from ase.neighborlist import neighbor_list
from ase.optimize import BFGS, FIRE
from ase.optimize.optimize import Optimizer
from elasticity import relaxed_phase

from seiflow.calculators.chgnet import chgnet
from seiflow.engine import Engine
from seiflow.errors import PhysicsError, SeiflowError
from seiflow.journal import Journal
from seiflow.planar_settings import PlanarSettings
from seiflow.properties.migration.finding import BAND
from seiflow.properties.migration.hop import barrier_between
from seiflow.properties.migration.network import hop_network, make_supercell
from seiflow.properties.migration.states import LARGEST_DISPLACEMENT, Ends
from seiflow.properties.planar import planar_relaxation
from seiflow.settings import MigrationSettings
from seiflow.shelves import boundary_shelf, phase_shelf
from seiflow.structures.defect_sites import defect_supercell
from seiflow.structures.grain_boundary import build_grain_boundary
from seiflow.structures.planar_recipes import GrainBoundaryRecipe

CRYSTAL, CRYSTAL_IMAGE_DISTANCE, CRYSTAL_CUTOFF = "Li2CO3", 6.0, 4.0


@dataclass(frozen=True)
class BoundaryHops:
    """Hops of one boundary.

    Attributes:
        recipe: Of the boundary.
        image_distance: Between images of the vacancy, Å.
        longest: Hop, Å.
        hops: How many at most.
    """

    recipe: GrainBoundaryRecipe
    image_distance: float
    longest: float
    hops: int


def copper(x: int, y: int, z: int) -> GrainBoundaryRecipe:
    """Return the recipe of a mirror boundary of copper."""
    return GrainBoundaryRecipe(
        kind="grain_boundary", name=f"Cu-{x}{y}{z}", summary="", phase="Cu", plane=(x, y, z), type="mirror", thickness_angstrom=8
    )


IONIC = [BoundaryHops(boundary_shelf().get("Li2CO3-001-mirror"), 4.8, 3.3, 3)]
IONIC.append(BoundaryHops(boundary_shelf().get("Li2O-111-mirror"), 5.6, 3.3, 3))
METALLIC = [BoundaryHops(copper(*plane), 7.0, 3.0, 3) for plane in ((2, 1, 0), (2, 1, 1), (3, 1, 1))]

ASYMMETRIC = 0.002
"""eV; ends of a hop whose energies differ by more are no images of each other."""

IMAGES = 5
BEFORE_CLIMBING = 0.5
TOLERANCES = (0.05, 0.03, 0.02, 0.01)
MOST = 800
AGREE = 0.005
OPTIMISERS: dict[str, Callable[[NEB], Optimizer]] = {
    "NEBOptimizer": lambda band: NEBOptimizer(band, logfile=None),
    "BFGS": lambda band: BFGS(band, logfile=None),
    "FIRE": lambda band: FIRE(band, logfile=None),
}


@dataclass(frozen=True)
class Case:
    """A hop to be timed."""

    name: str
    ends: Ends


@dataclass(frozen=True)
class Reached:
    """Where a band stood when it met a tolerance or was stopped: evaluations so far, barrier (eV), largest force (eV/Å)."""

    evaluations: int
    barrier: float
    largest_force: float
    converged: bool


class Remembering(Calculator):  # type: ignore[misc] # the base class is untyped
    """Does not compute a structure twice, so that a band that goes on to a tighter tolerance need not wait for its beginning."""

    implemented_properties = ("energy", "free_energy", "forces", "stress")

    def __init__(self, calculator: Calculator) -> None:
        """Ask another calculator."""
        super().__init__()
        self._calculator = calculator
        self._known: dict[tuple[bytes, tuple[str, ...]], dict[str, object]] = {}

    def calculate(self, atoms: Atoms, properties: list[str], system_changes: list[str] = all_changes) -> None:
        """Compute or remember."""
        key = (atoms.positions.tobytes() + atoms.cell.array.tobytes() + atoms.numbers.tobytes(), tuple(properties))
        if key not in self._known:
            self._calculator.calculate(atoms, properties, system_changes)
            self._known[key] = dict(self._calculator.results)
        self.results = dict(self._known[key])


class OutOfEvaluationsError(Exception):
    """A band was stopped."""


class Counter:
    """Evaluations of seiflow until its last proof, for that, and after it, told apart by what it reports."""

    def __init__(self, engine: Engine) -> None:
        """Listen to an engine."""
        self._heard: list[tuple[bool, int]] = []
        self._engine, self._before = engine, engine.force_evaluations
        engine.report = self._hear

    def _hear(self, line: str) -> None:
        self._heard.append((line.startswith("modes"), self._engine.force_evaluations - self._before))
        self._before = self._engine.force_evaluations

    def stages(self) -> dict[str, int]:
        """Return the evaluations of each stage; what was not reported belongs to the last one."""
        counts = [count for _, count in self._heard]
        proofs = [number for number, (proof, _) in enumerate(self._heard) if proof]
        end = proofs[-1] + 1 if proofs else len(counts)
        begin = end
        while begin and self._heard[begin - 1][0]:
            begin -= 1
        after = sum(counts[end:]) + self._engine.force_evaluations - self._before
        return {"search": sum(counts[:begin]), "proof": sum(counts[begin:end]), "descents": after}


def crystal_cases(crystal: Atoms, engine: Engine) -> Iterator[Case]:
    """Return the hops of the crystal that no operation turns round."""
    settings = MigrationSettings(image_distance=CRYSTAL_IMAGE_DISTANCE, cutoff=CRYSTAL_CUTOFF)
    network = hop_network(crystal, phase_shelf().get(CRYSTAL).mobile or "", settings)
    supercell = make_supercell(crystal, network.supercell)
    for hop in network.hops:
        if not hop.symmetric:
            ends = relaxed_ends(supercell, hop.initial, hop.final, np.array(hop.vector_angstrom), engine)
            yield Case(f"{CRYSTAL} {hop.distance_angstrom:.2f} Å", ends)


def boundary_cases(wanted: BoundaryHops, calculator: Calculator, engine: Engine) -> Iterator[Case]:
    """Return the first hops next to a boundary whose vacancies stay where they are and have unlike energies."""
    recipe, phase = wanted.recipe, phase_shelf().get(wanted.recipe.phase)
    name, species = recipe.name, phase.mobile or ""
    built = build_grain_boundary(recipe, phase, relaxed_phase(recipe.phase, calculator)).atoms
    relaxed, _ = planar_relaxation(built, [phase], engine, PlanarSettings(), name=name)
    relaxed.set_constraint()
    found = defect_supercell(relaxed, species=species, image_distance=wanted.image_distance)
    first, second, lengths, vectors = neighbor_list("ijdD", found.atoms, wanted.longest)
    hops = 0
    for site in found.sites:
        from_here = np.flatnonzero((first == site.index) & (found.atoms.symbols[second] == species))
        for pair in from_here[np.argsort(lengths[from_here], kind="stable")][:1]:
            try:
                ends = relaxed_ends(found.atoms, site.index, int(second[pair]), vectors[pair], engine)
            except SeiflowError as error:
                print(f"{name}, {site.name}: {error}", flush=True)
                continue
            if abs(ends.energy_final - ends.energy_initial) > ASYMMETRIC:
                yield Case(f"{name}, {site.name} {lengths[pair]:.2f} Å", ends)
                hops += 1
        if hops == wanted.hops:
            return


def relaxed_ends(supercell: Atoms, start: int, end: int, vector: np.ndarray, engine: Engine) -> Ends:
    """Relax both ends of a hop from site ``start`` to the empty site ``end``."""
    rest = np.delete(np.arange(len(supercell)), end)
    mover = int(np.flatnonzero(rest == start)[0])
    states = [supercell[rest], supercell[rest]]
    states[1].positions[mover] += vector
    relaxed = [engine.relax(state, fmax=MigrationSettings().fmax, label="vacancy") for state in states]
    for state, now in zip(states, relaxed, strict=True):
        farthest = float(np.linalg.norm(now.positions - state.positions, axis=1).max())
        if farthest > LARGEST_DISPLACEMENT:
            message = f"no hop: an ion moved {farthest:.2f} Å"
            raise PhysicsError(message)
    energies = [state.get_potential_energy() for state in relaxed]
    return Ends(relaxed[0].copy(), relaxed[1].copy(), mover, *energies, swaps=())


def ase_band(ends: Ends, optimiser: str, engine: Engine, most: int, wanted: float) -> list[Reached]:
    """Return what a band reached at each tolerance until its barrier is the one that is wanted, or it is stopped."""
    images = [ends.initial.copy(), *(engine.attach(ends.initial) for _ in range(IMAGES)), ends.final.copy()]
    for end, energy in ((images[0], ends.energy_initial), (images[-1], ends.energy_final)):
        end.calc = SinglePointCalculator(end, energy=energy, forces=np.zeros((len(end), 3)))
    band = NEB(images, method="improvedtangent", allow_shared_calculator=True)
    band.interpolate(method="idpp", mic=True)
    before = engine.force_evaluations

    def check() -> None:
        if engine.force_evaluations - before >= most:
            raise OutOfEvaluationsError

    def standing(*, converged: bool) -> Reached:
        barrier = float(band.energies[1:-1].max()) - ends.energy_initial
        return Reached(engine.force_evaluations - before, barrier, float(band.get_residual()), converged)

    steps = OPTIMISERS[optimiser](band)
    steps.attach(check)
    reached: list[Reached] = []
    try:
        for fmax in (BEFORE_CLIMBING, *TOLERANCES):
            band.climb = fmax < BEFORE_CLIMBING
            steps.run(fmax=fmax, steps=most)
            if band.climb:
                reached.append(standing(converged=True))
                if abs(reached[-1].barrier - wanted) <= AGREE:
                    break
    except OutOfEvaluationsError:
        reached.append(standing(converged=False))
    return reached


@dataclass(frozen=True)
class Cost:
    """Evaluations of a hop.

    Attributes:
        search: Of seiflow until the saddle was there, which is what a band gives.
        own: Of seiflow with the proof of the saddle and the descents to both ends.
        first: Of ASE to its first tolerance.
        same: Of ASE to the same barrier.
        converged: Whether ASE got to its first tolerance.
        agreed: Whether ASE got to the same barrier.
    """

    search: int
    own: int
    first: int
    same: int
    converged: bool
    agreed: bool

    def __str__(self) -> str:
        """Return the evaluations with proof, and those of ASE each with the ratios to it of the search and of all.

        Where ASE was stopped they are bounds.
        """
        told = f"{self.own:7d}"
        for count, met in ((self.first, self.converged), (self.same, self.agreed)):
            bound = "" if met else "<"
            ratios = [f"{bound}{own / count:.2f}" for own in (self.search, self.own)]
            told += f"{'' if met else '>'}{count}".rjust(8) + "".join(ratio.rjust(7) for ratio in ratios)
        return told


def compare(case: Case, engine: Engine) -> Cost:
    """Print one hop, and return what it cost."""
    counter = Counter(engine)
    found, _ = barrier_between(case.ends, case.name, case.ends.length, engine, MigrationSettings())
    barrier, minima, stages = found.barrier_forward_ev, len(found.intermediate_minima_ev), counter.stages()
    engine.report = lambda _: None

    def agrees(last: Reached) -> bool:
        return last.converged and abs(last.barrier - barrier) <= AGREE

    runs: dict[str, list[Reached]] = {}
    fewest = MOST
    for optimiser in OPTIMISERS:
        runs[optimiser] = ase_band(case.ends, optimiser, engine, fewest, barrier)
        if agrees(runs[optimiser][-1]):
            fewest = min(fewest, runs[optimiser][-1].evaluations)
    first = min((reached[0] for reached in runs.values()), key=lambda each: (not each.converged, each.evaluations))
    best = min(runs, key=lambda name: (not agrees(runs[name][-1]), abs(runs[name][-1].barrier - barrier)))
    best = min((name for name in runs if agrees(runs[name][-1])), key=lambda name: runs[name][-1].evaluations, default=best)
    last = runs[best][-1]
    cost = Cost(stages["search"], sum(stages.values()), first.evaluations, last.evaluations, first.converged, agrees(last))
    told = "".join(f"{count:9d}" for count in stages.values())
    higher = "".join(f"{1000 * (run.barrier - barrier):9.1f}" for run in (first, last))
    method = f", {found.method}" if found.method == BAND else ""
    ended = "converged" if last.converged else "stopped"
    notes = f"  {best}{'' if agrees(last) else f', {ended} at {last.largest_force:.3f} eV/Å'}{method}"
    print(f"{case.name:34}{len(case.ends.initial):6d}{barrier:9.4f}{minima:7d}{told}{cost}{higher}{notes}", flush=True)
    return cost


def compared(cases: Iterable[Case], engine: Engine) -> Iterator[Cost]:
    """Compare hops; one that seiflow cannot compute is told and not in the totals, a structure that fails ends its cases."""
    waiting = iter(cases)
    while True:
        try:
            yield compare(next(waiting), engine)
        except StopIteration:
            return
        except SeiflowError as error:
            print(f"left out: {error}", flush=True)


def total(costs: list[Cost]) -> Cost:
    """Return the sum over hops."""
    return Cost(
        sum(cost.search for cost in costs),
        sum(cost.own for cost in costs),
        sum(cost.first for cost in costs),
        sum(cost.same for cost in costs),
        all(cost.converged for cost in costs),
        all(cost.agreed for cost in costs),
    )


def halves(costs: list[Cost]) -> None:
    """Print how many hops took at most half of a band, like for like and with what a band does not give."""
    met = [cost for cost in costs if cost.agreed]
    for what, name in (("search", "search"), ("search, proof and descents", "own")):
        half = sum(2 * getattr(cost, name) <= cost.same for cost in met)
        print(f"at most half of a band with the same barrier: {what} in {half} of {len(met)} hops where a band came to it")
    loose = sum(2 * cost.search <= cost.first for cost in costs)
    print(f"at most half of a band to 0.05 eV/Å, whatever its barrier: search in {loose} of {len(costs)}")
    print(f"no band came to the barrier in {len(costs) - len(met)} hops")


def main(folder: Path) -> None:
    """Print a line for each hop, and the totals."""
    print(f"{'':56}{'seiflow':>34}{'ASE to 0.05 eV/Å':>22}{'to the same barrier':>22}{'ASE higher, meV':>18}")
    print(
        f"{'hop':34}{'atoms':>6}{'barrier':>9}{'minima':>7}{'search':>9}{'proof':>9}{'descents':>9}{'all':>7}"
        f"{'all':>8}{'search':>7}{'ratio':>7}{'all':>8}{'search':>7}{'ratio':>7}{'at 0.05':>9}{'at last':>9}  optimiser"
    )
    calculator = Remembering(chgnet())
    crystal = Engine(calculator, Journal(folder / "crystal.jsonl"))
    ionic = list(compared(crystal_cases(relaxed_phase(CRYSTAL, calculator), crystal), crystal))
    for wanted in IONIC:
        engine = Engine(calculator, Journal(folder / f"{wanted.recipe.name}.jsonl"))
        ionic += compared(boundary_cases(wanted, calculator, engine), engine)
    print(f"{'all with CHGNet':83}{total(ionic) if ionic else 'nothing'}")
    halves(ionic)
    metallic = []
    for wanted in METALLIC:
        engine = Engine(EMT(), Journal(folder / f"{wanted.recipe.name}.jsonl"))
        metallic += compared(boundary_cases(wanted, EMT(), engine), engine)
    print(f"{'all with EMT':83}{total(metallic) if metallic else 'nothing'}")
    halves(metallic)


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch))
