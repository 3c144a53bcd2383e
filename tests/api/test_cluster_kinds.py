"""Kinds about the cluster itself: Node, RBAC, Lease, PriorityClass, RuntimeClass, flow control, APIService, Event."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import registry
from kybern.api.kind import Kind
from tests.api.judge import ABSENT, NOW, changed, complaints, created, shown, stored, update

RBAC, FLOW = "rbac.authorization.k8s.io", "flowcontrol.apiserver.k8s.io"
GROUPS = {
    "Node": "",
    "Event": "events.k8s.io",
    "Lease": "coordination.k8s.io",
    "PriorityClass": "scheduling.k8s.io",
    "RuntimeClass": "node.k8s.io",
    "FlowSchema": FLOW,
    "PriorityLevelConfiguration": FLOW,
    "APIService": "apiregistration.k8s.io",
    "StorageVersionMigration": "storagemigration.k8s.io",
}


def kind(name: str) -> Kind:
    found = registry.builtin().kind(GROUPS.get(name, RBAC), "v1", name)
    assert found is not None
    return found


def plain(name: str, object_name: str = "x", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": kind(name).api_version, "kind": name, "metadata": {"name": object_name}, **fields}


NODE = plain("Node", spec={"podCIDR": "10.1.0.0/24"}, status={"capacity": {"cpu": "4"}})
ROLE = plain("Role", rules=[{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}])
CLUSTER_ROLE = plain("ClusterRole", rules=[{"nonResourceURLs": ["/healthz"], "verbs": ["get"]}])
BINDING = plain(
    "RoleBinding",
    subjects=[{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s", "namespace": "n"}],
    roleRef={"kind": "Role", "name": "r"},
)
CLUSTER_BINDING = plain(
    "ClusterRoleBinding",
    subjects=[{"kind": "Group", "name": "g"}],
    roleRef={"kind": "ClusterRole", "name": "view"},
)
LEASE = plain("Lease", spec={"holderIdentity": "h", "leaseDurationSeconds": 15})
PRIORITY = plain("PriorityClass", value=1000)
RUNTIME = plain("RuntimeClass", handler="sandbox", overhead={"podFixed": {"cpu": "10m"}})
FLOW_SCHEMA = plain(
    "FlowSchema",
    spec={
        "priorityLevelConfiguration": {"name": "low"},
        "rules": [
            {
                "subjects": [{"kind": "User", "user": {"name": "u"}}],
                "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["*"]}],
            }
        ],
    },
)
LEVEL = plain(
    "PriorityLevelConfiguration",
    spec={"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}},
)
SERVED = plain(
    "APIService",
    "v1.example.com",
    spec={
        "group": "example.com",
        "version": "v1",
        "groupPriorityMinimum": 100,
        "versionPriority": 10,
        "service": {"name": "s", "namespace": "n"},
        "insecureSkipTLSVerify": True,
    },
)
EVENT = plain(
    "Event",
    eventTime="2026-01-01T00:00:00.000000Z",
    reportingController="example.com/c",
    reportingInstance="i",
    action="Do",
    reason="Done",
    type="Normal",
    regarding={"kind": "Pod", "name": "p", "namespace": "default"},
)
MIGRATION = plain("StorageVersionMigration", spec={"resource": {"group": "apps", "resource": "deployments"}})
RULE, SUBJECT = "spec.rules.0.resourceRules.0", "spec.rules.0.subjects.0"
QUEUING = "spec.limited.limitResponse.queuing"


@pytest.mark.parametrize(
    ("base", "change", "complaint"),
    [
        (NODE, {"spec.podCIDR": "10.1.0.0"}, 'spec.podCIDRs[0]: Invalid value: "10.1.0.0": must be a valid CIDR value'),
        (
            NODE,
            {"spec.podCIDRs": ["10.1.0.0/24", "10.2.0.0/24"]},
            'spec.podCIDRs: Invalid value: ["10.1.0.0/24","10.2.0.0/24"]: may specify no more than one CIDR for each',
        ),
        (
            NODE,
            {"spec.taints": [{"key": "a", "effect": "Never"}]},
            'metadata.taints[0].effect: Unsupported value: "Never"',
        ),
        (ROLE, {"rules.0.verbs": []}, "rules[0].verbs: Required value: verbs must contain at least one value"),
        (
            ROLE,
            {"rules.0.nonResourceURLs": ["/a"]},
            'rules[0].nonResourceURLs: Invalid value: ["/a"]: namespaced rules cannot apply to non-resource URLs',
        ),
        (
            CLUSTER_ROLE,
            {"rules.0.resources": ["pods"]},
            'rules[0].nonResourceURLs: Invalid value: ["/healthz"]: rules cannot apply to both regular resources',
        ),
        (
            CLUSTER_ROLE,
            {"aggregationRule": {}},
            "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required",
        ),
        (
            BINDING,
            {"roleRef.kind": "Group"},
            'roleRef.kind: Unsupported value: "Group": supported values: "Role", "ClusterRole"',
        ),
        (
            BINDING,
            {"subjects.1.apiGroup": RBAC},
            f'subjects[1].apiGroup: Unsupported value: "{RBAC}": supported values: ""',
        ),
        (BINDING, {"subjects.0.kind": "Robot"}, 'subjects[0].kind: Unsupported value: "Robot"'),
        (CLUSTER_BINDING, {"roleRef.kind": "Role"}, 'roleRef.kind: Unsupported value: "Role": supported values: "Clus'),
        (
            CLUSTER_BINDING,
            {"subjects.0": {"kind": "ServiceAccount", "name": "s"}},
            "subjects[0].namespace: Required value",
        ),
        (
            LEASE,
            {"spec.leaseDurationSeconds": 0},
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
        ),
        (
            LEASE,
            {"spec.preferredHolder": "h"},
            "spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined",
        ),
        (
            PRIORITY,
            {"value": 1_000_000_001},
            "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
        ),
        (
            PRIORITY,
            {"metadata.name": "system-mine"},
            "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only",
        ),
        (RUNTIME, {"handler": "Sand Box"}, 'handler: Invalid value: "Sand Box": a lowercase RFC 1123 label'),
        (
            RUNTIME,
            {"scheduling": {"tolerations": [{"key": "a", "operator": "Exists"}] * 2}},
            "scheduling.tolerations[1]: Duplicate value",
        ),
        (
            FLOW_SCHEMA,
            {"spec.matchingPrecedence": 10001},
            "spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000",
        ),
        (
            FLOW_SCHEMA,
            {"spec.matchingPrecedence": 1},
            "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
        ),
        (
            FLOW_SCHEMA,
            {f"{SUBJECT}.group": {"name": "g"}},
            "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
        ),
        (
            FLOW_SCHEMA,
            {f"{RULE}.verbs": ["*", "get"]},
            'spec.rules[0].resourceRules[0].verbs: Invalid value: ["*","get"]: if \'*\' is present, must not specify',
        ),
        (
            FLOW_SCHEMA,
            {f"{RULE}.namespaces": ABSENT},
            "spec.rules[0].resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped",
        ),
        (
            LEVEL,
            {f"{QUEUING}.handSize": 65},
            f"{QUEUING}.handSize: Invalid value: 65: should not be greater than queues (64)",
        ),
        (
            LEVEL,
            {f"{QUEUING}.handSize": 20},
            f"{QUEUING}.handSize: Invalid value: 20: required entropy bits of deckSize 64 and handSize 20",
        ),
        (LEVEL, {"spec.limited": ABSENT}, "spec.limited: Required value: must not be empty when type is Limited"),
        (
            SERVED,
            {"spec.version": "v2"},
            'metadata.name: Invalid value: "v1.example.com": must be `spec.version+"."+spec.group`: "v2.example.com"',
        ),
        (
            SERVED,
            {"spec.caBundle": "YQ=="},
            "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present",
        ),
        (
            SERVED,
            {"spec.service": ABSENT},
            "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
        ),
        (EVENT, {"action": ""}, "action: Required value"),
        (EVENT, {"type": "Odd"}, 'type: Invalid value: "": has invalid value: Odd'),
        (EVENT, {"note": "n" * 1025}, "message: Invalid value"),
        (MIGRATION, {"spec.resource.resource": ""}, "spec.resource.resource: Required value: resource is required"),
    ],
)
def test_rules(base: dict[str, Any], change: dict[str, Any], complaint: str) -> None:
    assert complaints(kind(base["kind"]), base) == []
    found = complaints(kind(base["kind"]), changed(base, change))
    assert any(c.startswith(complaint) for c in found), found


@pytest.mark.parametrize(
    ("base", "change", "field"),
    [
        (NODE, {"spec.podCIDR": "10.2.0.0/24", "spec.podCIDRs": ["10.2.0.0/24"]}, "spec.podCIDRs"),
        (NODE, {"spec.providerID": "p://1"}, None),
        (NODE, {"spec.unschedulable": True, "spec.taints": [{"key": "a", "effect": "NoExecute"}]}, None),
        (NODE, {"spec.externalID": "e"}, "spec"),
        (BINDING, {"roleRef.name": "other"}, "roleRef"),
        (BINDING, {"subjects": []}, None),
        (PRIORITY, {"value": 5}, "value"),
        (PRIORITY, {"preemptionPolicy": "Never"}, "preemptionPolicy"),
        (PRIORITY, {"description": "d"}, None),
        (RUNTIME, {"handler": "other"}, "handler"),
        (MIGRATION, {"spec.resource.group": "batch"}, "group"),
        (EVENT, {"reason": "Other"}, "reason"),
        (EVENT, {"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}}, None),
    ],
)
def test_what_may_change(base: dict[str, Any], change: dict[str, Any], field: str | None) -> None:
    found = update(kind(base["kind"]), stored(kind(base["kind"]), base), change)[1]
    assert [c.split(":")[0] for c in found] == ([field] if field else [])


def test_a_node_that_reports_what_it_has_gives_all_of_it() -> None:
    node, errors = update(
        kind("Node"), created(kind("Node"), plain("Node")), {"status.capacity": {"cpu": "8"}}, "status"
    )
    assert (errors, node.status.allocatable) == ([], {"cpu": "8"})


@pytest.mark.parametrize(
    ("base", "path", "value"),
    [
        (NODE, ("spec", "podCIDRs"), ["10.1.0.0/24"]),
        (NODE, ("status", "allocatable"), {"cpu": "4"}),
        (BINDING, ("roleRef", "apiGroup"), RBAC),
        (PRIORITY, ("preemptionPolicy",), "PreemptLowerPriority"),
        (PRIORITY, ("metadata", "generation"), 1),
        (FLOW_SCHEMA, ("spec", "matchingPrecedence"), 1000),
        (LEVEL, ("spec", "limited", "nominalConcurrencyShares"), 30),
        (
            LEVEL,
            ("spec", "limited", "limitResponse", "queuing"),
            {"queues": 64, "handSize": 8, "queueLengthLimit": 50},
        ),
        (SERVED, ("spec", "service", "port"), 443),
    ],
)
def test_defaults(base: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    found: Any = shown(created(kind(base["kind"]), base))
    for name in path:
        found = found[name]
    assert found == value


def test_only_users_and_groups_get_the_rbac_group() -> None:
    subjects = shown(created(kind("RoleBinding"), BINDING))["subjects"]
    assert [s.get("apiGroup") for s in subjects] == [RBAC, None]


def test_what_the_server_serves_itself_is_available() -> None:
    local = changed(SERVED, {"spec.service": ABSENT, "spec.insecureSkipTLSVerify": ABSENT})
    services = kind("APIService")
    assert services.row(created(services, local), NOW) == ["v1.example.com", "Local", "True", "0s"]
    assert services.row(created(services, SERVED), NOW) == ["v1.example.com", "n/s", "Unknown", "0s"]


@pytest.mark.parametrize(
    ("labels", "ready", "unschedulable", "status", "roles"),
    [
        ({}, None, False, "Unknown", "<none>"),
        ({}, "True", False, "Ready", "<none>"),
        ({"kubernetes.io/role": "edge"}, "False", True, "NotReady,SchedulingDisabled", "edge"),
        (
            {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""},
            "True",
            False,
            "Ready",
            "control-plane,worker",
        ),
    ],
)
def test_a_node_in_a_table(
    labels: dict[str, str], ready: str | None, unschedulable: bool, status: str, roles: str
) -> None:
    change: dict[str, Any] = {"metadata.labels": labels, "spec.unschedulable": unschedulable}
    change["status.conditions"] = [{"type": "Ready", "status": ready}] if ready else []
    change["status.addresses"] = [{"type": "InternalIP", "address": "10.0.0.9"}]
    change["status.nodeInfo"] = dict.fromkeys(
        (
            "machineID",
            "systemUUID",
            "bootID",
            "kernelVersion",
            "osImage",
            "containerRuntimeVersion",
            "kubeletVersion",
            "kubeProxyVersion",
            "operatingSystem",
            "architecture",
        ),
        "i",
    )
    node = created(kind("Node"), changed(NODE, change))
    assert kind("Node").row(node, NOW + 60) == ["x", status, roles, "60s", "i", "10.0.0.9", "<none>", "i", "i", "i"]


def test_the_same_address_stands_once_in_a_node() -> None:
    twice = [{"type": "InternalIP", "address": "10.0.0.9"}] * 2
    found = update(kind("Node"), stored(kind("Node"), NODE), {"status.addresses": twice}, "status")[1]
    assert [c.split(":")[0] for c in found] == ["status.addresses[1]"]


SET = {"status": "True", "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        (["Running"], ["Succeeded"], None),
        ([], ["Succeeded", "Failed"], "Both success and failed conditions cannot be true at the same time"),
        ([], ["Succeeded", "Running"], "Running condition cannot be true when success condition is true"),
        (["Succeeded"], [], "Success condition cannot be set to false once it is true"),
    ],
)
def test_a_migration_ends_once(before: list[str], after: list[str], complaint: str | None) -> None:
    migrations = kind("StorageVersionMigration")
    old = stored(migrations, MIGRATION)
    old = update(migrations, old, {"status.conditions": [{"type": t, **SET} for t in before]}, "status")[0]
    found = update(migrations, old, {"status.conditions": [{"type": t, **SET} for t in after]}, "status")[1]
    assert [c.rpartition(": ")[2] for c in found] == ([complaint] if complaint else [])
    assert update(migrations, old, {"status.resourceVersion": "x"}, "status")[1]
