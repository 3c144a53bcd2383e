"""What the failure of a pod means to its Job: the podFailurePolicy's rules, and the back-off before the next try."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from kybern_controllers_workloads.job_pods import counted_failures, finished_at, ignored_failures

__all__ = ["COUNT", "Backoff", "Judgement", "judge", "next_failures", "remaining"]

FIRST_DELAY = 10.0
LONGEST_DELAY = 600.0


@attrs.frozen
class Judgement:
    """The action of the first rule that a failed pod meets; `Count` when it meets none."""

    action: str = "Count"
    message: str = ""
    """Why the Job fails, for FailJob."""

    @property
    def counts(self) -> bool:
        """Whether the failure counts towards the limits."""
        return self.action != "Ignore"


COUNT = Judgement()


def judge(job: Any, pod: Any) -> Judgement:
    """What the Job's policy says about a failed pod."""
    policy = job.spec.podFailurePolicy
    for number, rule in enumerate(policy.rules or ()) if policy is not None else ():
        what = _match(rule, pod)
        if what:
            return Judgement(rule.action, f"{what} matching {rule.action} rule at index {number}")
    return COUNT


def _match(rule: Any, pod: Any) -> str:
    """What of the pod meets the rule; "" when it does not."""
    name = f"{pod.metadata.namespace}/{pod.metadata.name}"
    if rule.onExitCodes is not None:
        status = _exited(pod, rule.onExitCodes)
        if status is None:
            return ""
        return f"Container {status.name} for pod {name} failed with exit code {status.state.terminated.exitCode}"
    for condition in pod.status.conditions or ():
        if any(p.type == condition.type and p.status == condition.status for p in rule.onPodConditions or ()):
            return f"Pod {name} has condition {condition.type}"
    return ""


def _exited(pod: Any, wanted: Any) -> Any | None:
    """The first container that failed with a code the rule means."""
    for status in (*(pod.status.containerStatuses or ()), *(pod.status.initContainerStatuses or ())):
        end = status.state.terminated if status.state is not None else None
        if end is None or not end.exitCode:
            continue
        if wanted.containerName is not None and wanted.containerName != status.name:
            continue
        if (end.exitCode in (wanted.values or ())) == (wanted.operator == "In"):
            return status
    return None


@attrs.frozen
class Backoff:
    """How often pods failed in a row, and when the last one did."""

    failures: int = 0
    last: float = 0.0

    @classmethod
    def of(cls, pods: Iterable[Any]) -> Backoff:
        """From the pods that are left, for a controller that has just been started."""
        ended = [pod for pod in pods if pod.status.phase in ("Succeeded", "Failed")]
        good = [pod for pod in ended if pod.status.phase == "Succeeded"]
        return cls().after(good, [pod for pod in ended if pod.status.phase == "Failed"])

    def after(self, succeeded: Sequence[Any], failed: Sequence[Any]) -> Backoff:
        """With pods that ended since; a success forgives the failures before it."""
        times = sorted(finished_at(pod) for pod in failed)
        known = self
        if succeeded:
            good = max(finished_at(pod) for pod in succeeded)
            times = [time for time in times if time > good]
            known = Backoff()
        return Backoff(known.failures + len(times), times[-1]) if times else known

    def wait(self, now: float) -> float:
        """Seconds until the next pod may be made."""
        return remaining(self.failures, self.last, now)


def remaining(failures: int, last: float, now: float) -> float:
    """10 s after the first failure in a row, twice as long after each further one, ten minutes at most."""
    if not failures:
        return 0.0
    delay = min(FIRST_DELAY * 2.0 ** min(failures - 1, 30), LONGEST_DELAY)
    return max(0.0, last + delay - now)


def next_failures(job: Any, failed: Any | None) -> tuple[int, int]:
    """How often an index failed, (counted, ignored), after its last pod; none before its first."""
    if failed is None:
        return 0, 0
    counted, ignored = counted_failures(failed), ignored_failures(failed)
    return (counted + 1, ignored) if judge(job, failed).counts else (counted, ignored + 1)
