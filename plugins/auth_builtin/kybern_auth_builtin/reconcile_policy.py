"""Bring the default roles and bindings into the cluster at every start, without undoing what an administrator added.

Missing objects are created; missing rules, subjects, labels and aggregation selectors are added;
additions stay; a binding whose role was changed is made anew, since its role cannot be updated. An
object annotated `autoupdate: "false"` is left alone. (Kubernetes docs, RBAC, "Auto-reconciliation".)
"""

from __future__ import annotations

import asyncio
from typing import Any

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.client.interface import Client
from kybern_auth_builtin.default_policy import AUTOUPDATE, default_policy
from kybern_auth_builtin.rules import Rule, covers

__all__ = ["reconcile_policy", "reconciled"]


async def reconcile_policy(client: Client) -> None:
    """Write what is missing."""
    from kybern.api.rbac import ClusterRole, ClusterRoleBinding, Role, RoleBinding

    classes = {cls.__name__: cls for cls in (ClusterRole, ClusterRoleBinding, Role, RoleBinding)}
    existing: dict[tuple[str, str, str], Any] = {}
    for name, cls in classes.items():
        items: list[Any] = (await client.list(cls)).items
        for item in items:
            existing[name, item.metadata.namespace or "", item.metadata.name] = item
    wanted: list[Any] = [types.from_plain(classes[plain["kind"]], plain) for plain in default_policy()]
    changes = (
        _reconcile(client, want, existing.get((want.kind, want.metadata.namespace or "", want.metadata.name)))
        for want in wanted
    )
    await asyncio.gather(*changes)


async def _reconcile(client: Client, want: Any, have: Any | None) -> None:
    """One object, again when somebody else was faster."""
    while True:
        try:
            await _write(client, want, have)
            return
        except StatusError as error:
            if error.code not in (404, 409):
                raise
        have = await _get(client, want)


async def _write(client: Client, want: Any, have: Any | None) -> None:
    if have is None:
        await client.create(want)
        return
    result = reconciled(want, have)
    if result is None:
        return
    if hasattr(want, "roleRef") and not _same_role(want, have):
        await client.delete(type(want), want.metadata.name, want.metadata.namespace or "", uid=have.metadata.uid)
        await client.create(result)
    else:
        await client.update(result)


async def _get(client: Client, want: Any) -> Any | None:
    try:
        return await client.get(type(want), want.metadata.name, want.metadata.namespace or "")
    except StatusError as error:
        if error.code == 404:
            return None
        raise


def reconciled(want: Any, have: Any) -> Any | None:
    """What to write for an existing object; None when it is good as it is."""
    if (have.metadata.annotations or {}).get(AUTOUPDATE) == "false":
        return None
    result = types.copy(have)
    changed = _add_metadata(result.metadata, want.metadata)
    if hasattr(want, "roleRef"):
        changed |= _add_subjects(result, want)
        if not _same_role(want, have):
            result.roleRef, changed = want.roleRef, True
            result.metadata.uid = result.metadata.resourceVersion = None
    elif getattr(want, "aggregationRule", None) is not None:
        changed |= _add_selectors(result, want)
    else:
        changed |= _add_rules(result, want)
    return result if changed else None


def _add_metadata(have: Any, want: Any) -> bool:
    """Labels and annotations that are not there; existing values win."""
    changed = False
    for field in ("labels", "annotations"):
        present, expected = getattr(have, field) or {}, getattr(want, field) or {}
        if not expected.keys() <= present.keys():
            setattr(have, field, {**expected, **present})
            changed = True
    return changed


def _add_rules(have: Any, want: Any) -> bool:
    owned = [Rule.of(rule) for rule in have.rules or ()]
    missing = [rule for rule in want.rules or () if covers(owned, [Rule.of(rule)])]
    if missing:
        have.rules = [*(have.rules or ()), *missing]
    return bool(missing)


def _add_selectors(have: Any, want: Any) -> bool:
    if have.aggregationRule is None:
        have.aggregationRule = want.aggregationRule
        return True
    present = have.aggregationRule.clusterRoleSelectors or []
    missing = [selector for selector in want.aggregationRule.clusterRoleSelectors if selector not in present]
    have.aggregationRule.clusterRoleSelectors = [*present, *missing]
    return bool(missing)


def _add_subjects(have: Any, want: Any) -> bool:
    present = {_identity(subject) for subject in have.subjects or ()}
    missing = [subject for subject in want.subjects or () if _identity(subject) not in present]
    if missing:
        have.subjects = [*(have.subjects or ()), *missing]
    return bool(missing)


def _identity(subject: Any) -> tuple[str, str, str]:
    return subject.kind, subject.namespace or "", subject.name


def _same_role(one: Any, other: Any) -> bool:
    return (one.roleRef.kind, one.roleRef.name) == (other.roleRef.kind, other.roleRef.name)
