"""The record of the softness as a type, its numbers one by one, and what barriers and moduli would be without it.

The correction divides by the force scale. It assumes that the energy surface of the potential is that of the reference times one
number, which the forces on displaced crystals suggest and nothing proves: an estimate, shown beside the value computed.
"""

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

from seiflow.report.quantity import STIFFNESS_KEYS
from seiflow.report.views import Record
from seiflow.report.wording import Number

_MODULUS = "_modulus_"
_BARRIERS = ("barrier_forward_ev", "barrier_backward_ev", "straight_barrier_ev", "pushed_barrier_ev")
_PERCOLATION = ("percolation_barrier", "interstitial_percolation", "direct_percolation", "knock_off_percolation")


class SpeciesSoftness(BaseModel):
    """Forces on the ions of one species."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    species: str
    force_scale: float
    force_rms_ev_per_angstrom: float


class FrameSoftness(BaseModel):
    """Forces in one displaced structure."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    displaced: str
    force_scale: float
    force_rms_ev_per_angstrom: float
    largest_reference_force_ev_per_angstrom: float


class Softness(Record):
    """``softness.json``."""

    reference: str
    structures_compared: int
    forces_compared: int
    force_scale: float
    force_scale_error: float
    force_rms_ev_per_angstrom: float
    reference_force_rms_ev_per_angstrom: float
    force_correlation: float
    energy_scale: float
    species: tuple[SpeciesSoftness, ...]
    frames: tuple[FrameSoftness, ...]

    def numbers(self) -> Iterator[tuple[str, Number]]:
        """Yield every number with its key."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            if name not in Record.model_fields and (value is None or isinstance(value, int | float)):
                yield name, value
        for found in self.species:
            yield f"force_scale[{found.species}]", found.force_scale
            yield f"force_rms_ev_per_angstrom[{found.species}]", found.force_rms_ev_per_angstrom
        for number, frame in enumerate(self.frames, start=1):
            yield f"force_scale[structure {number}]", frame.force_scale
            yield f"force_rms_ev_per_angstrom[structure {number}]", frame.force_rms_ev_per_angstrom
            yield f"largest_reference_force_ev_per_angstrom[structure {number}]", frame.largest_reference_force_ev_per_angstrom

    @property
    def in_words(self) -> str:
        """The force scale with its error, and what it is against."""
        return f"{self.force_scale:.2f} ± {self.force_scale_error:.2f} against {self.reference}"

    def corrected(self, key: str, value: Number) -> float | None:
        """Return what a barrier or modulus is without the softness; None for what is neither, or not known."""
        if value is None or isinstance(value, bool) or self.force_scale <= 0 or not is_scaled(key):
            return None
        return float(value) / self.force_scale


def is_scaled(key: str) -> bool:
    """Tell whether a quantity, by its key, scales as the energy surface does: barriers and moduli."""
    base = key.partition("[")[0]
    if base in STIFFNESS_KEYS or (_MODULUS in base and base.endswith("_gpa")):
        return True
    return base.removeprefix("interstitial_") in _BARRIERS or base.startswith(_PERCOLATION)
