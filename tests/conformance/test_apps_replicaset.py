"""ReplicaSets and ReplicationControllers: which pods are theirs, what is told of them, and their subresources."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from tests.conformance.conftest import LABELS, Asker, condition, template


@attrs.frozen
class Kept:
    """One of the two kinds, through the official client."""

    api: Asker
    kind: str
    word: str

    def _call(self, verb: str, *arguments: Any, **options: Any) -> Any:
        group = self.api.apps if self.kind == "ReplicaSet" else self.api.core
        return getattr(group, f"{verb}_namespaced_{self.word}")(*arguments, **options)

    def create(self, name: str = "set", replicas: int = 2, **spec: Any) -> Any:
        selector = {"matchLabels": LABELS} if self.kind == "ReplicaSet" else LABELS
        body = {"metadata": {"name": name}, "spec": {"replicas": replicas, "selector": selector, **spec}}
        body["spec"].setdefault("template", template())
        return self._call("create", self.api.namespace, body)

    def read(self) -> Any:
        return self._call("read", "set", self.api.namespace)

    def patch(self, **spec: Any) -> Any:
        return self._call("patch", "set", self.api.namespace, {"spec": spec})

    def delete(self, **options: Any) -> Any:
        return self._call("delete", "set", self.api.namespace, **options)

    def scale(self) -> Any:
        return self._call("read", "set", self.api.namespace) and getattr(
            self.api.apps if self.kind == "ReplicaSet" else self.api.core, f"read_namespaced_{self.word}_scale"
        )("set", self.api.namespace)

    def status(self, **status: Any) -> Any:
        group = self.api.apps if self.kind == "ReplicaSet" else self.api.core
        return getattr(group, f"patch_namespaced_{self.word}_status")("set", self.api.namespace, {"status": status})

    def ready(self, count: int = 2) -> Any:
        def done() -> Any:
            found = self.read()
            s = found.status
            seen = s.observed_generation == found.metadata.generation
            return found if seen and (s.available_replicas or 0) == s.replicas == count else None

        return self.api.until(done)


@pytest.fixture(params=["ReplicaSet", "ReplicationController"])
def kept(api: Asker, request: pytest.FixtureRequest) -> Kept:
    words = {"ReplicaSet": "replica_set", "ReplicationController": "replication_controller"}
    return Kept(api, request.param, words[request.param])


def test_it_counts_its_pods(kept: Kept) -> None:
    kept.create()
    s = kept.ready().status
    counts = (s.replicas, s.ready_replicas, s.available_replicas, s.fully_labeled_replicas, s.observed_generation)
    assert counts == (2, 2, 2, 2, 1)
    assert getattr(s, "terminating_replicas", None) == (0 if kept.kind == "ReplicaSet" else None)
    events = kept.api.events("set")
    assert sorted(events) == [f"Normal SuccessfulCreate Created pod: {p.metadata.name}" for p in kept.api.pods()]
    reference = kept.api.pods()[0].metadata.owner_references[0]
    assert (reference.kind, reference.name, reference.controller, reference.block_owner_deletion) == (
        kept.kind, "set", True, True,
    )  # fmt: skip
    assert kept.api.pods()[0].metadata.generate_name == "set-"


def test_pods_that_match_are_adopted_and_those_that_do_not_any_more_released_and_replaced(kept: Kept) -> None:
    api = kept.api
    api.core.create_namespaced_pod(
        api.namespace, {"metadata": {"name": "free", "labels": LABELS}, **{"spec": template()["spec"]}}
    )
    kept.create()
    kept.ready()
    assert "free" in [pod.metadata.name for pod in api.pods()]
    patch = {"metadata": {"labels": {"app": "other"}}}
    released = api.core.patch_namespaced_pod("free", api.namespace, patch)
    kept.ready()
    api.until(lambda: not api.core.read_namespaced_pod("free", api.namespace).metadata.owner_references)
    assert released.metadata.name not in [pod.metadata.name for pod in api.pods()]
    assert len(api.pods()) == 2


def test_what_the_quota_forbids_is_told_until_it_is_allowed(kept: Kept) -> None:
    kept.api.kubectl("create", "quota", "few", "--hard=pods=2")
    kept.create(replicas=3)
    found = kept.api.until(lambda: condition(k := kept.read(), "ReplicaFailure") and k)
    status, reason, message = condition(found, "ReplicaFailure")
    assert (status, reason) == ("True", "FailedCreate")
    assert "is forbidden: exceeded quota: few, requested: pods=1, used: pods=2, limited: pods=2" in message
    assert any(e.startswith('Warning FailedCreate Error creating: pods "set-') for e in kept.api.events("set"))
    kept.patch(replicas=2)
    kept.api.until(lambda: condition(kept.read(), "ReplicaFailure") is None)
    kept.ready()


def test_scaling_down_takes_the_cheapest_and_orphaning_leaves_all(kept: Kept) -> None:
    kept.create(replicas=3)
    kept.ready(3)
    cheap = kept.api.pods()[1].metadata.name
    kept.api.kubectl("annotate", "pod", cheap, "controller.kubernetes.io/pod-deletion-cost=-5")
    kept.patch(replicas=2)
    kept.ready()
    assert cheap not in [pod.metadata.name for pod in kept.api.pods()]
    assert f"Normal SuccessfulDelete Deleted pod: {cheap}" in kept.api.events("set")
    kept.delete(propagation_policy="Orphan")
    kept.api.until(lambda: not any(pod.metadata.owner_references for pod in kept.api.pods()))
    assert len(kept.api.pods()) == 2


def test_scale_and_status_have_paths_of_their_own(kept: Kept) -> None:
    kept.create()
    kept.ready()
    scale = kept.scale()
    assert (scale.spec.replicas, scale.status.replicas, scale.status.selector) == (2, 2, "app=web")
    mine = {"type": "Mine", "status": "True", "reason": "Test", "message": "by hand"}
    found = kept.status(conditions=[mine])
    assert condition(found, "Mine") == ("True", "Test", "by hand")
    assert found.metadata.generation == 1
    assert condition(kept.ready(), "Mine") is not None


def test_minimum_ready_seconds(kept: Kept) -> None:
    kept.create(minReadySeconds=40)
    kept.api.until(lambda: kept.read().status.ready_replicas == 2)
    assert kept.read().status.available_replicas is None
    kept.api.advance(41)
    kept.ready()


def test_terminating_pods_are_counted_apart(api: Asker) -> None:
    kept, slow = Kept(api, "ReplicaSet", "replica_set"), template(grace=300)
    slow["metadata"]["annotations"]["fake.kybern.dev/stop-delay"] = "100s"
    kept.create(replicas=3, template=slow)
    kept.ready(3)
    kept.patch(replicas=1)
    s = api.until(lambda: (s := kept.read().status).terminating_replicas == 2 and s)
    assert (s.replicas, s.ready_replicas) == (1, 1)
    api.advance(101)
    api.until(lambda: kept.read().status.terminating_replicas == 0)
