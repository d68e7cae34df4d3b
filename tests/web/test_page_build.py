"""The packaged page is what its sources give, and its options are those of Python."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gioconda.web.page.mount import STATIC

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "web" / "app"


def test_the_pages_options_are_those_of_python():
    command = [sys.executable, str(ROOT / "scripts" / "page_options.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_packaged_files_are_what_the_sources_give(tmp_path):
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    app = tmp_path / "web" / "app"
    shutil.copytree(SOURCES, app, ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / "src" / "gioconda" / "web" / "page").mkdir(parents=True)
    installed = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=app,
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode and not os.environ.get("CI"):
        pytest.skip(f"npm cannot install the page's packages: {installed.stderr[-200:]}")
    assert installed.returncode == 0, installed.stderr
    subprocess.run([npm, "run", "build"], cwd=app, check=True, capture_output=True)
    built = tmp_path / "src" / "gioconda" / "web" / "page" / "static"
    names = sorted(path.relative_to(built).as_posix() for path in built.rglob("*") if path.is_file())
    packaged = sorted(path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*") if path.is_file())
    assert packaged == names, "run npm run build in web/app, and commit what it writes"
    assert [name for name in names if content(built / name) != content(STATIC / name)] == []


def content(path):
    """A file's bytes, unpacked: another zlib may pack them otherwise."""
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
