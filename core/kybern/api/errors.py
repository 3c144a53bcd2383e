"""A failed request as Kubernetes tells it: the `Status` object, raised as an exception.

Reasons, codes and wording follow the API conventions ("Response Status Kind"), so that kubectl and
client libraries can act on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kybern.api.field import Errors, FieldError

__all__ = ["StatusError"]


def _qualified(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource


class StatusError(Exception):
    """Raised anywhere in a request; rendered once, by the server. Clients raise the same class.

    `reason` is what callers test: `NotFound`, `AlreadyExists`, `Conflict`, `Invalid`, ...
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.headers = headers or {}

    def status(self) -> dict[str, Any]:
        """The `Status` object (meta/v1) as plain data, in the field order of upstream."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status

    @classmethod
    def from_status(cls, status: dict[str, Any], code: int = 500) -> StatusError:
        """The exception for a `Status` that a server answered with."""
        return cls(
            status.get("code") or code, status.get("reason") or "", status.get("message") or "", status.get("details")
        )

    @classmethod
    def not_found(cls, resource: str, group: str, name: str) -> StatusError:
        """404: no such object. `resource` is the plural, as in `pods`."""
        message = f'{_qualified(resource, group)} "{name}" not found'
        return cls(404, "NotFound", message, _details(name, group, resource))

    @classmethod
    def no_such_path(cls) -> StatusError:
        """404: the server does not serve this path at all."""
        return cls(404, "NotFound", "the server could not find the requested resource", {})

    @classmethod
    def method_not_allowed(cls) -> StatusError:
        """405: this path is served, but not with this method."""
        return cls(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})

    @classmethod
    def already_exists(cls, resource: str, group: str, name: str) -> StatusError:
        """409: create met an object of that name."""
        message = f'{_qualified(resource, group)} "{name}" already exists'
        return cls(409, "AlreadyExists", message, _details(name, group, resource))

    @classmethod
    def conflict(cls, resource: str, group: str, name: str, why: str = "") -> StatusError:
        """409: somebody else changed the object; read it again and retry."""
        why = why or ("the object has been modified; please apply your changes to the latest version and try again")
        message = f'Operation cannot be fulfilled on {_qualified(resource, group)} "{name}": {why}'
        return cls(409, "Conflict", message, _details(name, group, resource))

    @classmethod
    def invalid(cls, kind: str, group: str, name: str, errors: Errors | Sequence[FieldError]) -> StatusError:
        """422: the object says something it may not; one cause per error."""
        texts = list(dict.fromkeys(str(e) for e in errors))
        text = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
        causes = [{"reason": e.reason, "message": e.detail, "field": e.field} for e in errors]
        details = _details(name, group, kind)
        if causes:
            details["causes"] = causes
        return cls(422, "Invalid", f'{_qualified(kind, group)} "{name}" is invalid: {text}', details)

    @classmethod
    def bad_request(cls, message: str) -> StatusError:
        """400: the request could not be understood."""
        return cls(400, "BadRequest", message)

    @classmethod
    def unauthorized(cls, message: str = "Unauthorized") -> StatusError:
        """401: credentials were given and are not good."""
        return cls(401, "Unauthorized", message)

    @classmethod
    def forbidden(cls, resource: str, group: str, name: str, why: str) -> StatusError:
        """403: understood and refused, by an authorizer or an admission plugin."""
        named = f' "{name}"' if name else ""
        return cls(
            403,
            "Forbidden",
            f"{_qualified(resource, group)}{named} is forbidden: {why}",
            _details(name, group, resource),
        )

    @classmethod
    def expired(cls, message: str) -> StatusError:
        """410: the revision or continue token asked for is gone; list again."""
        return cls(410, "Expired", message)

    @classmethod
    def too_many_requests(cls, message: str, retry_after: int = 0) -> StatusError:
        """429: try again after `retry_after` seconds."""
        details = {"retryAfterSeconds": retry_after} if retry_after else {}
        return cls(429, "TooManyRequests", message, details, {"Retry-After": str(retry_after)} if retry_after else None)

    @classmethod
    def internal(cls, message: str) -> StatusError:
        """500: a bug or a broken part of the server."""
        text = f"Internal error occurred: {message}"
        return cls(500, "InternalError", text, {"causes": [{"message": message}]})


def _details(name: str, group: str, kind: str) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    return details
