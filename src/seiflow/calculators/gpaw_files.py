"""Functionals that GPAW knows, and the files of its setups and atomic orbitals: what a recipe may name."""

import re
from collections.abc import Mapping
from pathlib import Path

import gpaw_data
from gpaw import setup_paths
from gpaw.dft import Mixer
from gpaw.xc import XC

from seiflow.errors import CalculatorError

OWN_SETUPS = Path(__file__).parent / "setups"
"""Setups made by GPAW's own generator, where ``gpaw_data`` has none of the kind."""

ORBITALS = ".basis.gz"


def take_recorded_folders() -> None:
    """Let GPAW read the files whose digests are recorded, whatever the environment names."""
    setup_paths[:] = [str(OWN_SETUPS), gpaw_data.datapath()]


def setup_functional(functional: str) -> str:
    """Return the functional whose setups go with one: itself, or that which GPAW takes for it.

    Raises:
        CalculatorError: if GPAW knows no such functional, or has no setups for it.
    """
    known = _functionals_of_setups()
    others = "or a name that GPAW or libxc has, such as HSE06 or SCAN"
    try:
        setup = str(XC(functional, legacy_gpaw=False).get_setup_name())
    except Exception as error:  # of many kinds, by how the name begins
        message = f"functional: GPAW knows no {functional!r}; take {', '.join(known)}, {others}"
        raise CalculatorError(message) from error
    if setup not in known:
        message = f"functional: there are no setups for {functional}; take {', '.join(known)}, {others}"
        raise CalculatorError(message)
    return setup


def require_setup(symbol: str, name: str, functional: str) -> None:
    """Refuse a setup of an element that is not there.

    Raises:
        CalculatorError: naming those that are.
    """
    if f"{symbol}.{name}.{functional}" not in _stems(".gz"):
        known = [stem.split(".")[1] for stem in _stems(".gz") if re.fullmatch(rf"{symbol}\..+\.{re.escape(functional)}", stem)]
        there = f"for {symbol} there is {', '.join(known)}" if known else f"there is none for {symbol}"
        message = f"setups: no setup {symbol}.{name}.{functional}; {there}. Leave {symbol} out to have GPAW's own"
        raise CalculatorError(message)


def require_basis(basis: str) -> None:
    """Refuse atomic orbitals that no element has; ``szp(dzp)`` is a part of ``dzp``.

    Raises:
        CalculatorError: naming those that are there.
    """
    known = sorted({stem.rpartition(".")[2] for stem in _stems(ORBITALS)})
    name = re.fullmatch(r"\w+\((\w+)\)|(\w+)", str(basis))
    if name is None or (name[1] or name[2]) not in known:
        message = f"basis: no atomic orbitals {basis!r}; there are {', '.join(known)}"
        raise CalculatorError(message)


def require_mixer(mixer: Mapping[str, float | str]) -> None:
    """Refuse parameters of mixing that GPAW does not take.

    Raises:
        CalculatorError: with what GPAW says of them.
    """
    try:
        Mixer.from_param(dict(mixer))
    except (TypeError, ValueError) as error:
        message = f"mixer: {error}. Its name is pulay, msr1, multi or no-mixing; the rest are parameters that GPAW's mixer takes"
        raise CalculatorError(message) from error


def missing_file(error: FileNotFoundError) -> CalculatorError:
    """Return what to do about a file of an element that GPAW did not find, from what GPAW says."""
    found = re.search(r'"((\w+)\.\S+)"', str(error))
    if found is None:
        return CalculatorError(f"GPAW: {str(error).splitlines()[0]}")
    name, symbol = found[1], found[2]
    of_basis = name.endswith(".basis")
    stems = [stem for stem in _stems(ORBITALS if of_basis else ".gz") if stem.partition(".")[0] == symbol]
    what, argument = ("atomic orbitals", "basis") if of_basis else ("setup", "functional, setups")
    there = f"for {symbol} there are {', '.join(stems)}" if stems else f"{symbol} has none"
    return CalculatorError(f"no {what} {name} among GPAW's files; {there} (arguments: {argument})")


def _functionals_of_setups() -> list[str]:
    return sorted({stem.rpartition(".")[2] for stem in _stems(".gz")})


def _stems(ending: str) -> list[str]:
    """Return the names of GPAW's files without their ending: those of orbitals, or ``.gz`` for those of setups alone."""
    names = {path.name for folder in setup_paths for path in Path(folder).glob(f"*{ending}")}
    return sorted(name.removesuffix(ending) for name in names if ending == ORBITALS or not name.endswith(ORBITALS))
