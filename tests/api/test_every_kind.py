"""What holds for every kind in the registry."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import decode, registry
from kybern.api.field import Errors
from kybern.api.kind import Kind, WriteContext
from tests.api.judge import NOW

KINDS = list(registry.builtin())
REVIEWS = ("authentication.k8s.io", "authorization.k8s.io")


def _bare(kind: Kind) -> Any:
    """The object with a name and nothing else."""
    body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "x"}}
    obj, problems = decode.read(kind, body, strict=True)
    assert not problems
    return obj


@pytest.mark.parametrize("kind", [k for k in KINDS if k.row], ids=lambda k: f"{k.group}/{k.version}/{k.kind}")
def test_a_row_has_a_cell_for_each_column(kind: Kind) -> None:
    obj = _bare(kind)
    kind.default(obj)
    obj.metadata.creationTimestamp = "2026-01-01T00:00:00Z"
    kind.prepare_create(obj, WriteContext(now=NOW))
    assert kind.row is not None and len(kind.row(obj, NOW + 60)) == len(kind.columns)


@pytest.mark.parametrize(
    "kind", [k for k in KINDS if k.group not in REVIEWS], ids=lambda k: f"{k.group}/{k.version}/{k.kind}"
)
def test_an_empty_object_is_judged_and_not_stumbled_over(kind: Kind) -> None:
    obj = _bare(kind)
    kind.default(obj)
    kind.prepare_create(obj, WriteContext(now=NOW))
    kind.validate(obj, Errors())
    old = _bare(kind)
    for subresource in ("", "status"):
        kind.prepare_update(obj, old, WriteContext(now=NOW, subresource=subresource))
    kind.validate_update(obj, old, Errors())
    kind.validate_status_update(obj, old, Errors())
    for read in kind.selectable.values():
        assert isinstance(read(obj), str)


@pytest.mark.parametrize("kind", [k for k in KINDS if k.group in REVIEWS], ids=lambda k: k.kind)
def test_reviews_are_only_created(kind: Kind) -> None:
    assert tuple(kind.verbs) == ("create",)


def test_names_are_unique() -> None:
    served = [(k.group, k.version, k.plural) for k in KINDS]
    assert len(set(served)) == len(served)
    short = [name for k in KINDS for name in k.short_names if not k.storage_version_of]
    assert len(set(short)) == len(short)
