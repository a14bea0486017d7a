"""Charged defects: plan, limits of chemical potentials, corrections, cells (relaxed), levels, disorder, charged (results)."""
