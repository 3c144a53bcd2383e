"""Kubeconfig files, good and bad, and the service account of a pod."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from kybern.client.kubeconfig import KubeconfigError, in_cluster, load, parse


def config(user: dict[str, Any] | None = None, **cluster: Any) -> dict[str, Any]:
    return {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://example.com:6443/", **cluster}}],
        "users": [{"name": "u", "user": user or {}}],
    }


def test_inline_certificates_are_decoded(tmp_path: Path) -> None:
    data = base64.b64encode(b"PEM").decode()
    given = config({"client-certificate-data": data, "client-key-data": data}, **{"certificate-authority-data": data})
    found = parse(given)
    assert found.server == "https://example.com:6443"
    assert found.ca == found.certificate == found.key == b"PEM"
    assert found.namespace == "shop"


def test_files_are_relative_to_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(b"CA")
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(config({"tokenFile": "token"}, **{"certificate-authority": "ca.crt"})))
    found = load(file)
    assert found.ca == b"CA"
    assert found.token_file == tmp_path / "token"


def test_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(config({"token": "t"})))
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'missing'}:{file}")
    assert load().token == "t"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"current-context": ""}, "current-context is not set"),
        ({"current-context": "there"}, "no context 'there' .*there are: here"),
        ({"users": []}, "no user 'u' under users .*none"),
        ({"clusters": [{"name": "c", "cluster": {}}]}, "names no server"),
        ({"users": [{"name": "u", "user": {"exec": {"command": "x"}}}]}, "from a program"),
        ({"users": [{"name": "u", "user": {"client-key-data": "%%%"}}]}, "client-key-data is not base64"),
        ({"users": [{"name": "u", "user": {"client-key": "/no/such"}}]}, "cannot read the client-key"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, Any], words: str) -> None:
    with pytest.raises(KubeconfigError, match=words):
        parse(config() | change)


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "config"
    with pytest.raises(KubeconfigError, match="cannot read the kubeconfig"):
        load(file)
    file.write_text("{")
    with pytest.raises(KubeconfigError, match="is not YAML"):
        load(file)
    file.write_text("[]")
    with pytest.raises(KubeconfigError, match="config: a kubeconfig is a map"):
        load(file)


def test_a_certificate_that_is_none_is_refused() -> None:
    found = parse(config())
    found.certificate, found.key = b"not", b"pem"
    with pytest.raises(KubeconfigError, match="cannot be used"):
        found.ssl_context()


def test_plain_http_needs_no_tls() -> None:
    found = parse(config(server="http://127.0.0.1:8001"))
    assert found.ssl_context() is None


def test_in_a_pod_the_service_account_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(KubeconfigError, match="not in a pod"):
        in_cluster(tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(KubeconfigError, match="cannot read the service account"):
        in_cluster(tmp_path)
    (tmp_path / "ca.crt").write_text("CA")
    (tmp_path / "namespace").write_text("shop")
    found = in_cluster(tmp_path)
    assert (found.server, found.namespace) == ("https://[fd00::1]:443", "shop")
