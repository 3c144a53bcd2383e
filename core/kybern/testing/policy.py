"""The contract suite of the `kybern_scheduling_policy` seam.

    class TestMyPolicy(PolicyContract):
        policy = MyPolicy

Every policy must pass it as it is, whichever extension points it takes part in. The suite asks the
policy about made-up clusters, once with numpy columns and once without: both must get the same
answers, questions must leave no trace, and "what if" must agree with what is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

import pytest

from kybern.api import types
from kybern.scheduler.podinfo import PodInfo
from kybern.scheduler.policy import MAX_SCORE, Code, CycleState, Hint, Policy, Status
from kybern.scheduler.profile import overrides
from kybern.scheduler.snapshot import Candidates, Snapshot
from kybern.testing.scheduling import PolicyWorld, random_pod, random_world

__all__ = ["PolicyContract"]

SEEDS = range(4)
PODS = 12


class PolicyContract:
    """Subclass it and name the policy."""

    policy: type[Policy]
    args: Mapping[str, Any] = {}
    """`pluginConfig` to test with."""

    def make(self, world: PolicyWorld) -> Policy:
        """The policy in a world. Override when it needs more than its args."""
        world.policy = self.policy(self.args, world)
        return world.policy

    def pods(self, seed: int) -> Iterator[PodInfo]:
        """Pods to ask about."""
        random = Random(1000 + seed)
        for i in range(PODS):
            yield PodInfo(random_pod(random, f"new-{i}"))

    def test_has_a_name_and_a_weight(self) -> None:
        assert isinstance(self.policy.name, str) and self.policy.name
        assert self.policy.weight >= 1

    def test_takes_part_in_something(self) -> None:
        policy = self.make(random_world(0, numpy=False))
        points = [name for name in vars(Policy) if not name.startswith("_") and callable(getattr(Policy, name))]
        assert any(overrides(policy, name) for name in points)

    def test_hints_are_hints(self) -> None:
        assert all(isinstance(hint, Hint) for hint in self.make(random_world(0, numpy=False)).hints())

    @pytest.mark.parametrize("seed", SEEDS)
    def test_answers_are_the_same_with_and_without_columns(self, seed: int) -> None:
        plain, columns = random_world(seed, numpy=False), random_world(seed, numpy=True)
        one, all_ = self.make(plain), self.make(columns)
        for pod in self.pods(seed):
            state, known = _filtered(one, pod, plain.snapshot)
            state_all, known_all = _filtered(all_, pod, columns.snapshot)
            assert known == known_all
            if known is None or state.skip_filter:
                continue
            objections = [one.filter(state, pod, info) for info in plain.snapshot.nodes]
            assert objections == [all_.filter(state_all, pod, info) for info in columns.snapshot.nodes]
            if overrides(all_, "filter_all"):
                mask = all_.filter_all(state_all, pod, columns.snapshot)
                passed = [True] * len(objections) if mask is None else mask.tolist()
                assert passed == [o is None for o in objections]
            if overrides(all_, "alike"):
                numbers = all_.alike(state_all, pod, columns.snapshot)
                rejected = [
                    (0 if numbers is None else int(numbers[i]), o) for i, o in enumerate(objections) if o is not None
                ]
                assert len(set(rejected)) == len({number for number, _ in rejected})

    @pytest.mark.parametrize("seed", SEEDS)
    def test_scores_are_the_same_with_and_without_columns_and_in_range(self, seed: int) -> None:
        plain, columns = random_world(seed, numpy=False), random_world(seed, numpy=True)
        one, all_ = self.make(plain), self.make(columns)
        for pod in self.pods(seed):
            rows = sorted(Random(seed).sample(range(len(plain.snapshot.nodes)), 15))
            scores = _scores(one, pod, plain.snapshot, rows)
            assert scores == _scores(all_, pod, columns.snapshot, rows)
            assert scores is None or all(0 <= score <= MAX_SCORE for score in scores)

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("numpy", [False, True])
    def test_asking_changes_nothing(self, seed: int, numpy: bool) -> None:
        world = random_world(seed, numpy=numpy)
        policy = self.make(world)
        before = _fingerprint(world.snapshot)
        for pod in self.pods(seed):
            encoded = types.encode(pod.pod)
            state, answer = _filtered(policy, pod, world.snapshot)
            if answer is not None and not state.skip_filter:
                for info in world.snapshot.nodes:
                    policy.filter(state, pod, info)
            _scores(policy, pod, world.snapshot, range(len(world.snapshot.nodes)))
            assert types.encode(pod.pod) == encoded
        assert _fingerprint(world.snapshot) == before

    @pytest.mark.parametrize("seed", SEEDS)
    def test_objections_say_why_and_by_whom(self, seed: int) -> None:
        world = random_world(seed, numpy=False)
        policy = self.make(world)
        for pod in self.pods(seed):
            for objection in _objections(policy, pod, world.snapshot):
                assert objection.policy == policy.name
                assert objection.rejected, objection
                assert objection.reasons and all(objection.reasons)

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("numpy", [False, True])
    def test_what_if_a_pod_left_agrees_with_its_leaving(self, seed: int, numpy: bool) -> None:
        asked, changed = random_world(seed, numpy=numpy), random_world(seed, numpy=numpy)
        policy, after = self.make(asked), self.make(changed)
        leaving = [pod for pod, _ in asked.snapshot.pods.values()][::7]
        for gone in leaving:
            node = asked.snapshot.pods[gone.uid][1]
            changed.snapshot.remove_pod(gone.uid)
            for pod in self.pods(seed):
                imagined = _without(asked, policy, pod, gone, node)
                if imagined is not _NOT_ASKED:
                    assert imagined == _objection_at(after, pod, changed.snapshot, node)
            changed.snapshot.add_pod(gone, node)

    @pytest.mark.parametrize("seed", SEEDS)
    def test_what_if_leaves_no_trace(self, seed: int) -> None:
        world = random_world(seed, numpy=True)
        policy = self.make(world)
        other = PodInfo(random_pod(Random(seed), "other"))
        for pod in self.pods(seed):
            state, answer = _filtered(policy, pod, world.snapshot)
            if answer is None or state.skip_filter:
                continue
            for info in world.snapshot.nodes[:6]:
                before = policy.filter(state, pod, info)
                clone, there = state.clone(), info.clone()
                world.add_pod(clone, pod, other, there)
                assert policy.filter(state, pod, info) == before
                world.remove_pod(clone, pod, other, there)
                assert policy.filter(clone, pod, there) == before

    def test_giving_back_what_was_never_taken_is_harmless(self) -> None:
        world = random_world(0, numpy=False)
        policy = self.make(world)
        before = _fingerprint(world.snapshot)
        for pod in self.pods(0):
            policy.unreserve(CycleState(), pod, "n0")
        assert _fingerprint(world.snapshot) == before

    def test_pods_can_be_sorted(self) -> None:
        policy = self.make(random_world(0, numpy=False))
        keys = [policy.sort_key(pod, float(i)) for i, pod in enumerate(self.pods(0))]
        assert sorted(keys[1:] + keys[:1]) == sorted(keys)


_NOT_ASKED = object()


def _filtered(policy: Policy, pod: PodInfo, snapshot: Snapshot) -> tuple[CycleState, Any]:
    """(state, what pre_filter said; None when it rejected the pod everywhere)."""
    state = CycleState()
    answer = policy.pre_filter(state, pod, snapshot)
    if isinstance(answer, Status):
        if answer.code is not Code.SKIP:
            assert answer.rejected and answer.reasons and answer.policy == policy.name, answer
            return state, None
        state.skip_filter.add(policy.name)
        return state, "skip"
    return state, answer or "all"


def _objection_at(policy: Policy, pod: PodInfo, snapshot: Snapshot, node: str) -> Any:
    state, answer = _filtered(policy, pod, snapshot)
    if answer is None or state.skip_filter:
        return None if answer is not None else _NOT_ASKED
    return policy.filter(state, pod, snapshot.by_name[node])


def _without(world: PolicyWorld, policy: Policy, pod: PodInfo, gone: PodInfo, node: str) -> Any:
    """The objection at a node as if a pod had left it."""
    state, answer = _filtered(policy, pod, world.snapshot)
    if answer is None or state.skip_filter:
        return _NOT_ASKED
    state, there = state.clone(), world.snapshot.by_name[node].clone()
    world.remove_pod(state, pod, gone, there)
    return policy.filter(state, pod, there)


def _objections(policy: Policy, pod: PodInfo, snapshot: Snapshot) -> list[Status]:
    state, answer = _filtered(policy, pod, snapshot)
    if answer is None or state.skip_filter:
        return []
    return [o for o in (policy.filter(state, pod, info) for info in snapshot.nodes) if o is not None]


def _scores(policy: Policy, pod: PodInfo, snapshot: Snapshot, rows: Any) -> list[int] | None:
    """Normalized scores of the nodes in these rows; None when the policy leaves the pod out."""
    state = CycleState()
    infos = Candidates(snapshot.nodes, list(rows))
    if not overrides(policy, "score"):
        return None
    if policy.pre_score(state, pod, infos) is not None:
        return None
    if snapshot.numpy is not None and overrides(policy, "score_all"):
        array = snapshot.numpy.array(list(rows))
        return [int(s) for s in policy.normalize(state, pod, infos, policy.score_all(state, pod, snapshot, array))]
    return [int(s) for s in policy.normalize(state, pod, infos, [policy.score(state, pod, info) for info in infos])]


def _fingerprint(snapshot: Snapshot) -> Any:
    return [
        (n.name, n.row, dict(n.requested), n.nonzero_cpu, n.nonzero_memory, dict(n.ports), sorted(n.pods))
        for n in snapshot.nodes
    ]
