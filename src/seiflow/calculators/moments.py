"""Initial magnetic moments by element: recipes of structures name none, and a density without any stays without."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ase.data import atomic_numbers

from seiflow.errors import CalculatorError

if TYPE_CHECKING:
    from ase import Atoms

Moments = Mapping[str, float]
"""Initial magnetic moment of each atom of an element, μB."""


def with_moments(atoms: "Atoms", moments: Moments) -> "Atoms":
    """Return a copy of a structure, without constraints; unless it has moments of its own it gets those of its elements, μB."""
    structure: Atoms = atoms.copy()
    structure.set_constraint()
    if not structure.get_initial_magnetic_moments().any():
        structure.set_initial_magnetic_moments([moments.get(symbol, 0.0) for symbol in structure.symbols])
    return structure


def checked(moments: Moments | None) -> Moments:
    """Return moments, none for None.

    Raises:
        CalculatorError: if they are not numbers of elements.
    """
    for symbol, moment in (moments or {}).items():
        if symbol not in atomic_numbers:
            message = f"moments: {symbol!r} is no chemical symbol; write such as {{Ni: 0.6}}"
            raise CalculatorError(message)
        if isinstance(moment, bool) or not isinstance(moment, int | float) or not math.isfinite(moment):
            message = f"moments: {moment!r} of {symbol} is no number; give the magnetic moment of an atom in μB"
            raise CalculatorError(message)
    return moments or {}
