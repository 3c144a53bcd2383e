"""PodDisruptionBudgets: how many of the selected pods are healthy, and how many may be evicted now.

The eviction subresource takes from `status.disruptionsAllowed` and notes the pod in `disruptedPods`; this
controller refills the number when pods become ready, are replaced, or were not deleted after all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import msgspec

from kybern.api import selectors, types
from kybern.api.errors import StatusError
from kybern.api.time import format_time, parse_time
from kybern.client.discovery import Resource, served
from kybern.client.framing import status_error
from kybern.reconcile.interface import Context, Controller, Informer, Key, Result
from kybern.reconcile.owners import controller_of, selector_text
from kybern.reconcile.pods import is_ready, pod_condition

DELETION_TIMEOUT = 120.0
"""Seconds in which an evicted pod must begin to be deleted."""


class UnknownScale(Exception):
    """The number of pods that should be there cannot be told."""


@attrs.frozen
class Budget:
    """The numbers of a PodDisruptionBudget."""

    expected: int
    desired: int
    healthy: int

    @property
    def allowed(self) -> int:
        """How many pods may be evicted now."""
        return max(0, self.healthy - self.desired) if self.expected > 0 else 0


def scaled(value: int | str, total: int) -> int:
    """A number or a percentage of `total`, rounded up."""
    if isinstance(value, str):
        return -(-int(value.rstrip("%")) * total // 100)
    return value


def desired_healthy(budget: Any, expected: int) -> int:
    """How many pods must stay healthy when `expected` should be there."""
    spec = budget.spec
    if spec.maxUnavailable is not None:
        return max(0, expected - scaled(spec.maxUnavailable, expected))
    return scaled(spec.minAvailable if spec.minAvailable is not None else 0, expected)


def still_disrupted(budget: Any, pods: Iterable[Any], now: float) -> tuple[dict[str, str], list[Any]]:
    """(evicted pods that are still to be deleted, pods whose deletion never came)."""
    noted = budget.status.disruptedPods or {}
    waiting, spared = {}, []
    for pod in pods:
        since = noted.get(pod.metadata.name)
        if since is None or pod.metadata.deletionTimestamp:
            continue
        if parse_time(since) + DELETION_TIMEOUT < now:
            spared.append(pod)
        else:
            waiting[pod.metadata.name] = since
    return waiting, spared


def count_healthy(pods: Iterable[Any], disrupted: dict[str, str]) -> int:
    """Ready pods that nobody has begun to take away."""
    return sum(
        not pod.metadata.deletionTimestamp and pod.metadata.name not in disrupted and is_ready(pod) for pod in pods
    )


class DisruptionController(Controller):
    """Keeps the status of PodDisruptionBudgets."""

    name = "disruption"
    event_source = "controllermanager"

    def setup(self, context: Context) -> None:
        from kybern.api.apps import Deployment, ReplicaSet, StatefulSet
        from kybern.api.core import Pod, ReplicationController
        from kybern.api.policy import PodDisruptionBudget

        self.client, self.clock, self.events = context.client, context.clock, context.events
        self.budgets = context.watch(PodDisruptionBudget)
        self.pods = context.watch(Pod, self._budgets_of, on=_concerns)
        self.scales: dict[tuple[str, str], Informer[Any]] = {
            ("apps", "Deployment"): context.watch(Deployment, self._budgets_near, on=_rescaled),
            ("apps", "ReplicaSet"): context.watch(ReplicaSet, self._budgets_near, on=_rescaled),
            ("apps", "StatefulSet"): context.watch(StatefulSet, self._budgets_near, on=_rescaled),
            ("", "ReplicationController"): context.watch(ReplicationController, self._budgets_near, on=_rescaled),
        }
        self._resources: dict[tuple[str, str], Resource] = {}

    def _budgets_of(self, pod: Any) -> Iterable[Key]:
        namespace, labels = pod.metadata.namespace, pod.metadata.labels
        budgets: list[Any] = self.budgets.list(namespace)
        for budget in budgets:
            if selectors.from_label_selector(budget.spec.selector).matches(labels):
                yield Key(namespace, budget.metadata.name)

    def _budgets_near(self, owner: Any) -> Iterable[Key]:
        namespace = owner.metadata.namespace
        budgets: list[Any] = self.budgets.list(namespace)
        return [Key(namespace, budget.metadata.name) for budget in budgets]

    async def reconcile(self, key: Key) -> Result | None:
        budget: Any = self.budgets.get(key.name, key.namespace)
        if budget is None:
            return None
        pods = self._selected(budget)
        if not pods:
            self.events.event(budget, "Normal", "NoPods", "No matching pods found")
        now = self.clock.now()
        disrupted, spared = still_disrupted(budget, pods, now)
        for pod in spared:
            text = f"Pod was expected by PDB {key.namespace}/{key.name} to be deleted but it wasn't"
            self.events.event(pod, "Warning", "NotDeleted", text)
        try:
            expected = await self._expected(budget, pods)
        except UnknownScale as error:
            text = f"Failed to calculate the number of expected pods: {error}"
            self.events.event(budget, "Warning", "CalculateExpectedPodCountFailed", text)
            await self._write_failure(budget, str(error))
            raise
        numbers = Budget(expected, desired_healthy(budget, expected), count_healthy(pods, disrupted))
        await self._write(budget, numbers, disrupted)
        ends = [parse_time(since) + DELETION_TIMEOUT - now for since in disrupted.values()]
        return Result(max(0.0, min(ends)) + 1.0) if ends else None

    def _selected(self, budget: Any) -> list[Any]:
        matches = selectors.from_label_selector(budget.spec.selector).matches
        return self.pods.list(budget.metadata.namespace, matches)

    async def _expected(self, budget: Any, pods: Sequence[Any]) -> int:
        """The pods there are when a plain number must stay; else the sum of what their controllers want."""
        spec = budget.spec
        if spec.maxUnavailable is None and not isinstance(spec.minAvailable, str):
            return len(pods) if spec.minAvailable is not None else 0
        scales: dict[str, int] = {}
        known: set[str] = set()
        unmanaged = False
        for pod in pods:
            reference = controller_of(pod)
            unmanaged = unmanaged or reference is None
            if reference is None or reference.uid in known:
                continue
            known.add(reference.uid)
            found = await self._scale(budget.metadata.namespace, reference)
            if found is None:
                raise UnknownScale(f'found no controllers for pod "{pod.metadata.name}"')
            scales.update([found])
        if unmanaged:
            self._tell_unmanaged(budget)
        return sum(scales.values())

    def _tell_unmanaged(self, budget: Any) -> None:
        selector = selector_text(budget.spec.selector)
        text = (
            f"Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. "
            "As a result, the status of the PDB cannot be calculated correctly, which may result in undefined "
            'behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.'
        )
        self.events.event(budget, "Warning", "UnmanagedPods", text)

    async def _scale(self, namespace: str, reference: Any) -> tuple[str, int] | None:
        """(uid of the topmost controller that has a scale, the replicas it wants)."""
        group = reference.apiVersion.rpartition("/")[0]
        informer = self.scales.get((group, reference.kind))
        if informer is None:
            return await self._foreign_scale(namespace, reference)
        owner: Any = informer.get(reference.name, namespace)
        if owner is None or owner.metadata.uid != reference.uid:
            return None
        above = controller_of(owner)
        if above is not None and above.kind == "Deployment" and (found := await self._scale(namespace, above)):
            return found
        return reference.uid, 1 if owner.spec.replicas is None else owner.spec.replicas

    async def _foreign_scale(self, namespace: str, reference: Any) -> tuple[str, int] | None:
        """Of a controller of any other kind, by its scale subresource."""
        group = reference.apiVersion.rpartition("/")[0]
        resource = await self._resource(group, reference.kind)
        if resource is None:
            raise UnknownScale(f'no matches for kind "{reference.kind}" in version "{reference.apiVersion}"')
        prefix = f"/apis/{group}/{resource.version}" if group else f"/api/{resource.version}"
        path = f"{prefix}/namespaces/{namespace}/{resource.plural}/{reference.name}/scale"
        if "scale" not in resource.subresources:
            # A custom resource may get one.
            del self._resources[group, reference.kind]
            raise UnknownScale(f"{resource.name} does not implement the scale subresource")
        code, body = await self.client.raw("GET", path)
        if code == 404:
            return None
        if code >= 400:
            raise status_error(code, body)
        scale = msgspec.json.decode(body)
        if scale.get("metadata", {}).get("uid", reference.uid) != reference.uid:
            return None
        return reference.uid, int(scale.get("spec", {}).get("replicas") or 0)

    async def _resource(self, group: str, kind: str) -> Resource | None:
        if (group, kind) not in self._resources:
            self._resources = {(r.group, r.kind): r for r in await served(self.client)}
        return self._resources.get((group, kind))

    async def _write(self, budget: Any, numbers: Budget, disrupted: dict[str, str]) -> None:
        changed = types.copy(budget)
        status = changed.status
        status.disruptionsAllowed = numbers.allowed
        status.currentHealthy, status.desiredHealthy = numbers.healthy, numbers.desired
        status.expectedPods = numbers.expected
        status.disruptedPods = disrupted or None
        status.observedGeneration = budget.metadata.generation
        allow(status, "SufficientPods" if numbers.allowed else "InsufficientPods", "", self.clock.now())
        if status != budget.status:
            await self.client.update_status(changed)

    async def _write_failure(self, budget: Any, problem: str) -> None:
        """The numbers are not known, so nothing may be evicted."""
        changed = types.copy(budget)
        changed.status.disruptionsAllowed = 0
        allow(changed.status, "SyncFailed", problem, self.clock.now())
        if changed.status != budget.status:
            await self.client.update_status(changed)


def allow(status: Any, reason: str, message: str, now: float) -> None:
    """Set the condition DisruptionAllowed as `disruptionsAllowed` says."""
    from kybern.api.meta import Condition

    value = "True" if status.disruptionsAllowed else "False"
    old = status.conditions or []
    known = next((c for c in old if c.type == "DisruptionAllowed"), None)
    since = known.lastTransitionTime if known is not None and known.status == value else None
    made = Condition(
        type="DisruptionAllowed",
        status=value,
        reason=reason,
        message=message,
        observedGeneration=status.observedGeneration,
        lastTransitionTime=since or format_time(now),
    )
    status.conditions = [*(c for c in old if c.type != "DisruptionAllowed"), made]


class StaleDisruptionController(Controller):
    """A pod that was marked for disruption and then spared is marked no longer."""

    name = "stale-pod-disruption"
    event_source = "controllermanager"
    workers = 1

    def setup(self, context: Context) -> None:
        from kybern.api.core import Pod

        self.client, self.clock = context.client, context.clock
        self.pods = context.watch(Pod, on=lambda old, new: new is not None and _marked(new) is not None)

    async def reconcile(self, key: Key) -> Result | None:
        pod: Any = self.pods.get(key.name, key.namespace)
        mark = _marked(pod) if pod is not None else None
        if mark is None:
            return None
        now = self.clock.now()
        left = (parse_time(mark.lastTransitionTime) if mark.lastTransitionTime else now) + DELETION_TIMEOUT - now
        if left > 0:
            return Result(left)
        changed = types.copy(pod)
        target = pod_condition(changed, "DisruptionTarget")
        assert target is not None
        target.status, target.lastTransitionTime = "False", format_time(now)
        target.reason, target.message = None, None
        try:
            await self.client.update_status(changed)
        except StatusError as error:
            if error.code != 404:
                raise
        return None


def _marked(pod: Any) -> Any | None:
    """The condition, if it says that the pod is to be disrupted and nothing has happened yet."""
    if pod.metadata.deletionTimestamp or pod.status.phase in ("Succeeded", "Failed"):
        return None
    condition = pod_condition(pod, "DisruptionTarget")
    if condition is None or condition.status != "True":
        return None
    # A kubelet that means to end a pod may take as long as it likes.
    return condition if condition.reason != "TerminationByKubelet" else None


def _concerns(old: Any, new: Any) -> bool:
    if old is None or new is None:
        return True
    return _facts(old) != _facts(new)


def _facts(pod: Any) -> tuple[Any, ...]:
    metadata = pod.metadata
    return is_ready(pod), metadata.deletionTimestamp is None, metadata.labels, metadata.ownerReferences


def _rescaled(old: Any, new: Any) -> bool:
    if old is None or new is None:
        return True
    return bool(old.spec.replicas != new.spec.replicas)
