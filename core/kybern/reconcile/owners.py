"""Who controls an object, and how a controller takes or leaves what its selector says is its own.

An object has at most one controller (the ownerReference with `controller: true`). A controller
adopts free objects that match its selector and releases those it controls that no longer do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar, cast

from kybern.api.errors import StatusError
from kybern.client.interface import Client

K = TypeVar("K")

__all__ = ["claim", "controller_of", "controller_reference", "is_controlled_by", "label_test", "selector_text"]


def controller_of(obj: Any) -> Any | None:
    """The object's controlling OwnerReference, or None."""
    for reference in obj.metadata.ownerReferences or ():
        if reference.controller:
            return reference
    return None


def is_controlled_by(obj: Any, owner: Any) -> bool:
    """Whether `owner` is the object's controller: by uid, since names are used again."""
    reference = controller_of(obj)
    return reference is not None and reference.uid == owner.metadata.uid


def label_test(selector: Any) -> Callable[[Any], bool]:
    """A LabelSelector as a test of a labels dict, made for asking it thousands of times."""
    from kybern.api import selectors

    if selector is None or selector.matchExpressions or not selector.matchLabels:
        return selectors.from_label_selector(selector).matches
    wanted = selector.matchLabels.items()
    return lambda labels: bool(labels) and wanted <= labels.items()


def selector_text(selector: Any) -> str:
    """A LabelSelector as upstream's Events and conditions print it: as a Go value."""
    if selector is None:
        return "nil"
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.matchLabels or {}).items()))
    wanted = "".join(
        f"LabelSelectorRequirement{{Key:{e.key},Operator:{e.operator},Values:[{' '.join(e.values or ())}],}},"
        for e in selector.matchExpressions or ()
    )
    expressions = f"MatchExpressions:[]LabelSelectorRequirement{{{wanted}}}"
    return f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},{expressions},}}"


def controller_reference(owner: Any) -> Any:
    """An OwnerReference that makes `owner` the controller and lets foreground deletion wait for the object."""
    from kybern.api.meta import OwnerReference

    return OwnerReference(
        apiVersion=owner.apiVersion,
        kind=owner.kind,
        name=owner.metadata.name,
        uid=owner.metadata.uid,
        controller=True,
        blockOwnerDeletion=True,
    )


async def claim(
    client: Client,
    owner: Any,
    objects: Iterable[K],
    matches: Callable[[Any], bool],
    adoptable: Callable[[K], bool] = lambda _: True,
) -> list[K]:
    """Those of `objects` that belong to `owner` after adopting and releasing.

    `matches` is asked with an object's labels; `adoptable` keeps some from being adopted (finished pods).
    Before the first adoption the owner is read afresh: a cache may still show one that is being
    deleted, or a namesake of one that is gone.
    """
    may_adopt = _once(lambda: _may_adopt(client, owner))
    uid = owner.metadata.uid
    claimed = []
    for obj in objects:
        reference = controller_of(obj)
        settled = reference is not None and reference.uid == uid and matches(cast(Any, obj).metadata.labels)
        if settled or await _claim_one(client, owner, obj, matches, adoptable, may_adopt):
            claimed.append(obj)
    return claimed


async def _claim_one(
    client: Client,
    owner: Any,
    obj: Any,
    matches: Callable[[Any], bool],
    adoptable: Callable[[Any], bool],
    may_adopt: Callable[[], Awaitable[bool]],
) -> bool:
    reference = controller_of(obj)
    matching = matches(obj.metadata.labels)
    if reference is not None:
        if reference.uid != owner.metadata.uid:
            return False
        if matching:
            return True
        if not owner.metadata.deletionTimestamp:
            await release(client, owner, obj)
        return False
    if not matching or owner.metadata.deletionTimestamp or obj.metadata.deletionTimestamp or not adoptable(obj):
        return False
    return await may_adopt() and await adopt(client, owner, obj)


async def adopt(client: Client, owner: Any, obj: Any) -> bool:
    """Become the object's controller; False when it is gone meanwhile."""
    reference = {
        "apiVersion": owner.apiVersion,
        "kind": owner.kind,
        "name": owner.metadata.name,
        "uid": owner.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    # The uid makes the server refuse the patch for a namesake of the object we mean.
    patch = {"metadata": {"uid": obj.metadata.uid, "ownerReferences": [reference]}}
    return await _patch(client, obj, patch)


async def release(client: Client, owner: Any, obj: Any) -> bool:
    """Stop being the object's owner; False when it is gone meanwhile."""
    gone = {"$patch": "delete", "uid": owner.metadata.uid}
    patch = {"metadata": {"uid": obj.metadata.uid, "ownerReferences": [gone]}}
    try:
        return await _patch(client, obj, patch)
    except StatusError as error:
        if error.reason == "Invalid":
            # Either it has no owner any more or it is another object: nothing left to release.
            return False
        raise


async def _patch(client: Client, obj: Any, patch: dict[str, Any]) -> bool:
    metadata = obj.metadata
    try:
        await client.patch(type(obj), metadata.name, metadata.namespace or "", patch, type="strategic")
    except StatusError as error:
        if error.code == 404:
            return False
        raise
    return True


async def _may_adopt(client: Client, owner: Any) -> bool:
    metadata = owner.metadata
    fresh: Any = await client.get(type(owner), metadata.name, metadata.namespace or "")
    return fresh.metadata.uid == metadata.uid and not fresh.metadata.deletionTimestamp


def _once(ask: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
    answers: list[bool] = []

    async def remembered() -> bool:
        if not answers:
            answers.append(await ask())
        return answers[0]

    return remembered
