"""Which cluster a command means, and talking to it."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request

import msgspec

from kybern.cli.errors import CommandError
from kybern.cluster.state import Record, State

__all__ = ["chosen", "get", "running"]


def chosen(name: str | None) -> State:
    """The cluster named, or the only one, or `kybern`; CommandError when that is not clear."""
    if name:
        return State.of(name)
    clusters = State.all()
    if len(clusters) == 1:
        return clusters[0]
    default = State.of("kybern")
    if clusters and not default.exists:
        raise CommandError(f"which cluster? --name one of: {', '.join(c.root.name for c in clusters)}")
    return default


def running(state: State) -> Record:
    """The record of a cluster that must be running."""
    record = state.read()
    if state.pid() is None:
        raise CommandError(f"cluster {record.name!r} is not running; start it with: kybern up --name {record.name}")
    return record


def get(state: State, record: Record, path: str, method: str = "GET", timeout: float = 60) -> bytes:
    """Ask the API server as the cluster's admin; CommandError with what it said."""
    context = ssl.create_default_context(cafile=str(state.pki / "ca.crt"))
    context.load_cert_chain(str(state.pki / "admin.crt"), str(state.pki / "admin.key"))
    request = urllib.request.Request(record.url + path, method=method)
    try:
        with urllib.request.urlopen(request, context=context, timeout=timeout) as answer:
            body: bytes = answer.read()
            return body
    except urllib.error.HTTPError as e:
        raise CommandError(_said(e.read()) or f"{path}: {e.code}") from None
    except OSError as e:
        raise CommandError(f"{record.url} does not answer: {e}") from None


def _said(body: bytes) -> str:
    """The message of a Status, or the plain text of another answer."""
    text = body.decode(errors="replace").strip()[:500]
    try:
        return str(msgspec.json.decode(body)["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return text
