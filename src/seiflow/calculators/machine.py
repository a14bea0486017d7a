"""Where this machine keeps pseudopotentials and how it starts programs: a YAML file that profiles name, apart from recipes.

Without such a file a program is looked for on the path, started by ``mpirun`` if it is to have several processes, and
pseudopotentials are looked for where their packages put them.
"""

import os
import shlex
import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from seiflow.documents import load
from seiflow.errors import InputError

VARIABLE = "SEIFLOW_MACHINE"
"""Environment variable that names the file."""

LAUNCHERS = ("mpirun", "mpiexec", "mpiexec.hydra", "orterun", "prterun", "srun")
"""Programs that start the one that is named after them."""

USUAL_FOLDERS = {
    "espresso": ("$ESPRESSO_PSEUDO", "/usr/share/espresso/pseudo"),
    "vasp": ("$VASP_PP_PATH",),
    "cp2k": ("$CP2K_DATA_DIR", "/usr/share/cp2k"),
}
"""Where the files of a code are looked for if the machine's file does not say it."""


def complete_allocation(processes: int) -> None:
    """Tell the starters of MPI which node of Slurm this is and how many processes are meant for it.

    The Slurm plugin of Snakemake takes these variables away, and Open MPI refuses to start without them. Jobs have one node.
    """
    node = os.environ.get("SLURMD_NODENAME")
    if node and "SLURM_JOB_ID" in os.environ:
        os.environ.setdefault("SLURM_NODELIST", node)
        os.environ.setdefault("SLURM_TASKS_PER_NODE", str(processes))


class Machine(BaseModel):
    """What recipes leave to the machine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    programs: dict[str, str] = Field(
        default={},
        description="command line of a program, by its name in recipes; {processes} stands for the number of MPI processes",
    )
    folders: dict[str, str] = Field(
        default={}, description="folder of pseudopotentials or other data, by the name of the code: espresso, vasp, cp2k"
    )
    pythons: dict[str, str] = Field(
        default={}, description="Python interpreter of an environment of its own, by the name of the environment in recipes"
    )

    @classmethod
    def from_environment(cls) -> "Machine":
        """Return the machine that the environment names, or one that leaves all as it usually is.

        Raises:
            InputError: if there is no such file or it is wrong.
        """
        named = os.environ.get(VARIABLE)
        return load(Path(named), cls) if named else cls()

    @classmethod
    def take(cls, path: Path) -> None:
        """Let this process, and those that it starts, find the machine in a file.

        Raises:
            InputError: if there is no such file or it is wrong.
        """
        load(path, cls)
        os.environ[VARIABLE] = str(path.absolute())

    def command(self, program: str, processes: int = 1) -> str:
        """Return the command line that starts a program.

        Raises:
            InputError: if the machine's file has an unknown name in braces, or a line that is empty or that no shell takes.
        """
        usual = program if processes == 1 else f"mpirun -np {processes} {program}"
        given = self.programs.get(program, usual)
        try:
            line = given.format(processes=processes)
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            message = f"programs.{program}: {given!r} holds braces other than {{processes}} ({error})"
            raise InputError(message) from error
        try:
            words = shlex.split(line)
        except ValueError as error:
            message = f"programs.{program}: {given!r} is no command line ({error})"
            raise InputError(message) from error
        if not words:
            message = f"programs.{program}: there is no command; leave it out to have {program} looked for on the path"
            raise InputError(message)
        return shlex.join([os.path.expanduser(words[0]), *words[1:]]) if words[0].startswith("~") else line  # noqa: PTH111 - a word

    def program_problem(self, program: str, processes: int = 1) -> str | None:
        """Return why a program cannot be started with so many MPI processes; None if it can.

        A launcher has to be there, and so has one of the words after it; of other wrappers only the first word is looked for.
        """
        line = self.command(program, processes)
        first, *others = shlex.split(line)
        if not shutil.which(first):
            told = f"the program {first} is not {'there' if os.sep in first else 'on the path'}"
        elif Path(first).name not in LAUNCHERS or any(map(shutil.which, others)):
            return None
        elif program in others:
            told = f"the program {program} is not on the path"
        else:
            told = f"{line!r} names no program that is there"
        return (
            f"{told}; install it, load its module, or say in a machine file how it is started "
            f"(programs: {{{program}: COMMAND}}; the key machine of the study or the environment variable {VARIABLE} names it)"
        )

    def folder(self, code: str) -> Path | None:
        """Return the folder of a code's pseudopotentials; None if there is none."""
        given = self.folders.get(code)
        usual = USUAL_FOLDERS.get(code, ())
        for entry in (given,) if given else usual:
            path = Path(os.path.expandvars(entry)).expanduser()
            if path.is_dir():
                return path
        return None

    def file(self, code: str, name: str) -> Path:
        """Return a file in the folder of a code.

        Raises:
            FileNotFoundError: if there is no such folder or file.
        """
        folder = self.folder(code)
        if folder is None:
            told = self.folders.get(code) or " or ".join(USUAL_FOLDERS.get(code, ())) or "none known"
            message = f"no folder {told}; name one in a machine file (folders: {{{code}: FOLDER}})"
            raise FileNotFoundError(message)
        if not (folder / name).is_file():
            message = f"no file {folder / name}"
            raise FileNotFoundError(message)
        return folder / name
