"""Orb behind ASE, asked for the stress only where it is wanted.

Source: Rhodes et al., Orb-v3: atomistic simulation at scale, arXiv 2504.06231 (2025).
"""

import inspect
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ase.calculators.calculator import all_changes
from cached_path import cached_path
from orb_models.forcefield.calculator import ORBCalculator
from orb_models.forcefield.pretrained import ORB_PRETRAINED_MODELS

from seiflow.calculators.learned import prepare_torch
from seiflow.documents import nearest
from seiflow.errors import CalculatorError

if TYPE_CHECKING:
    from ase import Atoms


class FrugalORBCalculator(ORBCalculator):  # type: ignore[misc] # the base class is untyped
    """The calculator of the orb-models package without stress unless it is asked for."""

    implemented_properties: list[str]

    def calculate(
        self, atoms: "Atoms | None" = None, properties: list[str] | None = None, system_changes: list[str] = all_changes
    ) -> None:
        """Fill ``results`` with energy and forces, and with the stress if it is among ``properties``."""
        if not self.conservative or "stress" in (properties or []):
            super().calculate(atoms, properties, system_changes)
            return
        every, stress = self.implemented_properties, self.model.has_stress
        self.implemented_properties = [name for name in every if "stress" not in name]
        self.model.has_stress = False
        try:
            super().calculate(atoms, properties, system_changes)
        finally:
            self.implemented_properties, self.model.has_stress = every, stress


def orb(*, model: str, weights: str, device: str = "cpu", precision: str = "float64", threads: int = 1) -> FrugalORBCalculator:
    """Return an Orb calculator.

    Args:
        model: Name of a model of orb-models, such as orb-v3-conservative-inf-omat. Barriers and phonons need a conservative one,
            whose forces derive from its energy.
        weights: File of its weights, its own or fine-tuned ones; if it is not there, its own are fetched and kept there.
        device: cpu or cuda.
        precision: float32 or float64.
        threads: CPU threads; one, with several jobs side by side, has the highest throughput.
    """
    prepare_torch(device=device, precision=precision, threads=threads)
    if model not in ORB_PRETRAINED_MODELS:
        message = f"orb-models has no model {model!r}{nearest(model, ORB_PRETRAINED_MODELS)}"
        raise CalculatorError(message)
    make = ORB_PRETRAINED_MODELS[model]
    path = Path(weights).expanduser()
    if not path.is_file():
        fetched = cached_path(inspect.signature(make).parameters["weights_path"].default)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(shutil.copyfile(fetched, path.with_name(f"{path.name}.partial")), path)
    exact = {"float32": "float32-highest", "float64": "float64"}[precision]
    network = make(weights_path=str(path), device=device, precision=exact, compile=False)
    return FrugalORBCalculator(network, device=device)
