"""`scripts/demo`: the whole story, told by an outsider who sees only the API and the chains."""

import argparse
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

from scripts.journey import anchoring, founding, keeping, leaving, owing, pooling, proving
from scripts.journey.scene import Scene
from scripts.journey.show import Checks, console, step
from scripts.journey.stage import Stage


def tell(scene: Scene, *, kill_worker: bool) -> None:
    with step(1, "The world: PostgreSQL, two chains, real protocols, a simulated exchange"):
        founding.start_world(scene)
        founding.hold_ceremony(scene)
    with step(2, "Three holders get addresses; outside accounts pay in; deposits are credited"):
        founding.fund_operator(scene)
        founding.admit_holders(scene)
        founding.pay_in(scene)
    with step(3, "Deposits are swept into the treasury"):
        founding.watch_sweeps(scene)
    with step(4, "Policy, consent, rates, a plan over tiers, and its execution"):
        pooling.load_policies(scene)
        pooling.opt_in(scene)
        pooling.compare_rates(scene)
        pooling.watch_routing(scene)
    with step(5, "Time passes: yield accrues, the spread goes to income, statements add up"):
        pooling.let_time_pass(scene)
        pooling.show_statements(scene)
    with step(6, "A withdrawal beyond the liquid buffer"):
        leaving.withdraw(scene, kill_worker=kill_worker)
    with step(7, "Checkpoint, anchor, an offline bundle, one flipped byte, a rewritten history"):
        proving.prove(scene)
        anchoring.proved(scene)
        anchoring.refused(scene)
    with step(8, "The ledger against the chains"):
        proving.reconcile(scene)
        owing.prove_solvency(scene)
    with step(9, "Keys are in the signer's memory and nowhere else"):
        keeping.scan(scene)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the story")
    parser.add_argument("--kill-worker", action="store_true", help="kill -9 in step 6")
    parser.add_argument("--leave", type=Path, metavar="FOLDER", help="what an auditor may have")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started, scene = time.monotonic(), Scene(Stage(), Checks())
    try:
        tell(scene, kill_worker=options.kill_worker)
        code = report(scene.checks, time.monotonic() - started)
        if not options.once:
            stay(scene)
    except KeyboardInterrupt:
        code = 130
    except Exception:
        traceback.print_exc()
        console.print(scene.stage.tail())
        code = 1
    finally:
        scene.stage.close()
    if code == 0:
        if options.leave:
            leave(scene, options.leave)
        shutil.rmtree(scene.stage.home, ignore_errors=True)
    else:
        console.print(f"logs are kept in {scene.stage.home}")
    return code


def leave(scene: Scene, folder: Path) -> None:
    """The log's files, its key and the bundle: what an auditor may have, for whoever reads on."""
    home = scene.stage.home
    shutil.copytree(home / "log", folder / "log")
    shutil.copy(home / "bundle.zip", folder)
    (folder / "log.vkey").write_text(f"{scene.founded['log_key']}\n")


def report(checks: Checks, took_s: float) -> int:
    console.print(
        f"\n[bold]{checks.held} checks held, {len(checks.failed)} broke[/] in {took_s:.0f} s"
    )
    for what in checks.failed:
        console.print(f"  [red]BROKEN[/] {what}")
    return 1 if checks.failed else 0


def stay(scene: Scene) -> None:
    console.print(f"\nMoorage is up at [bold]{scene.stage.url}[/] (OpenAPI at /openapi.json)")
    console.print(f"treasury token  {scene.person('treasury')['token']}")
    console.print(f"auditor token   {scene.person('auditor')['token']}")
    console.print("Ctrl-C ends it.")
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    sys.exit(main())
