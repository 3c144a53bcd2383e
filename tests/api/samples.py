"""Small valid objects that the tests of pods and workloads change."""

from __future__ import annotations

from typing import Any

CONTAINER: dict[str, Any] = {"name": "web", "image": "nginx:1.27"}
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web-0", "labels": {"app": "web"}},
    "spec": {"containers": [CONTAINER]},
}
RICH_POD: dict[str, Any] = {
    **POD,
    "spec": {
        "containers": [
            {
                **CONTAINER,
                "ports": [{"containerPort": 80, "name": "http", "hostPort": 81, "protocol": "TCP"}],
                "env": [
                    {"name": "A", "value": "1"},
                    {"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
                    {"name": "C", "valueFrom": {"fileKeyRef": {"key": "k", "path": "p", "volumeName": "none"}}},
                ],
                "envFrom": [{"prefix": "P_", "configMapRef": {"name": "c"}}],
                "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}, "claims": [{"name": "gpu"}]},
                "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
                "volumeMounts": [{"name": "none", "mountPath": "/v", "subPath": "x", "mountPropagation": "None"}],
                "volumeDevices": [{"name": "claim", "devicePath": "/dev/x"}],
                "livenessProbe": {"httpGet": {"port": "http", "httpHeaders": [{"name": "A", "value": "b"}]}},
                "readinessProbe": {"grpc": {"port": 5}},
                "lifecycle": {"preStop": {"sleep": {"seconds": 1}}, "postStart": {"exec": {"command": ["x"]}}},
                "securityContext": {"capabilities": {"add": ["X"]}, "allowPrivilegeEscalation": False, "runAsUser": 1},
                "restartPolicy": "Always",
                "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}],
            }
        ],
        "initContainers": [
            {"name": "side", "image": "s", "restartPolicy": "Always", "startupProbe": {"exec": {"command": ["x"]}}}
        ],
        "volumes": [
            {"name": "none"},
            {"name": "claim", "persistentVolumeClaim": {"claimName": "c"}},
            {"name": "s", "secret": {"secretName": "s", "items": [{"key": "k", "path": "p", "mode": 1}]}},
            {"name": "d", "downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            {
                "name": "p",
                "projected": {
                    "sources": [{"secret": {"name": "s"}}, {"clusterTrustBundle": {"path": "x", "name": "n"}}]
                },
            },
            {"name": "n", "nfs": {"server": "s", "path": "/p"}},
            {"name": "i", "iscsi": {"targetPortal": "p", "iqn": "iqn.x", "lun": 1}},
            {"name": "f", "flexVolume": {"driver": "d", "options": {"a": "b"}}},
            {"name": "fc", "fc": {"targetWWNs": ["w"], "lun": 1}},
            {"name": "q", "quobyte": {"registry": "h:1", "volume": "v"}},
            {"name": "az", "azureDisk": {"diskName": "d", "diskURI": "https://d"}},
            {"name": "csi", "csi": {"driver": "d.example.com", "nodePublishSecretRef": {"name": "s"}}},
        ],
        "nodeSelector": {"a": "b"},
        "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}]
                }
            },
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 1,
                        "podAffinityTerm": {"topologyKey": "z", "labelSelector": {}, "matchLabelKeys": ["app"]},
                    }
                ]
            },
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "z",
                "whenUnsatisfiable": "DoNotSchedule",
                "minDomains": 1,
                "labelSelector": {},
            }
        ],
        "securityContext": {
            "sysctls": [{"name": "net.a", "value": "1"}],
            "seccompProfile": {"type": "Localhost", "localhostProfile": "p"},
            "appArmorProfile": {"type": "RuntimeDefault"},
            "supplementalGroups": [1],
        },
        "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["a.b"], "options": [{"name": "ndots", "value": "2"}]},
        "hostAliases": [{"ip": "1.1.1.1", "hostnames": ["a"]}],
        "resourceClaims": [{"name": "gpu", "resourceClaimName": "c"}],
        "resources": {"limits": {"cpu": "4"}},
        "overhead": {"cpu": "1m"},
        "imagePullSecrets": [{"name": "s"}],
        "readinessGates": [{"conditionType": "a"}],
        "schedulingGates": [{"name": "a"}],
        "os": {"name": "linux"},
        "hostname": "h",
        "activeDeadlineSeconds": 5,
    },
}
"""A pod that says a little of everything."""
TEMPLATE: dict[str, Any] = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [CONTAINER]}}
SELECTOR: dict[str, Any] = {"matchLabels": {"app": "web"}}


def workload(kind: str, **spec: Any) -> dict[str, Any]:
    """A kind of apps/v1 with a selector and a template that fit."""
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "web"},
        "spec": {"selector": SELECTOR, "template": TEMPLATE, **spec},
    }


def job(**spec: Any) -> dict[str, Any]:
    """A Job that runs once."""
    template = {"spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "once"},
        "spec": {"template": template, **spec},
    }


def cron_job(**spec: Any) -> dict[str, Any]:
    """A CronJob that runs every five minutes."""
    template = {"spec": job()["spec"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "often"},
        "spec": {"schedule": "*/5 * * * *", "jobTemplate": template, **spec},
    }


def autoscaler(**spec: Any) -> dict[str, Any]:
    """An autoscaling/v2 HorizontalPodAutoscaler of a Deployment."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": target, "maxReplicas": 5, **spec},
    }
