"""What may change in a pod that exists, by the path of the change."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api.core.pod import KIND, spec_changed
from tests.api.judge import ABSENT, changed, stored, update
from tests.api.samples import POD

TOLERATION = {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
RUNNING = changed(
    POD,
    {
        "spec.nodeName": "node-1",
        "spec.activeDeadlineSeconds": 100,
        "spec.tolerations": [TOLERATION],
        "spec.containers.0.resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
    },
)
OTHER_FIELDS = (
    "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
    "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"
)
ALLOWED: list[dict[str, Any]] = [
    {},
    {"spec.containers.0.image": "nginx:1.28"},
    {"spec.activeDeadlineSeconds": 50},
    {"spec.tolerations.1": {"key": "b", "operator": "Exists"}},
    {"spec.tolerations.0.tolerationSeconds": 9},
    {"metadata.labels.tier": "front"},
]
REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"spec.containers.1": {"name": "b", "image": "b"}},
        "spec.containers: Forbidden: pod updates may not add or remove containers",
    ),
    (
        {"spec.activeDeadlineSeconds": 200},
        "spec.activeDeadlineSeconds: Invalid value: 200: must be less than or equal to previous value",
    ),
    (
        {"spec.activeDeadlineSeconds": ABSENT},
        "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value",
    ),
    (
        {"spec.tolerations": ABSENT},
        "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
    ),
    (
        {"spec.schedulingGates": [{"name": "late"}]},
        "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'late'",
    ),
]


@pytest.mark.parametrize("changes", ALLOWED)
def test_a_few_things_may_change(changes):
    assert update(KIND, stored(KIND, RUNNING), changes)[1] == []


@pytest.mark.parametrize(("changes", "expected"), REFUSED)
def test_the_rest_says_why_not(changes, expected):
    assert expected in update(KIND, stored(KIND, RUNNING), changes)[1]


def test_any_other_field_is_shown_as_a_difference():
    old = stored(KIND, RUNNING)
    (complaint,) = update(KIND, old, {"spec.terminationGracePeriodSeconds": 3})[1]
    text, _, difference = complaint.partition("\n")
    assert text + "\n" == OTHER_FIELDS
    assert '- "TerminationGracePeriodSeconds": 30,' in difference
    assert '+ "TerminationGracePeriodSeconds": 3,' in difference


def test_a_negative_grace_period_may_become_one():
    old = stored(KIND, changed(POD, {"spec.terminationGracePeriodSeconds": -5}))
    assert update(KIND, old, {"spec.terminationGracePeriodSeconds": 1})[1] == []
    assert update(KIND, old, {"spec.terminationGracePeriodSeconds": 2})[1] != []


def test_the_generation_counts_changes_of_the_spec_alone():
    old = stored(KIND, RUNNING)
    assert spec_changed(update(KIND, old, {"spec.containers.0.image": "x"})[0], old)
    assert not spec_changed(update(KIND, old, {"metadata.labels.a": "b"})[0], old)


def test_the_main_path_keeps_the_status():
    old = stored(KIND, RUNNING)
    old.status.phase = "Running"
    assert update(KIND, old, {"status": {"phase": "Failed"}})[0].status.phase == "Running"


GATED = changed(
    POD,
    {
        "spec.schedulingGates": [{"name": "a"}, {"name": "b"}],
        "spec.nodeSelector": {"disk": "ssd"},
        "spec.affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "k", "operator": "Exists"}]}]
                }
            }
        },
    },
)
TERMS = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"


@pytest.mark.parametrize(
    ("changes", "complains"),
    [
        ({"spec.schedulingGates": [{"name": "b"}]}, False),
        ({"spec.nodeSelector.zone": "a"}, False),
        ({"spec.nodeSelector.disk": "hdd"}, True),
        ({f"{TERMS}.0.matchExpressions.1": {"key": "l", "operator": "Exists"}}, False),
        ({f"{TERMS}.0.matchExpressions": []}, True),
        ({f"{TERMS}.1": {"matchExpressions": [{"key": "l", "operator": "Exists"}]}}, True),
        ({"spec.hostname": "h"}, True),
    ],
)
def test_a_gated_pod_may_become_choosier_about_nodes(changes, complains):
    assert bool(update(KIND, stored(KIND, GATED), changes)[1]) is complains


DEBUG = {"name": "debug", "image": "busybox", "imagePullPolicy": "Always", "terminationMessagePolicy": "File"}


def test_debug_containers_come_by_their_own_path_and_nothing_else_does():
    old = stored(KIND, RUNNING)
    new, problems = update(
        KIND, old, {"spec.ephemeralContainers": [DEBUG], "spec.hostname": "sneaky"}, "ephemeralcontainers"
    )
    assert problems == []
    assert [c.name for c in new.spec.ephemeralContainers] == ["debug"]
    assert new.spec.hostname is None
    assert update(KIND, old, {"spec.ephemeralContainers": [DEBUG]})[1] != []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"spec.ephemeralContainers": []},
            'spec.ephemeralContainers: Forbidden: existing ephemeral containers "debug" may not be removed\n',
        ),
        (
            {"spec.ephemeralContainers.1": {**DEBUG, "name": "more", "ports": [{"containerPort": 1}]}},
            "spec.ephemeralContainers[1].ports: Forbidden: cannot be set for an Ephemeral Container",
        ),
        (
            {"spec.ephemeralContainers.1": {**DEBUG, "name": "web"}},
            'spec.ephemeralContainers[1].name: Duplicate value: "web"',
        ),
        (
            {"spec.ephemeralContainers.1": {**DEBUG, "name": "more", "targetContainerName": "gone"}},
            'spec.ephemeralContainers[1].targetContainerName: Not found: "gone"',
        ),
    ],
)
def test_debug_containers_neither_change_nor_carry_load(changes, expected):
    with_debug, problems = update(
        KIND, stored(KIND, RUNNING), {"spec.ephemeralContainers": [DEBUG]}, "ephemeralcontainers"
    )
    assert problems == []
    assert expected in update(KIND, with_debug, changes, "ephemeralcontainers")[1]


def test_a_changed_debug_container_is_refused():
    with_debug, _ = update(KIND, stored(KIND, RUNNING), {"spec.ephemeralContainers": [DEBUG]}, "ephemeralcontainers")
    (complaint,) = update(KIND, with_debug, {"spec.ephemeralContainers.0.image": "other"}, "ephemeralcontainers")[1]
    assert 'existing ephemeral containers "debug" may not be changed' in complaint


def test_resize_changes_cpu_and_memory_and_keeps_the_rest():
    old = stored(KIND, RUNNING)
    changes = {"spec.containers.0.resources.requests.cpu": "2", "spec.containers.0.image": "sneaky"}
    new, problems = update(KIND, old, changes, "resize")
    assert problems == []
    assert new.spec.containers[0].resources.requests == {"cpu": "2", "memory": "1Gi"}
    assert new.spec.containers[0].image == "nginx:1.27"
    assert update(KIND, old, {"spec.containers.0.resources.requests.cpu": "2"})[1] != []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {
                "spec.containers.0.resources": {
                    "requests": {"cpu": "1", "memory": "1Gi"},
                    "limits": {"cpu": "1", "memory": "1Gi"},
                }
            },
            'spec: Invalid value: "Guaranteed": Pod QOS Class may not change as a result of resizing',
        ),
        (
            {"spec.containers.0.resources.requests.cpu": ABSENT},
            "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
        ),
    ],
)
def test_resize_stays_in_its_class(changes, expected):
    assert expected in update(KIND, stored(KIND, RUNNING), changes, "resize")[1]


def with_states(policy: str, state: dict[str, Any]) -> Any:
    pod = changed(POD, {"spec.restartPolicy": policy, "spec.nodeName": "node-1"})
    old = stored(KIND, pod)
    statuses = [{"name": "web", "ready": False, "restartCount": 0, "image": "", "imageID": "", "state": state}]
    return update(KIND, old, {"status.containerStatuses": statuses}, "status")[0]


RUNNING_STATE = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}


@pytest.mark.parametrize(
    ("policy", "code", "refused"),
    [("Always", 0, False), ("OnFailure", 0, True), ("OnFailure", 1, False), ("Never", 0, True), ("Never", 1, True)],
)
def test_a_finished_container_runs_again_only_if_its_policy_lets_it(policy, code, refused):
    old = with_states(policy, {"terminated": {"exitCode": code}})
    problems = update(KIND, old, {"status.containerStatuses.0.state": RUNNING_STATE}, "status")[1]
    text = "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
    assert problems == ([text] if refused else [])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status.qosClass": "Guaranteed"}, 'status.qosClass: Invalid value: "Guaranteed": Pod QoS is immutable'),
        (
            {"status.podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]},
            'status.podIPs: Invalid value: ["10.0.0.1","10.0.0.2"]: may specify no more than one IP for each IP family',
        ),
        ({"status.podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}, ""),
    ],
)
def test_a_kubelet_tells_sound_facts(changes, expected):
    problems = update(KIND, stored(KIND, RUNNING), changes, "status")[1]
    assert problems == ([expected] if expected else [])


def test_the_status_path_leaves_the_spec_and_the_owners_alone():
    old = stored(KIND, RUNNING)
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "u"}
    new, _ = update(KIND, old, {"spec.nodeName": "other", "metadata.ownerReferences": [owner]}, "status")
    assert new.spec.nodeName == "node-1"
    assert new.metadata.ownerReferences is None


def test_both_forms_of_the_address_agree():
    old = stored(KIND, RUNNING)
    assert update(KIND, old, {"status.podIP": "10.0.0.9"}, "status")[0].status.podIPs[0].ip == "10.0.0.9"
    assert update(KIND, old, {"status.podIPs": [{"ip": "10.0.0.8"}]}, "status")[0].status.podIP == "10.0.0.8"
