"""The API's reference as one page, rendered from its OpenAPI document, complete without scripts.

A script of our own adds forms that send requests. Nothing comes from other sites.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

_STYLE = """
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 50rem; margin: 0 auto; padding: 1rem }
pre { padding: .75rem; border: 1px solid; border-radius: .25rem }
pre, td, h2 { white-space: pre-wrap; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100%; margin-bottom: .75rem }
td, th { text-align: left; vertical-align: top; padding: .2rem .75rem .2rem 0; min-width: 4rem }
summary { cursor: pointer; padding: .25rem 0 }
form { border: 1px solid; border-radius: .25rem; padding: .75rem }
.field { display: grid; grid-template-columns: 12rem 1fr; gap: 0 .75rem; margin-bottom: .6rem }
.field[hidden] { display: none }
.field small { grid-column: 2 }
.curl:empty { display: none }
.answer :is(img, video) { max-width: 100% }
:is(input, select, textarea, button) { font: inherit; min-width: 0 }
@media (max-width: 40rem) { .field { grid-template-columns: 1fr } .field small { grid-column: 1 } }
"""
_SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """A source of a content security policy that allows exactly this style or script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; connect-src 'self'; "
    "img-src blob:; media-src blob:; require-trusted-types-for 'script'; form-action 'none'; "
    "frame-ancestors 'none'; base-uri 'none'"
)


def page(openapi: Mapping[str, Any], examples: Mapping[str, Any]) -> str:
    """Render the reference as HTML.

    Args:
        openapi: The OpenAPI document.
        examples: An example of the field `job` for each kind of job.
    """
    info = openapi["info"]
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style>",
        f"<main><h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])}</p>",
        '<p>For programs: <a href="openapi.json">openapi.json</a>.</p>',
        *_operations(openapi),
        "<h2>Examples of the field <code>job</code></h2>",
        *(f"<pre>{escape(json.dumps(example, indent=2))}</pre>" for example in examples.values()),
        *_schemas(openapi),
        f"</main><script>{_SCRIPT}</script></html>",
    ]
    return "\n".join(parts)


def _operations(openapi: Mapping[str, Any]) -> Iterator[str]:
    """The section of each operation, with its parameters and statuses."""
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            yield f'<section data-path="{escape(path)}" data-method="{method}">'
            yield f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
            yield f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>"
            parameters = operation.get("parameters", ())
            if parameters:
                yield _table(("parameter", "in", "meaning"), [_parameter(one) for one in parameters])
            rows = [(code, answer["description"]) for code, answer in operation["responses"].items()]
            yield _table(("status", "meaning"), rows) + "</section>"


def _parameter(parameter: Mapping[str, Any]) -> tuple[str, ...]:
    """The row of a parameter."""
    return parameter["name"], parameter["in"], parameter.get("description", "")


def _schemas(openapi: Mapping[str, Any]) -> Iterator[str]:
    """The section of each schema, with its fields."""
    for name, schema in openapi["components"]["schemas"].items():
        yield f"<h2>{escape(name)}</h2><p>{escape(schema.get('description', ''))}</p>"
        required = schema.get("required", ())
        rows = [
            (
                field,
                "yes" if field in required else "",
                described.get("description", ""),
                _bounds(described),
            )
            for field, described in schema.get("properties", {}).items()
        ]
        yield _table(("field", "required", "meaning", "schema"), rows)


def _bounds(described: Mapping[str, Any]) -> str:
    """The JSON schema of a field, without what other columns show."""
    left_out = ("title", "description", "examples")
    return json.dumps({key: value for key, value in described.items() if key not in left_out})


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table in HTML."""

    def line(cells: tuple[str, ...], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"
