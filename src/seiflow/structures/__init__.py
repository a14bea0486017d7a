"""Structures: recipes, builders and the certificate each product must earn."""
