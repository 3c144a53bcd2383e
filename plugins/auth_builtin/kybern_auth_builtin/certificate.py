"""Client certificates: the subject's common name is the user, its organizations are the groups.

The TLS handshake has proved possession of the key and that the cluster's CA signed the certificate;
the dates are checked here, so that an expired certificate is answered and not cut off.
"""

from __future__ import annotations

import hashlib

from kybern.api.errors import StatusError
from kybern.apiserver.authentication import Authenticator, Credentials
from kybern.apiserver.user import User
from kybern.clock import Clock
from kybern.cluster.certificate import Certificate, read_certificate

__all__ = ["CREDENTIAL_ID", "CertificateAuthenticator"]

CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
_REMEMBERED = 4096


class CertificateAuthenticator(Authenticator):
    """Knows whoever the certificate names."""

    name = "client-certificate"
    order = 10

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[bytes, tuple[Certificate, User]] = {}

    async def authenticate(self, credentials: Credentials) -> User | None:
        if credentials.certificate is None:
            return None
        certificate, user = self._known.get(credentials.certificate) or self._read(credentials.certificate)
        if not user.name:
            return None
        if not certificate.not_before <= self._clock.now() <= certificate.not_after:
            raise StatusError.unauthorized()
        return user

    async def review(self, token: str, audiences: tuple[str, ...]) -> tuple[User, tuple[str, ...]] | None:
        return None

    def _read(self, der: bytes) -> tuple[Certificate, User]:
        try:
            certificate = read_certificate(der)
        except ValueError:
            raise StatusError.unauthorized() from None
        fingerprint = f"X509SHA256={hashlib.sha256(der).hexdigest()}"
        user = User(certificate.common_name, certificate.organizations, extra={CREDENTIAL_ID: (fingerprint,)})
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[der] = certificate, user
        return certificate, user
