"""The built-in admission plugins, one by one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kybern.api import core, types
from kybern.api.errors import StatusError
from kybern.api.networking import IngressClass
from kybern.api.node import RuntimeClass as RuntimeClassKind
from kybern.api.scheduling import PriorityClass
from kybern.api.storage import StorageClass
from kybern.clock import VirtualClock
from kybern.config import ConfigError
from kybern_admission_builtin import Options, chain
from kybern_admission_builtin.access import Access
from kybern_admission_builtin.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
)
from kybern_admission_builtin.claim_resize import PersistentVolumeClaimResize
from kybern_admission_builtin.default_ingress_class import DefaultIngressClass
from kybern_admission_builtin.default_storage_class import DefaultStorageClass
from kybern_admission_builtin.default_toleration_seconds import DefaultTolerationSeconds
from kybern_admission_builtin.namespace_lifecycle import NamespaceLifecycle
from kybern_admission_builtin.owner_references import OwnerReferencesPermissionEnforcement
from kybern_admission_builtin.priority import Priority
from kybern_admission_builtin.runtime_class import RuntimeClass
from kybern_admission_builtin.service_account import ServiceAccount
from kybern_admission_builtin.storage_protection import StorageObjectInUseProtection
from kybern_admission_builtin.taint_nodes_by_condition import TaintNodesByCondition
from tests.security.test_pki import request as certificate_request
from tests.security.world import World, admit, plain, request

pytestmark = pytest.mark.anyio


def pod(**fields: Any) -> Any:
    spec = {"containers": [{"name": "c", "image": "nginx"}], **fields}
    return plain("v1/Pod", metadata={"name": "p", "namespace": "a"}, spec=spec)


async def refused(plugin: Any, asked: Any) -> str:
    """The message of a 403."""
    with pytest.raises(StatusError) as caught:
        await admit(plugin, asked)
    assert caught.value.code == 403, caught.value.message
    return caught.value.message


async def created(plugin: Any, obj: Any) -> Any:
    """The object after the plugin, which changes nothing the second time."""
    once = await admit(plugin, request("CREATE", obj))
    again = types.encode(once)
    assert types.encode(await admit(plugin, request("CREATE", once))) == again
    return once


# Namespaces


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


# Service accounts


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


# Tolerations, taints, priority


async def test_tolerations_of_a_bad_node_are_added() -> None:
    made = await created(DefaultTolerationSeconds(), pod())
    assert [types.to_plain(t) for t in made.spec.tolerations] == [
        {"key": f"node.kubernetes.io/{what}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for what in ("not-ready", "unreachable")
    ]


@pytest.mark.parametrize(
    ("toleration", "added"),
    [
        ({"operator": "Exists"}, []),
        ({"operator": "Exists", "effect": "NoExecute"}, []),
        ({"operator": "Exists", "effect": "NoSchedule"}, ["not-ready", "unreachable"]),
        ({"key": "node.kubernetes.io/not-ready", "operator": "Exists"}, ["unreachable"]),
        ({"key": "node.kubernetes.io/unreachable", "operator": "Exists", "tolerationSeconds": 0}, ["not-ready"]),
        ({"key": "other", "operator": "Exists"}, ["not-ready", "unreachable"]),
    ],
)
async def test_own_tolerations_count(toleration: dict[str, Any], added: list[str]) -> None:
    made = await created(DefaultTolerationSeconds(), pod(tolerations=[toleration]))
    assert [t.key.removeprefix("node.kubernetes.io/") for t in made.spec.tolerations[1:]] == added


async def test_a_new_node_is_tainted_once() -> None:
    node = await created(TaintNodesByCondition(), plain("v1/Node", metadata={"name": "n"}))
    assert [types.to_plain(t) for t in node.spec.taints] == [
        {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    ]


def priorities(*classes: dict[str, Any]) -> Priority:
    world = World()
    for data in classes:
        name = data.pop("name")
        world.add(plain("scheduling.k8s.io/v1/PriorityClass", metadata={"name": name}, **data))
    return Priority(world.lookup(PriorityClass))


def computed(made: Any) -> tuple[Any, ...]:
    return made.spec.priorityClassName, made.spec.priority, made.spec.preemptionPolicy


async def test_a_pod_without_class_has_priority_zero() -> None:
    assert computed(await created(priorities(), pod())) == (None, 0, "PreemptLowerPriority")


async def test_the_class_gives_priority_and_policy() -> None:
    plugin = priorities({"name": "x", "value": 7, "preemptionPolicy": "Never"}, {"name": "d", "value": 3})
    assert computed(await created(plugin, pod(priorityClassName="x"))) == ("x", 7, "Never")


async def test_the_default_class_is_named_in_the_pod_and_the_lowest_counts() -> None:
    plugin = priorities(
        {"name": "b", "value": 9, "globalDefault": True}, {"name": "c", "value": 5, "globalDefault": True}
    )
    assert computed(await created(plugin, pod())) == ("c", 5, "PreemptLowerPriority")


async def test_priority_is_not_the_users_to_say() -> None:
    plugin = priorities({"name": "x", "value": 7})
    assert await refused(plugin, request("CREATE", pod(priorityClassName="y"))) == (
        'pods "p" is forbidden: no PriorityClass with name y was found'
    )
    assert await refused(plugin, request("CREATE", pod(priorityClassName="x", priority=8))) == (
        'pods "p" is forbidden: the integer value of priority (8) must not be provided in pod spec; '
        "priority admission controller computed 7 from the given PriorityClass name"
    )
    assert await refused(plugin, request("CREATE", pod(preemptionPolicy="Never"))) == (
        'pods "p" is forbidden: the string value of PreemptionPolicy (Never) must not be provided in pod spec; '
        "priority admission controller computed PreemptLowerPriority from the given PriorityClass name"
    )
    assert computed(await created(plugin, pod(priorityClassName="x", priority=7)))[1] == 7


async def test_an_update_that_leaves_the_priority_out_keeps_it() -> None:
    old = pod(priority=5, preemptionPolicy="Never")
    assert computed(await admit(priorities(), request("UPDATE", pod(), old=old))) == (None, 5, "Never")


async def test_there_is_one_default_priority_class() -> None:
    plugin = priorities({"name": "d", "value": 1, "globalDefault": True})

    def wanted(name: str, default: bool = True) -> Any:
        metadata = {"name": name}
        return plain("scheduling.k8s.io/v1/PriorityClass", metadata=metadata, value=2, globalDefault=default)

    assert await refused(plugin, request("CREATE", wanted("e"))) == (
        'priorityclasses.scheduling.k8s.io "e" is forbidden: '
        "PriorityClass d is already marked as default. Only one default can exist"
    )
    await refused(plugin, request("UPDATE", wanted("e"), old=wanted("e", default=False)))
    await admit(plugin, request("UPDATE", wanted("d"), old=wanted("d")))
    await admit(plugin, request("CREATE", wanted("e", default=False)))


# Storage, ingress, runtime classes


async def test_volumes_and_claims_are_kept_while_in_use() -> None:
    plugin = StorageObjectInUseProtection()
    for what, metadata, finalizer in (
        ("v1/PersistentVolume", {"name": "x"}, "kubernetes.io/pv-protection"),
        ("v1/PersistentVolumeClaim", {"name": "x", "namespace": "a"}, "kubernetes.io/pvc-protection"),
        ("storage.k8s.io/v1/VolumeAttributesClass", {"name": "x"}, "kubernetes.io/vac-protection"),
    ):
        assert (await created(plugin, plain(what, metadata=metadata))).metadata.finalizers == [finalizer]


def claim(size: str = "1Gi", phase: str = "Bound", **spec: Any) -> Any:
    spec = {"resources": {"requests": {"storage": size}}, **spec}
    metadata = {"name": "c", "namespace": "a"}
    return plain("v1/PersistentVolumeClaim", metadata=metadata, spec=spec, status={"phase": phase})


def storage_class(name: str, created_at: str = "2026-01-01T00:00:00Z", default: bool = True, **fields: Any) -> Any:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    metadata = {"name": name, "creationTimestamp": created_at, "annotations": annotations}
    return plain("storage.k8s.io/v1/StorageClass", metadata=metadata, provisioner="p", **fields)


async def test_a_claim_gets_the_newest_default_class() -> None:
    world = World()
    plugin = DefaultStorageClass(world.lookup(StorageClass))
    assert (await created(plugin, claim())).spec.storageClassName is None
    world.add(storage_class("other", default=False))
    world.add(storage_class("old"))
    world.add(storage_class("new", "2026-01-02T00:00:00Z"))
    assert (await created(plugin, claim())).spec.storageClassName == "new"
    assert (await created(plugin, claim(storageClassName="other"))).spec.storageClassName == "other"


async def test_a_claim_that_wants_no_class_gets_none() -> None:
    world = World()
    world.add(storage_class("d"))
    made = await created(DefaultStorageClass(world.lookup(StorageClass)), claim(storageClassName=""))
    assert made.spec.storageClassName == ""


async def test_a_claim_grows_only_where_its_class_allows() -> None:
    world = World()
    world.add(storage_class("rigid"))
    world.add(storage_class("elastic", allowVolumeExpansion=True))
    plugin = PersistentVolumeClaimResize(world.lookup(StorageClass))

    async def grow(name: str, size: str, phase: str = "Bound") -> None:
        old, new = (claim(s, phase, storageClassName=name) for s in ("1Gi", size))
        await admit(plugin, request("UPDATE", new, old=old))

    await grow("elastic", "2Gi")
    await grow("rigid", "1024Mi")
    with pytest.raises(StatusError, match="the storageclass that provisions the pvc must support resize"):
        await grow("rigid", "2Gi")
    with pytest.raises(StatusError, match="Only bound persistent volume claims can be expanded"):
        await grow("elastic", "2Gi", "Pending")


async def test_an_ingress_gets_the_default_class() -> None:
    world = World()
    plugin = DefaultIngressClass(world.lookup(IngressClass))
    metadata = {"name": "i", "namespace": "a"}

    def ingress(**spec: Any) -> Any:
        return plain("networking.k8s.io/v1/Ingress", metadata=dict(metadata), spec=spec)

    assert (await created(plugin, ingress())).spec.ingressClassName is None
    annotations = {"ingressclass.kubernetes.io/is-default-class": "true"}
    world.add(plain("networking.k8s.io/v1/IngressClass", metadata={"name": "d", "annotations": annotations}))
    assert (await created(plugin, ingress())).spec.ingressClassName == "d"
    assert (await created(plugin, ingress(ingressClassName="x"))).spec.ingressClassName == "x"
    metadata["annotations"] = {"kubernetes.io/ingress.class": "old"}  # type: ignore[assignment]
    assert (await created(plugin, ingress())).spec.ingressClassName is None


def runtimes() -> RuntimeClass:
    world = World()
    world.add(
        plain(
            "node.k8s.io/v1/RuntimeClass",
            metadata={"name": "vm"},
            handler="h",
            overhead={"podFixed": {"cpu": "250m"}},
            scheduling={"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm", "operator": "Exists"}]},
        )
    )
    return RuntimeClass(world.lookup(RuntimeClassKind))


async def test_a_runtime_class_brings_overhead_and_scheduling() -> None:
    spec = (await created(runtimes(), pod(runtimeClassName="vm", nodeSelector={"x": "y"}))).spec
    assert (spec.overhead, spec.nodeSelector) == ({"cpu": "250m"}, {"x": "y", "vm": "yes"})
    assert [t.key for t in spec.tolerations] == ["vm"]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"runtimeClassName": "none"}, 'pod rejected: RuntimeClass "none" not found'),
        (
            {"runtimeClassName": "vm", "overhead": {"cpu": "1"}},
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        ),
        (
            {"overhead": {"cpu": "1"}},
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        ),
        (
            {"runtimeClassName": "vm", "nodeSelector": {"vm": "no"}},
            "conflict: vm has been set with value no, runtimeClass requires yes",
        ),
    ],
)
async def test_what_contradicts_the_runtime_class_is_refused(fields: dict[str, Any], why: str) -> None:
    assert await refused(runtimes(), request("CREATE", pod(**fields))) == f'pods "p" is forbidden: {why}'


# Rights asked about


class Rights(World):
    """A world whose answers to SubjectAccessReviews are given beforehand."""

    def __init__(self, *allowed: str) -> None:
        super().__init__()
        self.allowed = allowed
        self.asked: list[Any] = []

    async def create(self, obj: Any, **_: Any) -> Any:
        attributes = obj.spec.resourceAttributes
        self.asked.append((obj.spec.user, attributes.group, attributes.resource, attributes.subresource))
        allowed = f"{attributes.verb} {attributes.name}" in self.allowed
        return plain("authorization.k8s.io/v1/SubjectAccessReview", status={"allowed": allowed})


def csr(signer: str, organization: str = "devs", **status: Any) -> Any:
    made = plain("certificates.k8s.io/v1/CertificateSigningRequest", metadata={"name": "r"}, status=status)
    made.spec.signerName, made.spec.request = signer, certificate_request(organization=organization)
    return made


@pytest.mark.parametrize(
    ("right", "allowed"),
    [("approve example.com/s", True), ("approve example.com/*", True), ("approve other.com/*", False), ("", False)],
)
async def test_approving_takes_the_right_for_the_signer(right: str, allowed: bool) -> None:
    rights = Rights(right)
    plugin = CertificateApproval(Access(rights))  # type: ignore[arg-type]  # the part of a client that it uses
    asked = request("UPDATE", csr("example.com/s"), old=csr("example.com/s"), subresource="approval")
    if allowed:
        await admit(plugin, asked)
    else:
        assert await refused(plugin, asked) == (
            'certificatesigningrequests.certificates.k8s.io "r" is forbidden: '
            'user not permitted to approve requests with signerName "example.com/s"'
        )
    assert rights.asked[0] == ("jane", "certificates.k8s.io", "signers", None)


async def test_signing_takes_the_right_for_the_signer() -> None:
    old, new = csr("example.com/s"), csr("example.com/s", certificate="eA==")
    failed = csr("example.com/s", conditions=[{"type": "Failed", "status": "True"}])
    seen = csr("example.com/s", conditions=[{"type": "Seen", "status": "True"}])
    none: Any = Rights()
    plugin = CertificateSigning(Access(none))
    for change in (new, failed):
        assert await refused(plugin, request("UPDATE", change, old=old, subresource="status")) == (
            'certificatesigningrequests.certificates.k8s.io "r" is forbidden: '
            'user not permitted to sign requests with signerName "example.com/s"'
        )
    await admit(plugin, request("UPDATE", seen, old=old, subresource="status"))
    some: Any = Rights("sign example.com/*")
    await admit(CertificateSigning(Access(some)), request("UPDATE", new, old=old, subresource="status"))


async def test_nobody_gets_a_certificate_for_masters() -> None:
    plugin = CertificateSubjectRestriction()
    client = "kubernetes.io/kube-apiserver-client"
    assert await refused(plugin, request("CREATE", csr(client, "system:masters"))) == (
        'certificatesigningrequests.certificates.k8s.io "r" is forbidden: '
        "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"
    )
    await admit(plugin, request("CREATE", csr(client)))
    await admit(plugin, request("CREATE", csr("example.com/s", "system:masters")))


def owned(**fields: Any) -> Any:
    made = pod()
    reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "u", **fields}
    made.metadata.ownerReferences = plain("v1/Pod", metadata={"ownerReferences": [reference]}).metadata.ownerReferences
    return made


async def test_owners_may_be_set_by_who_may_delete() -> None:
    from kybern.api import registry

    def plugin(*rights: str) -> OwnerReferencesPermissionEnforcement:
        some: Any = Rights(*rights)
        return OwnerReferencesPermissionEnforcement(Access(some), registry.builtin())

    change = request("UPDATE", owned(), old=pod())
    assert "cannot set an ownerRef on a resource you can't delete" in await refused(plugin(), change)
    await admit(plugin("delete p"), change)
    await admit(plugin(), request("CREATE", owned()))
    blocking = request("CREATE", owned(blockOwnerDeletion=True))
    assert "you can't set finalizers on" in await refused(plugin(), blocking)
    await admit(plugin("update rs"), blocking)
    unknown = request("CREATE", owned(blockOwnerDeletion=True, kind="Nothing"))
    assert "cannot find RESTMapping" in await refused(plugin("update rs"), unknown)


# The chain


class Started:
    """The part of a Start that the chain needs."""

    def __init__(self) -> None:
        self.client = self.informers = World()
        self.clock = VirtualClock()
        self.registry = None


def names(**options: Any) -> list[str]:
    start: Any = Started()
    return [plugin.name for plugin in chain.build(start, Options(**options))]


def test_plugins_are_on_as_upstream_has_them_and_can_be_switched() -> None:
    assert names() == [
        "NamespaceLifecycle", "LimitRanger", "ServiceAccount", "NodeRestriction", "TaintNodesByCondition",
        "PodSecurity", "Priority",
        "DefaultTolerationSeconds", "DefaultStorageClass", "StorageObjectInUseProtection",
        "PersistentVolumeClaimResize", "RuntimeClass", "CertificateApproval", "CertificateSigning",
        "CertificateSubjectRestriction", "DefaultIngressClass", "ResourceQuota",
    ]  # fmt: skip
    assert "OwnerReferencesPermissionEnforcement" in names(enable=("OwnerReferencesPermissionEnforcement",))
    assert "Priority" not in names(disable=("Priority",))
    with pytest.raises(ConfigError, match="disable: no admission plugin is named 'Prioriti'"):
        names(disable=("Prioriti",))


def test_every_plugin_says_no_before_it_asks_about_kinds_that_are_not_its_own() -> None:
    from kybern.api import registry

    start: Any = Started()
    kinds = registry.builtin()
    config_map, pods = kinds.resource("", "v1", "configmaps"), kinds.resource("", "v1", "pods")
    interested = [p.name for p in chain.build(start, Options()) if p.handles("CREATE", config_map, "")]
    assert interested == ["NamespaceLifecycle", "ResourceQuota"]
    on_binding = [p.name for p in chain.build(start, Options()) if p.handles("CREATE", pods, "binding")]
    assert on_binding == ["NamespaceLifecycle", "NodeRestriction"]
