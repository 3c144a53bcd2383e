"""Pod Security Standards: every check by an example, and how a namespace's labels choose among them."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import core
from kybern.api.errors import StatusError
from kybern_admission_builtin.pod_security import PodSecurity
from kybern_admission_builtin.pod_security_checks import violations
from tests.security.world import World, admit, plain, request

pytestmark = pytest.mark.anyio

GOOD_CONTEXT = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def container(name: str = "c", context: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "x", "securityContext": {**GOOD_CONTEXT, **(context or {})}, **fields}


def pod(*containers: dict[str, Any], annotations: dict[str, str] | None = None, **spec: Any) -> Any:
    metadata = {"name": "p", "namespace": "a", "annotations": annotations or {}}
    return plain("v1/Pod", metadata=metadata, spec={"containers": list(containers) or [container()], **spec})


def said(level: str, pod: Any) -> list[str]:
    return [f"{reason}: {detail}" for reason, detail in violations(level, pod.metadata, pod.spec)]


BASELINE = [
    (
        pod(container(context={"privileged": True})),
        'privileged: container "c" must not set securityContext.privileged=true',
    ),
    (pod(hostNetwork=True, hostPID=True), "host namespaces: hostNetwork=true, hostPID=true"),
    (pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), 'hostPath volumes: volume "v"'),
    (
        pod(container(ports=[{"containerPort": 80, "hostPort": 80}]), container("d", ports=[{"hostPort": 81}])),
        'hostPort: containers "c", "d" use hostPorts 80, 81',
    ),
    (
        pod(container(context={"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "CHOWN"]}})),
        'non-default capabilities: container "c" must not include "NET_ADMIN" in securityContext.capabilities.add',
    ),
    (
        pod(container(context={"procMount": "Unmasked"})),
        'procMount: container "c" must not set securityContext.procMount to "Unmasked"',
    ),
    (
        pod(
            container(context={"seLinuxOptions": {"type": "x", "user": "u"}}),
            securityContext={"seLinuxOptions": {"role": "r"}},
        ),
        'seLinuxOptions: pod and container "c" set forbidden securityContext.seLinuxOptions: '
        'type "x"; user may not be set; role may not be set',
    ),
    (
        pod(container(context={"seccompProfile": {"type": "Unconfined"}})),
        'seccompProfile: container "c" must not set securityContext.seccompProfile.type to "Unconfined"',
    ),
    (
        pod(
            securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}, {"name": "net.ipv4.tcp_syncookies"}]}
        ),
        "forbidden sysctls: kernel.msgmax",
    ),
    (
        pod(annotations={"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}),
        'forbidden AppArmor profile: container.apparmor.security.beta.kubernetes.io/c="unconfined"',
    ),
    (
        pod(securityContext={"windowsOptions": {"hostProcess": True}}),
        "hostProcess: pod must not set securityContext.windowsOptions.hostProcess=true",
    ),
    (
        pod(container(livenessProbe={"httpGet": {"port": 80, "host": "10.0.0.1"}})),
        'probe or lifecycle host: container "c" uses probe or lifecycle host "10.0.0.1"',
    ),
]
RESTRICTED = [
    (
        pod(container(context={"allowPrivilegeEscalation": None}), container("d", {"allowPrivilegeEscalation": True})),
        'allowPrivilegeEscalation != false: containers "c", "d" must set '
        "securityContext.allowPrivilegeEscalation=false",
    ),
    (
        pod(container(context={"capabilities": {"add": ["CHOWN", "NET_BIND_SERVICE"]}})),
        'unrestricted capabilities: container "c" must set securityContext.capabilities.drop=["ALL"]; '
        'container "c" must not include "CHOWN" in securityContext.capabilities.add',
    ),
    (
        pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "emptyDir": {}}, {"name": "x"}]),
        'restricted volume types: volume "v" uses restricted volume type "hostPath"',
    ),
    (
        pod(container(context={"runAsNonRoot": False})),
        'runAsNonRoot != true: container "c" must not set securityContext.runAsNonRoot=false',
    ),
    (
        pod(container(context={"runAsNonRoot": None}), container("d")),
        'runAsNonRoot != true: pod or container "c" must set securityContext.runAsNonRoot=true',
    ),
    (pod(securityContext={"runAsUser": 0}), "runAsUser=0: pod must not set runAsUser=0"),
    (
        pod(container(context={"seccompProfile": None})),
        'seccompProfile: pod or container "c" must set securityContext.seccompProfile.type to '
        '"RuntimeDefault" or "Localhost"',
    ),
]


@pytest.mark.parametrize(("pod", "complaint"), BASELINE, ids=[c.split(":")[0] for _, c in BASELINE])
def test_what_baseline_forbids(pod: Any, complaint: str) -> None:
    assert said("baseline", pod) == [complaint]
    assert said("privileged", pod) == []


@pytest.mark.parametrize(("pod", "complaint"), RESTRICTED, ids=[c.split(":")[0] for _, c in RESTRICTED])
def test_what_restricted_asks_for(pod: Any, complaint: str) -> None:
    assert said("restricted", pod) == [complaint]


@pytest.mark.parametrize(("pod", "complaint"), BASELINE, ids=[c.split(":")[0] for _, c in BASELINE])
def test_restricted_forbids_all_that_baseline_forbids(pod: Any, complaint: str) -> None:
    assert said("restricted", pod)


@pytest.mark.parametrize(
    "good",
    [
        pod(),
        pod(container(context={"runAsNonRoot": None}), securityContext={"runAsNonRoot": True}),
        pod(container(context={"seccompProfile": None}), securityContext={"seccompProfile": {"type": "Localhost"}}),
        pod(container(context={"runAsUser": 0, "runAsNonRoot": None}), hostUsers=False),
        pod(container(context={"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}})),
        pod(container(livenessProbe={"httpGet": {"port": 80}})),
    ],
)
def test_what_passes_restricted(good: Any) -> None:
    assert said("restricted", good) == []


def test_init_and_ephemeral_containers_are_looked_at() -> None:
    bad = {"privileged": True}
    made = pod(initContainers=[container("i", bad)], ephemeralContainers=[container("e", bad)])
    assert said("baseline", made) == ['privileged: containers "i", "e" must not set securityContext.privileged=true']


def test_a_windows_pod_needs_no_linux_settings() -> None:
    made = plain("v1/Pod", spec={"os": {"name": "windows"}, "containers": [{"name": "c", "image": "x"}]})
    assert [reason for reason, _ in violations("restricted", made.metadata, made.spec)] == ["runAsNonRoot != true"]


class Cluster(World):
    def __init__(self, **labels: str) -> None:
        super().__init__()
        self.namespace = self.add(labelled(**labels))
        self.plugin = PodSecurity(self.lookup(core.Namespace), self.lookup(core.Pod))

    async def warnings(self, obj: Any, old: Any = None, subresource: str = "") -> list[str]:
        asked = request("UPDATE" if old is not None else "CREATE", obj, old=old, subresource=subresource)
        await admit(self.plugin, asked)
        return asked.warnings

    async def refused(self, obj: Any, **more: Any) -> str:
        with pytest.raises(StatusError) as caught:
            await self.warnings(obj, **more)
        assert caught.value.code in (403, 422)
        return caught.value.message


def labelled(**labels: str) -> Any:
    shown = {f"pod-security.kubernetes.io/{mode.replace('_', '-')}": value for mode, value in labels.items()}
    return plain("v1/Namespace", metadata={"name": "a", "labels": shown})


def simple(kind: str = "") -> Any:
    spec = {"containers": [{"name": "c", "image": "nginx"}]}
    if not kind:
        return plain("v1/Pod", metadata={"name": "p", "namespace": "a"}, spec=spec)
    template = {"template": {"spec": spec}}
    inner = {"jobTemplate": {"spec": template}} if kind.endswith("CronJob") else template
    return plain(kind, metadata={"name": "p", "namespace": "a"}, spec=inner)


SIMPLE = (
    'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), '
    'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), '
    'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
    'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to '
    '"RuntimeDefault" or "Localhost")'
)


async def test_a_pod_below_the_standard_is_refused() -> None:
    assert await Cluster(enforce="restricted").refused(simple()) == (
        f'pods "p" is forbidden: violates PodSecurity "restricted:latest": {SIMPLE}'
    )
    assert await Cluster(enforce="baseline", warn="baseline").warnings(simple()) == []
    assert await Cluster().warnings(simple()) == []
    assert await Cluster(enforce="privileged").warnings(pod(hostNetwork=True)) == []


async def test_warnings_do_not_refuse() -> None:
    expected = [f'would violate PodSecurity "restricted:v1.30": {SIMPLE}']
    assert await Cluster(warn="restricted", warn_version="v1.30").warnings(simple()) == expected


@pytest.mark.parametrize(
    "kind", ["apps/v1/Deployment", "apps/v1/DaemonSet", "batch/v1/Job", "batch/v1/CronJob", "v1/ReplicationController"]
)
async def test_what_makes_pods_is_warned_of_what_will_be_refused(kind: str) -> None:
    expected = [f'would violate PodSecurity "restricted:latest": {SIMPLE}']
    assert await Cluster(enforce="restricted").warnings(simple(kind)) == expected
    assert await Cluster(enforce="restricted", warn="privileged").warnings(simple(kind)) == []


async def test_ephemeral_containers_are_held_to_it_and_other_updates_are_not() -> None:
    cluster = Cluster(enforce="baseline")
    old = simple()
    new = pod(ephemeralContainers=[container("debug", {"privileged": True})])
    assert "privileged" in await cluster.refused(new, old=old, subresource="ephemeralcontainers")
    assert await cluster.warnings(new, old=old) == []


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            {"enforce": "strict"},
            'Namespace "a" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": '
            "must be one of privileged, baseline, restricted",
        ),
        (
            {"warn": "baseline", "warn_version": "1.30"},
            'Namespace "a" is invalid: metadata.labels[pod-security.kubernetes.io/warn-version]: '
            'Invalid value: "1.30": must be "latest" or "v1.x"',
        ),
    ],
)
async def test_labels_must_make_sense(labels: dict[str, str], message: str) -> None:
    cluster = Cluster()
    assert await cluster.refused(labelled(**labels)) == message
    assert await cluster.refused(labelled(**labels), old=labelled()) == message
    assert await cluster.warnings(labelled(**labels), old=labelled(**labels)) == []


async def test_a_namespace_whose_label_never_made_sense_is_held_to_the_highest() -> None:
    assert "restricted:latest" in await Cluster(enforce="strict").refused(simple())


async def test_raising_the_bar_tells_who_is_below_it() -> None:
    cluster = Cluster()
    for name in ("x", "y", "z"):
        made = simple()
        made.metadata.name = name
        cluster.add(made)
    reasons = "allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile"
    assert await cluster.warnings(labelled(enforce="restricted"), old=labelled()) == [
        'existing pods in namespace "a" violate the new PodSecurity enforce level "restricted:latest"',
        f"x (and 2 other pods): {reasons}",
    ]
    assert await cluster.warnings(labelled(enforce="baseline"), old=labelled()) == []
    assert await cluster.warnings(labelled(), old=labelled(enforce="restricted")) == []
