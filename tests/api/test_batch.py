"""Jobs and CronJobs."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.batch.cronjob import KIND as CRON_JOB
from kybern.api.batch.job import KIND as JOB
from kybern.api.time import format_time
from tests.api.judge import ABSENT, NOW, UID, changed, complaints, created, shown, stored, update
from tests.api.samples import cron_job, job

LABELS = {
    "batch.kubernetes.io/controller-uid": UID,
    "batch.kubernetes.io/job-name": "once",
    "controller-uid": UID,
    "job-name": "once",
}
NEGATIVE = "must be greater than or equal to 0"
INDEXED = {"completionMode": "Indexed", "completions": 3}


def test_a_job_without_counts_runs_one_pod_once():
    spec = shown(created(JOB, job()))["spec"]
    del spec["template"]
    assert spec == {
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "completions": 1,
        "manualSelector": False,
        "parallelism": 1,
        "podReplacementPolicy": "TerminatingOrFailed",
        "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": UID}},
        "suspend": False,
    }


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"parallelism": 3}, {"parallelism": 3, "completions": None}),
        ({"completions": 3}, {"parallelism": 1, "completions": 3}),
        ({**INDEXED, "backoffLimitPerIndex": 1}, {"backoffLimit": 2**31 - 1}),
        (
            {"podFailurePolicy": {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}},
            {"podReplacementPolicy": "Failed"},
        ),
    ],
)
def test_counts_depend_on_each_other(spec, expected):
    made = created(JOB, job(**spec)).spec
    assert {field: getattr(made, field) for field in expected} == expected


def test_a_condition_without_a_status_means_true():
    policy = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
    (rule,) = created(JOB, job(podFailurePolicy=policy)).spec.podFailurePolicy.rules
    assert rule.onPodConditions[0].status == "True"


def test_a_job_marks_its_pods_and_itself():
    made = created(JOB, job())
    assert made.metadata.labels == made.spec.template.metadata.labels == LABELS


def test_a_job_keeps_its_own_labels():
    made = created(
        JOB, changed(job(), {"metadata.labels": {"a": "b"}, "spec.template.metadata": {"labels": {"c": "d"}}})
    )
    assert made.metadata.labels == {"a": "b"}
    assert made.spec.template.metadata.labels == {"c": "d", **LABELS}


def test_a_manual_selector_is_left_alone():
    plain = changed(
        job(manualSelector=True, selector={"matchLabels": {"a": "b"}}),
        {"spec.template.metadata": {"labels": {"a": "b"}}},
    )
    made = created(JOB, plain)
    assert made.spec.template.metadata.labels == {"a": "b"}
    assert complaints(JOB, plain) == []
    assert complaints(JOB, job(manualSelector=True)) == [
        "spec.selector: Required value",
        "spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`",
    ]


def policy(**rule: Any) -> dict[str, Any]:
    return {"podFailurePolicy": {"rules": [{"action": "FailJob", **rule}]}}


RULE = "spec.podFailurePolicy.rules[0]"
JOB_RULES: list[tuple[dict[str, Any], list[str]]] = [
    (job(), []),
    (job(parallelism=-1), [f"spec.parallelism: Invalid value: -1: {NEGATIVE}"]),
    (job(completionMode="Indexed"), []),
    (
        job(completionMode="Indexed", parallelism=2),
        ["spec.completions: Required value: when completion mode is Indexed"],
    ),
    (
        job(completionMode="Ordered"),
        ['spec.completionMode: Unsupported value: "Ordered": supported values: "NonIndexed", "Indexed"'],
    ),
    (
        job(backoffLimitPerIndex=1),
        ["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
    ),
    (
        job(**INDEXED, maxFailedIndexes=4),
        [
            "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
            "spec.maxFailedIndexes: Invalid value: 4: must be less than or equal to completions",
        ],
    ),
    (
        job(managedBy="me"),
        ['spec.managedBy: Invalid value: "me": must be a domain-prefixed path (such as "acme.io/foo")'],
    ),
    (job(managedBy="example.com/me"), []),
    (
        job(**policy()),
        [f"{RULE}: Invalid value: specifying one of OnExitCodes and OnPodConditions is required"],
    ),
    (
        job(**policy(onExitCodes={"operator": "In", "values": [2, 1, 2, 0]})),
        [
            f"{RULE}.onExitCodes.values[2]: Duplicate value: 2",
            f"{RULE}.onExitCodes.values[3]: Invalid value: 0: must not be 0 for the In operator",
            f"{RULE}.onExitCodes.values: Invalid value: [2,1,2,0]: must be ordered",
        ],
    ),
    (
        job(**policy(onExitCodes={"operator": "NotIn", "values": [0], "containerName": "gone"})),
        [
            f'{RULE}.onExitCodes.containerName: Invalid value: "gone": '
            "must be one of the container or initContainer names in the pod template"
        ],
    ),
    (
        job(**policy(action="FailIndex", onExitCodes={"operator": "In", "values": [1]})),
        [f'{RULE}.action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set'],
    ),
    (
        changed(
            job(**policy(onExitCodes={"operator": "In", "values": [1]})),
            {"spec.template.spec.restartPolicy": "OnFailure"},
        ),
        [
            'spec.template.spec.restartPolicy: Invalid value: "OnFailure": '
            'only "Never" is supported when podFailurePolicy is specified'
        ],
    ),
    (
        job(successPolicy={"rules": [{"succeededCount": 1}]}),
        ['spec.successPolicy: Invalid value: {"rules":[{"succeededCount":1}]}: requires indexed completion mode'],
    ),
    (
        job(
            **INDEXED,
            successPolicy={"rules": [{}, {"succeededCount": 4}, {"succeededIndexes": "0,2", "succeededCount": 3}]},
        ),
        [
            "spec.successPolicy.rules[0]: Required value: "
            "at least one of succeededCount or succeededIndexes must be specified",
            "spec.successPolicy.rules[1].succeededCount: Invalid value: 4: "
            "must be less than or equal to 3 (the number of specified completions)",
            "spec.successPolicy.rules[2].succeededCount: Invalid value: 3: "
            "must be less than or equal to 2 (the number of indexes in the specified succeededIndexes field)",
        ],
    ),
    (
        job(**INDEXED, successPolicy={"rules": [{"succeededIndexes": "0,9"}]}),
        [
            'spec.successPolicy.rules[0].succeededIndexes: Invalid value: "0,9": '
            'error parsing succeededIndexes: too large index: "9"'
        ],
    ),
    (
        changed(job(), {"spec.template.spec.restartPolicy": ABSENT}),
        ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
    ),
    (
        changed(job(**INDEXED), {"metadata.name": "a" * 62}),
        [
            f'metadata.name: Invalid value: "{"a" * 62}": '
            f"will not able to create pod with invalid DNS label: {'a' * 62}-2"
        ],
    ),
    (
        job(selector={"matchLabels": {"batch.kubernetes.io/controller-uid": "other"}}),
        [
            'spec.selector: Invalid value: {"matchLabels":{"batch.kubernetes.io/controller-uid":"other"}}: '
            "`selector` not auto-generated",
            f'spec.template.metadata.labels: Invalid value: {{"batch.kubernetes.io/controller-uid":"{UID}",'
            f'"batch.kubernetes.io/job-name":"once","controller-uid":"{UID}","job-name":"once"}}: '
            "`selector` does not match template `labels`",
        ],
    ),
]


@pytest.mark.parametrize(("plain", "expected"), JOB_RULES)
def test_a_bad_job_is_refused_with_every_reason(plain, expected):
    assert complaints(JOB, plain) == expected


@pytest.mark.parametrize(
    ("spec", "changes", "refused"),
    [
        ({}, {"spec.parallelism": 3}, ""),
        ({}, {"spec.suspend": True}, ""),
        ({}, {"spec.ttlSecondsAfterFinished": 5}, ""),
        ({}, {"spec.completions": 2}, "spec.completions"),
        ({}, {"spec.completionMode": "Indexed"}, "spec.completionMode"),
        ({}, {"spec.template.spec.containers.0.image": "x"}, "spec.template"),
        ({}, {"spec.template.spec.nodeSelector": {"a": "b"}}, "spec.template"),
        ({"suspend": True}, {"spec.template.spec.nodeSelector": {"a": "b"}}, ""),
        ({"suspend": True}, {"spec.template.metadata.annotations": {"a": "b"}}, ""),
        ({"suspend": True}, {"spec.template.spec.containers.0.image": "x"}, "spec.template"),
        ({**INDEXED, "parallelism": 3}, {"spec.completions": 5, "spec.parallelism": 5}, ""),
        ({**INDEXED, "parallelism": 3}, {"spec.completions": 5}, "spec.completions"),
    ],
)
def test_a_job_stays_the_same_piece_of_work(spec, changes, refused):
    fields = [text.partition(":")[0] for text in update(JOB, stored(JOB, job(**spec)), changes)[1]]
    assert fields == ([refused] if refused else [])


def finished(type_: str) -> list[dict[str, Any]]:
    return [{"type": type_, "status": "True"}]


ENDED = {"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:01:00Z"}
COMPLETE = {**ENDED, "conditions": [*finished("SuccessCriteriaMet"), *finished("Complete")]}
FAILED = {"startTime": "2026-01-01T00:00:00Z", "conditions": [*finished("FailureTarget"), *finished("Failed")]}
BY_INDEX = {**INDEXED, "backoffLimitPerIndex": 1}
STATUSES: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any], list[str]]] = [
    ({}, {}, COMPLETE, []),
    ({}, {}, FAILED, []),
    ({}, {"failed": 2}, {"failed": 1}, ["failed: Invalid value: 1: cannot decrease the failed counter"]),
    ({}, {"succeeded": 2}, {"succeeded": 1}, ["succeeded: Invalid value: 1: cannot decrease the succeeded counter"]),
    ({**INDEXED, "parallelism": 3}, {"succeeded": 2}, {"succeeded": 1}, []),
    ({}, {}, {"active": 1, "ready": 2}, ["ready: Invalid value: 2: cannot set more ready pods than active"]),
    ({}, {}, {"active": -1}, ["active: Invalid value: -1: must be greater than or equal to 0"]),
    ({}, FAILED, {"startTime": FAILED["startTime"]},
     ["conditions: Invalid value: cannot disable the terminal Failed=True condition",
      "conditions: Invalid value: cannot disable the terminal FailureTarget=True condition"]),
    ({}, {}, {**FAILED, "conditions": finished("Failed")},
     ["conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition"]),
    ({}, {}, {**COMPLETE, "conditions": finished("Complete")},
     ["conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition"]),
    ({}, {}, {**COMPLETE, "conditions": [*COMPLETE["conditions"], *FAILED["conditions"]]},
     ["conditions: Invalid value: cannot set Complete=True and Failed=true conditions",
      "conditions: Invalid value: cannot set Complete=True and FailureTarget=true conditions",
      "conditions: Invalid value: cannot set SuccessCriteriaMet=True and Failed=true conditions",
      "conditions: Invalid value: cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"]),
    ({}, {}, {"conditions": COMPLETE["conditions"]},
     ["startTime: Required value: startTime is required for finished job",
      "completionTime: Required value: completionTime is required for Complete jobs"]),
    ({"suspend": True, "completions": 0}, {}, {**COMPLETE, "startTime": None}, []),
    ({}, {}, {**COMPLETE, "active": 1, "terminating": 2},
     ["active: Invalid value: 1: active>0 is invalid for finished job",
      "terminating: Invalid value: 2: terminating>0 is invalid for finished job"]),
    ({}, {}, {**COMPLETE, "uncountedTerminatedPods": {"failed": ["a"]}},
     ['uncountedTerminatedPods: Invalid value: {"failed":["a"]}: must be empty for finished job']),
    ({}, {}, {"uncountedTerminatedPods": {"succeeded": ["a", ""], "failed": ["a"]}},
     ['uncountedTerminatedPods.succeeded[1]: Invalid value: "": must not be empty',
      'uncountedTerminatedPods.failed[0]: Duplicate value: "a"']),
    ({}, {}, ENDED, ['completionTime: Invalid value: "2026-01-01T00:01:00Z": '
                     "cannot set completionTime when there is no Complete=True condition"]),
    ({}, {}, {**COMPLETE, "completionTime": "2025-12-31T23:59:59Z"},
     ['completionTime: Invalid value: "2025-12-31T23:59:59Z": must be equal to or after `startTime`']),
    ({}, COMPLETE, {**COMPLETE, "completionTime": "2026-01-01T00:02:00Z"},
     ['completionTime: Invalid value: "2026-01-01T00:02:00Z": field is immutable']),
    ({}, {"startTime": "2026-01-01T00:00:00Z"}, {},
     ["startTime: Required value: startTime cannot be removed for unsuspended job"]),
    ({"suspend": True}, {"startTime": "2026-01-01T00:00:00Z"}, {}, []),
    ({}, {"startTime": "2026-01-01T00:00:00Z", "conditions": finished("Suspended")},
     {"startTime": "2026-01-01T00:09:00Z", "conditions": [{"type": "Suspended", "status": "False"}]}, []),
    ({}, {}, {"completedIndexes": "0"},
     ['completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when non-indexed completion mode']),
    (INDEXED, {}, {"completedIndexes": "0,3"},
     ['completedIndexes: Invalid value: "0,3": error parsing completedIndexes: too large index: "3"']),
    (INDEXED, {}, {"failedIndexes": ""},
     ['failedIndexes: Invalid value: "": cannot set non-null failedIndexes when backoffLimitPerIndex is null']),
    (BY_INDEX, {}, {"completedIndexes": "0-1", "failedIndexes": "1,2"},
     ['failedIndexes: Invalid value: "1,2": failedIndexes and completedIndexes overlap at index: 1']),
    (INDEXED, COMPLETE, {**COMPLETE, "conditions": finished("Complete")},
     ["conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
      "conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition"]),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "before", "after", "expected"), STATUSES)
def test_a_status_tells_no_nonsense_and_takes_nothing_final_back(spec, before, after, expected):
    old, problems = update(JOB, stored(JOB, job(**spec)), {"status": before}, "status")
    assert problems == []
    assert update(JOB, old, {"status": after}, "status")[1] == [f"status.{text}" for text in expected]


RESTING = {"conditions": finished("Suspended"), "startTime": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("suspend", "status", "may_change"),
    [
        (True, {}, True),
        (True, RESTING, True),
        (True, {**RESTING, "active": 1}, False),
        (True, {"startTime": "2026-01-01T00:00:00Z"}, False),
        (False, RESTING, False),
    ],
)
@pytest.mark.parametrize(
    "change",
    [
        {"spec.template.spec.containers.0.resources": {"requests": {"cpu": "2"}}},
        {"spec.template.spec.nodeSelector": {"a": "b"}},
    ],
)
def test_a_job_that_rests_may_change_what_its_pods_need(suspend, status, may_change, change):
    old, problems = update(JOB, stored(JOB, job(suspend=suspend)), {"status": status}, "status")
    assert problems == []
    fields = [text.partition(":")[0] for text in update(JOB, old, change)[1]]
    assert fields == ([] if may_change else ["spec.template"])


def test_an_alpha_field_is_dropped():
    found = stored(JOB, job(scheduling={"schedulingPolicy": {"basic": {}}}))
    assert found.spec.scheduling is None


def test_too_many_indexes_to_keep_track_of_are_warned_of():
    found = stored(JOB, job(completionMode="Indexed", completions=100_001, parallelism=10_001))
    assert JOB.warn(found, None)[0].startswith("spec: In Indexed Jobs with a number of completions higher than 10^5")
    found.spec.parallelism = 10_000
    assert JOB.warn(found, None) == []


START = {"status.startTime": format_time(NOW - 100)}
JOB_ROWS: list[tuple[dict[str, Any], dict[str, Any], list[Any]]] = [
    (job(), {}, ["Running", "0/1", ""]),
    (job(), START, ["Running", "0/1", "100s"]),
    (job(parallelism=3), {"status.succeeded": 1}, ["Running", "1/1 of 3", ""]),
    (
        job(completions=2),
        {**START, "status.completionTime": format_time(NOW - 40), "status.succeeded": 2,
         "status.conditions": finished("Complete")},
        ["Complete", "2/2", "60s"],
    ),
    (job(), {"status.conditions": finished("Failed")}, ["Failed", "0/1", ""]),
    (job(), {"status.conditions": finished("Suspended")}, ["Suspended", "0/1", ""]),
    (job(), {"metadata.deletionTimestamp": format_time(NOW)}, ["Terminating", "0/1", ""]),
]  # fmt: skip


@pytest.mark.parametrize(("plain", "changes", "expected"), JOB_ROWS)
def test_a_jobs_row(plain, changes, expected):
    made = types.from_plain(JOB.struct, changed(shown(created(JOB, plain)), changes))
    assert JOB.row is not None
    cells = JOB.row(made, NOW)
    assert cells[1:4] == expected
    assert cells[4:] == ["0s", "web", "nginx:1.27", f"batch.kubernetes.io/controller-uid={UID}"]


def test_a_cron_job_is_filled_in_and_its_jobs_are_not():
    spec = shown(created(CRON_JOB, cron_job()))["spec"]
    assert {key: value for key, value in spec.items() if key != "jobTemplate"} == {
        "schedule": "*/5 * * * *",
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
    }
    assert list(spec["jobTemplate"]["spec"]) == ["template"]
    assert spec["jobTemplate"]["spec"]["template"]["spec"]["dnsPolicy"] == "ClusterFirst"


CRON_RULES: list[tuple[dict[str, Any], list[str]]] = [
    (cron_job(), []),
    (cron_job(timeZone="Etc/UTC"), []),
    (cron_job(schedule=""), ["spec.schedule: Required value"]),
    (
        cron_job(schedule="TZ=UTC * * * * *"),
        [
            'spec.schedule: Invalid value: "TZ=UTC * * * * *": '
            "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        ],
    ),
    (
        cron_job(schedule="* * *"),
        ['spec.schedule: Invalid value: "* * *": expected exactly 5 fields, found 3: [* * *]'],
    ),
    (cron_job(timeZone="local"), [
        'spec.timeZone: Invalid value: "local": '
        "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
    ]),
    (cron_job(timeZone="Moon/Base"), ['spec.timeZone: Invalid value: "Moon/Base": unknown time zone Moon/Base']),
    (
        cron_job(concurrencyPolicy="Queue"),
        ['spec.concurrencyPolicy: Unsupported value: "Queue": supported values: "Allow", "Forbid", "Replace"'],
    ),
    (
        cron_job(failedJobsHistoryLimit=-1, startingDeadlineSeconds=-1),
        [
            f"spec.startingDeadlineSeconds: Invalid value: -1: {NEGATIVE}",
            f"spec.failedJobsHistoryLimit: Invalid value: -1: {NEGATIVE}",
        ],
    ),
    (
        changed(cron_job(), {"spec.jobTemplate.spec.selector": {}, "spec.jobTemplate.spec.manualSelector": True}),
        [
            "spec.jobTemplate.spec.selector: Invalid value: {}: `selector` will be auto-generated",
            'spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: "nil", "false"',
        ],
    ),
    (
        changed(cron_job(), {"metadata.name": "a" * 53}),
        [f'metadata.name: Invalid value: "{"a" * 53}": must be no more than 52 characters'],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("plain", "expected"), CRON_RULES)
def test_a_bad_cron_job_is_refused_with_every_reason(plain, expected):
    assert complaints(CRON_JOB, plain) == expected


def test_a_cron_jobs_row():
    active = [{"kind": "Job", "name": "a"}]
    changes = {"status": {"lastScheduleTime": format_time(NOW - 240), "active": active}}
    made = types.from_plain(CRON_JOB.struct, changed(shown(created(CRON_JOB, cron_job())), changes))
    assert CRON_JOB.row is not None
    assert CRON_JOB.row(made, NOW) == [
        "often", "*/5 * * * *", "<none>", "False", 1, "4m", "0s", "web", "nginx:1.27", "<none>",
    ]  # fmt: skip


def test_a_name_that_is_no_host_name_draws_a_warning():
    for kind, plain in ((JOB, job()), (CRON_JOB, cron_job())):
        made = created(kind, changed(plain, {"metadata.name": "a.b"}))
        assert kind.warn is not None
        (text,) = kind.warn(made, None)
        assert text.endswith("a DNS label is recommended: [must not contain dots]")
