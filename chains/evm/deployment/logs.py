"""Gives an audit log to its owner on AuditAnchor. Safe to run again after any stop."""

from chains.errors import DeploymentRefused
from chains.evm.address import ZERO_ADDRESS, checksum
from chains.evm.calldata import decode_answer, encode_call, topic, topic_address
from chains.evm.deployment.placing import Reader, Sender
from chains.types import BlockRef

REGISTER = "register(bytes32,address)"
TRANSFER = "transferOwnership(bytes32,address)"
_REGISTERED = topic("Registered(bytes32,address)")


def register_log(node: Sender, anchor: str, log_id: bytes, anchorer: str, owner: str) -> None:
    """Register the id with its anchorer and hand it over: the sender does not stay its owner.

    Sends nothing if that was done before. Raises DeploymentRefused if a stranger was first; another
    id is needed then. Requires a log id of 32 bytes.
    """
    if len(log_id) != 32:
        raise ValueError(f"log_id has {len(log_id)} bytes, 32 are needed")
    holder = owner_of(node, anchor, log_id, node.head())
    if holder == ZERO_ADDRESS:
        node.send(anchor, encode_call(REGISTER, log_id, anchorer))
    # Whoever sees the id on its way can register it first, with an anchorer of his own, and hand it
    # to us or to our owner. So who has it says little; who registered it does.
    check_registrant(node, anchor, log_id, node.sender)
    holder = owner_of(node, anchor, log_id, node.head())
    if holder == node.sender != checksum(owner):
        node.send(anchor, encode_call(TRANSFER, log_id, owner))
        holder = owner_of(node, anchor, log_id, node.head())
    if holder != checksum(owner):
        raise DeploymentRefused(
            f"log 0x{log_id.hex()} belongs to {holder}, not to {owner}", holder=holder
        )


def owner_of(node: Reader, anchor: str, log_id: bytes, at: BlockRef) -> str:
    """Checksummed; the zero address if nobody registered it."""
    answer = node.call(anchor, encode_call("ownerOf(bytes32)", log_id), at)
    return checksum(decode_answer(("address",), answer)[0])


def check_registrant(node: Reader, anchor: str, log_id: bytes, wanted: str) -> None:
    """Raises DeploymentRefused unless it was `wanted` who registered the id."""
    found = node.logs(anchor, [_REGISTERED, "0x" + log_id.hex()], node.head())
    names = [checksum(topic_address(log.topics[2])) for log in found]
    if names != [checksum(wanted)]:
        raise DeploymentRefused(
            f"log 0x{log_id.hex()} was registered by {', '.join(names) or 'nobody'}, not by"
            f" {wanted}: its anchorers may be a stranger's",
            registrants=names,
        )
