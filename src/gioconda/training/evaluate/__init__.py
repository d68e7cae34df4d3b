"""Evaluates engines on people who are not in their training data, by held-out frames, with intervals."""
