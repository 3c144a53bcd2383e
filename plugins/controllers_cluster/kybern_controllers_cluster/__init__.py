"""The cluster's own controllers: namespaces, garbage, nodes, endpoints, accounts, certificates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kybern.hookspecs import hookimpl

if TYPE_CHECKING:
    from kybern.cluster.start import Start
    from kybern.reconcile.interface import Controller


@hookimpl
def kybern_controllers(start: Start) -> Iterable[Controller]:
    from kybern_controllers_cluster.endpointslice import EndpointSliceController

    return [EndpointSliceController()]
