"""Names, labels, annotations and object metadata: which are good, and what is said of the others."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import registry
from kybern.api.field import Errors, Path
from kybern.api.meta import ObjectMeta, OwnerReference
from kybern.api.validation import labels, metadata, names
from tests.api.judge import texts

CONFIG_MAP = registry.builtin().kind("", "v1", "ConfigMap")
CRD = registry.builtin().kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
NODE = registry.builtin().kind("", "v1", "Node")
P = Path("here")


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (names.dns1123_label, ["a", "0", "a-b", "a" * 63], ["", "A", "-a", "a-", "a.b", "a" * 64, "ä"]),
        (names.dns1123_subdomain, ["a", "a.b", "0-1.x", "a" * 253], ["", "a..b", ".a", "a_b", "a" * 254]),
        (names.dns1035_label, ["a", "a-1"], ["", "1a", "a.", "A"]),
        (names.qualified_name, ["a", "A_b.c", "x.io/a"], ["", "/a", "x/", "a/b/c", "X!/a", "a" * 64, "-a"]),
        (names.label_value, ["", "a", "A_b.c", "1"], ["-", "a b", "a" * 64, "_a"]),
        (names.config_map_key, ["a", ".a", "A-b_c.d"], ["", ".", "..", "..a", "a b", "a" * 254]),
        (names.c_identifier, ["a", "_1", "aB"], ["", "1a", "a-b"]),
        (names.wildcard_subdomain, ["*.a", "*.a.b"], ["*", "a", "*.*.a", "*a.b"]),
        (names.http_header_name, ["X-Y", "a"], ["", "a b", "ä"]),
        (names.path_segment, ["a", "a.b", "A B"], [".", "..", "a/b", "a%b"]),
    ],
)
def test_names_follow_their_rule(rule: Any, good: list[str], bad: list[str]) -> None:
    assert [name for name in good if rule(name)] == []
    assert [name for name in bad if not rule(name)] == []


def test_a_dotted_label_is_told_about_its_dots_only() -> None:
    assert names.dns1123_label("a.b") == ["must not contain dots"]


def test_each_fault_of_a_name_is_named() -> None:
    assert names.dns1123_label("A" * 64) == ["must be no more than 63 characters", names.LABEL_TEXT]
    assert names.qualified_name("/") == [
        "prefix part must be non-empty",
        "name part must be non-empty",
        f"name part {names.QUALIFIED_TEXT}",
    ]


def test_a_prefix_for_generated_names_may_end_with_a_dash() -> None:
    assert names.name_dns_label("web-", True) == []
    assert names.name_dns_label("web-", False) == [names.LABEL_TEXT]


def test_webhook_names_have_three_parts() -> None:
    errors = Errors()
    for name in ("a.b.c", "a.b", "", "A.b.c"):
        names.fully_qualified_name(errors, P, name)
    assert texts(errors) == [
        'here: Invalid value: "a.b": should be a domain with at least three segments separated by dots',
        "here: Required value",
        f'here: Invalid value: "A.b.c": {names.SUBDOMAIN_TEXT}',
    ]


def test_label_errors_stand_at_the_map() -> None:
    errors = Errors()
    labels.validate_labels(errors, P, {"a b": "c d"})
    assert texts(errors) == [
        f'here: Invalid value: "a b": name part {names.QUALIFIED_TEXT}',
        f'here: Invalid value: "c d": {names.LABEL_VALUE_TEXT}',
    ]


def test_annotations_are_limited_in_total_and_free_in_case() -> None:
    errors = Errors()
    labels.validate_annotations(errors, P, {"Mixed.Case/Key": "x" * 100})
    assert errors == []
    labels.validate_annotations(errors, P, {"a": "x" * (256 * 1024), "b": ""})
    assert texts(errors) == ["here: Too long: may not be more than 262144 bytes"]


def complaints_about(kind: Any = CONFIG_MAP, **fields: Any) -> list[str]:
    errors = Errors()
    metadata.validate_object_meta(ObjectMeta(**({"name": "a", "namespace": "d"} | fields)), kind, errors)
    return texts(errors)


def owner(**fields: Any) -> OwnerReference:
    return OwnerReference(**({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"} | fields))


def test_good_metadata_draws_no_complaint() -> None:
    assert complaints_about(labels={"a": "b"}, finalizers=["x.io/f", "orphan"], ownerReferences=[owner()]) == []


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"name": None}, "metadata.name: Required value: name or generateName is required"),
        ({"namespace": None}, "metadata.namespace: Required value"),
        ({"generation": -1}, "metadata.generation: Invalid value: -1: must be greater than or equal to 0"),
        (
            {"finalizers": ["mine"]},
            'metadata.finalizers[0]: Invalid value: "mine": name is neither a standard finalizer name nor is it '
            "fully qualified",
        ),
        (
            {"finalizers": ["orphan", "foregroundDeletion"]},
            'metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer orphan and '
            "foregroundDeletion cannot be both set",
        ),
        (
            {"ownerReferences": [owner(apiVersion="")]},
            'metadata.ownerReferences.apiVersion: Invalid value: "": version must not be empty',
        ),
        (
            {"ownerReferences": [owner(uid="")]},
            'metadata.ownerReferences.uid: Invalid value: "": must not be empty',
        ),
        (
            {"ownerReferences": [owner(kind="Event")]},
            'metadata.ownerReferences: Invalid value: {"apiVersion":"v1","kind":"Event","name":"p","uid":"u"}: '
            "/v1, Kind=Event is disallowed from being an owner",
        ),
    ],
)
def test_metadata_is_refused_with_a_reason(fields: dict[str, Any], complaint: str) -> None:
    assert complaints_about(**fields) == [complaint]


def test_only_one_owner_is_the_controller() -> None:
    owners = [owner(controller=True), owner(name="q", uid="w", controller=True)]
    [complaint] = complaints_about(ownerReferences=owners)
    assert 'Found "true" in references for Pod/p and Pod/q' in complaint


def test_cluster_wide_objects_have_no_namespace() -> None:
    assert complaints_about(NODE) == ["metadata.namespace: Forbidden: not allowed on this type"]


def test_definitions_may_have_plain_finalizers() -> None:
    assert complaints_about(CRD, name="a", namespace=None, finalizers=["mine"]) == []


def update_complaints(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    before = {"name": "a", "namespace": "d", "uid": "u", "resourceVersion": "5", "generation": 2} | old
    errors = Errors()
    metadata.validate_object_meta_update(ObjectMeta(**(before | new)), ObjectMeta(**before), errors, CONFIG_MAP)
    return texts(errors)


@pytest.mark.parametrize(
    ("new", "complaint"),
    [
        ({"resourceVersion": None}, 'metadata.resourceVersion: Invalid value: "": must be specified for an update'),
        ({"generation": 1}, "metadata.generation: Invalid value: 1: must not be decremented"),
        ({"name": "b"}, 'metadata.name: Invalid value: "b": field is immutable'),
        ({"uid": "w"}, 'metadata.uid: Invalid value: "w": field is immutable'),
    ],
)
def test_an_update_keeps_what_the_server_owns(new: dict[str, Any], complaint: str) -> None:
    assert update_complaints({}, new) == [complaint]


def test_a_dying_object_gets_no_new_finalizers() -> None:
    dying = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x.io/a"]}
    assert update_complaints(dying, {"finalizers": []}) == []
    [complaint] = update_complaints(dying, {"finalizers": ["x.io/a", "x.io/b"]})
    assert complaint.endswith('found new finalizers []string{"x.io/b"}')
