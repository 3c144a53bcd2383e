"""What a newcomer does first, word for word from the README."""

from __future__ import annotations

import socket

import pytest


def test_up_create_scale_and_read(machine):
    out = machine.kybern("up", "--port", "0").stdout
    assert "Context 'kybern' is now the current one" in out
    kubectl = machine.kubectl()
    kubectl("create", "deployment", "nginx", "--image=nginx", "--replicas=3")
    assert "successfully rolled out" in kubectl("rollout", "status", "deployment/nginx", "--timeout=30s")
    assert "Ready" in kubectl("get", "nodes")
    everything = kubectl("get", "all", "-A")
    assert everything.count("1/1     Running") == 3
    assert "deployment.apps/nginx   3/3     3            3" in everything
    pod = kubectl("get", "pods", "-o", "name").split()[0]
    described = kubectl("describe", pod)
    for text in (
        "Successfully assigned default/",
        "Successfully pulled image",
        "Container started",
        "Status:           Running",
    ):
        assert text in described
    kubectl("logs", pod)


def test_a_second_up_resumes_the_state(machine):
    machine.kybern("up", "--port", "0")
    machine.kubectl()("create", "configmap", "kept", "--from-literal=a=b")
    assert "is running already" in machine.kybern("up").stdout
    machine.kybern("down")
    assert "stopped" in machine.kybern("status").stdout
    assert "Resuming cluster 'kybern'" in machine.kybern("up").stdout
    assert machine.kubectl()("get", "configmap", "kept", "-o", "jsonpath={.data.a}") == "b"


def test_delete_forgets_everything(machine):
    machine.kybern("up", "--port", "0", "--name", "gone")
    machine.kybern("delete", "--name", "gone")
    assert not (machine.home / ".kybern" / "gone").exists()
    assert "gone" not in (machine.home / ".kube" / "config").read_text()


def test_the_users_other_contexts_stay(machine):
    config = machine.home / ".kube" / "config"
    config.parent.mkdir()
    config.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: other\ncontexts:\n- name: other\n"
        "  context: {cluster: other, user: other}\nclusters: []\nusers: []\npreferences: {colors: true}\n"
    )
    machine.kybern("up", "--port", "0")
    assert machine.kubectl()("config", "get-contexts", "-o", "name").split() == ["kybern", "other"]
    machine.kybern("delete")
    assert machine.kubectl()("config", "get-contexts", "-o", "name").split() == ["other"]


def test_a_restart_keeps_the_namespace_that_the_user_chose(machine):
    machine.kybern("up", "--port", "0")
    machine.kubectl()("config", "set-context", "--current", "--namespace=kube-system")
    machine.kybern("down")
    machine.kybern("up")
    chosen = machine.kubectl()("config", "view", "--minify", "-o", "jsonpath={..namespace}")
    assert chosen == "kube-system"
    machine.kybern("delete")


def test_a_taken_port_is_told_and_nothing_is_left_running(machine):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = machine.kybern("up", "--port", str(port), check=False)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "stopped" in machine.kybern("status").stdout


def test_a_state_of_a_newer_version_is_refused(machine):
    machine.kybern("up", "--port", "0")
    machine.kybern("down")
    record = machine.home / ".kybern" / "kybern" / "cluster.json"
    record.write_text(record.read_text().replace('"version": 1', '"version": 99'))
    done = machine.kybern("up", check=False)
    assert (done.returncode, "written by a newer kybern" in done.stderr) == (1, True)
    record.write_text(record.read_text().replace('"version": 99', '"version": 1'))


def test_a_directory_that_is_not_ours_is_left_alone(machine):
    foreign = machine.home / ".kybern" / "kybern" / "thesis.txt"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("do not touch")
    done = machine.kybern("up", check=False)
    assert (done.returncode, "is not empty and not a cluster of kybern" in done.stderr) == (1, True)
    assert foreign.read_text() == "do not touch"


def test_snapshots_of_a_running_cluster_are_restored_into_a_stopped_one(machine):
    machine.kybern("up", "--port", "0")
    kubectl = machine.kubectl()
    kubectl("create", "configmap", "before", "--from-literal=a=b")
    machine.kybern("snapshot", "save", "snap")
    kubectl("create", "configmap", "after", "--from-literal=a=b")
    assert "is running; stop it first" in machine.kybern("snapshot", "restore", "snap", check=False).stderr
    machine.kybern("down")
    machine.kybern("snapshot", "restore", "snap")
    machine.kybern("up")
    assert kubectl("get", "configmap", "before", "-o", "name") == "configmap/before\n"
    assert "NotFound" in kubectl.fails("get", "configmap", "after")


def test_kubectl_comes_with_kybern(machine):
    machine.kybern("up", "--port", "0")
    assert "node-1" in machine.kybern("kubectl", "get", "nodes").stdout
    assert "v1.37.0+kybern" in machine.kybern("kubectl", "version").stdout


def test_commands_without_a_cluster_say_so(machine):
    assert "There is no cluster" in machine.kybern("status").stdout
    for command in (["down"], ["kubeconfig"], ["kubectl", "get", "pods"], ["snapshot", "save", "x"], ["logs"]):
        done = machine.kybern(*command, check=False)
        assert (done.returncode, "there is no cluster 'kybern'" in done.stderr) == (1, True), command


def test_settings_of_a_cluster_that_never_came_up_are_forgotten(machine):
    failed = machine.kybern("up", "--port", "0", "--disable", "store_builtin", check=False)
    assert (failed.returncode, "offered by no plugin" in failed.stderr) == (1, True)
    assert "is ready" in machine.kybern("up", "--port", "0").stdout


def test_any_port_is_the_same_port_after_a_restart_and_other_settings_wait_for_one(machine):
    machine.kybern("up", "--port", "0")
    server = machine.kubectl()("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
    assert "for others: kybern down" in machine.kybern("up", "--nodes", "3").stdout
    assert "for others" not in machine.kybern("up").stdout
    machine.kybern("down")
    assert server in machine.kybern("up").stdout


def test_a_snapshot_that_cannot_be_written_is_told_in_words(machine):
    machine.kybern("up", "--port", "0")
    done = machine.kybern("snapshot", "save", str(machine.home / "no" / "such" / "file"), check=False)
    assert (done.returncode, "{" in done.stderr, "No such file or directory" in done.stderr) == (1, False, True)


def test_disabling_a_controller_that_is_not_there_is_refused(machine):
    file = machine.home / "kybern.toml"
    file.write_text('[controllers]\ndisable = ["deploymnt"]\n')
    done = machine.kybern("up", "--port", "0", "--config", str(file), check=False)
    assert (done.returncode, "there is no controller 'deploymnt'" in done.stderr) == (1, True)


def test_a_broken_record_hides_no_other_cluster_from_status(machine):
    machine.kybern("up", "--port", "0", "--name", "fine")
    broken = machine.home / ".kybern" / "broken" / "cluster.json"
    broken.parent.mkdir()
    broken.write_text("{")
    shown = machine.kybern("status").stdout
    assert "broken: " in shown and "is not a cluster record of kybern" in shown
    assert "fine: running" in shown
    broken.unlink()


def test_a_resumed_cluster_needs_no_room_on_the_disk(machine):
    machine.kybern("up", "--port", "0")
    machine.kybern("down")
    root = machine.home / ".kybern" / "kybern"
    before = {name: (root / name).stat().st_ino for name in ("cluster.json", "kubeconfig")}
    machine.kybern("up")
    assert {name: (root / name).stat().st_ino for name in before} == before


@pytest.mark.parametrize("how", [(), ("--foreground",)], ids=["background", "foreground"])
def test_a_start_that_is_refused_leaves_nothing_behind(machine, how):
    (machine.home / "bad.toml").write_text('[network]\npod_cidr = "everything"\n')
    refused = machine.kybern("up", "--config", "bad.toml", *how, check=False)
    assert refused.returncode != 0
    assert "network.pod_cidr: 'everything' is not an address range" in refused.stderr
    assert not (machine.home / ".kybern" / "kybern").exists()
