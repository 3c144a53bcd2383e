"""What the values of settings must be, beyond their types: told before anything of a cluster is made.

`kybern.config` checks names and types; this knows what Kubernetes accepts as a node's name, a quantity,
a port range. Errors name the setting, its value and what would be right.
"""

from __future__ import annotations

import ipaddress
import re

from kybern.api import quantity
from kybern.api.validation import names
from kybern.config import Config, ConfigError, NetworkConfig, NodesConfig

__all__ = ["check"]

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def check(config: Config) -> None:
    """Raises ConfigError for the first value that means nothing."""
    _check_network(config.network)
    _check_nodes(config.nodes)
    for i, name in enumerate(config.api.names):
        if not _is_address(name) and (names.dns1123_subdomain(name) and names.wildcard_subdomain(name)):
            raise ConfigError(f"api.names[{i}]: {name!r} is neither a host name nor an address")


def _check_network(network: NetworkConfig) -> None:
    _range("network.pod_cidr", network.pod_cidr)
    services = _range("network.service_cidr", network.service_cidr)
    if services.num_addresses < 4:
        raise ConfigError(f"network.service_cidr: {network.service_cidr!r} has no room for services")
    found = re.fullmatch(r"(\d{1,5})-(\d{1,5})", network.node_port_range)
    if not found or not 1 <= int(found[1]) <= int(found[2]) <= 65535:
        raise ConfigError(
            f"network.node_port_range: {network.node_port_range!r} is not a range of ports such as '30000-32767'"
        )
    if names.dns1123_subdomain(network.cluster_domain):
        raise ConfigError(f"network.cluster_domain: {network.cluster_domain!r} is not a DNS domain")


def _range(setting: str, text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as e:
        raise ConfigError(f"{setting}: {text!r} is not an address range such as '10.244.0.0/16': {e}") from None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _check_nodes(nodes: NodesConfig) -> None:
    _check_size("nodes", nodes.cpu, nodes.memory, nodes.pods)
    seen: set[str] = set()
    for i, group in enumerate(nodes.group):
        where = f"nodes.group[{i}]"
        if names.dns1123_subdomain(group.name) or group.name in seen:
            wrong = "is there twice" if group.name in seen else "is not a DNS subdomain, as names of nodes are"
            raise ConfigError(f"{where}.name: {group.name!r} {wrong}")
        seen.add(group.name)
        if group.count < 0:
            raise ConfigError(f"{where}.count: {group.count} is negative")
        _check_size(where, group.cpu, group.memory, group.pods)
        for key, value in group.labels.items():
            if faults := [*names.qualified_name(key), *names.label_value(value)]:
                raise ConfigError(f"{where}.labels: {key}={value} is not a label: {faults[0]}")
        for taint in group.taints:
            _check_taint(f"{where}.taints", taint)


def _check_size(where: str, cpu: str, memory: str, pods: int) -> None:
    for name, text in (("cpu", cpu), ("memory", memory)):
        try:
            fits = not text or quantity.parse(text) >= 0
        except ValueError:
            fits = False
        if not fits:
            raise ConfigError(f"{where}.{name}: {text!r} is not a quantity such as '8' or '16Gi'")
    if pods < 0:
        raise ConfigError(f"{where}.pods: {pods} is negative")


def _check_taint(where: str, text: str) -> None:
    key, _, effect = text.rpartition(":")
    name, _, value = key.partition("=")
    if effect not in EFFECTS or names.qualified_name(name) or names.label_value(value):
        raise ConfigError(f"{where}: {text!r} is not of the form key=value:Effect ({', '.join(EFFECTS)})")
