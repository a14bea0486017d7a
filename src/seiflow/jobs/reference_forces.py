"""Reference forces: relax a crystal, displace it, compute energies and forces, and keep them with all that they depend on."""

from pathlib import Path
from typing import TYPE_CHECKING

from seiflow.calculators.factory import calculator_context, calculator_versions, make_calculator, weight_digests
from seiflow.engine import Engine, Report, silent
from seiflow.journal import Journal
from seiflow.records import digest_file, versions
from seiflow.settings import RelaxationSettings
from seiflow.shelves import load_recipe

if TYPE_CHECKING:
    from ase import Atoms

RELAXATION = RelaxationSettings(fmax=0.03, stress_gpa=0.3)
"""Near its minimum is enough: what is compared are forces on the same structures."""


def reference_forces(
    phase_file: Path, calculator_file: Path, output: Path, *, seed: int = 0, processes: int = 1, report: Report = silent
) -> None:
    """Write the relaxed crystal and displaced ones with energies and forces as extended XYZ.

    What a killed run has computed is read back from a journal beside the output.

    Args:
        phase_file: Recipe of the phase.
        calculator_file: Recipe of the calculator.
        output: File to write; appears whole.
        seed: Of the random displacements.
        processes: MPI processes of a program that the calculator starts.
        report: Told about progress.
    """
    from seiflow.calculators.recipes import CalculatorRecipe
    from seiflow.jobs.task import write_structures
    from seiflow.properties.displaced import displaced, small_cell
    from seiflow.relaxation import relaxation
    from seiflow.structures.bulk import build_crystal
    from seiflow.structures.recipes import PhaseRecipe

    phase, calculator = load_recipe(phase_file, PhaseRecipe), load_recipe(calculator_file, CalculatorRecipe)
    journal = Journal(output.with_name(f".{output.name}.journal"), calculator_context(calculator))
    engine = Engine(make_calculator(calculator, processes=processes), journal, report)
    crystal, _ = relaxation(small_cell(build_crystal(phase)), phase, engine, RELAXATION)
    frames = [_evaluated(crystal, engine)]
    frames[0].info = {
        "displaced": "relaxed",
        "provenance": {
            "phase": phase.name,
            "calculator": calculator.name,
            "arguments": calculator.arguments,
            "seed": seed,
            "relaxation": RELAXATION.model_dump(),
            "recipes_sha256": {"structure": digest_file(phase_file), "calculator": digest_file(calculator_file)},
            "weights_sha256": weight_digests(calculator),
            "versions": versions() | calculator_versions(calculator),
            "notes": list(engine.notes),
        },
    }
    copies = displaced(crystal, phase, seed)
    for number, copy in enumerate(copies, start=1):
        report(f"forces: structure {number} of {len(copies)}: {copy.how}")
        frames.append(_evaluated(copy.atoms, engine))
        frames[-1].info = {"displaced": copy.how}
    write_structures(output, frames)
    journal.remove()


def _evaluated(atoms: "Atoms", engine: Engine) -> "Atoms":
    """Return a bare copy of a structure with energy and forces attached."""
    from ase.calculators.singlepoint import SinglePointCalculator

    found = engine.evaluate(atoms)
    bare: Atoms = atoms.copy()
    bare.set_constraint()
    bare.calc = SinglePointCalculator(bare, energy=found.energy, forces=found.forces)
    return bare
