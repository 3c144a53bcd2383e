"""The keys behind service-account tokens: signing and checking of JSON web tokens, and the public key set.

Tokens are signed with ECDSA P-256 (ES256); further public keys may be trusted besides, so that a key
can be exchanged while tokens of the old one are still about. The JWT library is imported with the
first token, in a thread: it takes a tenth of a second and many megabytes.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

__all__ = ["BadToken", "TokenKeys", "peek"]

_LONGEST = 64 * 1024
Claims = dict[str, Any]


class BadToken(Exception):
    """Why a token that claims to be ours is refused."""


def peek(token: str) -> Claims | None:
    """The claims of a token, believed by nobody yet; None when it is no JSON web token."""
    parts = token.split(".")
    return _part(parts[1]) if len(parts) == 3 and len(token) <= _LONGEST else None


def _part(text: str) -> Claims | None:
    """A part of a token: JSON in base64, an object; None when it is not."""
    try:
        part = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, RecursionError):
        return None
    return part if isinstance(part, dict) else None


class TokenKeys:
    """Signs with one key; trusts that one and others."""

    def __init__(self, private: bytes, trusted: Sequence[bytes] = ()) -> None:
        """PEM of the private key, and of further public keys."""
        self._pem = private
        self._trusted_pem = tuple(trusted)
        self._loaded: _Keys | None = None

    async def sign(self, claims: Claims) -> str:
        """A signed token."""
        return (await self._keys()).sign(claims)

    async def verify(self, token: str) -> Claims:
        """The claims of a token whose signature is good; BadToken otherwise. Says nothing of dates and audiences."""
        return (await self._keys()).verify(token)

    async def public(self) -> dict[str, Any]:
        """The JSON web key set."""
        return (await self._keys()).public()

    async def _keys(self) -> _Keys:
        if self._loaded is None:
            self._loaded = await asyncio.to_thread(_Keys, self._pem, self._trusted_pem)
        return self._loaded


class _Keys:
    """The library's view of the keys."""

    def __init__(self, private: bytes, trusted: Sequence[bytes]) -> None:
        from joserfc.errors import JoseError
        from joserfc.jwk import ECKey, RSAKey

        self._signing = ECKey.import_key(private, {"use": "sig", "alg": "ES256"})
        self._keys: dict[str, tuple[Any, str]] = {_key_id(self._signing): (self._signing, "ES256")}
        for pem in trusted:
            key: Any
            try:
                key, algorithm = ECKey.import_key(pem, {"use": "sig", "alg": "ES256"}), "ES256"
            except (JoseError, ValueError, TypeError):
                key, algorithm = RSAKey.import_key(pem, {"use": "sig", "alg": "RS256"}), "RS256"
            self._keys.setdefault(_key_id(key), (key, algorithm))
        self._id = _key_id(self._signing)

    def sign(self, claims: Claims) -> str:
        from joserfc import jwt

        return jwt.encode({"alg": "ES256", "kid": self._id}, claims, self._signing)

    def verify(self, token: str) -> Claims:
        """The header only chooses among our keys; the algorithm is the key's, never the header's."""
        from joserfc import jwt
        from joserfc.errors import JoseError

        named = self._keys.get(_claimed_key(token))
        for key, algorithm in [named] if named else self._keys.values():
            try:
                return dict(jwt.decode(token, key, algorithms=[algorithm]).claims)
            except (JoseError, ValueError, TypeError, RecursionError):
                continue
        raise BadToken("invalid bearer token")

    def public(self) -> dict[str, Any]:
        keys = []
        for identifier, (key, algorithm) in self._keys.items():
            material = {name: value for name, value in key.as_dict(private=False).items() if name not in ("kid", "alg")}
            keys.append({**material, "use": "sig", "kid": identifier, "alg": algorithm})
        return {"keys": keys}


def _claimed_key(token: str) -> str:
    kid = (_part(token.partition(".")[0]) or {}).get("kid")
    return kid if isinstance(kid, str) else ""


def _key_id(key: Any) -> str:
    """The digest of the public key, so that the id follows from the key."""
    return base64.urlsafe_b64encode(hashlib.sha256(key.as_der(private=False)).digest()).decode().rstrip("=")
