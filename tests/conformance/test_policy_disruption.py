"""PodDisruptionBudgets and evictions: the numbers, the refusals in upstream's words, kubectl drain."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conformance.conftest import LABELS, Asker, condition, template


def deploy(api: Asker, replicas: int = 3, **options: Any) -> list[str]:
    spec = {"replicas": replicas, "selector": {"matchLabels": LABELS}, "template": template(**options)}
    api.apps.create_namespaced_replica_set(api.namespace, {"metadata": {"name": "web"}, "spec": spec})
    api.until(lambda: [pod.status.phase for pod in api.pods()] == ["Running"] * replicas)
    if options.get("ready") != "failure":
        api.until(lambda: api.apps.read_namespaced_replica_set("web", api.namespace).status.ready_replicas == replicas)
    return [pod.metadata.name for pod in api.pods()]


def protect(api: Asker, name: str = "web", **spec: Any) -> Any:
    """A budget, once it is counted."""
    body = {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": LABELS}, **spec}}
    api.policy.create_namespaced_pod_disruption_budget(api.namespace, body)
    return api.until(lambda: counted(api, name))


def counted(api: Asker, name: str = "web") -> Any:
    found = api.policy.read_namespaced_pod_disruption_budget(name, api.namespace)
    return found if found.status and found.status.observed_generation == found.metadata.generation else None


def numbers(api: Asker) -> tuple[int, int, int, int]:
    """(expected, desired, healthy, allowed)"""
    s = api.until(lambda: counted(api)).status
    return s.expected_pods, s.desired_healthy, s.current_healthy, s.disruptions_allowed


def evict(api: Asker, pod: str, dry_run: str | None = None, **options: Any) -> Any:
    body = {"metadata": {"name": pod}, "deleteOptions": options or None}
    return api.core.create_namespaced_pod_eviction(pod, api.namespace, body, dry_run=dry_run)


def refusal(api: Asker, pod: str, **options: Any) -> tuple[int, dict[str, Any], Any]:
    """(code, Status, headers) of an eviction that must fail."""
    with pytest.raises(api.official.ApiException) as caught:
        evict(api, pod, **options)
    return caught.value.status, json.loads(caught.value.body), caught.value.headers


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"minAvailable": 2}, (3, 2, 3, 1)),
        ({"minAvailable": "34%"}, (3, 2, 3, 1)),
        ({"maxUnavailable": "34%"}, (3, 1, 3, 2)),
        ({"maxUnavailable": 5}, (3, 0, 3, 3)),
        ({}, (0, 0, 3, 0)),
    ],
)
def test_the_numbers_and_the_condition(api: Asker, spec: dict[str, Any], expected: tuple[int, ...]) -> None:
    deploy(api)
    found = protect(api, **spec)
    api.until(lambda: numbers(api) == expected)
    found = counted(api)
    allowed = ("True", "SufficientPods", "") if expected[3] else ("False", "InsufficientPods", "")
    assert condition(found, "DisruptionAllowed") == allowed
    assert found.status.conditions[0].observed_generation == 1


def test_an_eviction_spends_from_the_budget_and_the_next_is_refused_in_upstreams_words(api: Asker) -> None:
    first, *_ = deploy(api, grace=300)
    protect(api, minAvailable=2)
    assert evict(api, first) is not None
    api.kubectl("scale", "replicaset/web", "--replicas=2")
    api.until(lambda: numbers(api) == (2, 2, 2, 0) and len(api.pods()) == 2)
    # Which pod a ReplicaSet gives up when it shrinks is its own choice: this one stays.
    code, status, headers = refusal(api, api.pods()[0].metadata.name)
    assert (code, status["reason"], headers.get("Retry-After")) == (429, "TooManyRequests", None)
    assert status["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    text = "The disruption budget web needs 2 healthy pods and has 2 currently"
    assert status["details"]["causes"] == [{"reason": "DisruptionBudget", "message": text}]


def test_an_evicted_pod_says_why_it_goes(api: Asker) -> None:
    made = template(grace=300)
    made["metadata"]["annotations"]["fake.kybern.dev/stop-delay"] = "100s"
    body = {"metadata": {"name": "p", **made["metadata"]}, "spec": made["spec"]}
    api.core.create_namespaced_pod(api.namespace, body)
    api.until(lambda: api.core.read_namespaced_pod("p", api.namespace).status.phase == "Running")
    evict(api, "p", gracePeriodSeconds=120)
    found = api.core.read_namespaced_pod("p", api.namespace)
    assert found.metadata.deletion_grace_period_seconds == 120
    assert condition(found, "DisruptionTarget") == ("True", "EvictionByEvictionAPI", "Eviction API: evicting")


@pytest.mark.parametrize(
    ("policy", "ready", "code"),
    [
        ("AlwaysAllow", "failure", 201),
        ("IfHealthyBudget", "failure", 429),
        (None, "failure", 429),
        ("AlwaysAllow", "success", 429),
    ],
)
def test_pods_that_are_not_ready_go_as_the_policy_says(api: Asker, policy: str | None, ready: str, code: int) -> None:
    first, *_ = deploy(api, ready=ready)
    protect(api, minAvailable=3, **({"unhealthyPodEvictionPolicy": policy} if policy else {}))
    api.until(lambda: numbers(api)[1] == 3)
    if code == 201:
        assert evict(api, first) is not None
    else:
        assert refusal(api, first)[0] == code


def test_pods_that_have_not_started_or_have_ended_are_no_matter_of_budgets(api: Asker) -> None:
    protect(api, minAvailable=9)
    waits = template(nodeSelector={"no": "such"})["spec"]
    ends = {
        "restartPolicy": "Never",
        "containers": [{"name": "c", "image": "busybox", "command": ["sh", "-c", "exit 0"]}],
    }
    for name, spec in (("waits", waits), ("ends", ends)):
        api.core.create_namespaced_pod(api.namespace, {"metadata": {"name": name, "labels": LABELS}, "spec": spec})
    api.until(lambda: [pod.status.phase for pod in api.pods()] == ["Succeeded", "Pending"])
    for name in ("waits", "ends"):
        evict(api, name)
    api.until(lambda: not api.pods())


def test_of_many_evictions_at_once_no_more_succeed_than_may(api: Asker) -> None:
    names = [f"p{number}" for number in range(8)]
    for name in names:
        metadata = {"name": name, "labels": LABELS}
        api.core.create_namespaced_pod(api.namespace, {"metadata": metadata, "spec": template()["spec"]})
    protect(api, minAvailable=6)
    api.until(lambda: numbers(api) == (8, 6, 8, 2))

    def code(name: str) -> int:
        try:
            evict(api, name)
        except api.official.ApiException as error:
            return int(error.status)
        return 201

    with ThreadPoolExecutor(8) as threads:
        codes = sorted(threads.map(code, names))
    assert codes == [201] * 2 + [429] * 6
    api.until(lambda: len(api.pods()) == 6)


def test_two_budgets_are_too_many(api: Asker) -> None:
    first, *_ = deploy(api)
    protect(api, minAvailable=0)
    protect(api, "other", minAvailable=0)
    code, status, _ = refusal(api, first)
    text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
    assert (code, status["message"]) == (500, text)


def test_preconditions_and_dry_runs_spend_nothing(api: Asker) -> None:
    first, *_ = deploy(api)
    protect(api, minAvailable=2)
    code, status, _ = refusal(api, first, preconditions={"uid": "another"})
    assert (code, status["reason"]) == (409, "Conflict")
    assert "the UID in the precondition (another) does not match the UID in record" in status["message"]
    evict(api, first, dry_run="All")
    evict(api, first, dryRun=["All"])
    assert counted(api).status.disrupted_pods is None
    found = api.core.read_namespaced_pod(first, api.namespace)
    assert found.metadata.deletion_timestamp is None
    assert condition(found, "DisruptionTarget") is None
    uid = found.metadata.uid
    evict(api, first, preconditions={"uid": uid, "resourceVersion": found.metadata.resource_version})
    api.until(lambda: first not in [pod.metadata.name for pod in api.pods()])


def test_an_eviction_that_never_became_a_deletion_is_given_back(api: Asker) -> None:
    first, *_ = deploy(api)
    protect(api, minAvailable=2)
    now = api.kubectl.json("get", "pod", first)["metadata"]["creationTimestamp"]
    spent = {"status": {"disruptionsAllowed": 0, "disruptedPods": {first: now}}}
    api.policy.patch_namespaced_pod_disruption_budget_status("web", api.namespace, spent)
    api.until(lambda: numbers(api) == (3, 2, 2, 0))
    api.advance(125)
    api.until(lambda: numbers(api) == (3, 2, 3, 1))
    assert counted(api).status.disrupted_pods is None
    text = f"Pod was expected by PDB {api.namespace}/web to be deleted but it wasn't"
    api.until(lambda: f"Warning NotDeleted {text}" in api.events(first))


def test_pods_without_controller_and_none_at_all_are_told(api: Asker) -> None:
    protect(api, maxUnavailable=1)
    api.until(lambda: "Normal NoPods No matching pods found" in api.events("web"))
    api.core.create_namespaced_pod(
        api.namespace, {"metadata": {"name": "p", "labels": LABELS}, "spec": template()["spec"]}
    )
    start = (
        "Warning UnmanagedPods Pods selected by this PodDisruptionBudget (selector: "
        "&LabelSelector{MatchLabels:map[string]string{app: web,},MatchExpressions:[]LabelSelectorRequirement{},}) "
        "were found to be unmanaged."
    )
    api.until(lambda: any(event.startswith(start) for event in api.events("web")))
    assert numbers(api)[3] == 0


def test_a_controller_that_cannot_be_counted_stops_evictions_and_says_why(api: Asker) -> None:
    job = {"template": {"metadata": {"labels": LABELS}, "spec": {**template()["spec"], "restartPolicy": "Never"}}}
    api.official.BatchV1Api().create_namespaced_job(api.namespace, {"metadata": {"name": "j"}, "spec": job})
    pod = api.until(lambda: (p := api.pods()) and p[0].status.phase == "Running" and p[0].metadata.name)
    protect_later = {"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": LABELS}, "maxUnavailable": 1}}
    api.policy.create_namespaced_pod_disruption_budget(api.namespace, protect_later)
    read = lambda: api.policy.read_namespaced_pod_disruption_budget("web", api.namespace)  # noqa: E731
    found = api.until(lambda: (b := read()).status and b.status.conditions and b)
    why = "jobs.batch does not implement the scale subresource"
    assert condition(found, "DisruptionAllowed") == ("False", "SyncFailed", why)
    told = f"Warning CalculateExpectedPodCountFailed Failed to calculate the number of expected pods: {why}"
    assert told in api.events("web")
    assert refusal(api, pod)[0] == 429
