"""Deployments for tests, and what is done to them."""

from __future__ import annotations

from typing import Any

from kybern.api.apps import Deployment
from kybern.api.core import Pod
from kybern.testing.world import World
from kybern_controllers_workloads.deployment import DeploymentController
from kybern_controllers_workloads.replicaset import ReplicaSetController


def deployment(replicas: int = 3, image: str = "nginx:1", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": image}]},
            },
            **spec,
        },
    }


def controllers() -> tuple[DeploymentController, ReplicaSetController]:
    return DeploymentController(), ReplicaSetController()


async def set_image(world: World, image: str) -> None:
    template = {"spec": {"containers": [{"name": "c", "image": image}]}}
    await world.client.patch(Deployment, "web", "default", {"spec": {"template": template}})


async def patch_spec(world: World, **spec: Any) -> None:
    await world.client.patch(Deployment, "web", "default", {"spec": spec})


def images(world: World) -> list[str]:
    return [p.spec.containers[0].image for p in world.all(Pod)]
