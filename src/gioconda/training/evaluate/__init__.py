"""Measures engines on people they do not know: shots in, held-out frames out, figures with their intervals."""
