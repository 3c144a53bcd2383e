"""ConfigMap, Secret, ServiceAccount, Namespace, LimitRange, ResourceQuota: what namespaces are furnished with."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import registry
from kybern.api.kind import Kind
from tests.api.judge import ABSENT, NOW, changed, complaints, created, shown, stored, update


def kind(name: str) -> Kind:
    found = registry.builtin().kind("", "v1", name)
    assert found is not None
    return found


def plain(name: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": name, "metadata": {"name": "x"}, **fields}


def test_keys_are_file_names_and_stand_once() -> None:
    both = plain("ConfigMap", data={"a": "1", "b c": "2"}, binaryData={"a": "AA=="})
    found = complaints(kind("ConfigMap"), both)
    assert found[0] == 'data[a]: Invalid value: "a": duplicate of key present in binaryData'
    assert found[1].startswith('data[b c]: Invalid value: "b c": a valid config key must consist of')


def test_a_config_map_holds_one_megabyte() -> None:
    assert complaints(kind("ConfigMap"), plain("ConfigMap", data={"a": "x" * (1024 * 1024)})) == []
    assert complaints(kind("ConfigMap"), plain("ConfigMap", data={"a": "x" * (1024 * 1024), "b": "x"})) == [
        "[]: Too long: may not be more than 1048576 bytes"
    ]


@pytest.mark.parametrize("name", ["ConfigMap", "Secret"])
def test_what_is_immutable_stays(name: str) -> None:
    old = stored(kind(name), plain(name, data={"a": "YQ=="}, immutable=True))
    _, errors = update(kind(name), old, {"data.a": "Yg=="})
    assert errors == ["data: Forbidden: field is immutable when `immutable` is set"]
    _, errors = update(kind(name), old, {"immutable": False})
    assert errors == ["immutable: Forbidden: field is immutable when `immutable` is set"]
    _, errors = update(kind(name), old, {"metadata.labels": {"a": "b"}})
    assert errors == []


def test_secret_texts_become_data() -> None:
    secret = created(kind("Secret"), plain("Secret", data={"a": "YQ=="}, stringData={"a": "b", "c": "d"}))
    assert (secret.data, secret.stringData, secret.type) == ({"a": b"b", "c": b"d"}, None, "Opaque")


@pytest.mark.parametrize(
    ("secret_type", "data", "found"),
    [
        ("kubernetes.io/tls", {"tls.crt": "YQ=="}, ["data[tls.key]: Required value"]),
        ("kubernetes.io/ssh-auth", {}, ["data[ssh-privatekey]: Required value"]),
        ("kubernetes.io/basic-auth", {"password": "YQ=="}, []),
        ("kubernetes.io/basic-auth", {}, ["data[username]: Required value", "data[password]: Required value"]),
        ("kubernetes.io/dockerconfigjson", {".dockerconfigjson": "e30="}, []),
        (
            "kubernetes.io/dockerconfigjson",
            {".dockerconfigjson": ""},
            ['data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": unexpected end of JSON input'],
        ),
        (
            "kubernetes.io/service-account-token",
            {},
            ["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        ),
        ("example.com/own", {}, []),
    ],
)
def test_a_secret_holds_what_its_type_asks(secret_type: str, data: dict[str, str], found: list[str]) -> None:
    assert complaints(kind("Secret"), plain("Secret", type=secret_type, data=data)) == found


def test_a_secret_keeps_its_type() -> None:
    _, errors = update(kind("Secret"), stored(kind("Secret"), plain("Secret")), {"type": "example.com/own"})
    assert errors == ['type: Invalid value: "example.com/own": field is immutable']


def test_a_service_account_names_its_secrets_only() -> None:
    account = plain("ServiceAccount", secrets=[{"name": "s", "namespace": "n", "uid": "u"}])
    assert shown(created(kind("ServiceAccount"), account))["secrets"] == [{"name": "s"}]


def test_a_namespace_starts_active_labelled_and_held() -> None:
    namespace = shown(created(kind("Namespace"), plain("Namespace")))
    assert namespace["metadata"]["labels"] == {"kubernetes.io/metadata.name": "x"}
    assert namespace["spec"] == {"finalizers": ["kubernetes"]}
    assert namespace["status"] == {"phase": "Active"}


def test_a_namespace_is_let_go_on_its_own_path_only() -> None:
    old = stored(kind("Namespace"), plain("Namespace"))
    new, _ = update(kind("Namespace"), old, {"spec.finalizers": []})
    assert new.spec.finalizers == ["kubernetes"]
    new, errors = update(kind("Namespace"), old, {"spec.finalizers": []}, "finalize")
    assert (new.spec.finalizers, errors) == (None, [])
    _, errors = update(kind("Namespace"), old, {"status.phase": "Terminating"}, "status")
    assert errors == [
        "status.phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"
    ]


CONTAINER = {"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "100m"}}


def test_usual_limits_come_from_the_bounds() -> None:
    [item] = created(kind("LimitRange"), plain("LimitRange", spec={"limits": [CONTAINER]})).spec.limits
    assert (item.default, item.defaultRequest) == ({"cpu": "2"}, {"cpu": "2"})
    [item] = created(
        kind("LimitRange"), plain("LimitRange", spec={"limits": [{"type": "Container", "min": {"cpu": "1"}}]})
    ).spec.limits
    assert (item.default, item.defaultRequest) == (None, {"cpu": "1"})


@pytest.mark.parametrize(
    ("item", "complaint"),
    [
        ({**CONTAINER, "min": {"cpu": "3"}}, '.min[cpu]: Invalid value: "3": min value 3 is greater than max value 2'),
        (
            {**CONTAINER, "default": {"cpu": "3"}},
            '.default[cpu]: Invalid value: "2": default value 3 is greater than max value 2',
        ),
        (
            {**CONTAINER, "maxLimitRequestRatio": {"cpu": "500m"}},
            '.maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1',
        ),
        (
            {**CONTAINER, "maxLimitRequestRatio": {"cpu": "30"}},
            '.maxLimitRequestRatio[cpu]: Invalid value: "30": ratio 30 is greater than max/min = 20.000000',
        ),
        (
            {"type": "Pod", "default": {"cpu": "1"}},
            ".default: Forbidden: may not be specified when `type` is 'Pod'",
        ),
        (
            {"type": "PersistentVolumeClaim"},
            ".limits: Required value: either minimum or maximum storage value is required, but neither was provided",
        ),
        (
            {"type": "Container", "default": {"x.io/gpu": "2"}, "defaultRequest": {"x.io/gpu": "1"}},
            '.defaultRequest[x.io/gpu]: Invalid value: "1": default value 2 must equal to defaultRequest value 1 '
            "in x.io/gpu",
        ),
    ],
)
def test_bounds_agree_with_each_other(item: dict[str, Any], complaint: str) -> None:
    found = complaints(kind("LimitRange"), plain("LimitRange", spec={"limits": [item]}))
    assert f"spec.limits[0]{complaint}" in found


QUOTA = plain("ResourceQuota", spec={"hard": {"pods": "10"}})


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"hard": {"pods": "-1"}}, 'spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0'),
        ({"scopes": ["Sometimes"]}, 'spec.scopes: Invalid value: ["Sometimes"]: unsupported scope'),
        (
            {"hard": {"services": "1"}, "scopes": ["Terminating"]},
            'spec.scopes: Invalid value: ["Terminating"]: unsupported scope applied to resource',
        ),
        (
            {"scopes": ["BestEffort", "NotBestEffort"]},
            'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes',
        ),
        (
            {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}},
            "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is "
            "'In' or 'NotIn' for scope selector",
        ),
    ],
)
def test_quota_scopes(spec: dict[str, Any], complaint: str) -> None:
    assert complaint in complaints(kind("ResourceQuota"), plain("ResourceQuota", spec=spec))


def test_a_quota_keeps_its_scopes() -> None:
    _, errors = update(kind("ResourceQuota"), stored(kind("ResourceQuota"), QUOTA), {"spec.scopes": ["BestEffort"]})
    assert errors == ['spec.scopes: Invalid value: ["BestEffort"]: field is immutable']


def test_a_quota_in_a_table() -> None:
    quota = created(kind("ResourceQuota"), QUOTA)
    quota.status.hard, quota.status.used = {"pods": "10", "limits.cpu": "4"}, {"pods": "3"}
    row = kind("ResourceQuota").row
    assert row is not None
    assert row(quota, NOW) == ["x", "pods: 3/10", "limits.cpu: 0/4", "0s"]


CORE = {"involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}, "reason": "R", "message": "m"}
NEW_STYLE = {
    "apiVersion": "events.k8s.io/v1",
    "kind": "Event",
    "metadata": {"name": "e"},
    "eventTime": "2026-01-01T00:00:00.000000Z",
    "reportingController": "x.io/c",
    "reportingInstance": "i",
    "action": "A",
    "reason": "R",
    "type": "Normal",
    "note": "n",
    "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
}


def test_old_events_only_have_to_be_where_their_object_is() -> None:
    event = plain("Event", **CORE)
    assert complaints(kind("Event"), event) == []
    assert complaints(kind("Event"), changed(event, {"involvedObject.namespace": "other"})) == [
        'involvedObject.namespace: Invalid value: "other": does not match event.namespace'
    ]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"eventTime": ABSENT}, "eventTime: Required value"),
        ({"action": ABSENT}, "action: Required value"),
        ({"reason": "x" * 129}, 'reason: Invalid value: "": can have at most 128 characters'),
        ({"type": "Odd"}, 'type: Invalid value: "": has invalid value: Odd'),
        ({"deprecatedCount": 2}, 'count: Invalid value: "": needs to be unset'),
        (
            {"series": {"count": 1, "lastObservedTime": "2026-01-01T00:00:00.000000Z"}},
            'series.count: Invalid value: "": should be at least 2',
        ),
    ],
)
def test_new_events_are_complete(change: dict[str, Any], complaint: str) -> None:
    new_style = registry.builtin().kind("events.k8s.io", "v1", "Event")
    assert new_style is not None
    assert complaints(new_style, NEW_STYLE) == []
    assert complaint in complaints(new_style, changed(NEW_STYLE, change))


def test_both_groups_show_the_same_event() -> None:
    new_style = registry.builtin().kind("events.k8s.io", "v1", "Event")
    assert new_style is not None and new_style.convert_to_storage and new_style.convert_from_storage and new_style.row
    event = created(new_style, NEW_STYLE)
    core = new_style.convert_to_storage(event)
    assert (core.message, core.involvedObject.name, core.reportingComponent) == ("n", "p", "x.io/c")
    assert shown(new_style.convert_from_storage(core)) == shown(event)
    assert new_style.row(event, NOW + 60) == ["60s", "Normal", "R", "pod/p", "", "x.io/c", "n", "60s", 1, "e"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("regarding.kind", "Pod"), ("involvedObject.name", "p"), ("reportingController", "x.io/c"), ("reason", "R")],
)
def test_new_events_are_selected_by_the_names_of_both_groups(field: str, value: str) -> None:
    new_style = registry.builtin().kind("events.k8s.io", "v1", "Event")
    assert new_style is not None
    assert new_style.selectable[field](created(new_style, NEW_STYLE)) == value


def test_a_stored_event_only_counts_on() -> None:
    new_style = registry.builtin().kind("events.k8s.io", "v1", "Event")
    assert new_style is not None
    old = stored(new_style, NEW_STYLE)
    later = {"series": {"count": 2, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}}
    assert update(new_style, old, later)[1] == []
    assert update(new_style, old, {"reason": "Q"})[1] == ['reason: Invalid value: "Q": field is immutable']
