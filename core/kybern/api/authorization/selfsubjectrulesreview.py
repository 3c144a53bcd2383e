"""SelfSubjectRulesReview: what may I do in a namespace? The server answers in `status`."""

from __future__ import annotations

from kybern.api.kind import REVIEW_VERBS, Kind

KIND = Kind(
    group="authorization.k8s.io",
    version="v1",
    kind="SelfSubjectRulesReview",
    plural="selfsubjectrulesreviews",
    namespaced=False,
    verbs=REVIEW_VERBS,
)
