"""The three patch formats, as tables: target, patch, result."""

from __future__ import annotations

import re
from typing import Any

import pytest

from kybern.api.errors import StatusError
from kybern.api.patch import apply_json_patch, apply_merge_patch, apply_strategic_patch
from kybern.apiserver.patching import SchemaFields

POD_SPEC = SchemaFields("io.k8s.api.core.v1.PodSpec")


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ],
)
def test_merge_patch_follows_rfc_7386(target: Any, patch: Any, result: Any) -> None:
    assert apply_merge_patch(target, patch) == result


def test_json_patch_applies_operations_in_order() -> None:
    operations = [
        {"op": "test", "path": "/a", "value": 1},
        {"op": "add", "path": "/list/-", "value": 3},
        {"op": "move", "from": "/a", "path": "/b"},
        {"op": "replace", "path": "/list/0", "value": 9},
    ]
    assert apply_json_patch({"a": 1, "list": [1, 2]}, operations) == {"b": 1, "list": [9, 2, 3]}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": 2},
        {"op": "remove", "path": "/nothing"},
        {"op": "replace", "path": "/nothing", "value": 1},
        {"op": "frobnicate", "path": "/a"},
        {"op": "add", "path": "no-slash", "value": 1},
        {"op": "add", "path": "/a/b/c", "value": 1},
        {"op": "move", "path": "/a"},
        {"op": "add", "path": "/a"},
        None,
    ],
)
def test_json_patch_that_does_not_fit_is_unprocessable(operation: Any) -> None:
    with pytest.raises(StatusError) as refused:
        apply_json_patch({"a": 1}, [operation])
    assert refused.value.code == 422
    assert refused.value.message == "the server rejected our request due to an error in our request"


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ("text", "json: cannot unmarshal string into Go value of type handlers.jsonPatchOp"),
        (
            {"op": "add", "path": 7},
            "json: cannot unmarshal number into Go struct field jsonPatchOp.path of type string",
        ),
    ],
)
def test_a_json_patch_of_something_else_is_a_bad_request(operation: Any, words: str) -> None:
    with pytest.raises(StatusError, match=words) as refused:
        apply_json_patch({"a": 1}, [operation])
    assert refused.value.code == 400


def test_json_patch_must_be_a_list_of_limited_length() -> None:
    with pytest.raises(StatusError, match="cannot unmarshal object into Go value") as refused:
        apply_json_patch({}, {"op": "add"})
    assert refused.value.code == 400
    with pytest.raises(StatusError, match="10000, got 10001") as refused:
        apply_json_patch({}, [{"op": "test", "path": ""}] * 10_001)
    assert refused.value.code == 413


def test_copies_of_copies_are_stopped_before_they_fill_the_memory() -> None:
    doubling = [
        {"op": "copy", "from": "/data", "path": "/data/x"},
        {"op": "copy", "from": "/data", "path": "/data/y"},
    ] * 40
    with pytest.raises(StatusError, match="the accumulated size increase of copy is") as refused:
        apply_json_patch({"data": {"a": "x" * 1000}}, doubling)
    assert refused.value.code == 413
    assert apply_json_patch({"a": 1}, [{"op": "copy", "from": "/a", "path": "/b"}]) == {"a": 1, "b": 1}


def containers(*names: str, **image: str) -> list[dict[str, str]]:
    return [{"name": n, "image": image.get(n, "i")} for n in names]


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        pytest.param(
            {"containers": containers("a", "b")},
            {"containers": [{"name": "b", "image": "new"}]},
            {"containers": containers("a", "b", b="new")},
            id="items meet by their merge key",
        ),
        pytest.param(
            {"containers": containers("a")},
            {"containers": [{"name": "b", "image": "i"}]},
            {"containers": containers("a", "b")},
            id="a new key is appended",
        ),
        pytest.param(
            {"containers": containers("a", "b")},
            {"containers": [{"name": "a", "$patch": "delete"}]},
            {"containers": containers("b")},
            id="an item is deleted",
        ),
        pytest.param(
            {"containers": containers("a", "b")},
            {"containers": [{"$patch": "replace"}, {"name": "c", "image": "i"}]},
            {"containers": containers("c")},
            id="the list is replaced",
        ),
        pytest.param(
            {"containers": containers("a", "b", "c")},
            {
                "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
                "containers": [{"name": "a", "image": "n"}],
            },
            {"containers": [*containers("b"), *containers("c"), *containers("a", a="n")]},
            id="named items come in the wanted order, others keep their place",
        ),
        pytest.param(
            {"nodeSelector": {"a": "1", "b": "2"}},
            {"nodeSelector": {"$patch": "replace", "c": "3"}},
            {"nodeSelector": {"c": "3"}},
            id="a map is replaced",
        ),
        pytest.param(
            {"nodeSelector": {"a": "1"}, "hostname": "h"},
            {"nodeSelector": None, "hostname": None},
            {},
            id="null deletes",
        ),
        pytest.param(
            {"tolerations": [{"key": "a"}]},
            {"tolerations": [{"key": "b"}]},
            {"tolerations": [{"key": "b"}]},
            id="a list without a merge key is replaced",
        ),
        pytest.param(
            {"volumes": [{"name": "v", "emptyDir": {}}]},
            {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]},
            {"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]},
            id="retainKeys drops the other kinds of volume",
        ),
        pytest.param(
            {"containers": [{"name": "a", "env": [{"name": "X", "value": "1"}], "ports": [{"containerPort": 80}]}]},
            {"containers": [{"name": "a", "env": [{"name": "Y", "value": "2"}], "ports": [{"containerPort": 81}]}]},
            {
                "containers": [
                    {
                        "name": "a",
                        "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}],
                        "ports": [{"containerPort": 80}, {"containerPort": 81}],
                    }
                ]
            },
            id="lists within items merge as well",
        ),
    ],
)
def test_strategic_merge_patch(target: Any, patch: Any, result: Any) -> None:
    assert apply_strategic_patch(target, patch, POD_SPEC) == result


def test_primitive_lists_merge_and_lose_items_by_directive() -> None:
    metadata = SchemaFields("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
    target = {"finalizers": ["a/x", "b/x"]}
    patch = {"$deleteFromPrimitiveList/finalizers": ["a/x"], "finalizers": ["c/x", "b/x"]}
    assert apply_strategic_patch(target, patch, metadata) == {"finalizers": ["b/x", "c/x"]}


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        ({"containers": [{"image": "x"}]}, "map: map[image:x] does not contain declared merge key: name"),
        ({"nodeSelector": {"$patch": "wrong"}}, "unknown patch type: wrong in map: map[$patch:wrong]"),
        ({"volumes": [{"name": "v", "$retainKeys": ["name"], "hostPath": {}}]}, "invalid patch format of retainKeys"),
        ({"volumes": [{"name": "v", "$retainKeys": "name"}]}, "invalid patch format of retainKeys"),
        ({"containers": ["text"]}, "list element types are not identical: [[map[image:i name:a]] [text]]"),
        ({"$setElementOrder/containers": "a"}, "invalid patch format of setElementOrder list"),
        (
            {"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "a"}]},
            "The order in patch list:\n[map[name:a]]\n doesn't match $setElementOrder list:\n[map[name:b]]",
        ),
        ([1], "json: cannot unmarshal array into Go value of type map[string]interface {}"),
    ],
)
def test_strategic_patch_that_is_wrong_is_a_bad_request(patch: Any, words: str) -> None:
    target = {"containers": containers("a"), "volumes": [{"name": "v"}], "nodeSelector": {}}
    with pytest.raises(StatusError, match=re.escape(words)) as refused:
        apply_strategic_patch(target, patch, POD_SPEC)
    assert refused.value.code == 400


def test_long_lists_do_not_cost_the_square_of_their_length() -> None:
    """With a scan per item each of these would take minutes."""
    many = 30_000
    target = {"containers": [{"name": f"c{i}", "image": "i"} for i in range(many)]}
    patch = {
        "containers": [{"name": f"c{i}", "image": "j"} for i in reversed(range(many))],
        "$setElementOrder/containers": [{"name": f"c{i}"} for i in reversed(range(many))],
    }
    changed = apply_strategic_patch(target, patch, POD_SPEC)["containers"]
    assert (len(changed), changed[0]) == (many, {"name": f"c{many - 1}", "image": "j"})
    metadata = SchemaFields("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
    names = [f"a/{i}" for i in range(many)]
    assert apply_strategic_patch({"finalizers": list(names)}, {"finalizers": names}, metadata) == {"finalizers": names}


def test_values_that_look_alike_are_told_apart() -> None:
    metadata = SchemaFields("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
    assert apply_strategic_patch({"finalizers": [1]}, {"finalizers": [True, 1, "1"]}, metadata) == {
        "finalizers": [1, True, "1"]
    }
