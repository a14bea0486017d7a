"""Reference forces: displaced crystals with energies and forces by a trusted calculator, kept as extended XYZ.

One file holds one phase and one calculator, ``references/forces/PHASE-CALCULATOR.extxyz``, in a folder of the user's own or of
the package. Its first structure is the crystal at rest and says how all of it was made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ase.formula import Formula

from seiflow.errors import InputError
from seiflow.shelves import data_folder
from seiflow.structures.recipes import PhaseRecipe

if TYPE_CHECKING:
    from ase import Atoms

FOLDER = Path("references") / "forces"
"""Below a library, or beside the package."""

LEAST = 3
"""Structures: the crystal at rest and two displaced ones, without which no error can be told."""


@dataclass(frozen=True)
class ReferenceForces:
    """Structures with energies and forces attached.

    Attributes:
        calculator: What they were computed with.
        rest: The crystal that was displaced.
        displaced: The others.
        ways: How each of them was displaced, in words.
    """

    calculator: str
    rest: "Atoms"
    displaced: "tuple[Atoms, ...]"
    ways: tuple[str, ...]

    def require(self, phase: PhaseRecipe, calculator: str, path: Path) -> None:
        """Refuse forces of another phase or by another calculator than the name of their file promises."""
        there = self.rest.symbols.formula.reduce()[0].format("hill")
        wanted = Formula(phase.formula).reduce()[0].format("hill")
        if (there, self.calculator) != (wanted, calculator):
            message = f"{path}: holds forces of {there} by {self.calculator}, not of {wanted} by {calculator}. Make them anew."
            raise InputError(message)


def file_name(phase: str, calculator: str) -> str:
    """Return what the file of a phase and a calculator is called."""
    return f"{phase}-{calculator}.extxyz"


def find_reference(folders: Sequence[Path], phase: str, calculator: str) -> Path | None:
    """Return the file of a phase and a calculator, the user's own first; None if there is none."""
    candidates = [folder / file_name(phase, calculator) for folder in _folders(folders)]
    return next((path for path in candidates if path.is_file()), None)


def missing_reference(folders: Sequence[Path], phase: str, calculator: str) -> str | None:
    """Return that a phase has no reference forces, which phases have them, and how to make them; None if it has them."""
    if find_reference(folders, phase, calculator):
        return None
    ending = file_name("", calculator)
    found = sorted({path.name.removesuffix(ending) for folder in _folders(folders) for path in folder.glob(f"*{ending}")})
    own = (folders[0] if folders else Path("LIBRARY")) / FOLDER / file_name(phase, calculator)
    return (
        f"softness of {phase}: there are no reference forces of it by {calculator}; these phases have them: "
        f"{', '.join(found) or 'none'}. To make them in a folder that the study lists under library: "
        f"seiflow calculators forces {calculator} --phase {phase} --output {own}"
    )


def _folders(folders: Sequence[Path]) -> list[Path]:
    return [*(folder / FOLDER for folder in folders), data_folder("references") / FOLDER.name]


def read_reference_forces(path: Path) -> ReferenceForces:
    """Read reference forces.

    Raises:
        InputError: if there is no such file or it holds something else.
    """
    from ase.io import read

    try:
        frames: list[Atoms] = read(path, index=":")
        ways = tuple(str(frame.info["displaced"]) for frame in frames[1:])
        calculator = str(frames[0].info["provenance"]["calculator"])
        for frame in frames:
            frame.get_potential_energy()
            frame.get_forces()
    except FileNotFoundError as error:
        message = f"{path}: no such file"
        raise InputError(message) from error
    except Exception as error:
        message = (
            f"{path}: holds no reference forces ({type(error).__name__}: {error}). Make them with seiflow calculators forces."
        )
        raise InputError(message) from error
    if len(frames) < LEAST:
        message = f"{path}: holds {len(frames)} structures, at least {LEAST} are needed. Make it with seiflow calculators forces."
        raise InputError(message)
    return ReferenceForces(calculator, frames[0], tuple(frames[1:]), ways)
