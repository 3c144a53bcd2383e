"""Volumes, claims, devices and endpoints as upstream's suite goes through them: the life of every kind, and what the
controllers do with them.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.conftest import LABELS, Asker, template

DRIVER = "csi.example.com"
CAPACITY = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
REQUEST = {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]}}
POOL = {"name": "p", "generation": 1, "resourceSliceCount": 1}

KINDS: list[tuple[str, str, dict[str, Any]]] = [
    ("v1", "PersistentVolume", {"spec": CAPACITY | {"hostPath": {"path": "/tmp/x"}, "storageClassName": "none"}}),
    ("v1", "PersistentVolumeClaim", {"spec": CLAIM | {"storageClassName": "none"}}),
    ("v1", "Endpoints", {"subsets": [{"addresses": [{"ip": "10.1.1.1"}], "ports": [{"port": 80}]}]}),
    ("storage.k8s.io/v1", "CSIDriver", {"spec": {"attachRequired": False}}),
    ("storage.k8s.io/v1", "CSINode", {"spec": {"drivers": [{"name": DRIVER, "nodeID": "n"}]}}),
    ("storage.k8s.io/v1", "CSIStorageCapacity", {"storageClassName": "none", "capacity": "1Gi"}),
    ("storage.k8s.io/v1", "StorageClass", {"provisioner": DRIVER}),
    ("storage.k8s.io/v1", "VolumeAttributesClass", {"driverName": DRIVER, "parameters": {"a": "b"}}),
    (
        "storage.k8s.io/v1",
        "VolumeAttachment",
        {"spec": {"attacher": DRIVER, "nodeName": "gone", "source": {"persistentVolumeName": "v"}}},
    ),
    ("discovery.k8s.io/v1", "EndpointSlice", {"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.1.1"]}]}),
    ("resource.k8s.io/v1", "DeviceClass", {"spec": {"selectors": []}}),
    ("resource.k8s.io/v1", "ResourceSlice", {"spec": {"driver": DRIVER, "allNodes": True, "pool": POOL}}),
    ("resource.k8s.io/v1", "ResourceClaim", {"spec": REQUEST}),
    ("resource.k8s.io/v1", "ResourceClaimTemplate", {"spec": {"spec": REQUEST}}),
    ("resource.k8s.io/v1", "DeviceTaintRule", {"spec": {"taint": {"key": "k", "effect": "None"}}}),
]


def kind_of(api: Asker, api_version: str, kind: str) -> Any:
    import kubernetes.dynamic

    return kubernetes.dynamic.DynamicClient(api.official.ApiClient()).resources.get(api_version=api_version, kind=kind)


@pytest.mark.parametrize(("api_version", "kind", "fields"), KINDS, ids=[kind for _, kind, _ in KINDS])
def test_the_life_of_an_object(api: Asker, api_version: str, kind: str, fields: dict[str, Any]) -> None:
    """Created, read, listed, patched, updated, deleted by name and by label, each told to a watch in order."""
    resource = kind_of(api, api_version, kind)
    place = {"namespace": api.namespace} if resource.namespaced else {}
    mine = {"of": api.namespace}
    metadata = {"generateName": "x-", "labels": mine}
    made = resource.create(body={"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}, **place)
    name, since = made.metadata.name, made.metadata.resourceVersion
    chosen = {"label_selector": f"of={api.namespace}", **place}
    assert resource.get(name=name, **place).metadata.uid == made.metadata.uid
    assert [o.metadata.name for o in resource.get(**chosen).items] == [name]

    patch = {"metadata": {"annotations": {"patched": "yes"}}}
    resource.patch(body=patch, name=name, content_type="application/merge-patch+json", **place)
    current = api.until(lambda: resource.get(name=name, **place)).to_dict()
    current["metadata"]["labels"]["updated"] = "yes"
    updated = resource.replace(body=current, **place)
    assert (updated.metadata.annotations.patched, updated.metadata.labels.updated) == ("yes", "yes")
    second = resource.create(body={"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}, **place)
    resource.delete(name=name, **place)
    resource.delete(**chosen)
    api.until(lambda: not resource.get(**chosen).items)

    told: dict[str, list[str]] = {}
    for event in resource.watch(resource_version=since, timeout=10, **chosen):
        told.setdefault(event["object"].metadata.name, []).append(event["type"])
        if sum(types[-1] == "DELETED" for types in told.values()) == 2:
            break
    assert (told[name][0], told[name][-1]) == ("MODIFIED", "DELETED")
    assert (told[second.metadata.name][0], told[second.metadata.name][-1]) == ("ADDED", "DELETED")


def test_statuses_are_patched_and_stay_as_they_were_patched(api: Asker) -> None:
    """Nobody's controller takes back what somebody wrote beside what it owns."""
    name = api.namespace
    api.core.create_persistent_volume(volume(name, storageClassName=name))
    claim = {"metadata": {"name": "c"}, "spec": CLAIM | {"storageClassName": name}}
    api.core.create_namespaced_persistent_volume_claim(name, claim)
    api.until(lambda: phase(api, name) == "Bound")
    told = {"status": {"message": "StatusPatched", "reason": "E2E patchStatus"}}
    assert api.core.patch_persistent_volume_status(name, told).status.message == "StatusPatched"
    condition = {"type": "Custom", "status": "True", "reason": "E2E", "message": "patched"}
    api.core.patch_namespaced_persistent_volume_claim_status("c", name, {"status": {"conditions": [condition]}})
    source = {"persistentVolumeName": "v"}
    spec = {"attacher": DRIVER, "nodeName": "gone", "source": source}
    storage = api.official.StorageV1Api()
    storage.create_volume_attachment({"metadata": {"name": name}, "spec": spec})
    storage.patch_volume_attachment_status(name, {"status": {"attached": True, "attachmentMetadata": {"a": "b"}}})
    api.advance(30)
    assert api.core.read_persistent_volume(name).status.reason == "E2E patchStatus"
    [kept] = api.core.read_namespaced_persistent_volume_claim("c", name).status.conditions
    assert (kept.type, kept.message) == ("Custom", "patched")
    found = storage.read_volume_attachment(name)
    assert (found.status.attached, found.status.attachment_metadata) == (True, {"a": "b"})
    storage.delete_volume_attachment(name)
    api.core.delete_namespaced_persistent_volume_claim("c", name)
    api.core.delete_persistent_volume(name)


def volume(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": CAPACITY | {"hostPath": {"path": "/tmp/x"}} | spec}


def phase(api: Asker, name: str) -> str:
    return str(api.core.read_persistent_volume(name).status.phase)


def test_a_volume_that_was_retained_is_bound_again_once_its_claim_is_forgotten(api: Asker) -> None:
    name = api.namespace
    api.core.create_persistent_volume(volume(name, storageClassName=name, persistentVolumeReclaimPolicy="Retain"))
    wanted = {"metadata": {"name": "c"}, "spec": CLAIM | {"storageClassName": name}}
    api.core.create_namespaced_persistent_volume_claim(api.namespace, wanted)
    api.until(lambda: phase(api, name) == "Bound")
    api.core.delete_namespaced_persistent_volume_claim("c", api.namespace)
    api.until(lambda: phase(api, name) == "Released")
    api.core.create_namespaced_persistent_volume_claim(api.namespace, wanted)
    api.advance(30)
    assert api.core.read_namespaced_persistent_volume_claim("c", api.namespace).status.phase == "Pending"
    api.core.patch_persistent_volume(name, {"spec": {"claimRef": None}})
    api.until(lambda: phase(api, name) == "Bound")
    api.core.delete_namespaced_persistent_volume_claim("c", api.namespace)
    api.core.delete_persistent_volume(name)


def test_claim_and_volume_find_each_other_by_name_selector_and_mode(api: Asker) -> None:
    name = api.namespace
    shared = {"storageClassName": name, "persistentVolumeReclaimPolicy": "Retain"}
    block = volume(f"{name}-block", volumeMode="Block", **shared)
    labelled = volume(f"{name}-labelled", **shared)
    labelled["metadata"]["labels"] = {"tier": "gold"}
    reserved = volume(f"{name}-reserved", claimRef={"namespace": name, "name": "reserved"}, **shared)
    for each in (block, labelled, reserved):
        api.core.create_persistent_volume(each)
    claims: dict[str, dict[str, Any]] = {
        "block": {"volumeMode": "Block"},
        "labelled": {"selector": {"matchLabels": {"tier": "gold"}}},
        "reserved": {},
    }
    for claim, more in claims.items():
        spec = CLAIM | {"storageClassName": name} | more
        api.core.create_namespaced_persistent_volume_claim(name, {"metadata": {"name": claim}, "spec": spec})

    def bound() -> dict[str, str]:
        found = api.core.list_namespaced_persistent_volume_claim(name).items
        return {c.metadata.name: c.spec.volume_name for c in found if c.status.phase == "Bound"}

    api.until(lambda: bound() == {claim: f"{name}-{claim}" for claim in claims})
    for claim in claims:
        api.core.delete_namespaced_persistent_volume_claim(claim, name)
        api.core.delete_persistent_volume(f"{name}-{claim}")


def test_a_pods_volume_is_attached_to_its_node_as_long_as_it_runs_there(api: Asker) -> None:
    api.core.create_namespaced_persistent_volume_claim(api.namespace, {"metadata": {"name": "c"}, "spec": CLAIM})
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]
    spec = template(volumes=volumes)["spec"]
    api.core.create_namespaced_pod(api.namespace, {"metadata": {"name": "p", "labels": LABELS}, "spec": spec})
    api.until(lambda: [p.status.phase for p in api.pods()] == ["Running"])
    [pod] = api.pods()
    bound = api.core.read_namespaced_persistent_volume_claim("c", api.namespace).spec.volume_name

    def attached() -> list[tuple[str, bool]]:
        found = api.official.StorageV1Api().list_volume_attachment().items
        return [(a.spec.node_name, a.status.attached) for a in found if a.spec.source.persistent_volume_name == bound]

    api.until(lambda: attached() == [(pod.spec.node_name, True)])
    shown = f"kubernetes.io/csi/fake.kybern.dev^{bound}"
    api.until(lambda: shown in [v.name for v in api.core.read_node(pod.spec.node_name).status.volumes_attached or ()])
    [driver] = api.official.StorageV1Api().read_csi_node(pod.spec.node_name).spec.drivers
    assert (driver.name, driver.node_id) == ("fake.kybern.dev", pod.spec.node_name)
    told = f'Normal SuccessfulAttachVolume AttachVolume.Attach succeeded for volume "{bound}" '
    api.until(lambda: told in api.events("p"))
    api.core.delete_namespaced_persistent_volume_claim("c", api.namespace)
    assert api.core.read_namespaced_persistent_volume_claim("c", api.namespace).metadata.deletion_timestamp
    api.core.delete_namespaced_pod("p", api.namespace)
    api.until(lambda: attached() == [])
    api.until(lambda: not api.core.list_namespaced_persistent_volume_claim(api.namespace).items)


def test_endpoints_by_hand_are_mirrored_through_their_life(api: Asker) -> None:
    discovery = api.official.DiscoveryV1Api()
    ports = [{"port": 80, "targetPort": 9376}]
    api.core.create_namespaced_service(api.namespace, {"metadata": {"name": "s"}, "spec": {"ports": ports}})

    def body(*addresses: str) -> dict[str, Any]:
        subset = {"addresses": [{"ip": ip} for ip in addresses], "ports": [{"port": 9376}]}
        return {"metadata": {"name": "s"}, "subsets": [subset]}

    def mirrored() -> list[list[str]]:
        found = discovery.list_namespaced_endpoint_slice(
            api.namespace, label_selector="kubernetes.io/service-name=s"
        ).items
        return [[e.addresses[0] for e in each.endpoints] for each in found]

    api.core.create_namespaced_endpoints(api.namespace, body("10.1.2.3"))
    api.until(lambda: mirrored() == [["10.1.2.3"]])
    api.core.replace_namespaced_endpoints("s", api.namespace, body("10.2.3.4", "10.2.3.5"))
    api.until(lambda: mirrored() == [["10.2.3.4", "10.2.3.5"]])
    api.core.delete_namespaced_endpoints("s", api.namespace)
    api.until(lambda: mirrored() == [])


def test_a_service_has_endpoints_and_slices_while_it_selects_pods(api: Asker) -> None:
    discovery = api.official.DiscoveryV1Api()
    pod = template(ready="failure")
    api.core.create_namespaced_pod(api.namespace, {**pod, "metadata": {"name": "p", **pod["metadata"]}})
    ports = [{"name": "web", "port": 80, "targetPort": 8080}]
    spec = {"selector": LABELS, "ports": ports}
    api.core.create_namespaced_service(api.namespace, {"metadata": {"name": "s"}, "spec": spec})
    chosen = "kubernetes.io/service-name=s"

    def slices() -> list[Any]:
        return list(discovery.list_namespaced_endpoint_slice(api.namespace, label_selector=chosen).items)

    def listed() -> list[Any]:
        return [e for each in slices() for e in each.endpoints or ()]

    [found] = api.until(listed)
    assert (found.conditions.ready, found.conditions.serving, found.target_ref.name) == (False, False, "p")
    [subset] = api.until(lambda: api.core.read_namespaced_endpoints("s", api.namespace).subsets)
    assert ([a.target_ref.name for a in subset.not_ready_addresses], subset.addresses) == (["p"], None)
    assert [(p.name, p.port) for p in subset.ports] == [("web", 8080)]
    api.core.delete_namespaced_service("s", api.namespace)
    api.until(lambda: not slices())
    api.until(lambda: not api.core.list_namespaced_endpoints(api.namespace).items)
