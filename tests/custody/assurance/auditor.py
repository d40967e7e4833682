"""The auditor's verifier beside our own checks: they share no code and must come to one end."""

import contextlib
import io
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from custody.audit import verify
from custody.core import canonical

Json = dict[str, Any]


def passes(command: str, body: Json, trust: Sequence[str]) -> bool:
    """Whether the verifier's exit code is 0. Its output goes nowhere."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.json"
        path.write_bytes(canonical.encode(body))
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return verify.main([command, str(path), *trust, "--no-anchor"]) == 0


def agrees(ours: Callable[[], None], command: str, body: Json, trust: Sequence[str]) -> None:
    """Run our check. Raises what it raises, once the verifier has objected as well."""
    try:
        ours()
    except ValueError:
        assert not passes(command, body, trust), "only we object"
        raise
    assert passes(command, body, trust), "only the verifier objects"


def options(name: str, values: Mapping[str, object]) -> list[str]:
    return [f"--{name}={key}={value}" for key, value in values.items()]
