"""/healthz, /livez and /readyz: named checks, each also at a path of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kybern.api.errors import StatusError
from kybern.apiserver.paths import Paths, read_only
from kybern.apiserver.request import Request, query_bool
from kybern.apiserver.response import Answer, Response

__all__ = ["Health"]

Check = Callable[[], str | None]
"""None when well; else what is wrong."""

_TEXT = "text/plain; charset=utf-8"


class Health:
    """The checks of the server and of what runs beside it."""

    def __init__(self) -> None:
        self._live: dict[str, Check] = {"ping": lambda: None, "log": lambda: None}
        self._ready: dict[str, Check] = {}

    def add(self, name: str, check: Check, *, live: bool = False) -> None:
        """A check for /readyz, with `live` for /livez and /healthz as well."""
        (self._live if live else self._ready)[name] = check

    def serve(self, paths: Paths) -> None:
        """Add the paths."""
        for path, checks in (("/healthz", self._alive), ("/livez", self._alive), ("/readyz", self._all)):
            paths.add(path, read_only(_answer(path[1:], checks)))
            paths.add(path + "/*", read_only(_answer(path[1:], checks)))

    def listed(self) -> list[str]:
        """The paths of single checks, for the list at `/`."""
        return [f"/{top}/{name}" for top in ("healthz", "livez") for name in self._live] + [
            f"/readyz/{name}" for name in self._all()
        ]

    def _alive(self) -> dict[str, Check]:
        return self._live

    def _all(self) -> dict[str, Check]:
        return self._live | self._ready

    def ready(self) -> bool:
        """Whether every check passes."""
        return all(_run(check) is None for check in self._all().values())


def _run(check: Check) -> str | None:
    try:
        return check()
    except Exception as error:
        return str(error) or type(error).__name__


def _answer(kind: str, checks: Callable[[], dict[str, Check]]) -> Callable[[Request], Awaitable[Answer]]:
    async def answer(request: Request) -> Answer:
        single = request.path.strip("/").partition("/")[2]
        known = checks()
        if single:
            if single not in known:
                raise StatusError.no_such_path()
            wrong = _run(known[single])
            return Response(200, b"ok", _TEXT) if wrong is None else _failed_one(wrong)
        excluded = set(request.query.get("exclude", ()))
        return _report(kind, known, excluded, query_bool(request.query, "verbose") or "verbose" in request.query)

    return answer


def _failed_one(wrong: str) -> Response:
    return Response(500, f"internal server error: {wrong}\n".encode(), _TEXT)


def _report(kind: str, checks: dict[str, Check], excluded: set[str], verbose: bool) -> Response:
    lines, failed = [], []
    for name, check in checks.items():
        if name in excluded:
            lines.append(f"[+]{name} excluded: ok")
            continue
        wrong = _run(check)
        if wrong is None:
            lines.append(f"[+]{name} ok")
        else:
            lines.append(f"[-]{name} failed: reason withheld")
            failed.append(name)
    unknown = sorted(excluded - set(checks))
    if unknown:
        lines.append(f"warn: some health checks cannot be excluded: no matches for {', '.join(map(repr, unknown))}")
    if failed:
        return Response(500, ("\n".join([*lines, f"{kind} check failed"]) + "\n").encode(), _TEXT)
    if not verbose:
        return Response(200, b"ok", _TEXT)
    return Response(200, ("\n".join([*lines, f"{kind} check passed"]) + "\n").encode(), _TEXT)
