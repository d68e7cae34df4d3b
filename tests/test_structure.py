"""The house's own rules that no linter knows: short functions, short files."""

import ast

import pytest

from places import ROOT

FILES = sorted(p for folder in ("src", "benchmarks", "scripts") for p in (ROOT / folder).rglob("*.py"))
FUNCTION_LINES = 40
"""Of a function's body, its docstring included."""
FILE_LINES = 500


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_files_and_functions_stay_short(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < FILE_LINES
    too_long = [
        f"{node.name}: {length} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.body[0].lineno + 1) > FUNCTION_LINES
    ]
    assert not too_long


def test_files_of_tests_stay_short():
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / "tests").rglob("*.py")
    }
    assert {name: length for name, length in lengths.items() if length >= FILE_LINES} == {}


GATE = "output.py"
MARKING = {"Watermarker", "VisibleLabel", "open_writer", "write_picture", "sign"}
"""What lays in marks, writes what was rendered, and signs."""


def test_nothing_but_the_gate_marks_and_writes_pictures():
    source = ROOT / "src" / "gioconda"
    homes = ("media/", "provenance/", "composite.py", GATE)
    used = {}
    for path in source.rglob("*.py"):
        name = path.relative_to(source).as_posix()
        if name.startswith(homes):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else []
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") in (
                "media",
                "provenance",
                "composite",
            ):
                names = [node.attr]
            for found in MARKING & set(names):
                used.setdefault(name, set()).add(found)
    assert used == {}
    gate = (source / GATE).read_text(encoding="utf-8")
    assert all(name in gate for name in MARKING)


def test_only_frames_of_signed_films_pass_the_gate_with_the_marks_that_they_have():
    source = ROOT / "src" / "gioconda"
    skipping = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        if "Rendered(" in (text := path.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) == "Rendered"
        and any(keyword.arg in ("marked", None) for keyword in node.keywords)
    }
    assert skipping == {"films.py"}


@pytest.mark.xdist_group("alone")
def test_tests_of_a_group_share_a_worker(request):
    grouped = request.config.getoption("loadgroup", default=False)
    assert not grouped or request.node.nodeid.endswith("@alone"), (
        "pytest-xdist does not know this pytest's names"
    )
