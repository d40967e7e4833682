"""The signer's process: `python -m custody.keys.signer --home H`.

A unix socket that only its owner may open, one JSON object a line, one request at a time: what a
request checks cannot change under it. Prints `ready <socket>` once it listens; SIGTERM ends it.
"""

import argparse
import asyncio
import logging
import os
import signal
import socket as sockets
import stat
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from custody.core.clock import SystemClock
from custody.core.errors import InvalidInput
from custody.core.governance import Address, Signature
from custody.core.hardening import harden
from custody.core.serialization import dumps, loads
from custody.core.telemetry import setup_logging
from custody.keys import homes
from custody.keys.client import LINE_BYTES_MAX
from custody.keys.desk import Desk
from custody.keys.ownership import OwnershipRequest
from custody.keys.refusal import Refusal
from custody.keys.request import parse_cancel, parse_sign

logger = logging.getLogger(__name__)

PEERS_VARIABLE = "MOORAGE_SIGNER_PEER_UIDS"
"""Comma-separated user ids that may ask, besides the signer's own."""

SOCKET_PATH_MAX = 107


class Service:
    """Lines in, lines out. Says no by rule, and says nothing about its own faults."""

    def __init__(self, desk: Desk) -> None:
        self._operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "sign": lambda q: _signed(desk, q),
            "sign_cancel": lambda q: _cancelled(desk, q),
            "history": lambda q: _history(desk, q),
            "sign_checkpoint": lambda q: _checkpoint(desk, q),
            "sign_ownership": lambda q: _ownership(desk, q),
            "account_xpub": lambda q: {"xpub": desk.account_xpub(q["account"])},
            "status": lambda q: desk.status(),
            "freeze": lambda q: {"frozen_at": desk.freeze()},
            "unfreeze": lambda q: _unfrozen(desk, q),
            "load_policy": lambda q: {"hash": desk.load_policy(q["signed"])},
            "enrol": lambda q: {"version": desk.enrol(q["signed"])},
            "veto": lambda q: _vetoed(desk, q),
            "add_address": lambda q: _entered(desk, q),
            "remove_address": lambda q: _removed(desk, q),
            "freeze_scope": lambda q: _scope_frozen(desk, q),
            "lift": lambda q: _lifted(desk, q),
        }

    def answer(self, line: bytes) -> bytes:
        """One answer. A fault of our own is `failed`: the caller knows nothing and asks again."""
        try:
            question = loads(line)
            operation = self._operations.get(question["op"])
            if operation is None:
                raise Refusal("bad_request", "no such operation")
            answer = {"answer": "done", **operation(question)}
        except Refusal as refusal:
            logger.warning("refused", extra={"rule": refusal.rule})
            answer = {"answer": "refused", "rule": refusal.rule, "detail": refusal.detail}
        except (InvalidInput, ValueError, KeyError, TypeError) as error:
            detail = f"not a request of the known form ({type(error).__name__})"
            answer = {"answer": "refused", "rule": "bad_request", "detail": detail}
        except Exception as error:
            logger.error("failed", extra={"fault": type(error).__name__})
            answer = {"answer": "failed"}
        return dumps(answer) + b"\n"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, any number of lines."""
        try:
            if not _is_peer_allowed(writer.get_extra_info("socket")):
                logger.warning("peer refused")
                return
            while line := await reader.readline():
                writer.write(self.answer(line))
                await writer.drain()
        except (ConnectionError, ValueError):
            logger.warning("connection dropped")
        finally:
            writer.close()


def _signed(desk: Desk, q: dict[str, Any]) -> dict[str, Any]:
    made = desk.sign(parse_sign(q))
    return {"raw": made.raw, "tx_hash": made.tx_hash}


def _cancelled(desk: Desk, q: dict[str, Any]) -> dict[str, Any]:
    made = desk.sign_cancel(parse_cancel(q))
    return {"raw": made.raw, "tx_hash": made.tx_hash}


def _history(desk: Desk, q: dict[str, Any]) -> dict[str, Any]:
    chain_id, first = int(q["chain_id"]), int(q["first_nonce"])
    return {"entries": desk.history(chain_id, str(q["sender"]), first)}


def _checkpoint(desk: Desk, q: dict[str, Any]) -> dict[str, Any]:
    head = str(q["origin"]), int(q["size"]), bytes.fromhex(q["root"])
    proof = [bytes.fromhex(h) for h in q.get("proof", [])]
    signature = desk.sign_checkpoint(*head, int(q.get("old", "0")), proof)
    return {"signature": signature.hex()}


def _ownership(desk: Desk, q: dict[str, Any]) -> dict[str, Any]:
    return {"signature": desk.sign_ownership(OwnershipRequest.from_json(q)).hex()}


def _unfrozen(desk: Desk, q: dict[str, Any]) -> dict[str, Any]:
    desk.unfreeze(q["person"], bytes.fromhex(q["signature"]))
    return {}


def _vetoed(desk: Desk, q: dict[str, Any]) -> dict[str, Any]:
    desk.veto(str(q["tenant"]), q["changes"], str(q["hash"]), Signature.from_json(q["by"]))
    return {}


def _entered(desk: Desk, q: dict[str, Any]) -> dict[str, Any]:
    consents = [Signature.from_json(c) for c in q["consents"]]
    return {"since_s": desk.add_address(Address.from_json(q["entry"]), q["signature"], consents)}


def _removed(desk: Desk, q: dict[str, Any]) -> dict[str, Any]:
    desk.remove_address(str(q["tenant"]), str(q["entry"]), Signature.from_json(q["by"]))
    return {}


def _scope_frozen(desk: Desk, q: dict[str, Any]) -> dict[str, Any]:
    freeze, at = desk.freeze_scope(str(q["tenant"]), q["scope"], str(q["value"]))
    return {"freeze": freeze, "frozen_at": at}


def _lifted(desk: Desk, q: dict[str, Any]) -> dict[str, Any]:
    signatures = [Signature.from_json(x) for x in q["signatures"]]
    desk.lift(str(q["tenant"]), str(q["freeze"]), signatures)
    return {}


def _is_peer_allowed(connection: sockets.socket) -> bool:
    raw = connection.getsockopt(sockets.SOL_SOCKET, sockets.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", raw)
    named = os.environ.get(PEERS_VARIABLE, "")
    return uid in {os.geteuid(), *(int(x) for x in named.split(",") if x)}


def log_bounds(desk: Desk) -> None:
    """Print at start what can pass without a person."""
    status = desk.status()
    if status["frozen_at"]:
        logger.warning("frozen", extra={"since": status["frozen_at"]})
    for tenant in status["tenants"]:
        for bound in tenant["bounds"]:
            logger.info("may pass without a person", extra={"tenant": tenant["tenant"], **bound})
    if os.geteuid() == 0:
        logger.warning("the signer runs as root: whoever is root may read its keys")


async def listen(desk: Desk, path: Path, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT. Requires the folder's lock: a socket left over is dead."""
    _clear(path)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    _prepare(path.parent)
    # Whoever may enter the folder may ask: its own user, and the group it was handed to, if any.
    before = os.umask(0o117 if path.parent.stat().st_mode & stat.S_ISGID else 0o177)
    try:
        server = await asyncio.start_unix_server(
            Service(desk).serve, str(path), limit=LINE_BYTES_MAX
        )
    finally:
        os.umask(before)
    async with server:
        ready()
        await stop.wait()
    _clear(path)


def _prepare(folder: Path) -> None:
    """The socket's folder, for our own user unless root has made it ready for another as well."""
    folder.mkdir(mode=0o700, exist_ok=True)


def _clear(path: Path) -> None:
    if len(os.fsencode(path)) > SOCKET_PATH_MAX:
        raise OSError(f"{path}: a unix socket's path has at most {SOCKET_PATH_MAX} bytes")
    path.unlink(missing_ok=True)


def run(home: Path, socket: Path | None = None) -> None:
    """Open the folder and serve. Raises SignerBusy, CannotOpen, or OSError."""
    harden()
    path = socket or homes.socket_path(home)
    with homes.locked(homes.folder(home)):
        desk = homes.open_desk(home, homes.read_secret(home), SystemClock())
        log_bounds(desk)
        asyncio.run(listen(desk, path, lambda: _say(f"ready {path}")))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(prog="moorage signer", description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(".moorage"))
    parser.add_argument("--socket", type=Path, default=None)
    asked = parser.parse_args()
    setup_logging("INFO")
    run(asked.home, asked.socket)


if __name__ == "__main__":
    main()
