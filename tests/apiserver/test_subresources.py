"""status, scale, binding, eviction, log, token and the review kinds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from kybern.api.errors import StatusError
from kybern.apiserver.nodes import LogOptions, NodeStreams
from kybern.apiserver.reviews import Review, ReviewRequest
from tests.apiserver.conftest import CONFIG_MAPS, DEPLOYMENTS, PODS, Api, config_map, deployment, pod

pytestmark = pytest.mark.anyio

SCALE = f"{DEPLOYMENTS}/d/scale"


class Recorder(NodeStreams):
    """Nodes that remember what they were asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, LogOptions]] = []

    async def logs(self, node: str, pod: Any, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        self.asked.append((node, container, options))
        if options.previous:
            raise StatusError.bad_request(f'previous terminated container "{container}" in pod "p" not found')
        return self._lines()

    async def _lines(self) -> AsyncIterator[bytes]:
        yield b"one\n"
        yield b"two\n"


@pytest.fixture
def nodes() -> Recorder:
    return Recorder()


async def answer_token_review(request: ReviewRequest) -> Any:
    request.object.status.authenticated = True
    return request.object


async def answer_token_request(request: ReviewRequest) -> Any:
    request.object.status.token = f"for {request.parent.metadata.name} by {request.user.name}"
    request.object.status.expirationTimestamp = "2026-01-01T01:00:00Z"
    return request.object


@pytest.fixture
def server_options(nodes: Recorder) -> dict[str, Any]:
    reviews = [
        Review("tokenreviews.authentication.k8s.io", answer_token_review),
        Review("serviceaccounts/token", answer_token_request),
    ]
    return {"nodes": nodes, "reviews": reviews}


async def test_scale_shows_and_changes_replicas(api: Api) -> None:
    await api.create(DEPLOYMENTS, deployment("d", 2))
    scale = await api.get(SCALE)
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert scale["spec"] == {"replicas": 2}
    assert scale["status"] == {"replicas": 0, "selector": "app=d"}
    scale["spec"]["replicas"] = 4
    assert (await api.ask("PUT", SCALE, scale)).json["spec"]["replicas"] == 4
    assert (await api.ask("PUT", SCALE, scale)).code == 409
    assert (await api.patch(SCALE, {"spec": {"replicas": 0}})).json["spec"] == {}
    stored = await api.get(f"{DEPLOYMENTS}/d")
    assert (stored["spec"]["replicas"], stored["metadata"]["generation"]) == (0, 3)


@pytest.mark.parametrize(
    ("method", "target", "body", "code", "words"),
    [
        ("PUT", SCALE, {"metadata": {"name": "d"}, "spec": {"replicas": -1}}, 422,
         'Scale.autoscaling "d" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0'),
        ("PUT", SCALE, {"metadata": {"name": "e"}, "spec": {}}, 400, "does not match the name on the URL"),
        ("GET", f"{DEPLOYMENTS}/zz/scale", None, 404, 'deployments.apps "zz" not found'),
        ("GET", f"{CONFIG_MAPS}/a/scale", None, 404, "the server could not find the requested resource"),
        ("DELETE", SCALE, None, 405, "does not allow this method"),
    ],
)  # fmt: skip
async def test_scale_refusals(api: Api, method: str, target: str, body: Any, code: int, words: str) -> None:
    await api.create(DEPLOYMENTS, deployment("d"))
    answer = await api.ask(method, target, body)
    assert answer.code == code
    assert words in answer.message


def binding(node: str = "n", **target: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": node, **target}}


async def test_a_pod_is_bound_once(api: Api) -> None:
    await api.create(PODS, pod("p"))
    annotated = binding() | {"metadata": {"name": "p", "annotations": {"why": "because"}}}
    answer = await api.ask("POST", f"{PODS}/p/binding", annotated)
    assert (answer.code, answer.json["status"], answer.json["code"]) == (201, "Success", 201)
    bound = await api.get(f"{PODS}/p")
    assert bound["spec"]["nodeName"] == "n"
    assert bound["metadata"]["annotations"] == {"why": "because"}
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    assert [{k: c[k] for k in scheduled} for c in bound["status"]["conditions"]] == [scheduled]
    again = await api.ask("POST", "/api/v1/namespaces/default/bindings", binding("other"))
    assert again.code == 409
    assert 'pods/binding "p": pod p is already assigned to node "n"' in again.message


async def test_a_bound_pod_is_nominated_nowhere_any_more(api: Api) -> None:
    await api.create(PODS, pod("p"))
    await api.patch(f"{PODS}/p/status", {"status": {"nominatedNodeName": "elsewhere"}})
    assert (await api.ask("POST", f"{PODS}/p/binding", binding())).code == 201
    assert "nominatedNodeName" not in (await api.get(f"{PODS}/p"))["status"]


@pytest.mark.parametrize(
    ("target", "body", "code"),
    [
        (f"{PODS}/p/binding", binding(kind="Pod"), 422),
        (f"{PODS}/p/binding", binding(""), 422),
        (f"{PODS}/q/binding", binding() | {"metadata": {"name": "q"}}, 404),
        (f"{PODS}/p/binding", binding() | {"metadata": {"name": "q"}}, 400),
        (f"{PODS}/p/binding", binding() | {"metadata": {"name": "p", "uid": "wrong"}}, 409),
        (f"{PODS}/p/binding?dryRun=All", binding(), 201),
    ],
)
async def test_bindings_that_bind_nothing(api: Api, target: str, body: Any, code: int) -> None:
    await api.create(PODS, pod("p"))
    assert (await api.ask("POST", target, body)).code == code
    assert "nodeName" not in (await api.get(f"{PODS}/p"))["spec"]


EVICTION = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"


async def running(api: Api, ready: bool = True) -> None:
    await api.create(PODS, pod("p", labels={"app": "x"}))
    await api.ask("POST", f"{PODS}/p/binding", binding())
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    await api.patch(f"{PODS}/p/status", {"status": {"phase": "Running", "conditions": conditions}})


async def budget(api: Api, allowed: int, **status: Any) -> None:
    spec = {"selector": {"matchLabels": {"app": "x"}}, "minAvailable": 1}
    made = await api.create(BUDGETS, {"metadata": {"name": "b"}, "spec": spec})
    given = {
        "observedGeneration": made["metadata"]["generation"], "disruptionsAllowed": allowed,
        "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1, **status,
    }  # fmt: skip
    assert (await api.patch(f"{BUDGETS}/b/status", {"status": given})).code == 200


async def test_eviction_takes_from_the_budget_and_deletes(api: Api) -> None:
    await running(api)
    await budget(api, 1)
    assert (await api.ask("POST", f"{PODS}/p/eviction", EVICTION)).code == 201
    evicted = await api.get(f"{PODS}/p")
    assert evicted["metadata"]["deletionGracePeriodSeconds"] == 30
    assert "DisruptionTarget" in [c["type"] for c in evicted["status"]["conditions"]]
    status = (await api.get(f"{BUDGETS}/b"))["status"]
    assert status["disruptionsAllowed"] == 0
    assert list(status["disruptedPods"]) == ["p"]


async def test_eviction_is_refused_when_the_budget_is_spent(api: Api) -> None:
    await running(api)
    await budget(api, 0)
    answer = await api.ask("POST", f"{PODS}/p/eviction", EVICTION)
    assert (answer.code, "Retry-After" in answer.headers) == (429, False)
    assert answer.message == "Cannot evict pod as it would violate the pod's disruption budget."
    (cause,) = answer.json["details"]["causes"]
    assert cause == {
        "reason": "DisruptionBudget",
        "message": "The disruption budget b needs 1 healthy pods and has 1 currently",
    }
    assert "deletionTimestamp" not in (await api.get(f"{PODS}/p"))["metadata"]


async def test_a_budget_that_is_not_counted_yet_refuses(api: Api) -> None:
    await running(api)
    await budget(api, 5, observedGeneration=0)
    answer = await api.ask("POST", f"{PODS}/p/eviction", EVICTION)
    assert answer.code == 429
    assert "is still being processed by the server" in answer.json["details"]["causes"][0]["message"]


async def test_the_last_eviction_that_a_budget_allows_says_so_in_its_condition(api: Api) -> None:
    await running(api)
    allowed = {
        "type": "DisruptionAllowed",
        "status": "True",
        "reason": "SufficientPods",
        "message": "",
        "observedGeneration": 1,
    }
    await budget(api, 1, conditions=[allowed | {"lastTransitionTime": "2026-01-01T00:00:00Z"}])
    assert (await api.ask("POST", f"{PODS}/p/eviction", EVICTION)).code == 201
    (condition,) = (await api.get(f"{BUDGETS}/b"))["status"]["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "InsufficientPods")


async def test_a_budget_that_could_not_be_counted_says_why_it_refuses(api: Api) -> None:
    await running(api)
    failed = {"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "no scale"}
    await budget(api, 0, conditions=[failed | {"lastTransitionTime": "2026-01-01T00:00:00Z"}])
    answer = await api.ask("POST", f"{PODS}/p/eviction", EVICTION)
    assert answer.code == 429
    text = "The disruption budget b does not allow evicting pods currently because it failed sync: no scale"
    assert answer.json["details"]["causes"][0]["message"] == text


@pytest.mark.parametrize("named", [{}, {"name": "q"}])
async def test_an_eviction_names_its_pod(api: Api, named: dict[str, str]) -> None:
    await running(api)
    answer = await api.ask("POST", f"{PODS}/p/eviction", EVICTION | {"metadata": named})
    assert (answer.code, answer.message) == (400, "name in URL does not match name in Eviction object")


async def test_an_eviction_of_another_pod_than_was_meant_spends_nothing(api: Api) -> None:
    await running(api)
    await budget(api, 1)
    meant = EVICTION | {"deleteOptions": {"preconditions": {"uid": "another"}}}
    assert (await api.ask("POST", f"{PODS}/p/eviction", meant)).code == 409
    assert (await api.get(f"{BUDGETS}/b"))["status"]["disruptionsAllowed"] == 1
    assert "DisruptionTarget" not in [c["type"] for c in (await api.get(f"{PODS}/p"))["status"]["conditions"]]


async def test_a_pod_that_is_not_ready_may_go_when_enough_others_are(api: Api) -> None:
    await running(api, ready=False)
    await budget(api, 0)
    assert (await api.ask("POST", f"{PODS}/p/eviction", EVICTION)).code == 201
    assert (await api.get(f"{PODS}/p"))["metadata"]["deletionTimestamp"]


async def test_a_dry_run_of_eviction_evicts_nobody(api: Api) -> None:
    await running(api)
    await budget(api, 1)
    assert (await api.ask("POST", f"{PODS}/p/eviction", EVICTION | {"deleteOptions": {"dryRun": ["All"]}})).code == 201
    assert "deletionTimestamp" not in (await api.get(f"{PODS}/p"))["metadata"]
    assert (await api.get(f"{BUDGETS}/b"))["status"]["disruptionsAllowed"] == 1


async def test_logs_come_from_the_node(api: Api, nodes: Recorder) -> None:
    from kybern.cluster.inprocess import InProcessClient

    await running(api)
    client = InProcessClient(lambda: api.server)
    code, body = await client.raw("GET", f"{PODS}/p/log?tailLines=5&timestamps=true&sinceSeconds=9")
    assert (code, body) == (200, b"one\ntwo\n")
    assert nodes.asked == [("n", "c", LogOptions(tail_lines=5, timestamps=True, since_seconds=9))]


async def test_a_pod_that_runs_nowhere_has_an_empty_log(api: Api) -> None:
    await api.create(PODS, pod("p"))
    assert (await api.ask("GET", f"{PODS}/p/log")).body == b""


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ("container=zz", 400, "container zz is not valid for pod p"),
        ("tailLines=-1", 422, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ("tailLines=x", 400, "strconv.ParseInt"),
        ("sinceSeconds=0", 422, "sinceSeconds: Invalid value: 0: must be greater than 0"),
        ("sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", 422, "at most one of"),
        ("sinceTime=yesterday", 422, "sinceTime"),
        ("limitBytes=0", 422, "limitBytes"),
        ("stream=Stdin", 422, "stream: Unsupported value"),
        ("previous=true", 400, 'previous terminated container "c" in pod "p" not found'),
    ],
)
async def test_log_options_are_checked(api: Api, query: str, code: int, words: str) -> None:
    await running(api)
    answer = await api.ask("GET", f"{PODS}/p/log?{query}")
    assert answer.code == code
    assert words in answer.message


async def test_a_pod_of_several_containers_wants_one_named(api: Api) -> None:
    two = pod("p")
    two["spec"]["containers"].append({"name": "d", "image": "i"})
    await api.create(PODS, two)
    answer = await api.ask("GET", f"{PODS}/p/log")
    assert answer.message == "a container name must be specified for pod p, choose one of: [c d]"
    await api.patch(f"{PODS}/p", {"metadata": {"annotations": {"kubectl.kubernetes.io/default-container": "d"}}})
    assert (await api.ask("GET", f"{PODS}/p/log")).code == 200


async def test_questions_are_answered_by_plugins(api: Api) -> None:
    reviews = "/apis/authentication.k8s.io/v1/tokenreviews"
    answer = await api.ask("POST", reviews, {"spec": {"token": "t"}})
    assert answer.code == 201
    assert answer.json["status"]["authenticated"] is True
    assert (await api.ask("GET", reviews)).code == 405
    assert (
        await api.ask("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": {"user": "u"}})
    ).code != 201


async def test_a_token_is_asked_for_below_its_account(api: Api) -> None:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    await api.create(accounts, {"metadata": {"name": "sa"}})
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    answer = await api.ask("POST", f"{accounts}/sa/token", request)
    assert answer.code == 201
    assert answer.json["status"]["token"] == "for sa by admin"
    assert (await api.ask("POST", f"{accounts}/none/token", request)).message == 'serviceaccounts "none" not found'
    short = request | {"spec": {"expirationSeconds": 5}}
    assert (
        "may not specify a duration less than 10 minutes"
        in (await api.ask("POST", f"{accounts}/sa/token", short)).message
    )


async def test_what_no_node_can_do_is_said_so(api: Api) -> None:
    await api.create(PODS, pod("p"))
    assert (await api.ask("GET", f"{PODS}/p/exec")).code == 501


async def test_a_part_of_an_object_is_read_whole(api: Api) -> None:
    made = await api.create(DEPLOYMENTS, deployment("d"))
    assert await api.get(f"{DEPLOYMENTS}/d/status") == made
    await api.create(CONFIG_MAPS, config_map("a"))
    assert (await api.ask("GET", f"{CONFIG_MAPS}/a/status")).code == 404
