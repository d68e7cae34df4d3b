"""The API's reference as one plain page, made from its OpenAPI file: it needs no script and no other site."""

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
    """HTML. examples: by kind of job, what the field `job` may hold."""
    info = openapi["info"]
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style>",
        f"<main><h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])}</p>",
        '<p>The whole of it, for programs: <a href="openapi.json">openapi.json</a>.</p>',
        *_operations(openapi),
        "<h2>Jobs, as the field <code>job</code> asks for them</h2>",
        *(f"<pre>{escape(json.dumps(one, indent=2))}</pre>" for one in examples.values()),
        *_schemas(openapi),
        "</main></html>",
    ]
    return "\n".join(parts)


def _operations(openapi: Mapping[str, Any]) -> Iterator[str]:
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            yield f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
            yield f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>"
            rows = [(code, answer["description"]) for code, answer in operation["responses"].items()]
            yield _table(("status", "meaning"), rows)


def _schemas(openapi: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in openapi["components"]["schemas"].items():
        yield f"<h2>{escape(name)}</h2><p>{escape(schema.get('description', ''))}</p>"
        required = schema.get("required", ())
        rows = [
            (field, "required" if field in required else "", told.get("description", ""), _bounds(told))
            for field, told in schema.get("properties", {}).items()
        ]
        yield _table(("field", "", "meaning", "schema"), rows)


def _bounds(told: Mapping[str, Any]) -> str:
    left_out = ("title", "description", "examples")
    return json.dumps({key: value for key, value in told.items() if key not in left_out})


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    def line(cells: tuple[str, ...], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"
