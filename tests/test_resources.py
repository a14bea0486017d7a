"""What jobs ask of a cluster follows from the recipes of their calculators."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from seiflow.resources import SNAKEMAKE_MB
from seiflow.study import Study
from seiflow.workflow import Plan

Library = Callable[..., Path]


@pytest.mark.parametrize(
    ("keys", "asked"),
    [
        pytest.param({"memory_mb": 400}, {"mem_mb": 900, "runtime": 21}, id="plain"),
        pytest.param({"memory_mb": 400, "arguments": {"device": "cuda:0"}}, {"mem_mb": 900, "runtime": 21, "gpu": 1}, id="card"),
        pytest.param(
            {"memory_mb": 400, "processes": 4, "program": "pw.x", "seconds_per_atom": 6},
            {"mem_mb": 2100, "runtime": 520, "mpi": "mpirun", "tasks": 4, "cpus_per_task": 1, "nodes": 1},
            id="parallel",
        ),
    ],
)
def test_job_asks_for_what_its_calculator_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: Library, keys: dict[str, object], asked: dict[str, object]
) -> None:
    """Memory, time, cards and MPI tasks come from the recipe, what is not needed is not asked for, and a retry asks for more."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pw.x").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "pw.x").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    library(tmp_path / "mine", calculator=keys)
    block = {"structures": ["Cu3Au"], "calculators": ["pair"], "properties": ["relaxation"]}
    demands = Plan(Study({"library": ["mine"], "store": None, "calculations": [block]})).resources
    pair = SimpleNamespace(structure="Cu3Au", calculator="pair")
    first = {name: demand(pair, 1) for name, demand in demands.items()}
    assert {name: value for name, value in first.items() if value is not None} == asked
    assert demands["mem_mb"](pair, 3) == SNAKEMAKE_MB + 3 * (asked["mem_mb"] - SNAKEMAKE_MB)
    assert demands["runtime"](pair, 3) == 4 * asked["runtime"]
