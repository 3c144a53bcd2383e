"""Jobs: how pods are made, counted, retried and given up, and what of it is told."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import attrs
import pytest

from tests.conformance.conftest import Asker, condition

INDEX = "batch.kubernetes.io/job-completion-index"
FINALIZER = "batch.kubernetes.io/job-tracking"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
GOOD, BAD = "exit 0", "exit 42"
BY_INDEX = "exit $JOB_COMPLETION_INDEX"
LONGER_BY_INDEX = "sleep ${JOB_COMPLETION_INDEX}00"


@attrs.frozen
class Jobs:
    """One Job of one name, through the official client."""

    api: Asker

    def create(self, command: str = GOOD, annotations: dict[str, str] | None = None, **spec: Any) -> Any:
        pod = {
            "restartPolicy": spec.pop("restartPolicy", "Never"),
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": "busybox", "command": ["sh", "-c", command]}],
        }
        template = {"metadata": {"annotations": annotations or {}}, "spec": pod}
        body = {"metadata": {"name": "work"}, "spec": {"template": template, **spec}}
        return self.api.batch.create_namespaced_job(self.api.namespace, body)

    def indexed(self, completions: int, command: str = GOOD, **spec: Any) -> Any:
        spec.setdefault("parallelism", completions)
        return self.create(command, completions=completions, completionMode="Indexed", **spec)

    def read(self) -> Any:
        return self.api.batch.read_namespaced_job("work", self.api.namespace)

    def patch(self, **spec: Any) -> Any:
        return self.api.batch.patch_namespaced_job("work", self.api.namespace, {"spec": spec})

    def status(self, **status: Any) -> Any:
        return self.api.batch.patch_namespaced_job_status("work", self.api.namespace, {"status": status})

    def pods(self) -> list[Any]:
        return self.api.pods("batch.kubernetes.io/job-name=work")

    def until(self, done: Callable[[Any], Any]) -> Any:
        return self.api.until(lambda: (job := self.read()) and done(job) and job)

    def ended(self, step: float = 0.0) -> tuple[Any, str]:
        """The finished Job, and `type reason` of its end. `step`: seconds to let pass while it is not."""

        def over() -> Any:
            job = self.read()
            for type in ("Complete", "Failed"):
                if found := condition(job, type):
                    return job, f"{type} {found[1]}"
            if step:
                self.api.advance(step)
            return None

        found: tuple[Any, str] = self.api.until(over)
        return found

    def active(self, count: int) -> Any:
        return self.until(lambda job: (job.status.active or 0) == count and (job.status.ready or 0) == count)


@pytest.fixture
def jobs(api: Asker) -> Jobs:
    return Jobs(api)


def refused(call: Callable[[], Any]) -> str:
    from kubernetes.client.exceptions import ApiException

    with pytest.raises(ApiException) as raised:
        call()
    return str(raised.value.body)


def test_indexes_are_told_by_annotation_label_environment_and_host_name(jobs: Jobs) -> None:
    jobs.indexed(4, "echo $JOB_COMPLETION_INDEX; sleep 1000")
    jobs.active(4)
    pods = jobs.pods()
    assert sorted(pod.metadata.annotations[INDEX] for pod in pods) == ["0", "1", "2", "3"]
    for pod in pods:
        index = pod.metadata.annotations[INDEX]
        assert pod.metadata.labels[INDEX] == index
        assert pod.spec.hostname == f"work-{index}"
        assert pod.metadata.name.startswith(f"work-{index}-")
        assert pod.metadata.finalizers == [FINALIZER]
        variable = pod.spec.containers[0].env[0]
        assert (variable.name, variable.value_from.field_ref.field_path) == (
            "JOB_COMPLETION_INDEX",
            f"metadata.labels['{INDEX}']",
        )


def test_an_end_is_announced_counted_and_told(jobs: Jobs) -> None:
    jobs.create(completions=3, parallelism=2)
    job, end = jobs.ended()
    assert end == "Complete CompletionsReached"
    assert [c.type for c in job.status.conditions] == ["SuccessCriteriaMet", "Complete"]
    assert condition(job, "Complete") == ("True", "CompletionsReached", "Reached expected number of succeeded pods")
    status = job.status
    assert (status.succeeded, status.failed, status.active, status.ready, status.terminating) == (3, None, None, 0, 0)
    assert status.start_time <= status.completion_time
    assert all(not pod.metadata.finalizers for pod in jobs.pods())
    events = jobs.api.events("work")
    assert [e.partition(":")[0] for e in events[:3]] == ["Normal SuccessfulCreate Created pod"] * 3
    assert events[-1] == "Normal Completed Job completed"


def test_a_limit_of_failures_ends_it_after_waits_that_double(jobs: Jobs) -> None:
    jobs.create(BAD, backoffLimit=2)
    job, end = jobs.ended(step=10)
    assert end == "Failed BackoffLimitExceeded"
    assert [c.type for c in job.status.conditions] == ["FailureTarget", "Failed"]
    assert job.status.failed == 3 and job.status.completion_time is None
    made = sorted(pod.metadata.creation_timestamp for pod in jobs.pods())
    waits = [(b - a).total_seconds() for a, b in pairwise(made)]
    assert 10 <= waits[0] <= 21 and 20 <= waits[1] <= 31
    assert "Warning BackoffLimitExceeded Job has reached the specified backoff limit" in jobs.api.events("work")


def test_pods_that_restart_in_place_need_no_successor(jobs: Jobs) -> None:
    jobs.create("sleep 1", annotations={"fake.kybern.dev/exits": "1,0"}, restartPolicy="OnFailure")
    job, end = jobs.ended(step=10)
    assert end == "Complete CompletionsReached"
    assert (job.status.succeeded, job.status.failed) == (1, None)
    assert [pod.status.container_statuses[0].restart_count for pod in jobs.pods()] == [1]


def test_each_index_has_its_own_limit(jobs: Jobs) -> None:
    jobs.indexed(3, BY_INDEX, backoffLimitPerIndex=1)
    job, end = jobs.ended(step=11)
    assert end == "Failed FailedIndexes"
    assert (job.status.completed_indexes, job.status.failed_indexes) == ("0", "1,2")
    assert (job.status.succeeded, job.status.failed) == (1, 4)
    counts = {(p.metadata.annotations[INDEX], p.metadata.annotations[FAILURES]) for p in jobs.pods()}
    assert counts == {("0", "0"), ("1", "0"), ("1", "1"), ("2", "0"), ("2", "1")}


def test_too_many_failed_indexes_end_it(jobs: Jobs) -> None:
    jobs.indexed(3, BY_INDEX, backoffLimitPerIndex=0, maxFailedIndexes=0)
    job, end = jobs.ended(step=1)
    assert end == "Failed MaxFailedIndexesExceeded"
    text = "Job has exceeded the specified maximal number of failed indexes"
    assert condition(job, "FailureTarget") == ("True", "MaxFailedIndexesExceeded", text)


def test_an_exit_code_fails_the_job_at_once(jobs: Jobs) -> None:
    codes = {"containerName": "c", "operator": "In", "values": [42]}
    jobs.create(BAD, podFailurePolicy={"rules": [{"action": "FailJob", "onExitCodes": codes}]})
    job, end = jobs.ended()
    assert end == "Failed PodFailurePolicy"
    name = jobs.pods()[0].metadata.name
    text = f"Container c for pod {jobs.api.namespace}/{name} failed with exit code 42 matching FailJob rule at index 0"
    assert condition(job, "Failed") == ("True", "PodFailurePolicy", text)
    assert job.spec.pod_replacement_policy == "Failed"


def test_an_index_is_given_up_by_its_exit_code(jobs: Jobs) -> None:
    rule = {"action": "FailIndex", "onExitCodes": {"operator": "NotIn", "values": [0]}}
    jobs.indexed(2, BY_INDEX, backoffLimitPerIndex=5, podFailurePolicy={"rules": [rule]})
    job, end = jobs.ended()
    assert end == "Failed FailedIndexes"
    assert (job.status.completed_indexes, job.status.failed_indexes, job.status.failed) == ("0", "1", 1)


def test_an_evicted_pod_does_not_count_where_disruptions_are_ignored(jobs: Jobs) -> None:
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    job = jobs.create("sleep 1000", backoffLimit=0, podFailurePolicy={"rules": [rule]})
    assert job.spec.pod_failure_policy.rules[0].on_pod_conditions[0].status == "True"
    jobs.active(1)
    first = jobs.pods()[0].metadata
    eviction = {"metadata": {"name": first.name, "namespace": first.namespace}}
    jobs.api.core.create_namespaced_pod_eviction(first.name, first.namespace, eviction)
    jobs.until(lambda job: not job.status.active and not job.status.terminating)
    jobs.api.advance(10)
    jobs.api.until(lambda: (p := jobs.pods()) and p[0].metadata.uid != first.uid)
    job = jobs.active(1)
    assert job.status.failed is None and not condition(job, "FailureTarget")


@pytest.mark.parametrize(
    ("rule", "least"),
    [
        ({"succeededIndexes": "0-1"}, 2),
        ({"succeededCount": 2}, 2),
        ({"succeededIndexes": "0,2,4", "succeededCount": 1}, 1),
    ],
)
def test_a_success_policy_ends_it_and_what_still_runs(jobs: Jobs, rule: dict[str, Any], least: int) -> None:
    jobs.indexed(5, LONGER_BY_INDEX, successPolicy={"rules": [rule]})
    job, end = jobs.ended(step=30)
    assert end == "Complete SuccessPolicy"
    assert condition(job, "SuccessCriteriaMet") == ("True", "SuccessPolicy", "Matched rules at index 0")
    assert least <= job.status.succeeded < 4 and job.status.failed is None


def test_suspended_it_has_no_pods_and_resumed_it_starts_anew(jobs: Jobs) -> None:
    jobs.create("sleep 1000", activeDeadlineSeconds=3600)
    began = jobs.active(1).status.start_time
    jobs.patch(suspend=True)
    job = jobs.until(lambda job: condition(job, "Suspended"))
    assert condition(job, "Suspended") == ("True", "JobSuspended", "Job suspended")
    jobs.until(lambda job: not job.status.active and job.status.start_time is None)
    assert jobs.pods() == [] and jobs.read().status.failed is None
    assert "Normal Suspended Job suspended" in jobs.api.events("work")
    jobs.api.advance(7200)
    jobs.patch(suspend=False, template={"spec": {"nodeSelector": {"kubernetes.io/os": "linux"}}})
    job = jobs.active(1)
    assert condition(job, "Suspended") == ("False", "JobResumed", "Job resumed")
    assert (job.status.start_time - began).total_seconds() >= 7200
    assert jobs.pods()[0].spec.node_selector == {"kubernetes.io/os": "linux"}
    assert "Normal Resumed Job resumed" in jobs.api.events("work")
    assert "field is immutable" in refused(lambda: jobs.patch(template={"spec": {"nodeSelector": {"a": "b"}}}))


def test_a_deadline_ends_it(jobs: Jobs) -> None:
    jobs.create("sleep 1000", activeDeadlineSeconds=60)
    jobs.active(1)
    jobs.api.advance(61)
    job, end = jobs.ended()
    assert end == "Failed DeadlineExceeded"
    assert condition(job, "Failed") == ("True", "DeadlineExceeded", "Job was active longer than specified deadline")
    assert job.status.failed == 1


@pytest.mark.parametrize(("policy", "replaced"), [("TerminatingOrFailed", True), ("Failed", False)])
def test_a_pod_on_its_way_out_is_replaced_or_waited_for(jobs: Jobs, policy: str, replaced: bool) -> None:
    jobs.create("sleep 1000", annotations={"fake.kybern.dev/stop-delay": "600"}, podReplacementPolicy=policy)
    jobs.active(1)
    name = jobs.pods()[0].metadata.name
    jobs.api.core.delete_namespaced_pod(name, jobs.api.namespace, grace_period_seconds=300)
    jobs.until(lambda job: job.status.terminating == 1)
    jobs.api.advance(11)
    job = jobs.until(lambda job: (job.status.active or 0) == replaced)
    assert (job.status.failed or 0, job.status.terminating) == (replaced, 1)
    jobs.api.advance(320)
    job = jobs.active(1)
    assert (job.status.failed, job.status.terminating) == (1, 0)


def test_an_indexed_job_shrinks_and_grows(jobs: Jobs) -> None:
    jobs.indexed(3, LONGER_BY_INDEX)
    jobs.until(lambda job: job.status.completed_indexes == "0" and job.status.active == 2)
    assert "can only be modified in tandem with spec.parallelism" in refused(lambda: jobs.patch(completions=4))
    jobs.patch(completions=1, parallelism=1)
    job, end = jobs.ended()
    assert end == "Complete CompletionsReached"
    assert (job.status.completed_indexes, job.status.succeeded) == ("0", 1)


def test_others_pods_are_adopted_by_labels_and_let_go(jobs: Jobs) -> None:
    jobs.create("sleep 1000", parallelism=2, completions=None)
    jobs.active(2)
    pod, core, space = jobs.pods()[0].metadata, jobs.api.core, jobs.api.namespace
    core.patch_namespaced_pod(pod.name, space, {"metadata": {"ownerReferences": None}})
    jobs.api.until(lambda: core.read_namespaced_pod(pod.name, space).metadata.owner_references)
    core.patch_namespaced_pod(pod.name, space, {"metadata": {"labels": None}})
    jobs.api.until(lambda: not core.read_namespaced_pod(pod.name, space).metadata.owner_references)
    assert core.read_namespaced_pod(pod.name, space).metadata.finalizers is None
    jobs.active(2)


def test_another_controllers_job_is_not_touched_and_its_status_is_checked(jobs: Jobs) -> None:
    jobs.create(managedBy="example.com/other")
    assert "field is immutable" in refused(lambda: jobs.patch(managedBy="kubernetes.io/job-controller"))
    text = refused(lambda: jobs.status(conditions=[{"type": "Complete", "status": "True"}]))
    assert "cannot set Complete=True condition without the SuccessCriteriaMet=true condition" in text
    assert jobs.status(active=1, startTime="2026-01-01T00:00:00Z").status.active == 1
    assert jobs.pods() == [] and jobs.api.events("work") == []


def test_a_status_written_to_its_own_path_stays(jobs: Jobs) -> None:
    jobs.create(suspend=True)
    jobs.until(lambda job: condition(job, "Suspended"))
    body = {"metadata": {"annotations": {"seen": "yes"}}, "spec": {"parallelism": 9}}
    found = jobs.api.batch.patch_namespaced_job_status("work", jobs.api.namespace, body)
    assert found.metadata.annotations["seen"] == "yes" and found.spec.parallelism == 1


@pytest.mark.parametrize(
    ("way", "pods_stay"), [("Background", False), ("Foreground", False), ("Orphan", True), (None, True)]
)
def test_deleted_it_takes_its_pods_along_or_leaves_them(jobs: Jobs, way: str | None, pods_stay: bool) -> None:
    jobs.create("sleep 1000", parallelism=2, completions=2)
    jobs.active(2)
    options = {"propagation_policy": way} if way else {}
    jobs.api.batch.delete_namespaced_job("work", jobs.api.namespace, **options)
    jobs.api.until(lambda: not jobs.api.batch.list_namespaced_job(jobs.api.namespace).items)
    if not pods_stay:
        jobs.api.until(lambda: not jobs.pods())
        return
    jobs.api.until(lambda: all(not p.metadata.owner_references and not p.metadata.finalizers for p in jobs.pods()))
    assert len(jobs.pods()) == 2


def test_its_time_to_live_may_be_given_afterwards(jobs: Jobs) -> None:
    jobs.create()
    jobs.ended()
    jobs.api.advance(3600)
    assert jobs.read()
    jobs.patch(ttlSecondsAfterFinished=0)
    jobs.api.until(lambda: not jobs.api.batch.list_namespaced_job(jobs.api.namespace).items)
    jobs.api.until(lambda: not jobs.pods())
