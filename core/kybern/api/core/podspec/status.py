"""Checks what a kubelet, or another client, writes into a pod's status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kybern.api.field import Errors, Path
from kybern.api.validation import ip, names

__all__ = ["keep_addresses_together", "validate_status_update"]

STATUS = Path("status")


def keep_addresses_together(status: Any) -> None:
    """`podIP` and the first of `podIPs` are the same fact; the older field wins when they differ."""
    from kybern.api.core import PodIP

    addresses = status.podIPs or []
    if status.podIP and (not addresses or addresses[0].ip != status.podIP):
        status.podIPs = [PodIP(ip=status.podIP)]
    elif addresses and not status.podIP:
        status.podIP = addresses[0].ip


def validate_status_update(new: Any, old: Any, errors: Errors) -> None:
    """Finished containers stay finished, addresses are sound, the quality of service does not change."""
    if (new.spec.nodeName or "") != (old.spec.nodeName or ""):
        errors.forbidden("spec.nodeName", "may not be changed directly")
    nominated = new.status.nominatedNodeName
    if nominated and nominated != old.status.nominatedNodeName:
        names.add_all(errors, STATUS.child("nominatedNodeName"), nominated, names.dns1123_subdomain(nominated))
    for field, policies in (
        ("containerStatuses", _restart_policies(old.spec.containers, old.spec)),
        ("initContainerStatuses", _restart_policies(old.spec.initContainers, old.spec)),
        ("ephemeralContainerStatuses", {}),
    ):
        after, before = getattr(new.status, field) or (), getattr(old.status, field) or ()
        _validate_states(errors, STATUS.child(field), after, before, policies)
    _validate_addresses(errors, STATUS.child("podIPs"), new.status.podIPs or ())
    if old.status.qosClass and new.status.qosClass != old.status.qosClass:
        errors.invalid(STATUS.child("qosClass"), new.status.qosClass or "", "Pod QoS is immutable")


def _restart_policies(containers: Sequence[Any] | None, spec: Any) -> dict[str, str]:
    """When each container may be started again: its own policy or the pod's; rules may override any exit."""
    return {
        c.name: "Always" if c.restartPolicyRules else c.restartPolicy or spec.restartPolicy or "Always"
        for c in containers or ()
    }


def _validate_states(
    errors: Errors, path: Path, new: Sequence[Any], old: Sequence[Any], policies: dict[str, str]
) -> None:
    """`policies`: by container; one that is not named never starts again."""
    now = {status.name: (i, status) for i, status in enumerate(new)}
    for before in old:
        terminated = before.state.terminated
        policy = policies.get(before.name, "Never")
        if terminated is None or policy == "Always":
            continue
        if terminated.exitCode and policy == "OnFailure":
            continue
        i, after = now.get(before.name, (0, None))
        if after is not None and after.state.terminated is None:
            errors.forbidden(path.index(i).child("state"), "may not be transitioned to non-terminated state")


def _validate_addresses(errors: Errors, path: Path, addresses: Sequence[Any]) -> None:
    seen: set[str] = set()
    for i, address in enumerate(addresses):
        ip.validate_address(errors, path.index(i), address.ip)
        if address.ip in seen:
            errors.duplicate(path.index(i), address)
        seen.add(address.ip)
    if len(addresses) > 1:
        families = [ip.family(address.ip) for address in addresses]
        if len(addresses) > 2 or families[0] == families[1]:
            text = "may specify no more than one IP for each IP family"
            errors.invalid(path, [address.ip for address in addresses], text)
