"""The authentication stage: asks the authenticators who sent a request; what nobody knows is refused."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from kybern.api.errors import StatusError
from kybern.apiserver.authentication import Authenticator, Credentials
from kybern.apiserver.request import Request
from kybern.apiserver.user import ANONYMOUS, User

__all__ = ["Authentication"]

_WEBSOCKET_TOKEN = "base64url.bearer.authorization.k8s.io."
_AUTHENTICATED = "system:authenticated"


class Authentication:
    """A union of authenticators, in order."""

    def __init__(self, authenticators: Sequence[Authenticator]) -> None:
        self.authenticators = sorted(authenticators, key=lambda a: a.order)

    async def __call__(self, request: Request) -> None:
        """Set `request.user`; StatusError 401 when nobody accepts what was sent."""
        credentials = Credentials(
            request.certificate, bearer_token(request), request.headers, request.peer, request.path
        )
        refusal: StatusError | None = None
        for authenticator in self.authenticators:
            try:
                user = await authenticator.authenticate(credentials)
            except StatusError as error:
                # Another one may know the credential: a token can look like two things.
                refusal = refusal or error
                continue
            if user is not None and (refusal is None or user.name != ANONYMOUS.name):
                request.user = with_authenticated_group(user)
                return
        raise refusal or StatusError.unauthorized()


def with_authenticated_group(user: User) -> User:
    """Everyone who proved an identity is in `system:authenticated`."""
    if user.name == ANONYMOUS.name or _AUTHENTICATED in user.groups:
        return user
    return User(user.name, (*user.groups, _AUTHENTICATED), user.uid, user.extra)


def bearer_token(request: Request) -> str | None:
    """The bearer token of the Authorization header or of a browser's websocket subprotocols, if there is one."""
    header = request.headers.get("Authorization")
    if header:
        scheme, _, token = header.strip().partition(" ")
        return token.strip() if scheme.lower() == "bearer" else None
    for protocol in request.headers.get("Sec-WebSocket-Protocol", "").split(","):
        protocol = protocol.strip()
        if protocol.startswith(_WEBSOCKET_TOKEN):
            return _websocket_token(protocol[len(_WEBSOCKET_TOKEN) :])
    return None


def _websocket_token(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, ValueError):
        raise StatusError.unauthorized() from None
