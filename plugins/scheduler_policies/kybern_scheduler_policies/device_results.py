"""What is written to a claim's status about the devices that were chosen for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kybern.api import quantity
from kybern_scheduler_policies.device_allocation import Chosen
from kybern_scheduler_policies.device_capacity import capacities

__all__ = ["allocation_of"]


def allocation_of(claim: Any, classes: Mapping[str, Any], chosen: Sequence[Chosen], new_id: Callable[[], str]) -> Any:
    """The AllocationResult. `new_id` names shares of devices."""
    from kybern.api.resource import AllocationResult, DeviceAllocationResult

    results = [_result(each, new_id) for each in chosen]
    config = _configuration(claim, classes, {each.wish.request for each in chosen})
    selectors = [c.candidate.node_selector for c in chosen if c.candidate.node_selector is not None]
    return AllocationResult(
        devices=DeviceAllocationResult(results=results or None, config=config or None),
        nodeSelector=_joined(selectors),
    )


def _result(chosen: Chosen, new_id: Callable[[], str]) -> Any:
    from kybern.api.resource import DeviceRequestAllocationResult

    wish, candidate = chosen.wish, chosen.candidate
    driver, pool, device = candidate.identity
    result = DeviceRequestAllocationResult(request=wish.request, driver=driver, pool=pool, device=device)
    result.adminAccess = True if wish.admin else None
    result.tolerations = list(wish.asked.tolerations or ()) or None
    result.bindingConditions = list(candidate.device.bindingConditions or ()) or None
    result.bindingFailureConditions = list(candidate.device.bindingFailureConditions or ()) or None
    if chosen.share is not None:
        result.shareID = new_id()
        published = capacities(driver, candidate.device)
        result.consumedCapacity = {
            published[name][0]: quantity.format(amount, _form(published[name][1].value))
            for name, amount in sorted(chosen.share.items())
        } or None
    return result


def _form(amount: str) -> str:
    """Amounts are told in the device's own way, powers of two or of ten."""
    return "BinarySI" if amount.endswith("i") else "DecimalSI"


def _joined(selectors: Sequence[Any]) -> Any:
    """The narrowest of what the devices say: one node if any of them is on one, else all requirements together."""
    from kybern.api import types

    if not selectors:
        return None
    local = [s for s in selectors if any(term.matchFields for term in s.nodeSelectorTerms or ())]
    joined = types.copy((local or selectors)[0])
    for other in () if local else selectors[1:]:
        for term, more in zip(joined.nodeSelectorTerms, other.nodeSelectorTerms, strict=False):
            new = [e for e in more.matchExpressions or () if e not in (term.matchExpressions or ())]
            term.matchExpressions = [*(term.matchExpressions or ()), *new] or None
    return joined


def _configuration(claim: Any, classes: Mapping[str, Any], requests: set[str]) -> list[Any]:
    """What the drivers are to be told: first the administrator's, by class, then the user's."""
    from kybern.api.resource import DeviceAllocationConfiguration

    found = []
    for request in claim.spec.devices.requests or ():
        wanted = [(request.name, request.exactly)] if request.exactly is not None else []
        wanted += [(f"{request.name}/{sub.name}", sub) for sub in request.firstAvailable or ()]
        for name, each in wanted:
            for config in (classes[each.deviceClassName].spec.config or ()) if name in requests else ():
                made = DeviceAllocationConfiguration(source="FromClass", requests=[name], opaque=config.opaque)
                found.append(made)
    for config in claim.spec.devices.config or ():
        named = config.requests
        if not named or any(r in named or r.partition("/")[0] in named for r in requests):
            found.append(DeviceAllocationConfiguration(source="FromClaim", requests=named, opaque=config.opaque))
    return found
