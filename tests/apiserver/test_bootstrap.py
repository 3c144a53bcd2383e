"""What a new server begins with, and what a restarted one leaves alone."""

from __future__ import annotations

import socket

import pytest

from kybern.api import registry
from kybern.apiserver.server import APIServer
from tests.apiserver.conftest import Api

pytestmark = pytest.mark.anyio

FLOW = "/apis/flowcontrol.apiserver.k8s.io/v1"


async def names(api: Api, target: str) -> set[str]:
    return {item["metadata"]["name"] for item in (await api.get(target))["items"]}


async def test_a_new_server_has_what_every_cluster_has(api: Api) -> None:
    assert await names(api, "/api/v1/namespaces") == {"default", "kube-node-lease", "kube-public", "kube-system"}
    assert await names(api, "/api/v1/services") == {"kubernetes"}
    assert await names(api, "/apis/networking.k8s.io/v1/servicecidrs") == {"kubernetes"}
    classes = (await api.get("/apis/scheduling.k8s.io/v1/priorityclasses"))["items"]
    assert {c["metadata"]["name"]: c["value"] for c in classes} == {
        "system-cluster-critical": 2_000_000_000,
        "system-node-critical": 2_000_001_000,
    }
    levels = await names(api, f"{FLOW}/prioritylevelconfigurations")
    schemas = (await api.get(f"{FLOW}/flowschemas"))["items"]
    assert len(levels) == 8
    assert {s["spec"]["priorityLevelConfiguration"]["name"] for s in schemas} == levels - {"system"} | {"system"}
    assert all(s["status"]["conditions"][0]["status"] == "False" for s in schemas)


async def test_a_restart_leaves_everything_as_it_was(api: Api) -> None:
    await api.patch("/api/v1/namespaces/kube-public", {"metadata": {"labels": {"mine": "yes"}}})
    before = api.server.resources.watch_cache.revision
    second = APIServer(store=api.server.resources.watch_cache.store, registry=registry.builtin(), clock=api.clock)
    await second.start()
    assert second.resources.watch_cache.revision == before
    await second.close()


async def test_the_api_can_be_found_from_within(api: Api) -> None:
    ports = []
    for _ in range(2):
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        await api.server.serve(listening, None)
        ports.append(listening.getsockname()[1])
    slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"
    answer = await api.ask("GET", slices)
    if answer.code == 404:
        pytest.skip("this machine has no address but loopback, which endpoints may not name")
    assert answer.json["ports"] == [{"name": "https", "port": ports[1], "protocol": "TCP"}], "the newest address counts"
    endpoints = await api.get("/api/v1/namespaces/default/endpoints/kubernetes")
    assert endpoints["subsets"][0]["ports"][0]["port"] == ports[1]
