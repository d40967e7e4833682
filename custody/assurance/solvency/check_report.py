"""What a report must satisfy, as SOLVENCY.md says it. Pure.

Every function raises ValueError that begins with the name of the step.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from chains.evm import rlp
from chains.evm.address import address_bytes, checksum, keccak
from chains.evm.balance_slots import BalanceMapping
from chains.evm.transactions import CURVE_ORDER, recover
from custody.assurance.solvency import layout, owners, report
from custody.assurance.solvency.check import entries, epoch_of, require
from custody.assurance.solvency.check_block import challenge_block
from custody.assurance.solvency.layout import Context
from custody.assurance.solvency.nodes import Nodes
from custody.audit import note
from custody.core.ownership import Statement

Json = Mapping[str, Any]


def check(
    found: Json,
    vkey: str,
    trusted: Mapping[str, str],
    *,
    epoch: int | None = None,
    spread_s: int = 0,
    others: Sequence[Json] = (),
    contract: str | None = None,
) -> None:
    """A report's whole file but for its anchor. `trusted` has the hash of each chain's block, from
    another node; `others` are reports of other entities; `contract` the anchor's on the chain of
    the challenge, where the auditor knows it."""
    opened, published = entries(found, vkey)
    body = found["report"]
    context = epoch_of(body["context"], opened, published, epoch)
    require(report.digest(dict(body)) == published["report"], "report", "is not the published one")
    for name in ("commitment", "root", "depth", "sums"):
        require(body[name] == published[name], "report", f"{name} is not the published one")
    for name in ("chain_id", "block_number", "window"):
        require(
            body["challenge"][name] == opened[name], "challenge", f"{name} is not the opened one"
        )
    hash_ = body["challenge"]["block_hash"]
    require(hash_ == published["block_hash"], "challenge", "the hash is not the published one")
    states = chains(body, opened, published, trusted)
    challenge_block(body, found["opened"], note.LogKey.parse(vkey).name, contract)
    moment(body, spread_s)
    evidence(body, context, states, others)
    left_out(body)
    totals(body, context)


def evidence(
    body: Json, context: Context, states: Mapping[str, Nodes], others: Sequence[Json] = ()
) -> None:
    """Who owns what, and what is there; by these nodes and no more."""
    owned = ownership(body, context, states, others)
    reserves(body, states, owned)
    spare = [id_ for id_, nodes in states.items() if nodes.to_spare()]
    require(not spare, "reserves", f"chains {spare} have nodes that prove nothing")


def chains(
    body: Json, opened: Json, published: Json, trusted: Mapping[str, str]
) -> dict[str, Nodes]:
    """State by chain: of the blocks that the challenge picked, by the auditor's own hashes."""
    numbers = [c["chain_id"] for c in body["chains"]]
    require(sorted(numbers, key=int) == numbers, "chains", "are not in order")
    require(set(numbers) == set(opened["floors"]), "chains", "are not those of the opening")
    states = {}
    for chain in body["chains"]:
        id_, block = chain["chain_id"], chain["block"]
        header = _header(chain["block"]["header"])
        hashes = {block["hash"], published["pinned"].get(id_), trusted.get(id_)}
        require(hashes == {_hash(block["header"])}, "chains", f"{id_}: another block")
        number, time_s = rlp.as_int(header[8]), rlp.as_int(header[11])
        stated = (str(number), str(time_s)) == (block["number"], block["time"])
        require(stated, "chains", f"{id_}: number or time is not the header's")
        require(number > int(opened["floors"][id_]), "chains", f"{id_}: older than the opening")
        if id_ == opened["chain_id"]:
            challenge = bytes.fromhex(published["challenge"][2:])
            first, window = int(opened["block_number"]), int(opened["window"])
            picked = layout.pinned_number(challenge, first, window)
            require(number == picked, "chains", f"{id_}: is not the block of the challenge")
        child = _header(chain["child"])
        parent = "0x" + rlp.as_bytes(child[0]).hex()
        require(parent == block["hash"], "chains", f"{id_}: the next block is another's")
        states[id_] = Nodes.of(rlp.as_bytes(header[3], 32), chain["nodes"])
    return states


def _header(text: str) -> Sequence[rlp.Item]:
    items = rlp.as_list(rlp.decode(bytes.fromhex(text[2:])))
    require(len(items) >= 15, "chains", "a header has at least 15 items")
    return items


def _hash(text: str) -> str:
    return "0x" + keccak(bytes.fromhex(text[2:])).hex()


def moment(body: Json, spread_s: int) -> None:
    """All chains are pinned at one moment, so that no money is on two of them."""
    by_chain = {c["chain_id"]: c for c in body["chains"]}
    at = int(by_chain[body["challenge"]["chain_id"]]["block"]["time"])
    for id_, chain in by_chain.items():
        begins, ends = int(chain["block"]["time"]), rlp.as_int(_header(chain["child"])[11])
        around = begins <= at + spread_s and ends > at - spread_s
        require(around or begins == at, "moment", f"{id_}: was not the newest block at {at}")


def ownership(
    body: Json, context: Context, states: Mapping[str, Nodes], others: Sequence[Json] = ()
) -> set[tuple[str, str]]:
    """Addresses by (chain, lower case) that somebody speaks for, each once and for one entity."""
    owned: set[tuple[str, str]] = set()
    for member in body["owners"]:
        key = (member["chain_id"], member["address"].lower())
        require(key not in owned, "ownership", f"{member['address']} is there twice")
        owned.add(key)
        said = owners.statement(context.entity, context.epoch, context.challenge, dict(member))
        match member["kind"]:
            case "key":
                require(member["by"] == member["address"], "ownership", "is another's key")
                _signed(member["by"], said.digest(), member["signature"])
            case "guard":
                _guard(member, said, states[member["chain_id"]])
            case "safe":
                _safe(member, said, states[member["chain_id"]])
            case _:
                require(False, "ownership", f"{member['kind']} is no kind")
    for other in others:
        theirs = {(o["chain_id"], o["address"].lower()) for o in other["owners"]}
        twice = owned & theirs if other["context"]["entity"] != context.entity else set()
        require(not twice, "ownership", f"{sorted(twice)} is pledged by two entities")
    return owned


def _signed(by: str, digest: bytes, signature: str) -> None:
    raw = bytes.fromhex(signature[2:])
    require(len(raw) == 65 and raw[64] in (27, 28), "ownership", "is no signature of 65 bytes")
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big")
    require(s <= CURVE_ORDER // 2, "ownership", "the signature has a high s")
    try:
        signer = recover(digest, raw[64] - 27, r, s)
    except ValueError:
        signer = ""
    require(signer == by, "ownership", f"is not {by}'s signature of this epoch's statement")


def _guard(member: Json, said: Statement, nodes: Nodes) -> None:
    account = _account(member["account"], member["address"], nodes)
    value = _slot(member["slot"], owners.GUARD_ALLOCATOR_SLOT, account, nodes)
    rules = checksum("0x" + value.to_bytes(32, "big")[12:].hex()) == member["by"]
    require(rules, "ownership", f"{member['by']} is not the guard's allocator")
    _signed(member["by"], said.digest(), member["signature"])


def _safe(member: Json, said: Statement, nodes: Nodes) -> None:
    account = _account(member["account"], member["address"], nodes)
    least = _slot(member["threshold"], owners.SAFE_THRESHOLD_SLOT, account, nodes)
    names = [x["owner"] for x in member["signatures"]]
    ascending = names == sorted(set(names), key=str.lower)
    require(ascending, "ownership", "owners of a Safe are not in order, each once")
    require(len(names) >= least >= 1, "ownership", "too few owners of the Safe have signed")
    for row in member["signatures"]:
        require(int(row["owner"], 16) > 1, "ownership", "is no owner")
        slot = _slot(row["slot"], owners.safe_owner_slot(row["owner"]), account, nodes)
        require(slot != 0, "ownership", f"{row['owner']} is not an owner of the Safe")
        _signed(row["owner"], said.safe_digest(), row["signature"])


def _account(account: Json, address: str, nodes: Nodes) -> bytes:
    """Its storage root, once the account is proved under the state root."""
    require(account["address"].lower() == address.lower(), "proof", "is another account's")
    raw = nodes.account(address_bytes(checksum(address)))
    require(raw is not None, "proof", f"{address} has no account")
    items = rlp.as_list(rlp.decode(raw or b""), 4)
    stated = (account["nonce"], account["balance"], account["storage_hash"], account["code_hash"])
    proved = (
        str(rlp.as_int(items[0])),
        str(rlp.as_int(items[1])),
        "0x" + rlp.as_bytes(items[2], 32).hex(),
        "0x" + rlp.as_bytes(items[3], 32).hex(),
    )
    require(stated == proved, "proof", f"{address} is not as stated")
    return rlp.as_bytes(items[2], 32)


def _slot(slot: Json, number: int, storage_root: bytes, nodes: Nodes) -> int:
    require(slot["slot"] == f"0x{number:064x}", "proof", "is another slot")
    raw = nodes.slot(storage_root, number.to_bytes(32, "big"))
    value = 0 if raw is None else rlp.as_int(rlp.decode(raw))
    require(slot["value"] == f"0x{value:064x}", "proof", "a slot is not as stated")
    return value


def reserves(body: Json, states: Mapping[str, Nodes], owned: set[tuple[str, str]]) -> None:
    """Every proof, no place twice, and nothing counted that does not count."""
    members = body["reserves"]
    require(members == sorted(members, key=report.order), "reserves", "are not in order")
    seen: set[tuple[str, str, str, str]] = set()
    for m in members:
        evidence = m["evidence"]
        holder = evidence["by"] if m["class"] == "exchange" else m["address"].lower()
        key = (m["chain_id"], holder, m["asset"], evidence.get("token", "").lower())
        require(key not in seen, "reserves", f"{m['place']} is there twice")
        seen.add(key)
        require(int(m["amount"]) > 0, "reserves", f"{m['place']} has nothing")
        counts = report.is_counted(m, owned)
        require(m["counted"] == counts, "reserves", f"{m['place']}: counted must be {counts}")
        require(
            _is_proved(m, states[m["chain_id"]]), "reserves", f"{m['place']} is not {m['amount']}"
        )


def _is_proved(m: Json, nodes: Nodes) -> bool:
    """Whether the proof gives the amount; what is only read or stated has none to fail."""
    evidence = m["evidence"]
    if evidence["kind"] == "account":
        _account(evidence["account"], m["address"], nodes)
        native = m["asset"] == f"eip155:{m['chain_id']}/slip44:60"
        return native and bool(evidence["account"]["balance"] == m["amount"])
    if evidence["kind"] != "storage":
        return True
    place, _, token = m["asset"].partition("/erc20:")
    storage_root = _account(evidence["account"], token, nodes)
    bits, form = int(evidence["bits"]), evidence["form"]
    known = place == f"eip155:{m['chain_id']}" and bits in (255, 256)
    require(known and form in ("solidity", "vyper"), "reserves", "is no mapping of balances")
    mapping = BalanceMapping(int(evidence["mapping"]), form, bits)
    slot = mapping.slot_of(checksum(m["address"]))
    value = _slot(evidence["slot"], slot, storage_root, nodes)
    return mapping.balance(value) == int(m["amount"])


def left_out(body: Json) -> None:
    """In order; what is told by number is there. None of it is in any total."""
    rows = body["left_out"]
    places = [(row["place"], row["asset"]) for row in rows]
    require(places == sorted(places), "left out", "is not in order")
    counted = all(int(row["count"]) > 0 <= int(row["sum"]) for row in rows if "count" in row)
    require(counted, "left out", "counts places that are none")


def totals(body: Json, context: Context) -> None:
    """Recomputed: what is owed, what counts, and whether it covers."""
    computed = report.totals(context, [int(v) for v in body["sums"]], body["reserves"])
    require(computed == body["totals"], "totals", "are not what the reserves add up to")
    short = [t["asset"] for t in computed if not t["covered"]]
    require(not short, "covered", f"more is owed than there is: {short}")
