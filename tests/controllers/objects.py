"""The shortest objects that the server takes, for tests to which their content does not matter."""

from __future__ import annotations

from typing import Any

__all__ = ["CONTAINERS", "SELECTOR", "TEMPLATE", "least"]

CONTAINERS = [{"name": "c", "image": "i"}]
SELECTOR = {"matchLabels": {"app": "web"}}
TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": CONTAINERS}}

_ONCE = {"spec": {"restartPolicy": "Never", "containers": CONTAINERS}}
_CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
_VOLUME = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/tmp/v"}}
_LEAST: dict[str, dict[str, Any]] = {
    "Pod": {"spec": {"containers": CONTAINERS}},
    "ReplicaSet": {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
    "Deployment": {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
    "Job": {"spec": {"template": _ONCE}},
    "Service": {"spec": {"ports": [{"port": 80}]}},
    "PersistentVolumeClaim": {"spec": _CLAIM},
    "PersistentVolume": {"spec": _VOLUME},
}


def least(kind: type[Any], name: str, spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """An object of a kind with only what it must have; `spec` adds to that."""
    made = dict(_LEAST.get(kind.__name__, {}))
    if spec:
        made["spec"] = {**made.get("spec", {}), **spec}
    return {"metadata": {"name": name, **metadata}, **made}
