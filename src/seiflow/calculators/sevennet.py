"""SevenNet behind ASE, with the number of threads fixed.

Source: Park et al., J. Chem. Theory Comput. 20, 4857 (2024), doi 10.1021/acs.jctc.4c00190.
"""

from typing import TYPE_CHECKING

import torch
from sevenn.calculator import SevenNetCalculator

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


def sevennet(*, model: str = "7net-0", device: str = "cpu", threads: int = 1) -> "Calculator":
    """Return a SevenNet calculator.

    Args:
        model: A keyword of the sevenn package whose weights are inside it (7net-0, 7net-l3i5), or a checkpoint file.
        device: cpu or cuda.
        threads: CPU threads; one, with several jobs side by side, has the highest throughput.
    """
    torch.set_num_threads(threads)
    return SevenNetCalculator(model=model, device=device)
