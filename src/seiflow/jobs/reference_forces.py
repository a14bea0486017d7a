"""Reference forces: relax the ions of a crystal, displace them, and keep energies and forces with all that they depend on.

The cell is the published one of the recipe. A cell relaxed with plane waves is only as good as the stress of a finite basis; how
forces on the same structure compare depends on it little: by 0.02 over 2.5 % of the lattice constant of LiF, by 0.01 in Li2O.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from seiflow.calculators.factory import calculator_context, calculator_versions, make_calculator, remedies, weight_digests
from seiflow.engine import Engine, Report, silent
from seiflow.errors import CalculatorError
from seiflow.journal import Journal
from seiflow.records import digest_file, versions
from seiflow.shelves import load_recipe

if TYPE_CHECKING:
    from ase import Atoms

    from seiflow.properties.displaced import Displaced

LARGEST_FORCE = 0.02
"""eV/Å, left on the ions of the crystal at rest."""


def reference_forces(
    phase_file: Path, calculator_file: Path, output: Path, *, seed: int = 0, processes: int = 1, report: Report = silent
) -> None:
    """Write a crystal at rest and displaced ones with energies and forces as extended XYZ.

    What a killed run has computed is read back from a journal beside the output.

    Args:
        phase_file: Recipe of the phase.
        calculator_file: Recipe of the calculator.
        output: File to write; appears whole.
        seed: Of the random displacements.
        processes: MPI processes of a program that the calculator starts.
        report: Told about progress.

    Raises:
        CalculatorError: if the calculator does not cover the phase.
    """
    from seiflow.calculators.recipes import CalculatorRecipe, uncovered
    from seiflow.jobs.task import write_structures
    from seiflow.properties.displaced import Displaced, displaced, small_cell
    from seiflow.structures.bulk import build_crystal
    from seiflow.structures.recipes import PhaseRecipe

    phase, calculator = load_recipe(phase_file, PhaseRecipe), load_recipe(calculator_file, CalculatorRecipe)
    missing = uncovered(calculator, phase.charges)
    if missing:
        message = f"calculator {calculator.name} does not cover {', '.join(missing)} of {phase.name}"
        raise CalculatorError(message)
    journal = Journal(output.with_name(f".{output.name}.journal"), calculator_context(calculator), remedies(calculator))
    engine = Engine(make_calculator(calculator, processes=processes), journal, report)
    crystal = engine.relax(small_cell(build_crystal(phase)), fmax=LARGEST_FORCE, symmetric=True, label="relax ions")
    frames = [_evaluated(Displaced(crystal, "not at all"), engine)]
    copies = displaced(crystal, phase, seed)
    for number, copy in enumerate(copies, start=1):
        report(f"forces: structure {number} of {len(copies)}: {copy.how}")
        frames.append(_evaluated(copy, engine))
    frames[0].info["provenance"] = {
        "phase": phase.name,
        "calculator": calculator.name,
        "arguments": calculator.arguments,
        "seed": seed,
        "cell": "published, that of the recipe",
        "largest_force_at_rest_ev_per_angstrom": LARGEST_FORCE,
        "recipes_sha256": {"structure": digest_file(phase_file), "calculator": digest_file(calculator_file)},
        "weights_sha256": weight_digests(calculator),
        "versions": versions() | calculator_versions(calculator),
        "notes": list(engine.notes),
    }
    write_structures(output, frames)
    journal.remove()


def _evaluated(copy: "Displaced", engine: Engine) -> "Atoms":
    """Return a bare structure with energy and forces attached, and how it was displaced."""
    from ase.calculators.singlepoint import SinglePointCalculator

    found = engine.evaluate(copy.atoms)
    bare: Atoms = copy.atoms.copy()
    bare.set_constraint()
    bare.info = {"displaced": copy.how}
    bare.calc = SinglePointCalculator(bare, energy=found.energy, forces=found.forces)
    return bare
