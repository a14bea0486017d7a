"""MatterSim behind ASE, asked for the stress only where it is wanted.

Source: Yang et al., MatterSim: a deep learning atomistic model across elements, temperatures and pressures, arXiv 2405.04967
(2024).
"""

from typing import TYPE_CHECKING

from loguru import logger
from mattersim.forcefield.potential import MatterSimCalculator, Potential

from seiflow.calculators.learned import model_path, prepare_torch

if TYPE_CHECKING:
    from ase import Atoms


class FrugalMatterSimCalculator(MatterSimCalculator):  # type: ignore[misc] # the base class is untyped
    """The calculator of the mattersim package without stress unless it is asked for."""

    def calculate(
        self, atoms: "Atoms | None" = None, properties: list[str] | None = None, system_changes: list[str] | None = None
    ) -> None:
        """Fill ``results`` with energy and forces, and with the stress if it is among ``properties``."""
        self.compute_stress = "stress" in (properties or [])
        super().calculate(atoms, properties, system_changes)


def mattersim(*, model: str, device: str = "cpu", precision: str = "float32", threads: int = 1) -> FrugalMatterSimCalculator:
    """Return a MatterSim calculator.

    Args:
        model: MatterSim-v1.0.0-1M, MatterSim-v1.0.0-5M, or the path of a trained model.
        device: cpu or cuda.
        precision: float32; the package makes its graphs in no other.
        threads: CPU threads; one, with several jobs side by side, has the highest throughput.
    """
    prepare_torch(device=device, precision=precision, threads=threads, precisions=["float32"])
    logger.disable("mattersim")
    potential = Potential.from_checkpoint(model_path(model) or model, device=device, load_training_state=False)
    return FrugalMatterSimCalculator(potential=potential, args_dict={}, device=device)
