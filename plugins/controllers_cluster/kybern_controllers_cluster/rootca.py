"""The ConfigMap `kube-root-ca.crt` of every namespace: the CA by which pods know the API server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.reconcile.interface import Context, Controller, Key, Result
from kybern_controllers_cluster.serviceaccount import created_or_pointless

__all__ = ["RootCAController"]

NAME = "kube-root-ca.crt"
_DESCRIPTION = {
    "kubernetes.io/description": "The CA bundle that verifies this cluster's API server at its internal addresses."
}


class RootCAController(Controller):
    """Publishes the CA. Keys are namespaces."""

    name = "root-ca-certificate-publisher"

    def __init__(self, certificate: Callable[[], bytes]) -> None:
        """`certificate` gives the PEM as it is now; it may have been renewed."""
        self._certificate = certificate

    def setup(self, context: Context) -> None:
        from kybern.api.core import ConfigMap, Namespace

        self.client = context.client
        self.namespaces = context.watch(Namespace)
        self.config_maps = context.watch(
            ConfigMap,
            lambda config_map: [Key("", config_map.metadata.namespace or "")],
            on=lambda old, new: _is_ours(new) or _is_ours(old),
        )

    async def reconcile(self, key: Key) -> Result | None:
        namespace = self.namespaces.get(key.name)
        if namespace is None or namespace.status.phase == "Terminating":
            return None
        data = {"ca.crt": self._certificate().decode()}
        present = self.config_maps.get(NAME, key.name)
        if present is None:
            await self._create(key.name, data)
        elif present.data != data or present.binaryData:
            changed = types.copy(present)
            changed.data, changed.binaryData = data, None
            await self.client.update(changed)
        return None

    async def _create(self, namespace: str, data: dict[str, Any]) -> None:
        from kybern.api.core import ConfigMap
        from kybern.api.meta import ObjectMeta

        metadata = ObjectMeta(name=NAME, namespace=namespace, annotations=dict(_DESCRIPTION))
        try:
            await self.client.create(ConfigMap(metadata=metadata, data=data))
        except StatusError as error:
            if not created_or_pointless(error):
                raise


def _is_ours(config_map: Any | None) -> bool:
    return config_map is not None and config_map.metadata.name == NAME
