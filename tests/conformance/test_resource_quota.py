"""ResourceQuota and LimitRange: upstream's conformance list of them, one test each."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conformance.conftest import Asker


def quota(api: Asker, name: str = "q", **spec: Any) -> None:
    """Make one, beside the ConfigMap of root certificates that each namespace gets, and wait for its first count."""
    api.until(lambda: api.core.list_namespaced_config_map(api.namespace).items)
    api.core.create_namespaced_resource_quota(api.namespace, {"metadata": {"name": name}, "spec": spec})
    api.until(lambda: set(used(api, name)) == set(spec["hard"]))


def used(api: Asker, name: str = "q") -> dict[str, str]:
    return api.core.read_namespaced_resource_quota(name, api.namespace).status.used or {}


def becomes(api: Asker, expected: dict[str, str], name: str = "q") -> None:
    """Wait until the quota counts so; what is released is known after a moment without charges."""

    def counted() -> bool:
        api.advance(1)
        return expected.items() <= used(api, name).items()

    api.until(counted)


def pod(
    name: str = "p", requests: dict[str, str] | None = None, limits: dict[str, str] | None = None, **spec: Any
) -> Any:
    resources = {"requests": requests or {}, "limits": limits or {}}
    container = {"name": "c", "image": "nginx", "resources": resources}
    return {"metadata": {"name": name}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [container], **spec}}


def create(api: Asker, body: dict[str, Any]) -> Any:
    return api.core.create_namespaced_pod(api.namespace, body)


def refused(api: Asker, body: dict[str, Any]) -> str:
    """What the server says against a pod."""
    with pytest.raises(api.official.ApiException) as caught:
        create(api, body)
    assert caught.value.status == 403
    message: str = json.loads(caught.value.body)["message"]
    return message.partition(" is forbidden: ")[2]


def test_a_quotas_status_is_promptly_calculated(api: Asker) -> None:
    hard = {"cpu": "1", "memory": "500Mi", "pods": "5", "services": "10", "count/replicasets.apps": "5"}
    quota(api, hard=hard)
    found = api.core.read_namespaced_resource_quota("q", api.namespace).status
    assert found.hard == hard
    assert found.used == {"cpu": "0", "memory": "0", "pods": "0", "services": "0", "count/replicasets.apps": "0"}


TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
LIVES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("secrets", "v1", "Secret", {"data": {"a": "Yg=="}}),
    ("configmaps", "v1", "ConfigMap", {"data": {"a": "b"}}),
    ("replicationcontrollers", "v1", "ReplicationController",
     {"spec": {"replicas": 0, "selector": {"a": "b"}, "template": TEMPLATE}}),
    ("count/replicasets.apps", "apps/v1", "ReplicaSet",
     {"spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}}),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "version", "kind", "body"), LIVES, ids=[life[2] for life in LIVES])
def test_a_quota_follows_the_life_of(api: Asker, entry: str, version: str, kind: str, body: dict[str, Any]) -> None:
    there = 1 if kind == "ConfigMap" else 0
    quota(api, hard={entry: str(there + 1)})
    made = {"apiVersion": version, "kind": kind, "metadata": {"name": "one"}, **body}
    api.kubectl("create", "-f", "-", stdin=json.dumps(made))
    assert used(api)[entry] == str(there + 1)
    made["metadata"] = {"name": "two"}
    over = f"exceeded quota: q, requested: {entry}=1, used: {entry}={there + 1}, limited: {entry}={there + 1}"
    assert over in api.kubectl.fails("create", "-f", "-", stdin=json.dumps(made))
    api.kubectl("delete", kind, "one")
    becomes(api, {entry: str(there)})


def test_a_quota_follows_the_life_of_a_service(api: Asker) -> None:
    quota(api, hard={"services": "3", "services.nodeports": "1", "services.loadbalancers": "1"})
    api.kubectl("create", "service", "clusterip", "plain", "--tcp=80")
    api.kubectl("create", "service", "nodeport", "ported", "--tcp=80")
    assert used(api) == {"services": "2", "services.nodeports": "1", "services.loadbalancers": "0"}
    told = api.kubectl.fails("create", "service", "loadbalancer", "balanced", "--tcp=80")
    assert "requested: services.nodeports=1, used: services.nodeports=1, limited: services.nodeports=1" in told
    api.kubectl(
        "patch", "service", "ported", "-p", '{"spec":{"type":"ClusterIP","ports":[{"port":80,"nodePort":null}]}}'
    )
    becomes(api, {"services.nodeports": "0"})
    api.kubectl("create", "service", "loadbalancer", "balanced", "--tcp=80")
    assert used(api) == {"services": "3", "services.nodeports": "1", "services.loadbalancers": "1"}
    api.kubectl("delete", "service", "--all")
    becomes(api, {"services": "0", "services.nodeports": "0", "services.loadbalancers": "0"})


def test_a_quota_follows_the_life_of_a_pod(api: Asker) -> None:
    hard = {
        "pods": "5",
        "cpu": "1",
        "memory": "500Mi",
        "requests.ephemeral-storage": "50Gi",
        "requests.example.com/dongle": "3",
    }
    quota(api, hard=hard)
    create(api, pod("one", {"cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi", "example.com/dongle": "2"},
                    {"example.com/dongle": "2"}))  # fmt: skip
    expected = {"pods": "1", "cpu": "500m", "memory": "252Mi", "requests.ephemeral-storage": "30Gi",
                "requests.example.com/dongle": "2"}  # fmt: skip
    assert used(api) == expected
    assert refused(api, pod("two", {"cpu": "600m", "memory": "100Mi"})) == (
        "exceeded quota: q, requested: cpu=600m, used: cpu=500m, limited: cpu=1"
    )
    assert refused(
        api, pod("two", {"cpu": "1m", "memory": "1", "example.com/dongle": "2"}, {"example.com/dongle": "2"})
    ) == (
        "exceeded quota: q, requested: requests.example.com/dongle=2, used: requests.example.com/dongle=2, "
        "limited: requests.example.com/dongle=3"
    )
    assert refused(api, pod("two")) == "failed quota: q: must specify cpu for: c; memory for: c"
    api.kubectl("label", "pod", "one", "a=b")
    assert used(api) == expected
    api.core.delete_namespaced_pod("one", api.namespace)
    becomes(api, dict.fromkeys(hard, "0"))


def test_quotas_with_terminating_scopes_and_their_selectors(api: Asker) -> None:
    def selected(scope: str) -> dict[str, Any]:
        return {"scopeSelector": {"matchExpressions": [{"scopeName": scope, "operator": "Exists"}]}}

    hard = {"pods": "2", "limits.cpu": "3"}
    names = ("Terminating", "NotTerminating")
    for name in names:
        quota(api, name.lower(), hard=hard, scopes=[name])
        quota(api, name.lower() + "-selected", hard=hard, **selected(name))
    create(api, pod("lasting", limits={"cpu": "1"}))
    create(api, pod("ending", limits={"cpu": "2"}, activeDeadlineSeconds=3600))
    for suffix in ("", "-selected"):
        assert used(api, "notterminating" + suffix) == {"pods": "1", "limits.cpu": "1"}
        assert used(api, "terminating" + suffix) == {"pods": "1", "limits.cpu": "2"}
    assert refused(api, pod("more", limits={"cpu": "2"}, activeDeadlineSeconds=3600)).startswith(
        "exceeded quota: terminating, requested: limits.cpu=2, used: limits.cpu=2, limited: limits.cpu=3"
    )
    api.core.delete_namespaced_pod("ending", api.namespace)
    becomes(api, {"pods": "0", "limits.cpu": "0"}, "terminating")


def test_quotas_with_best_effort_scope(api: Asker) -> None:
    quota(api, "best", hard={"pods": "1"}, scopes=["BestEffort"])
    quota(api, "other", hard={"pods": "1"}, scopes=["NotBestEffort"])
    create(api, pod("effort"))
    create(api, pod("burst", {"cpu": "1m"}))
    assert used(api, "best") == used(api, "other") == {"pods": "1"}
    told = "exceeded quota: {}, requested: pods=1, used: pods=1, limited: pods=1"
    assert refused(api, pod("more")) == told.format("best")
    assert refused(api, pod("more", limits={"memory": "1Mi"})) == told.format("other")


@pytest.mark.parametrize(
    ("operator", "values", "charged"),
    [("In", ["high"], {"high"}), ("In", ["high", "low"], {"high", "low"}), ("NotIn", ["high"], {"low", ""}),
     ("Exists", None, {"high", "low"}), ("DoesNotExist", None, {""})],
)  # fmt: skip
def test_quotas_with_priority_class_scope(
    api: Asker, operator: str, values: list[str] | None, charged: set[str]
) -> None:
    classes = {name: f"{name}-{api.namespace}" if name else "" for name in ("high", "low", "")}
    requirement = {
        "scopeName": "PriorityClass",
        "operator": operator,
        "values": values and [classes[v] for v in values],
    }
    quota(api, hard={"pods": "9"}, scopeSelector={"matchExpressions": [requirement]})
    scheduling = api.official.SchedulingV1Api()
    for name, full in classes.items():
        if full:
            scheduling.create_priority_class({"metadata": {"name": full}, "value": 1000})
        before = int(used(api)["pods"])
        create(api, pod(f"p-{name or 'none'}", priorityClassName=full or None))
        assert int(used(api)["pods"]) - before == (name in charged)
    for full in filter(None, classes.values()):
        scheduling.delete_priority_class(full)


def test_a_quota_for_pods_that_look_into_other_namespaces(api: Asker) -> None:
    scope = {"scopeName": "CrossNamespacePodAffinity", "operator": "Exists"}
    quota(api, hard={"pods": "0"}, scopeSelector={"matchExpressions": [scope]})
    create(api, pod("plain"))

    def looking(**term: Any) -> Any:
        term = {"topologyKey": "zone", "labelSelector": {}, **term}
        return pod("looking", affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}})

    told = "exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0"
    assert refused(api, looking(namespaces=["other"])) == told
    assert refused(api, looking(namespaceSelector={})) == told
    create(api, looking())


def test_a_quota_for_claims_of_a_storage_class_and_of_an_attributes_class(api: Asker) -> None:
    scope = {"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["fast"]}
    gold = "gold.storageclass.storage.k8s.io/requests.storage"
    quota(api, "gold", hard={gold: "2Gi", "requests.storage": "9Gi"})
    quota(api, "fast", hard={"persistentvolumeclaims": "1"}, scopeSelector={"matchExpressions": [scope]})

    def claim(name: str, **spec: Any) -> Any:
        body = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}, **spec}
        return api.core.create_namespaced_persistent_volume_claim(
            api.namespace, {"metadata": {"name": name}, "spec": body}
        )

    claim("plain", storageClassName="silver")
    claim("first", storageClassName="gold", volumeAttributesClassName="fast")
    assert used(api, "gold") == {gold: "2Gi", "requests.storage": "4Gi"}
    assert used(api, "fast") == {"persistentvolumeclaims": "1"}
    for spec, over in (
        ({"storageClassName": "gold"}, f"exceeded quota: gold, requested: {gold}=2Gi, used: {gold}=2Gi"),
        ({"storageClassName": "silver", "volumeAttributesClassName": "fast"}, "exceeded quota: fast, requested: pers"),
    ):
        with pytest.raises(api.official.ApiException) as caught:
            claim("second", **spec)
        assert over in caught.value.body


def test_a_pod_that_is_resized_is_charged_for_its_growth(api: Asker) -> None:
    quota(api, hard={"requests.cpu": "500m", "pods": "3"})
    create(api, pod("grows", {"cpu": "100m"}))
    api.until(lambda: api.core.read_namespaced_pod("grows", api.namespace).status.phase == "Running")

    def resize(cpu: str) -> list[str]:
        change = {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}}
        return ["patch", "pod", "grows", "--subresource=resize", "-p", json.dumps(change)]

    api.kubectl(*resize("400m"))
    assert used(api)["requests.cpu"] == "400m"
    over = "exceeded quota: q, requested: requests.cpu=200m, used: requests.cpu=400m, limited: requests.cpu=500m"
    assert over in api.kubectl.fails(*resize("600m"))
    api.kubectl(*resize("50m"))
    becomes(api, {"requests.cpu": "50m"})


def test_a_quota_is_updated_and_deleted(api: Asker) -> None:
    quota(api, hard={"pods": "1"})
    create(api, pod("one"))
    refused(api, pod("two"))
    api.core.patch_namespaced_resource_quota("q", api.namespace, {"spec": {"hard": {"pods": "2", "secrets": "4"}}})
    becomes(api, {"pods": "1", "secrets": "0"})
    create(api, pod("two"))
    refused(api, pod("three"))
    api.core.delete_namespaced_resource_quota("q", api.namespace)
    api.until(lambda: not api.core.list_namespaced_resource_quota(api.namespace).items)
    create(api, pod("three"))


def test_the_lifecycle_of_quotas(api: Asker) -> None:
    for name in ("a", "b"):
        body = {"metadata": {"name": name, "labels": {"set": api.namespace}}, "spec": {"hard": {"pods": "5"}}}
        api.core.create_namespaced_resource_quota(api.namespace, body)
    body = {"metadata": {"labels": {"patched": "yes"}}, "spec": {"hard": {"memory": "750Mi"}}}
    patched = api.core.patch_namespaced_resource_quota("a", api.namespace, body)
    assert (patched.metadata.labels["patched"], patched.spec.hard) == ("yes", {"pods": "5", "memory": "750Mi"})
    selector = f"set={api.namespace}"
    found = api.core.list_resource_quota_for_all_namespaces(label_selector=selector).items
    assert [q.metadata.name for q in found] == ["a", "b"]
    api.core.delete_collection_namespaced_resource_quota(api.namespace, label_selector="patched=yes")
    found = api.core.list_resource_quota_for_all_namespaces(label_selector=selector).items
    assert [q.metadata.name for q in found] == ["b"]


def test_a_quotas_status_is_updated_patched_and_counted_again(api: Asker) -> None:
    quota(api, hard={"pods": "5", "memory": "500Mi"})
    api.core.patch_namespaced_resource_quota_status(
        "q", api.namespace, {"metadata": {"annotations": {"a": "b"}}, "status": {"hard": {"pods": "1"}}}
    )
    assert api.core.read_namespaced_resource_quota("q", api.namespace).spec.hard["pods"] == "5"
    api.advance(300)  # what nobody but the controller writes is looked after every five minutes
    api.until(lambda: api.core.read_namespaced_resource_quota("q", api.namespace).status.hard["pods"] == "5")
    changed = api.core.read_namespaced_resource_quota("q", api.namespace)
    changed.status.used = {"pods": "4", "memory": "0"}
    changed.spec.hard = {"pods": "77"}
    updated = api.core.replace_namespaced_resource_quota_status("q", api.namespace, changed)
    assert (updated.status.used["pods"], updated.spec.hard["pods"]) == ("4", "5")
    becomes(api, {"pods": "0"})


def test_many_clients_at_once_never_exceed_a_quota(api: Asker) -> None:
    quota(api, hard={"configmaps": "6"})

    def attempt(i: int) -> str:
        try:
            api.core.create_namespaced_config_map(api.namespace, {"metadata": {"name": f"m{i}"}})
        except api.official.ApiException as error:
            return str(json.loads(error.body)["message"]).partition(" is forbidden: ")[2].partition(", used")[0]
        return "created"

    with ThreadPoolExecutor(8) as clients:
        answers = Counter(clients.map(attempt, range(24)))
    assert answers == {"created": 5, "exceeded quota: q, requested: configmaps=1": 19}
    assert len(api.core.list_namespaced_config_map(api.namespace).items) == 6
    assert used(api) == {"configmaps": "6"}


def limits(api: Asker, name: str, *items: dict[str, Any], **labels: str) -> Any:
    body = {"metadata": {"name": name, "labels": labels}, "spec": {"limits": list(items)}}
    return api.core.create_namespaced_limit_range(api.namespace, body)


def test_a_limit_range_gives_defaults_and_bounds(api: Asker) -> None:
    limits(api, "limits", {
        "type": "Container", "min": {"cpu": "50m", "memory": "100Mi"}, "max": {"cpu": "500m", "memory": "500Mi"},
        "default": {"cpu": "500m", "memory": "500Mi"}, "defaultRequest": {"cpu": "100m", "memory": "200Mi"},
    })  # fmt: skip
    whole = api.until(lambda: create(api, pod("none")).spec.containers[0].resources)
    assert (whole.requests, whole.limits) == (
        {"cpu": "100m", "memory": "200Mi"}, {"cpu": "500m", "memory": "500Mi"}
    )  # fmt: skip
    partly = create(api, pod("part", {"cpu": "300m"}, {"memory": "400Mi"})).spec.containers[0].resources
    # A limit stands for a request that is left out: defaults of the kind come before those of the namespace.
    assert (partly.requests, partly.limits) == (
        {"cpu": "300m", "memory": "400Mi"}, {"cpu": "500m", "memory": "400Mi"}
    )  # fmt: skip
    assert refused(api, pod("small", {"cpu": "10m", "memory": "50Mi"})) == (
        "[minimum cpu usage per Container is 50m, but request is 10m, "
        "minimum memory usage per Container is 100Mi, but request is 50Mi]"
    )
    assert (
        refused(api, pod("large", limits={"cpu": "600m"}))
        == "maximum cpu usage per Container is 500m, but limit is 600m"
    )
    api.core.patch_namespaced_limit_range(
        "limits", api.namespace, {"spec": {"limits": [{"type": "Container", "min": {"cpu": "9m", "memory": "9Mi"}}]}}
    )
    api.until(lambda: not api.core.read_namespaced_limit_range("limits", api.namespace).spec.limits[0].max)
    create(api, pod("small", {"cpu": "10m", "memory": "50Mi"}))
    api.core.delete_namespaced_limit_range("limits", api.namespace)
    api.until(lambda: create(api, pod("free")).spec.containers[0].resources.requests is None)


def test_limit_ranges_are_listed_patched_and_deleted_as_a_collection(api: Asker) -> None:
    item = {"type": "Container", "max": {"cpu": "1"}}
    for name in ("a", "b"):
        limits(api, name, item, set=api.namespace)
    selector = f"set={api.namespace}"
    assert len(api.core.list_limit_range_for_all_namespaces(label_selector=selector).items) == 2
    patched = api.core.patch_namespaced_limit_range("a", api.namespace, {"metadata": {"labels": {"a": "patched"}}})
    assert patched.spec.limits[0].default == {"cpu": "1"} and patched.metadata.labels["a"] == "patched"
    api.core.delete_collection_namespaced_limit_range(api.namespace, label_selector="a=patched")
    found = api.core.list_limit_range_for_all_namespaces(label_selector=selector).items
    assert [each.metadata.name for each in found] == ["b"]


@pytest.mark.parametrize(
    ("item", "body", "told"),
    [
        ({"type": "Pod", "max": {"cpu": "1"}},
         {"limits": {"cpu": "600m"}, "initContainers": [{"name": "side", "image": "nginx", "restartPolicy": "Always",
          "resources": {"limits": {"cpu": "600m"}}}]}, "maximum cpu usage per Pod is 1, but limit is 1200m"),
        ({"type": "Pod", "max": {"cpu": "1"}}, {"resources": {"limits": {"cpu": "2"}}},
         "maximum cpu usage per Pod is 1, but limit is 2"),
        ({"type": "Container", "maxLimitRequestRatio": {"memory": "2"}},
         {"requests": {"memory": "1Gi"}, "limits": {"memory": "3Gi"}},
         "memory max limit to request ratio per Container is 2, but provided ratio is 3.000000"),
        ({"type": "Pod", "min": {"memory": "1Gi"}}, {}, "minimum memory usage per Pod is 1Gi.  No request is specified"),
    ],
    ids=["sidecars count", "the pod as a whole", "ratio", "nothing said"],
)  # fmt: skip
def test_a_limit_range_bounds(api: Asker, item: dict[str, Any], body: dict[str, Any], told: str) -> None:
    limits(api, "limits", item)
    api.until(lambda: api.kubectl.run("get", "limits", "limits").stdout)
    assert refused(api, pod("p", **body)) == told
