"""The documents: their links lead somewhere, and what they say of files and exit codes is so."""

import re
from pathlib import Path

import pytest

from gioconda.provenance.verdict import EXIT_CODES
from gioconda.weights import asset_names, asset_path

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="the source archive has no docs")
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files(page):
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert missing == []


def test_the_page_of_models_names_every_packaged_file_and_its_size():
    text = (ROOT / "docs" / "models" / "README.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `([^`]+)` \| ([\d.]+) \|", text, re.MULTILINE))
    for name in asset_names():
        megabytes = asset_path(name).stat().st_size / 1e6
        assert float(told[name]) == pytest.approx(megabytes, rel=0.3, abs=0.05), name


def test_the_page_on_trust_tells_the_exit_codes():
    text = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
    told = {status: int(code) for status, code in re.findall(r"^\| `(\w+)` \| (\d+) \|", text, re.MULTILINE)}
    assert told == EXIT_CODES
