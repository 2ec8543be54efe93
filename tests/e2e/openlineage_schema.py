"""Validates OpenLineage events against the official schemas: the folder ``spec`` of OpenLineage's repository.

The folder is named by ``CONNECTIF_OPENLINEAGE_SPEC``; no package has it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = os.environ.get("CONNECTIF_OPENLINEAGE_SPEC", "")


def faults_of(event: Any) -> list[str]:
    """Everything that the schemas of the event, and of each facet in it, do not allow."""
    from jsonschema import Draft202012Validator, FormatChecker
    from referencing import Registry, Resource

    paths = [Path(FOLDER) / "OpenLineage.json", *sorted((Path(FOLDER) / "facets").glob("*.json"))]
    schemas = [json.loads(path.read_text("utf-8")) for path in paths]
    registry: Any = Registry().with_resources((schema["$id"], Resource.from_contents(schema)) for schema in schemas)
    by_name = {schema["$id"].rpartition("/")[2]: schema["$id"] for schema in schemas}

    def faults(schema: str, value: Any) -> list[str]:
        validator = Draft202012Validator({"$ref": schema}, registry=registry, format_checker=FormatChecker())
        return [f"{schema}: {list(fault.path)} {fault.message}" for fault in validator.iter_errors(value)]

    found = faults(schemas[0]["$id"], event)
    for facet in _facets(event):
        # A producer may name an older version of a schema, which the newest one is compatible with.
        url, _, part = facet["_schemaURL"].partition("#")
        known = by_name.get(url.rpartition("/")[2])
        found += [f"unknown schema {facet['_schemaURL']}"] if known is None else faults(f"{known}#{part}", facet)
    return found


def _facets(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        if {"_schemaURL", "_producer"} <= value.keys():
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _facets(part)
