"""MACE behind ASE: the foundation models that mace-torch fetches, and any model trained with it; stress where it is asked for.

Sources: Batatia et al., Advances in Neural Information Processing Systems 35 (2022), arXiv 2206.07697; foundation models:
Batatia et al., J. Chem. Phys. 163, 184110 (2025), doi 10.1063/5.0297006, arXiv 2401.00096.
"""

from typing import TYPE_CHECKING, ClassVar

from ase.calculators.calculator import Calculator, all_changes
from mace.calculators import MACECalculator, mace_mp

from seiflow.calculators.learned import model_path, prepare_torch

if TYPE_CHECKING:
    from ase import Atoms


class FrugalMACECalculator(Calculator):  # type: ignore[misc] # the base class is untyped
    """The calculator of the mace-torch package without stress unless it is asked for."""

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, calculator: MACECalculator) -> None:
        """Wrap a calculator, whose networks are always told to compute the stress."""
        super().__init__()
        self._calculator = calculator
        self._stress = True
        for network in calculator.models:
            network.register_forward_pre_hook(self._told, with_kwargs=True)

    def calculate(
        self, atoms: "Atoms | None" = None, properties: list[str] | None = None, system_changes: list[str] = all_changes
    ) -> None:
        """Fill ``results`` with energy and forces, and with the stress if it is among ``properties``."""
        super().calculate(atoms, properties, system_changes)
        self._stress = "stress" in (properties or [])
        self._calculator.calculate(self.atoms, properties, system_changes)
        found = self._calculator.results
        self.results = {name: found[name] for name in self.implemented_properties if self._stress or name != "stress"}

    def _told(
        self, _: object, graphs: tuple[object, ...], told: dict[str, object]
    ) -> tuple[tuple[object, ...], dict[str, object]]:
        """Return what a network is told: to compute the stress only if it was asked for."""
        return graphs, told | {"compute_stress": bool(told["compute_stress"]) and self._stress}


def mace(
    *, model: str, device: str = "cpu", precision: str = "float64", threads: int = 1, head: str | None = None
) -> FrugalMACECalculator:
    """Return a MACE calculator.

    Args:
        model: A keyword of ``mace_mp`` of mace-torch, such as medium-mpa-0, or the path of a trained model.
        device: cpu or cuda.
        precision: float32 or float64; the second is what the package recommends for relaxations.
        threads: CPU threads; one, with several jobs side by side, has the highest throughput.
        head: Kind of reference data whose energies are wanted, for a model that was trained on several.
    """
    prepare_torch(device=device, precision=precision, threads=threads)
    path = model_path(model)
    choice = {"head": head} if head else {}
    if path:
        return FrugalMACECalculator(MACECalculator(model_paths=path, device=device, default_dtype=precision, **choice))
    return FrugalMACECalculator(mace_mp(model=model, device=device, default_dtype=precision, **choice))
