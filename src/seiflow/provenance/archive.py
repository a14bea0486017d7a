"""A study packed so that somebody else can look at it, check it and run it again."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from seiflow.errors import InputError
from seiflow.provenance.checks import check
from seiflow.provenance.contents import contents
from seiflow.provenance.crate import study_crate
from seiflow.provenance.results import Results


def archive(
    study: Path, output: Path, *, authors: Sequence[str] = (), licence: str | None = None, anyway: bool = False
) -> list[str]:
    """Write the archive of a study; appears whole.

    Args:
        study: Its file, or the folder of its results.
        output: File that ends in .zip, or a new folder.
        authors: Names, or URLs that identify a person.
        licence: URL or name of a licence.
        anyway: Take results too that are not what their recipes give.

    Returns:
        What the reader is to know: notes on the results.

    Raises:
        InputError: if the output exists, a recipe is missing, or results do not belong to their recipes.
    """
    results = Results.at(study)
    if output.exists():
        message = f"{output}: exists; choose another name or remove it"
        raise InputError(message)
    checked = check(results)
    wrong = [str(finding) for finding in checked.findings]
    if wrong and not anyway:
        listed = "\n".join(f"  - {text}" for text in wrong)
        message = (
            f"{results.folder}: these are not what the recipes give; run the study again, or archive them with --anyway\n{listed}"
        )
        raise InputError(message)
    crate = study_crate(contents(results), checked.steps, authors, licence)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as folder:
            partial = Path(folder) / output.name
            (crate.write_zip if output.suffix == ".zip" else crate.write)(partial)
            os.replace(partial, output)
    except OSError as error:
        message = f"{output}: cannot be written ({error.strerror or error})"
        raise InputError(message) from error
    return [*checked.notes, *wrong]
