"""One number of a study: its key, unit and label."""

from dataclasses import dataclass

from seiflow.report.wording import LABELS, Number, show_least, unit_of

STIFFNESS_KEYS = tuple(f"c{i}{j}_gpa" for i in range(1, 7) for j in range(i, 7))


@dataclass(frozen=True)
class Quantity:
    """One number of one record; what tells several of a kind apart stands in brackets: ``barrier_forward_ev[hop]``.

    Attributes:
        key: Name with the unit, as in the record.
        value: None if it is not known.
        least: What it is not below, where the value is not settled.
    """

    key: str
    value: Number
    least: float | None = None

    @property
    def base(self) -> str:
        """The key without what stands in brackets."""
        return self.key.partition("[")[0]

    @property
    def unit(self) -> str:
        """The unit that the key ends with, or nothing."""
        return unit_of(self.base)

    @property
    def label(self) -> str:
        """What a reader sees instead of the key."""
        which = self.key.partition("[")[2].removesuffix("]")
        label = LABELS.get(self.base)
        if label is None:
            label = self.base.removesuffix("_gpa").upper() if self.base in STIFFNESS_KEYS else self.base.replace("_", " ")
        return f"{label} {which}".strip()

    @property
    def text(self) -> str:
        """The value with its unit; a range, or what it is not below, where it is not settled."""
        return show_least(self.value, self.least, self.unit)
