"""The record of charged defects as a type, and its numbers one by one."""

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

from seiflow.report.views import Record


class _Part(BaseModel):
    """Part of a record; keys that the report does not use are let pass."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class BandEdges(_Part):
    """Of the perfect supercell."""

    gap_ev: float


class Correction(_Part):
    """Of a charged cell."""

    correction_ev: float


class ChargedCell(_Part):
    """A charged cell."""

    correction: Correction


class ChargedDefect(_Part):
    """A defect in one charge state."""

    name: str
    kind: str = "vacancy"
    species: str
    charge: int
    cell: ChargedCell
    formation_energy_ev: dict[str, float]

    @property
    def is_interstitial(self) -> bool:
        """Whether an ion was added."""
        return self.kind == "interstitial"

    @property
    def site(self) -> str:
        """Ion and number of the site, without what kind of defect it is."""
        return self.name.replace("interstitial", self.species) if self.is_interstitial else self.name.removeprefix("vacancy ")


class TransitionLevel(_Part):
    """Fermi level at which two charge states have one energy."""

    defect: str
    charges: tuple[int, int]
    level_ev: float


class ChargedDefects(Record):
    """``charged_defects.json``; formation energies are those with the Fermi level at the valence edge."""

    schottky_energy_ev: float | None
    frenkel_energy_ev: float | None = None
    band_edges: BandEdges
    defects: tuple[ChargedDefect, ...]
    transition_levels: tuple[TransitionLevel, ...]
    image_distance_angstrom: float
    atoms: int

    def numbers(self) -> Iterator[tuple[str, float | None]]:
        """Yield every number and its key."""
        yield "charged_schottky_energy_ev", self.schottky_energy_ev
        if self.frenkel_energy_ev is not None:
            yield "charged_frenkel_energy_ev", self.frenkel_energy_ev
        yield "band_gap_ev", self.band_edges.gap_ev
        for defect in self.defects:
            which = f"{defect.site} {defect.charge:+d}"
            of = "charged_interstitial" if defect.is_interstitial else "charged"
            for limit, energy in defect.formation_energy_ev.items():
                yield f"{of}_formation_energy_ev[{which}, {limit}]", energy
            yield f"{of}_correction_ev[{which}]", defect.cell.correction.correction_ev
        defects = {defect.name: defect for defect in self.defects}
        for level in self.transition_levels:
            defect = defects[level.defect]
            key = "interstitial_transition_level_ev" if defect.is_interstitial else "transition_level_ev"
            yield f"{key}[{defect.site} {level.charges[0]:+d}/{level.charges[1]:+d}]", level.level_ev
        yield "charged_image_distance_angstrom", self.image_distance_angstrom
        yield "charged_atoms", self.atoms

    def headlines(self) -> list[str]:
        """Return the keys of the numbers that a reader looks for first."""
        told = (
            "charged_schottky_energy_ev",
            "charged_frenkel_energy_ev",
            "charged_formation_energy_ev",
            "transition_level_ev",
            "charged_interstitial_formation_energy_ev",
            "interstitial_transition_level_ev",
        )
        return [key for key, value in self.numbers() if key.startswith(told) and value is not None]
