"""CHGNet behind ASE, asked only for what is needed, forces and stress from one pass through the network.

Source: Deng et al., Nature Machine Intelligence 5, 1031 (2023), doi 10.1038/s42256-023-00716-3.
"""

from typing import TYPE_CHECKING

import torch
from ase.units import GPa
from chgnet.model import CHGNet
from chgnet.model.dynamics import CHGNetCalculator

from seiflow.calculators.learned import model_path, prepare_torch

if TYPE_CHECKING:
    from ase import Atoms
    from chgnet.model.model import BatchedGraph
    from torch import Tensor


class OnePassCHGNet(CHGNet):  # type: ignore[misc] # the base class is untyped
    """The network with forces and stress from one pass backwards.

    The package makes a pass for each and keeps what training would need of them, which takes 1.4 times as long with the stress.
    """

    def _compute(
        self, g: "BatchedGraph", *, compute_force: bool = False, compute_stress: bool = False, **others: bool
    ) -> "dict[str, Tensor]":
        """Return the predictions for a batch of structures; stress in GPa, as the package has it."""
        found: dict[str, Tensor] = super()._compute(g, **others)
        positions, strains = (list(g.atom_positions) if compute_force else []), (list(g.strains) if compute_stress else [])
        if positions or strains:
            energies = found["e"] * found["atoms_per_graph"] if self.is_intensive else found["e"]
            slopes = torch.autograd.grad(energies.sum(), [*positions, *strains])
            forces = [-slope for slope in slopes[: len(positions)]]
            stresses = [slope / (volume * GPa) for slope, volume in zip(slopes[len(positions) :], g.volumes, strict=False)]
            found |= ({"f": forces} if positions else {}) | ({"s": stresses} if strains else {})
        return found


class FrugalCHGNetCalculator(CHGNetCalculator):  # type: ignore[misc] # the base class is untyped
    """The calculator of the chgnet package without stress and magnetic moments unless they are asked for."""

    def calculate(
        self, atoms: "Atoms | None" = None, properties: list[str] | None = None, system_changes: list[str] | None = None
    ) -> None:
        """Fill ``results`` with energy and forces, and with the stress if it is among ``properties``."""
        task = "efs" if "stress" in (properties or []) else "ef"
        super().calculate(atoms=atoms, properties=properties, system_changes=system_changes, task=task)


def chgnet(*, model: str = "0.3.0", device: str = "cpu", precision: str = "float32", threads: int = 1) -> FrugalCHGNetCalculator:
    """Return a CHGNet calculator.

    Args:
        model: One of the models inside the chgnet package (0.2.0, 0.3.0, r2scan), or the path of a trained one.
        device: cpu or cuda.
        precision: float32; the package makes its graphs in no other.
        threads: CPU threads; one, with several jobs side by side, has the highest throughput.
    """
    prepare_torch(device=device, precision=precision, threads=threads, precisions=["float32"])
    path = model_path(model)
    loaded = OnePassCHGNet.from_file(path) if path else OnePassCHGNet.load(model_name=model, use_device=device, verbose=False)
    return FrugalCHGNetCalculator(model=loaded, use_device=device, on_isolated_atoms="error")
