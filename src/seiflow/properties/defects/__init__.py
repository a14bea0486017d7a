"""Energies of stoichiometric sets of point defects: host (sites), arrangements (sets), cells (relaxed), defects (results)."""
