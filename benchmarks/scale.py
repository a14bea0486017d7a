"""How planning grows with the size of a study, and what a job costs besides its computation.

Run ``python benchmarks/scale.py [TARGETS ... | jobs [N]]``; without arguments 100, 1000 and 10 000 targets are planned, then 1000
jobs run. A target is one property of one structure with one calculator. Structures are copies of three metals, their lattice
constants a little different; each has four calculators, copies of EMT, and five properties: relaxation, elasticity, phonons,
defects, migration.

Planning is ``snakemake -n``, the first time, when every structure is built to be checked, and again after a run, of one job here,
which keeps what was found sound; a dry run keeps nothing. Beside it stands a plain
Snakefile with the same rules, files and wildcards, whose jobs are ``touch`` and whose inputs are strings: what Snakemake takes by
itself. Jobs are builds, relaxations, elasticities and the report, one after the other on one core; the plain Snakefile starts as
many. What the same commands take in one process is useful work, the rest is overhead. Processor seconds stand beside wall
seconds, because other programs may share the machine. No store is used.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from seiflow.calculators.recipes import CalculatorRecipe, calculator_shelf
from seiflow.shelves import phase_shelf

REPOSITORY = Path(__file__).parents[1]
METALS = ("Al", "Cu", "Ni")
CALCULATORS = 4
PROPERTIES = ("elasticity", "phonons", "defects", "migration")
TARGETS = (100, 1000, 10_000)
JOBS = 1000
STEP = 1e-5
"""By which the lattice constants of two copies of a metal differ, relative."""

PLAIN = """\
PAIRS = [f"results/{{s}}/{{c}}" for s in {structures} for c in {calculators}]
PROPERTIES = {properties}
PAIR = "results/{{structure}}/{{calculator}}"
STRUCTURE, CALCULATOR = "mine/structures/{{structure}}.yaml", "mine/calculators/{{calculator}}.yaml"
RELAXED = PAIR + "/relaxed.extxyz"


wildcard_constraints:
    structure="[^/]+",
    calculator="[^/]+",


def hops(wildcards):
    return checkpoints.hops.get(**wildcards).output


def all_hops(_):
    found = []
    for pair in PAIRS if "migration" in PROPERTIES else []:
        found += checkpoints.hops.get(structure=pair.split("/")[1], calculator=pair.split("/")[2]).output
    return found


rule all:
    default_target: True
    input:
        [f"{{pair}}/{{name}}.json" for pair in PAIRS for name in ["relaxation", *PROPERTIES]],
        [f"{{pair}}/relaxed.extxyz" for pair in PAIRS],
        all_hops,


rule build:
    input: STRUCTURE
    output: PAIR + "/built.extxyz"
    log: PAIR + "/logs/build.log"
    shell: "touch {{output}}"


rule relax:
    input: STRUCTURE, CALCULATOR, PAIR + "/built.extxyz"
    output: PAIR + "/relaxation.json", RELAXED
    log: PAIR + "/logs/relaxation.log"
    benchmark: PAIR + "/logs/relaxation.tsv"
    shell: "touch {{output}}"


checkpoint hops:
    input: STRUCTURE, CALCULATOR, RELAXED
    output: PAIR + "/hops.json"
    log: PAIR + "/logs/hops.log"
    shell: "touch {{output}}"


rule migration:
    input: STRUCTURE, CALCULATOR, RELAXED, hops
    output: PAIR + "/migration.json"
    log: PAIR + "/logs/migration.log"
    shell: "touch {{output}}"


rule property:
    input: STRUCTURE, CALCULATOR, RELAXED
    output: PAIR + "/{{name}}.json"
    log: PAIR + "/logs/{{name}}.log"
    benchmark: PAIR + "/logs/{{name}}.tsv"
    wildcard_constraints: name="elasticity|phonons|defects"
    shell: "touch {{output}}"
"""
"""The rules of seiflow with nothing in them."""

METER = """\
import resource, subprocess, sys
done = subprocess.run(sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
open(sys.argv[1], "w").write(f"{used.ru_utime + used.ru_stime} {used.ru_maxrss}")
sys.exit(done.returncode)
"""
"""Runs a command and writes the processor seconds of all that it started, and the memory of the largest."""

IN_ONE_PROCESS = """\
import pathlib
from seiflow.cli import main
for recipe in sorted(pathlib.Path("mine/structures").glob("*.yaml")):
    place = pathlib.Path("alone") / recipe.stem
    place.mkdir(parents=True)
    given = ["--structure", str(recipe)]
    job = [*given, "--calculator", "mine/calculators/emt-0.yaml"]
    built, relaxed = str(place / "built.extxyz"), str(place / "relaxed.extxyz")
    assert main(["build", *given, "--output", built]) == 0
    assert main(["relax", *job, "--built", built, "--relaxed", relaxed, "--output", str(place / "relaxation.json")]) == 0
    assert main(["elasticity", *job, "--relaxed", relaxed, "--output", str(place / "elasticity.json")]) == 0
assert main(["report", "results/study.yaml"]) == 0
"""
"""The commands of the jobs, without a process for each."""


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Attributes:
        wall: s.
        processor: s, of it and of all that it started.
        memory: of its largest process, MB.
    """

    wall: float
    processor: float
    memory: float


def write_study(folder: Path, targets: int, properties: Sequence[str] = PROPERTIES, calculators: int = CALCULATORS) -> None:
    """Write a study of so many targets at least, its recipes, and a plain Snakefile with the same jobs."""
    structures = -(-targets // (calculators * (len(properties) + 1)))
    (folder / "mine/structures").mkdir(parents=True)
    (folder / "mine/calculators").mkdir()
    names = [write_structure(folder / "mine/structures", number) for number in range(structures)]
    engines = [write_calculator(folder / "mine/calculators", number) for number in range(calculators)]
    block = {"structures": names, "calculators": engines, "properties": list(properties)}
    settings = {"migration": {"image_distance": 5}, "phonons": {"image_distance": 5}}
    study = {"library": ["mine"], "store": None, "calculations": [block], "settings": settings}
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    plain = PLAIN.format(structures=names, calculators=engines, properties=list(properties))
    (folder / "plain.smk").write_text(plain, encoding="utf-8")


def write_structure(folder: Path, number: int) -> str:
    """Write the recipe of a metal with a lattice constant of its own; return its name."""
    metal = phase_shelf().get(METALS[number % len(METALS)])
    name = f"{metal.name}-{number}"
    side = metal.cell.a * (1 + STEP * number)
    recipe = metal.model_dump(mode="json", exclude_none=True) | {"name": name, "cell": {"a": side, "b": side, "c": side}}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return name


def write_calculator(folder: Path, number: int) -> str:
    """Write the recipe of EMT under another name; return that."""
    recipe: CalculatorRecipe = calculator_shelf().get("emt")
    name = f"emt-{number}"
    data = recipe.model_dump(mode="json", exclude_defaults=True) | {"name": name}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return name


def measured(folder: Path, *command: str) -> Cost:
    """Run a command in a folder; one that fails ends the benchmark."""
    start = time.perf_counter()
    variables = os.environ | {"SEIFLOW_STORE": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", METER, "used", *command], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    wall = time.perf_counter() - start
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-4000:])
    processor, kilobytes = map(float, (folder / "used").read_text(encoding="utf-8").split())
    return Cost(wall, processor, kilobytes / 1024)


def seiflow(*options: str) -> list[str]:
    """Return the command that runs the study of a folder."""
    return ["snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--directory", ".", "--configfile", "study.yaml", *options]


def plan(targets: int) -> None:
    """Plan a study of so many targets and print a line of the table."""
    with tempfile.TemporaryDirectory() as place:
        write_study(Path(place), targets)
        dry = ("--dry-run", "--quiet", "--cores", "1")
        first = measured(Path(place), *seiflow(), *dry)
        measured(Path(place), *seiflow("--cores", "1", "results/Al-0/emt-0/built.extxyz"))
        again = measured(Path(place), *seiflow(), *dry)
        plain = measured(Path(place), "snakemake", "--snakefile", "plain.smk", *dry)
    columns = [f"{cost.wall:8.1f} {cost.processor:8.1f} {cost.memory:7.0f}" for cost in (first, again, plain)]
    print(f"{targets:8d}  {'  '.join(columns)}  {again.processor / plain.processor:6.2f}", flush=True)


def run_jobs(jobs: int) -> None:
    """Run so many jobs end to end and print what each costs besides its computation."""
    structures = -(-jobs // 3)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_study(folder, 2 * structures, ("elasticity",), 1)
        ours = measured(folder, *seiflow("--cores", "1", "--quiet"))
        useful = measured(folder, sys.executable, "-c", IN_ONE_PROCESS)
        plain = measured(folder, "snakemake", "--snakefile", "plain.smk", "--cores", "1", "--quiet", "--forceall")
    jobs = 3 * structures
    print(f"{jobs} jobs: build, relaxation and elasticity of {structures} metals with EMT, one core")
    print(f"{'':24s} {'wall s':>8s} {'cpu s':>8s} {'s a job':>8s} {'cpu':>8s}")
    for name, cost in (("seiflow", ours), ("plain Snakemake, touch", plain), ("computation alone", useful)):
        print(f"{name:24s} {cost.wall:8.1f} {cost.processor:8.1f} {cost.wall / jobs:8.3f} {cost.processor / jobs:8.3f}")
    wall, processor = ours.wall - useful.wall, ours.processor - useful.processor
    print(f"{'overhead of seiflow':24s} {wall:8.1f} {processor:8.1f} {wall / jobs:8.3f} {processor / jobs:8.3f}")


def main(arguments: Sequence[str]) -> None:
    """Print what was asked for."""
    if arguments[:1] == ["jobs"]:
        run_jobs(int(arguments[1]) if arguments[1:] else JOBS)
        return
    print(f"{'':8s}  {'first time':^25s}  {'again':^25s}  {'plain Snakemake':^25s}   again /")
    print(f"{'targets':>8s}" + 3 * f"  {'wall s':>8s} {'cpu s':>8s} {'MB':>7s}" + "   plain")
    for targets in map(int, arguments or TARGETS):
        plan(targets)
    if not arguments:
        run_jobs(JOBS)


if __name__ == "__main__":
    main(sys.argv[1:])
