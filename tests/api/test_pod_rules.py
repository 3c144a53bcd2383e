"""What a pod may not say, field by field. Each line: a change to a good pod, and the complaints it draws."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api.core.pod import KIND
from tests.api.judge import ABSENT, changed, complaints
from tests.api.samples import CONTAINER, POD

C = "spec.containers[0]"
V = "spec.volumes[0]"
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
PAGES = "3Mi is not positive integer multiple of hugepages-2Mi"
PROBE_RANGE = "must be between 1 and 65535, inclusive"
ID_RANGE = "must be between 0 and 2147483647, inclusive"


def volume(**source: Any) -> dict[str, Any]:
    return {"spec.volumes": [{"name": "v", **source}]}


def env(**source: Any) -> dict[str, Any]:
    return {"spec.containers.0.env": [{"name": "A", "valueFrom": source}]}


CONTAINERS = [
    ({"spec.containers": []}, ["spec.containers: Required value"]),
    ({"spec.containers.0": {}}, [f"{C}.name: Required value", f"{C}.image: Required value"]),
    ({"spec.containers.0.name": "Web"}, [f'{C}.name: Invalid value: "Web": {LABEL}']),
    ({"spec.containers.1": CONTAINER}, ['spec.containers[1].name: Duplicate value: "web"']),
    (
        {"spec.containers.0.image": " nginx"},
        [f'{C}.image: Invalid value: " nginx": must not have leading or trailing whitespace'],
    ),
    (
        {"spec.containers.0.imagePullPolicy": "Sometimes"},
        [f'{C}.imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"'],
    ),
    (
        {"spec.containers.0.terminationMessagePolicy": "Both"},
        [f'{C}.terminationMessagePolicy: Unsupported value: "Both": supported values: "File", "FallbackToLogsOnError"'],
    ),
    ({"spec.containers.0.ports": [{}]}, [f"{C}.ports[0].containerPort: Required value"]),
    (
        {"spec.containers.0.ports": [{"containerPort": 70000}]},
        [f"{C}.ports[0].containerPort: Invalid value: 70000: {PROBE_RANGE}"],
    ),
    (
        {"spec.containers.0.ports": [{"name": "p", "containerPort": 1}, {"name": "p", "containerPort": 2}]},
        [f'{C}.ports[1].name: Duplicate value: "p"'],
    ),
    (
        {"spec.containers.0.ports": [{"containerPort": n, "hostPort": 9} for n in (1, 2)]},
        [f'{C}.ports[1].hostPort: Duplicate value: "TCP//9"'],
    ),
    (
        {"spec.containers.0.restartPolicy": "Maybe"},
        [f'{C}.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "Never", "OnFailure"'],
    ),
    (
        {
            "spec.containers.0.restartPolicyRules": [
                {"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}
            ]
        },
        [f"{C}.restartPolicy: Required value: must specify restartPolicy when restart rules are used"],
    ),
    (
        {"spec.initContainers": [{"name": "web", "image": "i"}]},
        ['spec.initContainers[0].name: Duplicate value: "web"'],
    ),
    (
        {"spec.initContainers": [{"name": "i", "image": "i", "lifecycle": {"preStop": {"exec": {"command": ["x"]}}}}]},
        [
            "spec.initContainers[0].lifecycle: Forbidden: "
            "may not be set for init containers without restartPolicy=Always"
        ],
    ),
    (
        {"spec.ephemeralContainers": [{"name": "e", "image": "i"}]},
        ["spec.ephemeralContainers: Forbidden: cannot be set on create"],
    ),
]

ENVIRONMENT = [
    ({"spec.containers.0.env": [{"name": ""}]}, [f"{C}.env[0].name: Required value"]),
    (
        {"spec.containers.0.env": [{"name": "A=B"}]},
        [
            f'{C}.env[0].name: Invalid value: "A=B": a valid environment variable name must consist only of printable '
            "ASCII characters other than '='"
        ],
    ),
    (
        env(),
        [
            f'{C}.env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, '
            "`configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        ],
    ),
    (
        env(fieldRef={"fieldPath": "metadata.name"}, secretKeyRef={"name": "s", "key": "k"}),
        [f'{C}.env[0].valueFrom: Invalid value: "": may not have more than one field specified at a time'],
    ),
    (
        {
            "spec.containers.0.env": [
                {"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
            ]
        },
        [f'{C}.env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
    ),
    (
        env(fieldRef={"fieldPath": "spec.colour"}),
        [
            f'{C}.env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.colour": error converting fieldPath: '
            "field label not supported: spec.colour"
        ],
    ),
    (env(fieldRef={"fieldPath": "metadata.labels['app']"}), []),
    (
        env(resourceFieldRef={"resource": "limits.cpu", "divisor": "2"}),
        [
            f'{C}.env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.cpu": '
            "only divisor's values 1m and 1 are supported with the cpu resource"
        ],
    ),
    (env(resourceFieldRef={"resource": "requests.hugepages-2Mi", "divisor": "1Mi"}), []),
    (env(configMapKeyRef={"name": "c"}), [f"{C}.env[0].valueFrom.configMapKeyRef.key: Required value"]),
    (
        {"spec.containers.0.envFrom": [{}]},
        [f'{C}.envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`'],
    ),
    ({"spec.containers.0.envFrom": [{"secretRef": {}}]}, [f"{C}.envFrom[0].secretRef.name: Required value"]),
]

HANDLERS = [
    ({"spec.containers.0.livenessProbe": {}}, [f"{C}.livenessProbe: Required value: must specify a handler type"]),
    (
        {"spec.containers.0.livenessProbe": {"exec": {"command": ["x"]}, "tcpSocket": {"port": 1}}},
        [f"{C}.livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"],
    ),
    (
        {"spec.containers.0.livenessProbe": {"exec": {"command": ["x"]}, "successThreshold": 2}},
        [f"{C}.livenessProbe.successThreshold: Invalid value: 2: must be 1"],
    ),
    ({"spec.containers.0.readinessProbe": {"exec": {"command": ["x"]}, "successThreshold": 2}}, []),
    (
        {"spec.containers.0.readinessProbe": {"exec": {}, "terminationGracePeriodSeconds": 5}},
        [
            f"{C}.readinessProbe.exec.command: Required value",
            f"{C}.readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: must not be set for readinessProbes",
        ],
    ),
    (
        {"spec.containers.0.startupProbe": {"grpc": {"port": 0}, "periodSeconds": -1}},
        [
            f"{C}.startupProbe.grpc.port: Invalid value: 0: {PROBE_RANGE}",
            f"{C}.startupProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
        ],
    ),
    (
        {"spec.containers.0.lifecycle": {"preStop": {"sleep": {"seconds": 31}}}},
        [
            f"{C}.lifecycle.preStop.sleep: Invalid value: 31: "
            "must be non-negative and less than terminationGracePeriodSeconds (30)"
        ],
    ),
    (
        {
            "spec.containers.0.lifecycle": {
                "postStart": {"httpGet": {"port": 1, "httpHeaders": [{"name": "a b", "value": ""}]}}
            }
        },
        [
            f'{C}.lifecycle.postStart.httpGet.httpHeaders: Invalid value: "a b": a valid HTTP header must consist of '
            "alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')"
        ],
    ),
    (
        {"spec.containers.0.lifecycle": {"stopSignal": "SIGTERM"}},
        [f"{C}.lifecycle.stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`"],
    ),
]

RESOURCES = [
    (
        {"spec.containers.0.resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}},
        [f'{C}.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
    ),
    (
        {"spec.containers.0.resources": {"requests": {"cpu": "-1"}}},
        [f'{C}.resources.requests[cpu]: Invalid value: "-1": must be greater than or equal to 0'],
    ),
    (
        {"spec.containers.0.resources": {"requests": {"example.com/gpu": "1"}}},
        [f"{C}.resources.limits: Required value: Limit must be set for non overcommitable resources"],
    ),
    (
        {"spec.containers.0.resources": {"limits": {"example.com/gpu": "2"}, "requests": {"example.com/gpu": "1"}}},
        [f'{C}.resources.requests: Invalid value: "1": must be equal to example.com/gpu limit of 2'],
    ),
    (
        {"spec.containers.0.resources": {"limits": {"hugepages-2Mi": "3Mi"}}},
        [
            f'{C}.resources.limits[hugepages-2Mi]: Invalid value: "3Mi": {PAGES}',
            f'{C}.resources.requests[hugepages-2Mi]: Invalid value: "3Mi": {PAGES}',
            f"{C}.resources: Forbidden: HugePages require cpu or memory",
        ],
    ),
    (
        {"spec.containers.0.resources": {"claims": [{"name": "gpu"}]}},
        [f'{C}.resources.claims[0].name: Not found: "gpu"'],
    ),
    (
        {"spec.resourceClaims": [{"name": "a"}, {"name": "a", "resourceClaimName": "c"}]},
        [
            'spec.resourceClaims[0]: Invalid value: {"name":"a"}: '
            "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            'spec.resourceClaims[1].name: Duplicate value: "a"',
        ],
    ),
    (
        {"spec.resources": {"requests": {"cpu": "1"}}, "spec.containers.0.resources": {"requests": {"cpu": "2"}}},
        [
            'spec.resources.requests[cpu]: Invalid value: "1": '
            "must be greater than or equal to aggregate container requests of 2"
        ],
    ),
]

MOUNTS = [
    (
        {"spec.containers.0.volumeMounts": [{"name": "v", "mountPath": "/v"}]},
        [f'{C}.volumeMounts[0].name: Not found: "v"'],
    ),
    (
        {
            **volume(),
            "spec.containers.0.volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/v"}],
        },
        [f'{C}.volumeMounts[1].mountPath: Invalid value: "/v": must be unique'],
    ),
    (
        {**volume(), "spec.containers.0.volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "../x"}]},
        [f"{C}.volumeMounts.subPath: Invalid value: \"../x\": must not contain '..'"],
    ),
    (
        {
            **volume(),
            "spec.containers.0.volumeMounts": [{"name": "v", "mountPath": "/v", "mountPropagation": "Bidirectional"}],
        },
        [
            f"{C}.volumeMounts.mountPropagation: Forbidden: "
            "Bidirectional mount propagation is available only to privileged containers"
        ],
    ),
    (
        {
            **volume(),
            "spec.containers.0.volumeMounts": [{"name": "v", "mountPath": "/v", "recursiveReadOnly": "Enabled"}],
        },
        [f"{C}.volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true"],
    ),
    (
        {**volume(), "spec.containers.0.volumeDevices": [{"name": "v", "devicePath": "/dev/x"}]},
        [
            f'{C}.volumeDevices[0].name: Invalid value: "v": '
            "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
        ],
    ),
]

VOLUMES = [
    ({"spec.volumes": [{}]}, [f"{V}.name: Required value"]),
    ({"spec.volumes": [{"name": "v"}, {"name": "v"}]}, ['spec.volumes[1].name: Duplicate value: "v"']),
    (
        volume(emptyDir={}, hostPath={"path": "/x"}),
        [f"{V}.hostPath: Forbidden: may not specify more than 1 volume type"],
    ),
    (
        volume(emptyDir={"sizeLimit": "-1"}),
        [f"{V}.emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity"],
    ),
    (volume(hostPath={"path": "/a/../b"}), [f"{V}.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"]),
    (
        volume(secret={"secretName": "s", "defaultMode": 0o1000}),
        [f"{V}.secret.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive"],
    ),
    (
        volume(configMap={"name": "c", "items": [{"key": "k", "path": "..data"}]}),
        [f"{V}.configMap.items[0].path: Invalid value: \"..data\": must not start with '..'"],
    ),
    (volume(persistentVolumeClaim={}), [f"{V}.persistentVolumeClaim.claimName: Required value"]),
    (
        volume(downwardAPI={"items": [{"path": "p"}]}),
        [f"{V}.downwardAPI: Required value: one of fieldRef and resourceFieldRef is required"],
    ),
    (
        volume(downwardAPI={"items": [{"path": "p", "fieldRef": {"fieldPath": "spec.nodeName"}}]}),
        [
            f'{V}.downwardAPI.fieldRef.fieldPath: Unsupported value: "spec.nodeName": supported values: '
            '"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"'
        ],
    ),
    (
        volume(projected={"sources": [{"secret": {"name": "a", "items": [{"key": "k", "path": "p"}] * 2}}]}),
        [f'{V}.projected: Invalid value: "a": conflicting duplicate paths'],
    ),
    (
        volume(projected={"sources": [{"secret": {"name": "a"}, "configMap": {"name": "b"}}]}),
        [f"{V}.projected.sources[0]: Forbidden: may not specify more than 1 volume type per source"],
    ),
    (
        {**volume(projected={"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 60}}]}),
         "spec.serviceAccountName": "robot"},
        [
            f"{V}.projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 60: "
            "may not specify a duration less than 10 minutes"
        ],
    ),
    (
        volume(projected={"sources": [{"serviceAccountToken": {"path": "t"}}]}),
        [
            f"{V}.projected.sources[0].serviceAccountToken: Forbidden: "
            "must not be specified when serviceAccountName is not set"
        ],
    ),
    (volume(nfs={"server": "", "path": "x"}), [
        f"{V}.nfs.server: Required value",
        f'{V}.nfs.path: Invalid value: "x": must be an absolute path',
    ]),
    (volume(csi={"driver": ""}), [
        f"{V}.csi.driver: Required value",
        f'{V}.csi.driver: Invalid value: "": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric '
        "characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
        r"for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
    ]),
    (volume(image={}), [f"{V}.image.reference: Required value"]),
    (volume(ephemeral={}), [f"{V}.ephemeral.volumeClaimTemplate: Required value"]),
    (
        {"spec.volumes": [
            {"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}}},
            {"name": "w", "persistentVolumeClaim": {"claimName": "web-0-v"}},
        ]},
        [
            'spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: "web-0-v": '
            "must not reference a PVC that gets created for an ephemeral volume"
        ],
    ),
]  # fmt: skip

SECURITY = [
    ({"spec.securityContext": {"fsGroup": -1}}, [f"spec.securityContext.fsGroup: Invalid value: -1: {ID_RANGE}"]),
    (
        {"spec.securityContext": {"seccompProfile": {"type": "Localhost"}}},
        [
            "spec.securityContext.seccompProfile.localhostProfile: Required value: "
            "must be set when seccomp type is Localhost"
        ],
    ),
    (
        {"spec.securityContext": {"appArmorProfile": {"type": "Unconfined", "localhostProfile": "x"}}},
        [
            'spec.securityContext.appArmorProfile.localhostProfile: Invalid value: "x": '
            "can only be set when AppArmor type is Localhost"
        ],
    ),
    (
        {"spec.securityContext": {"sysctls": [{"name": "net/a", "value": ""}, {"name": "net.a", "value": ""}]}},
        ['spec.securityContext.sysctls[1].name: Duplicate value: "net.a"'],
    ),
    (
        {"spec.securityContext": {"sysctls": [{"name": "net.ipv4.x", "value": "1"}]}, "spec.hostNetwork": True},
        [
            'spec.securityContext.sysctls[0].name: Invalid value: "net.ipv4.x": '
            "may not be specified when 'hostNetwork' is true"
        ],
    ),
    (
        {"spec.containers.0.securityContext": {"privileged": True, "allowPrivilegeEscalation": False}},
        [
            f'{C}.securityContext: Invalid value: {{"allowPrivilegeEscalation":false,"privileged":true}}: '
            "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        ],
    ),
    (
        {"spec.containers.0.securityContext": {"procMount": "Unmasked"}},
        [f'{C}.securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`'],
    ),
    ({"spec.containers.0.securityContext": {"procMount": "Unmasked"}, "spec.hostUsers": False}, []),
    (
        {"spec.hostUsers": False, "spec.hostNetwork": True, "spec.hostPID": True},
        [
            "spec.hostNetwork: Forbidden: when `hostUsers` is false",
            "spec.hostPID: Forbidden: when `hostUsers` is false",
        ],
    ),
    (
        {"spec.hostNetwork": True, "spec.containers.0.ports": [{"containerPort": 80, "hostPort": 81}]},
        [f"{C}.ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true"],
    ),
    (
        {"spec.os": {"name": "windows"}, "spec.hostPID": True, "spec.containers.0.securityContext": {"runAsUser": 1}},
        [
            "spec.hostPID: Forbidden: cannot be set for a windows pod",
            f"{C}.securityContext.runAsUser: Forbidden: cannot be set for a windows pod",
        ],
    ),
    (
        {"spec.os": {"name": "linux"}, "spec.securityContext": {"windowsOptions": {"runAsUserName": "x"}}},
        ["spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod"],
    ),
    (
        {"spec.securityContext": {"windowsOptions": {"hostProcess": True}}},
        ["spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers"],
    ),
]

PLACEMENT = [
    (
        {"spec.restartPolicy": "Maybe"},
        ['spec.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"'],
    ),
    (
        {"spec.dnsPolicy": "None"},
        ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
    ),
    (
        {"spec.dnsConfig": {"nameservers": ["1.1.1.1"] * 4}},
        ['spec.dnsConfig.nameservers: Invalid value: ["1.1.1.1","1.1.1.1","1.1.1.1","1.1.1.1"]: '
         "must not have more than 3 nameservers"],
    ),
    ({"spec.dnsConfig": {"searches": [".", "_sip.example.com."]}}, []),
    ({"spec.dnsConfig": {"options": [{}]}}, ["spec.dnsConfig.options[0]: Required value: must not be empty"]),
    (
        {"spec.hostAliases": [{"ip": "nowhere"}]},
        ['spec.hostAliases[0].ip: Invalid value: "nowhere": '
         "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"],
    ),
    (
        {"spec.activeDeadlineSeconds": 0},
        ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
    ),
    (
        {"spec.tolerations": [{"operator": "Exists", "value": "x"}]},
        ['spec.tolerations[0].operator: Invalid value: {"operator":"Exists","value":"x"}: '
         "value must be empty when `operator` is 'Exists'"],
    ),
    (
        {"spec.affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchFields": [{"key": "metadata.uid", "operator": "In", "values": ["a"]}]}]}}}},
        ["spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
         ".nodeSelectorTerms[0].matchFields[0].key: "
         'Invalid value: "metadata.uid": not a valid field selector key'],
    ),
    (
        {"spec.affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 101, "podAffinityTerm": {"topologyKey": "zone", "matchLabelKeys": ["a"]}}]}}},
        ["spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: "
         "Invalid value: 101: must be in the range 1-100",
         "spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.matchLabelKeys: "
         "Forbidden: must not be specified when labelSelector is not set"],
    ),
    (
        {"spec.topologySpreadConstraints": [
            {"maxSkew": 0, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 2}]},
        ["spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
         "spec.topologySpreadConstraints[0].minDomains: Invalid value: 2: "
         "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway"],
    ),
    (
        {"spec.schedulingGates": [{"name": "a"}, {"name": "a"}]},
        ['spec.schedulingGates[1]: Duplicate value: "a"'],
    ),
    (
        {"spec.schedulingGates": [{"name": "a"}], "spec.nodeName": "n"},
        ["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
    ),
    (
        {"spec.preemptionPolicy": "Maybe"},
        ['spec.preemptionPolicy: Unsupported value: "Maybe": supported values: "PreemptLowerPriority", "Never"'],
    ),
    (
        {"spec.overhead": {"cpu": "-1"}},
        ['spec.overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0'],
    ),
    (
        {"spec.hostnameOverride": "a.b", "spec.setHostnameAsFQDN": True},
        ["spec.hostnameOverride: Forbidden: cannot be set when `setHostnameAsFQDN` is true"],
    ),
    (
        {"metadata.annotations": {"controller.kubernetes.io/pod-deletion-cost": "x"}},
        ["metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: "
         'Invalid value: "x": must be a 32bit integer'],
    ),
    (
        {"metadata.annotations": {"kubernetes.io/config.mirror": "x"}},
        ["metadata.annotations[kubernetes.io/config.mirror]: "
         'Invalid value: "x": must set spec.nodeName if mirror pod annotation is set'],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [*CONTAINERS, *ENVIRONMENT, *HANDLERS, *RESOURCES, *MOUNTS, *VOLUMES, *SECURITY, *PLACEMENT],
)
def test_a_bad_pod_is_refused_with_every_reason(changes, expected):
    assert complaints(KIND, changed(POD, changes)) == expected


def test_a_good_pod_is_not():
    assert complaints(KIND, POD) == []


def test_a_missing_spec_is_a_missing_container():
    assert complaints(KIND, changed(POD, {"spec": ABSENT})) == ["spec.containers: Required value"]


WARNINGS = [
    (
        {"spec.nodeSelector": {"beta.kubernetes.io/os": "linux"}},
        ['spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead'],
    ),
    (
        {"spec.containers.0.env": [{"name": "A"}, {"name": "A"}]},
        [f'{C}.env[1]: hides previous definition of "A", which may be dropped when using apply'],
    ),
    (
        {"spec.containers.0.resources": {"limits": {"memory": "100m"}}},
        [
            f'{C}.resources.{side}[memory]: fractional byte value "100m" is invalid, must be an integer'
            for side in ("limits", "requests")
        ],
    ),
    (
        {"spec.imagePullSecrets": [{"name": "a"}, {"name": "a"}, {}]},
        [
            'spec.imagePullSecrets[1].name: duplicate name "a"',
            'spec.imagePullSecrets[2].name: invalid empty name ""',
        ],
    ),
    (
        {"spec.terminationGracePeriodSeconds": -1},
        ["spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"],
    ),
    (volume(projected={"sources": [{}]}), ['volume "v" (Projected) has no sources provided']),
    (
        {"spec.topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]},
        ["spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod"],
    ),
]


@pytest.mark.parametrize(("changes", "expected"), WARNINGS)
def test_what_is_allowed_and_hardly_meant_draws_a_warning(changes, expected):
    from tests.api.judge import created

    pod = created(KIND, changed(POD, changes))
    assert KIND.warn is not None
    assert list(KIND.warn(pod, None)) == expected
    assert list(KIND.warn(pod, pod)) == [], "an update that brings nothing new does not warn again"
