"""What corrections of charged cells ask of a calculator besides energy and forces: its electrostatic potential and band edges."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ElectronicState:
    """Potential and band edges of one structure; the average of the potential over the cell is the zero of all energies.

    Attributes:
        planar_ev: Electrostatic potential energy of an electron (negative near nuclei), averaged over planes parallel to two
            cell vectors, along the third, for each of the three; evenly spaced from the origin, the far end left out.
        sites_ev: The same potential at each atom, averaged over its core region.
        valence_ev: Highest occupied level at the calculator's k-points.
        conduction_ev: Lowest empty level.
    """

    planar_ev: "tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]"
    sites_ev: "NDArray[np.float64]"
    valence_ev: float
    conduction_ev: float


@runtime_checkable
class Electronic(Protocol):
    """A calculator that tells its electronic state; its recipe says ``electronic: true``."""

    def electronic_state(self, atoms: "Atoms") -> ElectronicState:
        """Return the state of a structure, without computing it again if it was the last one evaluated."""
