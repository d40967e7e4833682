"""A signer's folder with people and a policy, fresh for each test."""

from pathlib import Path

import pytest

from custody.keys.desk import Desk
from tests.custody.keys.keepers import keeper, kms, softhsm
from tests.custody.keys.vault_world import VaultWorld

__all__ = ["desk", "keeper", "kms", "softhsm", "world"]


@pytest.fixture
def world(tmp_path: Path) -> VaultWorld:
    return VaultWorld(tmp_path)


@pytest.fixture
def desk(world: VaultWorld) -> Desk:
    return world.open()
