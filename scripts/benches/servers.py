"""What the API bench loads into Granian: ours without chains, and the peer, a FastAPI hello."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from fastapi import FastAPI

from api.app import create_app
from api.deps import Deps, ServiceSigner
from chains.registry import AssetInfo, ChainInfo, Registry
from custody.billing.fees import FeeTable
from custody.core.clock import SystemClock
from custody.core.db import Database
from custody.core.money import AssetId, erc20_asset
from custody.core.settings import Settings
from custody.deposits import addresses
from custody.withdrawals.deps import WithdrawalDeps
from router.deps import RouterDeps

CHAIN = 31337
TOKEN = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
ASSET: AssetId = erc20_asset(CHAIN, TOKEN)


def registry() -> Registry:
    chain = ChainInfo(CHAIN, "bench", ("http://127.0.0.1:1",), 1, {}, True)
    return Registry({CHAIN: chain}, {ASSET: AssetInfo(ASSET, CHAIN, "USDC", 6, TOKEN)})


async def _build() -> Deps:
    db, clock, known = Database(os.environ["DATABASE_URL"], 16), SystemClock(), registry()
    installation: Mapping[str, Any] = {}
    return Deps(
        db=db,
        registry=known,
        clock=clock,
        signer=cast(ServiceSigner, None),  # no route of the bench asks the signer
        settings=Settings(home=Path(os.environ["MOORAGE_HOME"])),
        withdrawals=WithdrawalDeps(db, clock, known, FeeTable({}), addresses.is_ours),
        router=RouterDeps(db, {}, known, clock),
        installation=installation,
    )


def ours() -> FastAPI:
    return create_app(build=_build)


def hello() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    async def root() -> dict[str, str]:
        return {"hello": "world"}

    return app
