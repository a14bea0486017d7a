"""Calculators: recipes, and the one place where they turn into objects."""
