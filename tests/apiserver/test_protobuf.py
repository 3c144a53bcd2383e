"""Protobuf bodies, written by hand here as a Go client writes them."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from kybern.api import schema, types
from kybern.apiserver.protobuf.numbers import Inline, numbers
from kybern.apiserver.protobuf.read import MAGIC, Malformed, plain_object
from kybern.apiserver.protobuf.wire import fields
from tests.apiserver.conftest import CONFIG_MAPS, Api

pytestmark = pytest.mark.anyio

PROTOBUF = "application/vnd.kubernetes.protobuf"


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def body(kind: str, raw: bytes, api_version: str = "v1") -> bytes:
    about = field(1, api_version) + field(2, kind)
    return MAGIC + field(1, about) + field(2, raw) + field(3, "") + field(4, "")


def meta(name: str) -> bytes:
    labels = field(11, field(1, "l") + field(2, "v"))
    created = field(8, b"")
    return field(1, name) + field(3, "") + labels + created


def read(kind: type[Any], raw: bytes, api_version: str = "v1") -> dict[str, Any]:
    made = plain_object(body(kind.__name__, raw, api_version), kind)
    assert made is not None
    return made


def test_a_config_map() -> None:
    data = (
        field(2, field(1, "k") + field(2, "v"))
        + field(2, field(1, "empty"))
        + field(3, field(1, "b") + field(2, b"\x00\x01"))
    )
    made = read(types.struct("", "v1", "ConfigMap"), field(1, meta("a")) + data + field(4, 1))
    assert made == {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": "a", "namespace": "", "labels": {"l": "v"}, "creationTimestamp": None,
        },
        "data": {"k": "v", "empty": ""}, "binaryData": {"b": base64.b64encode(b"\x00\x01").decode()}, "immutable": True,
    }  # fmt: skip


def test_inlined_messages_lists_quantities_and_numbers() -> None:
    quantity = field(1, "100m")
    requests = field(2, field(1, "cpu") + field(2, quantity))
    port = field(3, 8080)
    probe_port = field(1, 1) + field(3, "http")
    http_get = field(1, "/") + field(2, probe_port)
    probe = field(1, field(2, http_get)) + field(2, -5)
    container = (
        field(1, "c") + field(2, "nginx") + field(3, "sh") + field(3, "-c") + field(6, port) + field(8, requests)
    )
    container += field(10, probe)
    volume = field(1, "v") + field(2, field(2, b""))
    spec = field(1, volume) + field(2, container) + field(4, 30)
    made = read(types.struct("", "v1", "Pod"), field(1, meta("p")) + field(2, spec))["spec"]
    assert made["volumes"] == [{"name": "v", "emptyDir": {}}]
    assert made["terminationGracePeriodSeconds"] == 30
    (found,) = made["containers"]
    assert found["command"] == ["sh", "-c"]
    assert found["ports"] == [{"containerPort": 8080}]
    assert found["resources"] == {"requests": {"cpu": "100m"}}
    assert found["livenessProbe"] == {"httpGet": {"path": "/", "port": "http"}, "initialDelaySeconds": -5}


def test_times_and_lists_within_maps() -> None:
    renewed = field(1, 1_767_225_600) + field(2, 5000)
    lease = read(
        types.struct("coordination.k8s.io", "v1", "Lease"), field(2, field(4, renewed)), "coordination.k8s.io/v1"
    )
    assert lease["spec"]["renewTime"] == "2026-01-01T00:00:00.000005Z"
    extra = field(5, field(1, "scopes") + field(2, field(1, "a") + field(1, "b")))
    review = types.struct("authorization.k8s.io", "v1", "SubjectAccessReview")
    assert read(review, field(2, extra), "authorization.k8s.io/v1")["spec"]["extra"] == {"scopes": ["a", "b"]}


def test_raw_objects_are_json() -> None:
    revision = types.struct("apps", "v1", "ControllerRevision")
    assert read(revision, field(2, field(1, b'{"a":1}')) + field(3, 7), "apps/v1") == {
        "apiVersion": "apps/v1", "kind": "ControllerRevision", "data": {"a": 1}, "revision": 7,
    }  # fmt: skip


async def test_kubectls_typed_commands_are_understood(api: Api) -> None:
    raw = field(1, field(1, "a")) + field(2, field(1, "k") + field(2, "v"))
    answer = await api.ask(
        "POST", f"{CONFIG_MAPS}?fieldValidation=Strict", body("ConfigMap", raw), Content_Type=PROTOBUF,
        Accept=f"{PROTOBUF},application/json",
    )  # fmt: skip
    assert answer.code == 201
    assert answer.json["data"] == {"k": "v"}
    options = body("DeleteOptions", field(1, 0) + field(4, "Background"), "meta.k8s.io/v1")
    assert (await api.ask("DELETE", f"{CONFIG_MAPS}/a", options, Content_Type=PROTOBUF)).code == 200


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"k8s",
        b"{}",
        MAGIC + b"\xff",
        MAGIC + field(2, 5),
        body("ConfigMap", b"\x0a\xff"),
        body("ConfigMap", field(1, 3)),
        body("ConfigMap", field(1, field(1, b"\xff\xfe"))),
        body("ConfigMap", field(2, field(2, b"\x80" * 11))),
        body("ConfigMap", b"\x0b"),
        body("ConfigMap", b"\x02\x00"),
        body("ConfigMap", varint(1 << 3 | 5) + struct.pack("<f", 1.0)),
        body("Secret", b""),
        body("ConfigMap", b"", "v7"),
    ],
)
async def test_malformed_protobuf_is_a_bad_request(api: Api, data: bytes) -> None:
    answer = await api.ask("POST", CONFIG_MAPS, data, Content_Type=PROTOBUF)
    assert answer.code == 400, answer.body


async def test_kinds_without_a_protobuf_form_are_unsupported(api: Api) -> None:
    crd = body("CustomResourceDefinition", b"", "apiextensions.k8s.io/v1")
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert (await api.ask("POST", path, crd, Content_Type=PROTOBUF)).code == 415


def test_every_field_of_the_table_has_its_number() -> None:
    """What the schema has and the numbers lack would be lost in silence."""
    for name in schema.names():
        known = numbers(name)
        if known is None or name.endswith((".ObjectMeta", ".TypeMeta")):
            continue
        named = {n for n in known.values() if not isinstance(n, Inline)}
        for inner in (n for n in known.values() if isinstance(n, Inline)):
            named |= _flat(inner)
        missing = set(schema.definition(name).fields) - named - {"apiVersion", "kind"}
        assert not missing, f"{name}: {missing}"


def _flat(message: str) -> set[str]:
    found: set[str] = set()
    for n in (numbers(message) or {}).values():
        found |= _flat(n) if isinstance(n, Inline) else {n}
    return found


def test_the_wire_format_is_bounded() -> None:
    with pytest.raises(Malformed, match="unexpected EOF"):
        list(fields(b"\x0a\x05ab"))
    deep = b""
    for _ in range(200):
        deep = field(20, deep)
    with pytest.raises(Malformed):
        plain_object(MAGIC + b"\x0a", types.struct("", "v1", "Pod"))
