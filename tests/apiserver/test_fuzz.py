"""Whatever is sent, the server answers with an object or a Status, and never with an error of its own.

Bodies are made from the schema of every kind, with values of the right and of the wrong type;
requests from the OpenAPI document; paths, queries and patches from thin air. Set KYBERN_FUZZ to a
factor to look longer and elsewhere.
"""

# tables of values read better whole
from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Coroutine, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kybern.api import registry, schema, types
from kybern.api.kind import Kind
from kybern.api.schema import Field, Type
from kybern.apiserver.server import APIServer
from kybern.clock import VirtualClock, settle
from kybern.store.memory import MemoryStore
from tests.apiserver.conftest import Answer, Api, Everybody, Rulebook, config_map, deployment, pod

FACTOR = int(os.environ.get("KYBERN_FUZZ", "0"))
KINDS = [k for k in registry.builtin() if "create" in k.verbs]


def thorough(examples: int) -> Callable[[Any], Any]:
    return settings(
        max_examples=examples * max(FACTOR, 1), deadline=None, derandomize=not FACTOR, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


class World:
    """One server for all examples; a loop of its own, since hypothesis calls plain functions."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.api = self.runner.run(self._start())

    async def _start(self) -> Api:
        self.clock = clock = VirtualClock()
        rules = Rulebook()
        store = MemoryStore(None, clock)
        await store.start()
        server = APIServer(
            store=store, registry=registry.builtin(), clock=clock, authenticators=[Everybody()], authorizers=[rules]
        )
        await server.start()
        api = Api(server, rules)
        await api.create("/api/v1/namespaces/default/configmaps", config_map("a", labels={"x": "y"}))
        await api.create("/api/v1/namespaces/default/pods", pod("p"))
        await api.create("/apis/apps/v1/namespaces/default/deployments", deployment("d"))
        return api

    def ask(self, method: str, target: str, body: Any = None, **headers: str) -> Answer:
        return self.runner.run(self._ask(self.api.ask(method, target, body, **headers)))

    async def _ask(self, asking: Coroutine[Any, Any, Answer]) -> Answer:
        """A question about the future waits for it; time has to pass."""
        task = asyncio.ensure_future(asking)
        await settle()
        while not task.done():
            await self.clock.advance(1)
        return task.result()

    def close(self) -> None:
        self.runner.run(self.api.server.close())
        self.runner.close()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = World()
    yield made
    assert made.api.server.resources.watch_cache.mutated() == []
    made.close()


def check(answer: Answer) -> None:
    """An answer that a server may give to a client who sends nonsense."""
    assert answer.code < 500 or answer.code in (501, 504), answer.body
    if answer.code >= 400 and answer.body.startswith(b"{"):
        assert answer.json.get("kind") == "Status"


TEXTS = st.one_of(
    st.sampled_from(["", "a", "x.y", "A", "-", "10", "1Gi", "100m", "default", "Always", "TCP", "v1", "Pod", "/", "..", "a/b",
                     "*", "2026-01-01T00:00:00Z", "10.0.0.1", "::1", "10.0.0.0/8", "a=b", "\x00", "é", "x" * 300]),
    st.text(max_size=12),
)  # fmt: skip
JUNK = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), TEXTS
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
NUMBERS = st.one_of(st.integers(-3, 100), st.sampled_from([2**31 - 1, -(2**31), 2**31, 2**63 - 1, 2**63, 65536]))
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXTS, "bytes": st.sampled_from(["", "YQ==", "not base64", "YQ"]), "int32": NUMBERS, "int64": NUMBERS,
    "time": st.sampled_from(["2026-01-01T00:00:00Z", "yesterday", "", "9999-99-99T00:00:00Z", "0001-01-01T00:00:00+23:59"]),
    "boolean": st.booleans(), "double": st.floats(-10, 10), "any": JUNK,
    "quantity": st.sampled_from(["1", "100m", "1Gi", "-5", "1e3", "1e400", "x", 7, 0.5, "0.1", "1n", ""]),
    "int-or-string": st.one_of(NUMBERS, st.sampled_from(["50%", "http", "", "200%", "-1"])),
}  # fmt: skip
SCALARS["micro-time"] = SCALARS["time"]


def value(type_: Type, depth: int) -> st.SearchStrategy[Any]:
    if type_.kind == "struct":
        return struct(type_.ref, depth + 1) if depth < 6 else st.just({})
    if type_.kind == "list":
        return st.lists(value(type_.item or Type("any"), depth + 1), max_size=2)
    if type_.kind == "map":
        return st.dictionaries(TEXTS, value(type_.item or Type("any"), depth + 1), max_size=2)
    return SCALARS[type_.kind]


def struct(name: str, depth: int = 0) -> st.SearchStrategy[Any]:
    fields = list(schema.definition(name).fields.values())
    if not fields:
        return JUNK
    some = st.lists(st.sampled_from(fields), max_size=5, unique_by=lambda f: f.name)
    required = [f for f in fields if f.required]
    return some.flatmap(lambda chosen: _filled([*required, *chosen], depth))


def _filled(fields: list[Field], depth: int) -> st.SearchStrategy[Any]:
    # One field in sixteen is of the wrong type: more, and hardly a body would get as far as the validation.
    values = {f.name: value(f.type, depth) for f in fields}
    made = st.fixed_dictionaries(values)
    if not fields:
        return made
    broken = st.sampled_from(fields).flatmap(lambda f: st.fixed_dictionaries(values | {f.name: JUNK}))
    return st.integers(0, 15).flatmap(lambda roll: broken if roll == 0 else made)


def collection(kind: Kind) -> str:
    base = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    return f"{base}/namespaces/default/{kind.plural}" if kind.namespaced else f"{base}/{kind.plural}"


METADATA = st.one_of(
    st.fixed_dictionaries({"name": st.sampled_from(["a", "p", "d", "x-1"])}),
    st.fixed_dictionaries({"generateName": TEXTS}),
    struct("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"),
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.resource)
def test_bodies_of_every_kind(world: World, kind: Kind) -> None:
    definition = types.definition_of(kind.struct).name

    @thorough(12)
    @given(struct(definition), METADATA, st.sampled_from(["Strict", "Warn", "Ignore"]), st.booleans())
    def send(body: Any, metadata: Any, validation: str, dry: bool) -> None:
        if isinstance(body, dict):
            body = {k: v for k, v in body.items() if k not in ("apiVersion", "kind")} | {"metadata": metadata}
        target = f"{collection(kind)}?fieldValidation={validation}{'&dryRun=All' if dry else ''}"
        check(world.ask("POST", target, body))

    send()


ROUTES = [
    "/api/v1/namespaces/default/configmaps/a", "/api/v1/namespaces/default/pods/p", "/api/v1/namespaces/default/pods/p/status",
    "/apis/apps/v1/namespaces/default/deployments/d", "/apis/apps/v1/namespaces/default/deployments/d/scale",
]  # fmt: skip
POINTERS = st.lists(
    st.sampled_from(["spec", "metadata", "data", "containers", "0", "-", "name", "~1", "~", "labels", ""]), max_size=4
)
OPERATIONS = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"]),
             "path": POINTERS.map(lambda p: "".join("/" + s for s in p))},
            optional={"value": JUNK, "from": POINTERS.map(lambda p: "".join("/" + s for s in p))},
        ),
        JUNK,
    ),
    max_size=4,
)  # fmt: skip
DIRECTIVES = st.dictionaries(
    st.sampled_from(["$patch", "$retainKeys", "$setElementOrder/containers", "$deleteFromPrimitiveList/finalizers", "spec",
                     "metadata", "containers", "finalizers", "ownerReferences", "name", "data", "template", "uid"]),
    st.deferred(lambda: st.one_of(DIRECTIVES, st.lists(DIRECTIVES, max_size=2), JUNK, st.sampled_from(["delete", "replace"]))),
    max_size=4,
)  # fmt: skip


@thorough(250)
@given(st.sampled_from(ROUTES), st.one_of(
    st.tuples(st.just("json-patch"), st.one_of(OPERATIONS, JUNK)), st.tuples(st.just("merge-patch"), JUNK),
    st.tuples(st.sampled_from(["merge-patch", "strategic-merge-patch"]), DIRECTIVES),
))  # fmt: skip
def test_patches(world: World, target: str, patch: tuple[str, Any]) -> None:
    kind, body = patch
    check(world.ask("PATCH", f"{target}?dryRun=All", body, Content_Type=f"application/{kind}+json"))


@thorough(150)
@given(
    st.sampled_from(["configmaps/a", "configmaps/new", "pods/p"]),
    st.sampled_from(["one", "two"]),
    st.booleans(),
    st.one_of(struct("io.k8s.api.core.v1.ConfigMap"), struct("io.k8s.api.core.v1.Pod"), DIRECTIVES, JUNK),
)
def test_applied_objects(world: World, where: str, manager: str, force: bool, body: Any) -> None:
    if isinstance(body, dict):
        kept = {k: v for k, v in body.items() if k not in ("apiVersion", "kind")}
        metadata = kept["metadata"] if isinstance(kept.get("metadata"), dict) else {}
        body = kept | {"metadata": metadata | {"name": where.split("/")[1]}}
    target = f"/api/v1/namespaces/default/{where}?fieldManager={manager}&force={str(force).lower()}"
    check(world.ask("PATCH", target, body, Content_Type="application/apply-patch+yaml"))


@thorough(300)
@given(st.binary(max_size=60), st.sampled_from(["json", "yaml", "vnd.kubernetes.protobuf", "json-patch+json", "apply-patch+yaml", "x"]),
       st.sampled_from(["POST", "PUT", "PATCH", "DELETE"]))  # fmt: skip
def test_raw_bytes(world: World, body: bytes, media: str, method: str) -> None:
    target = "/api/v1/namespaces/default/configmaps" + ("" if method == "POST" else "/zz")
    check(world.ask(method, target, body, Content_Type=f"application/{media}"))


@thorough(150)
@given(st.text(alphabet=st.sampled_from(list("[]{}:,-?&*!|>'\"% \n\ta1#~<")), max_size=60))
def test_yaml(world: World, text: str) -> None:
    check(world.ask("POST", "/api/v1/namespaces/default/configmaps", text.encode(), Content_Type="application/yaml"))


SEGMENTS = st.one_of(
    st.sampled_from(["api", "apis", "v1", "apps", "namespaces", "default", "pods", "p", "status", "log", "scale", "..", ".", "",
                     "%2e%2e", "%2f", "%00", "%zz", "watch", "proxy", "openapi", "v3", "healthz", "*", "é", "?", "#"]),
    st.text(max_size=6).map(quote),
)  # fmt: skip
QUERIES = st.lists(
    st.tuples(
        st.sampled_from(["labelSelector", "fieldSelector", "limit", "continue", "resourceVersion", "resourceVersionMatch", "dryRun",
                         "timeoutSeconds", "pretty", "includeObject", "propagationPolicy", "gracePeriodSeconds", "container",
                         "fieldValidation", "fieldManager", "sendInitialEvents", "allowWatchBookmarks", "orphanDependents"]),
        st.one_of(TEXTS, st.sampled_from(["a in (b", "a!=b,c", "!a", "metadata.name=p", "spec.nodeName!=", "1", "-1", "Exact", "All",
                                          "9" * 30, "true", "Orphan", "eyJ2IjoxfQ", "spec.x=y"])),
    ), max_size=3,
)  # fmt: skip
METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "FROB"])
ACCEPTS = st.sampled_from(["", "*/*", "application/json", "application/yaml", "application/json;as=Table;v=v1;g=meta.k8s.io", "text/html",
                           "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", ";;,", "a/b;q=x", "application/json;q=0"])  # fmt: skip


@thorough(500)
@given(METHODS, st.lists(SEGMENTS, max_size=7), QUERIES, ACCEPTS)
def test_paths_and_queries(
    world: World, method: str, segments: list[str], query: list[tuple[str, str]], accept: str
) -> None:
    target = "/" + "/".join(segments) + "?" + "&".join(f"{k}={quote(v)}" for k, v in query)
    if "watch" not in segments:
        check(world.ask(method, target, **({"Accept": accept} if accept else {})))


def test_every_operation_of_the_openapi_document(world: World) -> None:
    """What the document promises is there, and bears any query and any body."""
    document = json.loads(world.ask("GET", "/openapi/v2").body)
    operations = [
        (method, path) for path, item in document["paths"].items() for method in item if method != "parameters"
    ]
    assert len(operations) > 500

    @thorough(400)
    @given(st.sampled_from(operations), QUERIES, st.one_of(st.none(), JUNK, METADATA.map(lambda m: {"metadata": m})))
    def call(operation: tuple[str, str], query: list[tuple[str, str]], body: Any) -> None:
        method, path = operation
        target = path.replace("{namespace}", "default").replace("{name}", "p") + "?dryRun=All&"
        target += "&".join(f"{k}={quote(v)}" for k, v in query)
        media = "merge-patch+json" if method == "patch" else "json"
        answer = world.ask(method.upper(), target, body, Content_Type=f"application/{media}")
        check(answer)
        assert answer.code != 405, "the document promises this operation"
        if answer.code == 404:
            assert (
                "could not find the requested resource" not in answer.message
                or path.endswith("/token")
                or "review" in path
            )

    call()
