"""Other people's clients: the official Python client and lightkube, in their usual flows."""

from __future__ import annotations

import uuid

import pytest


@pytest.fixture(scope="module")
def namespace() -> str:
    return "clients-" + uuid.uuid4().hex[:6]


@pytest.fixture(scope="module")
def official(cluster, namespace):
    """The official client's modules, configured, with a namespace."""
    kubernetes = pytest.importorskip("kubernetes")
    kubernetes.config.load_kube_config(config_file=str(cluster.home / ".kube" / "config"))
    core = kubernetes.client.CoreV1Api()
    core.create_namespace({"metadata": {"name": namespace}})
    yield kubernetes
    core.delete_namespace(namespace)


def test_the_official_client_creates_watches_and_deletes(official, namespace):
    client, watch = official.client, official.watch
    core, apps = client.CoreV1Api(), client.AppsV1Api()
    template = {
        "metadata": {"labels": {"app": "x"}},
        "spec": {"containers": [{"name": "c", "image": "nginx"}]},
    }
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "x"}}, "template": template}
    made = apps.create_namespaced_deployment(namespace, {"metadata": {"name": "x"}, "spec": spec})
    assert made.metadata.generation == 1
    for event in watch.Watch().stream(apps.list_namespaced_deployment, namespace, timeout_seconds=30):
        if event["object"].status.ready_replicas == 2:
            break
    else:
        pytest.fail("the deployment did not become ready")
    apps.patch_namespaced_deployment_scale("x", namespace, {"spec": {"replicas": 1}})
    assert apps.read_namespaced_deployment("x", namespace).spec.replicas == 1
    pods = core.list_namespaced_pod(namespace, label_selector="app=x")
    assert all(p.spec.node_name for p in pods.items)
    apps.delete_namespaced_deployment("x", namespace, propagation_policy="Foreground")


def test_the_official_client_sees_errors_as_it_expects(official, namespace):
    core = official.client.CoreV1Api()
    with pytest.raises(official.client.ApiException) as missing:
        core.read_namespaced_pod("nope", namespace)
    assert (missing.value.status, missing.value.reason) == (404, "Not Found")
    with pytest.raises(official.client.ApiException) as invalid:
        core.create_namespaced_config_map(namespace, {"metadata": {"name": "No"}})
    assert invalid.value.status == 422


def test_the_official_dynamic_client(official, namespace):
    dynamic = official.dynamic.DynamicClient(official.client.ApiClient())
    maps = dynamic.resources.get(api_version="v1", kind="ConfigMap")
    maps.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "d"}, "data": {"a": "b"}}, namespace=namespace
    )
    assert maps.get(name="d", namespace=namespace).data.a == "b"


def test_lightkube_follows_a_pod(cluster, official, namespace):
    lightkube = pytest.importorskip("lightkube")
    from lightkube.models.core_v1 import Container, PodSpec
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.core_v1 import Pod

    config = lightkube.KubeConfig.from_file(str(cluster.home / ".kube" / "config"))
    client = lightkube.Client(config=config, namespace=namespace)
    spec = PodSpec(containers=[Container(name="c", image="nginx")])
    made = client.create(Pod(metadata=ObjectMeta(name="l"), spec=spec))
    assert made.metadata and made.metadata.uid
    for _, pod in client.watch(Pod, namespace=namespace, fields={"metadata.name": "l"}):
        if pod.status and pod.status.phase == "Running":
            break
    client.delete(Pod, "l")
