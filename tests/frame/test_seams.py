"""One plugin that sits on every seam: what it registers takes part in a running cluster."""

from __future__ import annotations

import argparse
from importlib.metadata import EntryPoint

import pytest

from kybern import SystemClock, plugins
from kybern.api.core import ConfigMap, Container, Namespace, Pod, PodSpec, ResourceRequirements, Secret
from kybern.api.errors import StatusError
from kybern.api.meta import ObjectMeta
from kybern.api.types import struct
from kybern.apiserver.user import User
from kybern.cluster.cluster import running
from kybern.config import APIConfig, Config, ConfigError, NodesConfig, StoreConfig
from tests.frame import plugin_on_every_seam
from tests.frame.plugin_on_every_seam import SEEN

pytestmark = pytest.mark.anyio


@pytest.fixture
def loaded() -> plugins.Plugins:
    """The built-in plugins and ours."""
    SEEN.clear()
    plugin = EntryPoint("every_seam", plugin_on_every_seam.__name__, plugins.GROUP)
    return plugins.load(entries=[*plugins.discover(), plugin])


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
