"""The simulated exchange over HTTP, with a real chain below it."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from chains.devnet.exchange_chain import deposit_address
from chains.devnet.exchange_simulator import open_exchange, serving
from chains.devnet.rpc import call_uint, send
from chains.devnet.scenario.chain import warp
from chains.devnet.world import DevnetChain
from chains.evm.address import checksum

pytestmark = pytest.mark.chain

KEY, SECRET = "tests-key", "not a secret: tests only"
EARN = "/sapi/v1/simple-earn/flexible"
CAPITAL = "/sapi/v1/capital"
UNIT = 10**6
YEAR_S = 365 * 24 * 3600
TARGET = checksum("0x" + "e5" * 20)


@dataclass
class Api:
    """A customer of the exchange."""

    url: str
    session: aiohttp.ClientSession
    secret: str = SECRET

    async def ask(self, method: str, path: str, **parameters: str) -> tuple[int, Any]:
        query = urlencode({**parameters, "timestamp": str(time.time_ns() // 1_000_000)})
        digest = hmac.new(self.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        url = f"{self.url}{path}?{query}&signature={digest}"
        async with self.session.request(method, url, headers={"X-MBX-APIKEY": KEY}) as response:
            return response.status, await response.json()

    async def get(self, path: str, **parameters: str) -> Any:
        status, body = await self.ask("GET", path, **parameters)
        assert status == 200, body
        return body

    async def post(self, path: str, **parameters: str) -> Any:
        status, body = await self.ask("POST", path, **parameters)
        assert status == 200, body
        return body

    async def free(self, coin: str) -> str:
        account = await self.get("/api/v3/account")
        return str(next(b["free"] for b in account["balances"] if b["asset"] == coin))


@pytest.fixture
async def api(chain: DevnetChain) -> AsyncIterator[Api]:
    exchange = await open_exchange(
        chain.anvil.rpc_url, chain.world, api_key=KEY, api_secret=SECRET, confirmations=3
    )
    async with serving(exchange) as url, aiohttp.ClientSession() as session:
        yield Api(url, session)


def pay_in(chain: DevnetChain, amount: int) -> str:
    usdc, whale = chain.world.tokens["USDC"].address, chain.world.accounts.whale
    to = deposit_address(KEY)
    receipt = send(chain.anvil.rpc_url, whale, usdc, "transfer(address,uint256)", to, amount)
    return str(receipt["transactionHash"])


async def test_the_whole_way_of_a_deposit(chain: DevnetChain, api: Api) -> None:
    address = await api.get(f"{CAPITAL}/deposit/address", coin="USDC", network="ETH")
    assert address["address"] == deposit_address(KEY)

    tx_hash = pay_in(chain, 1_000 * UNIT)
    (row,) = await api.get(f"{CAPITAL}/deposit/hisrec", coin="USDC")
    assert (row["txId"], row["status"], row["amount"]) == (tx_hash, 0, "1000.000000")
    assert row["confirmTimes"] == "1/3"
    assert await api.free("USDC") == "0.000000"
    chain.anvil.mine(2)
    (row,) = await api.get(f"{CAPITAL}/deposit/hisrec", txId=tx_hash)
    assert (row["status"], row["confirmTimes"]) == (1, "3/3")
    assert await api.free("USDC") == "1000.000000"

    assert (await api.post(f"{EARN}/subscribe", productId="USDC001", amount="1000"))["success"]
    assert await api.free("USDC") == "0.000000"
    warp(chain.anvil.rpc_url, YEAR_S // 2)
    (position,) = (await api.get(f"{EARN}/position", asset="USDC"))["rows"]
    earned = int(position["totalAmount"].replace(".", "")) - 1_000 * UNIT
    assert 40 * UNIT <= earned < 40 * UNIT + 1_000  # 8 % for half a year, and a few seconds
    assert (await api.post(f"{EARN}/redeem", productId="USDC001", redeemAll="true"))["success"]
    assert (await api.get(f"{EARN}/position"))["total"] == 0

    usdc = chain.world.tokens["USDC"].address
    order = {
        "coin": "USDC",
        "network": "ETH",
        "address": TARGET,
        "amount": "1040",
        "withdrawOrderId": "leg_1",
    }
    first = await api.post(f"{CAPITAL}/withdraw/apply", **order)
    assert await api.post(f"{CAPITAL}/withdraw/apply", **order) == first
    row = await completed(api, "leg_1")
    assert row["amount"] == "1040.000000"
    receipt = chain.anvil.rpc("eth_getTransactionReceipt", row["txId"])
    assert receipt["status"] == "0x1"
    paid = call_uint(chain.anvil.rpc_url, usdc, "balanceOf(address)", TARGET)
    assert paid == 1_040 * UNIT


async def completed(api: Api, order_id: str) -> Any:
    for _ in range(100):
        (row,) = await api.get(f"{CAPITAL}/withdraw/history", withdrawOrderId=order_id)
        if row["status"] == 6:
            return row
        await asyncio.sleep(0.05)
    raise AssertionError(f"not paid: {row}")


async def test_native_coin_in_and_out(chain: DevnetChain, api: Api) -> None:
    whale = chain.world.accounts.whale
    message = {"from": whale, "to": deposit_address(KEY), "value": hex(5 * 10**18)}
    chain.anvil.rpc("eth_sendTransaction", message)
    chain.anvil.mine(4)
    assert await api.free("ETH") == "5.000000000000000000"
    before = int(chain.anvil.rpc("eth_getBalance", TARGET, "latest"), 16)
    await api.post(
        f"{CAPITAL}/withdraw/apply",
        coin="ETH",
        address=TARGET,
        amount="4.999999999999999999",
        withdrawOrderId="leg_2",
    )
    await completed(api, "leg_2")
    assert int(chain.anvil.rpc("eth_getBalance", TARGET, "latest"), 16) - before == 5 * 10**18 - 1


@pytest.mark.parametrize(
    ("method", "path", "parameters", "code"),
    [
        ("POST", f"{EARN}/subscribe", {"productId": "USDC001", "amount": "1"}, -4026),
        ("POST", f"{EARN}/subscribe", {"productId": "XYZ001", "amount": "1"}, -6001),
        ("POST", f"{EARN}/subscribe", {"productId": "USDC001"}, -1102),
        ("POST", f"{EARN}/subscribe", {"productId": "USDC001", "amount": "0.01"}, -6005),
        ("POST", f"{EARN}/redeem", {"productId": "USDC001", "amount": "1"}, -6014),
        ("POST", f"{CAPITAL}/withdraw/apply", {"coin": "XYZ"}, -1121),
        ("POST", f"{CAPITAL}/withdraw/apply", {"coin": "USDC", "address": "0x1"}, -4012),
        ("POST", f"{CAPITAL}/withdraw/apply", {"coin": "USDC", "address": TARGET}, -1102),
        ("GET", f"{CAPITAL}/deposit/address", {"coin": "USDC", "network": "BSC"}, -4018),
    ],
)
async def test_what_the_exchange_refuses(
    api: Api, method: str, path: str, parameters: dict[str, str], code: int
) -> None:
    status, body = await api.ask(method, path, **parameters)
    assert (status, body["code"]) == (400, code)


async def test_a_wrong_secret_and_no_key(api: Api) -> None:
    status, body = await Api(api.url, api.session, "other").ask("GET", "/api/v3/account")
    assert (status, body["code"]) == (400, -1022)
    async with api.session.get(f"{api.url}/api/v3/account") as response:
        assert response.status == 401
        assert (await response.json())["code"] == -2014


async def test_coins_name_their_network_and_withdrawal_fee(api: Api) -> None:
    status, body = await api.ask("GET", "/sapi/v1/capital/config/getall")
    fees = {
        c["coin"]: (c["networkList"][0]["network"], c["networkList"][0]["withdrawFee"])
        for c in body
    }
    assert status == 200
    assert fees["USDC"] == ("ETH", "0.000000")
