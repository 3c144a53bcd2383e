"""Nobody hands on rights that he does not have."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.apiserver.user import User
from kybern_auth_builtin.escalation import EscalationCheck
from kybern_auth_builtin.rbac import grants
from kybern_auth_builtin.rules import Rule, compact, covers
from tests.security.world import ADMIN, JANE, World, admit, plain, request

pytestmark = pytest.mark.anyio

RBAC = "rbac.authorization.k8s.io/v1/"
ROLES = "rbac.authorization.k8s.io"


def rule(verbs: str, groups: str = "core", resources: str = "", names: str = "", urls: str = "") -> dict[str, Any]:
    api_groups = ["" if g == "core" else g for g in groups.split()] if resources else []
    return {
        "verbs": verbs.split(), "apiGroups": api_groups, "resources": resources.split(),
        "resourceNames": names.split(), "nonResourceURLs": urls.split(),
    }  # fmt: skip


class Cluster(World):
    """Jane has the rules she is given, by a cluster role."""

    def __init__(self, *owned: dict[str, Any]) -> None:
        super().__init__()
        self.check = EscalationCheck(grants(self))  # type: ignore[arg-type]  # the part of Informers that it uses
        self.add(plain(RBAC + "ClusterRole", metadata={"name": "hers"}, rules=list(owned)))
        self.bind("hers")

    def bind(self, name: str, namespace: str = "", user: str = "jane") -> None:
        kind = "RoleBinding" if namespace else "ClusterRoleBinding"
        self.add(binding(name, f"ClusterRole {name}", namespace=namespace, user=user, kind=kind))

    async def write(self, obj: Any, old: Any = None, user: User = JANE) -> None:
        await admit(self.check, request("UPDATE" if old is not None else "CREATE", obj, old=old, user=user))


def role(*rules: dict[str, Any], kind: str = "ClusterRole", name: str = "new", **fields: Any) -> Any:
    metadata = {"name": name, **({"namespace": "a"} if kind == "Role" else {})}
    return plain(RBAC + kind, metadata=metadata, rules=list(rules), **fields)


def binding(name: str, of: str, *, namespace: str = "", user: str = "joe", kind: str = "ClusterRoleBinding") -> Any:
    ref_kind, _, ref = of.partition(" ")
    metadata = {"name": name, "namespace": namespace}
    subjects = [{"kind": "User", "name": user}]
    return plain(RBAC + kind, metadata=metadata, roleRef={"kind": ref_kind, "name": ref}, subjects=subjects)


async def refusal(cluster: Cluster, obj: Any, old: Any = None) -> StatusError:
    with pytest.raises(StatusError) as caught:
        await cluster.write(obj, old)
    assert caught.value.code == 403
    return caught.value


async def test_a_role_of_rights_one_has_is_fine() -> None:
    cluster = Cluster(rule("get list", resources="pods services"))
    await cluster.write(role(rule("get", resources="pods")))
    await cluster.write(role(rule("list get", resources="services"), kind="Role"))


async def test_a_role_of_more_is_refused_in_upstreams_words() -> None:
    cluster = Cluster(rule("get", resources="pods"))
    error = await refusal(cluster, role(rule("get list delete", resources="pods secrets"), rule("get", urls="/x")))
    assert error.message == (
        'clusterroles.rbac.authorization.k8s.io "new" is forbidden: '
        'user "jane" (groups=["devs" "system:authenticated"]) is attempting to grant '
        "RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["list" "delete"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list" "delete"]}\n'
        '{NonResourceURLs:["/x"], Verbs:["get"]}'
    )


@pytest.mark.parametrize("kind", ["Role", "ClusterRole"])
async def test_who_may_escalate_may_write_any_role(kind: str) -> None:
    cluster = Cluster(rule("escalate", ROLES, kind.lower() + "s"))
    await cluster.write(role(rule("*", "*", "*"), kind=kind))


async def test_the_right_to_escalate_may_be_for_one_role() -> None:
    cluster = Cluster(rule("escalate", ROLES, "clusterroles", names="this"))
    old = role(name="this")
    await cluster.write(role(rule("*", "*", "*"), name="this"), old)
    await refusal(cluster, role(rule("*", "*", "*"), name="that"), role(name="that"))
    await refusal(cluster, role(rule("*", "*", "*"), name="this"))


async def test_masters_may_write_any_role() -> None:
    await Cluster().write(role(rule("*", "*", "*")), user=ADMIN)


async def test_rights_in_one_namespace_do_not_make_a_cluster_role() -> None:
    cluster = Cluster()
    cluster.add(plain(RBAC + "ClusterRole", metadata={"name": "local"}, rules=[rule("get", resources="pods")]))
    cluster.bind("local", "a")
    await cluster.write(role(rule("get", resources="pods"), kind="Role"))
    await refusal(cluster, role(rule("get", resources="pods")))


async def test_an_update_is_held_to_the_same() -> None:
    cluster = Cluster(rule("get", resources="pods"))
    await refusal(cluster, role(rule("*", "*", "*")), role(rule("get", resources="pods")))


async def test_the_garbage_collectors_bookkeeping_is_always_allowed() -> None:
    old = role(rule("*", "*", "*"))
    new = types.copy(old)
    new.metadata.finalizers = ["x/y"]
    await Cluster().write(new, old)
    new.metadata.labels = {"a": "b"}
    await refusal(Cluster(), new, old)


async def test_gathering_rules_takes_all_rights() -> None:
    gathers = {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}}
    error = await refusal(Cluster(rule("get", resources="pods")), role(**gathers))
    assert error.message.endswith("must have cluster-admin privileges to use the aggregationRule")
    await Cluster(rule("*", "*", "*"), rule("*", urls="*")).write(role(**gathers))


async def test_binding_a_role_takes_its_rights_or_the_right_to_bind_it() -> None:
    cluster = Cluster(rule("get", resources="pods"), rule("bind", ROLES, "clusterroles", names="strong"))
    cluster.add(role(rule("get", resources="pods"), name="weak"))
    cluster.add(role(rule("*", "*", "*"), name="strong"))
    cluster.add(role(rule("*", "*", "*"), name="other"))
    await cluster.write(binding("b", "ClusterRole weak"))
    await cluster.write(binding("b", "ClusterRole strong"))
    error = await refusal(cluster, binding("b", "ClusterRole other"))
    assert error.message.startswith('clusterrolebindings.rbac.authorization.k8s.io "b" is forbidden: user "jane"')
    assert '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}' in error.message


async def test_binding_in_a_namespace_takes_rights_there_only() -> None:
    cluster = Cluster()
    cluster.add(role(rule("get", resources="pods"), name="reader"))
    cluster.bind("reader", "a")
    await cluster.write(binding("b", "ClusterRole reader", namespace="a", kind="RoleBinding"))
    await refusal(cluster, binding("b", "ClusterRole reader", namespace="b", kind="RoleBinding"))
    await refusal(cluster, binding("b", "ClusterRole reader"))


async def test_binding_a_role_that_is_not_there_is_a_404() -> None:
    with pytest.raises(StatusError) as caught:
        await Cluster().write(binding("b", "Role gone", namespace="a", kind="RoleBinding"))
    assert (caught.value.code, caught.value.message) == (404, 'roles.rbac.authorization.k8s.io "gone" not found')


@pytest.mark.parametrize(
    ("owned", "wanted", "missing"),
    [
        (rule("*", "*", "*"), rule("get", "apps", "deployments/scale"), []),
        (rule("get", resources="pods"), rule("get", resources="pods", names="a"), []),
        (rule("get", resources="pods", names="a"), rule("get", resources="pods"), [rule("get", resources="pods")]),
        (rule("get", resources="pods", names="a b"), rule("get", resources="pods", names="a b"), []),
        (rule("get", resources="*/scale"), rule("get", resources="pods/scale"), []),
        (rule("get", resources="*/scale"), rule("get", resources="pods"), [rule("get", resources="pods")]),
        (rule("get", resources="pods"), rule("*", resources="pods"), [rule("*", resources="pods")]),
        (rule("get", urls="/a/*"), rule("get", urls="/a/b/*"), []),
        (rule("get", urls="/a/b"), rule("get", urls="/a/*"), [rule("get", urls="/a/*")]),
        (rule("get", "*", "*"), rule("get", urls="/a"), [rule("get", urls="/a")]),
    ],
)
def test_coverage(owned: dict[str, Any], wanted: dict[str, Any], missing: list[dict[str, Any]]) -> None:
    def of(plain_rule: dict[str, Any]) -> Rule:
        fields = ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")
        return Rule(*(tuple(plain_rule[field]) for field in fields))

    assert covers([of(owned)], [of(wanted)]) == [of(rule) for rule in missing]


WORDS = st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=2, unique=True).map(tuple)
RULES = st.lists(st.builds(Rule, WORDS, WORDS, WORDS, st.sampled_from([(), ("n",)])), max_size=4)


@given(RULES, RULES)
def test_what_is_owned_plus_what_is_missing_covers_all(owned: list[Rule], wanted: list[Rule]) -> None:
    missing = covers(owned, wanted)
    assert covers([*owned, *missing], wanted) == []
    assert covers(owned, owned) == []
    assert covers(missing, compact(missing)) == []
