"""Admission: what volumes, claims and ingresses are given and refused."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api.core import Namespace
from kybern.api.errors import StatusError
from kybern.api.networking import IngressClass
from kybern.api.storage import StorageClass
from kybern_admission_builtin.claim_resize import PersistentVolumeClaimResize
from kybern_admission_builtin.default_ingress_class import DefaultIngressClass
from kybern_admission_builtin.default_storage_class import DefaultStorageClass
from kybern_admission_builtin.device_admin_access import DeviceAdminAccess
from kybern_admission_builtin.storage_protection import StorageObjectInUseProtection
from tests.security.admitting import created
from tests.security.world import World, admit, plain, request

pytestmark = pytest.mark.anyio


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


async def test_only_claims_in_labelled_namespaces_look_past_other_claims() -> None:
    world = World()
    world.add(plain("v1/Namespace", metadata={"name": "a"}))
    labels = {"resource.kubernetes.io/admin-access": "true"}
    world.add(plain("v1/Namespace", metadata={"name": "admins", "labels": labels}))
    plugin = DeviceAdminAccess(world.lookup(Namespace))

    def wanting(namespace: str, *, admin: bool, template: bool = False) -> Any:
        spec: Any = {
            "devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c", "adminAccess": admin}}]}
        }
        what = "ResourceClaimTemplate" if template else "ResourceClaim"
        metadata = {"name": "c", "namespace": namespace}
        return plain(f"resource.k8s.io/v1/{what}", metadata=metadata, spec={"spec": spec} if template else spec)

    for template in (False, True):
        with pytest.raises(StatusError) as caught:
            await admit(plugin, request("CREATE", wanting("a", admin=True, template=template)))
        assert caught.value.code == 422
        assert (
            "requires the `resource.kubernetes.io/admin-access: true` label on the containing" in caught.value.message
        )
        await admit(plugin, request("CREATE", wanting("a", admin=False, template=template)))
        await admit(plugin, request("CREATE", wanting("admins", admin=True, template=template)))
