"""Which labels a kubelet may give its own node: any but Kubernetes' own, of which it may set those that it reports."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["forbidden_labels"]

_RESERVED = "node-restriction.kubernetes.io"
_OWN_DOMAINS = ("kubernetes.io", "k8s.io")
_REPORTED = frozenset(
    {
        "kubernetes.io/hostname",
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "beta.kubernetes.io/os",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    }
)
_REPORTED_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")


def forbidden_labels(new: Mapping[str, str] | None, old: Mapping[str, str] | None) -> list[str]:
    """The labels, in order, that were added, changed or removed and are not the node's to touch."""
    new, old = new or {}, old or {}
    changed = {key for key in {*new, *old} if new.get(key) != old.get(key)}
    return sorted(key for key in changed if not _allowed(key))


def _allowed(label: str) -> bool:
    domain = label.partition("/")[0] if "/" in label else ""
    if _within(domain, _RESERVED):
        return False
    if not any(_within(domain, own) for own in _OWN_DOMAINS):
        return True
    return label in _REPORTED or any(_within(domain, reported) for reported in _REPORTED_DOMAINS)


def _within(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith("." + parent)
