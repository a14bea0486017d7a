"""Barriers, defect energies and elastic moduli of solid-electrolyte interphases."""


def __getattr__(name: str) -> str:
    """Return the version when it is asked for: looking it up takes longer than all else that a command reads as it starts."""
    if name != "__version__":
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    from importlib.metadata import version

    return version(__name__)
