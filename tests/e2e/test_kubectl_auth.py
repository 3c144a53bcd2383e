"""kubectl auth, create token, certificate, config: who may do what."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@pytest.fixture
def reader(kubectl):
    """A service account that may read pods of its namespace."""
    kubectl("create", "serviceaccount", "reader")
    kubectl("create", "role", "reader", "--verb=get,list,watch", "--resource=pods")
    kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={kubectl.namespace}:reader")
    return f"system:serviceaccount:{kubectl.namespace}:reader"


def test_whoami_and_can_i(kubectl, reader):
    assert "system:masters" in kubectl("auth", "whoami")
    assert kubectl("auth", "can-i", "create", "pods") == "yes\n"
    assert kubectl("auth", "can-i", "list", "pods", "--as", reader) == "yes\n"
    assert kubectl.run("auth", "can-i", "delete", "pods", "--as", reader, check=False).stdout == "no\n"
    listed = kubectl("auth", "can-i", "--list", "--as", reader)
    assert any(line.split()[0] == "pods" and "[get list watch]" in line for line in listed.splitlines())
    assert (
        kubectl("auth", "whoami", "--as", "jane", "--as-group", "devs", "-o", "jsonpath={.status.userInfo.username}")
        == "jane"
    )


def test_a_refusal_says_who_may_not_do_what(kubectl, reader):
    said = kubectl.fails("delete", "pod", "any", "--as", reader)
    assert f'User "{reader}" cannot' in said and 'resource "pods" in API group ""' in said


def test_tokens(kubectl, reader):
    token = kubectl("create", "token", "reader", "--duration=1h").strip()
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["sub"] == reader
    # A kubeconfig of its own: the certificate of the admin's context would speak first.
    bare = ("--kubeconfig=/dev/null", *server_of(kubectl), "--token", token)
    assert kubectl(*bare, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}") == reader
    assert "Forbidden" in kubectl.fails(*bare, "get", "secrets")
    assert kubectl.run(*bare, "get", "pods").returncode == 0
    kubectl("delete", "serviceaccount", "reader")
    assert "Unauthorized" in kubectl.fails(*bare, "get", "pods") or "must be logged in" in kubectl.fails(
        *bare, "get", "pods"
    )


def server_of(kubectl) -> tuple[str, ...]:
    server = kubectl("config", "view", "--raw", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
    return ("--server", server, "--insecure-skip-tls-verify")


def test_reconcile(kubectl):
    role = f"""
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: r, namespace: {kubectl.namespace}}}
rules: [{{apiGroups: [""], resources: [pods], verbs: [get]}}]
"""
    assert "reconciled" in kubectl("auth", "reconcile", "-f", "-", stdin=role)
    more = role.replace("[get]", "[get, list]")
    assert "reconciled" in kubectl("auth", "reconcile", "-f", "-", stdin=more)
    assert kubectl.json("get", "role", "r")["rules"][-1]["verbs"] in (["list"], ["get", "list"])


def test_certificates_are_approved_and_signed(kubectl, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "devs"), x509.NameAttribute(NameOID.COMMON_NAME, "jane")]
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    pem = base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()
    csr = f"jane-{kubectl.namespace}"
    kubectl(
        "create", "-f", "-",
        stdin=f"""
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {{name: {csr}}}
spec: {{request: {pem}, signerName: kubernetes.io/kube-apiserver-client, usages: [client auth]}}
""",
    )  # fmt: skip
    assert "Pending" in kubectl("get", "csr", csr)
    assert "approved" in kubectl("certificate", "approve", csr)
    kubectl("wait", f"csr/{csr}", "--for=jsonpath={.status.certificate}", "--timeout=20s")
    assert "Approved,Issued" in kubectl("get", "csr", csr)
    (tmp_path / "jane.crt").write_bytes(base64.b64decode(kubectl.json("get", "csr", csr)["status"]["certificate"]))
    (tmp_path / "jane.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    as_jane = (
        "--kubeconfig=/dev/null", *server_of(kubectl),
        f"--client-certificate={tmp_path / 'jane.crt'}", f"--client-key={tmp_path / 'jane.key'}",
    )  # fmt: skip
    assert kubectl(*as_jane, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}") == "jane"
    kubectl("delete", "csr", csr)


def test_config_contexts(cluster):
    kubectl = cluster.kubectl()
    assert kubectl("config", "current-context") == "e2e\n"
    kubectl("config", "set-context", "other", "--cluster=e2e", "--user=e2e", "--namespace=kube-system")
    assert (
        "configmap/kube-root-ca.crt"
        in kubectl.run("--context=other", "get", "configmaps", "-o", "name", "-n", "kube-system").stdout
    )
    kubectl("config", "delete-context", "other")
