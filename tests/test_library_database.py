"""Structures as rows of databases: in a file, and on a PostgreSQL server that the test starts."""

import importlib.util
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from ase.db import connect

from seiflow.cli import main
from seiflow.library.database import shown
from seiflow.library.entries import Library
from seiflow.structures.fingerprint import digest

NAMES = ("LiF", "Li2CO3", "LiF-310-mirror")
PASSWORD = "a:b-secret"  # noqa: S105 - of a server that lives as long as the test


def export(target: str, *names: str) -> int:
    return main(["library", "export", *names, "--format", "db", "--output", target])


def rows_are_right(target: str) -> None:
    """Check that a database holds exactly the wanted structures, with keys, certificate and atoms."""
    found = {row.name: row for row in connect(target).select()}
    assert sorted(found) == sorted(NAMES)
    library = Library()
    for name in NAMES:
        entry, row = library.entry(name), found[name]
        assert (row.kind, row.digest, row.phases) == (entry.recipe.kind, entry.digest, ",".join(entry.phases))
        assert digest(row.toatoms()) == entry.digest
        assert row.data["certificate"]["net_charge_e"] == 0
        assert row.data["certificate"]["atoms"] == row.natoms
    boundary = found["LiF-310-mirror"]
    assert (boundary.plane, boundary.sigma) == ("(3 1 0)", 5)
    assert sorted(set(boundary.data["grain"])) == [0, 1]


def test_rows_hold_the_structure_and_exporting_twice_adds_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each structure is a row with keys and certificate; what is there already is left out, and said."""
    target = str(tmp_path / "library.db")
    assert export(target, *NAMES) == 0
    rows_are_right(target)
    assert "3 added, 0 skipped" in capsys.readouterr().out
    assert export(target, *NAMES, "Li2O") == 0
    said = capsys.readouterr().out
    assert "LiF-310-mirror: skipped, the database holds the same structure as LiF-310-mirror" in said
    assert "1 added, 3 skipped" in said
    assert connect(target).count() == 4


WRITER = """\
import sys, time
from pathlib import Path
from typing import NoReturn
from seiflow.library.database import export_rows
from seiflow.library.entries import Library
target, number, *names = sys.argv[1:]
entries = [Library().entry(name) for name in names]
Path(number).touch()
while not Path("go").exists():
    time.sleep(1e-4)
export_rows(entries, target)
"""


def export_at_once(target: str, folder: Path, number: int = 3) -> None:
    """Export the same structures from several processes that begin to write together."""
    commands = [[sys.executable, "-c", WRITER, target, str(index), *NAMES] for index in range(number)]
    writers = [subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) for command in commands]
    end = time.monotonic() + 60
    while not all((folder / str(index)).exists() for index in range(number)):
        assert time.monotonic() < end
        time.sleep(0.01)
    (folder / "go").touch()
    assert [(writer.communicate(timeout=60)[1], writer.returncode) for writer in writers] == [("", 0)] * number


def test_writers_at_once_do_not_double_rows(tmp_path: Path) -> None:
    """Processes that export the same structures to a new database at the same time leave one row of each."""
    export_at_once("library.db", tmp_path)
    rows_are_right(str(tmp_path / "library.db"))


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("library.sql", "a database is a file NAME.db or an address"),
        ("no/such/library.db", "the database cannot be written (unable to open database file)"),
        ("text.db", "the database cannot be written (file is not a database)"),
    ],
)
def test_impossible_database_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], target: str, said: str
) -> None:
    """A target that is no database, or cannot become one, is refused in one line; what is there stays."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.db").write_text("my notes, and more of them than fit into the header of a file\n" * 3, encoding="utf-8")
    assert export(target, "LiF") == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert (tmp_path / "text.db").read_text(encoding="utf-8").startswith("my notes")


def test_failed_export_adds_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rows of one export come together or not at all."""
    target = tmp_path / "library.db"
    assert export(str(target), "LiF") == 0
    with sqlite3.connect(target) as holder:
        holder.execute(
            "CREATE TRIGGER full BEFORE INSERT ON systems WHEN NEW.natoms > 20 BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    assert export(str(target), "Li2O", "Li2CO3") == 1
    assert "disk full" in capsys.readouterr().err
    assert [row.name for row in connect(target).select()] == ["LiF"]


def test_passwords_are_not_shown() -> None:
    """Messages name a server without the password to it, whatever signs that holds."""
    assert shown("postgresql://me:se:c@ret@host/db") == "postgresql://me:***@host/db"
    assert shown("postgresql://me@host/db") == "postgresql://me@host/db"
    assert shown("folder/library.db") == "folder/library.db"


def server_programs() -> Path:
    """Return the folder of the programs of a PostgreSQL server; without it, or without the package to talk to it, skip."""
    folders = [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    folder = next((folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists()), None)
    if folder is None:
        lacking("no PostgreSQL server is installed here (Debian: apt-get install postgresql)")
    if importlib.util.find_spec("ase_db_backends") is None:
        lacking("no package to talk to PostgreSQL (pip install 'seiflow[postgresql]')")
    return folder


def lacking(reason: str) -> NoReturn:
    """Skip where a program is missing; on a build server that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Return the address of a database on a server of its own, which is gone afterwards."""
    programs = server_programs()
    user = "nobody" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="seiflow-postgres-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "password").write_text(PASSWORD, encoding="utf-8")
    if user:
        for path in (folder, folder / "password"):
            shutil.chown(path, user)

    def call(*command: str) -> None:
        done = subprocess.run(command, user=user, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    data = str(folder / "data")
    login = ("--username", "me", "--pwfile", str(folder / "password"), "--auth", "scram-sha-256")
    call(str(programs / "initdb"), "--pgdata", data, *login, "--encoding", "UTF8", "--no-sync")
    settings = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    call(str(programs / "pg_ctl"), "start", "-w", "-D", data, "-o", settings, "-l", str(folder / "log"))
    try:
        yield f"postgresql://me:{PASSWORD}@127.0.0.1:{port}/postgres"
    finally:
        call(str(programs / "pg_ctl"), "stop", "-w", "-m", "immediate", "-D", data)
        shutil.rmtree(folder)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_server_takes_the_same_rows(server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On PostgreSQL writers at once, a second export and what is read back are as in a file."""
    export_at_once(server, tmp_path)
    rows_are_right(server)
    assert export(server, *NAMES) == 0
    said = capsys.readouterr().out
    assert "0 added, 3 skipped" in said
    assert PASSWORD not in said


@pytest.mark.parametrize("change", [("/postgres", "/nothing"), (PASSWORD, "wrong-secret"), ("127.0.0.1:", "127.0.0.1:1")])
def test_unreachable_server_is_refused_without_its_password(
    server: str, capsys: pytest.CaptureFixture[str], change: tuple[str, str]
) -> None:
    """A wrong database, password or port is one line that says so and keeps the password to itself."""
    address = server.replace(*change)
    assert export(re.sub(r":1\d+/", ":1/", address) if change[0].endswith(":") else address, "LiF") == 1
    error = capsys.readouterr().err
    assert "the database cannot be written" in error
    assert "unexpected" not in error
    assert error.count("\n") == 1
    assert PASSWORD not in error
    assert "wrong-secret" not in error


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the package for PostgreSQL the message tells how to install it."""
    blocked: Callable[[str], None] = lambda name: monkeypatch.setitem(sys.modules, name, None)  # noqa: E731 - one line is enough
    for name in ("ase_db_backends", "ase_db_backends.postgresql"):
        blocked(name)
    assert export("postgresql://me:secret@127.0.0.1/none", "LiF") == 1
    error = capsys.readouterr().err
    assert "pip install 'seiflow[postgresql]'" in error
    assert "secret" not in error
