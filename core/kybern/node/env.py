"""A container's environment: service links, envFrom, env with its references, `$(NAME)` expansion.

Raises ConfigProblem with the kubelet's words when something a container refers to is missing; the
container then waits as CreateContainerConfigError.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import ceil
from typing import Any

import attrs

from kybern.api import quantity
from kybern.node.sources import Sources

__all__ = ["ConfigProblem", "Facts", "container_env", "expand", "field_value", "resource_value", "service_env"]


class ConfigProblem(Exception):
    """A container's configuration cannot be made."""


@attrs.frozen
class Facts:
    """What the downward API may tell beside the pod itself."""

    node_name: str
    host_ips: tuple[str, ...]
    pod_ips: tuple[str, ...]
    allocatable: Mapping[str, str]


_REFERENCE = re.compile(r"\$(?:\$|\(([^()]*)\))")


def expand(text: str, known: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by its value; unknown names stay as they are and `$$` escapes."""
    if "$" not in text:
        return text

    def value(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return known.get(found[1], found[0])

    return _REFERENCE.sub(value, text)


def service_env(services: Iterable[Any]) -> dict[str, str]:
    """Variables about services, as Docker links made them."""
    env: dict[str, str] = {}
    for service in services:
        ip, ports = service.spec.clusterIP, service.spec.ports or []
        if not ip or ip == "None" or not ports:
            continue
        name = service.metadata.name.upper().replace("-", "_")
        env[f"{name}_SERVICE_HOST"] = ip
        env[f"{name}_SERVICE_PORT"] = str(ports[0].port)
        for port in ports:
            if port.name:
                env[f"{name}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(port.port)
        host = f"[{ip}]" if ":" in ip else ip
        for i, port in enumerate(ports):
            protocol = (port.protocol or "TCP").lower()
            url, prefix = f"{protocol}://{host}:{port.port}", f"{name}_PORT_{port.port}_{protocol.upper()}"
            if i == 0:
                env[f"{name}_PORT"] = url
            env |= {prefix: url, f"{prefix}_PROTO": protocol, f"{prefix}_PORT": str(port.port), f"{prefix}_ADDR": ip}
    return env


async def container_env(
    pod: Any, container: Any, facts: Facts, sources: Sources, services: Mapping[str, str]
) -> dict[str, str]:
    """The variables, later ones overriding earlier ones."""
    env: dict[str, str] = {}
    for source in container.envFrom or ():
        env.update(await _from_source(pod, source, sources))
    for variable in container.env or ():
        value = await _value(pod, container, variable, env, services, facts, sources)
        if value is not None:
            env[variable.name] = value
    return {**services, **env} if services else env


async def _from_source(pod: Any, source: Any, sources: Sources) -> dict[str, str]:
    prefix = source.prefix or ""
    reference = source.configMapRef or source.secretRef
    if reference is None:
        return {}
    data = await _data(pod, "ConfigMap" if source.configMapRef else "Secret", reference, sources)
    return {prefix + key: value for key, value in data.items()}


async def _data(pod: Any, kind: str, reference: Any, sources: Sources) -> dict[str, str]:
    from kybern.api.core import ConfigMap, Secret

    struct: type[Any] = ConfigMap if kind == "ConfigMap" else Secret
    found = await sources.get(struct, pod.metadata.namespace, reference.name or "")
    if found is None:
        if reference.optional:
            return {}
        raise ConfigProblem(f'{kind.lower()} "{reference.name or ""}" not found')
    data = found.data or {}
    if kind == "ConfigMap":
        return dict(data)
    return {key: value.decode("utf-8", "replace") for key, value in data.items()}


async def _value(
    pod: Any,
    container: Any,
    variable: Any,
    env: Mapping[str, str],
    services: Mapping[str, str],
    facts: Facts,
    sources: Sources,
) -> str | None:
    source = variable.valueFrom
    if source is None:
        return expand(variable.value or "", {**services, **env})
    if source.fieldRef is not None:
        return field_value(pod, source.fieldRef.fieldPath, facts)
    if source.resourceFieldRef is not None:
        return resource_value(pod, container, source.resourceFieldRef, facts)
    reference = source.configMapKeyRef or source.secretKeyRef
    if reference is None:
        return ""
    kind = "ConfigMap" if source.configMapKeyRef is not None else "Secret"
    data = await _data(pod, kind, reference, sources)
    if reference.key in data:
        return data[reference.key]
    if reference.optional:
        return None
    raise ConfigProblem(f"couldn't find key {reference.key} in {kind} {pod.metadata.namespace}/{reference.name or ''}")


_KEYED = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]\Z")


def field_value(pod: Any, path: str, facts: Facts) -> str:
    """A field of the pod as text."""
    if keyed := _KEYED.match(path):
        entries: Mapping[str, str] = getattr(pod.metadata, keyed[1]) or {}
        return entries.get(keyed[2], "")
    match path:
        case "metadata.name" | "metadata.namespace" | "metadata.uid":
            return str(getattr(pod.metadata, path[9:]) or "")
        case "metadata.labels" | "metadata.annotations":
            entries = getattr(pod.metadata, path[9:]) or {}
            return "\n".join(f'{key}="{_escape(value)}"' for key, value in sorted(entries.items()))
        case "spec.nodeName":
            return facts.node_name
        case "spec.serviceAccountName":
            return pod.spec.serviceAccountName or ""
        case "status.hostIP":
            return facts.host_ips[0] if facts.host_ips else ""
        case "status.hostIPs":
            return ",".join(facts.host_ips)
        case "status.podIP":
            return facts.pod_ips[0] if facts.pod_ips else ""
        case "status.podIPs":
            return ",".join(facts.pod_ips)
    raise ConfigProblem(f"unsupported fieldPath: {path}")


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def resource_value(pod: Any, container: Any, reference: Any, facts: Facts) -> str:
    """A container's request or limit in units of the divisor, rounded up."""
    about = container
    if reference.containerName:
        named = [
            c for c in [*pod.spec.containers, *(pod.spec.initContainers or ())] if c.name == reference.containerName
        ]
        if not named:
            raise ConfigProblem(f"container {reference.containerName} not found")
        about = named[0]
    which, _, resource = reference.resource.partition(".")
    limits = (about.resources.limits if about.resources else None) or {}
    requests = (about.resources.requests if about.resources else None) or {}
    if which == "limits":
        amount = limits.get(resource) or facts.allocatable.get(resource, "0")
    else:
        amount = requests.get(resource) or limits.get(resource) or "0"
    divisor = quantity.parse(reference.divisor or "1")
    return str(ceil(quantity.parse(amount) / (divisor or 1)))
