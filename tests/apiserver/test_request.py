"""What a path says."""

from __future__ import annotations

import pytest

from kybern.api.errors import StatusError
from kybern.apiserver.request import Request, query_bool, query_int


def parsed(method: str, target: str) -> Request:
    async def read() -> bytes:
        return b""

    return Request(method, target, {}, read, 0.0)


@pytest.mark.parametrize(
    ("method", "target", "verb", "group", "namespace", "resource", "name", "subresource"),
    [
        ("GET", "/api/v1/pods", "list", "", "", "pods", "", ""),
        ("GET", "/api/v1/pods?watch=true", "watch", "", "", "pods", "", ""),
        ("GET", "/api/v1/pods?watch=0", "list", "", "", "pods", "", ""),
        ("GET", "/api/v1/pods?watch", "watch", "", "", "pods", "", ""),
        ("GET", "/api/v1/watch/namespaces/a/pods", "watch", "", "a", "pods", "", ""),
        ("GET", "/api/v1/namespaces/a/pods/p", "get", "", "a", "pods", "p", ""),
        ("PUT", "/api/v1/namespaces/a/pods/p/status", "update", "", "a", "pods", "p", "status"),
        ("POST", "/apis/apps/v1/namespaces/a/deployments", "create", "apps", "a", "deployments", "", ""),
        ("DELETE", "/apis/apps/v1/namespaces/a/deployments", "deletecollection", "apps", "a", "deployments", "", ""),
        ("PATCH", "/apis/apps/v1/namespaces/a/deployments/d/scale", "patch", "apps", "a", "deployments", "d", "scale"),
        ("GET", "/api/v1/namespaces", "list", "", "", "namespaces", "", ""),
        ("GET", "/api/v1/namespaces/a", "get", "", "a", "namespaces", "a", ""),
        ("PUT", "/api/v1/namespaces/a/finalize", "update", "", "a", "namespaces", "a", "finalize"),
        ("GET", "/api/v1/nodes/n%2Fx", "get", "", "", "nodes", "n", "x"),
        ("GET", "/api/v1/pods?fieldSelector=metadata.name%3Dp", "list", "", "", "pods", "p", ""),
        ("GET", "/api/v1/namespaces//pods", "get", "", "", "", "", ""),
        ("GET", "/api/v1//pods", "get", "", "", "", "", ""),
    ],
)
def test_resource_paths(
    method: str, target: str, verb: str, group: str, namespace: str, resource: str, name: str, subresource: str
) -> None:
    r = parsed(method, target)
    assert r.resource_request
    assert (r.verb, r.group, r.namespace, r.resource, r.name, r.subresource) == (
        verb, group, namespace, resource, name, subresource
    )  # fmt: skip


@pytest.mark.parametrize(
    "path",
    ["/", "/api", "/api/v1", "/apis/apps/v1", "/version", "//", "//api/v1/pods", "/healthz/ping", "/apix/v1/pods"],
)
def test_other_paths_are_no_resources(path: str) -> None:
    r = parsed("GET", path)
    assert not r.resource_request
    assert (r.verb, r.path) == ("get", path)


def test_query_values_are_read_as_go_reads_them() -> None:
    query = parsed("GET", "/?a=true&b=False&c=0&d&e=yes&n=12&m=-3").query
    assert [query_bool(query, n) for n in "abcdex"] == [True, False, False, True, True, False]
    assert query_int(query, "n") == 12
    assert query_int(query, "m") == -3
    assert query_int(query, "x") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("abc", "invalid syntax"),
        ("1.5", "invalid syntax"),
        ("9" * 30, "out of range"),
        ("٣", "invalid syntax"),
        ("-", "invalid"),
    ],
)
def test_numbers_that_are_none_are_bad_requests(text: str, words: str) -> None:
    with pytest.raises(StatusError, match=words) as refused:
        query_int({"limit": [text]}, "limit")
    assert refused.value.code == 400
