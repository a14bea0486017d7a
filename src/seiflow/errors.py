"""The exceptions seiflow raises, all of them below one root.

::

    SeiflowError                 anything a user can act on; the message says what, where and what to do
    ├── InputError               a recipe, a study or a file on disk is wrong; nothing was computed
    │   ├── RecipeError          a structure or calculator recipe
    │   ├── UnsuitedError        what is asked of one structure does not suit it; all else can be computed
    │   └── StudyError           a study (config.yaml), with every mistake found in it
    ├── StructureError           a structure failed its certificate
    ├── CalculatorError          a calculator cannot be made, crashed, or returned nonsense
    │   ├── NonsenseError        the forces of a structure are no forces of a solid
    │   └── UnconvergedDensityError  an electron density did not become self-consistent
    ├── ConvergenceError         an iteration ended above its tolerance; says what was reached
    └── PhysicsError             a converged result that is not the quantity asked for
"""


class SeiflowError(Exception):
    """Root of the errors that a user can act on."""


class InputError(SeiflowError):
    """Something written by the user is wrong."""


class RecipeError(InputError):
    """A structure or calculator recipe is wrong."""


class UnsuitedError(InputError):
    """What is asked of one structure does not suit it: a supercell too small for its images, a cut-off that leaves no hops."""


class StudyError(InputError):
    """A study is wrong; ``problems`` lists every mistake found."""

    def __init__(self, where: str, problems: list[str]) -> None:
        """Join the problems into one message headed by the file they are in."""
        self.problems = problems
        noun = "problem" if len(problems) == 1 else "problems"
        lines = "\n".join("  - " + problem.replace("\n", "\n    ") for problem in problems)
        super().__init__(f"{where}: {len(problems)} {noun}\n{lines}")


class StructureError(SeiflowError):
    """A structure failed one of the checks it must pass before anything is computed."""


class CalculatorError(SeiflowError):
    """A calculator could not be made, or returned something that is no energy or force."""


class NonsenseError(CalculatorError):
    """A calculator returned something that is no energy or force of a solid."""


class UnconvergedDensityError(CalculatorError):
    """The electron density of a structure did not become self-consistent."""


class ConvergenceError(SeiflowError):
    """An iteration stopped before reaching its tolerance."""


class PhysicsError(SeiflowError):
    """An iteration converged, but to something else than the quantity asked for."""
