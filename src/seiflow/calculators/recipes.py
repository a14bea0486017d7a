"""Recipes of calculators: what a chemist writes in ``calculators/``."""

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Self

from ase.data import atomic_numbers, chemical_symbols
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

from seiflow.calculators.machine import Machine
from seiflow.shelves import Shelf, data_folder
from seiflow.structures.recipes import Recipe, Source


def _expand(value: object) -> object:
    """Turn entries such as ``H-Bi`` into all elements between the two, both included."""
    if not isinstance(value, list):
        return value
    symbols: list[str] = []
    for entry in value:
        first, _, last = str(entry).partition("-")
        if first not in atomic_numbers or (last and last not in atomic_numbers):
            message = f"{entry!r} is neither a chemical symbol nor a range such as H-Bi"
            raise ValueError(message)
        if atomic_numbers[last or first] < atomic_numbers[first]:
            message = f"{entry!r} runs backwards; write {last}-{first}"
            raise ValueError(message)
        symbols += chemical_symbols[atomic_numbers[first] : atomic_numbers[last or first] + 1]
    return symbols


USUAL_NOISE = (1e-3, 5e-3)
"""eV and relative, of a calculator that gives equal bits for equal inputs on one machine, when it is run on another."""
UNSTEADY_NOISE = (5e-3, 0.05)
"""The same of one that gives other bits each time, such as a density continued from the one before it."""

Elements = Annotated[list[str], BeforeValidator(_expand)]


class Remedy(BaseModel):
    """What may help a density to become self-consistent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="what it is called in records and messages")
    arguments: dict[str, JsonValue] = Field(description="arguments of the callable that it replaces")


class CalculatorRecipe(Recipe):
    """Something that returns energy, forces and stress of a structure."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", description="what the calculator is called in studies and results"
    )
    summary: str = Field(description="one sentence for lists")
    factory: str = Field(
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", description="import path module:callable that returns an ASE calculator"
    )
    arguments: dict[str, JsonValue] = Field(default={}, description="keyword arguments of the callable")
    elements: Elements = Field(min_length=1, description="elements covered: symbols or ranges such as H-Bi")
    charge: bool = Field(
        description="whether it honours the charge of a cell, which its callable then takes as charge, in e; ML potentials do not"
    )
    electronic: bool = Field(
        default=False, description="whether it tells its electrostatic potential and band edges; charged defects need them"
    )
    stress: bool = Field(default=True, description="whether it returns the stress")
    deterministic: bool = Field(default=True, description="whether equal inputs give equal bits on one machine")
    noise_ev: float | None = Field(
        None,
        gt=0,
        description="how much an energy may differ when it is computed again, eV; null for what is usual of its kind: "
        "see seiflow verify",
    )
    noise_relative: float | None = Field(
        None, gt=0, description="the same for all that is no energy, as a part of the largest value of its kind"
    )
    seconds_per_atom: float = Field(gt=0, description="cost of one evaluation on one core, s per atom; for estimates only")
    memory_mb: int = Field(1000, gt=0, description="memory of one process, MB")
    extra: str | None = Field(None, description="optional dependency of seiflow that brings it: pip install 'seiflow[EXTRA]'")
    packages: list[str] = Field(default=[], description="further packages that it needs; their versions are part of every result")
    weights: list[str] = Field(
        default=[],
        description="files that define it, hashed into provenance: a path, PACKAGE/PATH/IN/IT, or CODE:FILE for one in "
        "the folder that the machine has for a code",
    )
    fetched: bool = Field(
        default=False,
        description="whether its package fetches the weights when it first loads the model; seiflow calculators fetch NAME "
        "does so, jobs never do",
    )
    environment: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="environment of its own that its packages need, because they cannot live with those of others; null for "
        "the one that seiflow runs in",
    )
    program: str | None = Field(
        None, description="program that it starts; its callable takes the command line as command; the machine says which that is"
    )
    data: str | None = Field(
        None, description="code whose folder of pseudopotentials its callable takes as folder; the machine says where that is"
    )
    processes: int = Field(1, gt=0, description="MPI processes of the program")
    remedies: list[Remedy] = Field(
        default=[], description="what is tried, in this order, when a density does not become self-consistent"
    )
    starts_from: str | None = Field(
        None,
        description="cheaper calculator whose relaxed crystals, vacancies and saddles it starts from, run in the same study. "
        "One without stress takes the cells of crystals from there",
    )
    magnetic: bool = Field(default=False, description="whether it heeds initial magnetic moments")
    source: Source

    @property
    def stated_noise_ev(self) -> float:
        """How much an energy may differ when it is computed again, eV."""
        return self.noise_ev or (USUAL_NOISE if self.deterministic else UNSTEADY_NOISE)[0]

    @property
    def stated_noise_relative(self) -> float:
        """The same for all that is no energy, as a part of the largest value of its kind."""
        return self.noise_relative or (USUAL_NOISE if self.deterministic else UNSTEADY_NOISE)[1]

    @model_validator(mode="after")
    def _fetched_weights_are_named(self) -> Self:
        if self.fetched and not self.weights:
            message = "fetched: true needs weights: the files that are there once the package has fetched them"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _processes_are_those_of_a_program(self) -> Self:
        if self.processes > 1 and self.program is None:
            message = f"processes: {self.processes} needs program: only a program that is started can have several MPI processes"
            raise ValueError(message)
        return self


def calculator_shelf(folders: Sequence[Path] = ()) -> Shelf[CalculatorRecipe]:
    """Return the calculators of the user's folders and of the package."""
    return Shelf(
        {"": CalculatorRecipe}, "calculator", [*(folder / "calculators" for folder in folders), data_folder("calculators")]
    )


def uncovered(recipe: CalculatorRecipe, symbols: Iterable[str]) -> list[str]:
    """Return the elements among ``symbols`` that the calculator does not cover."""
    return sorted(set(symbols) - set(recipe.elements))


@functools.cache
def weight_file(entry: str) -> Path:
    """Return the file meant by an entry of ``weights``; for one in a code's folder the environment names the machine.

    Raises:
        FileNotFoundError: if there is no such file; the package it belongs to is not installed, or has another version.
    """
    import importlib.util

    code, _, name = entry.partition(":")
    if name:
        return Machine.from_environment().file(code, name)
    path = Path(entry).expanduser()
    if path.is_absolute():
        candidate = path
    else:
        package, _, inside = entry.partition("/")
        if not package.isidentifier():
            message = "a path begins with the name of a package, / or ~"
            raise FileNotFoundError(message)
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            message = f"package {package} is not installed"
            raise FileNotFoundError(message)
        candidate = Path(next(iter(spec.submodule_search_locations))) / inside
    if not candidate.is_file():
        message = f"no file {candidate}"
        raise FileNotFoundError(message)
    return candidate
