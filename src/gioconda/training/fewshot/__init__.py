"""Training of the few-shot engine (Zakharov et al. 2019): shards of cropped clips, networks, losses, the way to use."""
