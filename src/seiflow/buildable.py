"""Whether a structure can be built and its cells be made, before anything is computed; what was found sound is remembered.

Building takes most of the time of a large study's checks, and a study is started many times. The results folder therefore keeps
a digest of all that the checks of a structure depend on: recipes, properties, settings, versions, and the code of this package.
"""

import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seiflow.errors import InputError, UnsuitedError
from seiflow.properties.charged.plan import plan_charged
from seiflow.properties.defects.defects import supercells
from seiflow.properties.interstitial_migration.ground import IMAGES, interstitial_host
from seiflow.properties.migration.fitness import refuse_hops
from seiflow.properties.segregation import refuse_near_images
from seiflow.records import versions, write_text
from seiflow.settings import PropertySettings
from seiflow.shelves import StructureRecipe
from seiflow.structures.build import build_structure, ingredients_as_published
from seiflow.structures.recipes import PhaseRecipe
from seiflow.structures.slab import Slab

if TYPE_CHECKING:
    from ase import Atoms

FILE = ".buildable"
"""In the results folder; a digest a line."""

Check = tuple[frozenset[str], Callable[[], object]]
"""Properties, and what refuses settings with which they cannot be computed."""

HOPS = frozenset({"migration", "barrier_check"})

HEEDED = ("boundary", "migration", "barrier_check", "interstitial_migration", "defects", "charged_defects", "segregation")
"""Properties for which more than the structure itself is made."""


def refuse_unbuildable(
    recipe: StructureRecipe, phases: Mapping[str, PhaseRecipe], properties: Sequence[str], settings: PropertySettings
) -> None:
    """Build a structure and the cells that its properties need, and refuse what cannot be computed.

    Args:
        recipe: Of the structure.
        phases: What it is made of, by name; a phase of itself.
        properties: What is wanted of it.
        settings: Of the study.

    Raises:
        UnsuitedError: if the structure is sound but some of what is wanted of it does not suit it, a line each.
        SeiflowError: saying what else is wrong.
    """
    built = build_structure(recipe, ingredients_as_published(phases))
    if isinstance(built.details, Slab) and "boundary" in properties:
        built.details.termination.refuse_polar(recipe.name)
    if isinstance(recipe, PhaseRecipe):
        checks = _checks_of_phase(recipe, built.atoms, settings)
    else:
        checks = _checks_of_boundary(recipe, list(phases.values()), built.atoms, settings)
    unsuited = []
    for names, check in checks:
        if names & set(properties):
            try:
                check()
            except UnsuitedError as error:
                unsuited.append(str(error))
    if unsuited:
        raise UnsuitedError("\n".join(unsuited))


def _checks_of_phase(recipe: PhaseRecipe, atoms: "Atoms", settings: PropertySettings) -> Iterator[Check]:
    yield HOPS, lambda: refuse_hops(recipe, [recipe], atoms, settings)
    yield frozenset({"interstitial_migration"}), lambda: interstitial_host(atoms, recipe, settings.interstitial_migration)
    yield frozenset({"defects"}), lambda: supercells(atoms, recipe, settings.defects)
    yield frozenset({"charged_defects"}), lambda: plan_charged(atoms, recipe, settings.charged_defects)


def _checks_of_boundary(
    recipe: StructureRecipe, phases: Sequence[PhaseRecipe], atoms: "Atoms", settings: PropertySettings
) -> Iterator[Check]:
    yield HOPS, lambda: refuse_hops(recipe, phases, atoms, settings)
    yield frozenset({"segregation"}), lambda: refuse_near_images(recipe.name, atoms, phases, settings.segregation.image_distance)
    apart = settings.interstitial_migration.image_distance
    yield frozenset({"interstitial_migration"}), lambda: refuse_near_images(recipe.name, atoms, phases, apart, IMAGES)


class Sound:
    """Structures that were found sound, in this run and, by a results folder, in earlier ones.

    Args:
        results: The folder; nothing is written there before :meth:`keep`.
    """

    def __init__(self, results: Path) -> None:
        """Read what earlier runs found."""
        self._file = results / FILE
        try:
            self._known = frozenset(self._file.read_text(encoding="ascii").split())
        except (OSError, ValueError):
            self._known = frozenset()
        self._found: set[str] = set()

    def require(
        self, recipe: StructureRecipe, phases: Mapping[str, PhaseRecipe], properties: Sequence[str], settings: PropertySettings
    ) -> None:
        """Refuse a structure as :func:`refuse_unbuildable` does, which is asked once for equal arguments."""
        key = _digest(recipe, phases, properties, settings)
        if key not in self._known and key not in self._found:
            refuse_unbuildable(recipe, phases, properties, settings)
        self._found.add(key)

    def keep(self) -> None:
        """Keep for later runs which of the structures asked for are sound; without room on disk they are built again."""
        if self._found != self._known:
            with contextlib.suppress(InputError):
                write_text(self._file, "\n".join(sorted(self._found)) + "\n")


def _digest(
    recipe: StructureRecipe, phases: Mapping[str, PhaseRecipe], properties: Sequence[str], settings: PropertySettings
) -> str:
    heeded = [name for name in HEEDED if name in properties]
    models = [settings, recipe, *phases.values()]
    return hashlib.sha256("\0".join([_code(), *heeded, *(model.model_dump_json() for model in models)]).encode()).hexdigest()


@functools.cache
def _code() -> str:
    """Return a digest of the versions and of the source code that the checks may depend on."""
    digest = hashlib.sha256(repr(sorted(versions().items())).encode())
    package = Path(__file__).parent
    for path in sorted([*(package / "structures").rglob("*.py"), *(package / "properties").rglob("*.py"), Path(__file__)]):
        digest.update(path.read_bytes())
    return digest.hexdigest()
