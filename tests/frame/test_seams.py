"""One plugin that sits on every seam: what it registers takes part in a running cluster."""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from kybern import Controller, SystemClock, hookimpl, plugins
from kybern.api.core import ConfigMap, Container, Namespace, Pod, PodSpec, ResourceRequirements, Secret
from kybern.api.errors import StatusError
from kybern.api.kind import Kind
from kybern.api.meta import ObjectMeta
from kybern.api.types import struct
from kybern.apiserver.admission import Admission
from kybern.apiserver.authentication import Authenticator
from kybern.apiserver.authorization import Authorizer, Decision
from kybern.apiserver.reviews import Review
from kybern.apiserver.routes import Route, RouteResponse
from kybern.apiserver.user import User
from kybern.cluster.cluster import running
from kybern.config import APIConfig, Config, ConfigError, NodesConfig, StoreConfig

pytestmark = pytest.mark.anyio

CANDIDATE = Kind("coordination.k8s.io", "v1alpha2", "LeaseCandidate", "leasecandidates", True)
SEEN: list[str] = []


class Stamp(Admission):
    name = "Stamp"

    def handles(self, operation, kind, subresource):
        return kind.kind == "ConfigMap" and operation == "CREATE"

    async def mutate(self, request):
        request.object.data = {**(request.object.data or {}), "stamped": "yes"}


class Letters(Authenticator):
    name = "letters"
    order = 1

    async def authenticate(self, credentials):
        return User("letter-writer") if credentials.bearer == "letter" else None


class Nobody(Authorizer):
    name = "nobody"
    order = 1

    def authorize(self, attributes):
        refused = attributes.user.name == "letter-writer" and attributes.resource == "secrets"
        return (Decision.DENY, "letters are not secrets") if refused else (Decision.NO_OPINION, "")


class Follower(Controller):
    name = "follower"

    def setup(self, context):
        context.watch(ConfigMap)

    async def reconcile(self, key):
        SEEN.append(f"reconciled {key.name}")


def module() -> ModuleType:
    """The plugin."""
    from kybern.scheduler.policy import Policy
    from kybern.store.memory import MemoryStore
    from kybern_runtime_fake.driver import FakeDriver

    made = ModuleType("plugin_on_every_seam")

    def hook(function):
        setattr(made, function.__name__, hookimpl(function))

    class Store(MemoryStore):
        async def start(self):
            SEEN.append("store started")
            await super().start()

    class Driver(FakeDriver):
        async def start(self):
            SEEN.append("runtime started")
            await super().start()

    class Mine(Policy):
        name = "Mine"

    @hook
    def kybern_store():
        return {"mine": Store}

    @hook
    def kybern_runtime():
        return {"mine": Driver}

    @hook
    def kybern_scheduling_policy():
        return [Mine]

    @hook
    def kybern_controllers():
        return [Follower()]

    @hook
    def kybern_resources():
        return [CANDIDATE]

    @hook
    def kybern_admission():
        return [Stamp()]

    @hook
    def kybern_authenticator():
        return [Letters()]

    @hook
    def kybern_authorizer():
        return [Nobody()]

    @hook
    def kybern_routes():
        async def hello(request):
            return RouteResponse(b"hello " + request.user.name.encode(), content_type="text/plain")

        return [Route("/hello", hello)]

    @hook
    def kybern_reviews():
        async def answer(request):
            return request.object

        return [Review("nothing/asks", answer)]

    @hook
    def kybern_bootstrap():
        async def write(client):
            await client.create(Namespace(metadata=ObjectMeta(name="from-a-plugin")))

        return [write]

    @hook
    def kybern_cluster_started(cluster):
        SEEN.append(f"started {cluster.config.name}")

    @hook
    def kybern_cluster_stopping(cluster):
        SEEN.append(f"stopping {cluster.config.name}")

    @hook
    def kybern_commands(commands):
        commands.add_parser("greet").set_defaults(run=lambda args: print("hello"))

    @hook
    def kybern_pod_network():
        return {"mine": object}

    @hook
    def kybern_proxy_mode():
        return {"mine": object}

    @hook
    def kybern_volume_driver():
        return ["mine"]

    return made


@pytest.fixture
def loaded(monkeypatch) -> plugins.Plugins:
    """The built-in plugins and ours."""
    SEEN.clear()
    made = module()
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return plugins.load(entries=[*plugins.discover(), EntryPoint("every_seam", made.__name__, plugins.GROUP)])


async def test_a_plugin_on_every_seam_takes_part(loaded):
    config = Config(
        name="seams",
        api=APIConfig(port=0),
        store=StoreConfig(driver="mine"),
        nodes=NodesConfig(count=1, runtime="mine"),
    )
    async with running(config, clock=SystemClock(), plugins=loaded) as cluster:
        assert "started seams" in SEEN and "store started" in SEEN
        client = cluster.client
        assert (await client.get(Namespace, "from-a-plugin")).metadata.name == "from-a-plugin"
        made = await client.create(ConfigMap(metadata=ObjectMeta(name="c", namespace="default")))
        assert made.data == {"stamped": "yes"}
        code, body = await client.raw("GET", "/hello")
        assert (code, body) == (200, b"hello system:admin")
        metrics = (await client.raw("GET", "/metrics"))[1]
        assert b"apiserver_request_total" in metrics and b'controller_reconcile_total{controller="follower"}' in metrics
        candidate = struct("coordination.k8s.io", "v1alpha2", "LeaseCandidate")
        await client.create(candidate(metadata=ObjectMeta(name="l", namespace="default")))
        assert [o.metadata.name for o in (await client.list(candidate, "default")).items] == ["l"]
        while "reconciled c" not in SEEN or "runtime started" not in SEEN:
            await cluster.clock.sleep(0.01)
        with pytest.raises(StatusError, match="letters are not secrets"):
            await client.as_user(User("letter-writer")).list(Secret, "default")
    assert "stopping seams" in SEEN


def test_seams_whose_drivers_come_later_take_registrations(loaded):
    assert loaded.collect("kybern_volume_driver", start=None) == ["mine"]
    assert set(loaded.offers("kybern_pod_network", start=None)) == {"mine"}
    assert set(loaded.offers("kybern_proxy_mode", start=None)) == {"mine"}


def test_a_plugin_adds_a_command(loaded, capsys):
    parser = argparse.ArgumentParser()
    loaded.call("kybern_commands", commands=parser.add_subparsers())
    args = parser.parse_args(["greet"])
    args.run(args)
    assert capsys.readouterr().out == "hello\n"


def test_a_policy_of_a_plugin_is_known_to_profiles(loaded):
    names = [p.name for p in loaded.collect("kybern_scheduling_policy", start=None)]
    assert "Mine" in names and "NodeResourcesFit" in names


async def test_a_runtime_that_nobody_offers_is_named_with_those_that_exist(loaded):

    config = Config(api=APIConfig(port=0), store=StoreConfig(driver="memory"), nodes=NodesConfig(runtime="docker"))
    with pytest.raises(ConfigError, match=r"nodes.runtime: 'docker' is offered by no plugin; there are: fake, mine"):
        async with running(config, plugins=loaded):
            pass


async def test_a_pod_runs_on_the_virtual_clock(kybern_cluster):
    spec = PodSpec(containers=[Container(name="c", image="nginx")])
    await kybern_cluster.client.create(Pod(metadata=ObjectMeta(name="a", namespace="default"), spec=spec))
    await kybern_cluster.clock.advance(5)
    assert (await kybern_cluster.client.get(Pod, "a", "default")).status.phase == "Running"


async def test_a_cluster_in_a_test_resumes_its_directory(tmp_path):
    config = Config(api=APIConfig(port=0), nodes=NodesConfig(count=0))
    made = ConfigMap(metadata=ObjectMeta(name="kept", namespace="default"))
    async with running(config, state_dir=tmp_path / "state") as cluster:
        await cluster.client.create(made)
    async with running(config, state_dir=tmp_path / "state") as cluster:
        assert (await cluster.client.get(ConfigMap, "kept", "default")).metadata.name == "kept"


async def test_more_nodes_than_the_pod_range_has_room_for_are_refused():
    config = Config(api=APIConfig(port=0), store=StoreConfig(driver="memory"), nodes=NodesConfig(count=257))
    with pytest.raises(ConfigError, match=r"^network\.pod_cidr: 10\.244\.0\.0/16 has 256 ranges of /24 and 257 nodes"):
        async with running(config):
            pass


async def test_what_comes_in_process_is_kept_in_canonical_form(kybern_cluster):
    resources = ResourceRequirements(requests={"memory": "1024Ki", "cpu": "0.5"})
    spec = PodSpec(containers=[Container(name="c", image="nginx", resources=resources)], hostNetwork=False)
    await kybern_cluster.clock.advance(1)
    made = await kybern_cluster.client.create(Pod(metadata=ObjectMeta(name="a", namespace="default"), spec=spec))
    assert made.spec.containers[0].resources.requests == {"memory": "1Mi", "cpu": "500m"}
    assert made.spec.hostNetwork is None
