"""Bodies made of the request's own JSON Schema: those it allows, and those with one mistake."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from jsonschema import Draft202012Validator

CANARY = "KANARIE4711"
_JUNK = [CANARY, [CANARY], {CANARY: CANARY}, True, "", [], {}, -1e308, 1e308, 10**400]
_COLUMNS = 6


def allowed_by(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return what a schema allows, as far as the request's uses JSON Schema."""
    if "anyOf" in schema:
        return st.one_of([allowed_by(each) for each in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case [kind, "null"]:
            return st.none() | allowed_by({**schema, "type": kind})
        case "null":
            return st.none()
        case "number":
            low, high = schema["minimum"], schema["maximum"]
            return st.floats(low, high) | st.sampled_from([low, high])
        case "string":
            return st.from_regex(schema["pattern"], fullmatch=True)
        case "array":
            sizes = {"min_size": schema.get("minItems", 0), "max_size": min(3, schema["maxItems"])}
            return st.lists(allowed_by(schema["items"]), **sizes)
        case _:
            return _objects(schema)


@st.composite
def _objects(draw: Any, schema: dict[str, Any]) -> dict[str, Any]:
    known, required = schema["properties"], schema.get("required", [])
    more = [each for each in known if each not in required]
    some = st.lists(st.sampled_from(more), unique=True, max_size=_COLUMNS) if more else st.just([])
    return {name: draw(allowed_by(known[name])) for name in [*required, *draw(some)]}


@st.composite
def right(draw: Any, schema: dict[str, Any]) -> dict[str, Any]:
    """Return a body that must be answered: allowed, in order, and nothing twice."""
    body = draw(allowed_by(schema))
    record = schema["properties"]["inputs"]["items"]["properties"]
    days = [each["properties"]["day"] for each in record["visits"]["items"]["anyOf"]]
    for each in body["inputs"]:
        found = {}
        for visit in each.get("visits", []):
            own = [day["minimum"] <= visit["day"] <= day["maximum"] for day in days]
            found[own.index(True)] = visit
        each["visits"] = [found[place] for place in sorted(found)]
    body["inputs"] = list({each["patient_id"]: each for each in body["inputs"]}.values())
    return body


@st.composite
def wrong(draw: Any, schema: dict[str, Any]) -> dict[str, Any]:
    """Return such a body with one mistake, wherever it falls."""
    body, dice = draw(right(schema)), random.Random(draw(st.integers(0, 2**32)))
    while True:
        spoilt, junk = copy.deepcopy(body), copy.deepcopy(dice.choice(_JUNK))
        holder, key = dice.choice(list(_places(spoilt)))
        if isinstance(holder[key], dict) and dice.random() < 0.5:
            holder[key][CANARY] = junk
        else:
            holder[key] = junk
        if not Draft202012Validator(schema).is_valid(spoilt):
            return spoilt


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in pairs:
        yield value, key
        if isinstance(each, dict | list):
            yield from _places(each)
