"""Controllers in a process of their own, over HTTPS: against Kybern, or any other Kubernetes.

    asyncio.run(operator.run(MyController(), lease="my-operator"))

The controllers are those that a plugin registers; they see a client, and cannot tell where it leads.
"""

from __future__ import annotations

import os
import socket
import uuid
from typing import Any

import anyio

from kybern.client import kubeconfig
from kybern.client.http import HTTPClient
from kybern.client.interface import Client
from kybern.client.kubeconfig import Connection
from kybern.clock import Clock, SystemClock
from kybern.reconcile.engine import Engine
from kybern.reconcile.events import Events
from kybern.reconcile.informers import Informers
from kybern.reconcile.interface import Controller
from kybern.reconcile.leader import LeaderElection

__all__ = ["run"]


async def run(
    *controllers: Controller,
    connection: Connection | None = None,
    lease: str = "",
    lease_namespace: str = "",
    identity: str = "",
    options: Any = None,
    clock: Clock | None = None,
) -> None:
    """Run controllers until cancelled.

    `connection`: unless told, the service account of the pod this runs in, else the kubeconfig's current context.
    `lease`: the name of a Lease by which several copies agree on the one that works (empty: all work), in
    `lease_namespace` (unless told, that of the connection); `identity` tells the copies apart.
    `options`: what the controllers get as `context.options`.

    Raises KubeconfigError when nothing says where to connect, and LeadershipLost when the lease could not be
    renewed: the process should end then, and be started again.
    """
    connection = connection or _default_connection()
    clock = clock or SystemClock()
    client = HTTPClient(connection, clock)

    async def work() -> None:
        await _work(client, clock, controllers, options)

    try:
        if not lease:
            return await work()
        namespace = lease_namespace or connection.namespace or "default"
        await LeaderElection(client, clock, lease, identity or _identity(), namespace).run(work)
    finally:
        with anyio.CancelScope(shield=True):
            await client.close()


async def _work(client: Client, clock: Clock, controllers: tuple[Controller, ...], options: Any) -> None:
    informers = Informers(client, clock)
    events = Events(client, clock)
    engine = Engine(client, clock, informers, events)
    for controller in controllers:
        engine.add(controller, options)
    async with anyio.create_task_group() as tasks:
        for component in (informers.run, events.run, engine.run):
            tasks.start_soon(component)


def _default_connection() -> Connection:
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return kubeconfig.in_cluster()
    return kubeconfig.load()


def _identity() -> str:
    return f"{socket.gethostname()}_{uuid.uuid4()}"
