"""The default policy comes back at every start, without undoing what an administrator added."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.rbac import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, Subject
from kybern_auth_builtin.default_policy import AUTOUPDATE, default_policy
from kybern_auth_builtin.reconcile_policy import reconcile_policy
from tests.security.world import World

pytestmark = pytest.mark.anyio


async def started() -> World:
    world = World()
    await restart(world)
    return world


async def restart(world: World) -> list[str]:
    """What a start writes."""
    world.written.clear()
    await reconcile_policy(world)  # type: ignore[arg-type]  # the part of a client that it uses
    return [f"{action} {obj.kind} {obj.metadata.name}" for action, obj in world.written]


async def changed(world: World, kind: type[Any], name: str, change: Any) -> Any:
    obj = types.copy(await world.get(kind, name))
    change(obj)
    return world.add(obj)


async def test_the_first_start_writes_everything_and_the_second_nothing() -> None:
    world = await started()
    kinds = [len(world.informer(kind).list()) for kind in (ClusterRole, ClusterRoleBinding, Role, RoleBinding)]
    assert (kinds, len(world.written)) == ([70, 51, 7, 7], len(default_policy()))
    assert await restart(world) == []


async def test_a_missing_rule_is_added_and_an_added_one_stays() -> None:
    world = await started()
    extra = PolicyRule(verbs=["get"], apiGroups=["x"], resources=["y"])

    def change(role: Any) -> None:
        role.rules = [extra, *role.rules[1:]]

    await changed(world, ClusterRole, "system:node", change)
    assert await restart(world) == ["update ClusterRole system:node"]
    rules = (await world.get(ClusterRole, "system:node")).rules
    assert rules[0] == extra and rules[-1].resources == ["tokenreviews"]


async def test_rules_that_say_the_same_differently_are_left_alone() -> None:
    world = await started()
    everything = PolicyRule(verbs=["*"], apiGroups=["*"], resources=["*"])
    await changed(world, ClusterRole, "system:node", lambda role: setattr(role, "rules", [everything]))
    assert await restart(world) == []


async def test_a_missing_subject_is_added_and_an_added_one_stays() -> None:
    world = await started()
    joe = Subject(kind="User", name="joe")
    await changed(world, ClusterRoleBinding, "cluster-admin", lambda binding: setattr(binding, "subjects", [joe]))
    assert await restart(world) == ["update ClusterRoleBinding cluster-admin"]
    subjects = (await world.get(ClusterRoleBinding, "cluster-admin")).subjects
    assert [s.name for s in subjects] == ["joe", "system:masters"]


async def test_a_binding_of_another_role_is_made_anew() -> None:
    world = await started()
    old = await changed(world, ClusterRoleBinding, "cluster-admin", lambda b: setattr(b.roleRef, "name", "view"))
    name = "ClusterRoleBinding cluster-admin"
    assert await restart(world) == [f"delete {name}", f"create {name}"]
    new = await world.get(ClusterRoleBinding, "cluster-admin")
    assert new.roleRef.name == "cluster-admin" and new.metadata.uid != old.metadata.uid


async def test_deleted_objects_and_labels_come_back_but_changed_labels_stay() -> None:
    world = await started()
    world.remove(await world.get(ClusterRole, "view"))
    await changed(world, ClusterRole, "edit", lambda role: setattr(role.metadata, "labels", {"mine": "1"}))
    other = {"kubernetes.io/bootstrapping": "no"}
    await changed(world, ClusterRole, "admin", lambda role: role.metadata.labels.update(other))
    assert sorted(await restart(world)) == ["create ClusterRole view", "update ClusterRole edit"]
    labels = (await world.get(ClusterRole, "edit")).metadata.labels
    assert labels["mine"] == "1" and "rbac.authorization.k8s.io/aggregate-to-admin" in labels


async def test_the_annotation_keeps_our_hands_off() -> None:
    world = await started()

    def change(role: Any) -> None:
        role.rules = []
        role.metadata.annotations[AUTOUPDATE] = "false"

    await changed(world, ClusterRole, "system:node", change)
    assert await restart(world) == []


async def test_rules_of_aggregated_roles_are_the_controllers_business() -> None:
    world = await started()

    def change(role: Any) -> None:
        role.rules = [PolicyRule(verbs=["get"], apiGroups=[""], resources=["pods"])]
        role.aggregationRule.clusterRoleSelectors = []

    await changed(world, ClusterRole, "view", change)
    assert await restart(world) == ["update ClusterRole view"]
    view = await world.get(ClusterRole, "view")
    assert len(view.rules) == 1 and len(view.aggregationRule.clusterRoleSelectors) == 1


async def test_somebody_else_who_creates_at_the_same_time_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    create = world.create

    async def raced(obj: Any, **options: Any) -> Any:
        if obj.metadata.name == "view" and world.informer(ClusterRole).get("view") is None:
            stranger = types.copy(obj)
            stranger.metadata.labels = None
            world.add(stranger)
        return await create(obj, **options)

    monkeypatch.setattr(world, "create", raced)
    assert "update ClusterRole view" in await restart(world)
