"""TokenReview: whose token is this? The server answers in `status`."""

from __future__ import annotations

from kybern.api.kind import REVIEW_VERBS, Kind

KIND = Kind(
    group="authentication.k8s.io",
    version="v1",
    kind="TokenReview",
    plural="tokenreviews",
    namespaced=False,
    verbs=REVIEW_VERBS,
)
