"""Training and evaluation: preparation of data, networks, metrics. Animation needs none of it."""
