"""GRACE behind ASE: the foundation models that tensorpotential fetches, and any model fitted with it.

Sources: Bochkarev, Lysogorskiy, Drautz, Phys. Rev. X 14, 021036 (2024), doi 10.1103/PhysRevX.14.021036; foundation models:
Lysogorskiy, Bochkarev, Drautz, arXiv 2508.17936 (2025).
"""

import platform
from typing import TYPE_CHECKING

from tensorpotential.calculator import TPCalculator
from tensorpotential.calculator.foundation_models import get_or_download_model

from seiflow.calculators.learned import PRECISIONS, model_path, require_precision
from seiflow.errors import CalculatorError

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


def grace(*, model: str, device: str = "cpu", precision: str = "float64", threads: int = 1) -> "Calculator":
    """Return a GRACE calculator; the package always computes the stress too.

    Args:
        model: Name of a foundation model of tensorpotential, such as GRACE-2L-OAM, or the folder of a fitted one (saved_model).
        device: cpu or cuda.
        precision: float32 or float64, as the model was made; another one is refused.
        threads: CPU threads; one, with several jobs side by side, has the highest throughput.
    """
    require_precision(precision, PRECISIONS)
    _prepare_tensorflow(device, threads)
    calculator = TPCalculator(model_path(model) or get_or_download_model(model), enable_uq_if_available=False)
    signatures = calculator.models[0].signatures
    made = {item.dtype.name for item in next(iter(signatures.values())).variables if item.dtype.is_floating}
    if made != {precision}:
        message = f"model {model} computes in {' and '.join(sorted(made))}; write that as precision into the recipe"
        raise CalculatorError(message)
    return calculator


def _prepare_tensorflow(device: str, threads: int) -> None:
    """Fix the number of TensorFlow's threads and the device, or refuse one that is not there."""
    from tensorflow import config  # after tensorpotential, which configures it

    config.threading.set_intra_op_parallelism_threads(threads)
    config.threading.set_inter_op_parallelism_threads(1)
    if device not in ("cpu", "cuda"):
        message = f"device {device!r} is neither cpu nor cuda"
        raise CalculatorError(message)
    if device == "cpu" and config.get_visible_devices("GPU"):
        config.set_visible_devices([], "GPU")
    if device == "cuda" and not config.list_physical_devices("GPU"):
        message = f"device cuda is not there: TensorFlow sees no graphics card on {platform.node()}; write device: cpu"
        raise CalculatorError(message)
