"""`import gioconda` is quick and brings nothing heavy."""

import subprocess
import sys

import pytest

import gioconda
from gioconda import errors, types

HEAVY = (
    "numpy",
    "cv2",
    "onnxruntime",
    "av",
    "PIL",
    "scipy",
    "torch",
    "c2pa",
    "cryptography",
    "typer",
    "rich",
)


def python(code: str) -> str:
    """What a fresh interpreter prints for `code`."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_import_loads_no_heavy_library():
    loaded = python("import sys, gioconda; print(' '.join(sys.modules))").split()
    assert not {name.partition(".")[0] for name in loaded} & set(HEAVY)


def test_import_takes_less_than_0_3_seconds():
    code = "import time; t = time.perf_counter(); import gioconda; print(time.perf_counter() - t)"
    assert min(float(python(code)) for _ in range(3)) < 0.3


def test_command_line_help_needs_no_media_library():
    code = "import sys; from gioconda.cli import run; run(['--help']); print(' '.join(sys.modules))"
    loaded = python(code).split("\n")[-1].split()
    assert not {name.partition(".")[0] for name in loaded} & {"cv2", "onnxruntime", "av", "c2pa", "scipy"}


def test_the_command_line_starts_no_threads_of_blas():
    code = (
        "import contextlib, sys; from gioconda.__main__ import main; from threadpoolctl import threadpool_info\n"
        "sys.argv = ['gioconda', '--version']\n"
        "with contextlib.suppress(SystemExit): main()\n"
        "import numpy; print([one['num_threads'] for one in threadpool_info() if one['user_api'] == 'blas'])"
    )
    assert python(code).split("\n")[-1] == "[1]"


def test_public_names_are_the_real_ones():
    assert gioconda.Motion is types.Motion
    assert gioconda.NoFaceError is errors.NoFaceError
    assert all(hasattr(gioconda, name) for name in gioconda.__all__)
    assert set(dir(gioconda)) == set(gioconda.__all__)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="enliven"):
        _ = gioconda.enliven


def test_scipy_is_loaded_by_those_who_need_it_alone():
    loaded = python("import sys, gioconda.pipeline; print(' '.join(sys.modules))").split()
    assert "scipy" not in loaded
