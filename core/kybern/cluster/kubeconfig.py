"""Kubeconfig files: the cluster's own, and its context in the user's."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

__all__ = ["KubeconfigError", "content", "merge", "remove", "user_file"]


class KubeconfigError(Exception):
    """The user's kubeconfig cannot be changed; the text says why. It is left as it was."""


def content(context: str, server: str, ca: bytes, certificate: bytes, key: bytes) -> dict[str, Any]:
    """A kubeconfig of one context, as plain data; the PEM files are embedded."""

    def embedded(pem: bytes) -> str:
        return base64.b64encode(pem).decode()

    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": {"server": server, "certificate-authority-data": embedded(ca)}}],
        "users": [
            {
                "name": context,
                "user": {"client-certificate-data": embedded(certificate), "client-key-data": embedded(key)},
            }
        ],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "current-context": context,
    }


def user_file() -> Path:
    """The file kubectl would write to: the first of `KUBECONFIG`, or `~/.kube/config`."""
    listed = [p for p in os.environ.get("KUBECONFIG", "").split(os.pathsep) if p]
    return Path(listed[0]) if listed else Path.home() / ".kube" / "config"


def holds(file: Path, config: dict[str, Any]) -> bool:
    """Whether the file says just that already."""
    try:
        return _read(file) == config
    except KubeconfigError:
        return False


def write(file: Path, config: dict[str, Any]) -> None:
    """Write a kubeconfig in one step, readable by its owner only."""
    import yaml

    file = file.resolve()  # a link stays one
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = file.with_name(file.name + ".kybern-new")
    temporary.touch(mode=0o600)
    temporary.write_text(yaml.dump(config, sort_keys=False, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)))
    temporary.replace(file)


def merge(file: Path, config: dict[str, Any]) -> None:
    """Add the context of `config` to the user's file and make it the current one; all else stays.

    A namespace that the user chose for this context stays as well.
    """
    existing = _read(file)
    before = {e.get("name"): e.get("context") for e in existing.get("contexts") or [] if isinstance(e, dict)}
    for entry in config["contexts"]:
        if namespace := (before.get(entry["name"]) or {}).get("namespace"):
            entry["context"]["namespace"] = namespace
    for section in ("clusters", "users", "contexts"):
        ours = {entry["name"] for entry in config[section]}
        kept = [e for e in existing.get(section) or [] if not (isinstance(e, dict) and e.get("name") in ours)]
        existing[section] = kept + config[section]
    existing["current-context"] = config["current-context"]
    _store(file, existing)


def remove(file: Path, context: str) -> bool:
    """Take a context that `merge` added out of the user's file; tells whether it was there."""
    if not file.exists():
        return False
    existing = _read(file)
    found = False
    for section in ("clusters", "users", "contexts"):
        before = existing.get(section) or []
        existing[section] = [e for e in before if not (isinstance(e, dict) and e.get("name") == context)]
        found |= len(existing[section]) != len(before)
    if existing.get("current-context") == context:
        existing["current-context"] = ""
    if found:
        _store(file, existing)
    return found


def _read(file: Path) -> dict[str, Any]:
    import yaml

    try:
        existing = yaml.load(file.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
    except FileNotFoundError:
        return {"apiVersion": "v1", "kind": "Config"}
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as e:
        raise KubeconfigError(f"{file} cannot be read as a kubeconfig, so it was left alone: {e}") from e
    if not isinstance(existing, dict) or existing.get("kind", "Config") != "Config":
        raise KubeconfigError(f"{file} is not a kubeconfig, so it was left alone")
    return existing


def _store(file: Path, config: dict[str, Any]) -> None:
    try:
        write(file, config)
    except OSError as e:
        raise KubeconfigError(f"{file} cannot be written: {e.strerror or e}") from e
