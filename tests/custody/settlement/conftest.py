"""The town of tests/fixtures for this folder."""

from tests.fixtures.chain import node, town

__all__ = ["node", "town"]
