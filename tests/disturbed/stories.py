"""What the controllers are disturbed at: one story per row, told in kubectl's words.

A story is told in many namespaces at once. Its steps are manifests, which are applied in each, and kubectl
commands, which get `--all-namespaces` and the label of the story's objects.
"""

from __future__ import annotations

import attrs

__all__ = ["STORIES", "Story"]

Step = str | tuple[str, ...]


@attrs.frozen
class Story:
    """Who is disturbed at what, and what there is to see at its end."""

    controllers: str
    """The names of those that are disturbed; all others work undisturbed."""
    shows: str
    """What `kubectl get` is asked for."""
    steps: tuple[Step, ...]
    most: int = 100
    """At no moment are there more live pods than these in a namespace."""
    rest: float = 60
    """Virtual seconds after which nothing moves any more."""


def workload(kind: str, image: str, more: str = "", version: str = "apps/v1") -> str:
    """`web` of a kind, with what its spec has beyond selector and template."""
    selector = "{app: web}" if version == "v1" else "{matchLabels: {app: web}}"
    return f"""
apiVersion: {version}
kind: {kind}
metadata: {{name: web}}
spec:
  selector: {selector}
  template:
    metadata: {{labels: {{app: web}}, annotations: {{fake.kybern.dev/cpu: 150m}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{{name: c, image: "{image}", resources: {{requests: {{cpu: 100m}}}}}}]
  {more}
"""


def job(name: str, script: str, more: str) -> str:
    """A Job whose pods run a shell script."""
    return f"""
apiVersion: batch/v1
kind: Job
metadata: {{name: {name}}}
spec:
  {more}
  template:
    spec:
      restartPolicy: Never
      containers: [{{name: c, image: busybox, command: [sh, -c, "{script}"]}}]
"""


def together(*documents: str) -> str:
    return "\n---\n".join(documents)


def until(kind: str, what: str) -> Step:
    """kubectl wait on all of a kind in the story."""
    return ("wait", kind, f"--for={what}")


def rolled_out(kind: str, generation: int, counter: str, count: int) -> tuple[Step, ...]:
    return (
        until(kind, f"jsonpath={{.status.observedGeneration}}={generation}"),
        until(kind, f"jsonpath={{.status.{counter}}}={count}"),
    )


SURGE = "replicas: 2\n  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}"
CLAIMS = """replicas: 2
  serviceName: web
  persistentVolumeClaimRetentionPolicy: {whenScaled: Delete, whenDeleted: Retain}
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""
QUOTA = """
apiVersion: v1
kind: ResourceQuota
metadata: {name: q}
spec: {hard: {pods: "PODS", requests.cpu: "1"}}
"""
VOLUMES = """
apiVersion: v1
kind: PersistentVolume
metadata: {name: NS, labels: {kubernetes.io/metadata.name: NS}}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: NS
  persistentVolumeReclaimPolicy: Retain
  hostPath: {path: /data}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: by-hand}
spec: {storageClassName: NS, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: made-for-it}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""
SCRATCH = """
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  containers: [{name: c, image: nginx, volumeMounts: [{name: scratch, mountPath: /scratch}]}]
  volumes:
    - name: scratch
      ephemeral:
        volumeClaimTemplate:
          spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""
DEVICES = """
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: gpu}
spec: {selectors: [{cel: {expression: 'device.driver == "gpu.example.com"'}}]}
---
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: NS}
spec:
  driver: gpu.example.com
  allNodes: true
  pool: {name: NS, generation: 1, resourceSliceCount: 1}
  devices: [{name: a}]
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: one}
spec: {spec: {devices: {requests: [{name: r, exactly: {deviceClassName: gpu}}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: nginx, resources: {claims: [{name: gpu}]}}]
  resourceClaims: [{name: gpu, resourceClaimTemplateName: one}]
"""

STORIES = {
    "deployment": Story(
        "deployment",
        "deployments,replicasets,pods",
        (
            workload("Deployment", "nginx:1", SURGE),
            until("deployment", "condition=Available"),
            workload("Deployment", "nginx:2", SURGE),
            until("deployment", r"jsonpath={.metadata.annotations.deployment\.kubernetes\.io/revision}=2"),
            until("deployment", "jsonpath={.status.updatedReplicas}=2"),
        ),
        most=3,
    ),
    "replicaset": Story(
        "replicaset",
        "replicasets,pods",
        (
            workload("ReplicaSet", "nginx", "replicas: 3"),
            until("replicaset", "jsonpath={.status.availableReplicas}=3"),
            workload("ReplicaSet", "nginx", "replicas: 1"),
            *rolled_out("replicaset", 2, "replicas", 1),
        ),
        most=3,
    ),
    "replicationcontroller": Story(
        "replicationcontroller",
        "replicationcontrollers,pods",
        (
            workload("ReplicationController", "nginx", "replicas: 2", "v1"),
            until("replicationcontroller", "jsonpath={.status.availableReplicas}=2"),
            workload("ReplicationController", "nginx", "replicas: 1", "v1"),
            *rolled_out("replicationcontroller", 2, "replicas", 1),
        ),
        most=2,
    ),
    "statefulset": Story(
        "statefulset",
        "statefulsets,controllerrevisions,persistentvolumeclaims,pods",
        (
            workload("StatefulSet", "nginx:1", CLAIMS),
            until("statefulset", "jsonpath={.status.availableReplicas}=2"),
            workload("StatefulSet", "nginx:2", CLAIMS),
            *rolled_out("statefulset", 2, "updatedReplicas", 2),
            workload("StatefulSet", "nginx:2", CLAIMS.replace("replicas: 2", "replicas: 1")),
            *rolled_out("statefulset", 3, "replicas", 1),
        ),
        most=2,
    ),
    "daemonset": Story(
        "daemonset",
        "daemonsets,controllerrevisions,pods",
        (
            workload("DaemonSet", "nginx:1"),
            until("daemonset", "jsonpath={.status.numberAvailable}=3"),
            workload("DaemonSet", "nginx:2"),
            *rolled_out("daemonset", 2, "updatedNumberScheduled", 3),
        ),
        most=3,
    ),
    "job": Story(
        "job",
        "jobs,pods",
        (
            job("work", "exit 0", "completionMode: Indexed\n  completions: 3\n  parallelism: 2"),
            until("job", "condition=Complete"),
        ),
        most=2,
    ),
    "job-failing": Story(
        "job",
        "jobs,pods",
        (job("work", "exit 1", "backoffLimit: 1"), until("job", "condition=Failed")),
        most=1,
    ),
    "job-suspended": Story(
        "job",
        "jobs,pods",
        (
            job("work", "sleep 300", "completions: 2\n  parallelism: 2"),
            until("job", "jsonpath={.status.ready}=2"),
            job("work", "sleep 300", "completions: 2\n  parallelism: 2\n  suspend: true"),
            until("job", "condition=Suspended"),
            job("work", "sleep 300", "completions: 2\n  parallelism: 2\n  suspend: false"),
            until("job", "condition=Complete"),
        ),
        most=2,
    ),
    "cronjob": Story(
        "cronjob",
        "cronjobs,jobs",
        (
            """
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick}
spec:
  schedule: "*/5 * * * *"
  successfulJobsHistoryLimit: 1
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: c, image: busybox, command: [sh, -c, exit 0]}]
""",
            until("cronjob", "jsonpath={.status.lastSuccessfulTime}"),
        ),
        rest=700,
    ),
    "ttl": Story(
        "ttl-after-finished",
        "jobs,pods",
        (job("work", "exit 0", "ttlSecondsAfterFinished: 30"), until("job", "delete")),
    ),
    "hpa": Story(
        "horizontal-pod-autoscaler",
        "horizontalpodautoscalers,deployments",
        (
            together(
                workload("Deployment", "nginx"),
                """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 1
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
""",
            ),
            until("hpa", "jsonpath={.status.currentReplicas}=3"),
            until("deployment", "jsonpath={.status.availableReplicas}=3"),
        ),
        most=4,
        rest=120,
    ),
    "disruption": Story(
        "disruption",
        "poddisruptionbudgets",
        (
            together(
                workload("Deployment", "nginx", "replicas: 2"),
                """
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: keep}
spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}
""",
            ),
            until("pdb", "jsonpath={.status.disruptionsAllowed}=1"),
            workload("Deployment", "nginx", "replicas: 1"),
            until("pdb", "jsonpath={.status.disruptionsAllowed}=0"),
        ),
    ),
    "quota": Story(
        "resourcequota",
        "resourcequotas,deployments",
        (
            QUOTA.replace("PODS", "2"),
            until("quota", "jsonpath={.status.used.pods}=0"),
            workload("Deployment", "nginx", "replicas: 3"),
            until("quota", "jsonpath={.status.used.pods}=2"),
            QUOTA.replace("PODS", "3"),
            until("deployment", "condition=Available"),
            until("quota", "jsonpath={.status.used.pods}=3"),
        ),
        most=3,
        rest=400,
    ),
    "endpoints": Story(
        "endpointslice endpoints",
        "endpoints,endpointslices",
        (
            together(SERVICE, workload("Deployment", "nginx", "replicas: 2")),
            until("deployment", "condition=Available"),
            until("endpoints", "jsonpath={.subsets[0].addresses[1].ip}"),
            workload("Deployment", "nginx", "replicas: 1"),
            until("deployment", "jsonpath={.status.replicas}=1"),
        ),
    ),
    "mirroring": Story(
        "endpointslicemirroring",
        "endpoints,endpointslices",
        (
            together(
                SERVICE.replace("selector: {app: web}, ", ""),
                """
apiVersion: v1
kind: Endpoints
metadata: {name: web}
subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{port: 80}]}]
""",
            ),
            until("endpointslice", "jsonpath={.endpoints[0].addresses[0]}=10.0.0.1"),
        ),
    ),
    "volumes": Story(
        "persistentvolume-binder pvc-protection pv-protection",
        "persistentvolumes,persistentvolumeclaims",
        (
            VOLUMES,
            until("pvc", "jsonpath={.status.phase}=Bound"),
            ("delete", "pvc"),
        ),
    ),
    "ephemeral": Story(
        "ephemeral-volume",
        "persistentvolumeclaims,pods",
        (SCRATCH, until("pod", "condition=Ready")),
    ),
    "resourceclaim": Story(
        "resource-claim",
        "resourceclaims,pods",
        (DEVICES, until("pod", "condition=Ready"), ("delete", "pod")),
    ),
    "namespace": Story(
        "namespace",
        "all,configmaps,namespaces",
        (
            together(SERVICE, workload("Deployment", "nginx", "replicas: 2")),
            until("deployment", "condition=Available"),
            ("delete", "namespace"),
        ),
    ),
    "garbage": Story(
        "garbagecollector",
        "all,controllerrevisions",
        (
            together(
                workload("Deployment", "nginx"),
                workload("StatefulSet", "nginx", "serviceName: web").replace("web", "kept"),
                workload("DaemonSet", "nginx").replace("web", "let-go"),
            ),
            until("deployment", "condition=Available"),
            until("statefulset", "jsonpath={.status.availableReplicas}=1"),
            until("daemonset", "jsonpath={.status.numberAvailable}=3"),
            ("delete", "deployment", "--cascade=foreground"),
            ("delete", "statefulset", "--cascade=orphan"),
            ("delete", "daemonset", "--cascade=background"),
        ),
        most=5,
    ),
}
