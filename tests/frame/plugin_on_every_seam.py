"""A plugin that sits on every seam (see test_seams.py); what of it took part is noted in SEEN."""

from __future__ import annotations

from kybern import Controller, hookimpl
from kybern.api.core import ConfigMap, Namespace
from kybern.api.kind import Kind
from kybern.api.meta import ObjectMeta
from kybern.apiserver.admission import Admission
from kybern.apiserver.authentication import Authenticator
from kybern.apiserver.authorization import Authorizer, Decision
from kybern.apiserver.reviews import Review
from kybern.apiserver.routes import Route, RouteResponse
from kybern.apiserver.user import User
from kybern.scheduler.policy import Policy
from kybern.store.memory import MemoryStore
from kybern_runtime_fake.driver import FakeDriver

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


@hookimpl
def kybern_store():
    return {"mine": Store}


@hookimpl
def kybern_runtime():
    return {"mine": Driver}


@hookimpl
def kybern_scheduling_policy():
    return [Mine]


@hookimpl
def kybern_controllers():
    return [Follower()]


@hookimpl
def kybern_resources():
    return [CANDIDATE]


@hookimpl
def kybern_admission():
    return [Stamp()]


@hookimpl
def kybern_authenticator():
    return [Letters()]


@hookimpl
def kybern_authorizer():
    return [Nobody()]


@hookimpl
def kybern_routes():
    async def hello(request):
        return RouteResponse(b"hello " + request.user.name.encode(), content_type="text/plain")

    return [Route("/hello", hello)]


@hookimpl
def kybern_reviews():
    async def answer(request):
        return request.object

    return [Review("nothing/asks", answer)]


@hookimpl
def kybern_bootstrap():
    async def write(client):
        await client.create(Namespace(metadata=ObjectMeta(name="from-a-plugin")))

    return [write]


@hookimpl
def kybern_cluster_started(cluster):
    SEEN.append(f"started {cluster.config.name}")


@hookimpl
def kybern_cluster_stopping(cluster):
    SEEN.append(f"stopping {cluster.config.name}")


@hookimpl
def kybern_commands(commands):
    commands.add_parser("greet").set_defaults(run=lambda args: print("hello"))


@hookimpl
def kybern_pod_network():
    return {"mine": object}


@hookimpl
def kybern_proxy_mode():
    return {"mine": object}


@hookimpl
def kybern_volume_driver():
    return ["mine"]
