"""Requests: everything that users can ask for, as values."""

from gioconda.requests.adaptation import SOURCES, Adapt, Adapted
from gioconda.requests.fields import (
    Option,
    OptionError,
    Place,
    check_inputs_stay,
    option_of,
    options_of,
    part_of,
)
from gioconda.requests.kinds import DEGREES, GAZE, KINDS, PHOTOS, Animate, Edit, Request, Speak, check_engine
from gioconda.requests.verification import Verify

__all__ = [
    "DEGREES",
    "GAZE",
    "KINDS",
    "PHOTOS",
    "SOURCES",
    "Adapt",
    "Adapted",
    "Animate",
    "Edit",
    "Option",
    "OptionError",
    "Place",
    "Request",
    "Speak",
    "Verify",
    "check_engine",
    "check_inputs_stay",
    "option_of",
    "options_of",
    "part_of",
]
