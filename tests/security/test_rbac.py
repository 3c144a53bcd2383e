"""RBAC: who may do what, by rules and bindings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.apiserver.authorization import Attributes, Decision
from kybern.apiserver.user import User
from kybern_auth_builtin.default_policy import default_policy
from kybern_auth_builtin.masters import MastersAuthorizer
from kybern_auth_builtin.rbac import Grants, RBACAuthorizer, RoleRef, grants
from kybern_auth_builtin.rules import path_matches
from tests.security.world import ADMIN, JANE, World, plain

RBAC = "rbac.authorization.k8s.io/v1/"


def role(name: str, *rules: dict[str, Any], namespace: str = "") -> Any:
    kind = "Role" if namespace else "ClusterRole"
    return plain(RBAC + kind, metadata={"name": name, "namespace": namespace}, rules=list(rules))


def binding(name: str, of: str, *subjects: dict[str, str], namespace: str = "") -> Any:
    kind = "RoleBinding" if namespace else "ClusterRoleBinding"
    ref_kind, _, ref = of.partition(" ")
    metadata = {"name": name, "namespace": namespace}
    return plain(RBAC + kind, metadata=metadata, roleRef={"kind": ref_kind, "name": ref}, subjects=list(subjects))


def user(name: str) -> dict[str, str]:
    return {"kind": "User", "name": name}


def resources(verbs: str, groups: str, names: str, *only: str) -> dict[str, Any]:
    rule = {"verbs": verbs.split(), "apiGroups": [g if g != "core" else "" for g in groups.split()]}
    return {**rule, "resources": names.split(), **({"resourceNames": list(only)} if only else {})}


def made(*objects: Any) -> Grants:
    known = Grants()
    for obj in objects:
        (known.change_binding if obj.kind.endswith("Binding") else known.change_role)(None, obj)
    return known


def ask(verb: str, what: str, *, who: User = JANE, namespace: str = "", name: str = "") -> Attributes:
    """`what`: `pods`, `apps deployments/scale`, `/healthz`."""
    if what.startswith("/"):
        return Attributes(who, verb, resource_request=False, path=what)
    group, _, resource = what.rpartition(" ")
    resource, _, subresource = resource.partition("/")
    return Attributes(
        who, verb, group=group, resource=resource, subresource=subresource, namespace=namespace, name=name
    )


@pytest.mark.parametrize(
    ("rule", "verb", "what", "name", "allowed"),
    [
        (resources("get list", "core", "pods"), "get", "pods", "x", True),
        (resources("get list", "core", "pods"), "delete", "pods", "x", False),
        (resources("get", "core", "pods"), "get", "services", "x", False),
        (resources("get", "core", "pods"), "get", "apps pods", "x", False),
        (resources("get", "core", "pods"), "get", "pods/log", "x", False),
        (resources("get", "core", "pods/log"), "get", "pods/log", "x", True),
        (resources("get", "core", "pods/log"), "get", "pods", "x", False),
        (resources("*", "*", "*"), "impersonate", "anything/else", "", True),
        (resources("get", "*", "*"), "get", "apps deployments/scale", "x", True),
        (resources("update", "apps", "*/scale"), "update", "apps deployments/scale", "x", True),
        (resources("update", "apps", "*/scale"), "update", "apps deployments/status", "x", False),
        (resources("update", "apps", "*/scale"), "update", "apps deployments", "x", False),
        (resources("get", "core", "secrets", "a", "b"), "get", "secrets", "b", True),
        (resources("get", "core", "secrets", "a", "b"), "get", "secrets", "c", False),
        (resources("list", "core", "secrets", "a"), "list", "secrets", "", False),
        ({"verbs": ["get"], "nonResourceURLs": ["/healthz"]}, "get", "/healthz", "", True),
        ({"verbs": ["get"], "nonResourceURLs": ["/healthz"]}, "get", "/healthz/etcd", "", False),
        ({"verbs": ["get"], "nonResourceURLs": ["/apis/*"]}, "get", "/apis/apps", "", True),
        ({"verbs": ["get"], "nonResourceURLs": ["/apis/*"]}, "get", "/apis", "", False),
        ({"verbs": ["*"], "nonResourceURLs": ["*"]}, "post", "/anything", "", True),
        ({"verbs": ["get"], "nonResourceURLs": ["*"]}, "get", "pods", "", False),
        (resources("*", "*", "*"), "get", "/healthz", "", False),
    ],
)
def test_a_rule_allows_what_it_says_and_nothing_else(
    rule: dict[str, Any], verb: str, what: str, name: str, allowed: bool
) -> None:
    known = made(role("r", rule), binding("b", "ClusterRole r", user("jane")))
    assert known.decide(ask(verb, what, name=name))[0] is allowed


def test_a_role_binding_gives_rights_in_its_namespace_only() -> None:
    bound = binding("b", "ClusterRole r", user("jane"), namespace="a")
    known = made(role("r", resources("get", "core", "pods")), bound)
    assert known.decide(ask("get", "pods", namespace="a"))[0]
    assert not known.decide(ask("get", "pods", namespace="b"))[0]
    assert not known.decide(ask("get", "pods"))[0]


def test_a_role_binding_never_gives_paths() -> None:
    paths = {"verbs": ["get"], "nonResourceURLs": ["*"]}
    known = made(role("r", paths), binding("b", "ClusterRole r", user("jane"), namespace="a"))
    assert not known.decide(ask("get", "/metrics"))[0]


def test_a_role_is_found_in_the_namespace_of_its_binding() -> None:
    known = made(
        role("r", resources("get", "core", "pods"), namespace="a"),
        binding("b", "Role r", user("jane"), namespace="b"),
    )
    allowed, reason = known.decide(ask("get", "pods", namespace="b"))
    assert (allowed, reason) == (False, 'RBAC: role.rbac.authorization.k8s.io "r" not found')


@pytest.mark.parametrize(
    ("subject", "who", "allowed"),
    [
        ({"kind": "User", "name": "jane"}, JANE, True),
        ({"kind": "User", "name": "devs"}, JANE, False),
        ({"kind": "Group", "name": "devs"}, JANE, True),
        ({"kind": "Group", "name": "jane"}, JANE, False),
        ({"kind": "Group", "name": "system:authenticated"}, JANE, True),
        ({"kind": "ServiceAccount", "name": "bot", "namespace": "a"}, User("system:serviceaccount:a:bot"), True),
        ({"kind": "ServiceAccount", "name": "bot", "namespace": "b"}, User("system:serviceaccount:a:bot"), False),
        ({"kind": "User", "name": "system:serviceaccount:a:bot"}, User("system:serviceaccount:a:bot"), True),
    ],
)
def test_a_binding_counts_for_its_subjects(subject: dict[str, str], who: User, allowed: bool) -> None:
    known = made(role("r", resources("get", "core", "pods")), binding("b", "ClusterRole r", subject))
    assert known.decide(ask("get", "pods", who=who))[0] is allowed


def test_a_service_account_subject_without_namespace_is_of_the_bindings_namespace() -> None:
    subject = {"kind": "ServiceAccount", "name": "bot"}
    known = made(role("r", resources("get", "core", "pods")), binding("b", "ClusterRole r", subject, namespace="a"))
    assert known.decide(ask("get", "pods", who=User("system:serviceaccount:a:bot"), namespace="a"))[0]


def test_the_reason_names_binding_role_and_subject() -> None:
    cluster = made(role("r", resources("*", "*", "*")), binding("b", "ClusterRole r", user("jane")))
    assert cluster.decide(ask("get", "pods"))[1] == (
        'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to User "jane"'
    )
    account = {"kind": "ServiceAccount", "name": "bot", "namespace": "x"}
    local = made(role("r", resources("*", "*", "*")), binding("b", "ClusterRole r", account, namespace="a"))
    assert local.decide(ask("get", "pods", who=User("system:serviceaccount:x:bot"), namespace="a"))[1] == (
        'RBAC: allowed by RoleBinding "b/a" of ClusterRole "r" to ServiceAccount "bot/x"'
    )


def test_decisions_follow_every_change() -> None:
    known = Grants()
    reader, bound = role("r", resources("get", "core", "pods")), binding("b", "ClusterRole r", user("jane"))

    def may(verb: str = "get") -> bool:
        return known.decide(ask(verb, "pods"))[0]

    known.change_binding(None, bound)
    assert not may()
    known.change_role(None, reader)
    assert may()
    writer = role("r", resources("update", "core", "pods"))
    known.change_role(reader, writer)
    assert not may() and may("update")
    known.change_binding(bound, moved := binding("b", "ClusterRole r", user("joe")))
    assert not may("update")
    assert known.decide(ask("update", "pods", who=User("joe")))[0]
    known.change_binding(moved, None)
    assert not known.decide(ask("update", "pods", who=User("joe")))[0]
    known.change_role(writer, None)
    with pytest.raises(StatusError, match=r'clusterroles\.rbac.* "r" not found'):
        known.rules_of(RoleRef("", "r"))


def test_the_authorizer_follows_the_informers() -> None:
    world = World()
    authorizer = RBACAuthorizer(grants(world))  # type: ignore[arg-type]  # the part of Informers that it uses
    assert authorizer.authorize(ask("get", "pods")) == (Decision.NO_OPINION, "")
    world.add(role("r", resources("get", "core", "pods")))
    bound = world.add(binding("b", "ClusterRole r", user("jane")))
    assert authorizer.authorize(ask("get", "pods"))[0] is Decision.ALLOW
    world.remove(bound)
    assert authorizer.authorize(ask("get", "pods"))[0] is Decision.NO_OPINION


def test_masters_may_do_everything_without_any_role() -> None:
    assert MastersAuthorizer().authorize(ask("destroy", "worlds", who=ADMIN)) == (Decision.ALLOW, "")
    assert MastersAuthorizer().authorize(ask("get", "pods")) == (Decision.NO_OPINION, "")


def test_rules_review_lists_resource_rules_and_paths() -> None:
    known = made(
        role("r", resources("get", "core", "secrets", "a"), {"verbs": ["get"], "nonResourceURLs": ["/x"]}),
        binding("b", "ClusterRole r", user("jane")),
        binding("gone", "ClusterRole missing", user("jane")),
    )
    rules = RBACAuthorizer(known).rules(JANE, "default")
    assert rules.resource_rules == [
        {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]}
    ]
    assert rules.non_resource_rules == [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]
    assert (rules.incomplete, rules.error) == (False, 'clusterrole.rbac.authorization.k8s.io "missing" not found')


def default_grants() -> Grants:
    classes = {o["kind"]: types.struct("rbac.authorization.k8s.io", "v1", o["kind"]) for o in default_policy()}
    return made(*(types.from_plain(classes[o["kind"]], o) for o in default_policy()))


ANYONE = User("anyone", ("system:authenticated",))


@pytest.mark.parametrize(
    ("who", "verb", "what", "namespace", "allowed"),
    [
        (ANYONE, "get", "/api", "", True),
        (ANYONE, "create", "authorization.k8s.io selfsubjectaccessreviews", "", True),
        (User("system:anonymous", ("system:unauthenticated",)), "get", "/healthz", "", True),
        (User("system:anonymous", ("system:unauthenticated",)), "get", "/api", "", False),
        (User("system:kube-scheduler"), "create", "pods/binding", "default", True),
        (User("system:kube-scheduler"), "update", "pods", "default", False),
        (User("system:kube-scheduler"), "create", "coordination.k8s.io leases", "kube-system", True),
        (User("system:serviceaccount:kube-system:namespace-controller"), "delete", "apps deployments", "x", True),
        (User("system:serviceaccount:kube-system:job-controller"), "update", "batch jobs/finalizers", "x", True),
        (User("system:serviceaccount:default:job-controller"), "update", "batch jobs/finalizers", "x", False),
        (User("x", ("system:monitoring",)), "get", "/metrics", "", True),
        (User("system:node:n", ("system:nodes",)), "get", "pods", "default", False),
    ],
)
def test_the_default_policy(who: User, verb: str, what: str, namespace: str, allowed: bool) -> None:
    assert default_grants().decide(ask(verb, what, who=who, namespace=namespace))[0] is allowed


VERBS, GROUPS, RESOURCES, NAMES = ["get", "list", "*"], ["", "apps", "*"], ["a", "b", "a/x", "*/x", "*"], ["n", "m"]
RULES = st.builds(
    lambda verbs, groups, res, names, urls: {
        "verbs": verbs, "apiGroups": groups, "resources": res, "resourceNames": names, "nonResourceURLs": urls,
    },
    st.lists(st.sampled_from(VERBS), max_size=2),
    st.lists(st.sampled_from(GROUPS), max_size=2),
    st.lists(st.sampled_from(RESOURCES), max_size=2),
    st.lists(st.sampled_from(NAMES), max_size=1),
    st.lists(st.sampled_from(["/p", "/p/*", "*"]), max_size=1),
)  # fmt: skip
SUBJECTS = st.sampled_from([user("jane"), user("joe"), {"kind": "Group", "name": "devs"}])
BINDINGS = st.tuples(st.integers(0, 2), SUBJECTS, st.sampled_from(["", "a", "b"]))
QUESTIONS = st.one_of(
    st.builds(
        ask,
        st.sampled_from(["get", "list", "put"]),
        st.sampled_from(["a", "b", "a/x", "b/x", "apps a", "apps b/x", "batch a"]),
        namespace=st.sampled_from(["", "a", "b"]),
        name=st.sampled_from(["", "n", "m", "o"]),
    ),
    st.builds(ask, st.sampled_from(["get", "put"]), st.sampled_from(["/p", "/p/q", "/z"])),
)


def naive(
    roles: list[list[dict[str, Any]]], bindings: Iterable[tuple[int, dict[str, str], str]], a: Attributes
) -> bool:
    """RBAC as its documentation says it, one rule after the other."""

    def subject_matches(subject: dict[str, str]) -> bool:
        return subject["name"] == a.user.name if subject["kind"] == "User" else subject["name"] in a.user.groups

    def has(values: list[str], value: str) -> bool:
        return "*" in values or value in values

    def rule_matches(rule: dict[str, Any]) -> bool:
        if not has(rule["verbs"], a.verb):
            return False
        if not a.resource_request:
            return any(path_matches(url, a.path) for url in rule["nonResourceURLs"])
        wanted = f"{a.resource}/{a.subresource}" if a.subresource else a.resource
        resource = has(rule["resources"], wanted) or (a.subresource and f"*/{a.subresource}" in rule["resources"])
        named = not rule["resourceNames"] or a.name in rule["resourceNames"]
        return bool(has(rule["apiGroups"], a.group) and resource and named)

    def applies(namespace: str) -> bool:
        return not namespace or (a.resource_request and namespace == a.namespace)

    return any(
        applies(namespace) and subject_matches(subject) and any(rule_matches(rule) for rule in roles[number])
        for number, subject, namespace in bindings
    )


@given(
    roles=st.lists(st.lists(RULES, max_size=3), min_size=3, max_size=3),
    bindings=st.lists(BINDINGS, max_size=5),
    questions=st.lists(QUESTIONS, min_size=1, max_size=8),
)
def test_the_index_decides_as_a_naive_evaluator_does(
    roles: list[list[dict[str, Any]]], bindings: list[tuple[int, dict[str, str], str]], questions: list[Attributes]
) -> None:
    known = made(
        *(role(f"r{number}", *rules) for number, rules in enumerate(roles)),
        *(
            binding(f"b{i}", f"ClusterRole r{number}", subject, namespace=namespace)
            for i, (number, subject, namespace) in enumerate(bindings)
        ),
    )
    for question in questions:
        assert known.decide(question)[0] is naive(roles, bindings, question)
