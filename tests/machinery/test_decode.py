"""Reading what users send: good input as it is, bad input with the words a Kubernetes user knows."""

from __future__ import annotations

import pytest

from kybern.api import decode
from kybern.api.core import ConfigMap, Pod, Secret
from kybern.api.errors import StatusError

HEAD = 'Pod in version "v1" cannot be handled as a Pod: '


def problem(cls, text: str | bytes, **options) -> str:
    with pytest.raises(StatusError) as refused:
        decode.read(cls, text if isinstance(text, bytes) else text.encode(), **{"strict": True, **options})
    assert (refused.value.code, refused.value.reason) == (400, "BadRequest")
    return refused.value.message


def test_kind_and_version_may_be_left_out():
    pod, problems = decode.read(Pod, b'{"metadata":{"name":"a"}}', strict=True)
    assert (pod.kind, pod.apiVersion, pod.metadata.name, problems) == ("Pod", "v1", "a", [])


def test_all_unknown_and_duplicate_fields_are_told():
    text = b'{"metadata":{"name":"a","x":1,"name":"b"},"spec":{"containers":[{"nam":"c"}]}}'
    _, problems = decode.read(Pod, text, strict=True)
    assert problems == [
        'unknown field "metadata.x"',
        'duplicate field "metadata.name"',
        'unknown field "spec.containers[0].nam"',
    ]
    assert str(decode.strict_error(Pod, problems[:1])) == HEAD + 'strict decoding error: unknown field "metadata.x"'


def test_unknown_fields_are_dropped_silently_when_not_strict():
    pod, problems = decode.read(Pod, b'{"metadata":{"name":"a","x":1}}', strict=False)
    assert (pod.metadata.name, problems) == ("a", [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"metadata":{"name":7}}', "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string"),
        ('{"spec":{"hostNetwork":"yes"}}', "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool"),
        ('{"spec":{"containers":[{"ports":[{"containerPort":1.5}]}]}}',
         "json: cannot unmarshal number 1.5 into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32"),
        ('{"spec":{"containers":{}}}', "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container"),
        ('{"spec":{"volumes":[{"hostPath":{"path":[]}}]}}',
         "json: cannot unmarshal array into Go struct field HostPathVolumeSource.spec.volumes.VolumeSource.hostPath.path of type string"),
        ('{"spec":{"overhead":{"cpu":"x"}}}',
         "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
        ('{"metadata":{"creationTimestamp":"yesterday"}}',
         'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006"'),
    ],
)  # fmt: skip
def test_type_errors_name_field_and_type(text, message):
    assert problem(Pod, text) == HEAD + message


def test_bad_base64_names_the_byte():
    assert problem(Secret, '{"data":{"a":"ab!"}}').endswith("illegal base64 data at input byte 2")


def test_another_kind_is_refused():
    assert problem(Pod, '{"kind":"Thing","apiVersion":"v1"}') == (
        'Thing in version "v1" cannot be handled as a Pod: no kind "Thing" is registered for version "v1" '
        'in scheme "pkg/api/legacyscheme/scheme.go:30"'
    )


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", "nul", '{"a":}', '{"a" 1}', "{}x", '{"a":NaN}', "\xff", '"x"', "[" * 5000]
)
def test_what_is_no_object_is_a_bad_request(text):
    assert "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind" in problem(
        ConfigMap, text
    )


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        ("", "unexpected end of JSON input (<empty>)"),
        ("[1]", "(5b315d)"),
        ('{"a":' + "1" * 40, '({"a":' + "1" * 25 + " ...)"),
    ],
)
def test_an_unreadable_body_is_shown_by_its_beginning(text, ending):
    assert problem(ConfigMap, text).endswith(ending)


def test_a_field_that_is_unknown_and_there_twice_is_told_once():
    text = b'{"spec":{"nope":1,"nope":2,"hostname":"a","hostname":"b"}}'
    assert decode.read(Pod, text, strict=True)[1] == ['unknown field "spec.nope"', 'duplicate field "spec.hostname"']


def test_null_is_absent():
    pod, _ = decode.read(
        Pod,
        b'{"metadata":{"name":null,"labels":null},"spec":{"containers":[null],"nodeSelector":{"a":null}}}',
        strict=True,
    )
    assert (pod.metadata.name, pod.metadata.labels, pod.spec.containers[0].name, pod.spec.nodeSelector) == (
        None,
        None,
        "",
        {"a": ""},
    )


def test_half_a_character_becomes_the_replacement_character():
    body = rb'{"metadata":{"name":"n"},"data":{"a":"\ud800x","b":"\\ud800","c":"\ud83d\ude00","d":"\uDC00"}}'
    obj, _ = decode.read(ConfigMap, body, strict=True)
    assert obj.data == {"a": "\ufffdx", "b": "\\ud800", "c": "\U0001f600", "d": "\ufffd"}
