"""get and list: stored objects as the watch cache has them."""

from __future__ import annotations

from kybern.apiserver.operation import Operation
from kybern.apiserver.options import ListOptions, predicate
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
    test, name, namespace = predicate(resource.storage, options.labels, options.fields)
    where = op.namespace or (namespace if resource.kind.namespaced else "")
    one = name if where or not resource.kind.namespaced else ""
    return await resource.cache.list(
        where, one, test, options.limit, options.continue_, options.resource_version, options.match
    )


async def watch(resource: Resource, op: Operation, options: ListOptions) -> Watcher:
    """Changes of what `list_` would show."""
    test, name, namespace = predicate(resource.storage, options.labels, options.fields)
    where = op.namespace or (namespace if resource.kind.namespaced else "")
    one = name if where or not resource.kind.namespaced else ""
    return await resource.cache.watch(
        where, one, test, options.resource_version, options.bookmarks, options.send_initial_events
    )
