"""The cluster's PKI: what it makes, what it keeps, and what it renews."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from kybern.clock import VirtualClock
from kybern.cluster import issue
from kybern.cluster.certificate import pem_to_der, read_certificate
from kybern.cluster.pki import PKI, RENEW_BEFORE

DAY = 86400.0


@pytest.fixture
def pki(tmp_path: Path) -> PKI:
    made = PKI(tmp_path / "pki", VirtualClock(), hosts=["cluster.example", "0:0:0::7"])
    made.ensure()
    return made


def contents(pki: PKI) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in pki.directory.iterdir()}


def certificate(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def request(common_name: str = "joe", organization: str = "devs", key: object = None) -> bytes:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    alternative = x509.SubjectAlternativeName([x509.DNSName("joe.example")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name).add_extension(alternative, critical=False)
    signed = builder.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())  # type: ignore[arg-type]
    return signed.public_bytes(serialization.Encoding.PEM)


def test_keys_are_the_owners_alone_and_nothing_else_is_left_behind(pki: PKI) -> None:
    modes = {file.name: file.stat().st_mode & 0o777 for file in pki.directory.iterdir()}
    assert modes == {
        "ca.crt": 0o644, "ca.key": 0o600, "apiserver.crt": 0o644, "apiserver.key": 0o600,
        "admin.crt": 0o644, "admin.key": 0o600, "sa.key": 0o600, "sa.pub": 0o644,
    }  # fmt: skip
    assert pki.directory.stat().st_mode & 0o777 == 0o700


def test_the_server_certificate_has_every_name_it_is_reached_by(pki: PKI) -> None:
    names = read_certificate(pem_to_der(pki.server_certificate_file.read_bytes())).names
    assert names == {
        "localhost", "127.0.0.1", "::1", "10.96.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local", "cluster.example", "::7",
    }  # fmt: skip


def test_certificates_are_signed_by_the_ca_for_their_use(pki: PKI) -> None:
    authority = certificate(pki.ca_certificate)
    for pem, use in (
        (pki.server_certificate_file.read_bytes(), ExtendedKeyUsageOID.SERVER_AUTH),
        (pki.admin.certificate, ExtendedKeyUsageOID.CLIENT_AUTH),
    ):
        issued = certificate(pem)
        issued.verify_directly_issued_by(authority)
        assert list(issued.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [use]
        assert not issued.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.value.ca and constraints.critical


def test_files_can_be_begun_early(tmp_path: Path) -> None:
    pki = PKI(tmp_path, VirtualClock())
    pki.prepare()
    assert pki.ensure()
    pki.server_ssl_context()
    pki.prepare()
    assert not pki.ensure()


def test_what_fails_in_the_other_process_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issue, "self_signed", crash)
    pki = PKI(tmp_path, VirtualClock())
    pki.prepare()
    with pytest.raises(MemoryError):
        pki.ensure()


def test_a_second_start_changes_nothing(pki: PKI) -> None:
    before = contents(pki)
    again = PKI(pki.directory, VirtualClock(), hosts=["cluster.example", "::7"])
    assert not again.ensure()
    assert contents(pki) == before


def test_a_start_with_good_files_imports_no_x509(pki: PKI) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from kybern.clock import VirtualClock; from kybern.cluster.pki import PKI\n"
        f"pki = PKI(Path({str(pki.directory)!r}), VirtualClock(), hosts=['cluster.example'])\n"
        "assert not pki.ensure(); pki.server_ssl_context(); pki.renewal_due(); pki.client_ssl_context(pki.admin)\n"
        "assert not [m for m in sys.modules if m.startswith('cryptography')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_new_host_name_makes_a_new_server_certificate_with_the_same_key(pki: PKI) -> None:
    before = contents(pki)
    assert PKI(pki.directory, VirtualClock(), hosts=["other.example"]).ensure()
    after = contents(pki)
    assert {name for name in before if before[name] != after[name]} == {"apiserver.crt"}


def test_near_the_end_certificates_are_renewed_and_the_ca_is_kept(tmp_path: Path) -> None:
    clock = VirtualClock()
    pki = PKI(tmp_path, clock)
    pki.ensure()
    context = pki.server_ssl_context()
    before = contents(pki)
    assert pki.renewal_due() == pytest.approx(365 * DAY - RENEW_BEFORE, abs=2)
    late = VirtualClock(clock.now() + 310 * DAY)
    renewing = PKI(tmp_path, late)
    renewing._server_contexts.append(context)
    assert renewing.renew()
    after = contents(pki)
    assert {name for name in before if before[name] != after[name]} == {"apiserver.crt", "admin.crt"}
    assert read_certificate(pem_to_der(after["admin.crt"])).not_after > late.now() + 364 * DAY
    assert not renewing.renew()


@pytest.mark.anyio
async def test_renewal_happens_by_itself_in_time(tmp_path: Path) -> None:
    import asyncio

    clock = VirtualClock()
    pki = PKI(tmp_path, clock)
    pki.ensure()
    first = pki.admin.certificate
    task = asyncio.create_task(pki.keep_renewed())
    try:
        await clock.advance(304 * DAY)
        assert pki.admin.certificate == first
        await clock.advance(3 * DAY)
        assert pki.admin.certificate != first
    finally:
        task.cancel()


def test_an_old_ca_is_renewed_with_its_key_and_name_so_that_its_certificates_stay_good(tmp_path: Path) -> None:
    clock = VirtualClock()
    pki = PKI(tmp_path, clock)
    pki.ensure()
    joe = certificate(pki.issue_client("joe").certificate)
    old = certificate(pki.ca_certificate)
    PKI(tmp_path, VirtualClock(clock.now() + 9 * 365 * DAY)).ensure()
    new = certificate(pki.ca_certificate)
    assert new.not_valid_after_utc > old.not_valid_after_utc + timedelta(days=3000)
    joe.verify_directly_issued_by(new)


@pytest.mark.parametrize("lost", ["ca.key", "ca.crt"])
def test_a_lost_ca_means_all_new_certificates(pki: PKI, lost: str) -> None:
    (pki.directory / lost).unlink()
    assert pki.ensure()
    authority = certificate(pki.ca_certificate)
    certificate(pki.server_certificate_file.read_bytes()).verify_directly_issued_by(authority)
    certificate(pki.admin.certificate).verify_directly_issued_by(authority)
    pki.server_ssl_context()


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *((name, "gone") for name in ("apiserver.crt", "admin.crt", "apiserver.key", "sa.pub", "sa.key")),
        *((name, "garbage") for name in ("apiserver.crt", "admin.crt")),
    ],
)
def test_a_lost_or_damaged_file_is_made_again(pki: PKI, name: str, damage: str) -> None:
    if damage == "gone":
        (pki.directory / name).unlink()
    else:
        (pki.directory / name).write_bytes(b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    assert pki.ensure()
    pki.server_ssl_context()
    pki.client_ssl_context(pki.admin)
    public = issue.load_key(pki.service_account_key).public_key()
    shown = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert shown == pki.service_account_public_key


def test_a_clients_certificate_names_user_and_groups(pki: PKI) -> None:
    read = read_certificate(pem_to_der(pki.issue_client("jané", ["a", "b"]).certificate))
    assert (read.common_name, read.organizations) == ("jané", ("a", "b"))


def test_no_certificate_outlives_the_ca(pki: PKI) -> None:
    joe = certificate(pki.issue_client("joe", lifetime=100 * 365 * DAY).certificate)
    assert joe.not_valid_after_utc <= certificate(pki.ca_certificate).not_valid_after_utc


def test_a_request_is_signed_with_its_subject_names_and_the_wanted_usages(pki: PKI) -> None:
    signed = certificate(pki.sign(request(), ["digital signature", "key encipherment", "client auth"], 600))
    signed.verify_directly_issued_by(certificate(pki.ca_certificate))
    assert signed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "joe"
    names = signed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["joe.example"]
    usage = signed.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature and usage.key_encipherment and not usage.key_cert_sign
    assert signed.not_valid_after_utc - signed.not_valid_before_utc == timedelta(seconds=900)


def test_requests_of_other_keys_are_signed_too(pki: PKI) -> None:
    assert certificate(pki.sign(request(key=rsa.generate_private_key(65537, 2048)), ["client auth"]))


def test_a_forged_or_malformed_request_is_refused(pki: PKI) -> None:
    good = request()
    lines = good.split(b"\n")
    changed = lines[2].replace(b"A", b"B")
    with pytest.raises(ValueError):
        pki.sign(b"\n".join([*lines[:2], changed, *lines[3:]]), ["client auth"])
    with pytest.raises(ValueError):
        pki.sign(b"no request", ["client auth"])
    with pytest.raises(ValueError, match="unknown key usage 'mischief'"):
        pki.sign(good, ["mischief"])


def test_a_tls_client_is_known_by_its_certificate_and_a_strangers_handshake_fails(pki: PKI, tmp_path: Path) -> None:
    pair = pki.issue_client("joe", ["devs"])
    der = handshake(pki, pki.client_ssl_context(pair))
    assert der is not None and read_certificate(der).common_name == "joe"
    assert handshake(pki, pki.client_ssl_context()) is None
    other = PKI(tmp_path / "other", VirtualClock())
    other.ensure()
    stranger = pki.client_ssl_context()
    (tmp_path / "pair").write_bytes(other.admin.key + other.admin.certificate)
    stranger.load_cert_chain(tmp_path / "pair")
    with pytest.raises(ssl.SSLError):
        handshake(pki, stranger)


@pytest.mark.parametrize("usages", [["client auth"], ["digital signature", "client auth"]])
def test_a_signed_request_makes_a_tls_client(pki: PKI, tmp_path: Path, usages: list[str]) -> None:
    key = issue.new_key()
    (tmp_path / "pair").write_bytes(issue.key_pem(key) + pki.sign(request(key=key), usages))
    client = pki.client_ssl_context()
    client.load_cert_chain(tmp_path / "pair")
    der = handshake(pki, client)
    assert der is not None and read_certificate(der).common_name == "joe"


def test_an_expired_certificate_passes_the_handshake_for_the_authenticator_to_answer(pki: PKI) -> None:
    # The machine's real time is long after the virtual clock's year, so this certificate is expired for OpenSSL.
    pair = pki.issue_client("joe", lifetime=60)
    client = pki.client_ssl_context(pair)
    client.verify_flags |= 0x200000
    der = handshake(pki, client)
    assert der is not None and read_certificate(der).common_name == "joe"


def handshake(pki: PKI, client: ssl.SSLContext) -> bytes | None:
    """Shake hands in memory; the client certificate as the server saw it."""
    client.verify_flags |= 0x200000
    client_in, client_out, server_in, server_out = (ssl.MemoryBIO() for _ in range(4))
    one = client.wrap_bio(client_in, client_out, server_hostname="localhost")
    other = pki.server_ssl_context().wrap_bio(server_in, server_out, server_side=True)
    for _ in range(6):
        for side in (one, other):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
            server_in.write(client_out.read())
            client_in.write(server_out.read())
    other.do_handshake()
    return other.getpeercert(binary_form=True)


@given(st.binary(max_size=200))
def test_the_reader_never_fails_but_by_value_error(garbage: bytes) -> None:
    try:
        read_certificate(garbage)
    except ValueError:
        pass


@given(st.data())
def test_a_mutilated_certificate_is_read_or_refused(data: st.DataObject) -> None:
    der = bytearray(_SAMPLE)
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_certificate(bytes(der))
    except ValueError:
        pass


_KEY = issue.new_key()
_SAMPLE = pem_to_der(issue.self_signed(_KEY, "sample", 1_767_225_600.0, 3600.0))


def test_a_crash_between_key_and_certificate_is_made_good(pki: PKI, monkeypatch: pytest.MonkeyPatch) -> None:
    for lost in ("ca.key", "apiserver.key", "sa.key"):
        (pki.directory / lost).unlink()
        with monkeypatch.context() as patch:
            patch.setattr(issue, "self_signed", crash)
            patch.setattr(issue.Authority, "server", crash)
            patch.setattr(issue, "public_pem", crash)
            with pytest.raises(MemoryError):
                pki.ensure()
        assert (pki.directory / lost).exists()
        pki.ensure()
        certificate(pki.server_certificate_file.read_bytes()).verify_directly_issued_by(certificate(pki.ca_certificate))
        pki.server_ssl_context()


def crash(*_: object) -> None:
    raise MemoryError


def test_writing_is_atomic(pki: PKI, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(pki)

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        PKI(pki.directory, VirtualClock(), hosts=["more.example"]).ensure()
    assert contents(pki) == before
