"""placeholder"""
from __future__ import annotations
from kybern.apiserver.paths import Paths
from kybern.apiserver.resource import Resources
class OpenAPI:
    def __init__(self, resources: Resources) -> None:
        pass
    def serve(self, paths: Paths) -> None:
        pass
