"""The seams. A plugin implements any of these with `@hookimpl` from `kybern`.

Hooks are called once, when a cluster starts, and register typed drivers; all later work is plain
method calls on those drivers. Each driver's abstract class is its contract, and `kybern.testing`
has a contract suite for it.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from kybern.api.kind import Kind
    from kybern.apiserver.admission import Admission
    from kybern.apiserver.authentication import Authenticator
    from kybern.apiserver.authorization import Authorizer
    from kybern.apiserver.reviews import Review
    from kybern.apiserver.routes import Route
    from kybern.client.interface import Client
    from kybern.cluster.cluster import Cluster
    from kybern.cluster.start import Start
    from kybern.node.pod_network import PodNetwork
    from kybern.node.runtime import RuntimeDriver
    from kybern.node.volume_driver import VolumeDriver
    from kybern.proxy.mode import ProxyMode
    from kybern.reconcile.interface import Controller
    from kybern.scheduler.policy import Policy
    from kybern.store.interface import Store

hookspec = pluggy.HookspecMarker("kybern")
hookimpl = pluggy.HookimplMarker("kybern")


@hookspec
def kybern_store(start: Start) -> dict[str, type[Store]]:
    """Stores by the name that `store.driver` in kybern.toml selects (`sqlite`, `memory`, `etcd`)."""


@hookspec
def kybern_runtime(start: Start) -> dict[str, type[RuntimeDriver]]:
    """Container runtimes by the name that `nodes.runtime` selects (`fake`, `containerd`)."""


@hookspec
def kybern_pod_network(start: Start) -> dict[str, type[PodNetwork]]:
    """Pod networks by the name that `nodes.pod_network` selects."""


@hookspec
def kybern_volume_driver(start: Start) -> Iterable[VolumeDriver]:
    """Volume drivers, each known by its CSI driver name."""


@hookspec
def kybern_proxy_mode(start: Start) -> dict[str, type[ProxyMode]]:
    """Service proxies by the name that `nodes.proxy_mode` selects (`iptables`, `ipvs`, ...)."""


@hookspec
def kybern_scheduling_policy(start: Start) -> Iterable[type[Policy]]:
    """Scheduling policies, known by their class's `name`; profiles switch them on and weigh them."""


@hookspec
def kybern_controllers(start: Start) -> Iterable[Controller]:
    """Controllers to run beside the API server."""


@hookspec
def kybern_resources(start: Start) -> Iterable[Kind]:
    """Further resources for the API server to store and serve."""


@hookspec
def kybern_admission(start: Start) -> Iterable[Admission]:
    """Admission plugins, asked on every write in their `order`."""


@hookspec
def kybern_authenticator(start: Start) -> Iterable[Authenticator]:
    """Authenticators, asked in their `order` until one knows the credential."""


@hookspec
def kybern_authorizer(start: Start) -> Iterable[Authorizer]:
    """Authorizers, asked in their `order` until one allows or denies."""


@hookspec
def kybern_routes(start: Start) -> Iterable[Route]:
    """HTTP paths that are not Kubernetes resources (a dashboard, well-known documents)."""


@hookspec
def kybern_reviews(start: Start) -> Iterable[Review]:
    """Answers to resources that are questions (SubjectAccessReview, TokenReview, serviceaccounts/token, ...)."""


@hookspec
def kybern_bootstrap(start: Start) -> Iterable[Callable[[Client], Awaitable[None]]]:
    """Functions that write what must exist before the server is ready (default RBAC roles). Run at every start."""


@hookspec
def kybern_commands(commands: argparse._SubParsersAction[Any]) -> None:
    """Add subcommands to the `kybern` command line."""


@hookspec
def kybern_cluster_started(cluster: Cluster) -> None:
    """Called when a cluster is ready, in its event loop; must not block."""


@hookspec
def kybern_cluster_stopping(cluster: Cluster) -> None:
    """Called before a cluster stops its components."""
