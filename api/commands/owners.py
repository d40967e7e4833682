"""What an owner of the Safe does at the own desk, where no wallet is at hand: tests and demos."""

import json
from pathlib import Path
from typing import Annotated

import typer

from api.commands.people import read_text
from chains.evm.contracts.safe import SafeCall, recover, transaction_hash
from custody.keys.owner_key import sign_safe_hash


def sign_safe(
    proposal: Annotated[str, typer.Argument(help="as `moorage safe-proposals show` prints it")],
    key: Annotated[Path, typer.Option("--key", help="file with the owner's key, 64 hex digits")],
) -> None:
    """Sign one Safe transaction: PROPOSAL is its JSON, a file name, or `-` for standard input.

    The hash is computed here from the call, which is shown on standard error before it is signed.
    """
    shown = json.loads(read_text(proposal))
    call = SafeCall(shown["to"], int(shown["value"]), bytes.fromhex(shown["data"][2:]))
    read = transaction_hash(int(shown["chain_id"]), shown["safe"], call, int(shown["nonce"]))
    if read != shown["safe_tx_hash"]:
        raise typer.BadParameter("safe_tx_hash is not the hash of this call", param_hint="proposal")
    terms = {name: shown[name] for name in ("chain_id", "safe", "nonce", "to", "value", "data")}
    typer.echo(json.dumps(terms, indent=2), err=True)
    signature = sign_safe_hash(key, read)
    typer.echo(
        json.dumps(
            {
                "safe_tx_hash": read,
                "signature": "0x" + signature.hex(),
                "owner": recover(read, signature),
            },
            indent=2,
        )
    )
