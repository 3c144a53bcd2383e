"""KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1): which policies make up which profile.

The file format is upstream's. `load` checks it strictly, with the path of what is wrong;
`build_profile` turns one profile into instances of policies, in upstream's order: policies that a
profile repeats at one extension point come first there, then those enabled at all points
(`multiPoint`, and the default set), then those enabled at that point only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from kybern.scheduler.policy import Handle, Policy
from kybern.scheduler.profile import Profile, overrides

__all__ = ["PluginSet", "ProfileConfig", "SchedulerConfig", "build_profile", "load", "read"]

API_VERSION = "kubescheduler.config.k8s.io/v1"
KIND = "KubeSchedulerConfiguration"
DEFAULT_SCHEDULER = "default-scheduler"

POINTS: dict[str, tuple[str, ...]] = {
    "preEnqueue": ("pre_enqueue",),
    "queueSort": ("sort_key",),
    "preFilter": ("pre_filter",),
    "filter": ("filter",),
    "postFilter": ("post_filter",),
    "preScore": ("pre_score",),
    "score": ("score",),
    "reserve": ("reserve", "unreserve"),
    "permit": ("permit",),
    "preBind": ("pre_bind",),
    "bind": ("bind",),
    "postBind": ("post_bind",),
}
"""Extension points by their name in the file, with the methods that make a policy take part."""

IGNORED = {
    "parallelism": "one cycle runs at a time",
    "leaderElection": "the cluster elects its scheduler itself",
    "clientConnection": "the scheduler uses the cluster's own client",
    "healthzBindAddress": "the cluster serves health checks",
    "metricsBindAddress": "the cluster serves metrics",
    "enableProfiling": "there is no profiling endpoint",
    "enableContentionProfiling": "there is no profiling endpoint",
    "delayCacheUntilActive": "the cache is shared",
}


@attrs.frozen
class PluginSet:
    """What is switched on (with its weight, 0: the policy's own) and off at one extension point; "*" is everything."""

    enabled: tuple[tuple[str, int], ...] = ()
    disabled: frozenset[str] = frozenset()


@attrs.frozen
class ProfileConfig:
    """One profile."""

    scheduler_name: str = DEFAULT_SCHEDULER
    plugins: Mapping[str, PluginSet] = attrs.field(factory=dict)
    args: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)
    percentage_of_nodes: int | None = None


@attrs.frozen
class SchedulerConfig:
    """The whole configuration."""

    profiles: tuple[ProfileConfig, ...] = (ProfileConfig(),)
    percentage_of_nodes: int = 0
    """0: adapt to the size of the cluster."""
    initial_backoff: float = 1.0
    max_backoff: float = 10.0
    warnings: tuple[str, ...] = ()
    """What was accepted but means nothing here."""


def read(path: Path) -> SchedulerConfig:
    """The configuration in a YAML or JSON file; ValueError says what is wrong and where."""
    import yaml

    try:
        data = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: {error}") from None
    try:
        return load(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def load(data: Mapping[str, Any] | None) -> SchedulerConfig:
    """The configuration in plain data; None is the default one."""
    if data is None:
        return SchedulerConfig()
    _expect(data, dict, "the configuration")
    for field, want in (("apiVersion", API_VERSION), ("kind", KIND)):
        if data.get(field) != want:
            raise ValueError(f"{field}: {data.get(field)!r} is not supported; must be {want!r}")
    known = {
        "apiVersion",
        "kind",
        "profiles",
        "percentageOfNodesToScore",
        "podInitialBackoffSeconds",
        "podMaxBackoffSeconds",
    }
    warnings = tuple(f"{field} is ignored: {why}" for field, why in IGNORED.items() if field in data)
    if data.get("extenders"):
        raise ValueError("extenders: scheduler extenders are not supported; write a scheduling policy instead")
    _only(data, known | IGNORED.keys() | {"extenders"}, "")
    initial = _number(data, "podInitialBackoffSeconds", 1, "")
    longest = _number(data, "podMaxBackoffSeconds", 10, "")
    if initial <= 0:
        raise ValueError(f"podInitialBackoffSeconds: {initial} must be greater than 0")
    if longest < initial:
        raise ValueError(f"podMaxBackoffSeconds: {longest} must not be less than podInitialBackoffSeconds ({initial})")
    profiles = _profiles(data.get("profiles"))
    return SchedulerConfig(profiles, _percentage(data, "") or 0, float(initial), float(longest), warnings)


def _profiles(data: Any) -> tuple[ProfileConfig, ...]:
    if not data:
        return (ProfileConfig(),)
    _expect(data, list, "profiles")
    profiles = tuple(_profile(item, f"profiles[{i}]") for i, item in enumerate(data))
    names = [p.scheduler_name for p in profiles]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ValueError(f"profiles[{i}].schedulerName: {name!r} is used by another profile")
    sorts = {p.plugins.get("queueSort", PluginSet()) for p in profiles}
    if len(sorts) > 1:
        raise ValueError("profiles: all profiles must have the same plugins.queueSort, for they share one queue")
    return profiles


def _profile(data: Any, path: str) -> ProfileConfig:
    _expect(data, dict, path)
    _only(data, {"schedulerName", "plugins", "pluginConfig", "percentageOfNodesToScore"}, path)
    name = data.get("schedulerName") or DEFAULT_SCHEDULER
    _expect(name, str, f"{path}.schedulerName")
    plugins = data.get("plugins") or {}
    _expect(plugins, dict, f"{path}.plugins")
    _only(plugins, {*POINTS, "multiPoint"}, f"{path}.plugins")
    sets = {point: _plugin_set(item, f"{path}.plugins.{point}") for point, item in plugins.items()}
    return ProfileConfig(name, sets, _plugin_config(data.get("pluginConfig"), path), _percentage(data, path))


def _plugin_set(data: Any, path: str) -> PluginSet:
    data = data or {}
    _expect(data, dict, path)
    _only(data, {"enabled", "disabled"}, path)
    enabled: list[tuple[str, int]] = []
    for i, item in enumerate(data.get("enabled") or ()):
        where = f"{path}.enabled[{i}]"
        name = _plugin_name(item, where)
        if name in (known for known, _ in enabled):
            raise ValueError(f"{where}: {name!r} is enabled twice")
        weight = _number(item, "weight", 0, where)
        if weight < 0:
            raise ValueError(f"{where}.weight: {weight} must not be negative")
        enabled.append((name, weight))
    disabled = frozenset(
        _plugin_name(item, f"{path}.disabled[{i}]") for i, item in enumerate(data.get("disabled") or ())
    )
    return PluginSet(tuple(enabled), disabled)


def _plugin_name(item: Any, path: str) -> str:
    _expect(item, dict, path)
    _only(item, {"name", "weight"}, path)
    name = item.get("name")
    if not isinstance(name, str) or not name:
        raise ValueError(f"{path}.name: the name of a policy is required")
    return name


def _plugin_config(data: Any, path: str) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for i, item in enumerate(data or ()):
        where = f"{path}.pluginConfig[{i}]"
        _expect(item, dict, where)
        _only(item, {"name", "args"}, where)
        name = item.get("name")
        if not isinstance(name, str) or not name:
            raise ValueError(f"{where}.name: the name of a policy is required")
        if name in found:
            raise ValueError(f"{where}: {name!r} is configured twice")
        args = item.get("args") or {}
        _expect(args, dict, f"{where}.args")
        found[name] = {k: v for k, v in args.items() if k not in ("apiVersion", "kind")}
    return found


def _percentage(data: Mapping[str, Any], path: str) -> int | None:
    if data.get("percentageOfNodesToScore") is None:
        return None
    value = _number(data, "percentageOfNodesToScore", 0, path)
    if not 0 <= value <= 100:
        raise ValueError(f"{_join(path, 'percentageOfNodesToScore')}: {value} must be between 0 and 100")
    return value


def _number(data: Mapping[str, Any], field: str, default: int, path: str) -> int:
    value = data.get(field)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{_join(path, field)}: {value!r} must be a whole number")
    return value


def _expect(value: Any, kind: type, path: str) -> None:
    if not isinstance(value, kind):
        words = {"dict": "an object", "list": "a list", "str": "a string"}
        raise ValueError(f"{path}: {value!r} must be {words[kind.__name__]}")


def _only(data: Mapping[str, Any], known: Iterable[str], path: str) -> None:
    for field in data:
        if field not in known:
            raise ValueError(f"{_join(path, field)}: unknown field; known are {', '.join(sorted(known))}")


def _join(path: str, field: str) -> str:
    return f"{path}.{field}" if path else field


def build_profile(config: ProfileConfig, policies: Sequence[type[Policy]], handle: Handle) -> Profile:
    """The profile with fresh instances of its policies."""
    classes = {p.name: p for p in policies}
    if len(classes) < len(policies):
        names = [p.name for p in policies]
        raise ValueError(f"two scheduling policies are named {next(n for n in names if names.count(n) > 1)!r}")
    everywhere = _everywhere(config, policies)
    _check_names(config, classes)
    weights = {name: weight for name, weight in everywhere if weight}
    weights |= {name: weight for name, weight in config.plugins.get("score", PluginSet()).enabled if weight}
    instances: dict[str, Policy] = {}
    points: dict[str, list[Policy]] = {}
    for point, methods in POINTS.items():
        names = _names_at(config.plugins.get(point, PluginSet()), [n for n, _ in everywhere])
        specific = {n for n, _ in config.plugins.get(point, PluginSet()).enabled}
        points[methods[0]] = []
        for name in names:
            if name not in instances:
                instances[name] = classes[name](config.args.get(name, {}), handle)
            if any(overrides(instances[name], m) for m in methods):
                points[methods[0]].append(instances[name])
            elif name in specific:
                raise ValueError(f"profile {config.scheduler_name!r}: {name!r} does not take part in {point}")
    _check_points(config, points)
    profile = Profile(config.scheduler_name, points, weights, handle, config.percentage_of_nodes)
    handle.filters = profile
    return profile


def _everywhere(config: ProfileConfig, policies: Sequence[type[Policy]]) -> list[tuple[str, int]]:
    """Policies enabled at all points: the default set as `multiPoint` changes it."""
    multi = config.plugins.get("multiPoint", PluginSet())
    wanted = dict(multi.enabled)
    found: list[tuple[str, int]] = []
    for policy in policies:
        off = policy.name in multi.disabled or "*" in multi.disabled
        if policy.default and not off:
            found.append((policy.name, wanted.pop(policy.name, 0)))
    return found + list(wanted.items())


def _names_at(chosen: PluginSet, everywhere: Sequence[str]) -> list[str]:
    off = set(everywhere) if "*" in chosen.disabled else chosen.disabled
    specific = [name for name, _ in chosen.enabled]
    repeated = [n for n in specific if n in everywhere]
    general = [n for n in everywhere if n not in off and n not in repeated]
    return repeated + general + [n for n in specific if n not in everywhere]


def _check_names(config: ProfileConfig, classes: Mapping[str, type[Policy]]) -> None:
    for point, chosen in config.plugins.items():
        for name, _ in chosen.enabled:
            if name not in classes:
                known = ", ".join(sorted(classes))
                raise ValueError(f"plugins.{point}.enabled: there is no scheduling policy {name!r}; known are {known}")
    for name in config.args:
        if name not in classes:
            raise ValueError(f"pluginConfig: there is no scheduling policy {name!r}")


def _check_points(config: ProfileConfig, points: Mapping[str, Sequence[Policy]]) -> None:
    name = config.scheduler_name
    if len(points["sort_key"]) != 1:
        chosen = [p.name for p in points["sort_key"]]
        raise ValueError(f"profile {name!r}: exactly one policy must sort the queue (queueSort), not {chosen}")
    if not points["bind"]:
        raise ValueError(f"profile {name!r}: at least one policy must bind")
