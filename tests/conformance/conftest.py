"""What upstream promises of its workload kinds, asked over HTTPS with the official Python client and the real kubectl.

One cluster serves all tests, each in a namespace of its own. Its clock is virtual: time goes on as usual, and a test
that waits for a deadline moves it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from tests.e2e.conftest import Kubectl, UserMachine

LABELS = {"app": "web"}


def template(image: str = "nginx:1", ready: str = "success", grace: int = 0, **spec: Any) -> dict[str, Any]:
    """A pod template whose container answers its readiness probe so, from its start on."""
    probe = {"httpGet": {"port": 80}, "periodSeconds": 1}
    return {
        "metadata": {"labels": LABELS, "annotations": {"fake.kybern.dev/readiness": ready}},
        "spec": {
            "terminationGracePeriodSeconds": grace,
            "containers": [{"name": "c", "image": image, "readinessProbe": probe}],
            **spec,
        },
    }


@attrs.frozen
class Asker:
    """One namespace, asked through both clients."""

    official: Any
    kubectl: Kubectl
    machine: UserMachine

    @property
    def namespace(self) -> str:
        return self.kubectl.namespace

    @property
    def core(self) -> Any:
        return self.official.CoreV1Api()

    @property
    def apps(self) -> Any:
        return self.official.AppsV1Api()

    @property
    def batch(self) -> Any:
        return self.official.BatchV1Api()

    @property
    def policy(self) -> Any:
        return self.official.PolicyV1Api()

    def advance(self, seconds: float) -> None:
        """Let a time pass at once."""
        client = self.official.ApiClient()
        client.call_api(*client.param_serialize("POST", "/kybern/clock", query_params=[("advance", seconds)])).read()

    def until(self, ask: Callable[[], Any], limit: float = 20) -> Any:
        """Ask until the answer is true, and give it."""
        end = time.monotonic() + limit
        while not (answer := ask()):
            assert time.monotonic() < end, "it does not become so"
            time.sleep(0.03)
        return answer

    def pods(self, selector: str = "app=web") -> list[Any]:
        """Those that stay, by name."""
        found = self.core.list_namespaced_pod(self.namespace, label_selector=selector).items
        return sorted((p for p in found if p.metadata.deletion_timestamp is None), key=lambda p: p.metadata.name)

    def events(self, name: str) -> list[str]:
        """`Type Reason Message` of the Events about an object of this name, in the order they came."""
        found = self.core.list_namespaced_event(self.namespace, field_selector=f"involvedObject.name={name}").items
        return [f"{e.type} {e.reason} {e.message}" for e in found]

    def images(self) -> list[str]:
        return [pod.spec.containers[0].image for pod in self.pods()]


def condition(obj: Any, type: str) -> tuple[str, str, str] | None:
    """(status, reason, message) of a condition."""
    for found in obj.status.conditions or ():
        if found.type == type:
            return found.status, found.reason, found.message
    return None


@pytest.fixture(scope="session")
def conforming(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UserMachine]:
    """The cluster of all these tests."""
    user = UserMachine(tmp_path_factory.mktemp("home"))
    user.kybern("up", "--port", "0", "--nodes", "3", "--name", "conforming", "--clock", "virtual")
    yield user
    user.kybern("delete", "--name", "conforming", check=False)


@pytest.fixture(scope="session")
def official(conforming: UserMachine) -> Any:
    """The official client, for this cluster."""
    kubernetes = pytest.importorskip("kubernetes")
    kubernetes.config.load_kube_config(config_file=str(conforming.home / ".kube" / "config"))
    return kubernetes.client


@pytest.fixture
def api(conforming: UserMachine, official: Any, request: pytest.FixtureRequest) -> Iterator[Asker]:
    """A fresh namespace."""
    name = "c" + format(abs(hash(request.node.nodeid)) % 10**10, "010d")
    asker = Asker(official, conforming.kubectl().within(name), conforming)
    asker.core.create_namespace({"metadata": {"name": name}})
    yield asker
    asker.core.delete_namespace(name)


__all__ = ["LABELS", "Asker", "condition", "template"]
