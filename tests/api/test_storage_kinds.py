"""PersistentVolume, PersistentVolumeClaim and the kinds of storage.k8s.io."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import registry
from kybern.api.kind import Kind
from tests.api.judge import ABSENT, NOW, changed, complaints, created, shown, stored, update

CORE = ("PersistentVolume", "PersistentVolumeClaim")


def kind(name: str) -> Kind:
    found = registry.builtin().kind("" if name in CORE else "storage.k8s.io", "v1", name)
    assert found is not None
    return found


def plain(name: str, object_name: str = "x", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": kind(name).api_version, "kind": name, "metadata": {"name": object_name}, **fields}


VOLUME = plain(
    "PersistentVolume",
    spec={"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}},
)
CLAIM = plain(
    "PersistentVolumeClaim",
    spec={"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "fast"},
)


def test_a_volume_is_kept_and_pending() -> None:
    volume = shown(created(kind("PersistentVolume"), VOLUME))
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert volume["spec"]["volumeMode"] == "Filesystem"
    assert volume["spec"]["hostPath"] == {"path": "/data", "type": ""}
    assert volume["status"] == {"phase": "Pending", "lastPhaseTransitionTime": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"spec.capacity": ABSENT}, "spec.capacity: Required value"),
        ({"spec.capacity.cpu": "1"}, "spec.capacity: Unsupported value"),
        (
            {"spec.capacity.storage": "0"},
            'spec.capacity[storage]: Invalid value: "0": must be greater than zero',
        ),
        ({"spec.accessModes": []}, "spec.accessModes: Required value"),
        (
            {"spec.accessModes": ["ReadWriteOnce", "ReadWriteOncePod"]},
            "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes",
        ),
        ({"spec.hostPath": ABSENT}, "spec: Required value: must specify a volume type"),
        ({"spec.hostPath.path": "/a/../b"}, "spec.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"),
        (
            {"spec.nfs": {"server": "s", "path": "/p"}},
            "spec.nfs: Forbidden: may not specify more than 1 volume type",
        ),
        (
            {"spec.hostPath.path": "/", "spec.persistentVolumeReclaimPolicy": "Recycle"},
            "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'",
        ),
        (
            {"spec.nodeAffinity": {}},
            "spec.nodeAffinity.required: Required value: must specify required node constraints",
        ),
        (
            {"spec.volumeMode": "Tape"},
            'spec.volumeMode: Unsupported value: "Tape": supported values: "Block", "Filesystem"',
        ),
        (
            {"spec.volumeAttributesClassName": "gold"},
            "spec.csi: Required value: has to be specified when using volumeAttributesClassName",
        ),
    ],
)
def test_volume_rules(change: dict[str, Any], complaint: str) -> None:
    assert complaints(kind("PersistentVolume"), VOLUME) == []
    found = complaints(kind("PersistentVolume"), changed(VOLUME, change))
    assert any(c.startswith(complaint) for c in found), found


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"spec.hostPath.path": "/elsewhere"}, "spec.persistentvolumesource"),
        ({"spec.volumeMode": "Block"}, "spec.volumeMode"),
        ({"spec.capacity.storage": "2Gi"}, None),
        ({"spec.claimRef": {"namespace": "default", "name": "c"}}, None),
    ],
)
def test_what_of_a_volume_may_change(change: dict[str, Any], field: str | None) -> None:
    found = update(kind("PersistentVolume"), stored(kind("PersistentVolume"), VOLUME), change)[1]
    assert [c.split(":")[0] for c in found] == ([field] if field else [])


def test_a_new_phase_is_noted_with_its_time() -> None:
    volumes = kind("PersistentVolume")
    old = stored(volumes, VOLUME)
    old.status.lastPhaseTransitionTime = "2020-01-01T00:00:00Z"
    assert update(volumes, old, {"status.phase": "Bound"}, "status")[0].status.lastPhaseTransitionTime.startswith(
        "2026"
    )
    assert update(volumes, old, {"status.reason": "r"}, "status")[0].status.lastPhaseTransitionTime.startswith("2020")


def test_a_volume_in_a_table() -> None:
    volumes = kind("PersistentVolume")
    bound = {"spec.claimRef": {"namespace": "default", "name": "c"}, "spec.storageClassName": "fast"}
    volume = update(volumes, stored(volumes, VOLUME), bound)[0]
    volume.status.phase = "Bound"
    row = ["x", "1Gi", "RWO", "Retain", "Bound", "default/c", "fast", "<unset>", "", "60s", "Filesystem"]
    assert volumes.row(volume, NOW + 60) == row


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"spec.accessModes": []}, "spec.accessModes: Required value: at least 1 access mode is required"),
        ({"spec.resources": {}}, "spec.resources[storage]: Required value"),
        ({"spec.storageClassName": "Fast"}, 'spec.storageClassName: Invalid value: "Fast": a lowercase RFC 1123'),
        (
            {"spec.dataSource": {"kind": "PersistentVolumeClaim", "name": ""}},
            "spec.dataSource.name: Required value",
        ),
        (
            {
                "spec.dataSource": {"kind": "PersistentVolumeClaim", "name": "a"},
                "spec.dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "b"},
            },
            'spec: Invalid value: "dataSource": must match dataSourceRef',
        ),
    ],
)
def test_claim_rules(change: dict[str, Any], complaint: str) -> None:
    assert complaints(kind("PersistentVolumeClaim"), CLAIM) == []
    found = complaints(kind("PersistentVolumeClaim"), changed(CLAIM, change))
    assert any(c.startswith(complaint) for c in found), found


@pytest.mark.parametrize(
    ("source", "ref", "kept"),
    [
        ({"kind": "PersistentVolumeClaim", "name": "a"}, None, True),
        (None, {"kind": "PersistentVolumeClaim", "name": "a"}, True),
        ({"apiGroup": "example.com", "kind": "Book", "name": "a"}, None, False),
    ],
)
def test_both_data_sources_say_the_same(source: Any, ref: Any, kept: bool) -> None:
    given = {k: v for k, v in (("spec.dataSource", source), ("spec.dataSourceRef", ref)) if v}
    spec = created(kind("PersistentVolumeClaim"), changed(CLAIM, given)).spec
    assert (spec.dataSource is not None, spec.dataSourceRef is not None) == (kept, kept)


def _claim(phase: str, class_: str | None = "fast") -> Any:
    claim = stored(kind("PersistentVolumeClaim"), changed(CLAIM, {"spec.storageClassName": class_ or ABSENT}))
    claim.status.phase, claim.status.capacity = phase, {"storage": "1Gi"}
    return claim


@pytest.mark.parametrize(
    ("phase", "class_", "change", "field"),
    [
        ("Pending", "fast", {"spec.volumeName": "v"}, None),
        ("Pending", "fast", {"spec.storageClassName": "slow"}, "spec"),
        ("Pending", None, {"spec.storageClassName": "slow"}, None),
        ("Pending", "fast", {"spec.resources.requests.storage": "2Gi"}, "spec"),
        ("Bound", "fast", {"spec.resources.requests.storage": "2Gi"}, None),
        ("Bound", "fast", {"spec.resources.requests.storage": "1Mi"}, "spec.resources.requests.storage"),
        ("Bound", "fast", {"spec.accessModes": ["ReadWriteMany"]}, "spec"),
        ("Bound", "fast", {"metadata.labels": {"a": "b"}}, None),
    ],
)
def test_what_of_a_claim_may_change(phase: str, class_: str | None, change: dict[str, Any], field: str | None) -> None:
    found = update(kind("PersistentVolumeClaim"), _claim(phase, class_), change)[1]
    assert [c.split(":")[0] for c in found] == ([field] if field else [])


def test_a_claim_in_a_table() -> None:
    claim = _claim("Bound")
    claim.spec.volumeName, claim.status.accessModes = "v", ["ReadWriteOnce", "ReadOnlyMany"]
    row = ["x", "Bound", "v", "1Gi", "RWO,ROX", "fast", "<unset>", "60s", "Filesystem"]
    assert kind("PersistentVolumeClaim").row(claim, NOW + 60) == row
    assert kind("PersistentVolumeClaim").row(_claim("Pending"), NOW)[1:5] == ["Pending", "", "", ""]


CLASS = plain("StorageClass", provisioner="disk.example.com", parameters={"type": "ssd"})
DRIVER = plain("CSIDriver", "disk.example.com", spec={})
NODE = plain("CSINode", spec={"drivers": [{"name": "disk.example.com", "nodeID": "i", "topologyKeys": ["zone"]}]})
ATTACHMENT = plain(
    "VolumeAttachment",
    spec={"attacher": "disk.example.com", "nodeName": "n", "source": {"persistentVolumeName": "v"}},
)
CAPACITY = plain(
    "CSIStorageCapacity", storageClassName="fast", capacity="1Gi", nodeTopology={"matchLabels": {"z": "a"}}
)
ATTRIBUTES = plain("VolumeAttributesClass", driverName="disk.example.com", parameters={"iops": "100"})


@pytest.mark.parametrize(
    ("base", "change", "complaint"),
    [
        (CLASS, {"provisioner": ""}, "provisioner: Required value"),
        (
            CLASS,
            {"reclaimPolicy": "Recycle"},
            'reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"',
        ),
        (CLASS, {"parameters": {"": "a"}}, 'parameters: Invalid value: "": field can not be empty.'),
        (CLASS, {"parameters": {"a": "x" * 2**18}}, "parameters: Too long: may not be more than 262144 bytes"),
        (
            CLASS,
            {"allowedTopologies": [{"matchLabelExpressions": [{"key": "z", "values": []}]}]},
            "allowedTopologies[0].matchLabelExpressions[0].values: Required value",
        ),
        (DRIVER, {"spec.fsGroupPolicy": "Never"}, 'spec.fsGroupPolicy: Unsupported value: "Never"'),
        (
            DRIVER,
            {"spec.tokenRequests": [{"audience": "a"}, {"audience": "a"}]},
            'spec.tokenRequests[1].audience: Duplicate value: "a"',
        ),
        (
            DRIVER,
            {"spec.tokenRequests": [{"audience": "a", "expirationSeconds": 60}]},
            "spec.tokenRequests[0].expirationSeconds: Invalid value: 60: may not specify a duration less than 10 min",
        ),
        (NODE, {"spec.drivers.0.nodeID": ""}, "spec.drivers[0].nodeID: Required value"),
        (NODE, {"spec.drivers.0.topologyKeys": ["a", "a"]}, 'spec.drivers[0]: Duplicate value: "a"'),
        (
            NODE,
            {"spec.drivers.1": {"name": "disk.example.com", "nodeID": "j"}},
            'spec.drivers[1].name: Duplicate value: "disk.example.com"',
        ),
        (ATTACHMENT, {"spec.source": {}}, "spec.source: Required value: must specify exactly one of inlineVolumeSpec"),
        (
            ATTACHMENT,
            {"spec.source.inlineVolumeSpec": VOLUME["spec"]},
            "spec.source: Forbidden: must specify exactly one of inlineVolumeSpec",
        ),
        (CAPACITY, {"storageClassName": "Fast"}, 'storageClassName: Invalid value: "Fast": a lowercase RFC 1123'),
        (CAPACITY, {"capacity": "-1"}, 'capacity: Invalid value: "-1": must be greater than or equal to 0'),
        (ATTRIBUTES, {"parameters": {}}, "parameters: Required value: must contain at least one key/value pair"),
    ],
)
def test_storage_rules(base: dict[str, Any], change: dict[str, Any], complaint: str) -> None:
    assert complaints(kind(base["kind"]), base) == []
    found = complaints(kind(base["kind"]), changed(base, change))
    assert any(c.startswith(complaint) for c in found), found


@pytest.mark.parametrize(
    ("base", "change", "field"),
    [
        (CLASS, {"provisioner": "tape.example.com"}, "provisioner"),
        (CLASS, {"parameters.type": "hdd"}, "parameters"),
        (CLASS, {"reclaimPolicy": "Retain"}, "reclaimPolicy"),
        (CLASS, {"volumeBindingMode": "WaitForFirstConsumer"}, "volumeBindingMode"),
        (CLASS, {"allowVolumeExpansion": True}, None),
        (DRIVER, {"spec.attachRequired": False}, "spec.attachRequired"),
        (DRIVER, {"spec.podInfoOnMount": True}, None),
        (NODE, {"spec.drivers.0.nodeID": "j"}, "spec.drivers[0]"),
        (NODE, {"spec.drivers.0.allocatable": {"count": 3}}, None),
        (NODE, {"spec.drivers": []}, None),
        (ATTACHMENT, {"spec.nodeName": "m"}, "spec"),
        (CAPACITY, {"nodeTopology.matchLabels.z": "b"}, "nodeTopology"),
        (CAPACITY, {"capacity": "2Gi"}, None),
        (ATTRIBUTES, {"parameters.iops": "200"}, "parameters"),
    ],
)
def test_what_may_change(base: dict[str, Any], change: dict[str, Any], field: str | None) -> None:
    found = update(kind(base["kind"]), stored(kind(base["kind"]), base), change)[1]
    assert [c.split(":")[0] for c in found] == ([field] if field else [])


@pytest.mark.parametrize(
    ("base", "change", "row"),
    [
        (CLASS, {}, ["x", "disk.example.com", "Delete", "Immediate", False, "60s"]),
        (
            CLASS,
            {"metadata.annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            ["x (default)", "disk.example.com", "Delete", "Immediate", False, "60s"],
        ),
        (DRIVER, {}, ["disk.example.com", True, False, False, "<unset>", False, "Persistent", "60s"]),
        (NODE, {}, ["x", 1, "60s"]),
        (ATTACHMENT, {}, ["x", "disk.example.com", "v", "n", False, "60s"]),
        (ATTRIBUTES, {}, ["x", "disk.example.com", "60s"]),
    ],
)
def test_rows(base: dict[str, Any], change: dict[str, Any], row: list[Any]) -> None:
    assert kind(base["kind"]).row(created(kind(base["kind"]), changed(base, change)), NOW + 60) == row
