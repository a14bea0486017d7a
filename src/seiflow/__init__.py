"""Barriers, defect energies and elastic moduli of solid-electrolyte interphases."""

from importlib.metadata import version

__version__ = version("seiflow")
