"""What tests of this room share."""

from __future__ import annotations

import pytest

from tests.stages.adapt.small import make_world


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """Three small panoramas, their cache, and two SegFormers."""
    return make_world(tmp_path_factory.mktemp("world"))
