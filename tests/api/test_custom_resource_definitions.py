"""CustomResourceDefinition: names, versions, schemas, rules in CEL, and the values that schemas allow."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import registry
from kybern.api.apiextensions.values import validate_value
from kybern.api.field import Errors, Path
from kybern.api.kind import Kind
from tests.api.judge import ABSENT, changed, complaints, created, shown, stored, texts, update


def _kind() -> Kind:
    found = registry.builtin().kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
    assert found is not None
    return found


KIND = _kind()
TAG = {"type": "object", "properties": {"name": {"type": "string"}}}
SPEC = {
    "type": "object",
    "properties": {"pages": {"type": "integer", "minimum": 1}, "tags": {"type": "array", "items": TAG}},
}
BOOKS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "books.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "books", "kind": "Book"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC}}},
            }
        ],
    },
}
SECOND = {"name": "v2", "served": True, "storage": False, "schema": {"openAPIV3Schema": {"type": "object"}}}
VERSION, ROOT = "spec.versions.0", "spec.versions.0.schema.openAPIV3Schema"
FIELDS = f"{ROOT}.properties.spec.properties"
AT = "spec.validation.openAPIV3Schema"
IN_SPEC = f"{AT}.properties[spec]"
LIST, KEYS = f"{FIELDS}.tags.x-kubernetes-list-type", f"{FIELDS}.tags.x-kubernetes-list-map-keys"


def test_other_names_follow_the_kind() -> None:
    made = shown(created(KIND, BOOKS))
    assert made["spec"]["names"] == {"plural": "books", "singular": "book", "kind": "Book", "listKind": "BookList"}
    assert made["spec"]["conversion"] == {"strategy": "None"}
    assert made["status"]["storedVersions"] == ["v1"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            {"metadata.name": "book.example.com"},
            'metadata.name: Invalid value: "book.example.com": must be spec.names.pl',
        ),
        ({"spec.scope": "Village"}, 'spec.scope: Unsupported value: "Village": supported values: "Cluster", "Namespac'),
        ({"spec.names.kind": "book club"}, 'spec.names.kind: Invalid value: "book club": may have mixed case, but'),
        ({"spec.names.shortNames": ["B"]}, 'spec.names.shortNames[0]: Invalid value: "B": a DNS-1035 label'),
        ({f"{VERSION}.schema": ABSENT}, "spec.versions[0].schema.openAPIV3Schema: Required value"),
        ({f"{VERSION}.storage": False}, "status.storedVersions: Invalid value: null: must have at least one stored"),
        (
            {"spec.versions.1": {**SECOND, "storage": True}},
            'status.storedVersions: Invalid value: ["v1"]: must have the storage version v2',
        ),
        ({"spec.versions.1": {**SECOND, "name": "v1"}}, "spec.versions: Invalid value"),
        (
            {f"{VERSION}.subresources": {"scale": {"specReplicasPath": ".spec.a", "statusReplicasPath": ".spec.a"}}},
            'spec.subresources.scale.statusReplicasPath: Invalid value: ".spec.a": should be a json path under .status',
        ),
        (
            {f"{VERSION}.additionalPrinterColumns": [{"name": "P", "type": "integer", "jsonPath": "pages"}]},
            'spec.additionalPrinterColumns[0].JSONPath: Invalid value: "pages": must be a simple json path',
        ),
        (
            {f"{VERSION}.selectableFields": [{"jsonPath": ".spec.tags"}]},
            'spec.selectableFields[0].jsonPath: Invalid value: ".spec.tags": must point to a field of type string',
        ),
        (
            {f"{VERSION}.selectableFields": [{"jsonPath": ".spec.none"}]},
            'spec.selectableFields[0].jsonPath: Invalid value: ".spec.none": is an invalid path: does not refer to',
        ),
        (
            {"spec.conversion": {"strategy": "Webhook"}},
            "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
        ),
        ({"spec.preserveUnknownFields": True}, "spec.preserveUnknownFields: Invalid value: true: cannot set to true"),
        (
            {"spec.group": "books.k8s.io", "metadata.name": "books.books.k8s.io"},
            "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval",
        ),
    ],
)
def test_rules(change: dict[str, Any], complaint: str) -> None:
    assert complaints(KIND, BOOKS) == []
    found = complaints(KIND, changed(BOOKS, change))
    assert any(c.startswith(complaint) for c in found), found


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            {f"{ROOT}.type": "array"},
            [
                f"{AT}.items: Required value: must be specified",
                f'{AT}.type: Invalid value: "array": must be object at the root',
            ],
        ),
        (
            {f"{FIELDS}.pages.type": ABSENT},
            [f"{IN_SPEC}.properties[pages].type: Required value: must not be empty for specified object fields"],
        ),
        ({f"{FIELDS}.tags.items": ABSENT}, [f"{IN_SPEC}.properties[tags].items: Required value: must be specified"]),
        ({f"{FIELDS}.pages.default": 5}, []),
        (
            {f"{FIELDS}.pages.default": 0},
            [
                f"{IN_SPEC}.properties[pages].default: Invalid value: 0:  in body should be greater than or equal to 1",
            ],
        ),
        (
            {f"{FIELDS}.pages.default": "x"},
            [
                f'{IN_SPEC}.properties[pages].default: Invalid value: "string":  in body must be of type integer: '
                '"string"'
            ],
        ),
        (
            {LIST: "map"},
            [
                f"{IN_SPEC}.properties[tags].x-kubernetes-list-map-keys: Required value: must not be empty if "
                "x-kubernetes-list-type is map"
            ],
        ),
        (
            {LIST: "map", KEYS: ["name"]},
            [
                f"{IN_SPEC}.properties[tags].items.properties[name].default: Required value: this property is in "
                "x-kubernetes-list-map-keys, so it must have a default or be a required property"
            ],
        ),
        ({LIST: "map", KEYS: ["name"], f"{FIELDS}.tags.items.required": ["name"]}, []),
        (
            {LIST: "set"},
            [
                f"{IN_SPEC}.properties[tags].items.x-kubernetes-map-type: Invalid value: null: must be atomic as item "
                "of a list with x-kubernetes-list-type=set"
            ],
        ),
        ({f"{ROOT}.properties.spec.anyOf": [{"properties": {"pages": {"minimum": 2}}}]}, []),
        (
            {f"{ROOT}.properties.spec.anyOf": [{"properties": {"pages": {"type": "integer"}}}]},
            [f"{IN_SPEC}.anyOf[0].properties[pages].type: Forbidden: must be empty to be structural"],
        ),
        (
            {f"{ROOT}.properties.metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}},
            [
                f"{AT}.properties[metadata]: Forbidden: must not specify anything other than name and generateName, "
                "but metadata is implicitly specified"
            ],
        ),
        (
            {f"{ROOT}.x-kubernetes-preserve-unknown-fields": False},
            [f"{AT}.x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined"],
        ),
        (
            {f"{ROOT}.properties.spec.additionalProperties": {"type": "string"}},
            [f"{IN_SPEC}.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"],
        ),
    ],
)
def test_schemas(change: dict[str, Any], found: list[str]) -> None:
    assert complaints(KIND, changed(BOOKS, change)) == found


@pytest.mark.parametrize(
    ("place", "rule", "fault"),
    [
        ("properties.pages", "self > 0", ""),
        ("properties.pages", "self", "must evaluate to bool"),
        ("properties.pages", "self.a > 0", "expression of type 'int' cannot be the operand of a select operation"),
        ("", "self.pages > 0", ""),
        ("", "has(self.pages) && self.pages > size(self.tags)", ""),
        ("", "self.sheets > 0", "undefined field 'sheets'"),
        ("", "oldSelf.pages <= self.pages", ""),
        ("", "self.pages >", "compilation failed"),
    ],
)
def test_rules_in_cel(place: str, rule: str, fault: str) -> None:
    at = ".".join(part for part in (ROOT, "properties.spec", place, "x-kubernetes-validations") if part)
    found = complaints(KIND, changed(BOOKS, {at: [{"rule": rule}]}))
    assert found == [] if not fault else len(found) == 1 and fault in found[0], found


def test_differing_versions_are_named_in_complaints() -> None:
    broken = changed(BOOKS, {"spec.versions.1": SECOND, f"{FIELDS}.pages.type": ABSENT})
    assert [c.split(":")[0] for c in complaints(KIND, broken)] == [
        "spec.versions[0].schema.openAPIV3Schema.properties[spec].properties[pages].type"
    ]


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"spec.names.shortNames": ["bk"]}, []),
        ({"spec.scope": "Cluster"}, ["spec.scope"]),
        ({"spec.names.kind": "Tome"}, ["spec.names.kind"]),
        ({"spec.group": "example.org"}, ["metadata.name", "spec.group"]),
    ],
)
def test_what_may_change_once_established(change: dict[str, Any], fields: list[str]) -> None:
    established = {"status.conditions": [{"type": "Established", "status": "True"}]}
    old = update(KIND, stored(KIND, BOOKS), established, "status")[0]
    assert [c.split(":")[0] for c in update(KIND, old, change)[1]] == fields


def test_a_version_that_was_stored_stays() -> None:
    two = changed(BOOKS, {"spec.versions.1": {**SECOND, "storage": True}, f"{VERSION}.storage": False})
    old = stored(KIND, BOOKS)
    moved, found = update(KIND, old, two)
    assert (moved.status.storedVersions, found) == (["v1", "v2"], [])
    found = update(KIND, moved, {"spec.versions": [two["spec"]["versions"][1]]})[1]
    assert [c.split(":")[0] for c in found] == ["status.storedVersions[0]"]
    migrated = update(KIND, moved, {"status.storedVersions": ["v2"]}, "status")[0]
    assert update(KIND, migrated, {"spec.versions": [two["spec"]["versions"][1]]})[1] == []


def test_only_a_new_spec_counts() -> None:
    old = stored(KIND, BOOKS)
    assert KIND.spec_changed is not None
    assert not KIND.spec_changed(update(KIND, old, {"metadata.labels": {"a": "b"}})[0], old)
    assert KIND.spec_changed(update(KIND, old, {f"{FIELDS}.pages.minimum": 2})[0], old)


@pytest.mark.parametrize(
    ("schema", "value", "found"),
    [
        (SPEC, {"pages": 1}, []),
        (SPEC, {"pages": 0}, ["x.pages: Invalid value: 0: pages in body should be greater than or equal to 1"]),
        (SPEC, {"pages": "a"}, ['x.pages: Invalid value: "string": pages in body must be of type integer: "string"']),
        ({**SPEC, "required": ["pages"]}, {}, ["x.pages: Required value"]),
        ({"type": "string", "enum": ["a", "b"]}, "c", ['x: Unsupported value: "c": supported values: "a", "b"']),
        ({"type": "string", "maxLength": 2}, "abc", ["x: Too long: may not be more than 2 bytes"]),
        ({"type": "array", "items": {"type": "integer"}, "maxItems": 1}, [1, 2], ["x: Too many: 2: must have at most"]),
        ({"type": "array", "items": {"type": "integer"}}, [1, 2], []),
        ({"x-kubernetes-int-or-string": True}, "80%", []),
        ({"x-kubernetes-int-or-string": True}, True, ["x: Invalid value"]),
        ({"type": "string", "nullable": True}, None, []),
        ({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"a": 1, "b": 2}, ["x: Invalid value"]),
    ],
)
def test_values_fit_their_schema(schema: dict[str, Any], value: Any, found: list[str]) -> None:
    errors = Errors()
    validate_value(schema, value, errors, Path("x"))
    got = texts(errors)
    assert len(got) == len(found) and all(g.startswith(f) for g, f in zip(got, found, strict=True)), got
