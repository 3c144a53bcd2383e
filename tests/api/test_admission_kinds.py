"""Webhook configurations, admission policies and certificate requests: who else has a say in a write."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kybern.api import cel, registry, types
from kybern.api.kind import Kind, WriteContext
from tests.api.judge import ABSENT, NOW, changed, complaints, created, read, shown, stored, update


def kind(name: str) -> Kind:
    group = "certificates.k8s.io" if name == "CertificateSigningRequest" else "admissionregistration.k8s.io"
    found = registry.builtin().kind(group, "v1", name)
    assert found is not None
    return found


def plain(name: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": kind(name).api_version, "kind": name, "metadata": {"name": "x"}, **fields}


RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
HOOK = {
    "name": "check.example.com",
    "clientConfig": {"service": {"namespace": "n", "name": "s"}},
    "rules": [RULE],
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}
HOOKS = plain("ValidatingWebhookConfiguration", webhooks=[HOOK])
POLICY = plain(
    "ValidatingAdmissionPolicy",
    spec={
        "matchConstraints": {"resourceRules": [RULE]},
        "variables": [{"name": "size", "expression": "object.spec.size"}],
        "validations": [{"expression": "variables.size < 5"}],
    },
)
MUTATION = plain(
    "MutatingAdmissionPolicy",
    spec={
        "matchConstraints": {"resourceRules": [RULE]},
        "reinvocationPolicy": "Never",
        "mutations": [
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{spec: Object.spec{}}"}}
        ],
    },
)
BINDING = plain("ValidatingAdmissionPolicyBinding", spec={"policyName": "p", "validationActions": ["Deny"]})


def test_a_webhook_assumes_the_strict_and_the_wide() -> None:
    hook = shown(created(kind("ValidatingWebhookConfiguration"), HOOKS))["webhooks"][0]
    assert (hook["failurePolicy"], hook["matchPolicy"], hook["timeoutSeconds"]) == ("Fail", "Equivalent", 10)
    assert (hook["namespaceSelector"], hook["objectSelector"]) == ({}, {})
    assert hook["clientConfig"]["service"]["port"] == 443
    assert hook["rules"][0]["scope"] == "*"
    mutating = changed(HOOKS, {"kind": "MutatingWebhookConfiguration"})
    hook = shown(created(kind("MutatingWebhookConfiguration"), mutating))["webhooks"][0]
    assert hook["reinvocationPolicy"] == "Never"


AT = "webhooks[0]"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"name": "check"}, f'{AT}.name: Invalid value: "check": should be a domain with at least three segments'),
        ({"sideEffects": "Some"}, f'{AT}.sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDry'),
        ({"timeoutSeconds": 31}, f"{AT}.timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30"),
        ({"clientConfig": {}}, f"{AT}.clientConfig: Required value: exactly one of url or service is required"),
        (
            {"clientConfig": {"url": "http://example.com"}},
            f"{AT}.clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme",
        ),
        (
            {"clientConfig.service.path": "a"},
            f"{AT}.clientConfig.service.path: Invalid value: \"a\": must start with a '/'",
        ),
        (
            {"admissionReviewVersions": ["v2"]},
            f'{AT}.admissionReviewVersions: Invalid value: ["v2"]: must include at least one of v1, v1beta1',
        ),
        (
            {"rules.0.operations": ["*", "CREATE"]},
            f'{AT}.rules[0].operations: Invalid value: ["*","CREATE"]: if \'*\' is present, must not specify other',
        ),
        (
            {"rules.0.resources": ["*/*", "pods"]},
            f'{AT}.rules[0].resources: Invalid value: ["*/*","pods"]: if \'*/*\' is present, must not specify other',
        ),
        (
            {"matchConditions": [{"name": "m", "expression": "object.("}]},
            f'{AT}.matchConditions[0].expression: Invalid value: "object.(": compilation failed',
        ),
        (
            {"matchConditions": [{"name": "m", "expression": "true"}] * 2},
            f'{AT}.matchConditions[1].name: Duplicate value: "m"',
        ),
    ],
)
def test_webhook_rules(change: dict[str, Any], complaint: str) -> None:
    for name in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"):
        base = changed(HOOKS, {"kind": name})
        assert complaints(kind(name), base) == []
        found = complaints(kind(name), changed(base, {f"webhooks.0.{k}": v for k, v in change.items()}))
        assert any(c.startswith(complaint) for c in found), found


def test_two_webhooks_of_a_configuration_have_two_names() -> None:
    found = complaints(kind("ValidatingWebhookConfiguration"), changed(HOOKS, {"webhooks.1": HOOK}))
    assert found == ['webhooks[1].name: Duplicate value: "check.example.com"']


VALIDATION = "spec.validations[0]"


@pytest.mark.parametrize(
    ("base", "change", "complaint"),
    [
        (POLICY, {"spec.validations": []}, "spec.validations: Required value: validations or auditAnnotations must"),
        (POLICY, {"spec.validations.0.expression": " "}, f"{VALIDATION}.expression: Required value"),
        (
            POLICY,
            {"spec.validations.0.expression": "1 +"},
            f'{VALIDATION}.expression: Invalid value: "1 +": compilation failed',
        ),
        (
            POLICY,
            {"spec.validations.0.expression": "'a'"},
            f"{VALIDATION}.expression: Invalid value: \"'a'\": must evaluate to bool",
        ),
        (
            POLICY,
            {"spec.validations.0.expression": "nobody.size < 5"},
            f'{VALIDATION}.expression: Invalid value: "nobody.size < 5": compilation failed',
        ),
        (
            POLICY,
            {"spec.validations.0.message": "a\nb"},
            f'{VALIDATION}.message: Invalid value: "a\\nb": message must not contain line breaks',
        ),
        (POLICY, {"spec.validations.0.reason": "Bad"}, f'{VALIDATION}.reason: Unsupported value: "Bad"'),
        (
            POLICY,
            {"spec.variables.0.name": "a-b"},
            'spec.variables[0].name: Invalid value: "a-b": name is not a valid CEL identifier',
        ),
        (POLICY, {"spec.matchConstraints": ABSENT}, "spec.matchConstraints: Required value"),
        (POLICY, {"spec.paramKind": {"apiVersion": "v1"}}, "spec.paramKind.kind: Required value"),
        (
            POLICY,
            {"spec.auditAnnotations": [{"key": "k", "valueExpression": "'a'"}] * 2},
            'spec.auditAnnotations[1].key: Duplicate value: "k"',
        ),
        (MUTATION, {"spec.mutations": []}, "spec.mutations: Required value: mutations must contain at least one item"),
        (BINDING, {"spec.policyName": ""}, "spec.policyName: Required value"),
        (
            BINDING,
            {"spec.validationActions": ["Deny", "Warn"]},
            'spec.validationActions: Invalid value: ["Deny","Warn"]: must not contain both Deny and Warn',
        ),
        (
            BINDING,
            {"spec.paramRef": {"name": "a", "selector": {}}},
            "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
        ),
    ],
)
def test_policy_rules(base: dict[str, Any], change: dict[str, Any], complaint: str) -> None:
    assert complaints(kind(base["kind"]), base) == []
    found = complaints(kind(base["kind"]), changed(base, change))
    assert any(c.startswith(complaint) for c in found), found


def test_a_policy_reports_conditions_that_are_complete() -> None:
    policies = kind("ValidatingAdmissionPolicy")
    condition = {"type": "Ready", "status": "True", "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    old = stored(policies, POLICY)
    assert update(policies, old, {"status.conditions": [condition]}, "status")[1] == []
    found = update(policies, old, {"status.conditions": [condition, {**condition, "reason": "-"}]}, "status")[1]
    assert [c.split(":")[0] for c in found] == ["status.conditions[1].type", "status.conditions[1].reason"]


def test_policies_in_tables() -> None:
    assert kind("ValidatingAdmissionPolicy").row(created(kind("ValidatingAdmissionPolicy"), POLICY), NOW + 60) == [
        "x",
        1,
        "<unset>",
        "60s",
    ]
    hooks = kind("ValidatingWebhookConfiguration")
    assert hooks.row(created(hooks, HOOKS), NOW + 60) == ["x", 1, "60s"]


@pytest.mark.parametrize(
    ("expression", "results", "fault"),
    [
        ("object.a == 1", ("bool",), ""),
        ("object.a", ("bool",), ""),
        ("1", ("bool",), "must evaluate to bool"),
        ("has(object.a) && object.a.startsWith('x')", ("bool",), ""),
        ("[1, 2].all(i, i > 0)", ("bool",), ""),
        ("other", ("bool",), "undeclared reference to 'other'"),
    ],
)
def test_expressions(expression: str, results: tuple[str, ...], fault: str) -> None:
    found = cel.compile_fault(expression, ("object",), results)
    assert fault in found if fault else found == ""


@pytest.mark.parametrize(("name", "is_one"), [("a", True), ("_a1", True), ("1a", False), ("in", False), ("a-b", False)])
def test_identifiers(name: str, is_one: bool) -> None:
    assert cel.is_identifier(name) is is_one


def _request() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "u")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()


REQUEST = plain(
    "CertificateSigningRequest",
    spec={"request": _request(), "signerName": "example.com/signer", "usages": ["client auth"], "username": "forged"},
)


def test_the_server_writes_down_who_asks() -> None:
    requests = kind("CertificateSigningRequest")
    obj = read(requests, REQUEST)
    requests.prepare_create(obj, WriteContext(now=NOW, user="u", uid="1", groups=["g"], extra={"k": ["v"]}))
    spec = obj.spec
    assert (spec.username, spec.uid, spec.groups, spec.extra) == ("u", "1", ["g"], {"k": ["v"]})


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"spec.request": "YQ=="}, "PEM block type must be CERTIFICATE REQUEST"),
        ({"spec.usages": []}, "spec.usages: Required value"),
        ({"spec.usages": ["client auth", "client auth"]}, 'spec.usages[1]: Duplicate value: "client auth"'),
        ({"spec.usages": ["cooking"]}, 'spec.usages[0]: Unsupported value: "cooking"'),
        ({"spec.signerName": "example"}, 'spec.signerName: Invalid value: "example": must be a fully qualified domain'),
        ({"spec.signerName": "one/a"}, 'spec.signerName: Invalid value: "one": should be a domain with at least two'),
        ({"spec.expirationSeconds": 599}, "spec.expirationSeconds: Invalid value: 599: may not specify a duration"),
    ],
)
def test_request_rules(change: dict[str, Any], complaint: str) -> None:
    assert complaints(kind("CertificateSigningRequest"), REQUEST) == []
    found = complaints(kind("CertificateSigningRequest"), changed(REQUEST, change))
    assert any(complaint in c for c in found), found


APPROVED = {"type": "Approved", "status": "True", "reason": "R"}
CERTIFICATE = base64.b64encode(b"-----BEGIN CERTIFICATE-----\n").decode()


@pytest.mark.parametrize(
    ("path", "change", "complaint"),
    [
        ("approval", {"status.conditions": [APPROVED]}, None),
        (
            "approval",
            {"status.conditions": [APPROVED, {**APPROVED, "type": "Denied"}]},
            'status.conditions: Invalid value: "Approved,Denied": Approved and Denied conditions are',
        ),
        (
            "approval",
            {"status.conditions": [{**APPROVED, "status": "False"}]},
            'status.conditions[0].status: Unsupported value: "False": supported values: "True"',
        ),
        (
            "status",
            {"status.conditions": [APPROVED]},
            'status.conditions: Forbidden: updates may not add a condition of type "Approved"',
        ),
        ("status", {"status.certificate": CERTIFICATE}, None),
        ("status", {"status.certificate": "YQ=="}, "status.certificate: Invalid value"),
    ],
)
def test_each_path_changes_its_own_part(path: str, change: dict[str, Any], complaint: str | None) -> None:
    requests = kind("CertificateSigningRequest")
    found = update(requests, stored(requests, REQUEST), change, path)[1]
    assert len(found) == (1 if complaint else 0) and all(c.startswith(complaint or "") for c in found), found


def test_an_approval_gets_its_time_and_is_for_good() -> None:
    requests = kind("CertificateSigningRequest")
    approved = update(requests, stored(requests, REQUEST), {"status.conditions": [APPROVED]}, "approval")[0]
    condition = approved.status.conditions[0]
    assert condition.lastUpdateTime == condition.lastTransitionTime == "2026-01-01T00:00:00Z"
    assert requests.row(approved, NOW)[-1] == "Approved"
    found = update(requests, approved, {"status.conditions": []}, "approval")[1]
    assert found == ['status.conditions: Forbidden: updates may not remove a condition of type "Approved"']
    kept, found = update(requests, approved, {"status.conditions": [], "spec.usages": ["server auth"]})
    assert found == [] and types.to_plain(kept.status) == types.to_plain(approved.status)
    assert kept.spec == approved.spec
