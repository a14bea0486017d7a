"""Grain boundaries from their recipes, certified."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import InputError, RecipeError, StructureError
from seiflow.structures.bicrystal import Bicrystal, Faces, bicrystal, contact_gap, natural_faces, put_together
from seiflow.structures.checks import Certificate, certify
from seiflow.structures.coincidence import chosen_angle, disorientation, mirror_sigma, twist_angle
from seiflow.structures.ionic_model import ionic_model
from seiflow.structures.layers import Layers, Plane, layers
from seiflow.structures.planar_recipes import GrainBoundaryRecipe
from seiflow.structures.recipes import PhaseRecipe
from seiflow.structures.removal import exchanging, without_units
from seiflow.structures.slab import Termination, choose, terminations
from seiflow.structures.space_group import operations, space_group
from seiflow.structures.units import contact_matrix, shortest_contacts

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

FIRST_CUBIC = 195
"""Number of the first cubic space group."""

UNLIKE_CONTACT = 1.0
"""Least distance of ions of opposite charge across a new boundary, as a fraction of the shortest one in the crystal."""

LIKE_CONTACT = 0.9
"""The same for ions of like charge; for neutral atoms it is that of unlike ions."""


@dataclass(frozen=True)
class GrainBoundary:
    """A periodic bicrystal; the normal of the boundaries is the normal of the first two cell vectors.

    Attributes:
        atoms: The structure; its array ``grain`` tells the first grain (0) from the second (1).
        plane: Miller indices of the first grain.
        termination: Where the grains are cut.
        faces: Whether like or unlike faces meet.
        sigma: Of the coincidence lattice; null for crystals that are not cubic.
        misorientation_degree: Smallest angle about any axis that turns the lattice of one grain into that of the other.
        translation: Of the second grain in fractions of the net.
        gap_angstrom: Room added at each boundary to the spacing of the crystal.
        removed: Whole formula units taken out at each boundary.
        thickness_angstrom: Of each grain.
        area_angstrom2: Of one boundary.
        certificate: What the checks found.
    """

    atoms: "Atoms"
    plane: Plane
    termination: Termination
    faces: Faces
    sigma: int | None
    misorientation_degree: float
    translation: tuple[float, float]
    gap_angstrom: float
    removed: int
    thickness_angstrom: float
    area_angstrom2: float
    certificate: Certificate


def build_grain_boundary(recipe: GrainBoundaryRecipe, phase: PhaseRecipe, crystal: "Atoms") -> GrainBoundary:
    """Return a grain boundary, certified.

    Args:
        recipe: What is wanted.
        phase: The recipe of its phase.
        crystal: Conventional cell of the phase, as built or relaxed.

    Raises:
        RecipeError: if plane, termination or Σ do not exist in this crystal.
        StructureError: if the bicrystal fails its certificate.
    """
    try:
        termination, faces, grains = grains_of(recipe, phase, crystal)
        least = least_distances(grains.lower.symbols, phase, crystal)
        translation = np.array(recipe.translation) @ grains.net
        gap = contact_gap(grains, translation, least) if recipe.gap_angstrom is None else recipe.gap_angstrom
        sigma, angle = _orientation(recipe, phase, crystal)
    except InputError as error:
        message = f"{recipe.name}: {error}"
        raise RecipeError(message) from error
    _refuse_charged(recipe, termination, faces)
    atoms = put_together(grains, translation, gap)
    if recipe.removed:
        atoms = without_units(atoms, ionic_model(crystal, phase), recipe.removed, name=recipe.name)
    equivalent = boundaries_equivalent(atoms, grains, gap) if gap > -grains.lower.height else False
    certificate = certify(atoms, phase, name=recipe.name, boundaries_equivalent=equivalent)
    return GrainBoundary(
        atoms=atoms,
        plane=recipe.plane,
        termination=termination,
        faces=faces,
        sigma=sigma,
        misorientation_degree=angle,
        translation=recipe.translation,
        gap_angstrom=gap,
        removed=recipe.removed,
        thickness_angstrom=grains.lower.height,
        area_angstrom2=grains.area,
        certificate=certificate,
    )


def grains_of(recipe: GrainBoundaryRecipe, phase: PhaseRecipe, crystal: "Atoms") -> tuple[Termination, Faces, Bicrystal]:
    """Return the termination, the faces that meet and the two grains of a recipe, not yet put together."""
    stack = layers(crystal, recipe.plane, phase.polyatomic)
    if recipe.type == "twist":
        _refuse_not_cubic(crystal)
    termination = choose(terminations(stack, phase.charges), recipe.termination, stack.plane)
    faces = recipe.faces or natural_faces(recipe.type, termination)
    angle = angle_of(recipe, stack)
    grains = bicrystal(
        stack, termination, recipe.thickness_angstrom, kind=recipe.type, faces=faces, sigma=recipe.sigma, angle=angle
    )
    return termination, faces, grains


def angle_of(recipe: GrainBoundaryRecipe, stack: Layers) -> float | None:
    """Return the exact angle (degree) of a twist boundary, None for another one.

    Raises:
        InputError: if there is no such Σ about the normal of the plane, or none of its angles is the one wanted.
    """
    if recipe.sigma is None:
        return None
    smallest = twist_angle(recipe.plane, recipe.sigma)
    if recipe.angle_degree is None:
        return smallest
    return chosen_angle(recipe.plane, recipe.sigma, stack.operations, recipe.angle_degree)


def least_distances(symbols: tuple[str, ...], phase: PhaseRecipe, crystal: "Atoms") -> "NDArray[np.float64]":
    """Return how close ions of the two grains may be put, for each pair of atoms of a grain, n × n, Å."""
    contacts = shortest_contacts(crystal, phase.polyatomic)
    names = sorted(set(symbols))
    charges = np.array([phase.charges[name] for name in names])
    fractions = np.where(np.outer(charges, charges) > 0, LIKE_CONTACT, UNLIKE_CONTACT)
    kinds = [names.index(symbol) for symbol in symbols]
    return np.asarray((contact_matrix(names, contacts) * fractions)[np.ix_(kinds, kinds)])


def boundaries_equivalent(atoms: "Atoms", grains: Bicrystal, gap: float) -> bool:
    """Tell whether a symmetry operation of a bicrystal maps one boundary onto the other."""
    first, second, total = grains.heights(gap)
    return bool(exchanging(operations(atoms), (first / total, second / total)))


def _orientation(recipe: GrainBoundaryRecipe, phase: PhaseRecipe, crystal: "Atoms") -> tuple[int | None, float]:
    """Return Σ, if the crystal is cubic, and the disorientation in degree."""
    cell = np.asarray(crystal.cell)
    normal = np.linalg.solve(cell, np.array(recipe.plane, dtype=float))
    normal /= np.linalg.norm(normal)
    turned = angle_of(recipe, layers(crystal, recipe.plane, phase.polyatomic))
    angle = np.pi if turned is None else np.radians(turned)
    x, y, z = normal
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    rotations = np.array([cell.T @ rotation @ np.linalg.inv(cell.T) for rotation in operations(crystal).rotations])
    cubic = space_group(crystal)[1] >= FIRST_CUBIC
    sigma = recipe.sigma or (mirror_sigma(recipe.plane) if cubic else None)
    return sigma, disorientation(turn, rotations)


def _refuse_not_cubic(crystal: "Atoms") -> None:
    symbol, number = space_group(crystal)
    if number < FIRST_CUBIC:
        message = f"twist boundaries are made of cubic crystals, this one has {symbol}; take a mirror or a twofold boundary"
        raise InputError(message)


def _refuse_charged(recipe: GrainBoundaryRecipe, termination: Termination, faces: Faces) -> None:
    if faces == "like" and termination.tasker == "III":
        charge = 2 * abs(termination.surface_charge_e_per_angstrom2)
        message = (
            f"{recipe.name}: refused.\n  - like faces of a termination with a dipole meet: the two boundaries would carry "
            f"±{charge:.3f} e/Å², and the energy would grow with the thickness of the grains; let unlike faces meet"
        )
        raise StructureError(message)
