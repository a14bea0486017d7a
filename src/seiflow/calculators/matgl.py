"""Potentials of MatGL (TensorNet, M3GNet, CHGNet) behind ASE, asked for the stress only where it is wanted.

Source: Ko et al., npj Comput. Mater. 11, 253 (2025), doi 10.1038/s41524-025-01742-y.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import hf_hub_download
from matgl import load_model, set_default_dtype
from matgl.ext.ase import PESCalculator

from seiflow.calculators.learned import model_path, prepare_torch

if TYPE_CHECKING:
    from ase import Atoms

FILES = ("model.json", "model.pt", "state.pt")
"""What a potential is kept in."""


class FrugalPESCalculator(PESCalculator):  # type: ignore[misc] # the base class is untyped
    """The calculator of the matgl package without stress unless it is asked for."""

    def calculate(
        self, atoms: "Atoms | None" = None, properties: list[str] | None = None, system_changes: list[str] | None = None
    ) -> None:
        """Fill ``results`` with energy and forces, and with the stress if it is among ``properties``."""
        self.compute_stress = self.potential.calc_stresses = "stress" in (properties or [])
        super().calculate(atoms, properties, system_changes)


def matgl(
    *, model: str, folder: str | None = None, device: str = "cpu", precision: str = "float32", threads: int = 1
) -> FrugalPESCalculator:
    """Return a calculator of a MatGL potential.

    Args:
        model: Folder of a trained potential, or the name of one that its authors publish.
        folder: Where a published one is kept; what is not there is fetched.
        device: cpu or cuda.
        precision: float32 or float64.
        threads: CPU threads; one, with several jobs side by side, has the highest throughput.
    """
    prepare_torch(device=device, precision=precision, threads=threads)
    set_default_dtype("float", int(precision.removeprefix("float")))
    path = model_path(model) or str(_kept(model, Path(folder or model).expanduser()))
    potential = load_model(path).to(device)
    potential = potential.double() if precision == "float64" else potential.float()
    return FrugalPESCalculator(potential.eval(), stress_unit="eV/A3", use_voigt=True)


def _kept(name: str, folder: Path) -> Path:
    """Return the folder of a published potential, with its files."""
    for file in FILES:
        if not (folder / file).is_file():
            hf_hub_download(repo_id=f"materialyze/{name}", filename=file, local_dir=folder)
    return folder
