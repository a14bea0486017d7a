"""Two records of one step, number by number, within the noise of their calculator."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seiflow.calculators.recipes import CalculatorRecipe

STIFFNESS = 5.0
"""eV/Å², of a typical ion in its well: turns an error of the energy into one of a position or force."""

LEFT_OVER = re.compile(
    r"^(largest_force|largest_stress|residual|asymmetry|nonlinearity|offset|curvature_residuals|stress_residual|difference)"
)
"""Keys of what an iteration left over: below its tolerance, and else of any size."""

NUMBERS = re.compile(r"[-−]?\d+(\.\d+)?")

COUNTS = {"force_evaluations", "provenance"}
"""Keys that are not compared within noise: another rounding may need another step."""


@dataclass(frozen=True)
class Noise:
    """How much a number may differ when it is computed again.

    Attributes:
        energy_ev: Energies, eV.
        relative: All else, as a part of the largest number under the same key, or of one of its unit.
    """

    energy_ev: float
    relative: float

    @classmethod
    def of(cls, recipe: CalculatorRecipe) -> "Noise":
        """Return the noise that a recipe states, or that of its kind."""
        return cls(recipe.stated_noise_ev, recipe.stated_noise_relative)

    def allowed(self, key: str, largest: float) -> float:
        """Return the difference allowed between numbers under a key, the largest of which has this magnitude."""
        if LEFT_OVER.match(key):
            return float("inf")
        if key.endswith("_ev"):
            return self.energy_ev
        if key.endswith("_angstrom") and not key.startswith("cutoff"):
            return float(np.sqrt(self.energy_ev / STIFFNESS)) + self.relative * largest
        if key.endswith("_ev_per_angstrom"):
            return float(np.sqrt(self.energy_ev * STIFFNESS)) + self.relative * largest
        if key.endswith("_ev_per_angstrom2"):
            return self.relative * max(largest, STIFFNESS)
        return self.relative * max(largest, 1.0)


@dataclass(frozen=True)
class Difference:
    """A value that differs.

    Attributes:
        key: Where it stands, with dots and indices.
        text: Both values.
        size: Difference of numbers as a multiple of what is allowed; infinite for anything else.
    """

    key: str
    text: str
    size: float


def differences(recorded: Mapping[str, Any], again: Mapping[str, Any], noise: Noise | None) -> list[Difference]:
    """Return all values in which two records differ, the largest difference first.

    Args:
        recorded: The record of a result.
        again: The same, computed again.
        noise: None takes every digit as it is, and counts too; provenance is never compared.
    """
    left_out = {"provenance"} if noise is None else COUNTS
    first, second = ({key: value for key, value in one.items() if key not in left_out} for one in (recorded, again))
    found = _walk(first, second, "", "", noise, 0.0)
    return sorted(found, key=lambda difference: -difference.size)


def _walk(one: object, two: object, place: str, key: str, noise: Noise | None, largest: float) -> Iterator[Difference]:
    if isinstance(one, dict) and isinstance(two, dict):
        for name in sorted({*one, *two}):
            inside = f"{place}.{name}" if place else str(name)
            # {"a": 1.0} below a key with a unit: the unit is that of the key above
            own = key if re.search(r"_(ev|gpa|angstrom)$", key) else str(name)
            if name not in one or name not in two:
                yield Difference(inside, "only in the record" if name in one else "not in the record", float("inf"))
            else:
                yield from _walk(one[name], two[name], inside, own, noise, _largest(one[name]))
    elif isinstance(one, list) and isinstance(two, list):
        if len(one) != len(two):
            yield Difference(place, f"{len(one)} items in the record, {len(two)} again", float("inf"))
            return
        for number, (left, right) in enumerate(zip(one, two, strict=True)):
            yield from _walk(left, right, f"{place}[{number}]", key, noise, max(largest, _largest(one)))
    elif noise is not None and isinstance(one, str) and isinstance(two, str):
        if NUMBERS.sub("", one) != NUMBERS.sub("", two):  # numbers in sentences stand in the record by themselves
            yield from _different(one, two, place, key, noise, largest)
    elif one != two or type(one) is not type(two):
        yield from _different(one, two, place, key, noise, largest)


def _different(one: object, two: object, place: str, key: str, noise: Noise | None, largest: float) -> Iterator[Difference]:
    text = f"{one!r} in the record, {two!r} again"
    if not isinstance(one, float) or not isinstance(two, float):
        yield Difference(place, text, float("inf"))
        return
    allowed = noise.allowed(key, max(largest, abs(one), abs(two))) if noise else 0.0
    change = abs(one - two)
    yield Difference(place, f"{text}, a change of {change:.2g}", change / allowed if allowed else float("inf"))


def _largest(value: object) -> float:
    """Return the largest magnitude among the numbers of a list, or of a number."""
    if isinstance(value, list):
        return max(map(_largest, value), default=0.0)
    return abs(value) if isinstance(value, float) else 0.0


def structures_differ(recorded: Path, again: Path, noise: Noise | None) -> list[Difference]:
    """Return in what two files of structures differ: atoms, positions and cells in Å, energies in eV."""
    if recorded.read_bytes() == again.read_bytes():
        return []
    from seiflow.jobs.task import read_structures

    one, two = ([_numbers(frame) for frame in read_structures(path)] for path in (recorded, again))
    found = list(_walk(one, two, recorded.name, "", noise, 0.0))
    return found or [Difference(recorded.name, "other text for the same numbers", 0.0)]


def _numbers(atoms: Any) -> dict[str, Any]:  # noqa: ANN401 - ASE is untyped
    found: dict[str, Any] = {"symbols": str(atoms.symbols), "pbc": atoms.pbc.tolist()}
    found |= {"cell_angstrom": atoms.cell.array.tolist(), "positions_angstrom": atoms.positions.tolist()}
    if atoms.calc is not None:
        found |= {"energy_ev": float(atoms.calc.results["energy"])} if "energy" in atoms.calc.results else {}
    return found
