"""An owner's key of the Safe in a file: for tests and demos, where no wallet is at hand.

Such a file never lies where the service runs: whoever has k of them has what the Safe holds.
"""

from pathlib import Path

from coincurve import PrivateKey


def sign_safe_hash(file: Path, safe_tx_hash: str) -> bytes:
    """The signature (r, s, v) by the key in `file`, 64 hex digits. Raises ValueError."""
    key = PrivateKey(bytes.fromhex(file.read_text().strip()))
    made = key.sign_recoverable(bytes.fromhex(safe_tx_hash[2:]), hasher=None)
    return made[:64] + bytes([made[64] + 27])
