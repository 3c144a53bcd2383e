"""DaemonSets: which nodes have a pod, how updates go, and what the status, the Events and the revisions say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.conftest import LABELS, Asker, template

NODES = ["node-1", "node-2", "node-3"]


def create(api: Asker, **spec: Any) -> Any:
    spec = {"selector": {"matchLabels": LABELS}, "template": template(), **spec}
    return api.apps.create_namespaced_daemon_set(api.namespace, {"metadata": {"name": "agent"}, "spec": spec})


def read(api: Asker) -> Any:
    return api.apps.read_namespaced_daemon_set("agent", api.namespace)


def patch(api: Asker, **spec: Any) -> Any:
    return api.apps.patch_namespaced_daemon_set("agent", api.namespace, {"spec": spec})


def where(api: Asker) -> list[str]:
    return sorted(pod.spec.node_name or "" for pod in api.pods())


def ready(api: Asker, count: int = 3) -> Any:
    def done() -> Any:
        found = read(api)
        s = found.status
        counts = (s.desired_number_scheduled, s.updated_number_scheduled or 0, s.number_available or 0)
        return found if s.observed_generation == found.metadata.generation and counts == (count,) * 3 else None

    return api.until(done)


def revisions(api: Asker) -> list[Any]:
    found = api.apps.list_namespaced_controller_revision(api.namespace).items
    return sorted(found, key=lambda revision: revision.revision)


@pytest.fixture
def tainted(api: Asker) -> Iterator[str]:
    """The name of a taint on node-2; whatever has its key goes afterwards."""
    key = f"taint-{api.namespace}"
    yield key
    api.kubectl.run("taint", "node", "node-2", f"{key}-", check=False)


def test_every_node_has_one_and_the_status_counts_them(api: Asker) -> None:
    create(api)
    found = ready(api)
    assert where(api) == NODES
    s = found.status
    assert (s.current_number_scheduled, s.number_ready, s.number_misscheduled, s.number_unavailable) == (3, 3, 0, None)
    pod = api.pods()[0]
    (revision,) = revisions(api)
    hashed = revision.metadata.name.removeprefix("agent-")
    assert revision.metadata.labels == {**LABELS, "controller-revision-hash": hashed}
    assert pod.metadata.labels == {**revision.metadata.labels, "pod-template-generation": "1"}
    assert found.metadata.annotations == {"deprecated.daemonset.template.generation": "1"}
    (term,) = pod.spec.affinity.node_affinity.required_during_scheduling_ignored_during_execution.node_selector_terms
    (only,) = term.match_fields
    assert (only.key, only.operator, only.values) == ("metadata.name", "In", [pod.spec.node_name])
    assert sorted(api.events("agent")) == [
        f"Normal SuccessfulCreate Created pod: {name}" for name in sorted(p.metadata.name for p in api.pods())
    ]


def test_its_pods_bear_what_befalls_nodes_for_ever(api: Asker) -> None:
    brief = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
    create(api, template=template(tolerations=[brief, {"key": "mine", "operator": "Exists"}], hostNetwork=True))
    ready(api)
    borne = [(t.key, t.operator, t.effect, t.toleration_seconds) for t in api.pods()[0].spec.tolerations]
    assert borne == [
        ("mine", "Exists", None, None),
        ("node.kubernetes.io/not-ready", "Exists", "NoExecute", None),
        ("node.kubernetes.io/unreachable", "Exists", "NoExecute", None),
        ("node.kubernetes.io/disk-pressure", "Exists", "NoSchedule", None),
        ("node.kubernetes.io/memory-pressure", "Exists", "NoSchedule", None),
        ("node.kubernetes.io/pid-pressure", "Exists", "NoSchedule", None),
        ("node.kubernetes.io/unschedulable", "Exists", "NoSchedule", None),
        ("node.kubernetes.io/network-unavailable", "Exists", "NoSchedule", None),
    ]


def test_a_taint_that_keeps_away_makes_its_pod_misscheduled_and_one_that_drives_out_takes_it(
    api: Asker, tainted: str
) -> None:
    create(api)
    ready(api)
    api.kubectl("taint", "node", "node-2", f"{tainted}=5:NoSchedule")
    found = api.until(lambda: (d := read(api)).status.number_misscheduled == 1 and d)
    s = found.status
    assert (s.desired_number_scheduled, s.current_number_scheduled, s.number_available) == (2, 2, 2)
    assert where(api) == NODES
    api.kubectl("taint", "node", "node-2", f"{tainted}=5:NoExecute")
    api.until(lambda: where(api) == ["node-1", "node-3"] and read(api).status.number_misscheduled == 0)


@pytest.mark.parametrize(("operator", "bound", "count"), [("Gt", "900", 3), ("Lt", "900", 2), ("Gt", "950", 2)])
def test_tolerations_compare_numbers(api: Asker, tainted: str, operator: str, bound: str, count: int) -> None:
    api.kubectl("taint", "node", "node-2", f"{tainted}=950:NoSchedule")
    toleration = {"key": tainted, "operator": operator, "value": bound, "effect": "NoSchedule"}
    create(api, template=template(tolerations=[toleration]))
    ready(api, count)
    assert ("node-2" in where(api)) is (count == 3)


def test_a_node_that_is_cordoned_or_not_ready_keeps_its_pod_and_gets_it_back(api: Asker) -> None:
    create(api)
    ready(api)
    api.kubectl("cordon", "node-3")
    try:
        gone = next(pod for pod in api.pods() if pod.spec.node_name == "node-3")
        api.core.delete_namespaced_pod(gone.metadata.name, api.namespace)
        api.until(lambda: where(api) == NODES and gone.metadata.name not in [p.metadata.name for p in api.pods()])
        ready(api)
    finally:
        api.kubectl("uncordon", "node-3")


def test_a_pod_that_ended_is_replaced_and_told(api: Asker) -> None:
    create(api)
    ready(api)

    def end(phase: str) -> Any:
        (victim,) = [pod for pod in api.pods() if pod.spec.node_name == "node-1"]
        api.core.patch_namespaced_pod_status(victim.metadata.name, api.namespace, {"status": {"phase": phase}})
        return victim.metadata.name

    def replaced(name: str) -> bool:
        return where(api) == NODES and name not in [pod.metadata.name for pod in api.pods()]

    first = end("Failed")
    api.until(lambda: replaced(first))
    text = f"Found failed daemon pod {api.namespace}/{first} on node node-1, will try to kill it"
    assert f"Warning FailedDaemonPod {text}" in api.events("agent")
    ended = end("Succeeded")
    api.until(lambda: replaced(ended))
    text = f"Found succeeded daemon pod {api.namespace}/{ended} on node node-1, will try to delete it"
    assert f"Normal SucceededDaemonPod {text}" in api.events("agent")


def test_an_update_replaces_as_many_as_may_be_unavailable(api: Asker) -> None:
    create(api, updateStrategy={"rollingUpdate": {"maxUnavailable": "50%"}})
    ready(api)
    patch(api, template=template("nginx:2", ready="failure"))
    api.until(lambda: sorted(api.images()) == ["nginx:1", "nginx:2", "nginx:2"])
    found = api.until(lambda: (d := read(api)).status.number_unavailable == 2 and d)
    assert (found.status.updated_number_scheduled, found.status.number_ready) == (2, 1)
    assert found.metadata.annotations == {"deprecated.daemonset.template.generation": "2"}
    patch(api, template=template("nginx:3"))
    ready(api)
    assert api.images() == ["nginx:3"] * 3


def test_undoing_an_update_that_broke_restarts_only_what_it_had_reached(api: Asker) -> None:
    create(api)
    ready(api)
    before = {pod.metadata.uid for pod in api.pods()}
    patch(api, template=template("nginx:2", ready="failure"))
    api.until(lambda: api.images().count("nginx:2") == 1 and len(api.pods()) == 3)
    api.kubectl("rollout", "undo", "daemonset/agent")
    ready(api)
    assert api.images() == ["nginx:1"] * 3
    assert len(before & {pod.metadata.uid for pod in api.pods()}) == 2
    assert [revision.revision for revision in revisions(api)] == [2, 3]


def test_a_surge_starts_the_new_pod_first_and_counts_the_old_one_until_it_goes(api: Asker) -> None:
    create(api, updateStrategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
    ready(api)
    api.advance(2)  # Of two pods of the same second, none is the elder.
    patch(api, template=template("nginx:2", ready="failure"))
    api.until(lambda: sorted(api.images()) == ["nginx:1"] * 3 + ["nginx:2"])
    s = api.until(lambda: (d := read(api)).status.observed_generation == 2 and d).status
    assert (s.number_available, s.updated_number_scheduled, s.current_number_scheduled) == (3, None, 3)
    patch(api, template=template("nginx:3"))
    ready(api)
    api.until(lambda: api.images() == ["nginx:3"] * 3)


def test_minimum_ready_seconds_delay_the_next(api: Asker) -> None:
    create(api, minReadySeconds=60)
    found = api.until(lambda: (d := read(api)).status.number_ready == 3 and d)
    assert (found.status.number_available, found.status.number_unavailable) == (None, 3)
    api.advance(61)
    ready(api)
    patch(api, template=template("nginx:2"))
    api.until(lambda: api.images().count("nginx:2") == 1 and read(api).status.number_ready == 3)
    assert read(api).status.number_available == 2


def test_a_second_revision_of_the_same_template_takes_the_first_ones_place(api: Asker) -> None:
    create(api)
    ready(api)
    before = sorted(pod.metadata.uid for pod in api.pods())
    (first,) = revisions(api)
    twin = {
        "metadata": {
            "name": "agent-twin",
            "labels": {**LABELS, "controller-revision-hash": "twin"},
            "ownerReferences": [
                api.official.ApiClient().sanitize_for_serialization(first.metadata.owner_references[0])
            ],
        },
        "data": first.data,
        "revision": 2,
    }
    api.apps.create_namespaced_controller_revision(api.namespace, twin)
    api.kubectl("annotate", "daemonset", "agent", "look=again")
    api.until(lambda: [r.metadata.name for r in revisions(api)] == ["agent-twin"])
    api.until(lambda: all(p.metadata.labels["controller-revision-hash"] == "twin" for p in api.pods()))
    assert sorted(pod.metadata.uid for pod in api.pods()) == before
    patch(api, template=template("nginx:2"))
    ready(api)
    assert [r.revision for r in revisions(api)] == [2, 3]
    api.apps.delete_collection_namespaced_controller_revision(
        api.namespace, label_selector="controller-revision-hash=twin"
    )
    api.until(lambda: [r.revision for r in revisions(api)] == [3])


def test_pods_left_behind_are_adopted_by_the_next_one(api: Asker) -> None:
    create(api)
    ready(api)
    before = sorted(pod.metadata.uid for pod in api.pods())
    api.apps.delete_namespaced_daemon_set("agent", api.namespace, propagation_policy="Orphan")
    api.until(lambda: not any(pod.metadata.owner_references for pod in api.pods()))
    create(api)
    ready(api)
    assert sorted(pod.metadata.uid for pod in api.pods()) == before
    assert len(revisions(api)) == 1
