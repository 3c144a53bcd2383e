"""StatefulSets: order, identity, updates, claims, and what status and Events say of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.conftest import LABELS, Asker, template

CLAIM = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


def create(api: Asker, **spec: Any) -> Any:
    spec = {"replicas": 3, "serviceName": "db", "selector": {"matchLabels": LABELS}, "template": template(), **spec}
    return api.apps.create_namespaced_stateful_set(api.namespace, {"metadata": {"name": "db"}, "spec": spec})


def read(api: Asker) -> Any:
    return api.apps.read_namespaced_stateful_set("db", api.namespace)


def patch(api: Asker, **spec: Any) -> Any:
    return api.apps.patch_namespaced_stateful_set("db", api.namespace, {"spec": spec})


def names(api: Asker) -> list[str]:
    return [pod.metadata.name for pod in api.pods()]


def ready(api: Asker, *wanted: str) -> Any:
    """Wait until exactly these pods are there, ready, and told so."""

    def done() -> Any:
        found = read(api)
        seen = found.status.observed_generation == found.metadata.generation
        told = seen and (found.status.ready_replicas or 0) == found.status.replicas == len(wanted)
        return found if told and names(api) == list(wanted) else None

    return api.until(done)


def rolled_out(api: Asker, image: str, count: int = 3) -> Any:
    def done() -> Any:
        found = read(api)
        return found if found.status.current_revision == found.status.update_revision else None

    api.until(lambda: api.images() == [image] * count)
    return api.until(done)


def claims(api: Asker) -> list[str]:
    found = api.core.list_namespaced_persistent_volume_claim(api.namespace).items
    return sorted(c.metadata.name for c in found if c.metadata.deletion_timestamp is None)


def test_pods_come_in_order_with_name_and_number_and_the_status_counts_them(api: Asker) -> None:
    create(api)
    found = ready(api, "db-0", "db-1", "db-2")
    s = found.status
    assert (s.replicas, s.current_replicas, s.updated_replicas, s.available_replicas) == (3, 3, 3, 3)
    assert (s.observed_generation, s.collision_count, s.current_revision) == (1, 0, s.update_revision)
    assert found.spec.update_strategy.rolling_update.to_dict() == {"max_unavailable": 1, "partition": 0}
    pods = api.pods()
    assert pods[1].metadata.labels == {
        **LABELS,
        "controller-revision-hash": s.update_revision,
        "statefulset.kubernetes.io/pod-name": "db-1",
        "apps.kubernetes.io/pod-index": "1",
    }
    assert (pods[1].spec.hostname, pods[1].spec.subdomain) == ("db-1", "db")
    text = "Normal SuccessfulCreate create Pod db-{} in StatefulSet db successful"
    assert api.events("db") == [text.format(number) for number in range(3)]
    (revision,) = api.apps.list_namespaced_controller_revision(api.namespace).items
    assert (revision.metadata.name, revision.revision) == (s.update_revision, 1)
    labels = {**LABELS, "controller.kubernetes.io/hash": s.update_revision.removeprefix("db-")}
    assert revision.metadata.labels == labels
    assert revision.data["spec"]["template"]["$patch"] == "replace"


def test_in_order_nothing_starts_beside_one_that_is_not_ready_and_in_parallel_all_do(api: Asker) -> None:
    create(api, template=template(ready="failure@0,success@100"))
    api.until(lambda: names(api) == ["db-0"] and api.pods()[0].status.phase == "Running")
    assert read(api).status.replicas == 1
    api.kubectl("delete", "statefulset", "db")
    api.until(lambda: not names(api))
    create(api, podManagementPolicy="Parallel", template=template(ready="failure"))
    api.until(lambda: read(api).status.replicas == 3)
    assert names(api) == ["db-0", "db-1", "db-2"]
    patch(api, replicas=1)
    api.until(lambda: names(api) == ["db-0"])


def test_scaling_down_stands_still_while_one_that_stays_is_not_ready(api: Asker) -> None:
    create(api)
    ready(api, "db-0", "db-1", "db-2")
    patch(api, template=template(ready="failure"), updateStrategy={"type": "OnDelete", "rollingUpdate": None})
    api.until(lambda: read(api).status.updated_replicas is None)
    api.core.delete_namespaced_pod("db-0", api.namespace)
    api.until(lambda: (s := read(api).status).updated_replicas == 1 and s.ready_replicas == 2)
    patch(api, replicas=1)
    api.until(lambda: read(api).status.observed_generation == 3)
    assert names(api) == ["db-0", "db-1", "db-2"]


def test_a_partition_and_what_the_status_says_of_it(api: Asker) -> None:
    create(api, updateStrategy={"rollingUpdate": {"partition": 2}})
    ready(api, "db-0", "db-1", "db-2")
    patch(api, template=template("nginx:2"))
    api.until(lambda: api.images() == ["nginx:1", "nginx:1", "nginx:2"])
    found = api.until(lambda: (s := read(api)).status.ready_replicas == 3 and s.status.updated_replicas == 1 and s)
    assert found.status.current_replicas == 2
    assert found.status.current_revision != found.status.update_revision
    api.core.delete_namespaced_pod("db-0", api.namespace)
    api.until(lambda: read(api).status.ready_replicas == 3 and len(names(api)) == 3)
    assert api.images() == ["nginx:1", "nginx:1", "nginx:2"]
    patch(api, updateStrategy={"rollingUpdate": {"partition": 0}})
    rolled_out(api, "nginx:2")


def test_an_update_takes_max_unavailable_pods_at_a_time_and_old_broken_ones_besides(api: Asker) -> None:
    parallel = {"podManagementPolicy": "Parallel", "replicas": 5}
    create(api, **parallel, updateStrategy={"rollingUpdate": {"maxUnavailable": 2}}, template=template("nginx:0"))
    ready(api, *(f"db-{number}" for number in range(5)))
    patch(api, template=template("nginx:1", ready="failure"))
    api.until(lambda: api.images() == ["nginx:0"] * 3 + ["nginx:1"] * 2)
    api.until(lambda: read(api).status.ready_replicas == 3)
    # Two are unavailable, which is all that may be; but they are of an old revision now, and cost nothing.
    patch(api, template=template("nginx:2"))
    rolled_out(api, "nginx:2", 5)


def test_an_ordered_update_waits_for_each_pod_and_minimum_ready_seconds(api: Asker) -> None:
    create(api, replicas=2, minReadySeconds=50)
    api.until(lambda: read(api).status.ready_replicas == 1)
    assert (read(api).status.available_replicas, names(api)) == (0, ["db-0"])
    api.advance(51)
    api.until(lambda: read(api).status.ready_replicas == 2)
    api.advance(51)
    api.until(lambda: read(api).status.available_replicas == 2)
    patch(api, template=template("nginx:2"))
    api.until(lambda: api.images() == ["nginx:1", "nginx:2"] and read(api).status.ready_replicas == 2)
    assert read(api).status.available_replicas == 1
    api.advance(51)
    api.until(lambda: api.images() == ["nginx:2"] * 2)


def test_in_order_an_update_that_broke_stands_still_until_somebody_deletes_the_broken_pod(api: Asker) -> None:
    create(api, replicas=2)
    ready(api, "db-0", "db-1")
    patch(api, template=template("nginx:2", ready="failure"))
    api.until(lambda: api.images() == ["nginx:1", "nginx:2"])
    patch(api, template=template("nginx:3"))
    api.until(lambda: read(api).status.observed_generation == 3)
    assert api.images() == ["nginx:1", "nginx:2"]
    api.core.delete_namespaced_pod("db-1", api.namespace)
    rolled_out(api, "nginx:3", 2)


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_pod_that_ended_is_made_again_under_its_name(api: Asker, phase: str) -> None:
    create(api, replicas=1)
    ready(api, "db-0")
    first = api.pods()[0].metadata.uid
    ended = {"status": {"phase": phase, "reason": "Evicted"}}
    api.core.patch_namespaced_pod_status("db-0", api.namespace, ended)
    api.until(lambda: (found := api.pods()) and found[0].metadata.uid != first)
    ready(api, "db-0")
    assert api.events("db") == [
        "Normal SuccessfulCreate create Pod db-0 in StatefulSet db successful",
        "Normal SuccessfulDelete delete Pod db-0 in StatefulSet db successful",
    ]


def test_a_pod_is_let_go_by_its_labels_and_taken_back_by_them(api: Asker) -> None:
    create(api, replicas=1)
    ready(api, "db-0")

    def owned() -> bool:
        return bool(api.core.read_namespaced_pod("db-0", api.namespace).metadata.owner_references)

    api.kubectl("label", "pod", "db-0", "app=other", "--overwrite")
    api.until(lambda: not owned() and read(api).status.replicas == 0)
    api.kubectl("label", "pod", "db-0", "app=web", "--overwrite")
    api.until(owned)
    ready(api, "db-0")


def test_the_first_number_may_move(api: Asker) -> None:
    create(api, replicas=2, ordinals={"start": 3})
    ready(api, "db-3", "db-4")
    patch(api, ordinals={"start": 2})
    ready(api, "db-2", "db-3")
    patch(api, ordinals=None)
    ready(api, "db-0", "db-1")


def test_claims_go_with_their_pods_if_the_policy_says_so_and_come_anew(api: Asker) -> None:
    policy = {"whenScaled": "Delete", "whenDeleted": "Retain"}
    create(api, replicas=2, volumeClaimTemplates=[CLAIM], persistentVolumeClaimRetentionPolicy=policy)
    ready(api, "db-0", "db-1")
    before = api.core.read_namespaced_persistent_volume_claim("data-db-1", api.namespace)
    assert (before.metadata.labels, before.metadata.owner_references) == (LABELS, None)
    patch(api, replicas=1)
    ready(api, "db-0")
    patch(api, replicas=2)
    ready(api, "db-0", "db-1")
    after = api.core.read_namespaced_persistent_volume_claim("data-db-1", api.namespace)
    assert after.metadata.uid != before.metadata.uid
    text = "create Claim data-db-1 Pod db-1 in StatefulSet db success"
    assert f"Normal SuccessfulCreate {text}" in api.events("db")


def test_claims_follow_a_policy_that_changes(api: Asker) -> None:
    create(api, replicas=1, volumeClaimTemplates=[CLAIM])
    ready(api, "db-0")

    def owners() -> Any:
        claim = api.core.read_namespaced_persistent_volume_claim("data-db-0", api.namespace)
        return [(o.kind, o.controller, o.block_owner_deletion) for o in claim.metadata.owner_references or ()]

    assert owners() == []
    patch(api, persistentVolumeClaimRetentionPolicy={"whenDeleted": "Delete"})
    api.until(lambda: owners() == [("StatefulSet", True, True)])
    patch(api, persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain"})
    api.until(lambda: owners() == [])
    patch(api, persistentVolumeClaimRetentionPolicy={"whenDeleted": "Delete"})
    api.until(owners)
    api.kubectl("delete", "statefulset", "db")
    api.until(lambda: not claims(api))


def test_a_claim_that_a_waiting_pod_lost_is_made_again(api: Asker) -> None:
    create(api, replicas=1, volumeClaimTemplates=[CLAIM], template=template(nodeSelector={"no": "such"}))
    api.until(lambda: names(api) and claims(api))
    first = api.core.read_namespaced_persistent_volume_claim("data-db-0", api.namespace).metadata.uid
    api.core.patch_namespaced_persistent_volume_claim("data-db-0", api.namespace, {"metadata": {"finalizers": None}})
    api.core.delete_namespaced_persistent_volume_claim("data-db-0", api.namespace)

    def uid() -> Any:
        found = api.core.list_namespaced_persistent_volume_claim(api.namespace).items
        return found and found[0].metadata.uid != first and not found[0].metadata.deletion_timestamp

    api.until(uid)


def test_a_claim_that_may_not_be_is_told(api: Asker) -> None:
    api.kubectl("create", "quota", "none", "--hard=persistentvolumeclaims=0")
    create(api, replicas=1, volumeClaimTemplates=[CLAIM])
    refused = (
        'persistentvolumeclaims "data-db-0" is forbidden: exceeded quota: none, '
        "requested: persistentvolumeclaims=1, used: persistentvolumeclaims=0, limited: persistentvolumeclaims=0"
    )
    expected = {
        f"Warning FailedCreate create Claim data-db-0 for Pod db-0 in StatefulSet db failed error: {refused}",
        f"Warning FailedCreate create Pod db-0 in StatefulSet db failed error: failed to create PVC data-db-0: {refused}",
    }
    api.until(lambda: expected <= set(api.events("db")))
    assert names(api) == []


def test_history_is_kept_within_its_limit_and_rolled_back_to(api: Asker) -> None:
    create(api, replicas=1, revisionHistoryLimit=1)
    for image in ("nginx:2", "nginx:3", "nginx:4"):
        patch(api, template=template(image))
        rolled_out(api, image, 1)

    def revisions() -> list[int]:
        return sorted(r.revision for r in api.apps.list_namespaced_controller_revision(api.namespace).items)

    api.until(lambda: revisions() == [3, 4])
    api.kubectl("rollout", "undo", "statefulset/db")
    rolled_out(api, "nginx:3", 1)
    assert revisions() == [4, 5]


def test_the_scale_and_status_subresources(api: Asker) -> None:
    create(api, replicas=1)
    ready(api, "db-0")
    scale = api.apps.read_namespaced_stateful_set_scale("db", api.namespace)
    assert (scale.spec.replicas, scale.status.replicas, scale.status.selector) == (1, 1, "app=web")
    api.apps.patch_namespaced_stateful_set_scale("db", api.namespace, {"spec": {"replicas": 2}})
    ready(api, "db-0", "db-1")
    mine = {"status": {"conditions": [{"type": "Mine", "status": "True"}]}}
    assert api.apps.patch_namespaced_stateful_set_status("db", api.namespace, mine).metadata.generation == 2
    ready(api, "db-0", "db-1")
    assert [c.type for c in read(api).status.conditions] == ["Mine"]


def test_while_it_waits_for_its_pods_to_go_the_status_counts_on(api: Asker) -> None:
    slow = template(grace=300)
    slow["metadata"]["annotations"]["fake.kybern.dev/stop-delay"] = "100s"
    create(api, replicas=2, template=slow, podManagementPolicy="Parallel")
    ready(api, "db-0", "db-1")
    api.apps.delete_namespaced_stateful_set("db", api.namespace, propagation_policy="Foreground")
    api.until(lambda: not names(api) and read(api).status.current_replicas is None)
    api.core.delete_namespaced_pod("db-1", api.namespace, grace_period_seconds=0)
    api.until(lambda: read(api).status.replicas == 1)
