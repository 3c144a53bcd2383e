"""The impersonation stage: `kubectl --as`. Whoever may impersonate goes on as somebody else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from kybern.api.errors import StatusError
from kybern.apiserver.authorization import Attributes
from kybern.apiserver.authorize import Authorization
from kybern.apiserver.request import Request, readable
from kybern.apiserver.user import ANONYMOUS, User

__all__ = ["Impersonation"]

_USER, _GROUP, _UID, _EXTRA = "Impersonate-User", "Impersonate-Group", "Impersonate-Uid", "impersonate-extra-"
_SERVICE_ACCOUNT = "system:serviceaccount:"


class Impersonation:
    """Checks each part of the wanted identity by the verb `impersonate`."""

    def __init__(self, authorization: Authorization) -> None:
        self._authorization = authorization

    def __call__(self, request: Request) -> None:
        """Replace `request.user`, keeping the real one in `request.impersonator`."""
        headers = request.headers
        if _USER not in headers and not any(h[:12] in ("Impersonate-", "impersonate-") for h in headers):
            return
        name, groups, uid, extra = _wanted(headers)
        if not name:
            if groups or uid or extra:
                raise StatusError.bad_request(
                    "requested impersonation of groups, uid or extra without impersonating a user"
                )
            return
        for question in _questions(request.user, name, groups, uid, extra):
            self._authorization.require(question)
        request.impersonator = request.user
        request.user = User(name, _completed(name, groups), uid, extra)


def _all(headers: Any, name: str) -> tuple[str, ...]:
    values = headers.getall(name, ()) if hasattr(headers, "getall") else [headers[name]] if name in headers else []
    return tuple(readable(value) for value in values)


def _wanted(headers: Any) -> tuple[str, tuple[str, ...], str, dict[str, tuple[str, ...]]]:
    extra = {
        unquote(header[len(_EXTRA) :].lower()): _all(headers, header)
        for header in dict.fromkeys(headers)
        if header.lower().startswith(_EXTRA)
    }
    return readable(headers.get(_USER, "")), _all(headers, _GROUP), readable(headers.get(_UID, "")), extra


def _questions(
    user: User, name: str, groups: tuple[str, ...], uid: str, extra: dict[str, tuple[str, ...]]
) -> Iterator[Attributes]:
    if name.startswith(_SERVICE_ACCOUNT) and name.count(":") == 3:
        namespace, account = name.split(":")[2:]
        yield Attributes(
            user, "impersonate", version="v1", resource="serviceaccounts", namespace=namespace, name=account
        )
    else:
        yield Attributes(user, "impersonate", version="v1", resource="users", name=name)
    for group in groups:
        yield Attributes(user, "impersonate", version="v1", resource="groups", name=group)
    group_of_extras = "authentication.k8s.io"
    if uid:
        yield Attributes(user, "impersonate", group=group_of_extras, version="v1", resource="uids", name=uid)
    for key, values in extra.items():
        for value in values:
            yield Attributes(
                user,
                "impersonate",
                group=group_of_extras,
                version="v1",
                resource="userextras",
                subresource=key,
                name=value,
            )


def _completed(name: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    """The groups that such a user always has."""
    if name == ANONYMOUS.name:
        return groups or ANONYMOUS.groups
    if not groups and name.startswith(_SERVICE_ACCOUNT) and name.count(":") == 3:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{name.split(':')[2]}")
    return groups if "system:authenticated" in groups else (*groups, "system:authenticated")
