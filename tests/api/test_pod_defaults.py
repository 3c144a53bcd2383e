"""What a pod's author may leave out, and what stands there then."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api.core.pod import KIND as POD_KIND
from kybern.api.core.podspec.images import default_pull_policy
from kybern.api.core.podspec.totals import qos_class
from kybern.api.core.podtemplate import KIND as POD_TEMPLATE_KIND
from tests.api.judge import changed, created, read, shown
from tests.api.samples import POD, TEMPLATE


def spec_after(changes: dict[str, Any]) -> dict[str, Any]:
    return dict(shown(created(POD_KIND, changed(POD, changes)))["spec"])


def test_the_least_pod_is_filled_in():
    pod = shown(created(POD_KIND, POD))
    assert pod["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert pod["spec"] == {
        "containers": [
            {
                "name": "web",
                "image": "nginx:1.27",
                "imagePullPolicy": "IfNotPresent",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }
        ],
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": True,
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    }


def test_a_template_gets_no_defaults_that_only_pods_have():
    template = shown(created(POD_TEMPLATE_KIND, {"metadata": {"name": "t"}, "template": TEMPLATE}))["template"]
    assert "enableServiceLinks" not in template["spec"]
    limited = changed(TEMPLATE, {"spec.containers.0.resources": {"limits": {"cpu": "1"}}})
    template = shown(created(POD_TEMPLATE_KIND, {"metadata": {"name": "t"}, "template": limited}))["template"]
    assert template["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "1"}}


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.27", "IfNotPresent"),
        ("localhost:5000/team/app", "Always"),
        ("localhost:5000/team/app:v2", "IfNotPresent"),
        ("nginx@sha256:" + "0" * 64, "IfNotPresent"),
        ("nginx:latest@sha256:" + "0" * 64, "Always"),
        ("Not An Image", "IfNotPresent"),
        ("a" * 300, "IfNotPresent"),
        ("", "IfNotPresent"),
    ],
)
def test_the_pull_policy_follows_the_tag(image, policy):
    assert default_pull_policy(image) == policy


def test_probes_hooks_and_ports_are_completed():
    container = spec_after(
        {
            "spec.containers.0.livenessProbe": {"httpGet": {"port": 80}},
            "spec.containers.0.startupProbe": {"grpc": {"port": 81}},
            "spec.containers.0.lifecycle": {"preStop": {"httpGet": {"port": "http"}}},
            "spec.containers.0.ports": [{"containerPort": 80}],
            "spec.containers.0.env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        }
    )["containers"][0]
    assert container["livenessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert container["startupProbe"]["grpc"] == {"port": 81, "service": ""}
    assert container["lifecycle"] == {"preStop": {"httpGet": {"port": "http", "path": "/", "scheme": "HTTP"}}}
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"


VOLUMES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"emptyDir": {}}),
    ({"secret": {"secretName": "s"}}, {"secret": {"secretName": "s", "defaultMode": 420}}),
    ({"configMap": {"name": "c", "defaultMode": 0}}, {"configMap": {"name": "c", "defaultMode": 0}}),
    ({"hostPath": {"path": "/x"}}, {"hostPath": {"path": "/x", "type": ""}}),
    (
        {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
        {
            "projected": {
                "defaultMode": 420,
                "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
            }
        },
    ),
    (
        {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {
            "downwardAPI": {
                "defaultMode": 420,
                "items": [{"path": "n", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}],
            }
        },
    ),
    (
        {"rbd": {"monitors": ["m"], "image": "i"}},
        {"rbd": {"monitors": ["m"], "image": "i", "pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"}},
    ),
    (
        {"iscsi": {"targetPortal": "p", "iqn": "iqn.x", "lun": 0}},
        {"iscsi": {"targetPortal": "p", "iqn": "iqn.x", "lun": 0, "iscsiInterface": "default"}},
    ),
    (
        {"azureDisk": {"diskName": "d", "diskURI": "https://u"}},
        {
            "azureDisk": {
                "diskName": "d",
                "diskURI": "https://u",
                "cachingMode": "ReadWrite",
                "kind": "Shared",
                "fsType": "ext4",
                "readOnly": False,
            }
        },
    ),
    ({"image": {"reference": "nginx"}}, {"image": {"reference": "nginx", "pullPolicy": "Always"}}),
]


@pytest.mark.parametrize(("given", "filled"), VOLUMES)
def test_volumes_are_completed(given, filled):
    (volume,) = spec_after({"spec.volumes": [{"name": "v", **given}]})["volumes"]
    assert volume == {"name": "v", **filled}


def test_an_ephemeral_volume_has_a_file_system():
    template = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    (volume,) = spec_after({"spec.volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": template}}]})["volumes"]
    assert volume["ephemeral"]["volumeClaimTemplate"]["spec"]["volumeMode"] == "Filesystem"


def test_limits_are_requests_unless_said_otherwise():
    wanted = {"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1"}}
    (container,) = spec_after({"spec.containers.0.resources": wanted})["containers"]
    assert container["resources"]["requests"] == {"cpu": "1", "memory": "1Gi"}


def test_pod_level_requests_come_from_the_containers_then_from_the_limits():
    changes = {
        "spec.containers.0.resources": {"requests": {"cpu": "100m"}},
        "spec.containers.1": {"name": "b", "image": "b:1", "resources": {"requests": {"cpu": "200m"}}},
        "spec.resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
    }
    assert spec_after(changes)["resources"]["requests"] == {"cpu": "300m", "memory": "1Gi"}


def test_on_the_hosts_network_a_port_is_the_hosts():
    changes = {"spec.hostNetwork": True, "spec.containers.0.ports": [{"containerPort": 80}]}
    assert spec_after(changes)["containers"][0]["ports"][0]["hostPort"] == 80


def test_the_old_name_of_the_service_account_is_kept_in_step():
    assert spec_after({"spec.serviceAccount": "robot"})["serviceAccountName"] == "robot"
    spec = spec_after({"spec.serviceAccountName": "robot", "spec.serviceAccount": "other"})
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("robot", "robot")


def test_a_gated_pod_says_why_it_is_not_scheduled():
    pod = created(POD_KIND, changed(POD, {"spec.schedulingGates": [{"name": "example.com/wait"}]}))
    (condition,) = pod.status.conditions
    assert (condition.type, condition.status, condition.reason) == ("PodScheduled", "False", "SchedulingGated")


def test_a_creator_cannot_set_the_status():
    pod = created(POD_KIND, changed(POD, {"status": {"phase": "Running", "podIP": "10.0.0.1"}}))
    assert (pod.status.phase, pod.status.podIP) == ("Pending", None)


def test_label_keys_become_selectors():
    term = {"topologyKey": "zone", "labelSelector": {}, "matchLabelKeys": ["app"], "mismatchLabelKeys": ["app", "none"]}
    affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
    spread["matchLabelKeys"] = ["app"]
    spec = spec_after({"spec.affinity": affinity, "spec.topologySpreadConstraints": [spread]})
    same = {"key": "app", "operator": "In", "values": ["web"]}
    other = {"key": "app", "operator": "NotIn", "values": ["web"]}
    (made,) = spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert made["labelSelector"] == {"matchExpressions": [same, other]}
    assert spec["topologySpreadConstraints"][0]["labelSelector"] == {"matchExpressions": [same]}


def resources(*each: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": f"c{i}", "image": "i:1", "resources": wanted} for i, wanted in enumerate(each)]


BOTH = {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        (resources({}), "BestEffort"),
        (resources({"requests": {"example.com/gpu": "1"}, "limits": {"example.com/gpu": "1"}}), "BestEffort"),
        (resources({"requests": {"cpu": "0"}}), "BestEffort"),
        (resources({"requests": {"cpu": "1"}}), "Burstable"),
        (resources({"requests": {"cpu": "1"}, "limits": BOTH}), "Burstable"),
        (resources({"requests": BOTH, "limits": BOTH}), "Guaranteed"),
        (resources({"requests": BOTH, "limits": {"cpu": "1000m", "memory": "1024Mi"}}), "Guaranteed"),
        (resources({"requests": BOTH, "limits": BOTH}, {}), "Burstable"),
        (resources({"requests": {"cpu": "1"}, "limits": {"cpu": "1"}}), "Burstable"),
    ],
)
def test_the_quality_of_service(containers, expected):
    assert qos_class(read(POD_KIND, changed(POD, {"spec.containers": containers})).spec) == expected
