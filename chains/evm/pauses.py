"""Reverts that say that a contract is paused, in the forms that protocols use."""

from typing import Final

from chains.evm.calldata import decode_answer, selector

_ERRORS: Final = frozenset(
    selector(name)
    for name in (
        "ReservePaused()",  # Aave V3.4 and later
        "EnforcedPause()",  # OpenZeppelin 5
        "Paused()",
        "ContractPaused()",
        "ResumedExpected()",
    )
)
_TEXT: Final = selector("Error(string)")
AAVE_PAUSED: Final = "29"  # RESERVE_PAUSED before Aave V3.4


def says_paused(data: bytes) -> bool:
    """Whether revert data names a pause. What cannot be decoded does not."""
    if data[:4] in _ERRORS:
        return True
    if data[:4] != _TEXT:
        return False
    try:
        text = str(decode_answer(("string",), data[4:])[0])
    except Exception:  # whatever a stranger's contract put there
        return False
    return text == AAVE_PAUSED or "paused" in text.lower()
