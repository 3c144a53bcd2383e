"""Objects: every definition of the API is a Struct that decodes, normalizes and encodes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kybern.api import registry, schema, types
from kybern.api.apps import Deployment
from kybern.api.coordination import Lease
from kybern.api.core import Container, Pod, PodSpec, Secret
from kybern.api.meta import ObjectMeta
from kybern.api.networking import NetworkPolicyIngressRule


@pytest.mark.parametrize("name", schema.names())
def test_an_empty_object_of_every_definition_survives_a_round_trip(name):
    cls = types.struct_for(name)
    empty = types.decode(cls, b"{}")
    again = types.decode(cls, types.encode(empty))
    assert again == empty
    assert types.encode(again) == types.encode(empty)


def test_every_served_kind_has_a_struct():
    for kind in registry.builtin():
        assert kind.struct is types.struct(kind.group, kind.version, kind.kind) or kind.definition


def test_fields_have_their_json_names():
    pod = Pod(metadata=ObjectMeta(name="a"), spec=PodSpec(nodeName="n", containers=[Container(name="c", image="i")]))
    assert types.encode(pod) == (
        b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"},'
        b'"spec":{"containers":[{"image":"i","name":"c","resources":{}}],"nodeName":"n"},"status":{}}'
    )


def test_names_that_python_reserves_get_an_underscore():
    assert types.to_plain(NetworkPolicyIngressRule(from_=[])) == {"from": []}


def test_zero_values_of_what_go_holds_by_value_are_dropped():
    pod = types.from_plain(Pod, {"spec": {"hostNetwork": False, "nodeName": "", "containers": [], "nodeSelector": {}}})
    assert pod.spec.hostNetwork is None
    assert types.to_plain(pod)["spec"] == {"containers": None}


def test_zero_values_of_pointers_are_kept():
    deployment = types.from_plain(Deployment, {"spec": {"replicas": 0}})
    assert deployment.spec.replicas == 0
    assert types.to_plain(deployment)["spec"]["replicas"] == 0


def test_quantities_and_times_become_canonical():
    pod = types.from_plain(
        Pod,
        {
            "metadata": {"creationTimestamp": "2026-01-01T02:00:00.5+01:00"},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "0.5", "memory": 1024}}}]},
        },
    )
    assert pod.metadata.creationTimestamp == "2026-01-01T01:00:00Z"
    assert pod.spec.containers[0].resources.requests == {"cpu": "500m", "memory": "1024"}


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2026-01-01T00:00:00.000123Z", "2026-01-01T00:00:00.000123Z"),
        ("2026-01-01T00:00:00.5Z", "2026-01-01T00:00:00.500000Z"),
        ("2026-01-01T01:00:00.000123+01:00", "2026-01-01T00:00:00.000123Z"),
    ],
)
def test_micro_times_become_canonical(text, canonical):
    assert types.from_plain(Lease, {"spec": {"renewTime": text}}).spec.renewTime == canonical


@pytest.mark.parametrize(
    "bad", ["2026-13-01T00:00:00.000000Z", "2026-01-01T00:00:00.00000xZ", "2026-01-01T00:00:00.00000٣Z"]
)
def test_micro_times_that_are_none_are_refused(bad):
    with pytest.raises(ValueError):
        types.from_plain(Lease, {"spec": {"renewTime": bad}})


def test_bytes_are_bytes():
    assert types.from_plain(Secret, {"data": {"a": "aGk="}}).data == {"a": b"hi"}


def test_unknown_fields_of_trusted_data_are_dropped():
    pod = types.decode(Pod, b'{"spec":{"fromTheFuture":1,"nodeName":"n"}}')
    assert pod.spec.nodeName == "n"


def test_a_copy_shares_nothing():
    pod = Pod(metadata=ObjectMeta(name="a", labels={"x": "y"}))
    copied = types.copy(pod)
    copied.metadata.labels["x"] = "z"
    assert pod.metadata.labels == {"x": "y"}


@given(st.dictionaries(st.text(), st.text(), max_size=5), st.text(max_size=20))
def test_text_survives_exactly(labels, name):
    pod = Pod(metadata=ObjectMeta(name=name or "x", labels=labels or None))
    assert types.decode(Pod, types.encode(pod)) == pod
