"""What the verbs work with: the resources, the admission chain and the few registers of the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from kybern.apiserver.admit import AdmissionChain
from kybern.apiserver.authentication import Authenticator
from kybern.apiserver.authorize import Authorization
from kybern.apiserver.nodes import NodeStreams
from kybern.apiserver.resource import Resources
from kybern.apiserver.reviews import Review
from kybern.apiserver.services.allocation import ServiceAllocation
from kybern.clock import Clock

__all__ = ["Backend"]


@attrs.define
class Backend:
    """Made once per server; shared by all requests."""

    clock: Clock
    resources: Resources
    admission: AdmissionChain
    authorization: Authorization
    authenticators: Sequence[Authenticator]
    reviews: Mapping[str, Review]
    nodes: NodeStreams
    services: ServiceAllocation
    tracks_everybody: bool = False
    """Keep `managedFields` also of objects whose creator has not named itself."""
