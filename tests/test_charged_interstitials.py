"""Charged interstitials: what is asked for, what is in the cell, corrections and energies, by a calculator of known energy."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from charges import COULOMB, gaussian_state, madelung

from seiflow.calculators.electronic import ElectronicState
from seiflow.engine import Engine
from seiflow.errors import InputError, PhysicsError, StudyError
from seiflow.estimate import estimate
from seiflow.properties.charged.charged import ChargedDefects, charged_defects
from seiflow.properties.charged.limits import Phase
from seiflow.properties.charged.plan import plan_charged
from seiflow.properties.charged.site_average import unit_potential
from seiflow.properties.defects.host import make_host
from seiflow.records import plain
from seiflow.report.charged_figure import formation_energies
from seiflow.report.charged_view import ChargedDefects as View
from seiflow.settings import ChargedDefectSettings
from seiflow.shelves import phase_shelf
from seiflow.structures.bulk import build_crystal
from seiflow.study import Study

PHASE = phase_shelf().get("LiF")

DIELECTRIC = 9.0

SETTINGS = ChargedDefectSettings(interstitials=1, image_distance=8.0, dielectric=DIELECTRIC, shake=False)

BARE = SETTINGS.model_copy(update={"correction": "none"})

OFF = SETTINGS.model_copy(update={"interstitials": 0})

PER_ATOM = {"Li": -2.0, "F": -3.0}
"""eV; energy of an ion of the calculator below."""

COST, PER_CHARGE, SHIFT, WIDTH = 2.5, -4.0, 0.15, 0.6
"""eV, eV, eV, Å: of a defect, of a charge, of the potential far from it, and the width of the charge."""

LEVELS = {"Li": -10.0, "F": -20.0}
"""eV; potential at an ion of the perfect crystal."""

METAL = Phase("Li", {"Li": 1}, -1.9)


class Ionic(Calculator):  # type: ignore[misc] # the base class is untyped
    """No forces; a defect has an energy and the potential of its charge in a dielectric, and the ion added tells nonsense."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self, perfect: Atoms, charge: int) -> None:
        """Take the supercell without defect, and the charge of the cells."""
        super().__init__()
        self._perfect, self._charge = perfect, charge

    def calculate(self, atoms: Atoms, properties: list[str], system_changes: list[str] = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        energy = sum(PER_ATOM[symbol] for symbol in atoms.symbols) + PER_CHARGE * self._charge
        self.results = {"energy": energy + COST * (len(atoms) != len(self._perfect)), "forces": np.zeros((len(atoms), 3))}

    def electronic_state(self, atoms: Atoms) -> ElectronicState:
        """Return the state whose correction is known."""
        sites = np.array([LEVELS[symbol] for symbol in atoms.symbols])
        if len(atoms) == len(self._perfect):
            planar = (np.zeros(64), np.zeros(70), np.zeros(75))
            return ElectronicState(planar, sites, 1.0, 9.0)
        place, cell = self._centre(atoms), np.asarray(atoms.cell)
        fractions = atoms.cell.scaled_positions(place[None])[0]
        state = gaussian_state(cell, self._charge, DIELECTRIC, sigma=WIDTH, place=fractions, shift=SHIFT)
        dielectric = DIELECTRIC * np.eye(3)
        sites += [SHIFT - self._charge * unit_potential(where - place, cell, dielectric) for where in atoms.positions]
        if len(atoms) > len(self._perfect):
            sites[-1] = 1000.0
        return ElectronicState(state.planar_ev, sites, 1.0, 9.0)

    def _centre(self, atoms: Atoms) -> np.ndarray:
        """Return the place of the ion added, which is the last one, or of the one missing."""
        if len(atoms) > len(self._perfect):
            return np.array(atoms.positions[-1])
        gaps = np.linalg.norm(self._perfect.positions[:, None] - atoms.positions[None], axis=-1).min(axis=1)
        return np.array(self._perfect.positions[gaps.argmax()])


class Moving(Engine):
    """An engine whose relaxation moves ions as a test says."""

    def __init__(self, perfect: Atoms, charge: int, move: Callable[[Atoms], None]) -> None:
        """Take what changes a cell that relaxes."""
        super().__init__(Ionic(perfect, charge))
        self._move = move

    def relax(self, atoms: Atoms, **_: object) -> Atoms:
        """Return the start with what the test moves."""
        relaxed = self.attach(atoms)
        self._move(relaxed)
        return relaxed


@pytest.fixture(scope="module")
def crystal() -> Atoms:
    return build_crystal(PHASE)


@pytest.fixture(scope="module")
def perfect(crystal: Atoms) -> Atoms:
    return make_host(crystal, PHASE, SETTINGS.image_distance).atoms


def computed(
    crystal: Atoms, settings: ChargedDefectSettings = SETTINGS, move: Callable[[Atoms], None] | None = None, metal: Phase = METAL
) -> ChargedDefects:
    """Return the charged defects by the calculator above; ``move`` changes each cell of charge +1 as it is relaxed."""
    atoms = make_host(crystal, PHASE, settings.image_distance).atoms

    def engine_of(charge: int) -> Engine:
        return Moving(atoms, charge, move) if move and charge == 1 else Engine(Ionic(atoms, charge))

    return charged_defects(crystal, PHASE, engine_of, settings, [metal, Phase("F2", {"F": 2}, -3.6)])


@pytest.fixture(scope="module")
def result(crystal: Atoms) -> ChargedDefects:
    return computed(crystal)


def expected_correction(cell: np.ndarray, charge: int, width: float) -> float:
    """Return the energy of a Gaussian charge alone less that in the cell, and the charge times the shift."""
    points = -madelung(cell) * charge**2 / DIELECTRIC
    spread = 2 * np.pi * COULOMB * charge**2 * width**2 / DIELECTRIC / abs(np.linalg.det(cell))
    return float(points - spread + charge * SHIFT)


@pytest.mark.parametrize(("method", "width"), [("freysoldt", WIDTH), ("kumagai", 0.0)])
def test_correction_of_an_interstitial_agrees_with_an_ewald_sum(
    crystal: Atoms, perfect: Atoms, method: str, width: float
) -> None:
    """Both methods give what a sum by hand gives, though the potential at the ion added is nonsense: it is left out."""
    found = computed(crystal, SETTINGS.model_copy(update={"correction": method})).defects
    assert [(defect.kind, defect.charge, defect.cell.atoms) for defect in found] == [("vacancy", -1, 63), ("interstitial", 1, 65)]
    for defect in found:
        expected = expected_correction(perfect.cell.array, defect.charge, width)
        assert defect.cell.correction.method == method
        assert defect.cell.correction.correction_ev == pytest.approx(expected, abs=3e-3)
        assert defect.cell.correction.roughness_ev < 2e-3


def test_frenkel_energy_is_the_sum_without_fermi_level_and_limit(perfect: Atoms, result: ChargedDefects) -> None:
    """Vacancy and interstitial add up to it at every limit and Fermi level, and by hand it is two defects and two corrections."""
    assert {limit.name for limit in result.limits} == {"with Li", "with F2"}
    for limit in result.limits:
        energies = [defect.formation_energy_ev[limit.name] for defect in result.defects]
        assert sum(energies) == pytest.approx(result.frenkel_energy_ev)
        empty, filled = (curve for curve in result.curves if curve.limit == limit.name)
        assert np.add(empty.energies_ev, filled.energies_ev) == pytest.approx(result.frenkel_energy_ev)
    corrections = sum(expected_correction(perfect.cell.array, charge, WIDTH) for charge in (-1, 1))
    assert result.frenkel_energy_ev == pytest.approx(2 * COST + corrections, abs=6e-3)


def test_formation_energy_pays_for_the_ion_added(crystal: Atoms, result: ChargedDefects) -> None:
    """A dearer reservoir makes the interstitial cheaper and the vacancy dearer by the same; transition levels do not know it."""
    settings = BARE.model_copy(update={"interstitial_charges": (1, 0, -1), "vacancies": {"Li": (-1, 0)}})
    rich, poor = (computed(crystal, settings, metal=Phase("Li", {"Li": 1}, energy)) for energy in (-1.9, -2.4))
    for one, other in zip(rich.defects, poor.defects, strict=True):
        change = other.formation_energy_ev["with Li"] - one.formation_energy_ev["with Li"]
        assert change == pytest.approx(0.5 if one.kind == "interstitial" else -0.5)
    assert plain(rich)["transition_levels"] == plain(poor)["transition_levels"]
    levels = {(level.defect, level.charges): level.level_ev for level in rich.transition_levels}
    assert set(levels) == {("vacancy Li_1", (0, -1)), ("interstitial_1", (1, 0)), ("interstitial_1", (0, -1))}
    assert rich.frenkel_energy_ev == pytest.approx(2 * COST)
    added = {defect.charge: defect for defect in rich.defects if defect.kind == "interstitial"}
    level = levels["interstitial_1", (1, 0)]
    assert added[1].formation_energy_ev["with Li"] + level == pytest.approx(added[0].formation_energy_ev["with Li"])
    assert [sum("electrons or holes" in warning for warning in one.warnings) for one in (rich, result)] == [3, 0]


def test_vacancies_keep_their_numbers_without_interstitials(crystal: Atoms, result: ChargedDefects) -> None:
    """By default nothing is added, and what is said of the vacancies is the same either way."""
    assert ChargedDefectSettings().interstitials == 0
    alone = computed(crystal, OFF)
    assert alone.frenkel_energy_ev is None
    assert plain(alone)["defects"] == plain(result)["defects"][:1]
    assert plain(alone)["curves"] == [curve for curve in plain(result)["curves"] if curve["defect"] == "vacancy Li_1"]
    assert not [warning for warning in alone.warnings if "nterstitial" in warning or "Frenkel" in warning]


def test_ion_added_that_settles_elsewhere_counts_and_is_told(crystal: Atoms, perfect: Atoms, result: ChargedDefects) -> None:
    """An ion that goes to the next site is one ion more all the same; its charge is corrected for where it is."""
    step = crystal.cell.lengths()[0] / 2

    def hops(relaxed: Atoms) -> None:
        relaxed.positions[-1] += [step, 0, 0]

    moved = computed(crystal, move=hops)
    cell = moved.defects[1].cell
    assert cell.moved
    assert cell.found == "Li at interstitial_1"
    assert any("interstitial_1, charge +1 did not stay: Li at interstitial_1" in warning for warning in moved.warnings)
    assert moved.frenkel_energy_ev == pytest.approx(result.frenkel_energy_ev, abs=1e-3)
    assert cell.correction.correction_ev == pytest.approx(expected_correction(perfect.cell.array, 1, WIDTH), abs=3e-3)


def test_split_interstitial_counts_with_its_charge_at_the_shared_site(crystal: Atoms) -> None:
    """Two ions on both sides of a lattice site are one ion more."""

    def splits(relaxed: Atoms) -> None:
        near = int(relaxed.get_distances(len(relaxed) - 1, range(len(relaxed) - 1), mic=True).argmin())
        near = next(i for i in (near, *range(len(relaxed))) if relaxed.symbols[i] == "Li")
        site, half = relaxed.positions[near].copy(), np.array([0.7, 0, 0])
        relaxed.positions[near], relaxed.positions[-1] = site + half, site - half

    cell = computed(crystal, BARE, splits).defects[1].cell
    assert cell.moved
    assert cell.found == "Li at a shared site"


def leaves_its_site(relaxed: Atoms) -> None:
    """Put an ion of the lattice into a void away from its site and from the ion added."""
    void = relaxed.positions[-1] + np.asarray(relaxed.cell).sum(axis=0) / 2
    probe = Atoms("X2", [void, relaxed.positions[-1]], cell=relaxed.cell, pbc=True) + relaxed[:-1]
    apart = np.min([probe.get_distances(end, range(2, len(probe)), mic=True) for end in (0, 1)], axis=0)
    apart[relaxed.numbers[:-1] != relaxed.numbers[-1]] = 0
    relaxed.positions[apart.argmax()] = void


def test_cell_without_exactly_one_ion_more_is_refused(crystal: Atoms) -> None:
    """A Frenkel pair beside the ion added is another defect: told, no energy; an error if no interstitial is left."""
    with pytest.raises(
        PhysicsError, match=r"interstitial_1, charge \+1.*not hold one Li more.*: 1 vacancy, Li at interstitial_1, "
    ):
        computed(crystal, BARE, leaves_its_site)
    settings = BARE.model_copy(update={"interstitial_charges": (1, 0)})
    left = computed(crystal, settings, leaves_its_site)
    assert [(defect.kind, defect.charge) for defect in left.defects] == [("vacancy", -1), ("interstitial", 0)]
    assert left.frenkel_energy_ev is None
    assert any("interstitial_1, charge +1, has no energy: " in warning for warning in left.warnings)


def test_vacancy_of_another_ion_gives_no_frenkel_energy(crystal: Atoms) -> None:
    """Without the vacancy of the mobile ion there is none, and it is said why."""
    found = computed(crystal, BARE.model_copy(update={"vacancies": {"F": (1,)}}))
    assert found.frenkel_energy_ev is None
    assert any("no Frenkel energy" in warning for warning in found.warnings)


def test_sites_are_tried_from_the_largest_on_and_those_left_out_are_named() -> None:
    """As many of the distinct sites as asked for, in the charge of the ion, behind the vacancies."""
    phase = phase_shelf().get("Li2CO3")
    crystal = build_crystal(phase)
    few, all_of_them = (plan_charged(crystal, phase, SETTINGS.model_copy(update={"interstitials": count})) for count in (2, 99))
    sites = [site.name for site in few.host.sites("Li")]
    assert [asked.arrangement.name for asked in few.asked if asked.kind == "interstitial"] == sites[:2]
    assert {asked.charge for asked in few.asked if asked.kind == "interstitial"} == {1}
    assert few.left_out == tuple(sites[2:])
    assert len(sites) > 2
    assert all_of_them.left_out == ()
    kinds = [asked.kind for asked in all_of_them.asked]
    assert kinds == sorted(kinds, reverse=True)


def test_what_cannot_be_added_is_refused_without_computing(crystal: Atoms, monkeypatch: pytest.MonkeyPatch) -> None:
    """That there is no mobile ion, or no room for it, is told before anything is computed."""
    nothing_moves = PHASE.model_copy(update={"mobile": None})
    with pytest.raises(InputError, match=r"names no mobile species.*charged_defects\.interstitials"):
        plan_charged(crystal, nothing_moves, SETTINGS.model_copy(update={"vacancies": {"F": (1,)}}))
    monkeypatch.setattr("seiflow.structures.interstitials.LEAST_ROOM", 2.0)
    with pytest.raises(InputError, match=r"no void of the crystal has room for another Li.*charged_defects\.interstitials"):
        plan_charged(crystal, PHASE, SETTINGS)


def test_cell_without_atoms_far_from_the_ion_added_is_refused(crystal: Atoms) -> None:
    """Where all atoms are near the ion there is nothing to align potentials at; without correction there is no need to."""
    small = SETTINGS.model_copy(update={"image_distance": 4.0})
    assert len(plan_charged(crystal, PHASE, small.model_copy(update={"interstitials": 0})).asked) == 1
    assert len(plan_charged(crystal, PHASE, small.model_copy(update={"correction": "none"})).asked) == 2
    with pytest.raises(
        InputError, match=r"no atom is farther.*charged_defects\.image_distance: more than (\d\.\d\d)\)"
    ) as caught:
        plan_charged(crystal, PHASE, small)
    told = float(str(caught.value).rpartition(" ")[2].rstrip(")"))
    assert len(plan_charged(crystal, PHASE, small.model_copy(update={"image_distance": told + 0.1})).asked) == 2


def test_study_counts_what_interstitials_cost(tmp_path: object, library: Callable[..., object]) -> None:
    """A negative number is a mistake of the study, and each site asked for costs as much as a vacancy."""
    library(tmp_path / "mine", {}, {"charge": True, "electronic": True})  # type: ignore[operator]

    def study(count: int) -> Study:
        block = {"structures": ["LiF"], "calculators": ["pair"], "properties": ["charged_defects"]}
        settings = {"charged_defects": {"dielectric": DIELECTRIC, "interstitials": count}}
        return Study({"calculations": [block], "settings": settings, "library": [str(tmp_path / "mine")]})  # type: ignore[operator]

    with pytest.raises(StudyError, match=r"charged_defects\.interstitials.*greater than or equal to 0"):
        study(-1)
    lines = [next(line for line in estimate(study(count)).splitlines() if "charged_defects" in line) for count in (0, 1)]
    assert lines[0] != lines[1]


def test_report_tells_interstitials_from_vacancies(result: ChargedDefects) -> None:
    """Numbers of both have keys of their own, the Frenkel energy among those looked for first; the figure names both."""
    record = plain(result) | {
        "structure": "LiF",
        "calculator": "known",
        "converged": True,
        "force_evaluations": 1,
        "provenance": {},
    }
    view = View.model_validate(record)
    numbers = dict(view.numbers())
    assert numbers["charged_frenkel_energy_ev"] == pytest.approx(result.frenkel_energy_ev)
    added, limit = result.defects[1], result.limits[0].name
    key = f"charged_interstitial_formation_energy_ev[Li_1 +1, {limit}]"
    assert numbers[key] == pytest.approx(added.formation_energy_ev[limit])
    assert {key, "charged_frenkel_energy_ev", f"charged_formation_energy_ev[Li_1 -1, {limit}]"} <= set(view.headlines())
    drawn = formation_energies(view, "LiF")
    assert all(f"{kind} Li 1" in drawn for kind in ("vacancy", "interstitial"))
