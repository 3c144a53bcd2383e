"""What `resourceVersion`, `resourceVersionMatch` and `continue` ask of a list: pure decisions.

The rules are upstream's ("Kubernetes API Concepts", "Resource versions"): most recent, any, exact
or not older than; a continue token pins every later page to the first page's revision.
"""

from __future__ import annotations

import base64
import binascii
import re

import attrs
import msgspec

from kybern.api.errors import StatusError

__all__ = ["Wanted", "continue_token", "parse_revision", "too_large", "wanted", "wanted_list_gone"]

TOKEN_VERSION = "meta.k8s.io/v1"


@attrs.frozen
class Wanted:
    """Which state a list must show."""

    exact: int = 0
    """Exactly this revision; 0: the newest state."""
    at_least: int = 0
    """Not before this revision; 0: no such bound."""
    fresh: bool = False
    """At least as new as the store is now."""
    start: str = ""
    """First key, relative to the resource's prefix."""


class _Token(msgspec.Struct):
    v: str = ""
    rv: int = 0
    start: str = ""


def parse_revision(text: str) -> int:
    """The number in a resourceVersion parameter; "" is 0. Raises StatusError 400."""
    if not text:
        return 0
    if not text.isascii() or not text.isdigit():
        raise StatusError.bad_request(
            f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    return int(text)


def continue_token(revision: int, start: str) -> str:
    """An opaque token for the page that begins at `start`, exact at `revision`."""
    data = msgspec.json.encode(_Token(TOKEN_VERSION, revision, start))
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _read_token(text: str) -> _Token:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise _bad_token(f"illegal base64 data at input byte {_undecodable(text)}") from None
    try:
        token = msgspec.json.decode(data, type=_Token)
    except (ValueError, msgspec.DecodeError) as error:
        raise _bad_token(str(error)) from None
    if token.v != TOKEN_VERSION:
        raise _bad_token("server does not recognize this encoded version")
    if token.rv <= 0:
        raise _bad_token(f"incorrect encoded start resourceVersion (version {TOKEN_VERSION})")
    if not token.start:
        raise _bad_token(f"encoded start key empty (version {TOKEN_VERSION})")
    return token


def _undecodable(text: str) -> int:
    good = re.match(r"[A-Za-z0-9_-]*", text)
    at = good.end() if good else 0
    return at if at < len(text) else at - at % 4


def _bad_token(why: str) -> StatusError:
    return StatusError.bad_request(f"invalid continue token: continue key is not valid: {why}")


def wanted(resource_version: str, match: str, limit: int, continue_: str) -> Wanted:
    """What such a list request asks for. Raises StatusError 400."""
    revision = parse_revision(resource_version)
    if continue_:
        if revision:
            raise StatusError.bad_request("specifying resource version is not allowed when using continue")
        token = _read_token(continue_)
        return Wanted(exact=token.rv, start=token.start)
    if not resource_version:
        return Wanted(fresh=True)
    if not revision:
        return Wanted()
    if match == "Exact" or (not match and limit):
        return Wanted(exact=revision)
    return Wanted(at_least=revision)


def wanted_list_gone(continued: bool) -> StatusError:
    """410: the state that a page or an exact list asks for is compacted."""
    if continued:
        return StatusError.expired(
            "The provided continue parameter is too old to display a consistent list result. "
            "You must start a new list without the continue parameter."
        )
    return StatusError.expired("The resourceVersion for the provided list is too old.")


def too_large(revision: int, current: int) -> StatusError:
    """504: the revision asked for is in the future and did not come in time."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return StatusError(
        504,
        "Timeout",
        f"Too large resource version: {revision}, current: {current}",
        {"causes": [cause], "retryAfterSeconds": 1},
        {"Retry-After": "1"},
    )
