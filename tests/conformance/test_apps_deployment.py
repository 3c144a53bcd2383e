"""Deployments: what the status, the conditions, the Events and kubectl say in the course of a rollout."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.conftest import LABELS, Asker, condition, template


def create(api: Asker, name: str = "web", **spec: Any) -> Any:
    spec = {"replicas": 2, "selector": {"matchLabels": LABELS}, "template": template(), **spec}
    return api.apps.create_namespaced_deployment(
        api.namespace, {"metadata": {"name": name, "labels": LABELS}, "spec": spec}
    )


def read(api: Asker, name: str = "web") -> Any:
    return api.apps.read_namespaced_deployment(name, api.namespace)


def patch(api: Asker, **spec: Any) -> Any:
    return api.apps.patch_namespaced_deployment("web", api.namespace, {"spec": spec})


def sets(api: Asker) -> list[Any]:
    """ReplicaSets, by revision."""
    found = api.apps.list_namespaced_replica_set(api.namespace).items
    return sorted(found, key=lambda rs: int(rs.metadata.annotations["deployment.kubernetes.io/revision"]))


def complete(api: Asker) -> Any:
    def done() -> Any:
        found = read(api)
        told = condition(found, "Progressing")
        seen = found.status.observed_generation == found.metadata.generation
        return found if seen and told and told[1] == "NewReplicaSetAvailable" else None

    return api.until(done)


def test_the_status_of_a_finished_rollout(api: Asker) -> None:
    made = create(api)
    assert (made.metadata.generation, made.status.observed_generation) == (1, None)
    found = complete(api)
    # Its own annotation is no change of what the user wants.
    assert (found.metadata.generation, found.status.observed_generation) == (1, 1)
    assert found.metadata.annotations == {"deployment.kubernetes.io/revision": "1"}
    s = found.status
    assert (s.replicas, s.updated_replicas, s.ready_replicas, s.available_replicas) == (2, 2, 2, 2)
    assert (s.unavailable_replicas, s.terminating_replicas, s.collision_count) == (None, 0, None)
    assert [c.type for c in s.conditions] == ["Available", "Progressing"]
    assert condition(found, "Available") == (
        "True", "MinimumReplicasAvailable", "Deployment has minimum availability.",
    )  # fmt: skip
    (rs,) = sets(api)
    text = f'ReplicaSet "{rs.metadata.name}" has successfully progressed.'
    assert condition(found, "Progressing") == ("True", "NewReplicaSetAvailable", text)
    assert rs.metadata.labels == {**LABELS, "pod-template-hash": rs.metadata.name.removeprefix("web-")}
    assert rs.spec.selector.match_labels == rs.metadata.labels
    assert rs.metadata.annotations == {
        "deployment.kubernetes.io/desired-replicas": "2",
        "deployment.kubernetes.io/max-replicas": "3",
        "deployment.kubernetes.io/revision": "1",
    }
    assert api.events("web") == [f"Normal ScalingReplicaSet Scaled up replica set {rs.metadata.name} from 0 to 2"]
    assert sorted(api.events(rs.metadata.name)) == [
        f"Normal SuccessfulCreate Created pod: {pod.metadata.name}" for pod in api.pods()
    ]


def test_another_template_is_another_generation_and_revision_and_undo_a_third(api: Asker) -> None:
    create(api)
    complete(api)
    patch(api, template=template("nginx:2"))
    found = complete(api)
    assert found.metadata.generation == 2
    assert found.metadata.annotations["deployment.kubernetes.io/revision"] == "2"
    old, new = sets(api)
    assert [rs.spec.replicas for rs in (old, new)] == [0, 2]
    assert "deployment.apps/web rolled back" in api.kubectl("rollout", "undo", "deployment/web")
    complete(api)
    assert [rs.metadata.name for rs in sets(api)] == [new.metadata.name, old.metadata.name]
    assert sets(api)[1].metadata.annotations["deployment.kubernetes.io/revision-history"] == "1"
    assert "skipped rollback (current template already matches revision 3)" in api.kubectl(
        "rollout", "undo", "deployment/web", "--to-revision=3"
    )


def test_a_rollout_past_its_deadline_says_so_and_recovers(api: Asker) -> None:
    create(api, progressDeadlineSeconds=60)
    complete(api)
    patch(api, template=template(ready="failure"))
    api.until(lambda: len(api.pods()) == 3)
    api.advance(62)
    timed_out = lambda: condition(found := read(api), "Progressing")[1] == "ProgressDeadlineExceeded" and found  # noqa: E731
    found = api.until(timed_out)
    new = sets(api)[-1].metadata.name
    text = f'ReplicaSet "{new}" has timed out progressing.'
    assert condition(found, "Progressing") == ("False", "ProgressDeadlineExceeded", text)
    assert condition(found, "Available")[0] == "True"
    said = api.kubectl.fails("rollout", "status", "deployment/web")
    assert 'error: deployment "web" exceeded its progress deadline' in said
    patch(api, template=template("nginx:2"))
    assert complete(api).status.updated_replicas == 2
    assert api.images() == ["nginx:2"] * 2


def test_too_few_available_pods_are_told(api: Asker) -> None:
    create(api, template=template(ready="failure"))
    found = api.until(lambda: (d := read(api)).status.updated_replicas == 2 and d)
    text = "Deployment does not have minimum availability."
    assert condition(found, "Available") == ("False", "MinimumReplicasUnavailable", text)
    assert found.status.unavailable_replicas == 2
    (rs,) = sets(api)
    progressing = ("True", "ReplicaSetUpdated", f'ReplicaSet "{rs.metadata.name}" is progressing.')
    assert api.until(lambda: condition(read(api), "Progressing")) == progressing


def test_paused_it_scales_and_says_so_but_does_not_roll(api: Asker) -> None:
    create(api)
    complete(api)
    api.kubectl("rollout", "pause", "deployment/web")
    patch(api, template=template("nginx:2"), replicas=3)
    found = api.until(lambda: (d := read(api)).status.available_replicas == 3 and d)
    assert condition(found, "Progressing") == ("Unknown", "DeploymentPaused", "Deployment is paused")
    assert (api.images(), found.status.updated_replicas) == (["nginx:1"] * 3, None)
    api.kubectl("rollout", "resume", "deployment/web")
    complete(api)
    assert api.images() == ["nginx:2"] * 3


def test_no_deadline_no_progressing_condition(api: Asker) -> None:
    create(api, progressDeadlineSeconds=2**31 - 1)
    found = api.until(lambda: (d := read(api)).status.available_replicas == 2 and d)
    assert [c.type for c in found.status.conditions] == ["Available"]


def test_a_new_template_in_mid_rollout_scales_the_unfinished_one_away(api: Asker) -> None:
    create(api, replicas=4)
    complete(api)
    patch(api, template=template("nginx:2", ready="failure"))
    api.until(lambda: api.images().count("nginx:2") == 2)
    patch(api, template=template("nginx:3"))
    complete(api)
    assert [rs.spec.replicas for rs in sets(api)] == [0, 0, 4]


def test_scaling_in_mid_rollout_is_shared_in_proportion(api: Asker) -> None:
    create(api, replicas=10, strategy={"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}})
    complete(api)
    patch(api, template=template("nginx:2", ready="failure"))
    sizes = lambda: [rs.spec.replicas for rs in sets(api)]  # noqa: E731
    api.until(lambda: sizes() == [8, 5])
    patch(api, replicas=30)
    api.until(lambda: sizes() == [20, 13])
    api.until(lambda: read(api).status.replicas == 33)


def test_recreate_starts_no_new_pod_before_the_last_old_one_is_gone(api: Asker) -> None:
    slow = template(grace=300)
    slow["metadata"]["annotations"]["fake.kybern.dev/stop-delay"] = "200s"
    create(api, strategy={"type": "Recreate"}, template=slow)
    complete(api)
    patch(api, template=template("nginx:2"))
    found = api.until(lambda: (d := read(api)).status.terminating_replicas == 2 and d)
    assert found.status.replicas is None
    assert [rs.spec.replicas for rs in sets(api)] == [0]
    api.advance(201)
    complete(api)
    assert api.images() == ["nginx:2"] * 2


@pytest.mark.parametrize(("limit", "kept"), [(0, 0), (1, 1)])
def test_old_replica_sets_beyond_the_history_limit_go(api: Asker, limit: int, kept: int) -> None:
    create(api, replicas=1, revisionHistoryLimit=limit)
    for image in ("nginx:2", "nginx:3"):
        complete(api)
        patch(api, template=template(image))
    complete(api)
    api.until(lambda: len(sets(api)) == 1 + kept)
    if not limit:
        assert 'no rollout history found for deployment "web"' in api.kubectl.fails("rollout", "undo", "deployment/web")


def test_min_ready_seconds_count_before_a_pod_is_available(api: Asker) -> None:
    create(api, minReadySeconds=100)
    found = api.until(lambda: (d := read(api)).status.ready_replicas == 2 and d)
    assert (found.status.available_replicas, found.status.unavailable_replicas) == (None, 2)
    api.advance(101)
    assert complete(api).status.available_replicas == 2


def test_a_replica_set_that_fits_is_adopted_and_one_that_does_not_is_let_go(api: Asker) -> None:
    create(api)
    complete(api)
    api.apps.delete_namespaced_deployment("web", api.namespace, propagation_policy="Orphan")
    api.until(lambda: not sets(api)[0].metadata.owner_references)
    made = create(api, "heir")
    api.until(lambda: (owners := sets(api)[0].metadata.owner_references) and owners[0].uid == made.metadata.uid)
    assert len(sets(api)) == 1
    api.kubectl("label", "replicaset", sets(api)[0].metadata.name, "app=other", "--overwrite")
    api.until(lambda: len(sets(api)) == 2)
    assert sum(not rs.metadata.owner_references for rs in sets(api)) == 1


def test_what_the_quota_forbids_is_told_on_the_deployment(api: Asker) -> None:
    api.kubectl("create", "quota", "none", "--hard=pods=1")
    create(api, replicas=2)
    found = api.until(lambda: condition(d := read(api), "ReplicaFailure") and d)
    status, reason, message = condition(found, "ReplicaFailure")
    assert (status, reason) == ("True", "FailedCreate")
    assert "is forbidden: exceeded quota: none, requested: pods=1, used: pods=1, limited: pods=1" in message
    api.kubectl("delete", "quota", "none")
    api.advance(30)
    assert condition(complete(api), "ReplicaFailure") is None


def test_the_scale_and_status_subresources(api: Asker) -> None:
    create(api)
    complete(api)
    scale = api.apps.read_namespaced_deployment_scale("web", api.namespace)
    assert (scale.spec.replicas, scale.status.replicas, scale.status.selector) == (2, 2, "app=web")
    scale.spec.replicas = 4
    assert api.apps.replace_namespaced_deployment_scale("web", api.namespace, scale).spec.replicas == 4
    assert read(api).metadata.generation == 2
    note = {"metadata": {"annotations": {"a": "b"}}, "status": {"conditions": [{"type": "Mine", "status": "True"}]}}
    patched = api.apps.patch_namespaced_deployment_status("web", api.namespace, note)
    assert (patched.metadata.generation, patched.metadata.annotations["a"]) == (2, "b")
    assert condition(patched, "Mine") == ("True", None, None)


def test_limits_in_percent(api: Asker) -> None:
    """maxSurge rounds up, maxUnavailable down, and when both come to nothing one pod may be missing."""
    create(api, replicas=3, strategy={"rollingUpdate": {"maxSurge": "0%", "maxUnavailable": "10%"}})
    complete(api)
    patch(api, template=template("nginx:2", ready="failure"))
    api.until(lambda: sorted(api.images()) == ["nginx:1", "nginx:1", "nginx:2"])
    assert [rs.spec.replicas for rs in sets(api)] == [2, 1]
