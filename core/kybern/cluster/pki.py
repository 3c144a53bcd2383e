"""The cluster's own public key infrastructure: one CA, the server's certificate, client certificates, the token key.

Everything lives in one directory as PEM files, keys readable by the owner only, each file replaced
atomically. A start with good files reads them and imports no X.509 library; what is missing, near
its end or no longer fits (another host name, another CA) is issued anew with the same key.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kybern.clock import Clock
from kybern.cluster.certificate import Certificate, pem_to_der, read_certificate

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from kybern.cluster import issue

__all__ = ["ADMIN", "PKI", "KeyPair"]

DAY = 86400.0
CA_LIFETIME = 3650 * DAY
LIFETIME = 365 * DAY
RENEW_BEFORE = 60 * DAY
CA_RENEW_BEFORE = 2 * LIFETIME
"""A CA that is about to end would shorten what it signs."""

ADMIN = ("kubernetes-admin", ("system:masters",))
"""Common name and organizations of the administrator's client certificate."""

SERVER_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
_NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which the ssl module does not name."""


class KeyPair(NamedTuple):
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


class PKI:
    """The files, and everything that is made from them."""

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        *,
        hosts: Iterable[str] = (),
        service_ip: str = "10.96.0.1",
    ) -> None:
        """`hosts`: further names and addresses the server is reached by. `service_ip`: of service `kubernetes`."""
        self.directory = Path(directory)
        self._clock = clock
        self._names = frozenset(map(_normal, {*SERVER_NAMES, "127.0.0.1", "::1", service_ip, *hosts}))
        self._server_contexts: list[ssl.SSLContext] = []
        self._child = 0

    @property
    def ca_file(self) -> Path:
        return self.directory / "ca.crt"

    @property
    def server_certificate_file(self) -> Path:
        return self.directory / "apiserver.crt"

    @property
    def server_key_file(self) -> Path:
        return self.directory / "apiserver.key"

    @property
    def admin_certificate_file(self) -> Path:
        return self.directory / "admin.crt"

    @property
    def admin_key_file(self) -> Path:
        return self.directory / "admin.key"

    @property
    def ca_certificate(self) -> bytes:
        """PEM of the CA, for kubeconfigs and `kube-root-ca.crt`."""
        return self.ca_file.read_bytes()

    @property
    def admin(self) -> KeyPair:
        """The administrator's client certificate (group system:masters)."""
        return KeyPair(self.admin_certificate_file.read_bytes(), self.admin_key_file.read_bytes())

    @property
    def service_account_key(self) -> bytes:
        """PEM of the private key that signs service-account tokens (ECDSA P-256)."""
        return (self.directory / "sa.key").read_bytes()

    @property
    def service_account_public_key(self) -> bytes:
        """PEM of its public key."""
        return (self.directory / "sa.pub").read_bytes()

    def prepare(self) -> None:
        """Begin what `ensure` will have to do, in another process, and return at once: a start has more to do."""
        if not self._complete():
            self._child = _fork(self._make)

    def ensure(self) -> bool:
        """Make every file that is missing, ending or unfit; True when anything was written."""
        if not self._child and self._complete():
            return False
        child, self._child = self._child or _fork(self._make), 0
        if not child or os.waitpid(child, 0)[1] != 0:
            self._make()
        return True

    def _complete(self) -> bool:
        """Whether every file is there and fits."""
        authority, now = _read_file(self.ca_file), self._clock.now()
        return (
            authority is not None
            and authority.not_after - now > CA_RENEW_BEFORE
            and all((self.directory / name).exists() for name in ("ca.key", "sa.key", "sa.pub"))
            and self._fits(self.server_certificate_file, self.server_key_file, authority, self._names)
            and self._fits(self.admin_certificate_file, self.admin_key_file, authority, frozenset())
        )

    def _make(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._ensure_ca()
        authority = read_certificate(pem_to_der(self.ca_certificate))
        if not self._fits(self.server_certificate_file, self.server_key_file, authority, self._names):
            self._issue_files(self.server_certificate_file, self.server_key_file, "kube-apiserver", (), server=True)
        if not self._fits(self.admin_certificate_file, self.admin_key_file, authority, frozenset()):
            self._issue_files(self.admin_certificate_file, self.admin_key_file, *ADMIN, server=False)
        self._ensure_token_key()

    def renewal_due(self) -> float:
        """Seconds until `renew` will have something to do."""
        files = (
            (self.ca_file, CA_RENEW_BEFORE),
            (self.server_certificate_file, RENEW_BEFORE),
            (self.admin_certificate_file, RENEW_BEFORE),
        )
        ends = (read_certificate(pem_to_der(file.read_bytes())).not_after - before for file, before in files)
        return max(0.0, min(ends) - self._clock.now())

    def renew(self) -> bool:
        """Renew what is near its end and let running listeners use it for new connections."""
        if not self.ensure():
            return False
        for context in self._server_contexts:
            context.load_cert_chain(self.server_certificate_file, self.server_key_file)
        return True

    async def keep_renewed(self) -> None:
        """Renew in time, for as long as the server lives (run it as a task)."""
        while True:
            await self._clock.sleep(min(max(self.renewal_due(), 60.0), DAY))
            self.renew()

    def server_ssl_context(self) -> ssl.SSLContext:
        """For the listener. A client may show a certificate; one of another CA ends the handshake.

        The handshake does not look at the certificate's dates: the client-certificate authenticator
        does, so that an expired one is answered with a 401 and not with a lost connection.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.server_certificate_file, self.server_key_file)
        context.load_verify_locations(self.ca_file)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= _NO_CHECK_TIME
        context.set_alpn_protocols(["http/1.1"])
        self._server_contexts.append(context)
        return context

    def client_ssl_context(self, pair: KeyPair | None = None) -> ssl.SSLContext:
        """For a client of this cluster's server; with a certificate when given one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(self.ca_file)
        if pair is not None:
            with _named_file(pair.key + b"\n" + pair.certificate) as file:
                context.load_cert_chain(file)
        return context

    def issue_client(self, common_name: str, groups: Sequence[str] = (), *, lifetime: float = LIFETIME) -> KeyPair:
        """A new client certificate: `common_name` is the user, `groups` are the organizations."""
        from kybern.cluster import issue

        key = issue.new_key()
        authority = self._authority()
        certificate = authority.client(key.public_key(), common_name, groups, self._clock.now(), lifetime)
        return KeyPair(certificate, issue.key_pem(key))

    def sign(self, request: bytes, usages: Iterable[str], lifetime: float = LIFETIME) -> bytes:
        """Sign a PEM certificate request for these usages (`client auth`, ...); ValueError when it is not good.

        Subject and alternative names are taken over unchecked: who may have them is the caller's decision.
        """
        return self._authority().sign(request, tuple(usages), self._clock.now(), lifetime)

    def _authority(self) -> issue.Authority:
        from kybern.cluster import issue

        return issue.Authority(self.ca_certificate, (self.directory / "ca.key").read_bytes())

    def _ensure_ca(self) -> None:
        key_file = self.directory / "ca.key"
        certificate = _read_file(self.ca_file)
        now = self._clock.now()
        if certificate is not None and key_file.exists() and certificate.not_after - now > CA_RENEW_BEFORE:
            return
        from kybern.cluster import issue

        kept = key_file.exists()
        key = self._key(key_file, self.ca_file)
        # With the same key and name, what the old CA certificate signed stays good; a new key gets a new name.
        name = certificate.common_name if kept and certificate is not None else f"kybern-ca@{secrets.token_hex(4)}"
        _write(self.ca_file, issue.self_signed(key, name, now, CA_LIFETIME), 0o644)

    def _fits(self, certificate_file: Path, key_file: Path, authority: Certificate, names: frozenset[str]) -> bool:
        certificate = _read_file(certificate_file)
        return (
            certificate is not None
            and key_file.exists()
            and certificate.issuer == authority.subject
            and certificate.names >= names
            and certificate.not_after - self._clock.now() > RENEW_BEFORE
        )

    def _issue_files(
        self, certificate_file: Path, key_file: Path, name: str, groups: Sequence[str], *, server: bool
    ) -> None:
        key = self._key(key_file, certificate_file)
        authority, now = self._authority(), self._clock.now()
        if server:
            pem = authority.server(key.public_key(), name, sorted(self._names), now, LIFETIME)
        else:
            pem = authority.client(key.public_key(), name, groups, now, LIFETIME)
        _write(certificate_file, pem, 0o644)

    def _ensure_token_key(self) -> None:
        key_file, public_file = self.directory / "sa.key", self.directory / "sa.pub"
        if key_file.exists() and public_file.exists():
            return
        from kybern.cluster import issue

        _write(public_file, issue.public_pem(self._key(key_file, public_file)), 0o644)

    def _key(self, file: Path, public: Path) -> EllipticCurvePrivateKey:
        """The key in the file; a new one, written, when there is none.

        What goes with a lost key goes first: a crash at any point leaves a key without its certificate, which the
        next start completes, and never a certificate of another key.
        """
        from kybern.cluster import issue

        if file.exists():
            return issue.load_key(file.read_bytes())
        public.unlink(missing_ok=True)
        key = issue.new_key()
        _write(file, issue.key_pem(key), 0o600)
        return key


def _fork(make: Callable[[], None]) -> int:
    """The id of a new process that makes it and ends; 0 when there can be none.

    Issuing needs `cryptography.x509` once; the server would keep its 17 MB for as long as it lives.
    With other threads about a fork is not safe.
    """
    if not hasattr(os, "fork") or threading.active_count() > 1:
        return 0
    child = os.fork()
    if child == 0:
        code = 1
        try:
            make()
            code = 0
        finally:
            os._exit(code)
    return child


def _normal(host: str) -> str:
    """Addresses in their shortest form, as certificates are read; names as they are."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host


def _read_file(file: Path) -> Certificate | None:
    """The certificate in the file; None when it is missing or damaged, which is the same to us."""
    try:
        return read_certificate(pem_to_der(file.read_bytes()))
    except (FileNotFoundError, ValueError):
        return None


def _write(file: Path, content: bytes, mode: int) -> None:
    """Replace the file atomically and durably."""
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "wb") as out:
            os.fchmod(out.fileno(), mode)
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _named_file(content: bytes) -> Iterator[str]:
    """The ssl module loads key pairs from files only; this one is the owner's alone and short-lived."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.name
