"""`moorage rescue`: money that came unwatched, found by its transaction; see deposits/rescue.py."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from api import wiring
from api.inputs import Approved, approvals, known_chain
from chains.errors import ChainError
from custody.core.errors import InvalidInput, MoorageError, Unavailable
from custody.core.ids import format_id
from custody.core.intents import Approval
from custody.core.settings import Settings
from custody.deposits import rescue
from custody.deposits.deps import DepositDeps
from custody.deposits.rescue import Arrival, Verdict
from custody.policy import two_people

_HASH = re.compile("0x[0-9a-f]{64}")
_NEXT = {
    Verdict.RESCUE: "two persons of treasury sign the document with `moorage people sign-deposit`;"
    " then again with --execute and an --approval for each signature",
    Verdict.KNOWN: "it is a deposit already: see `moorage deposits show`",
    Verdict.UNLISTED: "its token must be listed first: an entry under registry.assets of"
    " installation.json, and a restart; then again",
    Verdict.OUR_OWN: "it came from a place of ours: settlement accounts for it",
    Verdict.NO_PLACES: "the policy must name the tenant's places on this chain first, or what is"
    " recorded could never be moved; then again",
    Verdict.NOT_YET: "the scanner has still to read its block; then again, if it is no deposit",
}


def read_approval(path: Path) -> Approval:
    """One person's signature, as `people` printed it. Raises InvalidInput."""
    try:
        one = Approved.model_validate(json.loads(path.read_text()))
    except (OSError, ValueError, ValidationError):
        raise InvalidInput(
            "approval", "must be a file that a `people sign-…` command wrote", path.name
        ) from None
    return approvals([one])[0]


async def run(
    settings: Settings, chain_id: int, tx_hash: str, given: Sequence[Approval], *, execute: bool
) -> list[dict[str, Any]]:
    """Look at one transaction and, with `execute`, record what two people signed.

    Raises Unavailable where the chain cannot be asked, besides what `examine` raises.
    """
    parts = wiring.parts(settings, exchanges=False)
    try:
        return await examine(wiring.deposit_deps(parts), chain_id, tx_hash, given, execute=execute)
    except ChainError as error:
        raise Unavailable(f"chain {chain_id}: {error}") from None
    finally:
        await parts.close()
        await parts.db.close()


async def examine(
    deps: DepositDeps, chain_id: int, tx_hash: str, given: Sequence[Approval], *, execute: bool
) -> list[dict[str, Any]]:
    """One row an arrival. Each stands alone: what one is refused for stops no other.

    Raises InvalidInput or Refused about the transaction, ChainError where the chain is silent.
    """
    known_chain(deps.registry, chain_id, "chain")
    if not _HASH.fullmatch(tx_hash.lower()):
        raise InvalidInput("tx", "must be 0x and 64 hex digits")
    found = await rescue.look(deps, chain_id, tx_hash.lower())
    return [await _row(deps, arrival, given, execute=execute) for arrival in found]


async def _row(
    deps: DepositDeps, arrival: Arrival, given: Sequence[Approval], *, execute: bool
) -> dict[str, Any]:
    body = arrival.document()
    row: dict[str, Any] = {
        "verdict": arrival.verdict.value,
        "wrong_chain": arrival.is_wrong_chain,
        "deposit": arrival.deposit,
        "next": _NEXT[arrival.verdict],
        "digest": two_people.digest(body),
        "document": body,
        "rescued": False,
    }
    if not execute or arrival.verdict is not Verdict.RESCUE:
        return row
    own = [a for a in given if a.intent_digest == row["digest"]]
    try:
        async with deps.db.write() as s:
            recorded = await rescue.record(s, deps, arrival, own)
    except MoorageError as error:
        return row | {"next": f"not rescued: {error.code}: {error.detail}"}
    done = {"deposit": format_id("deposit", recorded), "rescued": True}
    return row | done | {"next": "it goes the way of any deposit: see `moorage deposits show`"}


def worked(rows: Sequence[dict[str, Any]], *, execute: bool) -> bool:
    """Whether anything can be rescued or, with `execute`, was."""
    return any(r["rescued"] if execute else r["verdict"] == Verdict.RESCUE for r in rows)
