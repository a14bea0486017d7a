"""What is tried when a density does not become self-consistent: the remedies of the recipe, one after the other.

A remedy changes how a density is sought (mixing, number of iterations, eigensolver), never what it is of: with other cut-offs,
k-points or smearing the energies of one job would not belong together. The remedy that helped stays for the rest of the job; a
structure for which it fails gets all the others.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ase.calculators.calculator import Calculator, all_changes

from seiflow.calculators.densities import Continuing
from seiflow.calculators.electronic import Electronic, ElectronicState
from seiflow.calculators.recipes import Remedy
from seiflow.errors import CalculatorError, UnconvergedDensityError

if TYPE_CHECKING:
    from ase import Atoms

Make = Callable[[Remedy | None], Calculator]
"""Makes the calculator, with a remedy or as the recipe says."""


class Persevering(Calculator):  # type: ignore[misc] # the base class is untyped
    """A calculator that tries remedies before it gives up on a density."""

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, make: Make, remedies: Sequence[Remedy]) -> None:
        """Make the calculator as the recipe says."""
        super().__init__()
        self._make = make
        self._remedies = list(remedies)
        self._stays: Remedy | None = None
        self._calculator = make(None)
        self._kept: Path | None = None
        self.helped: list[str] = []
        """Remedies with which a density became self-consistent, each with those tried for it before."""

    def calculate(
        self,
        atoms: "Atoms | None" = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fill ``results``.

        Raises:
            UnconvergedDensityError: if no remedy helped; it names what was tried.
        """
        super().calculate(atoms, properties, system_changes)
        self._persevere(lambda: self._calculator.calculate(atoms, properties, system_changes))
        self.results = dict(self._calculator.results)

    @property
    def measured_once(self) -> dict[str, float] | None:
        """What the calculator at work has measured once and uses ever after."""
        return getattr(self._calculator, "measured_once", None)

    def electronic_state(self, atoms: "Atoms") -> ElectronicState:
        """Return potential and band edges of a structure.

        Raises:
            CalculatorError: if the calculator does not tell them.
        """
        found: list[ElectronicState] = []

        def ask() -> None:
            if not isinstance(self._calculator, Electronic):
                message = f"{type(self._calculator).__name__} tells no electrostatic potential and band edges"
                raise CalculatorError(message)
            found.append(self._calculator.electronic_state(atoms))

        self._persevere(ask)
        return found[-1]

    def keep_density(self, folder: Path) -> None:
        """Write what the calculator at work would begin with."""
        if isinstance(self._calculator, Continuing):
            self._calculator.keep_density(folder)

    def take_density(self, folder: Path) -> None:
        """Let the calculator at work begin with what was written, or that with the remedy by which it was found."""
        self._kept = folder
        self._offer()

    def close(self) -> None:
        """End what the calculator keeps running."""
        close = getattr(self._calculator, "close", None)
        if close is not None:
            close()

    def _persevere(self, attempt: Callable[[], None]) -> None:
        """Attempt something as it went last, then with each of the other remedies; what helps stays, else all is as before."""
        try:
            attempt()
        except UnconvergedDensityError as error:
            failure = error
        else:
            self._kept = None
            return
        tried = [self._stays.name] if self._stays else []
        for remedy in self._remedies:
            if remedy == self._stays:
                continue
            tried.append(remedy.name)
            self._take(remedy)
            try:
                attempt()
            except UnconvergedDensityError as error:
                failure = error
            else:
                self._kept = None
                self._stays = remedy
                in_vain = f", after {', '.join(tried[:-1])} in vain" if tried[:-1] else ""
                if remedy.name + in_vain not in self.helped:
                    self.helped.append(remedy.name + in_vain)
                return
        self._kept = None
        self._take(self._stays)
        told = f"; tried: {', '.join(tried)}" if tried else ""
        message = f"{failure}{told}. Look at the structure, or give the recipe another remedy (remedies)."
        raise UnconvergedDensityError(message) from failure

    def _take(self, remedy: Remedy | None) -> None:
        """Make the calculator with a remedy, which knows what the one before has measured once."""
        self.close()
        known = self.measured_once
        self._calculator = self._make(remedy)
        if known and self.measured_once is not None:
            self.measured_once.update(known)
        self._offer()

    def _offer(self) -> None:
        if self._kept is not None and isinstance(self._calculator, Continuing):
            self._calculator.take_density(self._kept)
