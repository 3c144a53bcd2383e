"""What the controllers' tests share."""

from __future__ import annotations

import pytest

from kybern.testing.world import World


@pytest.fixture
def world() -> World:
    return World()
