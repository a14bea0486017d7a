"""Charged point defects: limits of the chemical potentials, corrections of charged cells, cells (relaxed), charged (results)."""
