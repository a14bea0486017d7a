"""Published values are complete, unique and read strictly."""

from pathlib import Path

import pytest
import yaml

from seiflow.errors import InputError
from seiflow.report.references import Reference, deviation, find, load_references

FOLDER = Path(__file__).parent.parent / "references"
SHIPPED = load_references(FOLDER)

ENTRY = {
    "id": "X1",
    "property": "bulk_modulus_gpa",
    "value": 70,
    "unit": "GPa",
    "method": "experiment",
    "evidence": "read",
    "source": {"authors": "Somebody A.", "journal": "J. Things 1, 1", "year": 2000, "doi": None},
}


def write(folder: Path, phase: str, *entries: dict[str, object]) -> Path:
    path = folder / f"{phase}.yaml"
    path.write_text(yaml.safe_dump({"phase": phase, "values": list(entries)}), encoding="utf-8")
    return path


def reference(value: object) -> Reference:
    return Reference.model_validate(ENTRY | {"value": value})


def test_every_shipped_file_loads() -> None:
    """Each file holds the phase it is named after, and values."""
    assert sorted(SHIPPED) == sorted(path.stem for path in FOLDER.glob("*.yaml"))
    assert {"LiF", "Li2O", "Li2CO3", "Li"} <= set(SHIPPED)
    assert all(SHIPPED.values())


def test_shipped_ids_are_unique() -> None:
    """An id names one value in all files together."""
    ids = [entry.id for entries in SHIPPED.values() for entry in entries]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("entry", [entry for entries in SHIPPED.values() for entry in entries], ids=lambda entry: entry.id)
def test_every_value_says_where_it_comes_from(entry: Reference) -> None:
    """Source, evidence and method are there; what was quoted from memory says how sure it is."""
    assert entry.source.authors
    assert entry.source.journal
    assert entry.method
    assert entry.evidence in {"review", "read", "recalled"}
    assert ("recalled with" in (entry.note or "")) == (entry.evidence == "recalled")


@pytest.mark.parametrize(("phase", "entries"), SHIPPED.items())
def test_stiffness_and_bulk_modulus_of_one_source_agree(phase: str, entries: tuple[Reference, ...]) -> None:
    """K = (c11 + 2 c12)/3 and E = 9KG/(3K + G), for values that share an id but for the letter."""
    groups: dict[str, dict[str, float]] = {}
    for entry in entries:
        if isinstance(entry.value, float) and entry.id[-1].isalpha() and "WIEN2k" not in entry.method:
            groups.setdefault(entry.id[:-1], {})[entry.property] = entry.value
    for name, group in groups.items():
        if "c11_gpa" in group:
            assert group["bulk_modulus_gpa"] == pytest.approx((group["c11_gpa"] + 2 * group["c12_gpa"]) / 3, abs=0.06), (
                phase,
                name,
            )
        if "young_modulus_gpa" in group:
            bulk, shear = group["bulk_modulus_gpa"], group["shear_modulus_gpa"]
            assert group["young_modulus_gpa"] == pytest.approx(9 * bulk * shear / (3 * bulk + shear), rel=0.005), (phase, name)


def test_find_selects_by_phase_and_property() -> None:
    """Several sources are all returned; an unknown phase or property has none."""
    found = find(SHIPPED, "LiF", "c11_gpa")
    assert {entry.id for entry in found} == {"R024a", "R025a"}
    assert find(SHIPPED, "LiF", "colour") == ()
    assert find(SHIPPED, "Unobtainium", "c11_gpa") == ()


def test_deviation_is_relative_and_signed() -> None:
    """Against a number: the difference over its size, whatever its sign."""
    assert deviation(77.0, reference(70)) == pytest.approx(0.1)
    assert deviation(63.0, reference(70)) == pytest.approx(-0.1)
    assert deviation(-550.0, reference(-500)) == pytest.approx(-0.1)


def test_deviation_from_a_range_counts_from_its_nearer_end() -> None:
    """Inside it is zero."""
    band = reference([0.2, 0.5])
    assert deviation(0.3, band) == 0
    assert deviation(0.2, band) == 0
    assert deviation(0.6, band) == pytest.approx(0.2)
    assert deviation(0.1, band) == pytest.approx(-0.5)


def test_deviation_without_meaning_is_none() -> None:
    """Nothing is relative to zero, and NaN is no value."""
    assert deviation(1.0, reference(0)) is None
    assert deviation(0.0, reference(0)) == 0
    assert deviation(float("nan"), reference(70)) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"values_": 1}, "values_"),
        ({"value": "many"}, "value"),
        ({"value": [2, 1]}, "backwards"),
        ({"value": float("inf")}, "finite"),
        ({"evidence": "guessed"}, "evidence"),
        ({"source": {"authors": "A.", "journal": "J."}}, "year"),
        ({"method": ""}, "method"),
    ],
)
def test_a_damaged_entry_is_named_with_file_and_reason(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    """Unknown keys, wrong types, reversed ranges and missing sources are refused."""
    path = write(tmp_path, "Thing", ENTRY | change)
    with pytest.raises(InputError, match=reason) as caught:
        load_references(tmp_path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"phase: [", b"\xff\xfe\x00", b"", b"- 1"])
def test_a_file_that_is_no_reference_file_is_named(tmp_path: Path, content: bytes) -> None:
    """Broken YAML, bytes that are no text, and other YAML."""
    path = tmp_path / "Thing.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"Thing\.yaml"):
        load_references(tmp_path)


def test_an_id_or_phase_used_twice_is_refused(tmp_path: Path) -> None:
    """The message names the file that has it already."""
    write(tmp_path, "One", ENTRY)
    second = write(tmp_path, "Two", ENTRY)
    with pytest.raises(InputError, match=r"X1 is already used in One\.yaml"):
        load_references(tmp_path)
    second.write_text((tmp_path / "One.yaml").read_text(), encoding="utf-8")
    with pytest.raises(InputError, match="phase One already has a file"):
        load_references(tmp_path)


def test_a_missing_folder_is_an_error_and_an_empty_one_is_not(tmp_path: Path) -> None:
    """No references at all is a choice; a mistyped path is not."""
    assert load_references(tmp_path) == {}
    with pytest.raises(InputError, match="no such folder"):
        load_references(tmp_path / "none")
