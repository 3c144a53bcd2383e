"""kubectl create job, create cronjob, wait, suspend, delete: batch work as a user drives it."""

from __future__ import annotations

import pytest

SUCCEEDED = "jsonpath={.status.succeeded}"


def test_create_a_job_and_wait_for_it(kubectl):
    assert kubectl("create", "job", "hello", "--image=busybox", "--", "echo", "hi") == "job.batch/hello created\n"
    assert "condition met" in kubectl("wait", "job/hello", "--for=condition=complete", "--timeout=30s")
    shown = kubectl("get", "job", "hello", "--no-headers").split()
    assert shown[:3] == ["hello", "Complete", "1/1"]
    assert kubectl("logs", "job/hello") == "hi\n"
    described = kubectl("describe", "job", "hello")
    assert "Pods Statuses:" in described and "0 Active (0 Ready) / 1 Succeeded / 0 Failed" in described
    assert "SuccessfulCreate" in described and "Completed" in described


def test_a_failing_job_says_why(kubectl):
    kubectl("create", "job", "bad", "--image=busybox", "--", "sh", "-c", "exit 3")
    patch = '{"spec":{"backoffLimit":0}}'
    kubectl("patch", "job", "bad", "--type=merge", "-p", patch)
    assert "condition met" in kubectl("wait", "job/bad", "--for=condition=failed", "--timeout=30s")
    reason = kubectl("get", "job", "bad", "-o", 'jsonpath={.status.conditions[?(@.type=="Failed")].reason}')
    assert reason == "BackoffLimitExceeded"
    assert kubectl("get", "job", "bad", "--no-headers").split()[:3] == ["bad", "Failed", "0/1"]


INDEXED = """
apiVersion: batch/v1
kind: Job
metadata: {name: parts}
spec:
  completions: 4
  parallelism: 2
  completionMode: Indexed
  template:
    spec:
      restartPolicy: Never
      containers:
      - {name: c, image: busybox, command: [sh, -c, "echo part $JOB_COMPLETION_INDEX"]}
"""


def test_an_indexed_job(kubectl):
    kubectl("apply", "-f", "-", stdin=INDEXED)
    kubectl("wait", "job/parts", "--for=condition=complete", "--timeout=30s")
    assert kubectl("get", "job", "parts", "-o", "jsonpath={.status.completedIndexes}") == "0-3"
    selector = "batch.kubernetes.io/job-completion-index=2,batch.kubernetes.io/job-name=parts"
    assert kubectl("logs", "-l", selector) == "part 2\n"
    assert "Completed Indexes:  0-3" in kubectl("describe", "job", "parts")


def test_suspend_and_resume(kubectl):
    kubectl("create", "job", "long", "--image=busybox", "--", "sleep", "1000")
    kubectl("wait", "pod", "-l", "job-name=long", "--for=condition=Ready", "--timeout=30s")
    kubectl("patch", "job", "long", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    kubectl("wait", "job/long", "--for=condition=Suspended", "--timeout=30s")
    kubectl.eventually("get", "pods", "-o", "name", becomes="", timeout=60)
    assert kubectl("get", "job", "long", "--no-headers").split()[1] == "Suspended"
    kubectl("patch", "job", "long", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    kubectl("wait", "pod", "-l", "job-name=long", "--for=condition=Ready", "--timeout=30s")
    assert kubectl("delete", "job", "long") == 'job.batch "long" deleted from ' + kubectl.namespace + " namespace\n"
    kubectl.eventually("get", "pods", "-o", "name", becomes="", timeout=60)


@pytest.fixture
def tick(kubectl):
    kubectl("create", "cronjob", "tick", "--image=busybox", "--schedule=0 0 1 1 *", "--", "sh", "-c", "echo tick")
    return kubectl


def test_a_job_from_a_cronjob(tick):
    assert tick("create", "job", "now", "--from=cronjob/tick") == "job.batch/now created\n"
    tick("wait", "job/now", "--for=condition=complete", "--timeout=30s")
    job = tick.json("get", "job", "now")["metadata"]
    assert job["annotations"]["cronjob.kubernetes.io/instantiate"] == "manual"
    assert job["ownerReferences"][0]["kind"] == "CronJob"
    tick("delete", "cronjob", "tick")
    tick.eventually("get", "jobs,pods", "-o", "name", becomes="")


def test_a_cronjob_as_shown_and_suspended(tick):
    shown = tick("get", "cronjob", "tick", "--no-headers").split()
    assert shown[0] == "tick" and shown[6:9] == ["<none>", "False", "0"]
    tick("patch", "cronjob", "tick", "-p", '{"spec":{"suspend":true}}')
    assert tick("get", "cronjob", "tick", "-o", "jsonpath={.spec.suspend}") == "true"
    assert "Suspend:                       True" in tick("describe", "cronjob", "tick")


def test_a_cronjob_runs(kubectl):
    kubectl("create", "cronjob", "often", "--image=busybox", "--schedule=@every 1s", "--", "true")
    kubectl.eventually("get", "jobs", "-o", SUCCEEDED.replace(".status", ".items[0].status"), becomes="1")
    status = kubectl.json("get", "cronjob", "often")["status"]
    assert status["lastScheduleTime"]
    kubectl("delete", "cronjob", "often")


def test_bad_schedules_are_refused(kubectl):
    error = kubectl.fails("create", "cronjob", "bad", "--image=busybox", "--schedule=61 * * * *")
    assert "above maximum (59)" in error
    assert "expected exactly 5 fields" in kubectl.fails("create", "cronjob", "bad", "--image=b", "--schedule=* *")
