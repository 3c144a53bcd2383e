"""How fake containers behave: the vocabulary of rules and annotations.

A rule in kybern.toml applies to the containers it matches, later rules override earlier ones:

    [[plugins.runtime_fake.rules]]
    image = "flaky*"          # shell patterns: image, namespace, pod, container, node
    crash_after = 5.0

An annotation `fake.kybern.dev/<key>` of a pod applies to all its containers, and
`fake.kybern.dev/<container>.<key>` to one; keys are the fields of `Behaviour` with dashes:

    annotations: {fake.kybern.dev/crash-after: "5", fake.kybern.dev/web.readiness: "failure@0,success@30"}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import attrs

from kybern_runtime_fake.usage import check_usage

__all__ = ["PREFIX", "USAGE", "Behaviour", "BehaviourError", "Options", "Rule", "Subject", "behaviour_of", "usage_said"]

PREFIX = "fake.kybern.dev/"


class BehaviourError(ValueError):
    """An annotation that means nothing."""


@attrs.frozen
class Behaviour:
    """What a container does. Times are seconds; None: not said."""

    sandbox_delay: float | None = None
    """The pod's sandbox takes so long."""
    sandbox_error: str | None = None
    """The sandbox cannot be made: FailedCreatePodSandBox."""
    pull_delay: float | None = None
    """Pulling an image takes so long."""
    pull_error: str | None = None
    """Pulling fails with this text: ErrImagePull, then ImagePullBackOff."""
    pull_failures: int | None = None
    """Only the first so many pulls of an image on a node fail (with `pull_error` or a usual text)."""
    create_error: str | None = None
    """CreateContainerError."""
    start_error: str | None = None
    """RunContainerError; the container is exited with StartError, code 128."""
    start_delay: float | None = None
    """Starting takes so long: ContainerCreating meanwhile."""
    exit_code: int | None = None
    """It exits with this code, at once or after `exit_after`."""
    exit_after: float | None = None
    """It exits after so long, with `exit_code` or 0."""
    exits: str | None = None
    """Exit codes of its successive instances, as in `1,1,0`; the last one holds for all further ones; `-` runs on."""
    crash_after: float | None = None
    """It exits after so long, with `exit_code` or 1."""
    oom_after: float | None = None
    """It is OOMKilled (137) after so long."""
    termination_message: str | None = None
    """What it leaves as its termination message."""
    stop_delay: float | None = None
    """So long it takes to end when asked to; longer than the grace period: it is killed (137)."""
    stop_exit_code: int | None = None
    """With this code it ends when asked to."""
    readiness: str | None = None
    """Answers to probes: `success`, `failure`, `timeout`, or changing with its age: `failure@0,success@30`."""
    liveness: str | None = None
    startup: str | None = None
    post_start_error: str | None = None
    post_start_delay: float | None = None
    pre_stop_error: str | None = None
    pre_stop_delay: float | None = None
    logs: str | None = None
    """Lines it writes when it starts, instead of its own."""
    log_line: str | None = None
    """A line it writes again and again ..."""
    log_every: float | None = None
    """... so often (default: every second)."""
    cpu: str | None = None
    """What it uses: a quantity, or a function of time (`kybern.curve`: `ramp(100m, 800m, 5min)`, `2 / peers`)."""
    memory: str | None = None


_FIELDS = {field.name: field for field in attrs.fields(Behaviour)}
USAGE = ("cpu", "memory")
"""Behaviours that may change with time."""
_TYPES: dict[str, type[Any]] = {
    name: float if "float" in str(field.type) else int if "int" in str(field.type) else str
    for name, field in _FIELDS.items()
}


@attrs.frozen
class Rule(Behaviour):
    """A behaviour for all containers that match every given pattern."""

    image: str = "*"
    namespace: str = "*"
    pod: str = "*"
    container: str = "*"
    node: str = "*"


@attrs.frozen
class Options:
    """The plugin's config section."""

    rules: Sequence[Rule] = ()
    bad_images: Sequence[str] = (
        "not-exist", "notexist", "nonexist", "non-exist", "no-such", "nosuch", "not-found", "notfound", "not-there",
        "bad-image", "badimage", "bad-tag", "badtag", ":bad", "-bad", "invalid", "bogus", "missing", "broken", ":nope",
        ":wrong", ":1.161",
    )  # fmt: skip
    """An image whose reference contains one of these is in no registry."""
    cpu: str = "32"
    memory: str = "256Gi"
    ephemeral_storage: str = "1Ti"
    pods: int = 110
    fallback_pod_cidr: str = "10.88.0.0/16"
    """Where pod addresses come from on a node that never gets a range."""
    keep_state: bool = True
    """Write what runs to a file, so that it survives a restart."""

    def __attrs_post_init__(self) -> None:
        for i, rule in enumerate(self.rules):
            for name in USAGE:
                if text := getattr(rule, name):
                    check_usage(f"rules[{i}].{name}", text)


@attrs.frozen
class Subject:
    """Whose behaviour is asked for; empty fields are not known yet (no container while a sandbox is made)."""

    node: str
    namespace: str
    pod: str
    container: str
    image: str
    annotations: Mapping[str, str]


def usage_said(options: Options, subject: Subject) -> dict[str, str]:
    """What rules and annotations say about use. Raises BehaviourError."""
    said = behaviour_of(options, subject)
    return {name: said[name] for name in USAGE if name in said}


def behaviour_of(options: Options, subject: Subject) -> dict[str, Any]:
    """What the rules and annotations say, by field of Behaviour; empty for the usual. Raises BehaviourError."""
    said: dict[str, Any] = {}
    for rule in options.rules:
        if _matches(rule, subject):
            said.update((name, value) for name in _FIELDS if (value := getattr(rule, name)) is not None)
    if subject.annotations:
        said.update(_annotated(subject.annotations, ""))
        if subject.container:
            said.update(_annotated(subject.annotations, subject.container + "."))
    return said


def _matches(rule: Rule, subject: Subject) -> bool:
    asked = ("image", "namespace", "pod", "container", "node")
    return all(
        (pattern := getattr(rule, name)) == "*" or fnmatchcase(getattr(subject, name), pattern) for name in asked
    )


def _annotated(annotations: Mapping[str, str], scope: str) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for key, text in annotations.items():
        if not key.startswith(PREFIX + scope):
            continue
        name = key[len(PREFIX) + len(scope) :].replace("-", "_")
        if name in _TYPES:
            said[name] = _value(key, name, text)
        elif not scope and "." not in name:
            raise BehaviourError(f"annotation {key}: no such behaviour; known are {', '.join(sorted(_TYPES))}")
    return said


def _value(key: str, name: str, text: str) -> Any:
    kind = _TYPES[name]
    if name in USAGE:
        try:
            check_usage(f"annotation {key}", text)
        except ValueError as error:
            raise BehaviourError(str(error)) from None
    try:
        return kind(text.removesuffix("s") if kind is float else text)
    except ValueError:
        raise BehaviourError(f"annotation {key}: {text!r} is not a number") from None
