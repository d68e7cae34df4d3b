"""Foundations of the other modules: networks, weights, threads."""
