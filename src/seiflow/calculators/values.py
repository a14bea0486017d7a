"""Numbers among the settings of codes that make no sense, whatever the code: refused before anything is computed."""

import math
from typing import TYPE_CHECKING

from seiflow.errors import CalculatorError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

POSITIVE = frozenset(
    {
        "cutoff_ev",
        "density_cutoff_ev",
        "relative_cutoff_ev",
        "grid_angstrom",
        "kpoint_length",
        "metal_kpoint_length",
        "density_tolerance",
        "density_tolerance_ev",
        "integral_tolerance",
        "mixing",
        "mixing_beta",
        "iterations",
        "outer",
    }
)
"""Names of settings whose values are above zero."""

NOT_NEGATIVE = frozenset({"smearing_ev", "metal_smearing_ev", "restart_strain"})
"""Names of settings that may be zero too."""

WHOLE = frozenset({"iterations", "outer"})
"""Names of settings that count something."""


def refuse_senseless(settings: "DataclassInstance") -> None:
    """Refuse settings, by their names, that are no numbers or outside of what has a meaning.

    Raises:
        CalculatorError: naming the first such setting, its value and what is allowed.
    """
    for name, value in vars(settings).items():
        allowed = _allowed(name)
        if allowed and not _within(name, value):
            message = f"{name}: {value!r} is no {allowed}"
            raise CalculatorError(message)


def _allowed(name: str) -> str:
    kind = "whole number" if name in WHOLE else "number"
    if name in POSITIVE:
        return f"{kind} above 0"
    if name in NOT_NEGATIVE:
        return f"{kind} of at least 0"
    return ""


def _within(name: str, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    if name in WHOLE and not isinstance(value, int):
        return False
    return value > 0 if name in POSITIVE else value >= 0
