"""Grain boundaries and interfaces side by side: seiflow's and pymatgen's.

Boundaries are those of pymatgen's generator with the arguments that matcalc's GBCalc passes, interfaces those of its coherent
interface builder for the same planes, thickness and vacuum: the first termination and the match of smallest area.

Run ``python benchmarks/structures.py [PHASE ... | interfaces]``. One thread. Both start from the same crystals; what comes out is
measured by the same certificate: net charge, shortest distances between ions of opposite and of like charge, broken polyatomic
groups, pairs of ions closer than the certificate allows, atoms, seconds without imports. A builder gets a minute for each
structure.
"""

import importlib
import multiprocessing
import sys
import time
import warnings
from collections.abc import Callable
from queue import Empty

import numpy as np
from ase import Atoms

from seiflow.shelves import boundary_shelf, interface_shelf, phase_shelf
from seiflow.structures.build import Ingredient
from seiflow.structures.bulk import build_crystal
from seiflow.structures.checks import Certificate, inspect
from seiflow.structures.coincidence import mirror_sigma
from seiflow.structures.grain_boundary import build_grain_boundary
from seiflow.structures.interface import build_interface
from seiflow.structures.planar_recipes import GrainBoundaryRecipe, InterfaceRecipe
from seiflow.structures.recipes import PhaseRecipe

PHASES = ("LiF", "Li2O", "Li2CO3")
SECONDS = 60
EXPAND_TIMES = 4
RM_RATIO = 0.7
ANGLE_TOLERANCE = 0.1
HALF_TURN = 180.0

VACUUM = 15.0
INTERFACES = "interfaces"

Builder = Callable[[GrainBoundaryRecipe, PhaseRecipe, Atoms], Atoms]
Parts = tuple[Ingredient, Ingredient]
InterfaceBuilder = Callable[[InterfaceRecipe, Parts], tuple[Atoms, list[int], float]]


def seiflow(recipe: GrainBoundaryRecipe, phase: PhaseRecipe, crystal: Atoms) -> Atoms:
    """Build the recipe."""
    return build_grain_boundary(recipe, phase, crystal).atoms


def pymatgen(recipe: GrainBoundaryRecipe, _: PhaseRecipe, crystal: Atoms) -> Atoms:
    """Build the same orientation the way GBCalc does: axis, angle and plane of the coincidence lattice, close atoms merged.

    A mirror in (h k l) of a cubic crystal is half a turn about [h k l], and the turn by the tabulated angle about the tilt axis
    [0 0 1] or [1 -1 0] that lies in the plane.
    """
    from pymatgen.core.interface import GrainBoundaryGenerator
    from pymatgen.io.ase import AseAtomsAdaptor

    generator = GrainBoundaryGenerator(AseAtomsAdaptor.get_structure(crystal).to_primitive())
    plane = recipe.plane
    axis, sigma = (plane, recipe.sigma) if recipe.sigma else (tilt_axis(plane), mirror_sigma(plane))
    ratio = generator.get_ratio()
    angles = generator.get_rotation_angle_from_sigma(
        sigma=sigma, r_axis=axis, lat_type="c", ratio=None if ratio is None else tuple(ratio)
    )
    wanted = angles[0] if recipe.sigma else tilt_angle(plane, axis)
    angle = next((value for value in angles if abs(value - wanted) < ANGLE_TOLERANCE), None)
    if angle is None:
        message = f"no angle {wanted:.2f} among {angles}"
        raise ValueError(message)
    boundary = generator.gb_from_parameters(
        rotation_axis=axis, rotation_angle=angle, plane=plane, expand_times=EXPAND_TIMES, normal=True, rm_ratio=RM_RATIO
    )
    return AseAtomsAdaptor.get_atoms(boundary)


def tilt_axis(plane: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the direction with smallest indices in a plane."""
    candidates = [(0, 0, 1), (1, -1, 0), (0, 1, -1), (1, 0, -1), (1, 1, -1), (1, -1, 1)]
    return next(axis for axis in candidates if np.dot(axis, plane) == 0)


def tilt_angle(plane: tuple[int, int, int], axis: tuple[int, int, int]) -> float:
    """Return twice the angle between the plane and the plane of low indices that contains the axis, below 180 degree."""
    across = {(0, 0, 1): (1, 0, 0)}.get(axis, (0, 0, 1) if axis == (1, -1, 0) else (1, 0, 0))
    cosine = np.dot(plane, across) / np.linalg.norm(plane) / np.linalg.norm(across)
    return float(2 * np.degrees(np.arccos(cosine)))


def compare(name: str) -> None:
    """Print two lines for each boundary of a phase."""
    phase = phase_shelf().get(name)
    crystal = build_crystal(phase)
    print(f"\n{name}")
    columns = f"{'atoms':>6}{'charge':>8}{'unlike':>8}{'like':>8}{'groups broken':>15}{'close':>7}{'seconds':>9}"
    print(f"{'boundary':22}{'builder':10}{columns}")
    for label in boundary_shelf().names:
        recipe = boundary_shelf().get(label)
        if recipe.phase != name:
            continue
        for builder in (seiflow, pymatgen):
            print(f"{label:22}{builder.__name__:10}{measured(builder, recipe, phase, crystal)}", flush=True)


def seiflow_interface(recipe: InterfaceRecipe, parts: Parts) -> tuple[Atoms, list[int], float]:
    """Build the recipe; return it with the phase of each atom and the largest strain of either phase."""
    interface = build_interface(recipe, parts)
    return interface.atoms, interface.atoms.arrays["grain"].tolist(), max(interface.largest_strains)


def pymatgen_interface(recipe: InterfaceRecipe, parts: Parts) -> tuple[Atoms, list[int], float]:
    """Build the same planes with the coherent interface builder; the whole strain is the film's."""
    from pymatgen.analysis.interfaces.coherent_interfaces import CoherentInterfaceBuilder
    from pymatgen.analysis.interfaces.zsl import ZSLGenerator
    from pymatgen.io.ase import AseAtomsAdaptor

    crystals = [AseAtomsAdaptor.get_structure(part.crystal) for part in parts]
    mismatch = 2 * recipe.strain_limit
    matching = ZSLGenerator(max_area=recipe.area_limit_angstrom2, max_length_tol=mismatch, max_angle_tol=mismatch)
    builder = CoherentInterfaceBuilder(crystals[0], crystals[1], recipe.planes[1], recipe.planes[0], zslgen=matching)
    thick = recipe.thickness_angstrom
    builder.zsl_matches = sorted(builder.zsl_matches, key=lambda match: float(match.match_area))[:1]
    built = next(
        builder.get_interfaces(
            builder.terminations[0],
            vacuum_over_film=VACUUM,
            film_thickness=thick[1],
            substrate_thickness=thick[0],
            in_layers=False,
        )
    )
    film = [int(label == "film") for label in built.site_properties["interface_label"]]
    stretches = np.linalg.svd(np.asarray(builder.zsl_matches[0].match_transformation), compute_uv=False)
    return AseAtomsAdaptor.get_atoms(built), film, float(np.abs(stretches - 1).max())


def compare_interfaces() -> None:
    """Print two lines for each interface, both with vacuum."""
    print("\nInterfaces with vacuum")
    columns = f"{'atoms':>6}{'charge':>8}{'unlike':>8}{'like':>8}{'groups broken':>15}{'close':>7}{'seconds':>9}{'strain':>8}"
    print(f"{'interface':22}{'builder':10}{columns}")
    for label in interface_shelf().names:
        recipe = interface_shelf().get(label).model_copy(update={"vacuum_angstrom": VACUUM})
        first, second = (Ingredient(phase, build_crystal(phase)) for phase in map(phase_shelf().get, recipe.phases))
        for builder in (seiflow_interface, pymatgen_interface):
            found = answered(_measure_interface, builder, recipe, (first, second))
            print(f"{label:22}{builder.__name__.partition('_')[0]:10}{found}", flush=True)


def measured(builder: Builder, recipe: GrainBoundaryRecipe, phase: PhaseRecipe, crystal: Atoms) -> str:
    """Return what a builder of boundaries made, as columns."""
    return answered(_measure, builder, recipe, phase, crystal)


def answered(measure: Callable[..., None], *arguments: object) -> str:
    """Return what a measurement says; it runs in a process of its own that can be stopped."""
    answers: multiprocessing.Queue[str] = multiprocessing.Queue()
    process = multiprocessing.Process(target=measure, args=(*arguments, answers))
    process.start()
    try:
        return answers.get(timeout=SECONDS)
    except Empty:
        process.terminate()
        return f"  stopped after {SECONDS} s"
    finally:
        process.join()


def _measure(
    builder: Builder, recipe: GrainBoundaryRecipe, phase: PhaseRecipe, crystal: Atoms, answers: "multiprocessing.Queue[str]"
) -> None:
    warnings.simplefilter("ignore")
    try:
        importlib.import_module("pymatgen.core.interface")
        importlib.import_module("spglib")
        start = time.perf_counter()
        atoms = builder(recipe, phase, crystal)
        seconds = time.perf_counter() - start
    except Exception as error:  # noqa: BLE001 - whatever a builder cannot do is its result
        answers.put(_failure(error))
        return
    answers.put(_columns(inspect(atoms, phase), seconds))


def _measure_interface(
    builder: InterfaceBuilder, recipe: InterfaceRecipe, parts: Parts, answers: "multiprocessing.Queue[str]"
) -> None:
    warnings.simplefilter("ignore")
    try:
        importlib.import_module("pymatgen.analysis.interfaces.coherent_interfaces")
        importlib.import_module("spglib")
        start = time.perf_counter()
        atoms, owners, strain = builder(recipe, parts)
        seconds = time.perf_counter() - start
    except Exception as error:  # noqa: BLE001 - whatever a builder cannot do is its result
        answers.put(_failure(error))
        return
    found = inspect(atoms, [part.recipe for part in parts], owners=owners)
    answers.put(f"{_columns(found, seconds)}{strain:8.2%}")


def _failure(error: Exception) -> str:
    return f"  {type(error).__name__}: {str(error).splitlines()[0][:90]}"


def _columns(found: Certificate, seconds: float) -> str:
    broken = sum(group.broken for group in found.groups.values()) if found.groups else 0
    close = sum("at least" in problem for problem in found.problems)
    shortest = "".join(f"{value or np.nan:8.2f}" for value in (found.shortest_unlike_angstrom, found.shortest_like_angstrom))
    return f"{found.atoms:6d}{found.net_charge_e or 0:+8d}{shortest}{broken:15d}{close:7d}{seconds:9.2f}"


if __name__ == "__main__":
    for wanted in sys.argv[1:] or (*PHASES, INTERFACES):
        if wanted == INTERFACES:
            compare_interfaces()
        else:
            compare(wanted)
