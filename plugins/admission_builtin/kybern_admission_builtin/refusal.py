"""How an admission plugin says no."""

from __future__ import annotations

from kybern.api.errors import StatusError
from kybern.apiserver.admission import AdmissionRequest

__all__ = ["forbidden"]


def forbidden(request: AdmissionRequest, why: str) -> StatusError:
    """403, naming the object; one that has no name yet by its generateName."""
    name = request.name
    metadata = getattr(request.object, "metadata", None)
    if metadata is not None:
        name = metadata.name or metadata.generateName or name
    return StatusError.forbidden(request.kind.plural, request.kind.group, name or "", why)
