"""Properties of every kind that holds pods: defaults settle at once, and what is written reads back the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kybern.api import decode, types
from kybern.api.apps.daemonset import KIND as DAEMON_SET
from kybern.api.apps.deployment import KIND as DEPLOYMENT
from kybern.api.apps.statefulset import KIND as STATEFUL_SET
from kybern.api.autoscaling.horizontalpodautoscaler import V2 as AUTOSCALER
from kybern.api.batch.cronjob import KIND as CRON_JOB
from kybern.api.batch.job import KIND as JOB
from kybern.api.core.pod import KIND as POD
from kybern.api.errors import StatusError
from kybern.api.field import Errors
from kybern.api.kind import Kind
from tests.api.judge import changed, created
from tests.api.samples import POD as POD_PLAIN
from tests.api.samples import RICH_POD, autoscaler, cron_job, job, workload

KINDS: list[tuple[Kind, dict[str, Any]]] = [
    (POD, POD_PLAIN),
    (POD, RICH_POD),
    (DEPLOYMENT, workload("Deployment")),
    (STATEFUL_SET, workload("StatefulSet")),
    (DAEMON_SET, workload("DaemonSet")),
    (JOB, job()),
    (CRON_JOB, cron_job()),
    (AUTOSCALER, autoscaler(behavior={})),
]
NAMES = ["Pod", "RichPod", *(kind.kind for kind, _ in KINDS[2:])]

texts = st.one_of(
    st.sampled_from(["", "a", "web", "A_b", "-", "5%", "1Gi", "metadata.name", "Always"]), st.text(max_size=5)
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-2, 2**31), texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(texts, inner, max_size=2)),
    max_leaves=4,
)


def places(plain: Any, path: str = "") -> list[str]:
    """Every dotted path of the data below `spec`."""
    items = plain.items() if isinstance(plain, dict) else enumerate(plain) if isinstance(plain, list) else ()
    return [
        place
        for key, value in items
        for place in (f"{path}{key}", *places(value, f"{path}{key}."))
        if place.startswith("spec")
    ]


@pytest.mark.parametrize(("kind", "plain"), KINDS, ids=NAMES)
def test_defaults_settle_at_once(kind, plain):
    once = created(kind, plain)
    before = types.encode(once)
    kind.default(once)
    assert types.encode(once) == before


@pytest.mark.parametrize(("kind", "plain"), KINDS, ids=NAMES)
def test_what_is_written_reads_back_the_same(kind, plain):
    obj = created(kind, plain)
    data = types.encode(obj)
    assert types.decode(kind.struct, data) == obj
    assert types.encode(types.decode(kind.struct, data)) == data


@pytest.mark.parametrize(("kind", "plain"), KINDS, ids=NAMES)
def test_the_sample_is_good(kind, plain):
    errors = Errors()
    kind.validate(created(kind, plain), errors)
    assert list(errors) == []


@pytest.mark.parametrize(("kind", "plain"), KINDS, ids=NAMES)
def test_nothing_that_decodes_breaks_a_check(kind, plain):
    """Whatever a user writes, the answer is a list of complaints, never an exception, and defaults settle at once."""

    @settings(max_examples=150)
    @given(st.sampled_from(places(plain)), values)
    def run(place: str, value: Any) -> None:
        body = json.dumps(changed(plain, {place: value})).encode()
        obj = created_loosely(kind, body)
        if obj is None:
            return
        before = types.encode(obj)
        kind.validate(obj, Errors())
        kind.default(obj)
        assert types.encode(obj) == before

    run()


def created_loosely(kind: Kind, body: bytes) -> Any | None:
    """As `created`, with unknown fields dropped; None for a body that is no such object."""
    try:
        obj, _ = decode.read(kind.struct, body, strict=False)
    except StatusError:
        return None
    return created(kind, json.loads(types.encode(obj)))
