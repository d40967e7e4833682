"""The simulated exchange with Kraken's wire format over HTTP, with a real chain below it."""

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from chains.devnet.exchange_chain import deposit_address
from chains.devnet.exchange_simulator import serving
from chains.devnet.kraken_simulator import KrakenExchange, open_kraken
from chains.devnet.kraken_wire import api_sign
from chains.devnet.rpc import call_uint, send
from chains.devnet.scenario.chain import warp
from chains.devnet.world import DevnetChain
from chains.evm.address import checksum

pytestmark = pytest.mark.chain

KEY, SECRET = "kraken-tests", base64.b64encode(b"not a secret: tests only").decode()
UNIT, DAY = 10**6, 86_400
TARGET = checksum("0x" + "e6" * 20)
USDC, ETH = "ESUSDC-INSTA-SIMUL1", "ESETH0-BONDE-SIMUL2"


@dataclass
class Api:
    """A customer of the exchange."""

    url: str
    session: aiohttp.ClientSession
    exchange: KrakenExchange
    nonces: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def ask(
        self, call: str, *, secret: str = SECRET, api_key: str = KEY, **query: str
    ) -> Any:
        path = f"/0/private/{call}"
        nonce = query.pop("nonce", "") or str(next(self.nonces))
        body = urlencode({"nonce": nonce, **query})
        headers = {
            "API-Key": api_key, "API-Sign": api_sign(secret, path, nonce, body),
            "Content-Type": "application/x-www-form-urlencoded",
        }  # fmt: skip
        async with self.session.post(self.url + path, data=body, headers=headers) as answer:
            return await answer.json()

    async def get(self, call: str, **query: str) -> Any:
        answer = await self.ask(call, **query)
        assert answer["error"] == []
        return answer["result"]

    async def done(self, call: str, strategy: str) -> None:
        """Poll until the last order is carried out."""
        for _ in range(20):
            if not (await self.get(f"Earn/{call}Status", strategy_id=strategy))["pending"]:
                return
        raise AssertionError("still pending")


@pytest.fixture
async def api(chain: DevnetChain) -> AsyncIterator[Api]:
    exchange = await open_kraken(
        chain.anvil.rpc_url, chain.world, api_key=KEY, api_secret=SECRET,
        keys={"ours": TARGET}, confirmations=3,
    )  # fmt: skip
    async with serving(exchange) as url, aiohttp.ClientSession() as session:
        yield Api(url, session, exchange)


async def test_the_whole_way_of_a_deposit(chain: DevnetChain, api: Api) -> None:
    usdc, whale, url = chain.world.tokens["USDC"].address, chain.world.accounts.whale, api.url
    assert url.startswith("http://127.0.0.1:")
    api.exchange.book.withdrawal_fees["USDC"] = UNIT // 2
    to, rpc_url = deposit_address(KEY), chain.anvil.rpc_url
    paid = send(rpc_url, whale, usdc, "transfer(address,uint256)", to, 1_000 * UNIT)
    [row] = await api.get("DepositStatus", asset="USDC")
    assert (row["txid"], row["status"]) == (paid["transactionHash"], "Settled")
    chain.anvil.mine(2)
    [row] = await api.get("DepositStatus", asset="USDC")
    assert row["status"] == "Success"
    assert (await api.get("BalanceEx"))["USDC"]["balance"] == "1000.000000"

    assert await api.get("Earn/Allocate", strategy_id=USDC, amount="600") is True
    busy = await api.ask("Earn/Allocate", strategy_id=USDC, amount="1")
    assert busy["error"][0].startswith("EEarnings:Busy")
    await api.done("Allocate", USDC)
    [item] = (await api.get("Earn/Allocations"))["items"]
    assert item["amount_allocated"]["total"]["native"] == "600.000000"
    await api.get("Earn/Allocate", strategy_id=USDC, amount="600")
    for _ in range(2):
        last = await api.ask("Earn/AllocateStatus", strategy_id=USDC)
    assert last["error"][0].startswith("EEarnings:Insufficient funds")
    await api.get("Earn/Deallocate", strategy_id=USDC, amount="600")
    await api.done("Deallocate", USDC)

    info = await api.get("WithdrawInfo", asset="USDC", key="ours", amount="1000")
    assert (info["amount"], info["fee"]) == ("999.500000", "0.500000")
    asked = await api.get(
        "Withdraw", asset="USDC", key="ours", amount="1000", address=TARGET, max_fee="0.5"
    )
    for _ in range(100):
        [row] = await api.get("WithdrawStatus", asset="USDC")
        if row["status"] == "Success":
            break
        await asyncio.sleep(0.05)
    assert (row["refid"], row["amount"], row["fee"]) == (asked["refid"], "999.500000", "0.500000")
    got = call_uint(rpc_url, usdc, "balanceOf(address)", TARGET)
    assert got == 999_500_000


async def test_bonded_strategy_gives_back_after_its_period(chain: DevnetChain, api: Api) -> None:
    book, rpc_url = api.exchange.book, chain.anvil.rpc_url
    book.free["ETH"] = 10**18
    await api.get("Earn/Allocate", strategy_id=ETH, amount="1")
    await api.done("Allocate", ETH)
    await api.get("Earn/Deallocate", strategy_id=ETH, amount="0.4")
    await api.done("Deallocate", ETH)
    [item] = (await api.get("Earn/Allocations"))["items"]
    amounts = item["amount_allocated"]
    assert amounts["unbonding"]["native"] == "0.400000000000000000"
    assert amounts["total"]["native"].startswith("1.0000000")
    assert (await api.get("BalanceEx"))["XETH"]["balance"].startswith("0.0000")
    warp(rpc_url, 2 * DAY + 1)
    await api.get("BalanceEx")
    assert (await api.get("BalanceEx"))["XETH"]["balance"] == "0.400000000000000000"


@pytest.mark.parametrize(
    ("call", "query", "error"),
    [
        ("BalanceEx", {"secret": base64.b64encode(b"other").decode()}, "EAPI:Invalid signature"),
        ("BalanceEx", {"api_key": "other"}, "EAPI:Invalid key"),
        ("BalanceEx", {"nonce": "0"}, "EAPI:Invalid nonce"),
        ("Earn/Allocate", {"strategy_id": "none", "amount": "1"}, "EGeneral:Invalid arguments"),
        ("Earn/Allocate", {"strategy_id": USDC, "amount": "0.001"}, "EEarnings:Below min"),
        ("Earn/Allocate", {"strategy_id": USDC, "amount": "x"}, "EGeneral:Invalid arguments"),
        ("Withdraw", {"asset": "USDC", "key": "x", "amount": "1"}, "EFunding:Unknown withdraw"),
        (
            "Withdraw",
            {"asset": "USDC", "key": "ours", "amount": "1", "address": "0x" + "11" * 20},
            "EFunding:Invalid address",
        ),
        ("Withdraw", {"asset": "USDC", "key": "ours", "amount": "1"}, "EFunding:Insufficient"),
    ],
)
async def test_what_the_exchange_refuses(
    api: Api, call: str, query: dict[str, str], error: str
) -> None:
    answer = await api.ask(call, **query)
    assert answer["error"][0].startswith(error)


async def test_nonce_must_rise(api: Api) -> None:
    await api.get("BalanceEx", nonce="100")
    for nonce in ("100", "99"):
        assert (await api.ask("BalanceEx", nonce=nonce))["error"] == ["EAPI:Invalid nonce"]
    await api.get("BalanceEx", nonce="101")


async def test_fee_above_ours_is_refused_and_a_suspended_coin_says_so(api: Api) -> None:
    book = api.exchange.book
    book.free["USDC"], book.withdrawal_fees["USDC"] = 10 * UNIT, UNIT
    order = {"asset": "USDC", "key": "ours", "amount": "5", "max_fee": "0.5"}
    assert (await api.ask("Withdraw", **order))["error"] == ["EFunding:Max fee exceeded"]
    book.faults.suspended = True
    async with api.session.get(f"{api.url}/0/public/Assets?asset=USDC") as answer:
        assert (await answer.json())["result"]["USDC"]["status"] == "deposit_only"
    assert book.withdrawals == []
