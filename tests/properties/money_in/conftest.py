"""The town of tests/fixtures for this folder."""

from tests.fixtures.chain import chain, town

__all__ = ["chain", "town"]
