"""OpenID Connect discovery for service-account tokens: where other systems find our public keys (KEP-1393)."""

from __future__ import annotations

import json
from typing import Any

import attrs

from kybern.apiserver.routes import Route, RouteRequest, RouteResponse
from kybern_auth_builtin.token_keys import TokenKeys

__all__ = ["Discovery"]

CONFIGURATION = "/.well-known/openid-configuration"
KEY_SET = "/openid/v1/jwks"
_CACHE = {"Cache-Control": "public, max-age=3600"}


@attrs.frozen
class Discovery:
    """The two documents."""

    keys: TokenKeys
    issuer: str

    def routes(self) -> list[Route]:
        """Upstream serves both with and without a slash at the end."""
        documents = ((CONFIGURATION, self.configuration), (KEY_SET, self.key_set))
        return [Route(path + slash, handler) for path, handler in documents for slash in ("", "/")]

    async def configuration(self, request: RouteRequest) -> RouteResponse:
        """The provider's metadata. The keys are fetched where the document was."""
        document = {
            "issuer": self.issuer,
            "jwks_uri": f"https://{request.headers.get('host', 'kubernetes.default.svc')}{KEY_SET}",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": sorted({key["alg"] for key in (await self.keys.public())["keys"]}),
        }
        return _json(document, "application/json")

    async def key_set(self, request: RouteRequest) -> RouteResponse:
        """The public keys."""
        return _json(await self.keys.public(), "application/jwk-set+json")


def _json(document: dict[str, Any], content_type: str) -> RouteResponse:
    return RouteResponse(json.dumps(document).encode(), content_type=content_type, headers=_CACHE)
