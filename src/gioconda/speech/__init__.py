"""Speech: a text to a voice, and a voice to what its speaker's face does."""

from gioconda.speech.acting import FPS, perform, perform_said
from gioconda.speech.idle import Performance
from gioconda.speech.voice import Voice, say, variants, voices

__all__ = ["FPS", "Performance", "Voice", "perform", "perform_said", "say", "variants", "voices"]
