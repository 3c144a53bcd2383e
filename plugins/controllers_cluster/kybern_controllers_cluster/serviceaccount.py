"""The `default` service account: every namespace has one, from its beginning and again after somebody deletes it."""

from __future__ import annotations

from kybern.api.errors import StatusError
from kybern.reconcile.interface import Context, Controller, Key, Result

__all__ = ["ServiceAccountController"]

DEFAULT = "default"


class ServiceAccountController(Controller):
    """Creates default service accounts. Keys are namespaces."""

    name = "serviceaccount"

    def setup(self, context: Context) -> None:
        from kybern.api.core import Namespace, ServiceAccount

        self.client = context.client
        self.namespaces = context.watch(Namespace)
        self.accounts = context.watch(
            ServiceAccount,
            lambda account: [Key("", account.metadata.namespace or "")],
            on=lambda old, new: new is None and old is not None and old.metadata.name == DEFAULT,
        )

    async def reconcile(self, key: Key) -> Result | None:
        from kybern.api.core import ServiceAccount
        from kybern.api.meta import ObjectMeta

        namespace = self.namespaces.get(key.name)
        if namespace is None or namespace.status.phase == "Terminating":
            return None
        if self.accounts.get(DEFAULT, key.name) is not None:
            return None
        try:
            await self.client.create(ServiceAccount(metadata=ObjectMeta(name=DEFAULT, namespace=key.name)))
        except StatusError as error:
            if not created_or_pointless(error):
                raise
        return None


def created_or_pointless(error: StatusError) -> bool:
    """Whether a create failed because the object is there already or its namespace is going."""
    return error.reason == "AlreadyExists" or error.code == 404 or namespace_is_ending(error)


def namespace_is_ending(error: StatusError) -> bool:
    """Whether a create was refused because nothing new may come into a namespace that is going."""
    causes = (error.details or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
