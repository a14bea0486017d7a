"""What of a study is done, running, failed or waiting."""

import time
from pathlib import Path

from seiflow.records import canonical, read_record
from seiflow.study import Job, Study

STILL_RUNNING = 120.0
"""s; a journal written to more recently belongs to a job that runs."""


_BEFORE = {
    "migration": ["hops", "vacancies/*", "hops/*"],
    "relaxation": ["registry"],
    "boundary": ["registry"],
    "segregation": ["sites", "sites/*"],
}
"""Jobs on the way to a property."""


def status(study: Study) -> str:
    """Return one line per property of each structure and calculator, then what is going on now."""
    results = Path(study.config.results)
    lines = []
    done = 0
    wide = max(len(job.structure) for job in study.jobs)
    for job in study.jobs:
        folder = results / job.structure / job.calculator
        state = _state(folder, job)
        done += state == "done"
        lines.append(f"{job.structure:{wide}s} {job.calculator:16s} {job.name:12s} {state}")
    return "\n".join([*lines, f"{done} of {len(lines)} done"])


def _state(folder: Path, job: Job) -> str:
    name = job.name
    record = folder / f"{name}.json"
    if record.exists():
        current = canonical(read_record(record)["provenance"]["settings"]) == job.own_settings
        return "done" if current else "waiting, the one there is has other settings"
    parts = [name, *_BEFORE.get(name, [])]
    for part in parts:
        for failure in sorted(folder.glob(f"{part}.failed")):
            return f"failed: {failure.read_text(encoding='utf-8').splitlines()[0]}"
    for part in parts:
        head, _, last = part.rpartition("/")
        for journal in sorted((folder / head).glob(f".{last}.json.journal")):
            recent = time.time() - journal.stat().st_mtime < STILL_RUNNING
            return f"{'running' if recent else 'stopped, resumes when run again'}: {_last_line(folder, journal)}"
    return "waiting"


def _last_line(folder: Path, journal: Path) -> str:
    log = folder / "logs" / journal.name.removeprefix(".").replace(".json.journal", ".log")
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return lines[-1] if lines else "starting"
