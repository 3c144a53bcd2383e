"""TokenRequest: the body of a service account's `token` subresource; it has no resource of its own."""

from __future__ import annotations

from typing import Any

from kybern.api.field import Errors, Path

__all__ = ["default", "validate"]

USUAL, SHORTEST, LONGEST = 3600, 600, 1 << 32
SECONDS = Path("spec").child("expirationSeconds")


def default(obj: Any) -> None:
    """Tokens last an hour unless told."""
    if obj.spec.expirationSeconds is None:
        obj.spec.expirationSeconds = USUAL


def validate(obj: Any, errors: Errors) -> None:
    """How long a token may last."""
    seconds = obj.spec.expirationSeconds
    if seconds < SHORTEST:
        errors.invalid(SECONDS, seconds, "may not specify a duration less than 10 minutes")
    if seconds > LONGEST:
        errors.invalid(SECONDS, seconds, "may not specify a duration larger than 2^32 seconds")
