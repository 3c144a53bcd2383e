"""Autoscaling as a user sees it: kubectl top, autoscale, get hpa, and a test cluster's time moved by `kybern clock`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
import yaml

from tests.e2e.conftest import Kubectl, UserMachine

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata:
      labels: {{app: {name}}}
      annotations: {{fake.kybern.dev/cpu: "{cpu}", fake.kybern.dev/memory: 64Mi}}
    spec:
      containers:
        - {{name: web, image: nginx, resources: {{requests: {{cpu: 100m, memory: 128Mi}}}}}}
"""


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UserMachine]:
    """A cluster whose time moves only when it is told to."""
    user = UserMachine(tmp_path_factory.mktemp("home"))
    user.kybern("up", "--port", "0", "--nodes", "2", "--name", "still", "--clock", "virtual")
    user.kybern("clock", "freeze")
    yield user
    user.kybern("delete", "--name", "still", check=False)


@pytest.fixture
def frozen(still: UserMachine, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """kubectl in a fresh namespace of the cluster that stands still."""
    plain = still.kubectl()
    name = "t" + format(abs(hash(request.node.nodeid)) % 10**10, "010d")
    plain("create", "namespace", name)
    yield plain.within(name)
    plain("delete", "namespace", name, "--wait=false")
    still.kybern("clock", "advance", "2m")


def deploy(kubectl: Kubectl, cpu: str, name: str = "web") -> None:
    kubectl("apply", "-f", "-", stdin=DEPLOYMENT.format(name=name, cpu=cpu))


def size(kubectl: Kubectl) -> int:
    return int(kubectl.json("get", "deployment", "web")["spec"]["replicas"])


def cells(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())


def test_top_shows_what_nodes_and_pods_use(still: UserMachine, frozen: Kubectl) -> None:
    deploy(frozen, "250m")
    still.kybern("clock", "advance", "30s")
    header, pod = frozen("top", "pods").splitlines()
    assert header.split() == ["NAME", "CPU(cores)", "MEMORY(bytes)"]
    assert pod.split()[1:] == ["250m", "64Mi"]
    assert frozen("top", "pods", "--containers", "-l", "app=web").splitlines()[1].split()[1:] == ["web", "250m", "64Mi"]
    nodes = frozen("top", "nodes").splitlines()
    assert nodes[0].split() == ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"]
    assert [line.split()[0] for line in nodes[1:]] == ["node-1", "node-2"]
    assert "250m" in {line.split()[1] for line in nodes[1:]}
    assert 'pods "nobody" not found' in frozen.fails("top", "pod", "nobody")
    assert 'nodes "nowhere" not found' in frozen.fails("top", "node", "nowhere")
    assert frozen("top", "pods", "-A", "--sum").splitlines()[-1].split() == ["250m", "64Mi"]
    deploy(frozen, "500m", "busy")
    frozen("annotate", "pods", "-l", "app=web", "fake.kybern.dev/memory=128Mi", "--overwrite")
    still.kybern("clock", "advance", "30s")

    def order(*flags: str) -> list[str]:
        return [line.split("-")[0] for line in frozen("top", "pods", "--no-headers", *flags).splitlines()]

    assert order("--sort-by=cpu") == ["busy", "web"] and order("--sort-by=memory") == ["web", "busy"]
    assert order("-l", "app in (busy)") == ["busy"] and order("--field-selector=metadata.name!=x") == ["busy", "web"]
    assert "No resources found" in frozen.run("top", "pods", "-l", "app=none").stderr
    by_memory = frozen("top", "nodes", "--sort-by=memory", "--no-headers", "--show-capacity").splitlines()
    amounts = [int(line.split()[3].removesuffix("Mi")) for line in by_memory]
    assert amounts == sorted(amounts, reverse=True) and sum(amounts) == 192
    assert len(frozen("top", "nodes", "--no-headers", "-l", "kubernetes.io/hostname=node-1").splitlines()) == 1


def test_autoscale_grows_and_shrinks_as_time_is_moved(still: UserMachine, frozen: Kubectl) -> None:
    deploy(frozen, "(400m if t < 5min else 40m) / peers")
    autoscaled = frozen("autoscale", "deployment", "web", "--cpu=50%", "--min=1", "--max=6")
    assert autoscaled == "horizontalpodautoscaler.autoscaling/web autoscaled\n"
    header, row = frozen("get", "hpa").splitlines()
    assert cells(header) == ["NAME", "REFERENCE", "TARGETS", "MINPODS", "MAXPODS", "REPLICAS", "AGE"]
    assert cells(row)[:5] == ["web", "Deployment/web", "cpu: <unknown>/50%", "1", "6"]
    still.kybern("clock", "advance", "2m")
    assert size(frozen) == 6
    still.kybern("clock", "advance", "30s")
    assert cells(frozen("get", "hpa", "--no-headers"))[2:6] == ["cpu: 67%/50%", "1", "6", "6"]
    still.kybern("clock", "advance", "3m")
    still.kybern("clock", "advance", "4m")
    assert size(frozen) == 6, "the window of five minutes holds"
    still.kybern("clock", "advance", "6m")
    assert size(frozen) < 6
    described = frozen("describe", "hpa", "web")
    assert re.search(r"SuccessfulRescale\s+.*New size: 6; reason: cpu resource utilization", described)
    assert "All metrics below target" in described
    assert re.search(r"ScalingActive\s+True\s+ValidMetricFound", described)
    frozen("wait", "hpa/web", "--for=condition=AbleToScale", "--timeout=5s")


EVERY_METRIC = """
apiVersion: v1
kind: Service
metadata: {name: front, annotations: {metrics.kybern.dev/rps: "{verb=GET} 20; {verb=PUT} 100"}}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: orders, labels: {metrics.kybern.dev/source: external, queue: orders}}
data: {orders: "4"}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  maxReplicas: 10
  metrics:
    - {type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: 100Mi}}}
    - type: ContainerResource
      containerResource: {name: cpu, container: web, target: {type: Utilization, averageUtilization: 50}}
    - {type: Pods, pods: {metric: {name: depth}, target: {type: AverageValue, averageValue: "8"}}}
    - type: Object
      object:
        metric: {name: rps, selector: {matchLabels: {verb: GET}}}
        describedObject: {apiVersion: v1, kind: Service, name: front}
        target: {type: Value, value: "20"}
    - {type: External, external: {metric: {name: orders}, target: {type: AverageValue, averageValue: "4"}}}
"""


def test_every_kind_of_metric_is_shown_described_and_converted(still: UserMachine, frozen: Kubectl) -> None:
    deploy(frozen, "50m")
    frozen("apply", "-f", "-", stdin=EVERY_METRIC)
    still.kybern("clock", "advance", "10s")
    frozen("annotate", "pods", "-l", "app=web", "metrics.kybern.dev/depth=4")
    still.kybern("clock", "advance", "30s")
    assert cells(frozen("get", "hpa", "--no-headers"))[2] == "memory: 64Mi/100Mi, cpu: 50%/50% + 3 more..."
    described = frozen("describe", "hpa", "web")
    for what, value in (
        ("resource memory on pods", "64Mi / 100Mi"),
        (r'resource cpu of container "web" on pods  \(as a percentage of request\)', r"50% \(50m\) / 50%"),
        ('"depth" on pods', "4 / 8"),
        (r'"rps" on Service/front \(target value\)', "20 / 20"),
        (r'"orders" \(target average value\)', "4 / 4"),
    ):
        assert re.search(rf"  {what}: +{value}\n", described), what
    assert re.search(r"ScalingLimited +False +DesiredWithinRange", described)
    old = frozen.json("get", "horizontalpodautoscalers.v1.autoscaling", "web")
    kept = json.loads(old["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"])
    assert [metric["type"] for metric in kept] == ["Resource", "ContainerResource", "Pods", "Object", "External"]
    frozen("replace", "-f", "-", stdin=json.dumps(old))
    assert len(frozen.json("get", "hpa", "web")["spec"]["metrics"]) == 5
    frozen("delete", "service", "front")
    still.kybern("clock", "advance", "15s")
    told = "the server could not find the metric rps for services front with selector verb=GET"
    assert re.search(rf"FailedGetObjectMetric .*{told}", frozen("describe", "hpa", "web"))


def test_a_queues_worker_goes_to_zero_and_comes_back(still: UserMachine, frozen: Kubectl) -> None:
    deploy(frozen, "10m")
    made = yaml.safe_load(EVERY_METRIC.split("---")[2])
    now = {"stabilizationWindowSeconds": 0}
    made["spec"] |= {"minReplicas": 0, "metrics": made["spec"]["metrics"][-1:], "behavior": {"scaleDown": now}}
    frozen("create", "configmap", "orders", "--from-literal=orders=0@0, 9@2min")
    frozen("label", "configmap", "orders", "metrics.kybern.dev/source=external")
    frozen("apply", "-f", "-", stdin=json.dumps(made))
    still.kybern("clock", "advance", "1m")
    assert size(frozen) == 0 and cells(frozen("get", "hpa", "--no-headers"))[2:6] == ["0/4 (avg)", "0", "10", "0"]
    frozen("wait", "hpa/web", "--for=condition=ScaledToZero", "--timeout=5s")
    still.kybern("clock", "advance", "75s")
    assert size(frozen) == 3
    assert re.search(r"ScaledToZero +False +NotScaledToZero", frozen("describe", "hpa", "web"))


@pytest.mark.parametrize(
    ("flags", "targets"),
    [
        ([], {"cpu": {"type": "Utilization", "averageUtilization": 80}}),
        (["--cpu=60%", "--memory=70%"], {"cpu": {"type": "Utilization", "averageUtilization": 60},
                                         "memory": {"type": "Utilization", "averageUtilization": 70}}),
        (["--cpu=500m", "--memory=200"], {"cpu": {"type": "AverageValue", "averageValue": "500m"},
                                          "memory": {"type": "AverageValue", "averageValue": "200Mi"}}),
    ],
    ids=["nothing said", "percentages", "amounts"],
)  # fmt: skip
def test_autoscale_takes(frozen: Kubectl, flags: list[str], targets: dict[str, dict[str, object]]) -> None:
    deploy(frozen, "10m")
    made = frozen.json("autoscale", "deployment", "web", "--min=2", "--max=8", *flags, "--dry-run=server")
    assert {m["resource"]["name"]: m["resource"]["target"] for m in made["spec"]["metrics"]} == targets
    assert (made["spec"]["minReplicas"], made["spec"]["maxReplicas"]) == (2, 8)


def test_load_changed_by_hand_counts_at_once(still: UserMachine, frozen: Kubectl) -> None:
    deploy(frozen, "10m")
    frozen("autoscale", "deployment", "web", "--cpu=50%", "--max=4")
    still.kybern("clock", "advance", "1m")
    assert size(frozen) == 1
    frozen("annotate", "pods", "-l", "app=web", "--overwrite", "fake.kybern.dev/cpu=90m")
    still.kybern("clock", "advance", "1m")
    assert size(frozen) == 2


def test_custom_and_external_metrics_can_be_read(still: UserMachine, frozen: Kubectl) -> None:
    deploy(frozen, "10m")
    still.kybern("clock", "advance", "10s")
    frozen("annotate", "pods", "-l", "app=web", "metrics.kybern.dev/rps=12")
    frozen("create", "configmap", "queue", "--from-literal=length=30")
    frozen("label", "configmap", "queue", "metrics.kybern.dev/source=external", "queue=jobs")
    custom = frozen("get", "--raw", f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{frozen.namespace}/pods/*/rps")
    assert '"value":"12"' in custom
    external = frozen("get", "--raw", f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{frozen.namespace}/length")
    assert '"value":"30"' in external and '"queue":"jobs"' in external
    assert "metrics.k8s.io/v1beta1" in frozen("api-versions").splitlines()
    assert "PodMetrics" in frozen("api-resources", "--api-group=metrics.k8s.io")


def test_the_clock_is_shown_frozen_and_resumed(still: UserMachine) -> None:
    def clock(*arguments: str) -> str:
        return still.kybern("clock", *arguments).stdout.strip()

    shown = clock()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \(virtual, frozen\)", shown)
    assert clock("show", "--name", "still") == shown
    later = clock("advance", "1h")
    assert later.endswith("(virtual, frozen)") and later > shown
    assert clock("rate", "60").endswith("(virtual, 60 seconds per second)")
    assert clock("resume").endswith("(virtual)")
    assert clock("freeze").endswith("(virtual, frozen)")
    wrong = still.kybern("clock", "advance", "soon", check=False)
    assert wrong.returncode == 1 and "'soon' is not a duration" in wrong.stderr


def test_a_cluster_by_the_machines_time_only_shows_it(cluster: UserMachine) -> None:
    assert cluster.kybern("clock").stdout.strip().endswith("(the machine's time)")
    refused = cluster.kybern("clock", "freeze", check=False)
    assert refused.returncode == 1 and "kybern up --clock virtual" in refused.stderr
