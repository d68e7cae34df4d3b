"""The API's reference as one plain page, rendered from its OpenAPI document without scripts or other sites."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 50rem; margin: 0 auto; padding: 1rem }
pre { overflow-x: auto; padding: .75rem; border: 1px solid; border-radius: .25rem }
table { border-collapse: collapse; display: block; overflow-x: auto }
td, th { text-align: left; vertical-align: top; padding: .2rem .75rem .2rem 0 }
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-ancestors 'none'; base-uri 'none'"


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
        "</main></html>",
    ]
    return "\n".join(parts)


def _operations(openapi: Mapping[str, Any]) -> Iterator[str]:
    """The section of each operation, with its statuses."""
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            yield f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
            yield f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>"
            rows = [(code, answer["description"]) for code, answer in operation["responses"].items()]
            yield _table(("status", "meaning"), rows)


def _schemas(openapi: Mapping[str, Any]) -> Iterator[str]:
    """The section of each schema, with its fields."""
    for name, schema in openapi["components"]["schemas"].items():
        yield f"<h2>{escape(name)}</h2><p>{escape(schema.get('description', ''))}</p>"
        required = schema.get("required", ())
        rows = [
            (
                field,
                "required" if field in required else "",
                described.get("description", ""),
                _bounds(described),
            )
            for field, described in schema.get("properties", {}).items()
        ]
        yield _table(("field", "", "meaning", "schema"), rows)


def _bounds(described: Mapping[str, Any]) -> str:
    """The JSON schema of a field, without what other columns show."""
    left_out = ("title", "description", "examples")
    return json.dumps({key: value for key, value in described.items() if key not in left_out})


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table in HTML."""

    def line(cells: tuple[str, ...], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"
