"""A container's environment: references, the downward API, services, expansion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kybern.api.core import (
    ConfigMapEnvSource,
    ConfigMapKeySelector,
    EnvFromSource,
    EnvVar,
    EnvVarSource,
    ObjectFieldSelector,
    ResourceFieldSelector,
    ResourceRequirements,
    SecretEnvSource,
    SecretKeySelector,
    ServicePort,
    ServiceSpec,
)
from kybern.api.meta import ObjectMeta
from kybern.node.env import expand
from tests.node.world import ConfigMap, Secret, Service, World, container, pod, state_of, world

pytestmark = pytest.mark.anyio


async def printed(w: World, c: Any, **spec: Any) -> dict[str, str]:
    """The environment a container prints."""
    p = await w.run(pod("p", c, restartPolicy="Never", **spec))
    assert state_of(p) == ("terminated", "Completed"), p.status
    from kybern.apiserver.nodes import LogOptions

    chunks = [chunk async for chunk in await w.agent.streams.logs("n1", p, c.name, LogOptions())]
    return dict(line.split("=", 1) for line in b"".join(chunks).decode().splitlines())


def env_of(**fields: Any) -> Any:
    return container("c", "busybox", command=["env"], **fields)


def add(w: World, kind: type[Any], name: str, data: dict[str, Any]) -> None:
    w.client.add(kind(metadata=ObjectMeta(name=name, namespace="default"), data=data))


async def test_values_come_from_maps_secrets_and_each_other(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        add(w, ConfigMap, "m", {"a": "1", "b": "2"})
        add(w, Secret, "s", {"token": b"hush"})
        c = env_of(
            envFrom=[
                EnvFromSource(prefix="M_", configMapRef=ConfigMapEnvSource(name="m")),
                EnvFromSource(secretRef=SecretEnvSource(name="s")),
                EnvFromSource(configMapRef=ConfigMapEnvSource(name="absent", optional=True)),
            ],
            env=[
                EnvVar(name="ONE", valueFrom=EnvVarSource(configMapKeyRef=ConfigMapKeySelector(name="m", key="a"))),
                EnvVar(name="KEY", valueFrom=EnvVarSource(secretKeyRef=SecretKeySelector(name="s", key="token"))),
                EnvVar(
                    name="NONE",
                    valueFrom=EnvVarSource(configMapKeyRef=ConfigMapKeySelector(name="m", key="z", optional=True)),
                ),
                EnvVar(name="SUM", value="$(ONE)+$(M_b)=$(NOTHING) $$(ONE)"),
            ],
        )
        env = await printed(w, c)
        assert env == {
            "HOSTNAME": "p", "M_a": "1", "M_b": "2", "token": "hush", "ONE": "1", "KEY": "hush",
            "SUM": "1+2=$(NOTHING) $(ONE)",
        }  # fmt: skip


async def test_the_downward_api(tmp_path: Path) -> None:
    def field(name: str, path: str) -> Any:
        return EnvVar(name=name, valueFrom=EnvVarSource(fieldRef=ObjectFieldSelector(fieldPath=path)))

    def amount(name: str, resource: str, divisor: str = "0") -> Any:
        ref = ResourceFieldSelector(resource=resource, divisor=divisor)
        return EnvVar(name=name, valueFrom=EnvVarSource(resourceFieldRef=ref))

    c = env_of(
        env=[
            field("NAME", "metadata.name"), field("NODE", "spec.nodeName"), field("HOST", "status.hostIP"),
            field("IP", "status.podIP"), field("NOTE", "metadata.annotations['team']"),
            amount("CPU", "requests.cpu"), amount("MILLI", "limits.cpu", "1m"), amount("MEM", "limits.memory", "1Mi"),
        ],
        resources=ResourceRequirements(requests={"cpu": "250m"}, limits={"cpu": "1500m"}),
    )  # fmt: skip
    async with world(tmp_path) as w:
        env = await printed(w, c, annotations={"example.com/x": "y"})
        assert env["NAME"] == "p"
        assert env["NODE"] == "n1"
        assert env["HOST"] == "172.18.0.2"
        assert env["IP"].startswith("10.244.1.")
        assert env["NOTE"] == ""
        assert (env["CPU"], env["MILLI"]) == ("1", "1500")
        assert env["MEM"] == str(256 * 1024)


def service(name: str, ip: str, *ports: Any, namespace: str = "default") -> Any:
    return Service(
        metadata=ObjectMeta(name=name, namespace=namespace), spec=ServiceSpec(clusterIP=ip, ports=list(ports))
    )


async def test_services_are_told_unless_links_are_off(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.client.add(service("kubernetes", "10.96.0.1", ServicePort(name="https", port=443)))
        w.client.add(service("my-db", "10.96.0.9", ServicePort(port=5432)))
        w.client.add(service("headless", "None", ServicePort(port=1)))
        env = await printed(w, env_of())
        assert env["MY_DB_SERVICE_HOST"] == "10.96.0.9"
        assert env["MY_DB_PORT_5432_TCP"] == "tcp://10.96.0.9:5432"
        assert env["KUBERNETES_SERVICE_PORT_HTTPS"] == "443"
        assert not any(name.startswith("HEADLESS") for name in env)


async def test_without_links_only_the_api_server_is_told(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.client.add(service("kubernetes", "10.96.0.1", ServicePort(name="https", port=443)))
        w.client.add(service("my-db", "10.96.0.9", ServicePort(port=5432)))
        env = await printed(w, env_of(), enableServiceLinks=False)
        assert "KUBERNETES_SERVICE_HOST" in env
        assert "MY_DB_SERVICE_HOST" not in env


@pytest.mark.parametrize(
    ("text", "expanded"),
    [("$(A)", "1"), ("$$(A)", "$(A)"), ("$(B)", "$(B)"), ("a$b", "a$b"), ("$(A)$(A)", "11"), ("$", "$"), ("$$", "$")],
)
def test_expansion(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1"}) == expanded
