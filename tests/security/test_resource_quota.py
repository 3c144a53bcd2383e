"""ResourceQuota: what a namespace may use in total is charged before it is used."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kybern.api import core, types
from kybern.api.errors import StatusError
from kybern.clock import VirtualClock
from kybern_admission_builtin.resource_quota import ResourceQuota
from tests.security.world import World, admit, plain, request

pytestmark = pytest.mark.anyio


class Cluster(World):
    """A namespace with quotas; the server compares resource versions as a real one does."""

    def __init__(self) -> None:
        super().__init__()
        self.plugin = self.server()
        self.conflicts = 0

    def server(self) -> ResourceQuota:
        client: Any = self
        return ResourceQuota(client, self.informer(core.ResourceQuota), VirtualClock())

    def quota(self, name: str = "q", used: str | None = "", spec: dict[str, Any] | None = None, **hard: str) -> None:
        """`used="pods=1"`; None: the controller has not seen the quota yet."""
        limits = {entry.replace("_", "."): value for entry, value in hard.items()}
        spent = dict.fromkeys(limits, "0") | dict(pair.split("=") for pair in (used or "").split())
        status = {"hard": limits, "used": spent} if used is not None else {}
        metadata = {"name": name, "namespace": "a"}
        self.add(plain("v1/ResourceQuota", metadata=metadata, spec={"hard": limits, **(spec or {})}, status=status))

    def used(self, name: str = "q") -> dict[str, str]:
        found: Any = self.informer(core.ResourceQuota).get(name, "a")
        return dict(found.status.used)

    async def update_status(self, obj: Any) -> Any:
        await asyncio.sleep(0)
        known: Any = self.informer(core.ResourceQuota).get(obj.metadata.name, "a")
        if known is None:
            raise StatusError.not_found("resourcequotas", "", obj.metadata.name)
        if known.metadata.resourceVersion != obj.metadata.resourceVersion:
            self.conflicts += 1
            raise StatusError.conflict("resourcequotas", "", obj.metadata.name)
        return self.add(types.copy(obj))

    async def create(self, obj: Any, **_: Any) -> Any:
        return await admit(self.plugin, request("CREATE", obj))

    async def refused(self, obj: Any, **more: Any) -> str:
        with pytest.raises(StatusError) as caught:
            await admit(self.plugin, request("UPDATE" if more else "CREATE", obj, **more))
        assert caught.value.code == 403
        return caught.value.message.partition(" is forbidden: ")[2]


def pod(cpu: str = "", *, phase: str = "", **spec: Any) -> Any:
    resources = {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}} if cpu else {}
    spec = {"containers": [{"name": "c", "image": "x", "resources": resources}], **spec}
    return plain("v1/Pod", metadata={"name": "p", "namespace": "a"}, spec=spec, status={"phase": phase})


def config_map() -> Any:
    return plain("v1/ConfigMap", metadata={"name": "c", "namespace": "a"})


async def test_without_quotas_everything_is_free() -> None:
    await Cluster().create(pod())


async def test_a_write_is_charged() -> None:
    cluster = Cluster()
    cluster.quota(pods="3", requests_cpu="2", used="pods=1 requests.cpu=500m")
    await cluster.create(pod("250m"))
    assert cluster.used() == {"pods": "2", "requests.cpu": "750m"}


async def test_what_is_not_covered_is_refused_and_not_charged() -> None:
    cluster = Cluster()
    cluster.quota(pods="2", requests_cpu="1", limits_cpu="4", used="pods=1 requests.cpu=900m")
    assert await cluster.refused(pod("250m")) == (
        "exceeded quota: q, requested: requests.cpu=250m, used: requests.cpu=900m, limited: requests.cpu=1"
    )
    assert cluster.used() == {"pods": "1", "requests.cpu": "900m", "limits.cpu": "0"}


async def test_all_entries_that_are_exceeded_are_told() -> None:
    cluster = Cluster()
    cluster.quota(pods="1", cpu="1", used="pods=1 cpu=1")
    assert await cluster.refused(pod("1")) == (
        "exceeded quota: q, requested: cpu=1,pods=1, used: cpu=1,pods=1, limited: cpu=1,pods=1"
    )


async def test_no_quota_is_charged_when_another_refuses() -> None:
    cluster = Cluster()
    cluster.quota("a", pods="5")
    cluster.quota("b", pods="0")
    assert (await cluster.refused(pod())).startswith("exceeded quota: b")
    assert cluster.used("a") == {"pods": "0"}


async def test_containers_must_say_what_a_quota_counts() -> None:
    cluster = Cluster()
    cluster.quota(requests_cpu="1", limits_memory="1Gi", pods="9")
    made = pod("100m", initContainers=[{"name": "i", "image": "x"}])
    assert await cluster.refused(made) == "failed quota: q: must specify limits.memory for: c,i; requests.cpu for: i"


async def test_a_pod_may_say_it_for_its_containers() -> None:
    cluster = Cluster()
    cluster.quota(requests_cpu="1", limits_memory="1Gi")
    await cluster.create(pod(resources={"requests": {"cpu": "300m"}}))
    assert cluster.used() == {"requests.cpu": "300m", "limits.memory": "0"}


async def test_a_quota_that_nobody_has_counted_yet_lets_nothing_through() -> None:
    cluster = Cluster()
    cluster.quota(pods="5", used=None)
    assert await cluster.refused(pod()) == "status unknown for quota: q, resources: pods"
    await cluster.create(config_map())


async def test_objects_of_any_kind_can_be_counted() -> None:
    cluster = Cluster()
    cluster.quota(**{"count/configmaps": "1"})
    await cluster.create(config_map())
    assert await cluster.refused(config_map()) == (
        "exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=1, limited: count/configmaps=1"
    )


async def test_scopes_choose() -> None:
    cluster = Cluster()
    cluster.quota(pods="0", spec={"scopes": ["BestEffort"]})
    assert await cluster.refused(pod())
    await cluster.create(pod("1"))


async def test_dry_runs_are_checked_and_not_charged() -> None:
    cluster = Cluster()
    cluster.quota(pods="1")
    asked = request("CREATE", pod())
    asked.dry_run = True
    await admit(cluster.plugin, asked)
    assert cluster.used() == {"pods": "0"}


async def test_an_update_pays_for_its_growth_only() -> None:
    cluster = Cluster()
    cluster.quota(**{"requests.storage": "10Gi"}, used="requests.storage=5Gi")

    def claim(size: str) -> Any:
        spec = {"resources": {"requests": {"storage": size}}}
        return plain("v1/PersistentVolumeClaim", metadata={"name": "c", "namespace": "a"}, spec=spec)

    await admit(cluster.plugin, request("UPDATE", claim("7Gi"), old=claim("5Gi")))
    assert cluster.used() == {"requests.storage": "7Gi"}
    await admit(cluster.plugin, request("UPDATE", claim("1Gi"), old=claim("7Gi")))
    assert cluster.used() == {"requests.storage": "7Gi"}
    assert "requested: requests.storage=5Gi" in await cluster.refused(claim("6Gi"), old=claim("1Gi"))


async def test_many_writers_never_spend_the_same_room_twice() -> None:
    cluster = Cluster()
    cluster.quota(pods="7")
    servers = [cluster.server() for _ in range(3)]

    async def one(number: int) -> bool:
        try:
            await admit(servers[number % 3], request("CREATE", pod()))
        except StatusError as error:
            if error.code != 403:
                raise
            return False
        return True

    results = await asyncio.gather(*(one(number) for number in range(30)))
    assert (sum(results), cluster.used()) == (7, {"pods": "7"})
    assert cluster.conflicts


async def test_our_own_charge_counts_before_the_informer_tells_it() -> None:
    cluster = Cluster()
    cluster.quota(pods="1")
    stale = cluster.informer(core.ResourceQuota).get("q", "a")
    assert stale is not None
    await cluster.create(pod())
    cluster.informer(core.ResourceQuota).put(stale)
    assert "exceeded quota" in await cluster.refused(pod())


async def test_a_quota_that_goes_away_meanwhile_does_not_refuse() -> None:
    cluster = Cluster()
    cluster.quota(pods="1")
    quota = cluster.informer(core.ResourceQuota).get("q", "a")
    asked = asyncio.ensure_future(cluster.create(pod()))
    await asyncio.sleep(0)
    cluster.remove(quota)
    await asked
