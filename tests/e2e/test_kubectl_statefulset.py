"""kubectl and StatefulSets: rollout in its five verbs, partitions, scaling, storage, orphans and adoption."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import Kubectl

IMAGES = ("get", "pods", "-l", "app=db", "-o", "jsonpath={.items[*].spec.containers[0].image}")
CLAIMS = ("get", "pvc", "-o", "jsonpath={.items[*].metadata.name}")


def manifest(replicas: int = 3, **spec: Any) -> str:
    """A StatefulSet `db` whose pods end at once and have a claim each."""
    container = {"name": "c", "image": "nginx:1", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return json.dumps(
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "db"},
            "spec": {
                "serviceName": "db",
                "replicas": replicas,
                "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": {"app": "db"}},
                "template": {
                    "metadata": {"labels": {"app": "db"}},
                    "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
                },
                "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
                **spec,
            },
        }
    )


def rolled_out(kubectl: Kubectl) -> None:
    kubectl("rollout", "status", "statefulset/db", "--timeout=30s")


@pytest.fixture
def db(kubectl: Kubectl) -> Kubectl:
    kubectl("create", "-f", "-", stdin=manifest())
    rolled_out(kubectl)
    return kubectl


def test_ordered_pods_come_up_with_name_number_host_and_storage(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=manifest(2, podManagementPolicy="OrderedReady", ordinals={"start": 5}))
    rolled_out(kubectl)
    first, second = kubectl.json("get", "pods")["items"]
    assert [pod["metadata"]["name"] for pod in (first, second)] == ["db-5", "db-6"]
    ready = next(c for c in first["status"]["conditions"] if c["type"] == "Ready")
    assert ready["lastTransitionTime"] <= second["metadata"]["creationTimestamp"]
    assert second["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "6"
    assert (second["spec"]["hostname"], second["spec"]["subdomain"]) == ("db-6", "db")
    assert kubectl(*CLAIMS).split() == ["data-db-5", "data-db-6"]
    assert "create Pod db-6 in StatefulSet db successful" in kubectl("describe", "statefulset", "db")
    assert kubectl("get", "statefulset", "db", "--no-headers").split()[:2] == ["db", "2/2"]


def test_rollout_history_undo_and_restart(db: Kubectl) -> None:
    db("set", "image", "statefulset/db", "c=nginx:2")
    rolled_out(db)
    assert db(*IMAGES).split() == ["nginx:2"] * 3
    assert "nginx:1" in db("rollout", "history", "statefulset/db", "--revision=1")
    assert "rolled back" in db("rollout", "undo", "statefulset/db")
    rolled_out(db)
    assert db(*IMAGES).split() == ["nginx:1"] * 3
    history = db("rollout", "history", "statefulset/db").splitlines()[2:]
    assert [line.split()[0] for line in history if line.strip()] == ["2", "3"]
    assert "unable to find specified revision 9" in db.fails("rollout", "undo", "statefulset/db", "--to-revision=9")
    uids = ("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}")
    before = set(db(*uids).split())
    db("rollout", "restart", "statefulset/db")
    rolled_out(db)
    assert not before & set(db(*uids).split())
    assert "pausing is not supported" in db.fails("rollout", "pause", "statefulset/db")


def test_a_partition_is_a_canary_even_for_pods_deleted_by_hand(db: Kubectl) -> None:
    db("patch", "statefulset", "db", "-p", '{"spec":{"updateStrategy":{"rollingUpdate":{"partition":2}}}}')
    db("set", "image", "statefulset/db", "c=nginx:2")
    said = db("rollout", "status", "statefulset/db", "--timeout=30s")
    assert "partitioned roll out complete: 1 new pods have been updated" in said
    db("delete", "pods", "--all")
    db.eventually("get", "statefulset", "db", "-o", "jsonpath={.status.readyReplicas}", becomes="3")
    assert db(*IMAGES).split() == ["nginx:1", "nginx:1", "nginx:2"]
    db("patch", "statefulset", "db", "-p", '{"spec":{"updateStrategy":{"rollingUpdate":{"partition":0}}}}')
    rolled_out(db)
    assert db(*IMAGES).split() == ["nginx:2"] * 3


def test_on_delete_leaves_the_update_to_who_deletes(db: Kubectl) -> None:
    strategy = '{"spec":{"updateStrategy":{"type":"OnDelete","rollingUpdate":null}}}'
    db("patch", "statefulset", "db", "--type=merge", "-p", strategy)
    db("set", "image", "statefulset/db", "c=nginx:2")
    assert "only available for RollingUpdate" in db.fails("rollout", "status", "statefulset/db")
    db("delete", "pod", "db-1")
    db.eventually("get", "pod", "db-1", "-o", "jsonpath={.status.phase}", becomes="Running")
    assert db(*IMAGES).split() == ["nginx:1", "nginx:2", "nginx:1"]


def test_an_update_that_never_starts_is_replaced_by_the_next_one(db: Kubectl) -> None:
    db("set", "image", "statefulset/db", "c=nginx:does-not-exist")
    reason = "jsonpath={.status.containerStatuses[0].state.waiting.reason}"
    db.eventually("get", "pod", "db-2", "-o", reason, becomes="ImagePullBackOff")
    assert db(*IMAGES).split()[:2] == ["nginx:1", "nginx:1"]
    db("rollout", "undo", "statefulset/db")
    rolled_out(db)
    assert db(*IMAGES).split() == ["nginx:1"] * 3


def test_claims_stay_when_scaled_down_unless_the_policy_says_delete(db: Kubectl) -> None:
    db("scale", "statefulset/db", "--replicas=2", "--current-replicas=3")
    db("wait", "--for=delete", "pod/db-2", "--timeout=20s")
    assert db(*CLAIMS).split() == ["data-db-0", "data-db-1", "data-db-2"]
    policy = '{"spec":{"persistentVolumeClaimRetentionPolicy":{"whenScaled":"Delete","whenDeleted":"Delete"}}}'
    db("patch", "statefulset", "db", "-p", policy)
    db("scale", "statefulset/db", "--replicas=1")
    db("wait", "--for=delete", "pvc/data-db-1", "--timeout=20s")
    db("delete", "statefulset", "db")
    db("wait", "--for=delete", "pvc/data-db-0", "--timeout=20s")
    assert db(*CLAIMS).split() == ["data-db-2"]


def test_pods_left_behind_are_adopted_by_the_next_set(db: Kubectl) -> None:
    uids = ("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}")
    before = db(*uids)
    db("delete", "statefulset", "db", "--cascade=orphan")
    assert db(*uids) == before
    db("create", "-f", "-", stdin=manifest())
    rolled_out(db)
    owner = db("get", "pods", "-o", "jsonpath={.items[*].metadata.ownerReferences[0].uid}").split()
    assert set(owner) == {db("get", "statefulset", "db", "-o", "jsonpath={.metadata.uid}")}


def test_what_may_not_change_is_refused(db: Kubectl) -> None:
    said = db.fails("patch", "statefulset", "db", "-p", '{"spec":{"serviceName":"x"}}')
    assert "updates to statefulset spec for fields other than" in said
