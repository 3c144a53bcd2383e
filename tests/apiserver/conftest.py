"""A server over a memory store, asked through its pipeline (`api`) or over a real connection (`https`)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import attrs
import pytest
from multidict import CIMultiDict

from kybern.api import registry
from kybern.apiserver.authentication import Authenticator, Credentials
from kybern.apiserver.authorization import Attributes, Authorizer, Decision
from kybern.apiserver.request import Request
from kybern.apiserver.response import Response
from kybern.apiserver.server import APIServer
from kybern.apiserver.user import User
from kybern.clock import VirtualClock
from kybern.store.memory import MemoryStore


class Everybody(Authenticator):
    """Believes the User that a test gives, else takes everyone for an administrator."""

    name = "everybody"

    async def authenticate(self, credentials: Credentials) -> User | None:
        name = credentials.headers.get("X-User", "admin")
        groups = ("system:masters",) if name == "admin" else ()
        return User(name, groups)


class Rulebook(Authorizer):
    """Allows everything but what a test forbids."""

    name = "rulebook"

    def __init__(self) -> None:
        self.allows: Callable[[Attributes], bool] = lambda _: True
        self.asked: list[Attributes] = []

    def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        self.asked.append(attributes)
        return (Decision.ALLOW, "") if self.allows(attributes) else (Decision.NO_OPINION, "")


@attrs.frozen
class Answer:
    """What came back."""

    code: int
    body: bytes
    headers: Mapping[str, str]
    warnings: list[str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json["message"])


class Api:
    """Asks a server, without a connection."""

    def __init__(self, server: APIServer, rules: Rulebook) -> None:
        self.server = server
        self.rules = rules
        self.clock = server.clock

    async def ask(self, method: str, target: str, body: Any = None, **headers: str) -> Answer:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()

        async def read() -> bytes:
            return data

        named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
        request = Request(method, target, named, read, self.server.clock.now())
        answer = await self.server.pipeline(request)
        assert isinstance(answer, Response), answer
        return Answer(answer.status, answer.body, dict(answer.headers or {}), request.warnings)

    async def get(self, target: str, **headers: str) -> Any:
        return (await self.ask("GET", target, **headers)).json

    async def create(self, target: str, body: Any) -> Any:
        answer = await self.ask("POST", target, body)
        assert answer.code == 201, answer.body
        return answer.json

    async def patch(self, target: str, body: Any, kind: str = "merge") -> Answer:
        types = {"merge": "merge-patch", "json": "json-patch", "strategic": "strategic-merge-patch"}
        return await self.ask("PATCH", target, body, Content_Type=f"application/{types[kind]}+json")


CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def config_map(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}, "data": {"a": "1"}}


def pod(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **metadata}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}


def deployment(name: str, replicas: int = 2) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    return {
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def server_options() -> dict[str, Any]:
    """Further arguments of the server; a test module overrides this."""
    return {}


@pytest.fixture
async def api(clock: VirtualClock, server_options: dict[str, Any]) -> AsyncIterator[Api]:
    store, rules = MemoryStore(None, clock), Rulebook()
    await store.start()
    options: dict[str, Any] = {"authenticators": [Everybody()], "authorizers": [rules]} | server_options
    server = APIServer(store=store, registry=registry.builtin(), clock=clock, **options)
    await server.start()
    yield Api(server, rules)
    assert server.resources.watch_cache.mutated() == [], "somebody changed an object of the cache"
    await server.close()
    await store.close()
