"""The objects that the measures write."""

from __future__ import annotations

from typing import Any

__all__ = ["config_map", "deployment", "node", "pod", "service_account"]


def config_map(name: str, size: int = 1000) -> dict[str, Any]:
    """A ConfigMap of about `size` bytes."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"payload": "x" * (size - 150)},
    }


def pod_spec(scheduler: str = "default-scheduler") -> dict[str, Any]:
    """The spec of an ordinary web server's pod."""
    return {
        "schedulerName": scheduler,
        "containers": [
            {
                "name": "web",
                "image": "nginx:1.27",
                "ports": [{"name": "http", "containerPort": 80}],
                "env": [{"name": f"SETTING_{i}", "value": "v" * 40} for i in range(8)],
                "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
                "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10},
                "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
            }
        ],
        "volumes": [{"name": "scratch", "emptyDir": {}}],
    }


def pod(name: str, scheduler: str = "default-scheduler") -> dict[str, Any]:
    """A pod; with a `scheduler` that nobody is, the API server alone is measured."""
    labels = {"app": "web", "tier": "front", "release": "stable"}
    spec = pod_spec(scheduler)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def deployment(name: str, replicas: int) -> dict[str, Any]:
    """A Deployment of small pods without probes, as kwok's measurements use them."""
    labels = {"app": name}
    container = {"name": "web", "image": "nginx", "resources": {"requests": {"cpu": "10m", "memory": "10Mi"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def service_account(name: str) -> dict[str, Any]:
    """What every pod of a namespace needs, for clusters without the controller that makes it."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}


def node(name: str, zone: str) -> dict[str, Any]:
    """A Node that is ready to take pods, without anything behind it."""
    capacity = {"cpu": "32", "memory": "256Gi", "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone}},
        "status": {
            "capacity": capacity,
            "allocatable": capacity,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        },
    }
