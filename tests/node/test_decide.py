"""The pure decisions, as tables: a pod, what the runtime knows, and what is to be done."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api.core import (
    ContainerRestartRule,
    ContainerRestartRuleOnExitCodes,
    Probe,
)
from kybern.node.admit import Used, admit, pod_requests
from kybern.node.backoff import Backoff
from kybern.node.decide import Actions, decide
from kybern.node.pod_runtime import PodRuntime
from kybern.node.pod_status import View, has_ended, pod_status
from kybern.node.restart import restarts_after
from kybern.node.runtime import ContainerState, ContainerStatus, PodSandbox, SandboxState
from kybern.node.verdicts import Verdicts
from tests.node.world import condition, container, pod

READY, LOST = SandboxState.READY, SandboxState.NOTREADY


def known(*containers: str, sandbox: str = "ready") -> PodRuntime:
    """A pod's runtime, newest first: `c`, `c:exited:3`, `c:created`, `c:unknown`; with `@0`: of the old sandbox."""
    sandboxes = []
    if sandbox:
        state = READY if sandbox == "ready" else LOST
        sandboxes = [PodSandbox("s1", "p", "default", "u", 1, state, 10.0, ("10.0.0.1",))]
        sandboxes.append(PodSandbox("s0", "p", "default", "u", 0, LOST, 1.0))
    made = []
    for i, text in enumerate(containers):
        text, _, old = text.partition("@")
        name, state_name, code = [*text.split(":"), "", ""][:3]
        state = ContainerState["RUNNING" if not state_name else state_name.upper()]
        made.append(
            ContainerStatus(
                f"id{i}", "s0" if old else "s1", name, 0, state, 10.0, 10.0, 20.0 if code else 0.0, int(code or 0)
            )
        )
    return PodRuntime(sandboxes, made)


def said(actions: Actions) -> str:
    """Actions as one line."""
    parts = ["stop"] if actions.stop_pod else []
    parts += [f"sandbox {actions.attempt}"] if actions.create_sandbox else []
    parts += [f"kill {k.container.name}{' by ' + k.probe if k.probe else ''}" for k in actions.kill]
    parts += [f"debug {c.name}" for c in actions.start_ephemeral]
    parts += [f"init {c.name}" for c in actions.start_init]
    parts += [f"start {c.name}" for c in actions.start]
    return ", ".join(parts)


def with_init(*init: Any, **spec: Any) -> Any:
    return pod("p", container("c"), initContainers=list(init), **spec)


SIDECAR = {"restartPolicy": "Always"}

CASES: list[tuple[str, Any, PodRuntime, str]] = [
    ("a new pod", pod(), PodRuntime(), "sandbox 0, start c"),
    ("a new pod with init", with_init(container("a"), container("b")), PodRuntime(), "sandbox 0, init a"),
    ("sandbox is up", pod(), known(), "start c"),
    ("all runs", pod(), known("c"), ""),
    ("one of two runs", pod("p", "a", "b"), known("a"), "start b"),
    ("sandbox lost while running", pod(), known("c:unknown", sandbox="lost"), "stop, sandbox 2, start c"),
    ("sandbox lost, container killed with it", pod(), known("c:exited:137", sandbox="lost"), "sandbox 2, start c"),
    ("sandbox lost, never restarted", pod(restartPolicy="Never"), known("c:exited:137", sandbox="lost"), ""),
    ("sandbox lost, had succeeded", pod(restartPolicy="OnFailure"), known("c:exited:0", sandbox="lost"), ""),
    ("sandbox lost, runs init again", with_init(container("a")),
        known("c:exited:1", "a:exited:0", sandbox="lost"), "sandbox 2, init a"),
    ("new sandbox, old init does not count", with_init(container("a")),
        known("c:exited:1@0", "a:exited:0@0"), "init a"),
    ("failed, to be restarted", pod(), known("c:exited:1"), "start c"),
    ("succeeded, always restarted", pod(), known("c:exited:0"), "start c"),
    ("succeeded, restarted on failure only", pod(restartPolicy="OnFailure"), known("c:exited:0"), "stop"),
    ("failed, restarted on failure", pod(restartPolicy="OnFailure"), known("c:exited:1"), "start c"),
    ("failed, never restarted", pod(restartPolicy="Never"), known("c:exited:1"), "stop"),
    ("one done, one runs", pod("p", "a", "b", restartPolicy="Never"), known("a:exited:0", "b"), ""),
    ("made and not started", pod(), known("c:created"), "start c"),
    ("in unknown state", pod(), known("c:unknown"), "kill c, start c"),
    ("init runs", with_init(container("a"), container("b")), known("a"), ""),
    ("first init is through", with_init(container("a"), container("b")), known("a:exited:0"), "init b"),
    ("all init is through", with_init(container("a"), container("b")), known("b:exited:0", "a:exited:0"), "start c"),
    ("init failed", with_init(container("a")), known("a:exited:1"), "init a"),
    ("init failed for good", with_init(container("a"), restartPolicy="Never"), known("a:exited:1"), "stop"),
    ("initialized long ago", with_init(container("a")), known("c"), ""),
    ("sidecar first", with_init(container("s", **SIDECAR), container("a")), known(), "init s"),
    ("sidecar runs, next init", with_init(container("s", **SIDECAR), container("a")), known("s"), "init a"),
    ("sidecar runs, main starts", with_init(container("s", **SIDECAR)), known("s"), "start c"),
    ("sidecar ended during init", with_init(container("s", **SIDECAR), container("a")),
        known("s:exited:0", "a"), "init s"),
    ("sidecar ended later", with_init(container("s", **SIDECAR), restartPolicy="Never"),
        known("c", "s:exited:0"), "init s"),
    ("sidecar outlives the job", with_init(container("s", **SIDECAR), restartPolicy="Never"),
        known("c:exited:0", "s"), "stop"),
    ("image was changed", pod(), PodRuntime(known().sandboxes, [ContainerStatus(
        "id", "s1", "c", 0, ContainerState.RUNNING, 1.0, annotations={"kybern.dev/image": "old"})]), "kill c, start c"),
]  # fmt: skip


@pytest.mark.parametrize(("_", "p", "runtime", "expected"), CASES, ids=[c[0] for c in CASES])
def test_decide(_: str, p: Any, runtime: PodRuntime, expected: str) -> None:
    assert said(decide(p, runtime, Verdicts())) == expected


@pytest.mark.parametrize(
    ("policy", "kind", "expected"),
    [
        ("Always", "liveness", "kill c by liveness, start c"),
        ("Never", "liveness", "kill c by liveness"),
        ("OnFailure", "startup", "kill c by startup, start c"),
    ],
)
def test_a_failed_probe_kills(policy: str, kind: str, expected: str) -> None:
    verdicts = Verdicts()
    getattr(verdicts, kind)["id0"] = False
    p = pod("p", container("c", **{kind + "Probe": Probe()}), restartPolicy=policy)
    assert said(decide(p, known("c"), verdicts)) == expected


def rule(operator: str, *values: int) -> Any:
    codes = ContainerRestartRuleOnExitCodes(operator=operator, values=list(values))
    return ContainerRestartRule(action="Restart", exitCodes=codes)


@pytest.mark.parametrize(
    ("pod_policy", "fields", "code", "restarts"),
    [
        ("Always", {}, 0, True),
        ("OnFailure", {}, 0, False),
        ("OnFailure", {}, 1, True),
        ("Never", {}, 1, False),
        ("Never", {"restartPolicy": "Always"}, 0, True),
        ("Always", {"restartPolicy": "Never"}, 1, False),
        ("Always", {"restartPolicy": "OnFailure"}, 0, False),
        ("Never", {"restartPolicy": "Never", "restartPolicyRules": [rule("In", 42)]}, 42, True),
        ("Never", {"restartPolicy": "Never", "restartPolicyRules": [rule("In", 42)]}, 43, False),
        ("Never", {"restartPolicy": "Never", "restartPolicyRules": [rule("NotIn", 0, 42)]}, 43, True),
        ("Never", {"restartPolicy": "Never", "restartPolicyRules": [rule("NotIn", 0, 42)]}, 0, False),
    ],
)
def test_restart_policies_of_pods_and_containers(
    pod_policy: str, fields: dict[str, Any], code: int, restarts: bool
) -> None:
    assert restarts_after(pod(restartPolicy=pod_policy), container("c", **fields), code) is restarts


PHASES: list[tuple[str, Any, PodRuntime, bool, str]] = [
    ("nothing yet", pod(), PodRuntime(), False, "Pending"),
    ("runs", pod(), known("c"), False, "Running"),
    ("one runs, one waits", pod("p", "a", "b"), known("a"), False, "Pending"),
    ("restarting", pod(), known("c:exited:1"), False, "Running"),
    ("one done, one runs", pod("p", "a", "b", restartPolicy="Never"), known("a:exited:0", "b"), False, "Running"),
    ("all succeeded", pod("p", "a", "b", restartPolicy="Never"), known("a:exited:0", "b:exited:0"), False, "Succeeded"),
    ("one failed", pod("p", "a", "b", restartPolicy="Never"), known("a:exited:0", "b:exited:2"), False, "Failed"),
    ("deleted with a clean end", pod(), known("c:exited:0", sandbox="lost"), True, "Succeeded"),
    ("deleted with a kill", pod(), known("c:exited:137", sandbox="lost"), True, "Failed"),
    ("init runs", with_init(container("a")), known("a"), False, "Pending"),
    ("init failed for good", with_init(container("a"), restartPolicy="Never"), known("a:exited:1"), False, "Failed"),
    ("init will be tried again", with_init(container("a")), known("a:exited:1"), False, "Pending"),
    ("job done beside a sidecar", with_init(container("s", **SIDECAR), restartPolicy="Never"),
        known("c:exited:0", "s"), False, "Succeeded"),
]  # fmt: skip


@pytest.mark.parametrize(("_", "p", "runtime", "terminal", "phase"), PHASES, ids=[c[0] for c in PHASES])
def test_phases(_: str, p: Any, runtime: PodRuntime, terminal: bool, phase: str) -> None:
    p.metadata.generation = 7
    status = pod_status(p, runtime, View(now=100.0, verdicts=Verdicts(), terminal=terminal))
    assert status.phase == phase
    assert status.observedGeneration == 7
    if not terminal:
        assert has_ended(p, runtime) is (phase in ("Succeeded", "Failed"))


def test_the_conditions_of_a_pod_come_in_order_and_keep_their_times() -> None:
    p = pod()
    first = pod_status(p, PodRuntime(), View(now=100.0, verdicts=Verdicts()))
    p.status = first
    second = pod_status(p, known("c"), View(now=200.0, verdicts=Verdicts()))
    assert [c.type for c in second.conditions] == [
        "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled",
    ]  # fmt: skip
    p.status = second
    assert condition(p, "PodScheduled").lastTransitionTime == "1970-01-01T00:01:40Z"
    assert condition(p, "Ready").lastTransitionTime == "1970-01-01T00:03:20Z"
    assert second.startTime == "1970-01-01T00:01:40Z"
    assert pod_status(p, known("c"), View(now=300.0, verdicts=Verdicts())) == second


def test_a_container_the_runtime_lost_is_told_as_unknown() -> None:
    p = pod()
    p.status = pod_status(p, known("c"), View(now=100.0, verdicts=Verdicts()))
    status = pod_status(p, PodRuntime(), View(now=200.0, verdicts=Verdicts())).containerStatuses[0]
    assert (status.lastState.terminated.reason, status.lastState.terminated.exitCode, status.restartCount) == (
        "ContainerStatusUnknown", 137, 1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("failures", "delays"),
    [([0, 1, 2, 3], [10, 20, 40, 80]), ([0, 700], [10, 10]), ([0, 1, 2, 3, 4, 5, 6], [10, 20, 40, 80, 160, 300, 300])],
)
def test_back_off_doubles_and_starts_anew_after_a_long_quiet(failures: list[float], delays: list[float]) -> None:
    backoff = Backoff(10.0, 300.0)
    seen = []
    for at in failures:
        backoff.next("k", at, at)
        seen.append(backoff.delay("k"))
    assert seen == delays
    assert backoff.remaining("k", failures[-1], failures[-1] + 4) == delays[-1] - 4
    assert backoff.remaining("other", 0, 0) == 0


def test_requests_of_init_containers_and_sidecars() -> None:
    from kybern.api.core import ResourceRequirements

    def asks(name: str, cpu: str, **fields: Any) -> Any:
        return container(name, resources=ResourceRequirements(requests={"cpu": cpu}), **fields)

    p = pod("p", asks("c", "1"), initContainers=[asks("a", "3"), asks("s", "500m", **SIDECAR), asks("b", "3")])
    assert pod_requests(p)["cpu"] == 3.5
    p.spec.overhead = {"cpu": "250m"}
    assert pod_requests(p)["cpu"] == 3.75


def test_node_affinity_is_checked_on_the_node_too() -> None:
    from kybern.api.core import (
        Affinity,
        Node,
        NodeAffinity,
        NodeSelector,
        NodeSelectorRequirement,
        NodeSelectorTerm,
        NodeStatus,
        Taint,
        Toleration,
    )
    from kybern.api.meta import ObjectMeta

    node = Node(
        metadata=ObjectMeta(name="n1", labels={"zone": "a", "rank": "5"}), status=NodeStatus(allocatable={"pods": "9"})
    )

    def wants(operator: str, key: str, *values: str) -> Any:
        term = NodeSelectorTerm(
            matchExpressions=[NodeSelectorRequirement(key=key, operator=operator, values=list(values))]
        )
        required = NodeSelector(nodeSelectorTerms=[term])
        return pod(
            affinity=Affinity(nodeAffinity=NodeAffinity(requiredDuringSchedulingIgnoredDuringExecution=required))
        )

    fits = [
        ("In", "zone", "a", "b"),
        ("NotIn", "zone", "b"),
        ("Exists", "zone"),
        ("DoesNotExist", "gpu"),
        ("Gt", "rank", "4"),
    ]
    misfits = [("In", "zone", "b"), ("Exists", "gpu"), ("Lt", "rank", "5"), ("Gt", "zone", "1")]
    assert [admit(wants(*want), node, Used()) for want in fits] == [None] * len(fits)
    assert all((refusal := admit(wants(*want), node, Used())) and refusal.reason == "NodeAffinity" for want in misfits)

    node.spec.taints = [Taint(key="k", value="v", effect="NoExecute")]
    assert (refused := admit(pod(), node, Used())) is not None
    assert refused.reason == "TaintToleration"
    assert admit(pod(tolerations=[Toleration(key="k", operator="Exists")]), node, Used()) is None
