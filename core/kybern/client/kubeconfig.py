"""Where an API server is and how to prove who we are: read from a kubeconfig file or a pod's service account."""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from pathlib import Path
from typing import Any

import attrs

__all__ = ["Connection", "KubeconfigError", "in_cluster", "load", "parse"]

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class KubeconfigError(ValueError):
    """The kubeconfig does not say where to connect, or says it in a way we cannot use."""


@attrs.define
class Connection:
    """One server and one identity. Certificates and keys are PEM."""

    server: str
    ca: bytes = b""
    """Empty: the machine's own trust store."""
    insecure: bool = False
    server_name: str = ""
    certificate: bytes = b""
    key: bytes = attrs.field(default=b"", repr=False)
    token: str = attrs.field(default="", repr=False)
    token_file: Path | None = None
    """Read again now and then: bound tokens are replaced on disk."""
    username: str = ""
    password: str = attrs.field(default="", repr=False)
    namespace: str = ""
    impersonate: str = ""
    impersonate_groups: tuple[str, ...] = ()

    def ssl_context(self) -> ssl.SSLContext | None:
        """The TLS settings; None for a plain http server."""
        if not self.server.startswith("https:"):
            return None
        context = ssl.create_default_context(cadata=self.ca.decode() if self.ca else None)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate:
            _load_pair(context, self.certificate, self.key)
        return context


def _load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """OpenSSL's wrapper reads a pair only from files; this one is private and gone at once."""
    handle, name = tempfile.mkstemp()
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(certificate + b"\n" + key)
        context.load_cert_chain(name)
    except ssl.SSLError as error:
        raise KubeconfigError(f"the client certificate and key cannot be used: {error}") from None
    finally:
        os.unlink(name)


def load(path: str | Path | None = None, context: str = "") -> Connection:
    """From a file: `path`, or the first that exists of $KUBECONFIG, or ~/.kube/config; `context` unless the current."""
    import yaml

    file = Path(path) if path else _default_path()
    try:
        config = yaml.safe_load(file.read_text())
    except OSError as error:
        raise KubeconfigError(f"cannot read the kubeconfig {file}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise KubeconfigError(f"the kubeconfig {file} is not YAML: {error}") from None
    try:
        return parse(config, file.parent, context)
    except KubeconfigError as error:
        raise KubeconfigError(f"{file}: {error}") from None


def _default_path() -> Path:
    for name in os.environ.get("KUBECONFIG", "").split(os.pathsep):
        if name and Path(name).exists():
            return Path(name)
    return Path.home() / ".kube" / "config"


def parse(config: Any, folder: Path = Path(), context: str = "") -> Connection:
    """From a kubeconfig as plain data; relative file names in it are relative to `folder`."""
    if not isinstance(config, dict):
        raise KubeconfigError("a kubeconfig is a map with clusters, users and contexts")
    name = context or config.get("current-context") or ""
    if not name:
        raise KubeconfigError("no context is named and current-context is not set")
    chosen = _named(config, "contexts", "context", name)
    cluster = _named(config, "clusters", "cluster", chosen.get("cluster") or "")
    user = _named(config, "users", "user", chosen["user"]) if chosen.get("user") else {}
    if "exec" in user or "auth-provider" in user:
        raise KubeconfigError(
            f"user {chosen['user']!r} gets its credential from a program, which is not supported; use a token"
        )
    if not cluster.get("server"):
        raise KubeconfigError(f"cluster {chosen.get('cluster')!r} names no server")
    token_file = user.get("tokenFile")
    return Connection(
        server=cluster["server"].rstrip("/"),
        ca=_material(cluster, "certificate-authority", folder),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        server_name=cluster.get("tls-server-name") or "",
        certificate=_material(user, "client-certificate", folder),
        key=_material(user, "client-key", folder),
        token=user.get("token") or "",
        token_file=folder / token_file if token_file else None,
        username=user.get("username") or "",
        password=user.get("password") or "",
        namespace=chosen.get("namespace") or "",
        impersonate=user.get("as") or "",
        impersonate_groups=tuple(user.get("as-groups") or ()),
    )


def _named(config: dict[str, Any], plural: str, singular: str, name: str) -> dict[str, Any]:
    entries = config.get(plural) or []
    for entry in entries:
        if entry.get("name") == name:
            found: dict[str, Any] = entry.get(singular) or {}
            return found
    known = ", ".join(sorted(str(entry.get("name")) for entry in entries)) or "none"
    raise KubeconfigError(f"there is no {singular} {name!r} under {plural} (there are: {known})")


def _material(section: dict[str, Any], field: str, folder: Path) -> bytes:
    """PEM given inline as `<field>-data` in base64, or as a file name."""
    data = section.get(f"{field}-data")
    if data:
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            raise KubeconfigError(f"{field}-data is not base64") from None
    name = section.get(field)
    if not name:
        return b""
    try:
        return (folder / str(name)).read_bytes()
    except OSError as error:
        raise KubeconfigError(f"cannot read the {field} {folder / name}: {error.strerror}") from None


def in_cluster(folder: Path = SERVICE_ACCOUNT) -> Connection:
    """From the service account that Kubernetes mounts into every pod."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise KubeconfigError("not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
    address = f"[{host}]" if ":" in host else host
    try:
        return Connection(
            server=f"https://{address}:{port}",
            ca=(folder / "ca.crt").read_bytes(),
            token_file=folder / "token",
            namespace=(folder / "namespace").read_text().strip(),
        )
    except OSError as error:
        raise KubeconfigError(f"cannot read the service account in {folder}: {error.strerror}") from None
