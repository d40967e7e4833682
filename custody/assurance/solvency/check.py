"""What a holder's own proof and a tree must satisfy, as SOLVENCY.md says it. Pure.

The service checks itself with this before it gives anything out; the auditor's verifier shares no
code with it. Every function raises ValueError that begins with the name of the step.
"""

import hmac
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from custody.assurance.solvency import layout, paths, tree
from custody.assurance.solvency.layout import Context, Node
from custody.audit import merkle, note
from custody.core.ids import format_id
from custody.core.serialization import loads

Json = Mapping[str, Any]


def require(holds: bool, step: str, what: str) -> None:
    if not holds:
        raise ValueError(f"{step}: {what}")


def own(
    found: Json,
    vkey: str,
    customer: UUID,
    balances: Mapping[str, int] | None = None,
    epoch: int | None = None,
) -> None:
    """A holder's whole file but for its anchor; `balances`, `epoch` are what the holder knows."""
    opened, published = entries(found, vkey)
    context = epoch_of(found["context"], opened, published, epoch)
    own_leaf(found, customer)
    root = root_of(found)
    require(published["depth"] == found["depth"], "context", "the depth is not the published one")
    require("0x" + root.hash.hex() == published["root"], "path", "leads to another root")
    require(list(root.sums) == [int(v) for v in published["sums"]], "path", "has other sums")
    have = dict(zip(context.assets, map(int, found["balances"]), strict=True))
    for asset, amount in (balances or {}).items():
        require(have.get(asset, 0) == amount, "balances", f"{asset} is not {amount}")


def entries(found: Json, vkey: str) -> tuple[Json, Json]:
    """The data of both entries, proved to be in one signed log, the opening first."""
    both = [_logged(found[name], vkey) for name in ("opened", "published")]
    (opened, at, size), (published, later, same) = both
    require(at < later and size == same, "log", "the opening is not before the report")
    kinds = [opened["kind"], published["kind"]]
    require(kinds == ["solvency.opened", "solvency.published"], "log", "other kinds of entries")
    entity = f"{note.LogKey.parse(vkey).name}/{published['tenant']}"
    require(published["data"]["entity"] == entity, "log", "another entity's entry")
    require(opened["tenant"] == published["tenant"], "log", "entries of two tenants")
    return opened["data"], published["data"]


def _logged(logged: Json, vkey: str) -> tuple[Json, int, int]:
    text, index, size = logged["entry"].encode(), int(logged["index"]), int(logged["size"])
    try:
        head = note.open_checkpoint(logged["checkpoint"], note.LogKey.parse(vkey))
        require(head.size == size, "log", "the checkpoint is of another size")
        leaf = merkle.leaf_hash(text)
        require(leaf.hex() == logged["leaf_hash"], "log", "is not the entry of the leaf hash")
        hashes = [bytes.fromhex(h) for h in logged["hashes"]]
        merkle.verify_inclusion(leaf, index, size, hashes, head.root)
    except (note.NoteInvalid, merkle.ProofInvalid) as error:
        raise ValueError(f"log: {error}") from error
    return loads(text), index, size


def epoch_of(context_json: Json, opened: Json, published: Json, epoch: int | None) -> Context:
    """The context, tied to the opening and to the block that nobody chose."""
    context = Context.from_json(context_json)
    for name in ("entity", "epoch", "commitment"):
        require(opened[name] == published[name], "epoch", f"{name} changed since the opening")
    named = (published["entity"], published["epoch"]) == (context.entity, str(context.epoch))
    require(named, "epoch", "the context is another epoch's")
    require(epoch in (None, context.epoch), "epoch", f"is {context.epoch} and not {epoch}")
    bounded = 1 <= int(opened["window"]) <= layout.WINDOW_MAX
    require(bounded, "challenge", f"the window is not of 1 to {layout.WINDOW_MAX} blocks")
    challenge = layout.challenge_of(
        bytes.fromhex(published["block_hash"][2:]),
        int(opened["chain_id"]),
        int(opened["block_number"]),
        context.epoch,
        context.entity,
    )
    follows = published["challenge"] == "0x" + challenge.hex() and challenge == context.challenge
    require(follows, "challenge", "does not follow from the block")
    require(published["context"] == "sha256:" + context.hash.hex(), "context", "is not published")
    require(published["assets"] == list(context.assets), "context", "has other assets")
    return context


def own_leaf(found: Json, customer: UUID) -> None:
    """That the leaf is this customer's: the id is made from the own id, not read."""
    require(found["customer"] == format_id("customer", customer), "id", "is another customer's")
    require(len(found["path"]) == int(found["depth"]), "form", "the path is not of the depth")


def root_of(found: Json) -> Node:
    """Where the file's own leaf and path lead. Raises OutOfRange for a sum that does not fit."""
    context = Context.from_json(found["context"])
    salt = bytes.fromhex(found["salt"][2:])
    customer = UUID(hex=found["customer"].split("_")[1])
    balances = [int(v) for v in found["balances"]]
    width = len(context.assets)
    require(len(balances) == width, "form", "as many balances as assets are needed")
    siblings = [
        Node(bytes.fromhex(p["hash"][2:]), tuple(int(v) for v in p["sums"])) for p in found["path"]
    ]
    good = all(len(n.hash) == layout.HASH_BYTES and len(n.sums) == width for n in siblings)
    require(good, "form", "a step of the path is cut")
    leaf = layout.leaf(layout.id_of(context.hash, salt, customer), balances)
    return paths.root(int(found["index"]), leaf, siblings)


def epochs(log: Sequence[Json]) -> None:
    """Rules over all entries of one log, in order: one report an epoch, opened one by one."""
    opened: dict[tuple[str, int], Json] = {}
    published: set[tuple[str, int]] = set()
    last: dict[str, int] = {}
    for entry in log:
        data = entry["data"]
        if not entry["kind"].startswith("solvency."):
            continue
        key = (data["entity"], int(data["epoch"]))
        if entry["kind"] == "solvency.opened":
            require(key[1] == last.get(key[0], 0) + 1, "epochs", f"{key[1]} is not the next")
            bounded = 1 <= int(data["window"]) <= layout.WINDOW_MAX
            require(bounded, "epochs", f"{key[1]} has a window of {data['window']} blocks")
            last[key[0]], opened[key] = key[1], data
        elif entry["kind"] == "solvency.published":
            require(key not in published, "epochs", f"{key[1]} has two reports")
            require(key in opened, "epochs", f"{key[1]} was not opened")
            same = opened[key]["commitment"] == data["commitment"]
            require(same, "epochs", f"{key[1]} has another commitment than at its opening")
            published.add(key)


def full(
    secret: bytes,
    context: Context,
    published: Json,
    balances: Mapping[UUID, Sequence[int]],
) -> None:
    """With the epoch's secret: the tree over exactly these customers, and zero everywhere else."""
    commitment = "sha256:" + layout.commitment(secret).hex()
    same = hmac.compare_digest(commitment, published["commitment"])
    require(same, "commitment", "is another secret's")
    customers = sorted(balances)
    ids = tree.leaf_ids(secret, context.hash, b"".join(c.bytes for c in customers))
    sums = tree.words([balances[c] for c in customers], len(context.assets))
    made = tree.build(secret, context.hash, tree.Leaves(ids, sums))
    found = ("0x" + made.root.hash.hex(), [str(v) for v in made.root.sums], str(made.depth))
    stated = (published["root"], list(published["sums"]), published["depth"])
    require(found == stated, "tree", "is not made of these customers and nothing else")
