"""A local EVM node (Anvil, from npm) as an object. Devnet and tests only."""

import contextlib
import ctypes
import gzip
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from chains.devnet.rpc import DevnetError, rpc

REPO = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 30.0
START_TRIES = 5
BALANCE_ETH = 10_000_000
"""What each of the ten dev accounts has at genesis, in whole ether."""
STATES_MAX = 2_000
"""States of past blocks, all in memory (0.3 MB each). Those that a node puts on its disk, from
about the 1,000th block on, come back without any contract's code when a reorg goes to one."""
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def foundry_binary(tool: str) -> Path:
    """`anvil` or `forge` as scripts/setup_node installed it for this platform."""
    system = platform.system().lower()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    path = REPO / "node_modules" / "@foundry-rs" / f"{tool}-{system}-{machine}" / "bin" / tool
    if not path.is_file():
        raise DevnetError(f"{path.relative_to(REPO)} is missing: run scripts/setup_node first")
    return path


def _die_with_parent() -> Callable[[], None] | None:
    """Runs in the child before exec: the kernel kills it when the thread that made it ends."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def guard() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before prctl
            os._exit(1)

    return guard


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Anvil:
    """A running node. Make one with `Anvil.start`; stop it, or use it in a `with`.

    With `guard` (the default) the node dies with the thread that started it: start it from a thread
    that lives as long as the node is needed, normally the main one.
    """

    process: subprocess.Popen[bytes]
    port: int
    chain_id: int
    home: Path

    @classmethod
    def start(
        cls,
        port: int = 0,
        *,
        chain_id: int = 31337,
        block_time: float | None = None,
        load_state: Path | None = None,
        extra_args: tuple[str, ...] = (),
        guard: bool = True,
    ) -> Self:
        """Start a node and wait until it answers. Port 0 picks a free one.

        `block_time` is in seconds; None mines a block for each transaction. A loaded chain's clock
        is moved to now before anything else happens.
        """
        tries = START_TRIES if port == 0 else 1
        while True:
            tries -= 1
            chosen = port or _free_port()
            command = _command(chosen, chain_id, block_time, load_state, extra_args)
            try:
                home = _own_home(guard)
                node = cls(_spawn(command, home, guard), chosen, chain_id, home)
                break
            except DevnetError:
                shutil.rmtree(home, ignore_errors=True)
                if tries == 0:
                    raise
        # Its log is needed for the start only; after that it would grow with every request.
        node.rpc("anvil_setLoggingEnabled", False)
        if load_state is not None:
            node.set_time(int(time.time()))
            node.mine(1)
        return node

    @property
    def rpc_url(self) -> str:
        """HTTP endpoint on the loopback interface."""
        return f"http://127.0.0.1:{self.port}"

    def rpc(self, method: str, *params: Any) -> Any:
        """One JSON-RPC call; raises DevnetError on an error answer."""
        return rpc(self.rpc_url, method, *params)

    def stop(self) -> None:
        """End the node; a second call does nothing."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def mine(self, blocks: int = 1) -> None:
        """Mine `blocks` blocks at once."""
        self.rpc("anvil_mine", hex(blocks))

    def set_time(self, unix_s: int) -> None:
        """Set the clock of the next block."""
        self.rpc("anvil_setTime", unix_s)

    def now(self) -> int:
        """Unix seconds of the latest block."""
        return int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def set_balance(self, address: str, wei: int) -> None:
        """Give an account exactly `wei`."""
        self.rpc("anvil_setBalance", address, hex(wei))

    def snapshot(self) -> str:
        """Remember the state; the id is good for one `revert`."""
        return str(self.rpc("evm_snapshot"))

    def revert(self, snapshot: str) -> None:
        """Go back to a snapshot."""
        if not self.rpc("evm_revert", snapshot):
            raise DevnetError(f"no snapshot {snapshot}")

    def dump_state(self, path: Path) -> None:
        """Write the chain to a file that `load_state` reads."""
        path.write_bytes(gzip.decompress(bytes.fromhex(self.rpc("anvil_dumpState")[2:])))


def _command(
    port: int,
    chain_id: int,
    block_time: float | None,
    load_state: Path | None,
    extra_args: tuple[str, ...],
) -> list[str]:
    command = [str(foundry_binary("anvil")), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--chain-id", str(chain_id), "--balance", str(BALANCE_ETH)]
    command += ["--hardfork", "prague", "--slots-in-an-epoch", "1"]
    command += ["--prune-history", str(STATES_MAX)]
    if block_time is not None:
        command += ["--block-time", str(block_time)]
    if load_state is not None:
        command += ["--load-state", str(load_state)]
    return [*command, *extra_args]


def _spawn(command: list[str], home: Path, guard: bool) -> subprocess.Popen[bytes]:
    """Start the process; returns when the node answers and is really ours."""
    port = int(command[command.index("--port") + 1])
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, "HOME": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=_die_with_parent() if guard else None,
            start_new_session=not guard,
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while process.poll() is None and time.monotonic() < deadline:
            # The line comes only after this process has bound the port: a stranger who listens
            # there already cannot be taken for ours.
            if b"Listening on" in _text(log):
                with contextlib.suppress(OSError):
                    rpc(f"http://127.0.0.1:{port}", "eth_chainId")
                    return process
            time.sleep(0.02)
        process.kill()
        process.wait()
        raise DevnetError(f"anvil did not start: {_text(log).decode(errors='replace')[-2000:]}")


def _own_home(guard: bool) -> Path:
    """A folder for what a node keeps under $HOME/.foundry: past states, gigabytes an hour.

    It lies under the process with which the node dies. Those of processes that are gone are
    removed, since a node that was killed leaves everything behind.
    """
    every = REPO / ".cache" / "home"
    every.mkdir(parents=True, exist_ok=True)
    for folder in every.iterdir():
        if folder.name.isdigit() and not Path("/proc", folder.name).exists():
            shutil.rmtree(folder, ignore_errors=True)
    place = every / (str(os.getpid()) if guard else "unguarded")
    place.mkdir(exist_ok=True)
    return Path(tempfile.mkdtemp(dir=place))


def _text(log: IO[bytes]) -> bytes:
    # pread does not move the offset that the child writes at.
    return os.pread(log.fileno(), 1_000_000, 0)
