"""MACE behind ASE: the foundation models that mace-torch fetches, and any model trained with it.

Sources: Batatia et al., Advances in Neural Information Processing Systems 35 (2022), arXiv 2206.07697; foundation models:
Batatia et al., J. Chem. Phys. 163, 184110 (2025), doi 10.1063/5.0297006, arXiv 2401.00096.
"""

from typing import TYPE_CHECKING

from mace.calculators import MACECalculator, mace_mp

from seiflow.calculators.learned import model_path, prepare_torch

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


def mace(
    *, model: str, device: str = "cpu", precision: str = "float64", threads: int = 1, head: str | None = None
) -> "Calculator":
    """Return a MACE calculator.

    Args:
        model: A keyword of ``mace_mp`` of mace-torch, such as medium-mpa-0, or the path of a trained model.
        device: cpu or cuda.
        precision: float32 or float64; the second is what the package recommends for relaxations.
        threads: CPU threads; one, with several jobs side by side, has the highest throughput.
        head: Kind of reference data whose energies are wanted, for a model that was trained on several.
    """
    prepare_torch(device=device, precision=precision, threads=threads)
    path = model_path(model)
    choice = {"head": head} if head else {}
    if path:
        return MACECalculator(model_paths=path, device=device, default_dtype=precision, **choice)
    return mace_mp(model=model, device=device, default_dtype=precision, **choice)
