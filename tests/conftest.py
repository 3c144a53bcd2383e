"""What all tests share."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# The same examples every time, and as long as they need: what is slow on a loaded machine is no fault.
# HYPOTHESIS_PROFILE=default looks for new ones.
settings.register_profile("kybern", deadline=None, derandomize=True, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "kybern"))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio alone: Kybern's event loop is asyncio or uvloop."""
    return "asyncio"
