"""What the factories of ML potentials share: device, precision, threads, and models given by keyword or by path."""

import platform
from collections.abc import Sequence
from pathlib import Path

from seiflow.errors import CalculatorError

PRECISIONS = ("float32", "float64")


def prepare_torch(*, device: str, precision: str, threads: int, precisions: Sequence[str] = PRECISIONS) -> None:
    """Fix the number of PyTorch's threads, and refuse what a potential or this machine does not have.

    Args:
        device: cpu or cuda, or cuda:1 for the second card.
        precision: Of the numbers that a potential computes with.
        threads: CPU threads; one, with several jobs side by side, has the highest throughput.
        precisions: What the potential can compute with.

    Raises:
        CalculatorError: if it cannot compute with that precision, or the device is not there.
    """
    import torch

    require_precision(precision, precisions)
    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        message = f"device {device!r} is none of cpu, cuda, or cuda:1 for the second card"
        raise CalculatorError(message)
    if kind == "cuda" and torch.cuda.device_count() <= int(number or 0):
        message = (
            f"device {device} is not there: PyTorch {torch.__version__} sees {torch.cuda.device_count()} CUDA devices on "
            f"{platform.node()}; write device: cpu into the recipe, or run where there is one, with a PyTorch built for CUDA"
        )
        raise CalculatorError(message)
    torch.set_num_threads(threads)


def require_precision(precision: str, precisions: Sequence[str]) -> None:
    """Refuse a precision that a potential does not have.

    Raises:
        CalculatorError: if it is none of ``precisions``.
    """
    if precision not in precisions:
        message = f"precision {precision!r}: this potential computes in {' or '.join(precisions)}"
        raise CalculatorError(message)


def model_path(model: str) -> str | None:
    """Return where a model lies, ``~`` expanded, if it is given as a path, one that holds a slash; None for a keyword.

    Raises:
        CalculatorError: if there is nothing at the path.
    """
    if "/" not in model:
        return None
    path = Path(model).expanduser()
    if not path.exists():
        message = f"no model {path}; write the path of a trained model, or a keyword of the package, into the recipe"
        raise CalculatorError(message)
    return str(path)
