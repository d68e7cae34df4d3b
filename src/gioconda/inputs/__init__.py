"""Load the user's inputs: portraits with their faces, motions from files, voices and templates."""
