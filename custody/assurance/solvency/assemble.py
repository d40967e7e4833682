"""The whole report out of its stored parts, with the nodes that its proofs need and no others.

Everything that a reader will check of signatures, proofs and headers is checked here, so that no
report which does not hold gets into the log. Pure; it takes seconds for many addresses.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from chains.evm import rlp
from custody.assurance.solvency import check_report, nodes, report
from custody.assurance.solvency.check_block import challenge_block
from custody.assurance.solvency.layout import Context
from custody.assurance.solvency.nodes import Nodes

Json = dict[str, Any]


def assemble(
    row: Mapping[str, Any], owners: Sequence[Json], opening: Mapping[str, Any], origin: str
) -> bytes:
    """The canonical form, of a computed epoch. `opening` is its first entry in the log that
    `anchored` is of.

    Raises ValueError where a proof or a signature does not hold.
    """
    head, evidence = row["head"], row["evidence"]
    shown = ("index", "size", "leaf_hash", "hashes")
    challenge = {
        **head["challenge"],
        "headers": evidence["headers"],
        "anchored": row["anchored"],
        "inclusion": {name: opening[name] for name in shown},
    }
    chains = [{**c, "nodes": evidence["nodes"][c["chain_id"]]} for c in head["chains"]]
    body = {**head, "challenge": challenge, "chains": chains}
    made = report.build(body, row["reserves"], owners, evidence["left_out"])
    states = {c["chain_id"]: Nodes.of(_state_root(c), c["nodes"]) for c in chains}
    owned = check_report.ownership(made, Context.from_json(head["context"]), states)
    check_report.reserves(made, states, owned)
    for chain in chains:
        found = states[chain["chain_id"]]
        chain["nodes"] = nodes.shown(found.by_hash[hash_] for hash_ in found.used)
    challenge_block(made, opening, origin)
    return report.encode(made)


def _state_root(chain: Json) -> bytes:
    header = bytes.fromhex(chain["block"]["header"][2:])
    return rlp.as_bytes(rlp.as_list(rlp.decode(header))[3], 32)
