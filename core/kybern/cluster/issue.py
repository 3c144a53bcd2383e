"""Make keys and certificates. Imported only when there is something to issue, for it needs `cryptography.x509`."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NoReturn

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority", "key_pem", "load_key", "load_request", "new_key", "public_pem", "self_signed"]

BACKDATE = 300.0
"""Certificates begin a little in the past, for machines whose clocks differ."""

_KEY_USAGES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "data encipherment": "data_encipherment",
    "key agreement": "key_agreement",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
_EXTENDED_USAGES = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec end system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft sgc": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
}
CLIENT_USAGES = ("digital signature", "client auth")
SERVER_USAGES = ("digital signature", "server auth")


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """An EC private key from PEM; ValueError for anything else."""
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("this is not an elliptic-curve private key")
    return key


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PEM as OpenSSL and Go write EC keys."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PEM of the public half."""
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def self_signed(key: ec.EllipticCurvePrivateKey, common_name: str, now: float, lifetime: float) -> bytes:
    """PEM of a CA certificate."""
    name = _name(common_name, ())
    builder = _builder(name, name, key.public_key(), now, now + lifetime)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(("digital signature", "key encipherment", "cert sign")), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def load_request(pem: bytes) -> x509.CertificateSigningRequest:
    """A certificate request whose own signature is good; ValueError otherwise."""
    request = x509.load_pem_x509_csr(pem)
    if not request.is_signature_valid:
        raise ValueError("the certificate request is not signed by its own key")
    return request


class Authority:
    """A CA that signs."""

    def __init__(self, certificate: bytes, key: bytes) -> None:
        """PEM of the CA's certificate and of its key."""
        self._certificate = x509.load_pem_x509_certificate(certificate)
        self._key = load_key(key)

    def client(
        self, public: CertificatePublicKeyTypes, name: str, groups: Sequence[str], now: float, lifetime: float
    ) -> bytes:
        """PEM of a client certificate."""
        return self._sign(public, _name(name, groups), (), CLIENT_USAGES, now, lifetime)

    def server(
        self, public: CertificatePublicKeyTypes, name: str, hosts: Iterable[str], now: float, lifetime: float
    ) -> bytes:
        """PEM of a server certificate for these names and addresses."""
        alternatives = [_general_name(host) for host in hosts]
        return self._sign(public, _name(name, ()), alternatives, SERVER_USAGES, now, lifetime)

    def sign(self, request: bytes, usages: Sequence[str], now: float, lifetime: float) -> bytes:
        """PEM of what a certificate request asks for; ValueError when it is malformed."""
        csr = load_request(request)
        alternatives: list[x509.GeneralName] = []
        with contextlib.suppress(x509.ExtensionNotFound):
            alternatives = list(csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        return self._sign(csr.public_key(), csr.subject, alternatives, usages, now, lifetime)

    def _sign(
        self,
        public: CertificatePublicKeyTypes,
        subject: x509.Name,
        alternatives: Sequence[x509.GeneralName],
        usages: Sequence[str],
        now: float,
        lifetime: float,
    ) -> bytes:
        end = min(now + lifetime, self._certificate.not_valid_after_utc.timestamp())
        builder = _builder(subject, self._certificate.subject, public, now, end)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        flags = _key_usage(usages)
        if flags != _key_usage(()):
            # An extension that allows nothing would forbid what the extended usages allow.
            builder = builder.add_extension(flags, critical=True)
        if extended := [_EXTENDED_USAGES[u] for u in usages if u in _EXTENDED_USAGES]:
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
        own = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
        builder = builder.add_extension(identifier, critical=False)
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _builder(
    subject: x509.Name, issuer: x509.Name, public: CertificatePublicKeyTypes, now: float, end: float
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(int(now - BACKDATE), UTC))
        .not_valid_after(datetime.fromtimestamp(int(end), UTC))
    )


def _name(common_name: str, organizations: Sequence[str]) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(usages: Sequence[str]) -> x509.KeyUsage:
    wanted = {_KEY_USAGES[u] for u in usages if u in _KEY_USAGES}
    for usage in usages:
        if usage not in _KEY_USAGES and usage not in _EXTENDED_USAGES:
            _refuse(usage)
    return x509.KeyUsage(**{flag: flag in wanted for flag in _KEY_USAGES.values()})


def _refuse(usage: str) -> NoReturn:
    raise ValueError(f"unknown key usage {usage!r}")
