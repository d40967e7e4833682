"""Where the public vectors are. Tests that need them are skipped, visibly, in their absence."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FOLDER = Path(os.environ.get("MOORAGE_VECTORS", ROOT.parent / "shared" / "vectors")) / "audit"

needs_vectors = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no public vectors at {FOLDER}")


def files(pattern: str) -> list[Path]:
    return sorted(FOLDER.glob(pattern))
