"""Go types in decoding errors: `... Go struct field ServicePort.spec.ports.protocol of type v1.Protocol`.

The schema knows strings where Go has named types, and does not know which structs are embedded. Both
are visible to users only in these messages.
"""

from __future__ import annotations

from kybern.api.schema import Definition, Field, Type

__all__ = ["embedded", "type_name"]

_NAMED = """
CSIDriverSpec.fsGroupPolicy FSGroupPolicy | CSIDriverSpec.volumeLifecycleModes VolumeLifecycleMode
Capabilities.add Capability | Capabilities.drop Capability
CertificateSigningRequestSpec.usages KeyUsage | Container.terminationMessagePolicy TerminationMessagePolicy
EphemeralContainer.terminationMessagePolicy TerminationMessagePolicy
Container.imagePullPolicy PullPolicy | EphemeralContainer.imagePullPolicy PullPolicy
Container.restartPolicy ContainerRestartPolicy | ContainerPort.protocol Protocol | EndpointPort.protocol Protocol
CustomResourceDefinitionSpec.scope ResourceScope | DeploymentStrategy.type DeploymentStrategyType
DaemonSetUpdateStrategy.type DaemonSetUpdateStrategyType | EndpointSlice.addressType AddressType
ExactDeviceRequest.allocationMode DeviceAllocationMode | HPAScalingPolicy.type HPAScalingPolicyType
HPAScalingRules.selectPolicy ScalingPolicySelect | HTTPGetAction.scheme URIScheme | HTTPIngressPath.pathType PathType
HostPathVolumeSource.type HostPathType | JobSpec.completionMode CompletionMode
JobSpec.podReplacementPolicy PodReplacementPolicy | LabelSelectorRequirement.operator LabelSelectorOperator
LimitRangeItem.type LimitType | MetricSpec.type MetricSourceType | MetricTarget.type MetricTargetType
MutatingWebhook.failurePolicy FailurePolicyType | MutatingWebhook.matchPolicy MatchPolicyType
MutatingWebhook.reinvocationPolicy ReinvocationPolicyType | MutatingWebhook.sideEffects SideEffectClass
ValidatingWebhook.failurePolicy FailurePolicyType | ValidatingWebhook.matchPolicy MatchPolicyType
ValidatingWebhook.sideEffects SideEffectClass | NamedRuleWithOperations.operations OperationType
RuleWithOperations.operations OperationType | NamedRuleWithOperations.scope ScopeType
RuleWithOperations.scope ScopeType | NetworkPolicyPort.protocol Protocol | NetworkPolicySpec.policyTypes PolicyType
NodeSelectorRequirement.operator NodeSelectorOperator | PersistentVolumeClaimSpec.accessModes PersistentVolumeAccessMode
PersistentVolumeClaimSpec.volumeMode PersistentVolumeMode | PersistentVolumeSpec.accessModes PersistentVolumeAccessMode
PersistentVolumeSpec.volumeMode PersistentVolumeMode
PersistentVolumeSpec.persistentVolumeReclaimPolicy PersistentVolumeReclaimPolicy
PodDisruptionBudgetSpec.unhealthyPodEvictionPolicy UnhealthyPodEvictionPolicyType
PodFailurePolicyOnExitCodesRequirement.operator PodFailurePolicyOnExitCodesOperator
PodFailurePolicyRule.action PodFailurePolicyAction | PodFailurePolicyOnPodConditionsPattern.status ConditionStatus
PodFailurePolicyOnPodConditionsPattern.type PodConditionType | PodReadinessGate.conditionType PodConditionType
PodSpec.restartPolicy RestartPolicy | PodSpec.dnsPolicy DNSPolicy | PodSpec.preemptionPolicy PreemptionPolicy
PodOS.name OSName | PriorityClass.preemptionPolicy PreemptionPolicy | ResourceQuotaSpec.scopes ResourceQuotaScope
ScopedResourceSelectorRequirement.operator ScopeSelectorOperator
ScopedResourceSelectorRequirement.scopeName ResourceQuotaScope | Secret.type SecretType | ServicePort.protocol Protocol
ServiceSpec.internalTrafficPolicy ServiceInternalTrafficPolicy | ServiceSpec.sessionAffinity ServiceAffinity
ServiceSpec.externalTrafficPolicy ServiceExternalTrafficPolicy | ServiceSpec.type ServiceType
ServiceSpec.ipFamilies IPFamily | ServiceSpec.ipFamilyPolicy IPFamilyPolicy
StatefulSetPersistentVolumeClaimRetentionPolicy.whenDeleted PersistentVolumeClaimRetentionPolicyType
StatefulSetPersistentVolumeClaimRetentionPolicy.whenScaled PersistentVolumeClaimRetentionPolicyType
StatefulSetSpec.podManagementPolicy PodManagementPolicyType
StatefulSetUpdateStrategy.type StatefulSetUpdateStrategyType
StorageClass.reclaimPolicy PersistentVolumeReclaimPolicy | StorageClass.volumeBindingMode VolumeBindingMode
Taint.effect TaintEffect | Toleration.effect TaintEffect | Toleration.operator TolerationOperator
ValidatingAdmissionPolicyBindingSpec.validationActions ValidationAction
ValidatingAdmissionPolicySpec.failurePolicy FailurePolicyType | Validation.reason StatusReason
MatchResources.matchPolicy MatchPolicyType | ParamRef.parameterNotFoundAction ParameterNotFoundActionType
CronJobSpec.concurrencyPolicy ConcurrencyPolicy
TopologySpreadConstraint.whenUnsatisfiable UnsatisfiableConstraintAction
TopologySpreadConstraint.nodeAffinityPolicy NodeInclusionPolicy
TopologySpreadConstraint.nodeTaintsPolicy NodeInclusionPolicy | SeccompProfile.type SeccompProfileType
AppArmorProfile.type AppArmorProfileType | SecurityContext.procMount ProcMountType
VolumeMount.mountPropagation MountPropagationMode | VolumeMount.recursiveReadOnly RecursiveReadOnlyMode
PodSecurityContext.fsGroupChangePolicy PodFSGroupChangePolicy
PodSecurityContext.supplementalGroupsPolicy SupplementalGroupsPolicy | EmptyDirVolumeSource.medium StorageMedium
AzureDiskVolumeSource.kind AzureDataDiskKind | AzureDiskVolumeSource.cachingMode AzureDataDiskCachingMode
ContainerResizePolicy.resourceName ResourceName | ContainerResizePolicy.restartPolicy ResourceResizeRestartPolicy
ObjectReference.uid UID | ObjectMeta.uid UID | OwnerReference.uid UID
FlowDistinguisherMethod.type FlowDistinguisherMethodType | LimitResponse.type LimitResponseType
PriorityLevelConfigurationSpec.type PriorityLevelEnablement | flowcontrol.Subject.kind SubjectKind
NodeCondition.type NodeConditionType | NodeCondition.status ConditionStatus | NodeAddress.type NodeAddressType
NamespaceSpec.finalizers FinalizerName | NamespaceStatus.phase NamespacePhase | PodStatus.phase PodPhase
JSONSchemaProps.x-kubernetes-validations ValidationRules | CustomResourceConversion.strategy ConversionStrategyType
"""
_ELEMENTS = dict(entry.split() for line in _NAMED.strip().splitlines() for entry in line.split(" | "))

_LOCAL_REFERENCE = (
    "ConfigMapKeySelector", "SecretKeySelector", "ConfigMapEnvSource", "SecretEnvSource", "ConfigMapProjection",
    "SecretProjection", "ConfigMapVolumeSource",
)  # fmt: skip
_EMBEDDED: dict[str, tuple[tuple[str, ...], frozenset[str], bool]] = {
    # definition: (embedded structs, fields, whether these are the fields or all but the fields)
    **{name: (("LocalObjectReference",), frozenset({"name"}), True) for name in _LOCAL_REFERENCE},
    "Volume": (("VolumeSource",), frozenset({"name"}), False),
    "PersistentVolumeSpec": (
        ("PersistentVolumeSource",),
        frozenset(
            {
                "capacity",
                "accessModes",
                "claimRef",
                "persistentVolumeReclaimPolicy",
                "storageClassName",
                "mountOptions",
                "volumeMode",
                "nodeAffinity",
                "volumeAttributesClassName",
            }
        ),
        False,
    ),
    "Probe": (("ProbeHandler",), frozenset({"exec", "httpGet", "tcpSocket", "grpc"}), True),
    "EphemeralContainer": (("EphemeralContainerCommon",), frozenset({"targetContainerName"}), False),
    "IngressRule": (("IngressRuleValue",), frozenset({"http"}), True),
    "RuleWithOperations": (("Rule",), frozenset({"operations"}), False),
}


def embedded(d: Definition, field: str) -> tuple[str, ...]:
    """The Go structs embedded in `d` through which the field is reached."""
    if d.short == "NamedRuleWithOperations" and field != "resourceNames":
        return ("RuleWithOperations",) if field == "operations" else ("RuleWithOperations", "Rule")
    names, fields, listed = _EMBEDDED.get(d.short, ((), frozenset(), True))
    return names if (field in fields) is listed else ()


_SCALARS = {
    "string": "string", "bytes": "[]uint8", "int32": "int32", "int64": "int64", "boolean": "bool", "double": "float64",
    "time": "v1.Time", "micro-time": "v1.MicroTime", "quantity": "resource.Quantity", "any": "runtime.RawExtension",
    "int-or-string": "intstr.IntOrString",
}  # fmt: skip


def type_name(d: Definition, field: Field, type_: Type) -> str:
    """The Go type of a field (or, inside lists and maps, of what they hold)."""
    if type_.kind == "struct":
        version, short = type_.ref.rsplit(".", 2)[1:]
        return f"{version}.{short}"
    if type_.kind == "list" and type_.item:
        return "[]" + type_name(d, field, type_.item)
    if type_.kind == "map" and type_.item:
        if type_.item.kind == "quantity":
            return "v1.ResourceList"
        return "map[string]" + type_name(d, field, type_.item)
    if type_.kind == "string" and (alias := _ELEMENTS.get(f"{d.short}.{field.name}")):
        return f"types.{alias}" if alias == "UID" else f"{d.version}.{alias}"
    return _SCALARS[type_.kind]
