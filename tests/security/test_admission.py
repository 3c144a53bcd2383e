"""Admission of objects into namespaces, and of pods with their service accounts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kybern.api import core, types
from kybern.api.errors import StatusError
from kybern.clock import VirtualClock
from kybern_admission_builtin.namespace_lifecycle import NamespaceLifecycle
from kybern_admission_builtin.service_account import ServiceAccount
from tests.security.admitting import created, pod, refused
from tests.security.world import World, admit, plain, request

pytestmark = pytest.mark.anyio


def lifecycle(phase: str = "Active") -> tuple[World, NamespaceLifecycle, VirtualClock]:
    world, clock = World(), VirtualClock()
    world.add(plain("v1/Namespace", metadata={"name": "a"}, status={"phase": phase}))
    return world, NamespaceLifecycle(world.lookup(core.Namespace), clock), clock


async def test_nothing_is_created_in_a_namespace_that_does_not_exist() -> None:
    world, plugin, _ = lifecycle()
    await admit(plugin, request("CREATE", pod()))
    world.remove(await world.get(core.Namespace, "a"))
    with pytest.raises(StatusError) as caught:
        await admit(plugin, request("CREATE", pod()))
    assert (caught.value.code, caught.value.message) == (404, 'namespaces "a" not found')


async def test_a_namespace_that_no_cache_knows_yet_counts() -> None:
    world = World()
    world.add_on_server(plain("v1/Namespace", metadata={"name": "a"}, status={"phase": "Active"}))
    await admit(NamespaceLifecycle(world.lookup(core.Namespace), VirtualClock()), request("CREATE", pod()))


async def test_nothing_new_in_a_namespace_that_is_going_but_updates_and_deletes_go_on() -> None:
    _, plugin, _ = lifecycle("Terminating")
    with pytest.raises(StatusError) as caught:
        await admit(plugin, request("CREATE", pod()))
    why = "unable to create new content in namespace a because it is being terminated"
    assert (caught.value.code, caught.value.message) == (403, f'pods "p" is forbidden: {why}')
    assert caught.value.details is not None
    assert caught.value.details["causes"] == [
        {
            "reason": "NamespaceTerminating",
            "message": "namespace a is being terminated",
            "field": "metadata.namespace",
        }
    ]
    await admit(plugin, request("UPDATE", pod(), old=pod()))
    await admit(plugin, request("DELETE", None, old=pod()))


async def test_the_cache_is_not_believed_right_after_a_deletion() -> None:
    world, plugin, clock = lifecycle()
    old = await world.get(core.Namespace, "a")
    await admit(plugin, request("DELETE", None, old=old))
    world.add_on_server(plain("v1/Namespace", metadata={"name": "a"}, status={"phase": "Terminating"}))
    assert "being terminated" in await refused(plugin, request("CREATE", pod()))
    await clock.advance(31)
    await admit(plugin, request("CREATE", pod()))


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
async def test_three_namespaces_stay(name: str) -> None:
    _, plugin, _ = lifecycle()
    namespace = plain("v1/Namespace", metadata={"name": name})
    message = await refused(plugin, request("DELETE", None, old=namespace))
    assert message == f'namespaces "{name}" is forbidden: this namespace may not be deleted'


def accounts(**fields: Any) -> tuple[World, ServiceAccount]:
    world = World()
    world.add(plain("v1/ServiceAccount", metadata={"name": "default", "namespace": "a"}, **fields))
    return world, ServiceAccount(world.lookup(core.ServiceAccount), VirtualClock())


async def test_a_pod_gets_the_default_account_and_its_token() -> None:
    _, plugin = accounts()
    spec = (await created(plugin, pod(initContainers=[{"name": "i", "image": "x"}]))).spec
    assert (spec.serviceAccountName, spec.serviceAccount) == ("default", "default")
    (volume,) = spec.volumes
    assert volume.name.startswith("kube-api-access-") and len(volume.name) == len("kube-api-access-") + 5
    assert types.to_plain(volume.projected) == {
        "defaultMode": 420,
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {
                "downwardAPI": {
                    "items": [
                        {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
                    ]
                }
            },
        ],
    }
    for container in (*spec.containers, *spec.initContainers):
        (mount,) = container.volumeMounts
        path = "/var/run/secrets/kubernetes.io/serviceaccount"
        assert (mount.name, mount.mountPath, mount.readOnly) == (volume.name, path, True)


@pytest.mark.parametrize(
    ("of_account", "of_pod", "mounted"),
    [
        (None, None, True), (False, None, False), (True, None, True),
        (None, False, False), (False, True, True), (True, False, False),
    ],
)  # fmt: skip
async def test_the_pods_word_on_the_token_counts_before_the_accounts(
    of_account: bool | None, of_pod: bool | None, mounted: bool
) -> None:
    _, plugin = accounts(automountServiceAccountToken=of_account)
    made = await created(plugin, pod(automountServiceAccountToken=of_pod))
    assert bool(made.spec.volumes) is mounted


async def test_a_container_that_mounts_something_there_keeps_it() -> None:
    _, plugin = accounts()
    mount = {"name": "mine", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    containers = [{"name": "c", "image": "x", "volumeMounts": [mount]}]
    spec = (await created(plugin, pod(containers=containers, volumes=[{"name": "mine", "emptyDir": {}}]))).spec
    assert [v.name for v in spec.volumes] == ["mine"]
    assert [m.name for m in spec.containers[0].volumeMounts] == ["mine"]


async def test_pull_secrets_come_from_the_account_unless_the_pod_has_its_own() -> None:
    _, plugin = accounts(imagePullSecrets=[{"name": "s"}])
    assert [s.name for s in (await created(plugin, pod())).spec.imagePullSecrets] == ["s"]
    own = await created(plugin, pod(imagePullSecrets=[{"name": "own"}]))
    assert [s.name for s in own.spec.imagePullSecrets] == ["own"]


async def test_an_unknown_account_is_refused() -> None:
    _, plugin = accounts()
    assert await refused(plugin, request("CREATE", pod(serviceAccountName="ghost"))) == (
        'pods "p" is forbidden: error looking up service account a/ghost: serviceaccount "ghost" not found'
    )


async def test_a_new_namespaces_default_account_is_waited_for() -> None:
    world, clock = World(), VirtualClock()
    plugin = ServiceAccount(world.lookup(core.ServiceAccount), clock)
    waiting = asyncio.ensure_future(admit(plugin, request("CREATE", pod())))
    await clock.advance(0.15)
    world.add(plain("v1/ServiceAccount", metadata={"name": "other", "namespace": "a"}))
    assert not waiting.done()
    world.add(plain("v1/ServiceAccount", metadata={"name": "default", "namespace": "a"}))
    assert (await waiting).spec.serviceAccountName == "default"


async def test_the_wait_for_the_default_account_ends() -> None:
    clock = VirtualClock()
    plugin = ServiceAccount(World().lookup(core.ServiceAccount), clock)
    waiting = asyncio.ensure_future(refused(plugin, request("CREATE", pod())))
    await clock.advance(2)
    assert "error looking up service account a/default" in await waiting


def mirror(**fields: Any) -> Any:
    made = pod(**fields)
    made.metadata.annotations = {"kubernetes.io/config.mirror": "x"}
    return made


async def test_mirror_pods_are_left_alone_and_bring_no_secrets() -> None:
    _, plugin = accounts()
    assert (await created(plugin, mirror())).spec.serviceAccountName is None
    for fields, why in (
        ({"serviceAccountName": "default"}, "reference service accounts"),
        ({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}, "reference secrets"),
        (
            {"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]},
            "use ServiceAccountToken volume projections",
        ),
    ):
        assert await refused(plugin, request("CREATE", mirror(**fields))) == (
            f'pods "p" is forbidden: a mirror pod may not {why}'
        )


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (
            {"volumes": [{"name": "v", "secret": {"secretName": "other"}}]},
            'volume with secret.secretName="other" is not allowed because service account default '
            "does not reference that secret",
        ),
        (
            {
                "containers": [
                    {
                        "name": "c",
                        "image": "x",
                        "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "other", "key": "k"}}}],
                    }
                ]
            },
            'container c with envVar E referencing secret.secretName="other" is not allowed because '
            "service account default does not reference that secret",
        ),
        (
            {"imagePullSecrets": [{"name": "other"}]},
            'imagePullSecrets[0].name="other" is not allowed because service account default '
            "does not reference that imagePullSecret",
        ),
    ],
)
async def test_an_account_may_restrict_its_pods_to_its_secrets(fields: dict[str, Any], why: str) -> None:
    world, plugin = accounts(secrets=[{"name": "mine"}])
    await admit(plugin, request("CREATE", pod(**fields)))
    account: Any = await world.get(core.ServiceAccount, "default", "a")
    account.metadata.annotations = {"kubernetes.io/enforce-mountable-secrets": "true"}
    assert await refused(plugin, request("CREATE", pod(**fields))) == f'pods "p" is forbidden: {why}'
    await admit(plugin, request("CREATE", pod(volumes=[{"name": "v", "secret": {"secretName": "mine"}}])))
