"""Where the public test vectors are; tests skip, visibly, where they are absent."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[3]
FOLDER = Path(os.environ.get("MOORAGE_VECTORS", REPO.parent / "shared" / "vectors"))


def load(name: str) -> Any:
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"no vectors at {path}")
    return json.loads(path.read_text())
