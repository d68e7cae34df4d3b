"""A task for worker processes that ends them, hangs or fails as its name says; a module that is quickly imported."""

from __future__ import annotations

import os
import time

from gioconda.errors import InputError


def errand(item):
    """The name in capitals. item: what happens, and a folder in which that is noted."""
    name, folder = item
    if name == "deadly" or (name == "once" and not (folder / name).exists()):
        (folder / name).touch()
        os._exit(9)
    if name == "hangs":
        time.sleep(60)
    if name == "wrong":
        raise InputError("this is wrong")
    os.write(1, b"noise")
    return name.upper()
