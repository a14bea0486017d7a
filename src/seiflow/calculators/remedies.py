"""What is tried when a density does not become self-consistent: the remedies of the recipe, one after the other.

A remedy changes how a density is sought (mixing, number of iterations, eigensolver), never what it is of: with other cut-offs,
k-points or smearing the energies of one job would not belong together. The remedy that helped stays for the rest of the job.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from ase.calculators.calculator import Calculator, all_changes

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
        self._left = list(remedies)
        self._tried: list[str] = []
        self._calculator = make(None)
        self.helped: list[str] = []

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

    def close(self) -> None:
        """End what the calculator keeps running."""
        close = getattr(self._calculator, "close", None)
        if close is not None:
            close()

    def _persevere(self, attempt: Callable[[], None]) -> None:
        while True:
            try:
                attempt()
            except UnconvergedDensityError as error:
                if not self._left:
                    told = f"; tried: {', '.join(self._tried)}" if self._tried else ""
                    message = f"{error}{told}. Look at the structure, or give the recipe another remedy (remedies)."
                    raise UnconvergedDensityError(message) from error
                remedy = self._left.pop(0)
                self._tried.append(remedy.name)
                self.close()
                self._calculator = self._make(remedy)
            else:
                if self._tried and self._tried[-1] not in self.helped:
                    self.helped.append(self._tried[-1])
                return
