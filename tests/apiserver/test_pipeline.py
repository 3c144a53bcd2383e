"""The stages before the verbs: who asks, as whom, may they, is there room; and what is told about it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kybern.api.errors import StatusError
from kybern.apiserver.authenticate import Authentication
from kybern.apiserver.authentication import Authenticator, Credentials
from kybern.apiserver.fairness import Fairness
from kybern.apiserver.request import Request
from kybern.apiserver.routes import Route, RouteRequest, RouteResponse
from kybern.apiserver.user import ANONYMOUS, User
from tests.apiserver.conftest import CONFIG_MAPS, Api, config_map

pytestmark = pytest.mark.anyio

AUDITED: list[bytes] = []


async def greet(request: RouteRequest) -> RouteResponse:
    return RouteResponse(f"hello {request.user.name} {request.path}".encode(), content_type="text/plain")


@pytest.fixture
def server_options() -> dict[str, Any]:
    AUDITED.clear()
    routes = [Route("/greeting", greet), Route("/files/*", greet, public=True)]
    return {"audit": AUDITED.append, "routes": routes, "max_reads": 2, "max_writes": 1}


def request(target: str = "/", **headers: str) -> Request:
    async def read() -> bytes:
        return b""

    return Request("GET", target, {k.replace("_", "-"): v for k, v in headers.items()}, read, 0.0)


class Token(Authenticator):
    def __init__(self, name: str, token: str, *, bad: bool = False) -> None:
        self.name, self._token, self._bad = name, token, bad

    async def authenticate(self, credentials: Credentials) -> User | None:
        if credentials.bearer != self._token:
            return None
        if self._bad:
            raise StatusError.unauthorized()
        return User(self.name)


class Anonymous(Authenticator):
    name, order = "anonymous", 1000

    async def authenticate(self, credentials: Credentials) -> User | None:
        return ANONYMOUS


async def test_the_first_who_knows_the_credential_wins() -> None:
    stage = Authentication([Token("one", "t"), Token("two", "t")])
    asked = request(Authorization="Bearer t")
    await stage(asked)
    assert asked.user == User("one", ("system:authenticated",))


async def test_one_refusal_does_not_stop_another_from_knowing() -> None:
    stage = Authentication([Token("bad", "t", bad=True), Token("good", "t")])
    asked = request(Authorization="bearer t")
    await stage(asked)
    assert asked.user.name == "good"


async def test_a_refused_credential_is_not_anonymous() -> None:
    stage = Authentication([Token("bad", "t", bad=True), Anonymous()])
    with pytest.raises(StatusError) as refused:
        await stage(request(Authorization="Bearer t"))
    assert refused.value.code == 401


async def test_nobody_knows_it() -> None:
    with pytest.raises(StatusError, match="Unauthorized"):
        await Authentication([Token("one", "t")])(request(Authorization="Bearer other"))


async def test_anonymous_is_not_authenticated() -> None:
    asked = request()
    await Authentication([Anonymous()])(asked)
    assert asked.user == ANONYMOUS


async def test_browsers_bring_their_token_as_a_websocket_protocol() -> None:
    asked = request(Sec_WebSocket_Protocol="base64url.bearer.authorization.k8s.io.dA, v4.channel.k8s.io")
    await Authentication([Token("one", "t")])(asked)
    assert asked.user.name == "one"


async def test_refusals_are_in_upstreams_words(api: Api) -> None:
    api.rules.allows = lambda a: a.user.name == "admin"

    async def message(method: str, target: str) -> str:
        answer = await api.ask(method, target, X_User="eve")
        assert (answer.code, answer.json["reason"]) == (403, "Forbidden")
        return answer.message

    assert await message("GET", "/api/v1/namespaces/default/pods") == (
        'pods is forbidden: User "eve" cannot list resource "pods" in API group "" in the namespace "default"'
    )
    assert await message("DELETE", "/apis/apps/v1/namespaces/default/deployments/d") == (
        'deployments.apps "d" is forbidden: User "eve" cannot delete resource "deployments" '
        'in API group "apps" in the namespace "default"'
    )
    assert await message("GET", "/api/v1/namespaces/default/pods/p/log") == (
        'pods "p" is forbidden: User "eve" cannot get resource "pods/log" in API group "" in the namespace "default"'
    )
    assert await message("GET", "/api/v1/nodes") == (
        'nodes is forbidden: User "eve" cannot list resource "nodes" in API group "" at the cluster scope'
    )
    assert await message("GET", "/metrics") == 'forbidden: User "eve" cannot get path "/metrics"'


async def test_what_does_not_exist_is_forbidden_first(api: Api) -> None:
    api.rules.allows = lambda _: False
    assert (await api.ask("GET", "/apis/nosuch/v1/things")).code == 403
    assert (await api.ask("GET", "/nosuch")).code == 403


async def test_authorizers_see_selectors(api: Api) -> None:
    await api.ask("GET", f"{CONFIG_MAPS}?fieldSelector=metadata.name%3Da&labelSelector=x%3Dy")
    asked = api.rules.asked[-1]
    assert (asked.name, asked.field_selector, asked.label_selector) == ("a", "metadata.name=a", "x=y")


async def test_impersonation(api: Api) -> None:
    answer = await api.ask(
        "GET", "/greeting", Impersonate_User="jane", Impersonate_Group="dev", Impersonate_Extra_Scopes="view"
    )
    assert answer.body == b"hello jane /greeting"
    about = [(a.verb, a.resource, a.subresource, a.name, a.group) for a in api.rules.asked[-4:-1]]
    assert about == [
        ("impersonate", "users", "", "jane", ""),
        ("impersonate", "groups", "", "dev", ""),
        ("impersonate", "userextras", "scopes", "view", "authentication.k8s.io"),
    ]
    jane = api.rules.asked[-1].user
    assert (jane.groups, jane.extra) == (("dev", "system:authenticated"), {"scopes": ("view",)})


async def test_an_impersonated_service_account_gets_its_groups(api: Api) -> None:
    await api.ask("GET", "/greeting", Impersonate_User="system:serviceaccount:ns:sa")
    assert (api.rules.asked[-2].resource, api.rules.asked[-2].namespace) == ("serviceaccounts", "ns")
    assert api.rules.asked[-1].user.groups == (
        "system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"
    )  # fmt: skip


async def test_impersonation_needs_permission_and_a_user(api: Api) -> None:
    assert (await api.ask("GET", "/greeting", Impersonate_Group="dev")).code == 400
    api.rules.allows = lambda a: a.verb != "impersonate"
    answer = await api.ask("GET", "/greeting", Impersonate_User="jane")
    assert (answer.code, 'cannot impersonate resource "users"' in answer.message) == (403, True)


async def test_too_many_at_once_are_told_to_come_back(api: Api) -> None:
    fairness: Fairness = api.server.metrics._fairness
    fairness.in_flight[False] = 1
    answer = await api.ask("POST", CONFIG_MAPS, config_map("a"), X_User="eve")
    assert (answer.code, answer.json["reason"], answer.headers["Retry-After"]) == (429, "TooManyRequests", "1")
    assert (await api.ask("GET", CONFIG_MAPS, X_User="eve")).code == 200
    assert (await api.ask("POST", CONFIG_MAPS, config_map("a"))).code == 201, "administrators always get through"
    fairness.in_flight[False] = 0
    assert (await api.ask("POST", CONFIG_MAPS, config_map("b"), X_User="eve")).code == 201
    assert fairness.in_flight == {True: 0, False: 0}


async def test_seats_are_given_back_after_refusals(api: Api) -> None:
    api.rules.allows = lambda a: False
    for _ in range(5):
        assert (await api.ask("GET", CONFIG_MAPS, X_User="eve")).code == 403


async def test_every_request_is_audited(api: Api) -> None:
    await api.ask("GET", f"{CONFIG_MAPS}/zz", User_Agent="test", Impersonate_User="jane")
    line = json.loads(AUDITED[-1])
    assert (line["verb"], line["responseStatus"], line["userAgent"]) == ("get", {"code": 404}, "test")
    assert (line["user"]["username"], line["impersonatedUser"]["username"]) == ("admin", "jane")
    assert line["objectRef"]["resource"] == "configmaps"


async def test_metrics_count_requests(api: Api) -> None:
    for _ in range(3):
        await api.ask("GET", CONFIG_MAPS)
    text = (await api.ask("GET", "/metrics")).body.decode()
    series = 'verb="LIST",group="",version="v1",resource="configmaps",subresource="",scope="namespace"'
    assert f'apiserver_request_total{{{series},code="200"}} 3' in text
    assert f"apiserver_request_duration_seconds_count{{{series}}} 3" in text
    assert 'apiserver_storage_objects{resource="namespaces"} 4' in text
    assert "# TYPE apiserver_request_duration_seconds histogram" in text


async def test_paths_that_do_not_exist_do_not_fill_the_metrics(api: Api) -> None:
    for i in range(50):
        await api.ask("GET", f"/api/v1/namespaces/default/thing{i}")
    text = (await api.ask("GET", "/metrics")).body.decode()
    assert "thing" not in text


async def test_routes_of_plugins(api: Api) -> None:
    assert (await api.ask("GET", "/greeting")).body == b"hello admin /greeting"
    assert (await api.ask("POST", "/greeting")).code == 405
    api.rules.allows = lambda _: False
    assert (await api.ask("GET", "/greeting")).code == 403
    assert (await api.ask("GET", "/files/a/b")).body == b"hello system:anonymous /files/a/b"


async def test_health_tells_what_is_wrong(api: Api) -> None:
    assert (await api.ask("GET", "/livez")).body == b"ok"
    assert (await api.ask("GET", "/readyz")).code == 500, "nobody has said that the cluster is ready"
    api.server.set_ready()
    assert (await api.ask("GET", "/readyz")).body == b"ok"
    api.server.health.add("plumbing", lambda: "a leak")
    answer = await api.ask("GET", "/readyz?verbose")
    assert answer.code == 500
    assert b"[-]plumbing failed: reason withheld\n" in answer.body
    assert answer.body.endswith(b"readyz check failed\n")
    assert (await api.ask("GET", "/readyz?exclude=plumbing")).code == 200
    assert (await api.ask("GET", "/readyz/plumbing")).code == 500
    assert (await api.ask("GET", "/readyz/ping")).body == b"ok"
    assert (await api.ask("GET", "/readyz/nosuch")).code == 404


async def test_a_bug_is_an_internal_error_and_not_a_lost_connection(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("oh no")

    monkeypatch.setattr(api.server.resources, "find", broken)
    answer = await api.ask("GET", CONFIG_MAPS)
    assert (answer.code, answer.json["reason"], answer.message) == (
        500,
        "InternalError",
        "Internal error occurred: oh no",
    )
