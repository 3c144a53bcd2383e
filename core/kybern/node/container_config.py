"""Pods and containers in the runtime's words: sandbox and container configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kybern.api import quantity
from kybern.node.config import NodeConfig
from kybern.node.env import expand
from kybern.node.runtime import ContainerConfig, ContainerResources, PodSandboxConfig, PortMapping

__all__ = ["IMAGE_ANNOTATION", "container_config", "container_resources", "sandbox_config"]

IMAGE_ANNOTATION = "kybern.dev/image"
_CPU_PERIOD = 100_000


def pod_labels(pod: Any) -> dict[str, str]:
    """By which a sandbox is recognised as a pod's."""
    return {
        **(pod.metadata.labels or {}),
        "io.kubernetes.pod.name": pod.metadata.name,
        "io.kubernetes.pod.namespace": pod.metadata.namespace,
        "io.kubernetes.pod.uid": pod.metadata.uid,
    }


def log_directory(pod: Any) -> str:
    """Where the logs of a pod's containers go, below the agent's log root."""
    return f"{pod.metadata.namespace}_{pod.metadata.name}_{pod.metadata.uid}"


def sandbox_config(pod: Any, attempt: int, node: NodeConfig) -> PodSandboxConfig:
    """The sandbox of a pod."""
    spec, security = pod.spec, pod.spec.securityContext
    return PodSandboxConfig(
        name=pod.metadata.name,
        namespace=pod.metadata.namespace,
        uid=pod.metadata.uid,
        attempt=attempt,
        hostname=_hostname(pod, node),
        log_directory=log_directory(pod),
        **_dns(pod, node),
        port_mappings=tuple(
            PortMapping(port.protocol or "TCP", port.containerPort, port.hostPort or 0, port.hostIP or "")
            for container in spec.containers
            for port in container.ports or ()
        ),
        labels=pod_labels(pod),
        annotations=pod.metadata.annotations or {},
        host_network=bool(spec.hostNetwork),
        host_pid=bool(spec.hostPID),
        host_ipc=bool(spec.hostIPC),
        sysctls={s.name: s.value for s in (security.sysctls if security is not None else None) or ()},
        pod_security=security,
    )  # fmt: skip


def _hostname(pod: Any, node: NodeConfig) -> str:
    spec = pod.spec
    if spec.hostNetwork and not spec.hostnameOverride:
        return node.hostname or node.name
    return str(spec.hostnameOverride or spec.hostname or pod.metadata.name)[:63].rstrip("-.")


def _dns(pod: Any, node: NodeConfig) -> dict[str, Any]:
    """Resolver settings by dnsPolicy; `Default` and host-network pods inherit the node's, as runtimes do anyway."""
    policy, custom = pod.spec.dnsPolicy or "ClusterFirst", pod.spec.dnsConfig
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    if policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not pod.spec.hostNetwork):
        domain = node.cluster_domain
        servers = list(node.cluster_dns)
        searches = [f"{pod.metadata.namespace}.svc.{domain}", f"svc.{domain}", domain] if servers else []
        options = ["ndots:5"] if servers else []
    if custom is not None:
        servers += [s for s in custom.nameservers or () if s not in servers]
        searches += [s for s in custom.searches or () if s not in searches]
        options += [f"{o.name}:{o.value}" if o.value else o.name for o in custom.options or ()]
    return {"dns_servers": tuple(servers), "dns_searches": tuple(searches), "dns_options": tuple(options)}


def container_config(pod: Any, container: Any, attempt: int, image: str, env: Mapping[str, str]) -> ContainerConfig:
    """A container of a pod, its command with `$(NAME)` replaced."""
    return ContainerConfig(
        name=container.name,
        image=image,
        attempt=attempt,
        user_image=container.image or "",
        command=[expand(part, env) for part in container.command or ()],
        args=[expand(part, env) for part in container.args or ()],
        working_dir=container.workingDir or "",
        envs=tuple(env.items()),
        labels={
            "io.kubernetes.container.name": container.name,
            "io.kubernetes.pod.name": pod.metadata.name,
            "io.kubernetes.pod.namespace": pod.metadata.namespace,
            "io.kubernetes.pod.uid": pod.metadata.uid,
        },
        annotations={
            IMAGE_ANNOTATION: container.image or "",
            "io.kubernetes.container.restartCount": str(attempt),
            "io.kubernetes.container.terminationMessagePath": container.terminationMessagePath
            or "/dev/termination-log",
        },
        log_path=f"{container.name}/{attempt}.log",
        stdin=bool(container.stdin),
        stdin_once=bool(container.stdinOnce),
        tty=bool(container.tty),
        stop_signal=(container.lifecycle.stopSignal or "") if container.lifecycle is not None else "",
        resources=container_resources(getattr(container, "resources", None)),
        security=container.securityContext,
    )


def container_resources(resources: Any) -> ContainerResources:
    """Requests and limits as the kernel counts them."""
    limits = (resources.limits if resources is not None else None) or {}
    requests = (resources.requests if resources is not None else None) or {}
    cpu_limit = quantity.milli(limits.get("cpu", "0"))
    cpu_request = quantity.milli(requests.get("cpu") or limits.get("cpu", "0"))
    return ContainerResources(
        cpu_period=_CPU_PERIOD if cpu_limit else 0,
        cpu_quota=max(cpu_limit * _CPU_PERIOD // 1000, 1000) if cpu_limit else 0,
        cpu_shares=max(cpu_request * 1024 // 1000, 2),
        memory_limit_in_bytes=quantity.value(limits.get("memory", "0")),
    )
