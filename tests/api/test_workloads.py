"""The kinds that keep pods of a template running, and their small companions."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.apps.controllerrevision import KIND as REVISION
from kybern.api.apps.daemonset import KIND as DAEMON_SET
from kybern.api.apps.deployment import KIND as DEPLOYMENT
from kybern.api.apps.replicaset import KIND as REPLICA_SET
from kybern.api.apps.statefulset import KIND as STATEFUL_SET
from kybern.api.core.binding import KIND as BINDING
from kybern.api.core.podtemplate import KIND as POD_TEMPLATE
from kybern.api.core.replicationcontroller import KIND as CONTROLLER
from kybern.api.field import Errors
from kybern.api.kind import Kind
from kybern.api.time import format_time
from tests.api.judge import ABSENT, NOW, changed, complaints, created, read, shown, stored, texts, update
from tests.api.samples import TEMPLATE, workload

BY_NAME = {kind.kind: kind for kind in (DEPLOYMENT, REPLICA_SET, STATEFUL_SET, DAEMON_SET)}
NO_MATCH = 'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'
PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' "
    "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
)
CLAIM = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


def spec_of(kind: Kind, plain: dict[str, Any]) -> dict[str, Any]:
    spec = shown(created(kind, plain))["spec"]
    del spec["selector"], spec["template"]
    return dict(spec)


DEFAULTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        workload("Deployment"),
        {
            "replicas": 1,
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        },
    ),
    (
        workload("Deployment", replicas=0, strategy={"type": "Recreate"}),
        {
            "replicas": 0,
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            "strategy": {"type": "Recreate"},
        },
    ),
    (workload("ReplicaSet"), {"replicas": 1}),
    (
        workload("StatefulSet", serviceName="web"),
        {
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "podManagementPolicy": "OrderedReady",
            "replicas": 1,
            "revisionHistoryLimit": 10,
            "serviceName": "web",
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "partition": 0}},
        },
    ),
    (
        workload("DaemonSet"),
        {
            "revisionHistoryLimit": 10,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
        },
    ),
]


@pytest.mark.parametrize(("plain", "expected"), DEFAULTS)
def test_what_is_left_out_is_filled_in(plain, expected):
    assert spec_of(BY_NAME[plain["kind"]], plain) == expected


def test_claim_templates_are_whole_claims():
    (claim,) = spec_of(STATEFUL_SET, workload("StatefulSet", volumeClaimTemplates=[CLAIM]))["volumeClaimTemplates"]
    assert (claim["apiVersion"], claim["kind"]) == ("v1", "PersistentVolumeClaim")
    assert claim["spec"]["volumeMode"] == "Filesystem"
    assert claim["status"] == {"phase": "Pending"}


def test_a_controller_without_a_selector_takes_its_templates_labels():
    plain = {"metadata": {"name": "web"}, "spec": {"template": TEMPLATE}}
    made = created(CONTROLLER, plain)
    assert made.spec.selector == made.metadata.labels == {"app": "web"}
    assert made.spec.replicas == 1


@pytest.mark.parametrize("name", list(BY_NAME))
def test_a_good_one_is_taken(name):
    assert complaints(BY_NAME[name], workload(name)) == []


RULES: list[tuple[dict[str, Any], list[str]]] = [
    (workload("Deployment", replicas=-1), ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]),
    (workload("Deployment", selector=None), ["spec.selector: Required value", NO_MATCH]),
    (
        workload("Deployment", selector={}),
        ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
    ),
    (workload("Deployment", selector={"matchLabels": {"app": "db"}}), [NO_MATCH]),
    (
        workload("Deployment", selector={"matchExpressions": [{"key": "a", "operator": "Like"}]}),
        [
            'spec.selector.matchExpressions[0].operator: Invalid value: "Like": not a valid selector operator',
            'spec.selector: Invalid value: {"matchExpressions":[{"key":"a","operator":"Like"}]}: '
            "invalid label selector",
        ],
    ),
    (
        workload("Deployment", strategy={"type": "Recreate", "rollingUpdate": {}}),
        ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
    ),
    (
        workload("Deployment", strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}),
        ['spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0'],
    ),
    (
        workload("Deployment", strategy={"rollingUpdate": {"maxSurge": "a lot", "maxUnavailable": "101%"}}),
        [
            f'spec.strategy.rollingUpdate.maxSurge: Invalid value: "a lot": {PERCENT}',
            'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%',
        ],
    ),
    (
        workload("Deployment", strategy={"type": "Slowly"}),
        [
            'spec.strategy: Unsupported value: {"Type":"Slowly","RollingUpdate":null}: '
            'supported values: "Recreate", "RollingUpdate"'
        ],
    ),
    (
        workload("Deployment", minReadySeconds=600),
        ["spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds"],
    ),
    (
        workload(
            "Deployment", template=changed(TEMPLATE, {"spec.restartPolicy": "Never", "spec.activeDeadlineSeconds": 5})
        ),
        [
            'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
            "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported",
        ],
    ),
    (
        workload(
            "ReplicaSet",
            replicas=2,
            template=changed(TEMPLATE, {"spec.volumes": [{"name": "v", "gcePersistentDisk": {"pdName": "d"}}]}),
        ),
        [
            "spec.template.spec.volumes[0].gcePersistentDisk.readOnly: Invalid value: false: "
            "must be true for replicated pods > 1; GCE PD can only be mounted on multiple machines if it is read-only"
        ],
    ),
    (
        workload("StatefulSet", podManagementPolicy="Chaos"),
        ["spec.podManagementPolicy: Invalid value: \"Chaos\": must be 'OrderedReady' or 'Parallel'"],
    ),
    (
        workload("StatefulSet", updateStrategy={"type": "OnDelete", "rollingUpdate": {"partition": 1}}),
        [
            'spec.updateStrategy.rollingUpdate: Invalid value: {"Partition":1,"MaxUnavailable":null}: '
            "only allowed for updateStrategy 'RollingUpdate'"
        ],
    ),
    (
        workload("StatefulSet", updateStrategy={"rollingUpdate": {"partition": -1, "maxUnavailable": 0}}),
        [
            "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0",
            "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0",
        ],
    ),
    (
        workload("StatefulSet", persistentVolumeClaimRetentionPolicy={"whenDeleted": "Burn"}),
        [
            'spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: "Burn": '
            'supported values: "Retain", "Delete"'
        ],
    ),
    (
        workload("StatefulSet", volumeClaimTemplates=[{**CLAIM, "metadata": {}}]),
        [
            "spec.template.spec.volumes[0].persistentVolumeClaim.claimName: Required value",
            "spec.template.spec.volumes[0].name: Required value",
        ],
    ),
    (
        workload("DaemonSet", updateStrategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}),
        [
            "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: "
            "may not be set when maxUnavailable is non-zero"
        ],
    ),
    (
        workload("DaemonSet", updateStrategy={"rollingUpdate": {"maxUnavailable": 0}}),
        ["spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"],
    ),
    (workload("DaemonSet", selector=None), [NO_MATCH]),
]


@pytest.mark.parametrize(("plain", "expected"), RULES)
def test_a_bad_one_is_refused_with_every_reason(plain, expected):
    if plain["spec"]["selector"] is None:
        plain = changed(plain, {"spec.selector": ABSENT})
    assert complaints(BY_NAME[plain["kind"]], plain) == expected


def test_a_claims_volume_may_be_mounted():
    template = changed(TEMPLATE, {"spec.containers.0.volumeMounts": [{"name": "data", "mountPath": "/data"}]})
    assert complaints(STATEFUL_SET, workload("StatefulSet", template=template, volumeClaimTemplates=[CLAIM])) == []
    assert complaints(STATEFUL_SET, workload("StatefulSet", template=template)) == [
        'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "data"'
    ]


def test_a_controller_needs_selector_and_template():
    assert complaints(CONTROLLER, {"metadata": {"name": "web"}}) == [
        "spec.selector: Required value",
        "spec.template: Required value",
    ]


def test_templates_hold_no_debug_containers():
    template = changed(TEMPLATE, {"spec.ephemeralContainers": [{"name": "e", "image": "e"}]})
    assert complaints(POD_TEMPLATE, {"metadata": {"name": "t"}, "template": template}) == [
        "template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template"
    ]


@pytest.mark.parametrize("name", ["Deployment", "ReplicaSet", "DaemonSet"])
def test_a_selector_is_for_ever(name):
    kind = BY_NAME[name]
    template = changed(TEMPLATE, {"metadata.labels.tier": "front"})
    old = stored(kind, workload(name, template=template))
    more = {"matchLabels": {"app": "web", "tier": "front"}}
    assert update(kind, old, {"spec.selector": more})[1] == [
        'spec.selector: Invalid value: {"matchLabels":{"app":"web","tier":"front"}}: field is immutable'
    ]
    assert update(kind, old, {"spec.template.spec.hostname": "h"})[1] == []


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"spec.replicas": 3}, False),
        ({"spec.minReadySeconds": 3}, False),
        ({"spec.updateStrategy.rollingUpdate.partition": 1}, False),
        ({"spec.template.spec.hostname": "h"}, False),
        ({"spec.ordinals": {"start": 2}}, False),
        ({"spec.persistentVolumeClaimRetentionPolicy.whenDeleted": "Delete"}, False),
        ({"spec.serviceName": "other"}, True),
        ({"spec.podManagementPolicy": "Parallel"}, True),
        ({"spec.volumeClaimTemplates.0.spec.resources.requests.storage": "2Gi"}, True),
    ],
)
def test_a_stateful_set_changes_nothing_that_names_its_pods(changes, refused):
    old = stored(STATEFUL_SET, workload("StatefulSet", serviceName="web", volumeClaimTemplates=[CLAIM]))
    expected = [
        "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
        "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' "
        "are forbidden"
    ]
    assert update(STATEFUL_SET, old, changes)[1] == (expected if refused else [])


@pytest.mark.parametrize("name", list(BY_NAME))
def test_spec_and_status_have_a_path_each(name):
    kind = BY_NAME[name]
    old = stored(kind, workload(name))
    old.status.observedGeneration = 4
    changes = {"spec.minReadySeconds": 9, "status": {"observedGeneration": 5}}
    by_spec, _ = update(kind, old, changes)
    assert (by_spec.spec.minReadySeconds, by_spec.status.observedGeneration) == (9, 4)
    by_status, problems = update(kind, old, changes, "status")
    assert (by_status.spec.minReadySeconds, by_status.status.observedGeneration) == (None, 5)
    assert problems == []


@pytest.mark.parametrize("name", list(BY_NAME))
def test_a_creator_cannot_set_the_status(name):
    plain = {**workload(name), "status": {"observedGeneration": 9}}
    assert created(BY_NAME[name], plain).status.observedGeneration is None


STATUS_RULES: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "Deployment",
        {"status": {"replicas": 1, "updatedReplicas": 2, "availableReplicas": 1}},
        [
            "status.updatedReplicas: Invalid value: 2: cannot be greater than status.replicas",
            "status.availableReplicas: Invalid value: 1: cannot be greater than readyReplicas",
        ],
    ),
    (
        "ReplicaSet",
        {"status": {"fullyLabeledReplicas": -1}},
        ["status.fullyLabeledReplicas: Invalid value: -1: must be greater than or equal to 0"],
    ),
    (
        "StatefulSet",
        {"status": {"replicas": 1, "readyReplicas": 1, "availableReplicas": 2}},
        [
            "status.availableReplicas: Invalid value: 2: cannot be greater than status.replicas",
            "status.availableReplicas: Invalid value: 2: cannot be greater than status.readyReplicas",
        ],
    ),
    (
        "DaemonSet",
        {"status": {"numberReady": -1}},
        ["status.numberReady: Invalid value: -1: must be greater than or equal to 0"],
    ),
]


@pytest.mark.parametrize(("name", "changes", "expected"), STATUS_RULES)
def test_a_status_adds_up(name, changes, expected):
    kind = BY_NAME[name]
    changes = {f"status.{field}": value for field, value in changes["status"].items()}
    assert update(kind, stored(kind, workload(name)), changes, "status")[1] == expected


def test_collisions_are_not_taken_back():
    old = stored(DEPLOYMENT, workload("Deployment"))
    old.status.collisionCount = 2
    assert update(DEPLOYMENT, old, {"status.collisionCount": 1}, "status")[1] == [
        "status.collisionCount: Invalid value: 1: cannot be decremented"
    ]


def test_a_deployments_annotations_count_as_a_change():
    old = stored(DEPLOYMENT, workload("Deployment"))
    new, _ = update(DEPLOYMENT, old, {"metadata.annotations": {"a": "b"}})
    assert DEPLOYMENT.spec_changed is not None
    assert DEPLOYMENT.spec_changed(new, old)
    assert not DEPLOYMENT.spec_changed(update(DEPLOYMENT, old, {"metadata.labels": {"a": "b"}})[0], old)


def test_a_daemon_set_numbers_its_templates():
    note = "deprecated.daemonset.template.generation"
    old = stored(DAEMON_SET, workload("DaemonSet"))
    assert old.metadata.annotations == {note: "1"}
    same, _ = update(DAEMON_SET, old, {"spec.minReadySeconds": 1})
    assert same.metadata.annotations[note] == "1"
    other, _ = update(DAEMON_SET, old, {"spec.template.spec.hostname": "h"})
    assert other.metadata.annotations[note] == "2"


def test_history_has_data_that_does_not_change():
    assert complaints(REVISION, {"metadata": {"name": "r"}, "revision": -1}) == [
        "data: Required value: data is mandatory",
        "revision: Invalid value: -1: must be greater than or equal to 0",
    ]
    old = stored(REVISION, {"metadata": {"name": "r"}, "data": {"a": 1}, "revision": 1})
    assert update(REVISION, old, {"revision": 2})[1] == []
    assert update(REVISION, old, {"data": {"a": 2}})[1] == ['data: Invalid value: {"a":2}: field is immutable']


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({"kind": "Node", "name": "n"}, []),
        ({"name": "n"}, []),
        (
            {"kind": "Pod"},
            [
                'target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>"',
                "target.name: Required value",
            ],
        ),
    ],
)
def test_pods_are_bound_to_nodes(target, expected):
    errors = Errors()
    BINDING.validate(read(BINDING, {"metadata": {"name": "p"}, "target": target}), errors)
    assert texts(errors) == expected


AGE = {"metadata.creationTimestamp": format_time(NOW - 3600 * 5)}
ROWS: list[tuple[Kind, dict[str, Any], dict[str, Any], list[Any]]] = [
    (
        DEPLOYMENT,
        workload("Deployment", replicas=3),
        {"status": {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 1}},
        ["web", "2/3", 3, 1, "5h", "web", "nginx:1.27", "app=web"],
    ),
    (
        REPLICA_SET,
        workload("ReplicaSet", replicas=3),
        {"status": {"replicas": 2, "readyReplicas": 1}},
        ["web", 3, 2, 1, "5h", "web", "nginx:1.27", "app=web"],
    ),
    (STATEFUL_SET, workload("StatefulSet"), {"status.readyReplicas": 1}, ["web", "1/1", "5h", "web", "nginx:1.27"]),
    (
        DAEMON_SET,
        workload("DaemonSet", template=changed(TEMPLATE, {"spec.nodeSelector": {"b": "2", "a": "1"}})),
        {"status": {"desiredNumberScheduled": 5, "currentNumberScheduled": 4, "numberReady": 3,
                    "updatedNumberScheduled": 2, "numberAvailable": 1, "numberMisscheduled": 0}},
        ["web", 5, 4, 3, 2, 1, "a=1,b=2", "5h", "web", "nginx:1.27", "app=web"],
    ),
    (
        CONTROLLER,
        {"metadata": {"name": "web"}, "spec": {"replicas": 2, "template": TEMPLATE}},
        {"status": {"replicas": 1}},
        ["web", 2, 1, 0, "5h", "web", "nginx:1.27", "app=web"],
    ),
    (POD_TEMPLATE, {"metadata": {"name": "t"}, "template": TEMPLATE}, {}, ["t", "web", "nginx:1.27", "app=web"]),
    (
        REVISION,
        {"metadata": {"name": "r"}, "data": {}, "revision": 7},
        {"metadata.ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "u", "controller": True}]},
        ["r", "statefulset.apps/web", "7", "5h"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "plain", "changes", "expected"), ROWS, ids=[row[0].kind for row in ROWS])
def test_a_row_of_the_table(kind, plain, changes, expected):
    obj = types.from_plain(kind.struct, changed(shown(created(kind, plain)), {**AGE, **changes}))
    assert kind.row(obj, NOW) == expected
    assert len(expected) == len(kind.columns)


def test_scalable_kinds_say_where_their_replicas_are():
    for kind in (DEPLOYMENT, REPLICA_SET, STATEFUL_SET, CONTROLLER):
        assert kind.scale_paths == ("spec.replicas", "status.replicas", "spec.selector")
        assert "scale" in [sub.name for sub in kind.subresources]
    assert DAEMON_SET.scale_paths is None
