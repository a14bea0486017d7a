"""Cost and accuracy of a vacancy hop: seiflow, climbing bands with plain ASE, and matcalc, on the same potential.

Run ``python benchmarks/migration.py [IMAGE_DISTANCE]``. One thread. The hop is the shortest one of the mobile ion. Every method
gets the same supercell and the same calculator, which computes no stress unless asked. The peers relax both ends and move five
images; matcalc is given the ends that ASE relaxed. The reference is a band that starts off the straight line and is converged
tightly. The default supercells are small, for a run of minutes; 8 (Å) is the distance that seiflow takes by default.
"""

import io
import sys
import time
import warnings
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.mep import NEB, NEBTools
from ase.optimize import BFGS
from elasticity import CountingCalculator, relaxed_phase

from seiflow.calculators.chgnet import chgnet
from seiflow.engine import Engine
from seiflow.properties.migration.hop import Barrier, hop_barrier
from seiflow.properties.migration.network import Hop, Network, hop_network, make_supercell
from seiflow.properties.migration.states import relax_vacancy
from seiflow.properties.migration.symmetry import site_symmetry
from seiflow.settings import MigrationSettings
from seiflow.structures.space_group import SYMMETRY_TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Callable

PHASES = {"LiF": "Li", "Li2O": "Li"}
IMAGE_DISTANCE = 5.5
IMAGES = 5
END_FMAX = 0.01
BAND_FMAX = 0.05
TIGHT = 0.02
OFF_THE_LINE = 0.1
MOST_STEPS = 250
REFERENCE = f"ASE band, off the line, fmax {TIGHT:g}"


@dataclass(frozen=True)
class Outcome:
    """What a method found and what it took; evaluations and seconds include the ends."""

    barrier: float
    evaluations: int
    seconds: float
    converged: bool


@dataclass(frozen=True)
class Band:
    """The two relaxed ends of a hop, the index of the ion that moves, and what the ends took."""

    initial: Atoms
    final: Atoms
    mover: int
    evaluations: int
    seconds: float


def seiflow(crystal: Atoms, network: Network, settings: MigrationSettings, calculator: Calculator) -> tuple[Outcome, Barrier]:
    """Run seiflow: the vacancies that the hop needs, its saddle and the proof."""
    start = time.perf_counter()
    engine = Engine(calculator)
    supercell = make_supercell(crystal, network.supercell)
    hop = network.hops[0]
    needed = [site for site in network.sites if site.site in (hop.site_initial, hop.site_final)]
    vacancies = {site.site: relax_vacancy(supercell, site, engine, settings) for site in needed}
    barrier, _ = hop_barrier(supercell, hop, vacancies, site_symmetry(supercell), engine, settings)
    return Outcome(barrier.barrier_forward_ev, engine.force_evaluations, time.perf_counter() - start, converged=True), barrier


def relaxed_ends(supercell: Atoms, hop: Hop, calculator: Calculator) -> Band:
    """Relax both ends of a hop with ASE, one after the other."""
    start = time.perf_counter()
    counting = CountingCalculator(calculator)
    rest = np.delete(np.arange(len(supercell)), hop.final)
    mover = int(np.flatnonzero(rest == hop.initial)[0])
    initial, final = supercell[rest], supercell[rest]
    final.positions[mover] += np.array(hop.vector_angstrom)
    for end in (initial, final):
        end.calc = counting
        if not BFGS(end, logfile=None).run(fmax=END_FMAX, steps=MOST_STEPS):
            print("  an end did not converge")
        end.calc = None
    return Band(initial, final, mover, counting.evaluations, time.perf_counter() - start)


def ase_band(band: Band, calculator: Calculator, *, off: float, fmax: float) -> Outcome:
    """Run a climbing band with ASE, its moving ion bowed off the straight line by ``off`` Å in the middle."""
    start = time.perf_counter()
    counting = CountingCalculator(calculator)
    images = [band.initial.copy() for _ in range(IMAGES + 1)] + [band.final.copy()]
    for image in images:
        image.calc = counting
    neb = NEB(images, climb=True, method="improvedtangent", allow_shared_calculator=True)
    neb.interpolate(method="idpp", mic=True)
    chord = band.final.positions[band.mover] - band.initial.positions[band.mover]
    across = np.cross(chord, np.random.default_rng(0).normal(size=3))
    for number, image in enumerate(images[1:-1], start=1):
        image.positions[band.mover] += off * np.sin(np.pi * number / (IMAGES + 1)) * across / np.linalg.norm(across)
    converged = bool(BFGS(neb, logfile=None).run(fmax=fmax, steps=MOST_STEPS))
    barrier = float(NEBTools(neb.images).get_barrier(fit=False)[0])
    evaluations = band.evaluations + counting.evaluations
    return Outcome(barrier, evaluations, band.seconds + time.perf_counter() - start, converged)


def matcalc_band(band: Band, calculator: Calculator) -> Outcome:
    """Run matcalc's band between the given ends, with its defaults but for the number of images and the tolerance."""
    from matcalc import NEBCalc
    from pymatgen.io.ase import AseAtomsAdaptor

    start = time.perf_counter()
    counting = CountingCalculator(calculator)
    task = NEBCalc(counting, fmax=BAND_FMAX, max_steps=MOST_STEPS)
    ends = [AseAtomsAdaptor.get_structure(end) for end in (band.initial, band.final)]
    with redirect_stdout(io.StringIO()):
        found: dict[str, Any] = task.calc_images(*ends, n_images=IMAGES)
    evaluations = band.evaluations + counting.evaluations
    return Outcome(float(found["barrier"]), evaluations, band.seconds + time.perf_counter() - start, bool(found["converged"]))


def compare(name: str, mobile: str, image_distance: float) -> None:
    """Print one line for each method, and the evidence that seiflow gives."""
    calculator = chgnet()
    crystal = primitive_cell(relaxed_phase(name, calculator))
    settings = MigrationSettings(image_distance=image_distance)
    network = hop_network(crystal, mobile, settings)
    supercell, hop = make_supercell(crystal, network.supercell), network.hops[0]
    own, evidence = seiflow(crystal, network, settings, calculator)
    band = relaxed_ends(supercell, hop, calculator)
    peers: dict[str, Callable[[], Outcome]] = {
        f"ASE band, on the line, fmax {BAND_FMAX:g}": lambda: ase_band(band, calculator, off=0.0, fmax=BAND_FMAX),
        REFERENCE: lambda: ase_band(band, calculator, off=OFF_THE_LINE, fmax=TIGHT),
        f"matcalc, fmax {BAND_FMAX:g}": lambda: matcalc_band(band, calculator),
    }
    found = {"seiflow": own} | {label: method() for label, method in peers.items()}
    apart = f"{network.image_distance_angstrom:.2f} Å apart"
    print(f"\n{name}, hop of {hop.distance_angstrom:.3f} Å, {network.atoms - 1} atoms, images {apart}")
    print(f"{'method':34}{'evaluations':>12}{'ratio':>8}{'seconds':>9}{'ratio':>8}{'barrier eV':>12}{'difference meV':>16}")
    for label, outcome in found.items():
        difference = 1000 * (outcome.barrier - found[REFERENCE].barrier)
        print(
            f"{label:34}{outcome.evaluations:12d}{outcome.evaluations / own.evaluations:8.1f}{outcome.seconds:9.1f}"
            f"{outcome.seconds / own.seconds:8.1f}{outcome.barrier:12.4f}{difference:16.1f}"
            f"{'' if outcome.converged else f'  not converged in {MOST_STEPS} steps'}",
        )
    print(
        f"seiflow, {evidence.method}: on the line {number(evidence.straight_barrier_ev)} eV, {evidence.straight_negative_modes} "
        f"negative modes; pushed {number(evidence.pushed_barrier_ev)} eV, {evidence.negative_modes} negative; saddle "
        f"{evidence.offset_angstrom:.3f} Å off the line; curvatures {np.round(evidence.curvatures_ev_per_angstrom2, 2)} eV/Å²; "
        f"minima passed {np.round(evidence.intermediate_minima_ev, 4)} eV",
        flush=True,
    )


def primitive_cell(crystal: Atoms) -> Atoms:
    """Return the primitive cell, of which smaller supercells can be made."""
    import spglib

    cell = (crystal.cell.array, crystal.get_scaled_positions(), crystal.numbers)
    lattice, positions, numbers = spglib.find_primitive(cell, symprec=SYMMETRY_TOLERANCE)
    return Atoms(numbers=numbers, scaled_positions=positions, cell=lattice, pbc=True)


def number(value: float | None) -> str:
    """Return a number or a dash."""
    return "-" if value is None else f"{value:.4f}"


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    distance = float(sys.argv[1]) if len(sys.argv) > 1 else IMAGE_DISTANCE
    for phase, ion in PHASES.items():
        compare(phase, ion, distance)
