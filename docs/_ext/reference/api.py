"""Every route of the search service, from its own OpenAPI document."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from reference.markdown import code, paragraphs, table, text
from visnet.serving.app.server import application
from visnet.serving.app.settings import Settings

INTRODUCTION = """# HTTP API

What `python -m visnet serve` answers; a running service gives the same as `/v1/openapi.json`. What cannot be
answered is a problem document (RFC 9457, `application/problem+json`, [Problem](#problem)) that says what is
allowed.
"""
METHODS = ("get", "post", "put", "patch", "delete")
FIELDS = ("field", "value", "default", "what it is")


def page() -> str:
    """Return the page of routes, tag by tag, and of what they answer with."""
    document = application(Settings()).openapi()
    schemas = document["components"]["schemas"]
    by_tag: dict[str, list[str]] = {}
    for method, path, route in routes(document):
        by_tag.setdefault(route["tags"][0], []).append(_told(method, path, route, schemas))
    parts = [INTRODUCTION]
    for tag, told in by_tag.items():
        parts += [f"## Routes: {tag}\n", *told]
    parts.append("## What is answered\n")
    for name, schema in sorted(schemas.items()):
        if not name.startswith("Body_"):
            parts.append(f"### {name}\n\n{paragraphs(schema.get('description', ''))}\n\n{_fields(schema)}")
    return "\n".join(parts)


def routes(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Give method, path and operation of every route."""
    for path, operations in document["paths"].items():
        for method, route in operations.items():
            if method in METHODS:
                yield method.upper(), path, route


def _told(method: str, path: str, route: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    parts = [f"### `{method} {path}`\n", f"{paragraphs(route.get('description', ''))}\n"]
    rows = []
    for one in route.get("parameters", ()):
        value, default = _said(one["schema"])
        said = one.get("description", "")
        rows.append((code(one["name"]), one["in"], value, "needed" if one["required"] else default, text(said)))
    parts.append(table(("parameter", "in", *FIELDS[1:]), rows))
    for media, body in route.get("requestBody", {}).get("content", {}).items():
        schema = body["schema"]
        named = schema.get("$ref", "").rpartition("/")[2]
        parts.append(f"Body, `{media}`{'' if named.startswith('Body_') else ': ' + _type(schema)}:\n")
        parts.append(_fields(schemas[named] if named.startswith("Body_") else schema))
    good, bad = [], []
    for status, answer in route["responses"].items():
        content = {media: told.get("schema", {}) for media, told in answer.get("content", {}).items()}
        if "application/problem+json" in content:
            bad.append(code(status))
            continue
        kinds = [f"`{media}`" + (f": {_type(schema)}" if schema else "") for media, schema in content.items()]
        good.append(f"{code(status)} {text(answer['description'])}" + (f" ({', '.join(kinds)})" if kinds else ""))
    parts.append(f"Answers: {'; '.join(good)}. Problems: {', '.join(bad) or 'none'}.\n")
    return "\n".join(parts)


def _fields(schema: Mapping[str, Any]) -> str:
    needed = schema.get("required", ())
    rows = []
    for name, one in schema.get("properties", {}).items():
        value, default = _said(one)
        rows.append((code(name), value, "needed" if name in needed else default, text(one.get("description", ""))))
    return table(FIELDS, rows)


def _said(schema: Mapping[str, Any]) -> tuple[str, str]:
    """Say a schema's type with its bounds, and its default."""
    default = code(json.dumps(schema["default"])) if schema.get("default") not in (None, [], "") else ""
    words = {"minimum": "at least", "maximum": "at most", "exclusiveMinimum": "above", "exclusiveMaximum": "below"}
    limits = [f"{word} {schema[key]:,g}" for key, word in words.items() if key in schema]
    counts = {"maxLength": "at most {:,} characters", "minItems": "at least {:,}", "maxItems": "at most {:,} of them"}
    limits += [word.format(schema[key]) for key, word in counts.items() if key in schema]
    return ", ".join([_type(schema), *limits]), default


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for some in ("anyOf", "oneOf"):
        if some in schema:
            return " or ".join(dict.fromkeys(_type(one) for one in schema[some]))
    if "enum" in schema or "const" in schema:
        return " or ".join(code(choice) for choice in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and schema.get("additionalProperties"):
        inner = schema["additionalProperties"]
        return f"object of {_type(inner)}" if isinstance(inner, dict) else "object"
    is_file = schema.get("format") == "binary" or "contentMediaType" in schema
    return (
        "file" if is_file else {"string": "text", "integer": "whole number", "boolean": "true or false"}.get(kind, kind)
    )
