"""Static bearer tokens from a CSV file: `token,user,uid,"group1,group2"`. Read once, at start."""

from __future__ import annotations

import csv
import hmac
from pathlib import Path

from kybern.apiserver.authentication import Authenticator, Credentials
from kybern.apiserver.user import User

__all__ = ["TokenFileAuthenticator", "read_token_file"]


class TokenFileAuthenticator(Authenticator):
    """Knows the tokens of the file."""

    name = "token-file"
    order = 20

    def __init__(self, users: dict[str, User], audiences: tuple[str, ...] = ()) -> None:
        """`audiences`: those of this API server; the tokens are good for no others."""
        self._users = users
        self._audiences = audiences

    async def authenticate(self, credentials: Credentials) -> User | None:
        if credentials.bearer is None:
            return None
        given = credentials.bearer.encode()
        # Every token is compared in constant time, so that answers do not tell how much of one was right.
        found = [user for token, user in self._users.items() if hmac.compare_digest(token.encode(), given)]
        return found[0] if found else None

    async def review(self, token: str, audiences: tuple[str, ...]) -> tuple[User, tuple[str, ...]] | None:
        good = tuple(audience for audience in audiences if audience in self._audiences)
        user = await self.authenticate(Credentials(bearer=token)) if good else None
        return (user, good) if user else None


def read_token_file(file: Path) -> dict[str, User]:
    """Users by token; ValueError says which line is wrong."""
    users: dict[str, User] = {}
    with file.open(newline="", encoding="utf-8") as lines:
        for number, row in enumerate(csv.reader(lines, skipinitialspace=True), 1):
            if not row:
                continue
            cells = [cell.strip() for cell in row]
            if len(cells) < 3 or not cells[0]:
                raise ValueError(f"{file}, line {number}: expected token,user,uid[,groups] with a token")
            if cells[0] in users:
                raise ValueError(f"{file}, line {number}: the token occurs twice")
            groups = cells[3].split(",") if len(cells) > 3 else []
            users[cells[0]] = User(cells[1], tuple(g.strip() for g in groups if g.strip()), cells[2])
    return users
