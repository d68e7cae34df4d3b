"""Training of the networks that hear a voice and move a mouth."""
