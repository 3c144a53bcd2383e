"""How fast a HorizontalPodAutoscaler may scale: defaults and checks of its `behavior`."""

from __future__ import annotations

from typing import Any

from kybern.api import autoscaling, quantity
from kybern.api.field import Errors, Path

__all__ = ["default_behavior", "validate_behavior"]

SELECT_POLICIES = ("Disabled", "Max", "Min")
POLICY_TYPES = ("Percent", "Pods")
WINDOW_MAX = 3600
PERIOD_MAX = 1800


def _policy(type_: str, value: int) -> Any:
    return autoscaling.HPAScalingPolicy(type=type_, value=value, periodSeconds=15)


def default_behavior(behavior: Any) -> None:
    """Up at once, by four pods or twofold; down by as much as wanted. Only what was left out is filled in."""
    up = behavior.scaleUp = behavior.scaleUp or autoscaling.HPAScalingRules()
    if up.stabilizationWindowSeconds is None:
        up.stabilizationWindowSeconds = 0
    if up.policies is None:
        up.policies = [_policy("Pods", 4), _policy("Percent", 100)]
    down = behavior.scaleDown = behavior.scaleDown or autoscaling.HPAScalingRules()
    if down.policies is None:
        down.policies = [_policy("Percent", 100)]
    for rules in (up, down):
        if rules.selectPolicy is None:
            rules.selectPolicy = "Max"


def validate_behavior(errors: Errors, path: Path, behavior: Any | None) -> None:
    """Rules for both directions."""
    for field in ("scaleUp", "scaleDown") if behavior is not None else ():
        rules = getattr(behavior, field)
        if rules is not None:
            _validate_rules(errors, path.child(field), rules)


def _validate_rules(errors: Errors, path: Path, rules: Any) -> None:
    window, select = rules.stabilizationWindowSeconds, rules.selectPolicy
    at = path.child("stabilizationWindowSeconds")
    if window is not None and window < 0:
        errors.invalid(at, window, "must be greater than or equal to zero")
    if window is not None and window > WINDOW_MAX:
        errors.invalid(at, window, f"must be less than or equal to {WINDOW_MAX}")
    if select is not None and select not in SELECT_POLICIES:
        errors.not_supported(path.child("selectPolicy"), select, SELECT_POLICIES)
    if not rules.policies:
        errors.required(path.child("policies"), "must specify at least one Policy")
    for i, policy in enumerate(rules.policies or ()):
        _validate_policy(errors, path.child("policies").index(i), policy)
    if rules.tolerance is not None and quantity.parse(rules.tolerance) < 0:
        errors.invalid(path.child("tolerance"), rules.tolerance, "must be greater than or equal to 0")


def _validate_policy(errors: Errors, path: Path, policy: Any) -> None:
    if policy.type not in POLICY_TYPES:
        errors.not_supported(path.child("type"), policy.type, POLICY_TYPES)
    if policy.value <= 0:
        errors.invalid(path.child("value"), policy.value, "must be greater than zero")
    if policy.periodSeconds <= 0:
        errors.invalid(path.child("periodSeconds"), policy.periodSeconds, "must be greater than zero")
    if policy.periodSeconds > PERIOD_MAX:
        errors.invalid(path.child("periodSeconds"), policy.periodSeconds, f"must be less than or equal to {PERIOD_MAX}")
