"""The table of a study against its records: a number that was edited there alone."""

import tempfile
from pathlib import Path

from seiflow.errors import SeiflowError
from seiflow.provenance.checks import Finding
from seiflow.provenance.results import Results


def table_problem(results: Results) -> Finding | None:
    """Return what is wrong with the table; None if it is the one that the records give, or nobody can tell."""
    table = results.folder / "table.csv"
    if results.study is None or not table.is_file():
        return None
    from seiflow.report import Target, collect
    from seiflow.report.references import load_references
    from seiflow.report.table import write_table
    from seiflow.shelves import data_folder
    from seiflow.study import Study

    try:
        study = Study.read(results.study)
        targets = Target.of(study)
        with tempfile.TemporaryDirectory(prefix="seiflow-verify-") as folder:
            again = Path(folder) / table.name
            write_table(again, collect(results.folder, targets), load_references(data_folder("references")))
            wanted, there = again.read_text(encoding="utf-8"), table.read_text(encoding="utf-8")
    except (SeiflowError, OSError, UnicodeDecodeError):
        return None
    if wanted == there:
        return None
    lines = [
        number for number, pair in enumerate(zip(there.splitlines(), wanted.splitlines(), strict=False), 1) if len(set(pair)) > 1
    ]
    where = f"line {lines[0]}" if lines else "number of lines"
    return Finding(str(table), f"not the table that the records give ({where} differs); seiflow report writes it anew")
