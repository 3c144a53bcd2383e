"""What a list of RBAC rules says: whether it allows a request, and whether it covers other rules.

Pure functions on PolicyRules. The authorizer compiles rules into an index of its own; these are for
the rarer questions (may this user hand on these rights?) and state what the index must agree with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from kybern.api.field import go_quote

__all__ = ["Rule", "compact", "covers", "path_matches"]


@attrs.frozen
class Rule:
    """A PolicyRule with empty lists for what is absent, hashable."""

    verbs: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    @classmethod
    def of(cls, rule: Any) -> Rule:
        """From a PolicyRule Struct."""
        return cls(
            tuple(rule.verbs or ()),
            tuple(rule.apiGroups or ()),
            tuple(rule.resources or ()),
            tuple(rule.resourceNames or ()),
            tuple(rule.nonResourceURLs or ()),
        )

    def __str__(self) -> str:
        """As upstream shows a rule in a refusal."""
        parts = (
            ("APIGroups", self.api_groups),
            ("Resources", self.resources),
            ("NonResourceURLs", self.urls),
            ("ResourceNames", self.resource_names),
            ("Verbs", self.verbs),
        )
        return "{" + ", ".join(f"{name}:{quoted(values)}" for name, values in parts if values) + "}"


def quoted(values: Iterable[str]) -> str:
    """`["a" "b"]`, as Go prints a list of quoted strings."""
    return "[" + " ".join(map(go_quote, values)) + "]"


def path_matches(pattern: str, path: str) -> bool:
    """Whether a nonResourceURL of a rule stands for a path (or another pattern)."""
    if pattern in ("*", path):
        return True
    return pattern.endswith("*") and path.startswith(pattern.rstrip("*"))


def covers(owned: Iterable[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """The rights in `wanted`, each taken apart to a single verb on a single thing, that no rule in `owned` gives."""
    owned = list(owned)
    missing: dict[Rule, None] = {}
    for rule in wanted:
        for piece in _pieces(rule):
            if piece not in missing and not any(_covers(owner, piece) for owner in owned):
                missing[piece] = None
    return list(missing)


def _pieces(rule: Rule) -> Iterable[Rule]:
    for verb in rule.verbs:
        for url in rule.urls:
            yield Rule((verb,), urls=(url,))
        for group in rule.api_groups:
            for resource in rule.resources:
                names: tuple[str, ...]
                for names in [(name,) for name in rule.resource_names] or ((),):
                    yield Rule((verb,), (group,), (resource,), names)


def _covers(owner: Rule, piece: Rule) -> bool:
    """Whether a rule gives a right taken apart by `_pieces`."""
    if not ("*" in owner.verbs or piece.verbs[0] in owner.verbs):
        return False
    if piece.urls:
        return any(path_matches(pattern, piece.urls[0]) for pattern in owner.urls)
    if not ("*" in owner.api_groups or piece.api_groups[0] in owner.api_groups):
        return False
    if owner.resource_names and (not piece.resource_names or piece.resource_names[0] not in owner.resource_names):
        return False
    resource = piece.resources[0]
    if "*" in owner.resources or resource in owner.resources:
        return True
    _, slash, subresource = resource.partition("/")
    return bool(slash) and f"*/{subresource}" in owner.resources


def compact(rules: Sequence[Rule]) -> list[Rule]:
    """Join rules that differ in nothing but their verbs."""
    verbs: dict[Rule, list[str]] = {}
    for rule in rules:
        known = verbs.setdefault(attrs.evolve(rule, verbs=()), [])
        known.extend(verb for verb in rule.verbs if verb not in known)
    return [attrs.evolve(rule, verbs=tuple(names)) for rule, names in verbs.items()]
