"""How a command tells its user that it cannot."""

from __future__ import annotations

__all__ = ["CommandError"]


class CommandError(Exception):
    """The command cannot do what it was asked; the text is for the user. Exit code 1."""
