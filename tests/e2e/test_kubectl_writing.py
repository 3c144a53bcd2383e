"""kubectl create, apply, diff, edit, patch, replace, label, annotate, delete, wait: everything that changes objects."""

from __future__ import annotations

import json

import pytest

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, labels: {x: '1'}}\ndata: {a: '1', b: '2'}\n"
POD = """
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: one, image: nginx, env: [{name: A, value: "1"}]}
  - {name: two, image: nginx}
"""


def data_of(kubectl, name: str = "c"):
    return kubectl.json("get", "configmap", name).get("data")


def test_create_apply_and_diff(kubectl):
    assert kubectl("apply", "-f", "-", stdin=CONFIG) == "configmap/c created\n"
    assert kubectl("apply", "-f", "-", stdin=CONFIG) == "configmap/c unchanged\n"
    changed = CONFIG.replace("b: '2'", "b: '3'")
    difference = kubectl.run("diff", "-f", "-", stdin=changed, check=False)
    assert difference.returncode == 1
    assert '-  b: "2"' in difference.stdout and '+  b: "3"' in difference.stdout
    assert kubectl("apply", "-f", "-", stdin=changed) == "configmap/c configured\n"
    assert kubectl.run("diff", "-f", "-", stdin=changed).stdout == ""
    kubectl("apply", "-f", "-", stdin=CONFIG.replace(", b: '2'", ""))
    assert data_of(kubectl) == {"a": "1"}
    assert "AlreadyExists" in kubectl.fails("create", "-f", "-", stdin=CONFIG)


def test_apply_prunes_and_sets_the_last_applied(kubectl):
    kubectl("apply", "-f", "-", stdin=CONFIG)
    assert '"b":"2"' in kubectl("apply", "view-last-applied", "configmap/c", "-o", "json").replace(" ", "").replace(
        "\n", ""
    )


def managers(kubectl) -> set[tuple[str, str]]:
    entries = kubectl.json("get", "configmap", "c", "--show-managed-fields")["metadata"]["managedFields"]
    return {(entry["manager"], entry["operation"]) for entry in entries}


def test_what_was_applied_by_the_client_is_taken_over_by_the_server(kubectl):
    kubectl("apply", "-f", "-", stdin=CONFIG)
    assert managers(kubectl) == {("kubectl-client-side-apply", "Update")}
    kubectl("apply", "--server-side", "-f", "-", stdin=CONFIG.replace("a: '1', b: '2'", "a: '9'"))
    assert data_of(kubectl) == {"a": "9"}
    assert ("kubectl", "Apply") in managers(kubectl)
    assert ("kubectl-client-side-apply", "Update") not in managers(kubectl)


def test_fields_that_another_command_set_conflict(kubectl):
    kubectl("create", "-f", "-", stdin=CONFIG)
    changed = CONFIG.replace("b: '2'", "b: '3'")
    assert 'conflict with "kubectl-create" using v1: .data.b' in kubectl.fails(
        "apply", "--server-side", "-f", "-", stdin=changed
    )
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=changed)
    assert data_of(kubectl) == {"a": "1", "b": "3"}


def test_dry_runs_change_nothing(kubectl):
    assert "(server dry run)" in kubectl("apply", "-f", "-", "--dry-run=server", stdin=CONFIG)
    assert "NotFound" in kubectl.fails("get", "configmap", "c")
    kubectl("create", "-f", "-", stdin=CONFIG)
    kubectl("delete", "configmap", "c", "--dry-run=server")
    assert data_of(kubectl) == {"a": "1", "b": "2"}


def test_the_three_kinds_of_patch(kubectl):
    kubectl("create", "-f", "-", stdin=CONFIG)
    kubectl("patch", "configmap", "c", "--type=merge", "-p", '{"data":{"a":null,"c":"3"}}')
    assert data_of(kubectl) == {"b": "2", "c": "3"}
    kubectl("patch", "configmap", "c", "--type=json", "-p", '[{"op":"replace","path":"/data/b","value":"9"}]')
    assert data_of(kubectl) == {"b": "9", "c": "3"}
    kubectl("create", "-f", "-", stdin=POD)
    kubectl("patch", "pod", "p", "-p", '{"spec":{"containers":[{"name":"two","image":"nginx:2"}]}}')
    images = kubectl("get", "pod", "p", "-o", "jsonpath={.spec.containers[*].image}")
    assert images == "nginx nginx:2"
    assert "the server rejected our request" in kubectl.fails(
        "patch", "configmap", "c", "--type=json", "-p", '[{"op":"test","path":"/data/b","value":"1"}]'
    )


def test_edit(kubectl, tmp_path):
    kubectl("create", "-f", "-", stdin=CONFIG)
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i \'s/b: "2"/b: "edited"/\' "$1"\n')
    editor.chmod(0o755)
    kubectl.environment["KUBE_EDITOR"] = str(editor)
    assert "configmap/c edited" in kubectl("edit", "configmap", "c")
    assert data_of(kubectl)["b"] == "edited"


def test_replace(kubectl):
    kubectl("create", "-f", "-", stdin=CONFIG)
    kubectl("replace", "-f", "-", stdin=CONFIG.replace("a: '1'", "a: '7'"))
    assert data_of(kubectl)["a"] == "7"
    stale = kubectl.json("get", "configmap", "c")
    kubectl("label", "configmap", "c", "y=2")
    assert "the object has been modified" in kubectl.fails("replace", "-f", "-", stdin=json.dumps(stale))
    kubectl("replace", "--force", "-f", "-", stdin=CONFIG)
    assert data_of(kubectl)["a"] == "1"


def test_label_and_annotate(kubectl):
    kubectl("create", "-f", "-", stdin=CONFIG)
    kubectl("label", "configmap", "c", "y=2", "x-")
    assert kubectl.json("get", "configmap", "c")["metadata"]["labels"] == {"y": "2"}
    assert "already has a value" in kubectl.fails("label", "configmap", "c", "y=3")
    kubectl("label", "--overwrite", "configmap", "c", "y=3")
    kubectl("annotate", "configmap", "c", "note=hello world")
    assert kubectl("get", "configmap", "c", "-o", "jsonpath={.metadata.annotations.note}") == "hello world"
    assert "a valid label must be" in kubectl.fails("label", "configmap", "c", "z=no spaces")


def test_bad_objects_are_refused_with_the_field(kubectl):
    typo = POD.replace("image: nginx}", "imag: nginx}")
    assert 'unknown field "spec.containers[1].imag"' in kubectl.fails("create", "-f", "-", stdin=typo)
    invalid = POD.replace("name: one", "name: No_Label")
    assert 'The Pod "p" is invalid: spec.containers[0].name: Invalid value: "No_Label"' in kubectl.fails(
        "create", "-f", "-", stdin=invalid
    )
    assert "error: error parsing STDIN" in kubectl.fails("create", "-f", "-", stdin="a: [")


@pytest.mark.parametrize(("cascade", "left"), [("background", 0), ("foreground", 0), ("orphan", 1)])
def test_delete_cascades(kubectl, cascade, left):
    kubectl("create", "deployment", "web", "--image=nginx")
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    kubectl("delete", "deployment", "web", f"--cascade={cascade}", "--timeout=30s")
    kubectl.eventually("get", "replicasets", "-o", "jsonpath={.items[*].metadata.labels.app}", becomes="web" * left)
    kubectl.eventually("get", "pods", "-o", "jsonpath={.items[*].metadata.labels.app}", becomes="web" * left)
    if left:
        assert "ownerReferences" not in kubectl.json("get", "replicasets")["items"][0]["metadata"]


def test_delete_many_and_wait_for_it(kubectl):
    kubectl("create", "-f", "-", stdin=POD)
    kubectl("wait", "pod/p", "--for=condition=Ready", "--timeout=30s")
    kubectl("delete", "pod", "p", "--wait=false")
    kubectl("wait", "pod/p", "--for=delete", "--timeout=30s")
    for name in "abc":
        kubectl("create", "configmap", name)
    kubectl("delete", "configmaps", "--all")
    kubectl.eventually("get", "configmaps", "-o", "name", becomes="configmap/kube-root-ca.crt")
    assert kubectl("delete", "pod", "nope", "--ignore-not-found") == ""


def test_finalizers_hold_a_deletion(kubectl):
    kubectl("create", "-f", "-", stdin=CONFIG.replace("labels:", "finalizers: [example.com/hold], labels:"))
    kubectl("delete", "configmap", "c", "--wait=false")
    assert kubectl("get", "configmap", "c", "-o", "jsonpath={.metadata.deletionTimestamp}")
    kubectl("patch", "configmap", "c", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    assert "NotFound" in kubectl.fails("get", "configmap", "c")


def test_generators(kubectl):
    kubectl("create", "secret", "generic", "s", "--from-literal=k=v")
    kubectl("create", "serviceaccount", "sa")
    kubectl("create", "quota", "q", "--hard=pods=10")
    kubectl("create", "role", "r", "--verb=get", "--resource=pods")
    kubectl("create", "rolebinding", "rb", "--role=r", f"--serviceaccount={kubectl.namespace}:sa")
    kubectl("create", "service", "clusterip", "svc", "--tcp=80:8080")
    kubectl("create", "ingress", "i", "--rule=a.example/x*=svc:80")
    kubectl("create", "poddisruptionbudget", "pdb", "--selector=app=x", "--min-available=1")
    kubectl("create", "job", "j", "--image=busybox", "--", "true")
    kubectl("create", "cronjob", "cj", "--image=busybox", "--schedule=*/5 * * * *", "--", "true")
    assert kubectl("get", "secret", "s", "-o", "jsonpath={.data.k}") == "dg=="
    assert kubectl("get", "service", "svc", "-o", "jsonpath={.spec.clusterIP}").startswith("10.")
    assert kubectl("get", "cronjob", "cj", "--no-headers").split()[1:6] == ["*/5", "*", "*", "*", "*"]


def test_an_unknown_kind_is_told_as_such(kubectl):
    said = kubectl.fails("apply", "-f", "-", stdin='{"apiVersion": "v1", "kind": "Foo", "metadata": {"name": "v"}}')
    assert 'no matches for kind "Foo" in version "v1"' in said
