"""The contract suite of the `kybern_authorizer` seam.

    class TestMyAuthorizer(AuthorizerContract):
        def make(self) -> Authorizer: ...

An authorizer is asked on every request: it answers from memory, the same question the same way, and
any question at all. What it does not know is no opinion.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from kybern.apiserver.authorization import Attributes, Authorizer, Decision, Rules
from kybern.apiserver.user import ANONYMOUS, User

__all__ = ["AuthorizerContract"]

USERS = (
    ANONYMOUS,
    User(""),
    User("jane", ("devs", "system:authenticated"), "uid", {"scopes": ("a",)}),
    User("system:node:n", ("system:nodes",)),
    User("system:serviceaccount:a:b", ("system:serviceaccounts",)),
    User("\x00ü" * 100, ("", "x" * 1000)),
)
TARGETS = (
    {"resource_request": False, "path": "/healthz"},
    {"resource_request": False, "path": ""},
    {"version": "v1", "resource": "pods", "namespace": "default", "name": "p"},
    {"version": "v1", "resource": "pods", "subresource": "log", "namespace": "default", "name": "p"},
    {"group": "apps", "version": "v1", "resource": "deployments"},
    {"group": "no.such.group", "version": "v9", "resource": "*", "subresource": "*", "name": "*"},
    {"version": "v1", "resource": "pods", "field_selector": ",=,x", "label_selector": "in ("},
)
VERBS = ("get", "list", "watch", "create", "delete", "impersonate", "*", "")


class AuthorizerContract:
    """Subclass it and say how to make one."""

    def make(self) -> Authorizer:
        """A new authorizer. What it allows is its own business."""
        raise NotImplementedError

    def test_has_a_name_and_an_order(self) -> None:
        made = self.make()
        assert isinstance(made.name, str) and made.name
        assert isinstance(made.order, int)

    @pytest.mark.parametrize("user", USERS, ids=lambda user: user.name[:20] or "nameless")
    def test_every_question_has_an_answer_and_always_the_same(self, user: User) -> None:
        made = self.make()
        for question in _questions(user):
            decision, reason = made.authorize(question)
            assert isinstance(decision, Decision) and isinstance(reason, str)
            assert made.authorize(question) == (decision, reason)

    @pytest.mark.parametrize("user", USERS, ids=lambda user: user.name[:20] or "nameless")
    def test_rules_are_plain_policy_rules(self, user: User) -> None:
        rules = self.make().rules(user, "default")
        assert isinstance(rules, Rules)
        for rule in rules.resource_rules:
            assert {"verbs", "apiGroups", "resources"} <= rule.keys() <= _RESOURCE_FIELDS
        for rule in rules.non_resource_rules:
            assert rule.keys() == {"verbs", "nonResourceURLs"}
        assert bool(rules.error) >= rules.incomplete

    @pytest.mark.parametrize("user", USERS, ids=lambda user: user.name[:20] or "nameless")
    def test_listed_rules_are_allowed(self, user: User) -> None:
        made = self.make()
        for rule in made.rules(user, "default").resource_rules:
            question = Attributes(
                user,
                rule["verbs"][0],
                group=rule["apiGroups"][0],
                resource=rule["resources"][0].partition("/")[0],
                subresource=rule["resources"][0].partition("/")[2],
                namespace="default",
                name=(rule.get("resourceNames") or [""])[0],
            )
            assert made.authorize(question)[0] is Decision.ALLOW


_RESOURCE_FIELDS = {"verbs", "apiGroups", "resources", "resourceNames"}


def _questions(user: User) -> Iterable[Attributes]:
    for verb, target in itertools.product(VERBS, TARGETS):
        yield Attributes(user, verb, **target)  # type: ignore[arg-type]  # a table of keyword arguments
