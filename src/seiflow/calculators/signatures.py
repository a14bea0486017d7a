"""Arguments that a recipe names, held against those that its callable takes, before the first job.

A remedy is asked for when a density fails, which may be after hours; a misspelt argument of it must not wait until then. The
callable's source is read, never run: a recipe may be somebody else's.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from seiflow.calculators.factory import find_module
from seiflow.calculators.recipes import CalculatorRecipe, uncovered

Defined = ast.FunctionDef | ast.ClassDef

OWN = "seiflow.calculators."

MODELS = frozenset({"model", "model_path", "model_paths", "weights", "checkpoint", "folder"})
"""Arguments that name the model of a potential, by a keyword or, with a slash, by a path."""


@dataclass(frozen=True)
class Signature:
    """Arguments that a callable takes by name.

    Attributes:
        names: All of them.
        needed: Those without a default.
        any_other: Whether it takes others too.
    """

    names: frozenset[str]
    needed: frozenset[str]
    any_other: bool


def argument_problems(recipe: CalculatorRecipe) -> Iterator[str]:
    """Yield what is wrong with the arguments that a recipe names.

    Names are held against what the callable takes only if its source says that.
    """
    yield from _unlisted_files(recipe)
    signature = _signature(recipe.factory)
    if signature is None:
        return
    from_machine = {name for name, said in (("command", recipe.program), ("folder", recipe.data)) if said}
    known = signature.names - from_machine - {"charge"}
    told = f"calculator {recipe.name}: {recipe.factory}"
    named = [("arguments", recipe.arguments), *((f"remedy {remedy.name!r}", remedy.arguments) for remedy in recipe.remedies)]
    if not signature.any_other:
        for where, arguments in named:
            for name in sorted(set(arguments) - known):
                yield f"{told} takes no argument {name!r} ({where}); it takes {', '.join(sorted(known)) or 'none'}"
        given = {"charge"} if recipe.charge else set()
        for name in sorted((from_machine | given) - signature.names):
            yield f"{told} takes no argument {name!r}, which its recipe promises it (program, data or charge)"
    yield from (f"{told}: {problem}" for problem in _moment_problems(recipe))
    missing = sorted(signature.needed - set(recipe.arguments) - from_machine)
    if missing:
        yield f"{told} needs {', '.join(missing)}; name them under arguments"


def _unlisted_files(recipe: CalculatorRecipe) -> Iterator[str]:
    """Yield files that a calculator is made from and that its recipe does not list, so that no result would depend on them."""
    listed = [Path(entry).expanduser() for entry in recipe.weights]
    own = recipe.factory.startswith(OWN)
    for arguments in (recipe.arguments, *(remedy.arguments for remedy in recipe.remedies)):
        for name in sorted(MODELS & set(arguments)):
            given = arguments[name]
            for text in given if isinstance(given, list) else [given]:
                if not isinstance(text, str) or "/" not in text:
                    continue
                path = Path(text).expanduser().absolute()
                if not (own or path.exists()) or any(each == path or each.is_relative_to(path) for each in listed):
                    continue
                yield (
                    f"calculator {recipe.name}: {name} {text} is a file or folder that results depend on, and weights does not "
                    f"list it; add weights: [{path}], or the files in it"
                )


def _moment_problems(recipe: CalculatorRecipe) -> Iterator[str]:
    """Yield what is wrong with initial magnetic moments as the callables of this package take them."""
    moments = recipe.arguments.get("moments")
    if not isinstance(moments, dict) or not recipe.factory.startswith(OWN):
        return
    if not recipe.magnetic:
        yield "moments (arguments) are for a calculator that heeds them; its recipe says magnetic: false"
    others = uncovered(recipe, moments)
    if others:
        yield f"moments (arguments) of {', '.join(others)}, which its recipe does not list under elements"


def _signature(factory: str) -> Signature | None:
    """Return what the callable takes; None if it is not plain in the source of its module."""
    module, _, name = factory.partition(":")
    spec = find_module(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    try:
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return None
    found = _defined(tree.body, name)
    function = _defined(found.body, "__init__") if isinstance(found, ast.ClassDef) else found
    if not isinstance(function, ast.FunctionDef) or function.decorator_list:
        return None
    return _of(function.args, bound=isinstance(found, ast.ClassDef))


def _defined(body: list[ast.stmt], name: str) -> Defined | None:
    return next((part for part in body[::-1] if isinstance(part, Defined) and part.name == name), None)


def _of(arguments: ast.arguments, *, bound: bool) -> Signature:
    plain = [*arguments.posonlyargs, *arguments.args]
    needed = plain[: len(plain) - len(arguments.defaults)][bound:]
    by_name = [argument for argument in plain[bound:] if argument not in arguments.posonlyargs]
    needed += [argument for argument, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if value is None]
    return Signature(
        frozenset(argument.arg for argument in [*by_name, *arguments.kwonlyargs]),
        frozenset(argument.arg for argument in needed),
        arguments.kwarg is not None,
    )
