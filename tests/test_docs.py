"""The documents: their links lead somewhere, and what they say of files and exit codes is so."""

import re
import shlex
from importlib import import_module

import pytest
import typer
from typer.main import get_command

from gioconda.assets import asset_names, asset_path
from gioconda.cli import app
from gioconda.cli.training import DEFAULT_PRESETS
from gioconda.provenance.verdict import EXIT_CODES
from places import ROOT

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


def command_lines():
    """Every `gioconda ...` of the pages' code, as words."""
    for page in PAGES:
        text = re.sub(r"\\\n\s*", " ", page.read_text(encoding="utf-8"))
        for line in re.findall(r"^ {4}(?:\S.* -m )?gioconda ([a-z].*)$", text, re.MULTILINE):
            words = shlex.split(re.split(r" [>|] ", line)[0], comments=True)
            yield page.relative_to(ROOT).as_posix(), [word for word in words if word != "..."]


def parsed(words):
    """What the command line reads of the words; None where an option only prints something."""
    group = get_command(app)
    command = group.get_command(typer.Context(group), words[0])
    assert command is not None, words[0]
    try:
        return command.make_context(words[0], list(words[1:]))
    except typer.Exit:
        return None


@pytest.mark.slow
def test_every_command_of_the_pages_is_one():
    wrong, seen = [], set()
    for page, words in command_lines():
        seen.add(words[0])
        try:
            parsed(words)
        except typer.TyperException as error:
            wrong.append((page, " ".join(words), error.format_message()))
    assert wrong == []
    assert {
        "animate",
        "speak",
        "edit",
        "track",
        "verify",
        "prepare",
        "train",
        "export",
        "export-weights",
        "adapt",
        "evaluate",
    } <= seen


@pytest.mark.slow
def test_every_setting_of_the_pages_is_one():
    pytest.importorskip("torch")
    from gioconda.training import config

    lines = [words for _, words in command_lines() if words[0] == "train"]
    assert len(lines) > 10
    for words in lines:
        context = parsed(words)
        network = context.params["network"]
        kind = config.settings_of(import_module(f"gioconda.training.{network.value}.task").train)
        config.load(kind, context.params["preset"] or DEFAULT_PRESETS[network], config.pairs(context.args))
