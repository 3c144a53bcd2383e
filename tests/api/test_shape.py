"""The facts about empty fields name fields that exist, and each field once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kybern.api import schema, shape

SETS = {name: getattr(shape, name) for name in shape.__all__}


def definitions(fact: str) -> Iterator[tuple[str, set[str]]]:
    """The definitions that a fact may mean, with their fields."""
    group, _, name = fact.rpartition("/")
    version, _, rest = name.partition(".") if group else ("", "", name)
    definition = rest.split(".")[0]
    for full in schema.names():
        parts = full.split(".")
        if parts[-1] == definition and (not group or parts[-3:-1] == [group, version]):
            yield full, set(schema.definition(full).fields)


@pytest.mark.parametrize("name", list(SETS))
def test_every_fact_is_about_a_field_of_the_schema(name):
    for fact in SETS[name]:
        field = fact.split("/")[-1].split(".", 2 if "/" in fact else 1)[-1]
        assert any(field in fields for _, fields in definitions(fact)), fact


def test_no_field_is_both_held_by_value_and_a_pointer():
    assert not shape.VALUE_STRUCTS & shape.POINTER_STRUCTS
    assert not shape.VALUE_STRUCTS & shape.POINTERS
