"""PodDisruptionBudgets and Evictions."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import types
from kybern.api.field import Errors
from kybern.api.policy import eviction
from kybern.api.policy.poddisruptionbudget import KIND
from tests.api.judge import NOW, changed, complaints, created, shown, stored, texts, update


def budget(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec}}


PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' "
    "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
)
RULES: list[tuple[dict[str, Any], list[str]]] = [
    (budget(), []),
    (budget(minAvailable=0), []),
    (budget(maxUnavailable="100%"), []),
    (budget(minAvailable="most"), [f'spec.minAvailable: Invalid value: "most": {PERCENT}']),
    (budget(minAvailable=-1), ["spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"]),
    (budget(maxUnavailable="101%"), ['spec.maxUnavailable: Invalid value: "101%": must not be greater than 100%']),
    (
        {"metadata": {"name": "web"}, "spec": {"minAvailable": 1, "maxUnavailable": 1}},
        [
            'spec: Invalid value: {"maxUnavailable":1,"minAvailable":1}: '
            "minAvailable and maxUnavailable cannot be both set"
        ],
    ),
    (
        budget(unhealthyPodEvictionPolicy="Never"),
        [
            'spec.unhealthyPodEvictionPolicy: Unsupported value: "Never": '
            'supported values: "AlwaysAllow", "IfHealthyBudget"'
        ],
    ),
]


@pytest.mark.parametrize(("plain", "expected"), RULES)
def test_a_bad_budget_is_refused_with_every_reason(plain, expected):
    assert complaints(KIND, plain) == expected


def test_a_new_budget_allows_nothing_yet():
    assert shown(created(KIND, {**budget(), "status": {"disruptionsAllowed": 5}}))["status"] == {
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "disruptionsAllowed": 0,
        "expectedPods": 0,
    }


def test_spec_and_status_have_a_path_each():
    old = stored(KIND, budget(minAvailable=1))
    changes = {"spec.minAvailable": 2, "status.expectedPods": 3}
    by_spec, _ = update(KIND, old, changes)
    assert (by_spec.spec.minAvailable, by_spec.status.expectedPods) == (2, 0)
    by_status, problems = update(KIND, old, changes, "status")
    assert (by_status.spec.minAvailable, by_status.status.expectedPods, problems) == (1, 3, [])
    assert update(KIND, old, {"status.expectedPods": -1}, "status")[1] == [
        "status.expectedPods: Invalid value: -1: must be greater than or equal to 0"
    ]


@pytest.mark.parametrize(
    ("spec", "expected"), [({"minAvailable": "50%"}, ["50%", "N/A"]), ({"maxUnavailable": 1}, ["N/A", "1"])]
)
def test_a_row_of_the_table(spec, expected):
    made = types.from_plain(
        KIND.struct, changed(shown(created(KIND, budget(**spec))), {"status.disruptionsAllowed": 2})
    )
    assert KIND.row is not None
    assert KIND.row(made, NOW) == ["web", *expected, 2, "0s"]


def test_an_eviction_names_its_pod():
    cls = types.struct("policy", "v1", "Eviction")
    for plain, expected in (({}, ["metadata.name: Required value"]), ({"metadata": {"name": "p"}}, [])):
        errors = Errors()
        eviction.validate(types.from_plain(cls, plain), errors)
        assert texts(errors) == expected
