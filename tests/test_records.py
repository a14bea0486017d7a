"""Results on disk are whole, equal for equal inputs, and refused when damaged."""

import dataclasses
import json
import math
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seiflow.errors import InputError
from seiflow.records import (
    SIGNIFICANT_DIGITS,
    digest_file,
    digest_text,
    git_revision,
    plain,
    read_record,
    versions,
    write_record,
    write_text,
)

FINITE = st.floats(-1e300, 1e300)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5) | FINITE,
    lambda items: st.lists(items, max_size=3) | st.dictionaries(st.text(max_size=5), items, max_size=3),
    max_leaves=8,
)


@dataclasses.dataclass(frozen=True)
class Part:
    size_angstrom: float


@dataclasses.dataclass(frozen=True)
class Whole:
    parts: tuple[Part, ...]
    tensor_gpa: np.ndarray
    count: np.int64
    stable: np.bool_


def test_dataclasses_and_arrays_are_unfolded(tmp_path: Path) -> None:
    """A dataclass with dataclasses, arrays and numpy scalars inside is written as plain JSON."""
    whole = Whole((Part(1.5),), np.eye(2), np.int64(3), np.bool_(True))  # noqa: FBT003 - numpy's own
    write_record(tmp_path / "a.json", plain(whole))
    expected = {"parts": [{"size_angstrom": 1.5}], "tensor_gpa": [[1.0, 0.0], [0.0, 1.0]], "count": 3, "stable": True}
    assert read_record(tmp_path / "a.json") == expected


@given(FINITE)
def test_rounding_keeps_the_significant_digits(value: float) -> None:
    """A float is kept to the promised number of digits, and a zero never has a sign."""
    kept = plain(value)
    assert kept == pytest.approx(value, rel=10 ** (1 - SIGNIFICANT_DIGITS), abs=1e-307)
    assert kept != 0 or math.copysign(1, kept) == 1


@settings(deadline=None, max_examples=40)
@given(JSON)
def test_rounding_twice_changes_nothing(value: object) -> None:
    """What has been made plain once stays as it is."""
    assert plain(plain(value)) == plain(value)


def test_last_bits_do_not_change_a_file(tmp_path: Path) -> None:
    """Two sums that differ in their last bits, and two orders of keys, give the same bytes."""
    write_record(tmp_path / "a.json", {"energy_ev": 0.1 + 0.2, "atoms": 4})
    write_record(tmp_path / "b.json", {"atoms": 4, "energy_ev": 0.3})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.array([1.0, math.nan])])
def test_no_number_is_no_result(tmp_path: Path, value: object) -> None:
    """NaN and infinity are refused, and no file is left."""
    with pytest.raises(ValueError, match="JSON"):
        write_record(tmp_path / "a.json", {"energy_ev": value})
    assert list(tmp_path.iterdir()) == []


def test_file_is_replaced_whole(tmp_path: Path) -> None:
    """Writing makes the folders it needs, replaces an old file, and leaves nothing else behind."""
    path = tmp_path / "deep" / "er" / "a.json"
    write_text(path, "old")
    write_text(path, "new")
    assert path.read_text(encoding="utf-8") == "new"
    assert list(path.parent.iterdir()) == [path]


def test_unwritable_place_is_an_input_error(tmp_path: Path) -> None:
    """A file that cannot be written is an error that names it and says what to do."""
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.json: cannot be written .*Free some space or make the folder writable"):
        write_text(tmp_path / "file" / "a.json", "text")


def test_missing_record_says_how_to_get_it(tmp_path: Path) -> None:
    """A record that is not there is an error that says so."""
    with pytest.raises(InputError, match="no such result"):
        read_record(tmp_path / "a.json")


@pytest.mark.parametrize("text", ['{"energy_ev": 1.', "", "{} {}", "\x00"])
def test_damaged_record_says_how_to_get_it_again(tmp_path: Path, text: str) -> None:
    """A record that is cut off is an error that says to delete it and run again."""
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"damaged or cut off .* Delete it and run the study again"):
        read_record(tmp_path / "a.json")


def test_record_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    """JSON that is no mapping is no record."""
    (tmp_path / "a.json").write_text("[1, 2]", encoding="utf-8")
    with pytest.raises(InputError, match="holds no result"):
        read_record(tmp_path / "a.json")


def test_digests_are_those_of_sha256(tmp_path: Path) -> None:
    """The digest of a file is that of its text, and the one that is published for sha256."""
    (tmp_path / "a").write_text("abc", encoding="utf-8")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest_file(tmp_path / "a") == digest_text("abc") == known


def test_versions_name_what_results_depend_on() -> None:
    """Versions of python, of this package and of each library are there, and can be written as JSON."""
    found = versions()
    assert {"python", "seiflow", "ase", "numpy", "scipy", "spglib", "phonopy"} <= set(found)
    assert json.loads(json.dumps(found)) == found


def test_revision_is_that_of_the_source_tree(repository: Path) -> None:
    """In a checkout the revision is that of git, marked when files were changed; elsewhere there is none."""
    command = ["git", "-C", str(repository), "rev-parse", "HEAD"]
    head = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    git_revision.cache_clear()
    revision = git_revision()
    assert revision is None if not head else (revision or "").removesuffix("-dirty") == head
