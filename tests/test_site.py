"""The site of the documentation: built without a warning, whole, and nothing of it from another host."""

import html
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from typer.main import get_command

import gioconda
from gioconda import requests
from gioconda.cli import app
from places import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / "mkdocs.yml").is_file(), reason="the source archive has no docs"),
]
LOADED = {"script", "img", "iframe", "source", "video", "audio", "embed", "track", "input"}


class Page(HTMLParser):
    """What one page names: anchors, where its links lead, what a browser loads for it, its text and comments."""

    def __init__(self, text):
        super().__init__()
        self.anchors, self.links, self.loaded, self.text, self.comments = set(), [], [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        said = dict(attrs)
        if said.get("id"):
            self.anchors.add(said["id"])
        if tag == "a" and said.get("href"):
            self.links.append(said["href"])
        if tag == "link" and said.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(said["href"])
        if tag in LOADED:
            self.loaded += [said[key] for key in ("src", "data-src") if said.get(key)]
            self.loaded += [part.split()[0] for part in (said.get("srcset") or "").split(",") if part.strip()]

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        self.comments.append(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site's folder and its pages by their path in it."""
    folder = tmp_path_factory.mktemp("site")
    made = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    assert [line for line in made.stderr.splitlines() if not line.startswith("INFO")] == []
    pages = {
        path.relative_to(folder).as_posix(): Page(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.html"))
    }
    assert {"index.html", "commands.html", "python.html", "faq.html"} <= set(pages)
    return folder, pages


def test_links_lead_to_pages_and_anchors(site):
    folder, pages = site
    broken = []
    for name, page in pages.items():
        if name == "404.html":  # its links count from the root of a server
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = name
            if parts.path:
                target = os.path.relpath((folder / name).parent / unquote(parts.path), folder)
            there = (folder / target).exists()
            known = (
                target not in pages or not parts.fragment or unquote(parts.fragment) in pages[target].anchors
            )
            if not (there and known):
                broken.append((name, link))
    assert broken == []


def test_nothing_is_loaded_from_another_host(site):
    folder, pages = site
    foreign = [
        (name, what) for name, page in pages.items() for what in page.loaded if re.match(r"(\w+:)?//", what)
    ]
    for sheet in folder.rglob("*.css"):
        used = re.findall(r"(?:url\(|@import)\s*[\"']?([^\"')\s]+)", sheet.read_text(encoding="utf-8"))
        foreign += [(sheet.name, what) for what in used if re.match(r"(\w+:)?//", what)]
    assert foreign == []
    assert any(page.loaded for page in pages.values())


def test_every_command_and_every_option_has_its_place(site):
    page = site[1]["commands.html"]
    group = get_command(app)
    assert {f"gioconda-{name}" for name in group.commands} <= page.anchors
    options = {
        option for command in group.commands.values() for one in command.params for option in one.opts[:1]
    }
    assert {option for option in options if option.startswith("--") and option not in page.text} == set()


def test_every_public_name_has_its_place(site):
    page = site[1]["python.html"]
    names = {f"gioconda.{name}" for name in gioconda.__all__}
    assert names - page.anchors == {"gioconda.__version__"}
    assert "gioconda.__version__" in page.text


def test_every_option_is_explained_in_the_table_of_its_function(site):
    text = (site[0] / "python.html").read_text(encoding="utf-8")
    assert "<td>Strength of the motion; 1 transfers it as it is. 0 to 2.</td>" in text
    for kind in requests.KINDS.values():
        for option in requests.options_of(kind):
            assert f"<td><code>{option.name}</code></td>" in text
            assert html.escape(option.help.split("`")[0], quote=False) in text
    assert "NoFaceError" in site[1]["python.html"].text


def test_markers_have_given_way(site):
    markers = {"commands", "requests", "functions", "types", "errors"}
    left = [
        (name, text) for name, page in site[1].items() for text in page.comments if text.strip() in markers
    ]
    assert left == []
    assert "self-reenactment" in site[1]["figures.html"].text


def test_every_page_is_in_the_navigation(site):
    pages = site[1]
    there = {name for name in pages if name != "404.html"}
    reached = {os.path.normpath(urlsplit(link).path) for link in pages["index.html"].links if ":" not in link}
    assert there - reached - {"index.html"} == set(), "name them under nav in mkdocs.yml"


def test_the_picture_of_concepts_says_what_it_shows(site):
    text = (site[0] / "concepts.svg").read_text(encoding="utf-8")
    assert "<title" in text
    assert "<desc" in text
    stages = ("media", "face", "motion", "engine", "composite", "provenance")
    assert [stage for stage in stages if f">{stage}</text>" not in text] == []
