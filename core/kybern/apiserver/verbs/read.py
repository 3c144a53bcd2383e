"""get and list: stored objects as the watch cache has them."""

from __future__ import annotations

from kybern.apiserver.operation import Operation
from kybern.apiserver.options import ListOptions, Predicate, predicate
from kybern.apiserver.resource import Resource
from kybern.store.cache import Item, Listing, Watcher

__all__ = ["get", "list_", "watch"]


async def get(resource: Resource, op: Operation, resource_version: str = "") -> Item:
    """One object; with `resource_version`, not older than that. StatusError 404."""
    if resource_version and resource_version != "0":
        await resource.cache.fresh(resource_version)
    return resource.item(op.namespace, op.name)


async def list_(resource: Resource, op: Operation, options: ListOptions) -> Listing:
    """Objects of a namespace or all, that match the selectors."""
    test, where, one = _selection(resource, op, options)
    return await resource.cache.list(
        where, one, test, options.limit, options.continue_, options.resource_version, options.match
    )


async def watch(resource: Resource, op: Operation, options: ListOptions) -> Watcher:
    """Changes of what `list_` would show."""
    test, where, one = _selection(resource, op, options)
    return await resource.cache.watch(
        where, one, test, options.resource_version, options.bookmarks, options.send_initial_events
    )


def _selection(resource: Resource, op: Operation, options: ListOptions) -> tuple[Predicate | None, str, str]:
    """(test of a stored object, namespace or "", name or "") that the options and the path stand for."""
    test, name, namespace = predicate(resource.kind, options.labels, options.fields)
    name = op.name or name
    if test is not None and not resource.stored_as_served:
        test = _converted(resource, test)
    if not resource.kind.namespaced:
        return test, "", name
    where = op.namespace or namespace
    return test, where, name if where else ""


def _converted(resource: Resource, test: Predicate) -> Predicate:
    return lambda stored: test(resource.from_storage(stored))
