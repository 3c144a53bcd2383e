"""The default roles and bindings as objects: reads the tables of `default_roles` and `controller_roles`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kybern_auth_builtin.controller_roles import CONTROLLER_ROLES
from kybern_auth_builtin.default_roles import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES

__all__ = ["AUTOUPDATE", "default_policy", "node_rules"]

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
"""Annotation: `false` on a default object keeps our hands off it."""

_API = "rbac.authorization.k8s.io/v1"
_GROUP = "rbac.authorization.k8s.io"
_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"
_READ = ("get", "list", "watch")
_WRITE = ("create", "delete", "deletecollection", "patch", "update")
_VERBS = {"read": _READ, "write": _WRITE, "all": (*_READ, *_WRITE)}
_EVENTS = ["create,patch,update", "core,events.k8s.io", "events"]

Plain = dict[str, Any]


def default_policy() -> list[Plain]:
    """ClusterRoles, ClusterRoleBindings, Roles and RoleBindings as plain data."""
    objects = [_cluster_role(head, rules) for head, rules in _blocks(CLUSTER_ROLES)]
    for line in _lines(CLUSTER_ROLE_BINDINGS):
        name, subjects = _split(line)
        objects.append(_object("ClusterRoleBinding", name, roleRef=_ref("ClusterRole", name), subjects=subjects))
    for head, rules in _blocks(CONTROLLER_ROLES):
        name = f"system:controller:{head}"
        account = {"kind": "ServiceAccount", "name": head, "namespace": "kube-system"}
        objects.append(_object("ClusterRole", name, rules=rules))
        objects.append(_object("ClusterRoleBinding", name, roleRef=_ref("ClusterRole", name), subjects=[account]))
    for head, rules in _blocks(ROLES):
        namespace, name = head.split()
        objects.append(_object("Role", name, namespace, rules=rules))
    for line in _lines(ROLE_BINDINGS):
        head, subjects = _split(line)
        namespace, name, *other = head.split()
        role = other[-1] if other else name
        objects.append(_object("RoleBinding", name, namespace, roleRef=_ref("Role", role), subjects=subjects))
    return objects


def node_rules() -> frozenset[tuple[str, str, str]]:
    """(verb, group, resource) of everything the default role `system:node` allows."""
    rules = next(rules for head, rules in _blocks(CLUSTER_ROLES) if head == "system:node")
    return frozenset(
        (verb, group, resource)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    )


def _object(kind: str, name: str, namespace: str = "", **fields: Any) -> Plain:
    metadata: Plain = {
        "name": name,
        "annotations": {AUTOUPDATE: "true"},
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
    }
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": _API, "kind": kind, "metadata": metadata, **fields}


def _ref(kind: str, name: str) -> Plain:
    return {"apiGroup": _GROUP, "kind": kind, "name": name}


def _cluster_role(head: str, rules: list[Plain]) -> Plain:
    name, *words = head.split()
    role = _object("ClusterRole", name, rules=rules)
    for relation, other in zip(words[::2], words[1::2], strict=True):
        if relation == "into":
            role["metadata"]["labels"][_AGGREGATE + other] = "true"
        else:
            role["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {_AGGREGATE + other: "true"}}]}
    return role


def _lines(table: str) -> list[str]:
    return table.replace("\\\n", " ").strip().splitlines()


def _blocks(table: str) -> Iterator[tuple[str, list[Plain]]]:
    """(head, rules) of each role in a table."""
    head, rules = "", []
    for line in _lines(table):
        if line.startswith(" "):
            rules.append(_rule(line.split()))
            continue
        if head:
            yield head, rules
        head, rules = line, []
    yield head, rules


def _rule(words: list[str]) -> Plain:
    if words == ["events"]:
        words = _EVENTS
    verbs = sorted(verb for word in words[0].split(",") for verb in _VERBS.get(word, (word,)))
    if len(words) == 2 or words[1].startswith("/"):
        return {"nonResourceURLs": words[1:], "verbs": verbs}
    resources, names = words[2:], []
    if "named" in resources:
        at = resources.index("named")
        resources, names = resources[:at], resources[at + 1 :]
    groups = ["" if group == "core" else group for group in words[1].split(",")]
    rule = {"apiGroups": groups, "resources": resources, "verbs": verbs}
    return {**rule, "resourceNames": names} if names else rule


def _split(line: str) -> tuple[str, list[Plain]]:
    """A binding's head and its subjects. Names contain colons too, but none with a space behind it."""
    head, _, tail = (line + " ").partition(": ")
    return head, [_subject(*subject.split()) for subject in tail.split(",") if subject.strip()]


def _subject(kind: str, name: str) -> Plain:
    if kind == "account":
        namespace, _, account = name.partition("/")
        return {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    return {"apiGroup": _GROUP, "kind": kind.capitalize(), "name": name}
