"""Names of files as text that can be written anywhere."""

from __future__ import annotations

import re

# Python's stand-ins for bytes of a file's name that are not UTF-8; no encoding can write them.
_SURROGATES = re.compile("[\ud800-\udfff]")


def readable(text: str) -> str:
    """Replace what is not UTF-8 in the names of files that a text contains, by the replacement character U+FFFD."""
    return _SURROGATES.sub("\ufffd", text)
