"""Questions to the server: TokenReview, the SubjectAccessReviews, TokenRequest.

They are decoded and checked here; plugins answer them.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from kybern.api import types
from kybern.api.errors import StatusError
from kybern.api.field import Errors
from kybern.apiserver import body
from kybern.apiserver.backend import Backend
from kybern.apiserver.encode import plain
from kybern.apiserver.handlers import operation
from kybern.apiserver.metadata import check_namespace
from kybern.apiserver.negotiate import Media, negotiate
from kybern.apiserver.options import write_options
from kybern.apiserver.request import Request
from kybern.apiserver.resource import Resource
from kybern.apiserver.response import Answer
from kybern.apiserver.reviews import ReviewRequest

__all__ = ["ReviewQuestions"]


class ReviewQuestions:
    """POST of a question."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def __call__(self, request: Request, resource: Resource) -> Answer:
        """A kind of its own (`tokenreviews`)."""
        kind = resource.kind

        def check(question: Any, errors: Errors) -> None:
            check_namespace(kind, question.metadata, request.namespace)
            kind.default(question)
            kind.validate(question, errors)

        return await self._ask(request, kind.resource, kind.struct, check, resource, None)

    async def below(self, request: Request, resource: Resource) -> Answer:
        """A subresource (`serviceaccounts/x/token`)."""
        op = operation(request)
        parent = resource.item(op.namespace, op.name).object
        about = resource.subresources[request.subresource]
        struct = types.struct(about.group, about.version, about.kind)
        rules = import_module(f"kybern.api.{about.group.split('.')[0]}.{about.kind.lower()}")

        def check(question: Any, errors: Errors) -> None:
            question.metadata.name = question.metadata.name or request.name
            question.metadata.namespace = question.metadata.namespace or request.namespace
            if (question.metadata.name, question.metadata.namespace) != (request.name, request.namespace):
                raise StatusError.bad_request("the name or namespace of the provided object does not match the request")
            rules.default(question)
            rules.validate(question, errors)

        name = f"{resource.kind.plural}/{request.subresource}"
        return await self._ask(request, name, struct, check, resource, parent)

    async def _ask(
        self, request: Request, name: str, struct: type[Any], check: Callable[[Any, Errors], None],
        resource: Resource, parent: Any,
    ) -> Answer:  # fmt: skip
        media = negotiate(request)
        options = write_options(request.query, "CreateOptions")
        question = await body.read_object(request, struct, options.field_validation)
        review = self._backend.reviews.get(name)
        if review is None:
            raise StatusError.no_such_path()
        op = operation(request, options.dry_run, options.field_manager)
        await self._backend.admission.mutate("CREATE", resource.kind, op, question, None)
        errors = Errors()
        check(question, errors)
        if errors:
            group, _, _ = question.apiVersion.rpartition("/")
            raise StatusError.invalid(
                question.kind, group, question.metadata.name or "" if parent is None else "", errors
            )
        await self._backend.admission.validate("CREATE", resource.kind, op, question, None)
        answer = await review.answer(self._question(request, op.dry_run, question, parent))
        return plain(201, answer, Media(media.yaml, pretty=media.pretty))

    def _question(self, request: Request, dry_run: bool, question: Any, parent: Any) -> ReviewRequest:
        authorization = self._backend.authorization
        return ReviewRequest(
            question, request.user, request.namespace, request.name, parent, request.now, dry_run,
            self._backend.authenticators, authorization.authorizers, authorization.decide,
        )  # fmt: skip
