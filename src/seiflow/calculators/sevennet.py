"""SevenNet behind ASE, with the number of threads fixed.

Source: Park et al., J. Chem. Theory Comput. 20, 4857 (2024), doi 10.1021/acs.jctc.4c00190.
"""

from typing import TYPE_CHECKING

from sevenn.calculator import SevenNetCalculator

from seiflow.calculators.learned import model_path, prepare_torch

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


def sevennet(
    *, model: str = "7net-0", device: str = "cpu", precision: str = "float32", threads: int = 1, modal: str | None = None
) -> "Calculator":
    """Return a SevenNet calculator.

    Args:
        model: A keyword of the sevenn package whose weights are inside it (7net-0, 7net-l3i5), or the path of a checkpoint.
        device: cpu or cuda.
        precision: float32; the package makes its graphs in no other.
        threads: CPU threads; one, with several jobs side by side, has the highest throughput.
        modal: Kind of reference data whose energies are wanted, for a model that was trained on several.
    """
    prepare_torch(device=device, precision=precision, threads=threads, precisions=["float32"])
    return SevenNetCalculator(model=model_path(model) or model, device=device, modal=modal)
