"""Facts about the API's Go types that its published schema does not tell: what an empty field means.

The schema says which fields are optional, not whether an explicit zero differs from nothing (a Go
pointer) or whether an empty value is sent anyway (a plain struct, or a field without `omitempty`).
`api/types.py` reads these sets when it builds the Struct classes; nothing else needs them.

Names are `Definition.field` with the short definition name. A name that occurs in several groups
with different answers is qualified as `group/version.Definition.field` (`core/v1.Event.reason`);
a qualified name is looked for first.
"""

from __future__ import annotations

__all__ = ["ALWAYS", "POINTERS", "POINTER_STRUCTS", "VALUE_STRUCTS", "ZERO_QUANTITIES"]


def _names(text: str) -> frozenset[str]:
    """`Definition: a b c` lines as `Definition.a`, `Definition.b`, ..."""
    found = []
    for line in text.strip().splitlines():
        definition, _, fields = line.strip().partition(": ")
        found += [f"{definition}.{field}" for field in fields.split()]
    return frozenset(found)


POINTERS = _names("""
MatchResources: matchPolicy
MutatingWebhook: failurePolicy matchPolicy reinvocationPolicy sideEffects timeoutSeconds
ValidatingWebhook: failurePolicy matchPolicy sideEffects timeoutSeconds
RuleWithOperations: scope
NamedRuleWithOperations: scope
ValidatingAdmissionPolicySpec: failurePolicy
MutatingAdmissionPolicySpec: failurePolicy
ParamRef: parameterNotFoundAction
Validation: reason
WebhookClientConfig: url
admissionregistration/v1.ServiceReference: path port
apiextensions/v1.ServiceReference: path port
apiregistration/v1.ServiceReference: port
DaemonSetSpec: revisionHistoryLimit
DaemonSetStatus: collisionCount
DeploymentSpec: progressDeadlineSeconds replicas revisionHistoryLimit
DeploymentStatus: collisionCount terminatingReplicas
ReplicaSetSpec: replicas
ReplicaSetStatus: terminatingReplicas
RollingUpdateDaemonSet: maxSurge maxUnavailable
RollingUpdateDeployment: maxSurge maxUnavailable
RollingUpdateStatefulSetStrategy: maxUnavailable partition
StatefulSetSpec: replicas revisionHistoryLimit
StatefulSetStatus: collisionCount
TokenRequestSpec: expirationSeconds
HorizontalPodAutoscalerSpec: minReplicas targetCPUUtilizationPercentage
HorizontalPodAutoscalerStatus: currentCPUUtilizationPercentage observedGeneration
HPAScalingRules: policies selectPolicy stabilizationWindowSeconds
MetricTarget: averageUtilization
MetricValueStatus: averageUtilization
CronJobSpec: failedJobsHistoryLimit startingDeadlineSeconds successfulJobsHistoryLimit suspend timeZone
JobSpec: activeDeadlineSeconds backoffLimit backoffLimitPerIndex completionMode completions managedBy manualSelector
JobSpec: maxFailedIndexes parallelism podReplacementPolicy suspend ttlSecondsAfterFinished
JobStatus: failedIndexes ready terminating
PodFailurePolicyOnExitCodesRequirement: containerName
SuccessPolicyRule: succeededCount succeededIndexes
CertificateSigningRequestSpec: expirationSeconds
PodCertificateRequestSpec: maxExpirationSeconds
LeaseSpec: holderIdentity leaseDurationSeconds leaseTransitions preferredHolder strategy
AppArmorProfile: localhostProfile
AzureDiskVolumeSource: cachingMode fsType kind readOnly
AzureFilePersistentVolumeSource: secretNamespace
CSIVolumeSource: fsType readOnly
ClientIPConfig: timeoutSeconds
ClusterTrustBundleProjection: name optional signerName user
ConfigMap: immutable
ConfigMapEnvSource: optional
ConfigMapKeySelector: optional
ConfigMapProjection: optional
ConfigMapVolumeSource: defaultMode defaultUser optional
Container: restartPolicy
ContainerStatus: started stopSignal
DownwardAPIVolumeFile: mode user
DownwardAPIVolumeSource: defaultMode defaultUser
EmptyDirVolumeSource: mode
EndpointAddress: nodeName
core/v1.EndpointPort: appProtocol
EphemeralContainer: restartPolicy
FCVolumeSource: lun
FileKeySelector: optional
GRPCAction: mode service
GlusterfsPersistentVolumeSource: endpointsNamespace
HTTPGetAction: protocol
HostPathVolumeSource: type
ISCSIPersistentVolumeSource: initiatorName
ISCSIVolumeSource: initiatorName
KeyToPath: mode user
Lifecycle: stopSignal
LoadBalancerIngress: ipMode
LocalVolumeSource: fsType
NodeFeatures: supplementalGroupsPolicy
NodeRuntimeHandlerFeatures: recursiveReadOnlyMounts userNamespaces
NodeSwapStatus: capacity
NodeSystemInfo: runningInUserNamespace
PersistentVolumeClaimSpec: storageClassName volumeAttributesClassName volumeMode
PersistentVolumeClaimStatus: currentVolumeAttributesClassName
PersistentVolumeSpec: volumeAttributesClassName volumeMode
PodCertificateProjection: maxExpirationSeconds user
PodDNSConfigOption: value
PodResourceClaim: resourceClaimName resourceClaimTemplateName
PodResourceClaimStatus: resourceClaimName
PodSchedulingGroup: podGroupName
PodSecurityContext: fsGroup fsGroupChangePolicy runAsGroup runAsNonRoot runAsUser seLinuxChangePolicy
PodSecurityContext: supplementalGroupsPolicy
PodSpec: activeDeadlineSeconds automountServiceAccountToken enableServiceLinks hostUsers hostnameOverride
PodSpec: preemptionPolicy priority runtimeClassName setHostnameAsFQDN shareProcessNamespace
PodSpec: terminationGracePeriodSeconds
PortStatus: error
Probe: terminationGracePeriodSeconds
ProjectedVolumeSource: defaultMode defaultUser
ReplicationControllerSpec: replicas
ResourceHealth: message
SeccompProfile: localhostProfile
Secret: immutable
SecretEnvSource: optional
SecretKeySelector: optional
SecretProjection: optional
SecretVolumeSource: defaultMode defaultUser optional
SecurityContext: allowPrivilegeEscalation privileged procMount readOnlyRootFilesystem runAsGroup runAsNonRoot
SecurityContext: runAsUser
ServiceAccount: automountServiceAccountToken
ServiceAccountTokenProjection: expirationSeconds user
ServicePort: appProtocol
ServiceSpec: allocateLoadBalancerNodePorts internalTrafficPolicy ipFamilyPolicy loadBalancerClass
ServiceSpec: trafficDistribution
Toleration: tolerationSeconds
TopologySpreadConstraint: minDomains nodeAffinityPolicy nodeTaintsPolicy
TypedLocalObjectReference: apiGroup
TypedObjectReference: apiGroup namespace
VolumeMount: mountPropagation recursiveReadOnly
VolumeMountStatus: recursiveReadOnly
WindowsSecurityContextOptions: gmsaCredentialSpec gmsaCredentialSpecName hostProcess runAsUserName
Endpoint: hostname nodeName zone
EndpointConditions: ready serving terminating
discovery/v1.EndpointPort: appProtocol name port protocol
ExemptPriorityLevelConfiguration: lendablePercent nominalConcurrencyShares
LimitedPriorityLevelConfiguration: borrowingLimitPercent lendablePercent nominalConcurrencyShares
HTTPIngressPath: pathType
IngressClassParametersReference: apiGroup namespace scope
IngressPortStatus: error
IngressSpec: ingressClassName
NetworkPolicyPort: endPort port protocol
PodDisruptionBudgetSpec: maxUnavailable minAvailable unhealthyPodEvictionPolicy
AllocatedDeviceStatus: shareID
Device: allNodes allowMultipleAllocations bindsToNode nodeName
DeviceAttribute: bool int string version
DeviceClassSpec: extendedResourceName
DeviceConstraint: distinctAttribute matchAttribute
DeviceRequestAllocationResult: adminAccess shareID
DeviceTaintSelector: device driver pool
DeviceToleration: tolerationSeconds
ExactDeviceRequest: adminAccess
NodeAllocatableMapping: capacityKey
ResourceSliceSpec: allNodes nodeName partitionTypeAttribute perDeviceNodeSelection
PriorityClass: preemptionPolicy
CSIDriverSpec: attachRequired fsGroupPolicy nodeAllocatableUpdatePeriodSeconds podInfoOnMount
CSIDriverSpec: preventPodSchedulingIfMissing requiresRepublish seLinuxMount serviceAccountTokenInSecrets
CSIDriverSpec: storageCapacity
StorageClass: allowVolumeExpansion reclaimPolicy volumeBindingMode
storage/v1.TokenRequest: expirationSeconds
VolumeAttachmentSource: persistentVolumeName
VolumeError: errorCode
VolumeNodeResources: count
CustomResourceDefinitionVersion: deprecationWarning
CustomResourceSubresourceScale: labelSelectorPath
JSONSchemaProps: $ref maxItems maxLength maxProperties maximum minItems minLength minProperties minimum multipleOf
JSONSchemaProps: x-kubernetes-list-type x-kubernetes-map-type x-kubernetes-preserve-unknown-fields
ValidationRule: optionalOldSelf reason
DeleteOptions: gracePeriodSeconds ignoreStoreReadErrorWithClusterBreakingPotential orphanDependents propagationPolicy
ListMeta: remainingItemCount
ObjectMeta: deletionGracePeriodSeconds
OwnerReference: blockOwnerDeletion controller
Preconditions: resourceVersion uid
""")
"""Optional fields whose explicit zero value ("", 0, false, []) is kept: it means something else than absence."""

VALUE_STRUCTS = _names("""
MutatingAdmissionPolicy: spec
MutatingAdmissionPolicyBinding: spec
ValidatingAdmissionPolicy: spec status
ValidatingAdmissionPolicyBinding: spec
DaemonSet: spec status
DaemonSetSpec: updateStrategy
Deployment: spec status
DeploymentSpec: strategy
ReplicaSet: spec status
ReplicaSetSpec: template
StatefulSet: spec status
StatefulSetSpec: updateStrategy
SelfSubjectReview: status
SelfSubjectReviewStatus: userInfo
authentication/v1.TokenRequest: spec status
TokenReview: spec status
TokenReviewStatus: user
LocalSubjectAccessReview: spec status
SelfSubjectAccessReview: spec status
SelfSubjectRulesReview: spec status
SubjectAccessReview: spec status
HorizontalPodAutoscaler: spec status
Scale: spec status
CronJob: spec status
Job: spec status
JobTemplateSpec: spec
CertificateSigningRequest: spec status
ClusterTrustBundle: spec
PodCertificateRequest: spec status
Lease: spec
Container: resources
EphemeralContainer: resources
ContainerStatus: lastState state
core/v1.Event: source
events/v1.Event: deprecatedSource regarding
LimitRange: spec
Namespace: spec status
Node: spec status
NodeDaemonEndpoints: kubeletEndpoint
NodeStatus: daemonEndpoints nodeInfo
PersistentVolume: spec status
PersistentVolumeClaim: spec status
PersistentVolumeClaimSpec: resources
Pod: spec status
PodTemplate: template
PodTemplateSpec: spec
ReplicationController: spec status
ResourceQuota: spec status
Service: spec status
ServiceStatus: loadBalancer
Endpoint: conditions
FlowSchema: spec status
PriorityLevelConfiguration: spec status
IPAddress: spec
Ingress: spec status
IngressClass: spec
IngressServiceBackend: port
IngressStatus: loadBalancer
NetworkPolicy: spec
NetworkPolicySpec: podSelector
ServiceCIDR: spec status
PodDisruptionBudget: spec status
AllocationResult: devices
DeviceClass: spec
DeviceTaintRule: spec status
ResourceClaim: spec status
ResourceClaimSpec: devices
ResourceClaimTemplate: spec
ResourceClaimTemplateSpec: spec
ResourceSlice: spec
CSIDriver: spec
CSINode: spec
VolumeAttachment: spec status
StorageVersionMigration: spec status
CustomResourceDefinition: spec status
CustomResourceDefinitionStatus: acceptedNames
APIGroup: preferredVersion
APIService: spec status
""")
"""Optional fields that hold a struct by value: never None, sent even when empty. `metadata` is one everywhere.

Any other optional struct field is a pointer: None when absent, kept when given empty."""

POINTER_STRUCTS = _names("""
CSINode: status
DaemonSetSpec: selector
DeploymentSpec: selector
ReplicaSetSpec: selector
StatefulSetSpec: selector
IPAddressSpec: parentRef
ScaleIOPersistentVolumeSource: secretRef
ScaleIOVolumeSource: secretRef
""")
"""Pointers where a value is the rule: spec or status of a whole object, or a field that must be given."""

ALWAYS = _names("""
ControllerRevision: revision
StatefulSetOrdinals: start
StatefulSetSpec: serviceName
StatefulSetStatus: availableReplicas
autoscaling/v2.HorizontalPodAutoscalerStatus: currentMetrics
PodDisruptionBudgetStatus: currentHealthy desiredHealthy disruptionsAllowed expectedPods
PodFailurePolicyOnPodConditionsPattern: status
TokenRequestSpec: boundObjectRef expirationSeconds
core/v1.Event: eventTime firstTimestamp lastTimestamp reportingComponent reportingInstance
events/v1.Event: deprecatedFirstTimestamp deprecatedLastTimestamp eventTime
core/v1.EventSeries: lastObservedTime
EndpointSlice: endpoints ports
ClusterRole: rules
Role: rules
RoleRef: apiGroup
ProjectedVolumeSource: sources
DeviceClaim: requests
PriorityClass: value
CSINodeDriver: topologyKeys
FlowSchemaSpec: matchingPrecedence
QueuingConfiguration: handSize queueLengthLimit queues
CustomResourceDefinitionStatus: conditions storedVersions
ContainerStateRunning: startedAt
ContainerStateTerminated: finishedAt startedAt
PodCondition: lastProbeTime lastTransitionTime
NodeCondition: lastHeartbeatTime lastTransitionTime
NamespaceCondition: lastTransitionTime
PersistentVolumeClaimCondition: lastProbeTime lastTransitionTime
ReplicationControllerCondition: lastTransitionTime
ReplicaSetCondition: lastTransitionTime
DaemonSetCondition: lastTransitionTime
DeploymentCondition: lastTransitionTime lastUpdateTime
StatefulSetCondition: lastTransitionTime
JobCondition: lastProbeTime lastTransitionTime
HorizontalPodAutoscalerCondition: lastTransitionTime
CertificateSigningRequestCondition: lastTransitionTime lastUpdateTime
FlowSchemaCondition: lastTransitionTime
PriorityLevelConfigurationCondition: lastTransitionTime
CustomResourceDefinitionCondition: lastTransitionTime
APIServiceCondition: lastTransitionTime
VolumeError: time
""") | frozenset(
    f"{kind}Condition.{field}"
    for kind in ("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet")
    for field in ("status", "type")
)
"""Fields the schema calls optional that are sent even when empty: "" or 0 for scalars, null for the rest."""

ZERO_QUANTITIES = _names("""
ResourceFieldSelector: divisor
""")
"""Quantities held by value: absent means "0", and is sent so."""
