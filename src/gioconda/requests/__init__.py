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
from gioconda.requests.kinds import (
    AS_IT_IS,
    DEGREES,
    GAZE,
    KINDS,
    PHOTOS,
    SHAPES,
    Animate,
    Edit,
    Export,
    Request,
    Speak,
    check_engine,
)
from gioconda.requests.verification import Verify

__all__ = [
    "AS_IT_IS",
    "DEGREES",
    "GAZE",
    "KINDS",
    "PHOTOS",
    "SHAPES",
    "SOURCES",
    "Adapt",
    "Adapted",
    "Animate",
    "Edit",
    "Export",
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
