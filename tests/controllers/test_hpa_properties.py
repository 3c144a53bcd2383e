"""What holds of autoscaling whatever is measured: bounds, no flapping, no faster than behavior says."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from kybern_controllers_workloads.hpa_behavior import History
from kybern_controllers_workloads.hpa_decision import Reading, Target, decide
from tests.controllers.hpa_world import NOW, pods, reading, spec, utilization

PERIOD = 15

AVERAGE = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "50m"}}}

policies = st.lists(
    st.fixed_dictionaries({
        "type": st.sampled_from(["Pods", "Percent"]),
        "value": st.sampled_from([1, 2, 3, 5, 10, 20, 50, 100, 200]),
        "periodSeconds": st.sampled_from([15, 30, 60, 300]),
    }),
    min_size=1,
    max_size=3,
)  # fmt: skip
rules = st.fixed_dictionaries({
    "policies": policies,
    "selectPolicy": st.sampled_from(["Max", "Min", "Disabled"]),
    "stabilizationWindowSeconds": st.sampled_from([0, 15, 60, 300]),
})  # fmt: skip
behaviors = st.fixed_dictionaries({"scaleUp": rules, "scaleDown": rules})
bounds = st.tuples(st.integers(1, 8), st.integers(0, 30)).map(lambda b: (b[0], b[0] + b[1]))
loads = st.lists(st.tuples(st.integers(0, 70), st.integers(1, 25)), min_size=1, max_size=8).map(
    lambda phases: [wanted * 50 for wanted, periods in phases for _ in range(periods)]
)
"""Phases, each of them long enough to come to rest, that ask for so many pods of 50% each."""

running = lru_cache(maxsize=None)(lambda size: pods("r" * size))


def follow(of: Any, start: int, loads: list[int]) -> list[int]:
    """The size after each period, with a load that the pods share; as the controller would run it."""
    history, size, sizes = History(), start, [start]
    for step, load in enumerate(loads):
        now = NOW + step * PERIOD
        share = load // size if size else 0
        target = Target(size, size, "app=web", running(size))
        decision = decide(of, target, [reading(*[share] * size)], history, now)
        if decision.rescale:
            history.scaled(now, size, decision.desired, of.behavior)
            size = decision.desired
        sizes.append(size)
    return sizes


@settings(max_examples=60)
@given(bounds, st.integers(1, 40), loads, st.none() | behaviors)
@example((1, 5), 6, [300], {"scaleUp": {"selectPolicy": "Max"}}).via("one too many, and just as busy as it should be")
@example((5, 9), 5, [200] * 40, None).via("one fewer would do")
def test_it_never_leaves_its_bounds(limits: tuple[int, int], start: int, load: list[int], behavior: Any) -> None:
    least, most = limits
    more = {} if behavior is None else {"behavior": behavior}
    sizes = follow(spec(least=least, most=most, **more), start, load)
    assert all(least <= size <= most for size in sizes[1:])


@settings(max_examples=60)
@given(st.integers(1, 20), st.lists(st.integers(46, 54), min_size=2, max_size=40))
def test_it_does_not_flap_inside_tolerance(size: int, shares: list[int]) -> None:
    of = spec(most=40, behavior={"scaleDown": {"stabilizationWindowSeconds": 0}})
    assert set(follow(of, size, [share * size for share in shares])) == {size}


@st.composite
def crowds(draw: st.DrawFn) -> list[tuple[str, int | None]]:
    """Pods in all states (see hpa_world.pods) and what was measured of them: of those that count, what is wanted."""
    wanted = st.integers(46, 54)
    counting = st.tuples(st.sampled_from("rn"), st.none() | wanted)
    others = st.tuples(st.sampled_from("spfd"), st.none() | st.integers(0, 900))
    return [("r", draw(wanted)), *draw(st.lists(counting | others, max_size=11))]


@settings(max_examples=100)
@given(crowds(), st.sampled_from([utilization(), AVERAGE]))
@example([("r", 50), ("r", None), ("r", None)], utilization()).via("on target to the point, and most of it unknown")
@example([("r", 50), ("r", None), ("r", None)], AVERAGE)
def test_pods_that_are_not_measured_never_move_it_inside_tolerance(
    crowd: list[tuple[str, int | None]], metric: dict[str, Any]
) -> None:
    states = "".join(state for state, _ in crowd)
    target = Target(len(crowd), len(crowd), "app=web", pods(states))
    now = {"scaleDown": {"stabilizationWindowSeconds": 0}}
    decision = decide(
        spec(metric, most=40, behavior=now), target, [reading(*[use for _, use in crowd])], History(), NOW
    )
    assert not decision.failed and decision.desired == len(crowd)


@settings(max_examples=80)
@given(st.integers(1, 30), loads, behaviors)
def test_no_period_sees_more_change_than_the_policies_allow(start: int, load: list[int], behavior: Any) -> None:
    of = spec(least=1, most=60, behavior=behavior)
    sizes = follow(of, start, load)
    for i in range(1, len(sizes)):
        before, after = sizes[i - 1], sizes[i]
        if after == before:
            continue
        direction = of.behavior.scaleUp if after > before else of.behavior.scaleDown
        assert direction.selectPolicy != "Disabled"
        allowed = [_allows(policy, sizes, i) for policy in direction.policies]
        assert (all if direction.selectPolicy == "Min" else any)(allowed), (sizes[: i + 1], direction)


def _allows(policy: Any, sizes: list[int], i: int) -> bool:
    """Whether the last change keeps to a policy, seen from what changed within its period."""
    within = [k for k in range(1, i) if (i - k) * PERIOD < policy.periodSeconds]
    ups = sum(max(0, sizes[k] - sizes[k - 1]) for k in within)
    downs = sum(max(0, sizes[k - 1] - sizes[k]) for k in within)
    start = sizes[i - 1] - ups + downs
    if sizes[i] > sizes[i - 1]:
        return sizes[i] <= start + (policy.value if policy.type == "Pods" else -(-start * policy.value // 100))
    floor = start - policy.value if policy.type == "Pods" else int(start * (100 - policy.value) / 100)
    return sizes[i] >= floor


@settings(max_examples=80)
@given(st.integers(2, 20), loads, st.sampled_from([60, 300]), st.sampled_from([0, 60, 300]))
def test_no_step_is_larger_than_all_recommendations_of_its_window(
    start: int, load: list[int], down: int, up: int
) -> None:
    behavior = {"scaleDown": {"stabilizationWindowSeconds": down}, "scaleUp": {"stabilizationWindowSeconds": up}}
    of = spec(least=1, most=60, behavior=behavior)
    history, size = History(), start
    wanted: list[tuple[float, int]] = []
    for step, total in enumerate(load):
        now = NOW + step * PERIOD
        target = Target(size, size, "app=web", running(size))
        decision = decide(of, target, [reading(*[total // size] * size)], history, now)
        wanted.append(history.recommendations[-1])
        if decision.desired < size:
            assert decision.desired >= max(count for at, count in wanted if at > now - down)
        if decision.desired > size:
            assert decision.desired <= min([wanted[-1][1], *(count for at, count in wanted if at > now - up)])
        if decision.rescale:
            history.scaled(now, size, decision.desired, of.behavior)
            size = decision.desired


@settings(max_examples=60)
@given(st.integers(1, 20), st.lists(st.tuples(st.integers(0, 9), st.integers(1, 30)), min_size=1, max_size=8))
def test_zero_replicas_are_only_for_no_work_at_all_and_end_with_it(start: int, phases: list[tuple[int, int]]) -> None:
    queue = {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "10"}}
    of, history, size, zeroed = spec({"type": "External", "external": queue}, least=0, most=12), History(), start, False
    for step, length in enumerate(length for length, periods in phases for _ in range(periods)):
        target = Target(size, size, "app=web", running(size), zeroed)
        decision = decide(of, target, [Reading(total=length * 1000)], history, NOW + step * PERIOD)
        assert 0 <= decision.desired <= max(12, size)
        assert decision.desired > 0 or length == 0
        assert decision.zeroing == (size > 0 and decision.desired == 0)
        zeroed = decision.zeroing or (zeroed and not decision.rescale)
        size = decision.desired


def test_a_steady_load_comes_to_rest_at_the_right_size() -> None:
    for load in (40, 333, 999, 1500):
        sizes = follow(spec(most=60), 3, [load] * 60)
        assert len(set(sizes[-20:])) == 1
        share = load / sizes[-1]
        assert share <= 55 or sizes[-1] == 60
