"""Speech: text -> voice, and voice -> movements of the speaker's face."""

from gioconda.speech.acting import FPS, perform, perform_voice
from gioconda.speech.idle import Performance
from gioconda.speech.voice import Voice, say, variants, voices

__all__ = ["FPS", "Performance", "Voice", "perform", "perform_voice", "say", "variants", "voices"]
