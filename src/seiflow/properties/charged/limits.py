"""Chemical potentials at which a crystal is stable, from the energies of the phases that compete with it.

The crystal is in equilibrium with its elements, the sum of n_i mu_i being E, and every other phase is no more stable than that
allows, its own sum being at most its E. The corners of this region, where the crystal coexists with as many other phases as it
can, are the limits. Only phases made of the crystal's own elements bound them. Source: Freysoldt et al., Rev. Mod. Phys. 86, 253
(2014).
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

TOLERANCE = 1e-6
"""eV per formula unit; a phase that is favoured by less than this coexists."""


@dataclass(frozen=True)
class Phase:
    """A phase and its energy.

    Attributes:
        name: Of the phase.
        composition: Atoms of each element in a formula unit.
        energy_ev: Of a formula unit.
    """

    name: str
    composition: Mapping[str, int]
    energy_ev: float


@dataclass(frozen=True)
class Limit:
    """A corner of the region of stability.

    Attributes:
        name: With what the crystal coexists.
        chemical_potentials_ev: Of each element, on the calculator's scale of energy.
    """

    name: str
    chemical_potentials_ev: dict[str, float]


def limits(host: Phase, others: Sequence[Phase]) -> tuple[Limit, ...]:
    """Return the corners of the chemical potentials at which ``host`` is stable; none if nothing bounds it or it never is."""
    elements = sorted(host.composition)
    bounds = [phase for phase in others if set(phase.composition) <= set(elements)]
    rows = {phase.name: (_row(phase, elements), phase.energy_ev) for phase in bounds}
    found: dict[tuple[float, ...], list[str]] = {}
    for chosen in itertools.combinations(rows, len(elements) - 1):
        matrix = np.array([_row(host, elements), *(rows[name][0] for name in chosen)])
        energies = np.array([host.energy_ev, *(rows[name][1] for name in chosen)])
        if abs(np.linalg.det(matrix)) < TOLERANCE:
            continue
        potentials = np.linalg.solve(matrix, energies)
        if all(row @ potentials <= energy + TOLERANCE for row, energy in rows.values()):
            names = found.setdefault(tuple(np.round(potentials, 6).tolist()), [])
            names += [name for name in chosen if name not in names]
    return tuple(
        Limit(f"with {' and '.join(names)}", dict(zip(elements, potentials, strict=True))) for potentials, names in found.items()
    )


def _row(phase: Phase, elements: Sequence[str]) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.array([phase.composition.get(symbol, 0) for symbol in elements], dtype=float)
