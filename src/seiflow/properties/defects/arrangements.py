"""Sets of point defects by geometry: pairs from near to far, and the vacancies of one formula unit, compact or spread out."""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from seiflow.properties.defects.host import DIGITS, Host, Place, Unit

MOST_SETS = 10_000
"""Sets of vacancies looked at; with more, only the units nearest to and farthest from the first one take part."""


@dataclass(frozen=True)
class Arrangement:
    """Point defects in one supercell.

    Attributes:
        name: What it is called in results.
        missing: Units taken out.
        added: Places with an ion added.
        separation_angstrom: Distance of the two defects of a pair; of several vacancies, the largest between two of them. None
            for a single defect.
    """

    name: str
    missing: tuple[Unit, ...]
    added: tuple[Place, ...]
    separation_angstrom: float | None = None


def vacancy(unit: Unit, number: int) -> Arrangement:
    """Return a single vacancy."""
    return Arrangement(f"vacancy {unit.kind}_{number}", (unit,), ())


def interstitial(place: Place) -> Arrangement:
    """Return a single ion added."""
    return Arrangement(place.site, (), (place,))


def pair(unit: Unit, place: Place, distance: float) -> Arrangement:
    """Return a vacancy with an interstitial."""
    return Arrangement(f"vacancy and {place.site} at {distance:.2f} Å", (unit,), (place,), distance)


def schottky_sets(host: Host) -> tuple[Arrangement, ...]:
    """Return sets of vacancies of one formula unit: one or two compact ones, then the one most spread out.

    Compact are the set whose distances add up to the least, and the one that formal charges bind most strongly, which need not be
    the same: of two lithium vacancies at an oxygen vacancy it puts one on each side. Spread out is the set whose two nearest
    members are farthest apart. A formula unit of one unit has a single set.
    """
    sets = _sets(host)
    if len(sets[0]) == 1:
        return (Arrangement("one formula unit", sets[0], ()),)
    numbers = np.array([[host.number_of[unit.leader] for unit in units] for units in sets])
    one, other = np.triu_indices(numbers.shape[1], 1)
    distances = host.unit_distances[numbers[:, one], numbers[:, other]]
    charges = np.array([unit.charge for unit in sets[0]])
    total, nearest = np.round(distances.sum(axis=1), DIGITS), np.round(distances.min(axis=1), DIGITS)
    attraction = np.round((charges[one] * charges[other] / distances).sum(axis=1), DIGITS)
    order = np.arange(len(sets))
    compact, bound, spread = (
        int(np.lexsort(keys)[0]) for keys in ((order, total), (order, total, attraction), (order, -total, -nearest))
    )
    named = {compact: "compact", bound: "compact by charge", spread: "spread out"} | {compact: "compact"}
    return tuple(Arrangement(name, sets[number], (), float(distances[number].max())) for number, name in named.items())


def _sets(host: Host) -> list[tuple[Unit, ...]]:
    """Return sets of vacancies with one of each distinct unit of the rarest kind."""
    rarest = min(host.formula, key=lambda kind: (host.formula[kind], kind))
    counts = {kind: count - (kind == rarest) for kind, count in host.formula.items()}
    found: list[tuple[Unit, ...]] = []
    for first in host.distinct(rarest):
        others = {kind: count for kind, count in counts.items() if count}
        choices = [_choice(host, first, kind, count, len(others)) for kind, count in others.items()]
        found += [(first, *itertools.chain.from_iterable(chosen)) for chosen in itertools.product(*choices)]
    return found


def _choice(host: Host, first: Unit, kind: str, count: int, kinds: int) -> list[tuple[Unit, ...]]:
    """Return combinations of units of a kind beside the first vacancy."""
    units = [unit for unit in host.of_kind(kind) if unit.leader != first.leader]
    distances = host.unit_distances[host.number_of[first.leader], [host.number_of[unit.leader] for unit in units]]
    order = [units[number] for number in np.lexsort((np.arange(len(units)), np.round(distances, DIGITS))).tolist()]
    kept = len(order)
    while kept > count and math.comb(kept, count) > MOST_SETS ** (1 / kinds):
        kept -= 1
    near = (kept + 1) // 2
    return list(itertools.combinations(order[:near] + order[len(order) - (kept - near) :], count))


def least_width(host: Host, species: str | None) -> float:
    """Return how wide the smallest set of each sort is, the wider of them, Å; ``species`` is the ion of the Frenkel pairs."""
    widths = [schottky_sets(host)[0].separation_angstrom or 0.0]
    if species is not None and host.places(species):
        centres = np.array([place.position for place in host.places(species)])
        widths.append(float(host.distances(host.positions(host.of_kind(species)[:1]), centres).min()))
    return max(widths)


def spaced(length: int, count: int) -> list[int]:
    """Return up to ``count`` numbers below ``length``, ascending and evenly spaced, the largest always among them."""
    steps = np.linspace(length - 1, 0, min(count, length), endpoint=False)
    return sorted({int(number) for number in np.rint(steps)})
