"""The patch formats of the API as pure functions of plain data: JSON patch, merge patch, strategic merge patch.

The server decodes body and stored object to plain data, calls one of these, and decodes the
result again; what a patch may change is decided later, by the update rules.
"""

from __future__ import annotations

from kybern.api.patch.json_patch import apply_json_patch
from kybern.api.patch.merge import apply_merge_patch
from kybern.api.patch.strategic import apply_strategic_patch

__all__ = ["apply_json_patch", "apply_merge_patch", "apply_strategic_patch"]
