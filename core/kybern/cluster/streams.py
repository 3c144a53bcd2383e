"""The nodes' streams in the API server's terms: nodes know nothing of the server, so the two are joined here."""

from __future__ import annotations

from kybern.apiserver.nodes import NodeStreams
from kybern.node.streams import Streams

__all__ = ["JoinedStreams"]


class JoinedStreams(Streams, NodeStreams):
    """Container logs (and later exec, attach, port-forward) of this process's nodes."""
