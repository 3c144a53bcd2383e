"""The OpenAPI documents, v2 and v3, made from the schema table when somebody asks and kept as compressed bytes.

`kubectl explain` and kubectl's questions about field validation and dry run are answered from them.
(Kubernetes API Concepts, "OpenAPI interface definition".)
"""

from __future__ import annotations

from kybern.apiserver.openapi.serve import OpenAPI

__all__ = ["OpenAPI"]
