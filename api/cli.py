"""`moorage`: the service's own processes, the tools of people, and a command for every route."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from api.commands import generated
from api.commands import keks as kek_commands
from api.commands import owners as owner_commands
from api.commands import people as people_commands
from api.commands import policy as policy_commands
from custody.core.errors import InvalidInput, MoorageError
from custody.core.settings import Settings

app = typer.Typer(
    help="Self-hosted custody and yield routing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(people_commands.app, name="people")
app.add_typer(kek_commands.app, name="kek")
app.add_typer(policy_commands.app, name="policy")
app.command("sign-approval")(people_commands.sign_approval)
app.command("sign-safe")(owner_commands.sign_safe)

LOCAL = frozenset(
    {
        *("serve", "worker", "signer", "devnet", "migrate", "init", "verify", "fsck"),
        *("sign-approval", "sign-safe", "kek", "doctor", "policy"),
        *("back-up", "chains", "drill", "log-restore", "rescue", "backtest"),
    }
)
"""Commands that need no OpenAPI document: building one would only make them start late."""


@app.command()
def serve() -> None:
    """Run everything: database, signer, worker, API. Ends with Ctrl-C."""
    from api.commands import serve as command

    command.run(Settings())


@app.command()
def worker() -> None:
    """Run the jobs alone."""
    from api import wiring
    from api import worker as running
    from api.jobs import jobs
    from custody.core.hardening import harden
    from custody.core.telemetry import setup_logging
    from custody.settlement import standstill

    async def run() -> None:
        parts = wiring.parts(Settings())
        await standstill.begin(parts.db, parts.clock, parts.registry.chains)
        await running.run(parts.db, jobs(parts))
        await parts.close()

    harden()
    setup_logging(Settings().log_level)
    asyncio.run(run())


@app.command()
def signer() -> None:
    """Run the signer alone. It holds the keys and listens on a unix socket."""
    from custody.core.telemetry import setup_logging
    from custody.keys.signer import run

    settings = Settings()
    setup_logging(settings.log_level)
    run(settings.home, settings.signer_socket)


@app.command()
def devnet(
    block_time_s: Annotated[float, typer.Option(help="seconds between blocks")] = 1.0,
) -> None:
    """Two local chains with a DeFi world on them, and a simulated exchange."""
    from api.commands import devnet as command

    command.run(Settings().home, block_time_s)


@app.command()
def init(
    authority_key: Annotated[Path, typer.Option(help="key file of who signs policies")],
    person: Annotated[list[str], typer.Option(help="role:public key (hex); once a person")],
    tenant: Annotated[str, typer.Option(help="name of the first tenant")] = "First",
    devnet_file: Annotated[
        Path | None, typer.Option(help="the chains; default: devnet.json of the home folder")
    ] = None,
) -> None:
    """The ceremony: first keys, people and policy. Prints tokens once; they are stored nowhere."""
    from api.commands import init as command
    from custody.keys.people import PersonKey

    settings = Settings()
    source = devnet_file or settings.home / "devnet.json"
    staff = [command.parse_person(text) for text in person]
    shown = asyncio.run(
        command.run(
            settings,
            tenant,
            json.loads(source.read_text()),
            PersonKey.read(authority_key),
            staff,
        )
    )
    typer.echo(json.dumps(shown, indent=2))


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema, as its owner."""
    from api.embedded import database_urls, left_as_found
    from api.migrations.run import upgrade

    settings = Settings()
    with left_as_found(settings):
        asyncio.run(upgrade(database_urls(settings, start=True).owner))
    typer.echo("the database is up to date")


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],
    }
)
def verify(context: typer.Context) -> None:
    """Verify evidence offline; the same as running custody/audit/verify.py alone."""
    import custody.audit

    verifier = Path(next(iter(custody.audit.__path__))) / "verify.py"
    done = subprocess.run([sys.executable, "-I", str(verifier), *context.args], check=False)
    raise typer.Exit(done.returncode)


@app.command()
def fsck() -> None:
    """Rebuild balances and the Merkle tree from the rows and compare. Repairs nothing."""
    from api.commands import fsck as command
    from api.embedded import left_as_found

    settings = Settings()
    with left_as_found(settings):
        report = asyncio.run(command.check(settings))
    typer.echo(command.as_text(report))
    raise typer.Exit(0 if report["ok"] else 1)


@app.command()
def doctor(
    repair: Annotated[bool, typer.Option(help="do the repairs; else nothing changes")] = False,
) -> None:
    """Compare our nonces, the signer's store and the chain. Needs a running signer."""
    from api.commands import doctor as command
    from api.embedded import left_as_found

    settings = Settings()
    with left_as_found(settings):
        report = asyncio.run(command.run(settings, repair=repair))
    typer.echo("\n".join(report.lines) or "nothing found")
    raise typer.Exit(1 if report.left else 0)


@app.command()
def chains(
    resume: Annotated[int | None, typer.Option(help="id of a halted chain to go on with")] = None,
    execute: Annotated[bool, typer.Option(help="do it; else nothing changes")] = False,
) -> None:
    """Show how far each chain has been read; resume one that a deep reorg has halted."""
    from api.commands import chains as command
    from api.embedded import left_as_found

    settings = Settings()
    with left_as_found(settings):
        lines = asyncio.run(command.run(settings, resume=resume, execute=execute))
    typer.echo("\n".join(lines))


@app.command()
def rescue(
    chain: Annotated[int, typer.Option(help="id of the chain that has the transaction")],
    tx: Annotated[str, typer.Option(help="hash of the transaction, 0x…")],
    execute: Annotated[bool, typer.Option(help="record it; else nothing changes")] = False,
    approval: Annotated[
        list[Path] | None,
        typer.Option(help="file that `people sign-deposit` wrote, once a person and arrival"),
    ] = None,
) -> None:
    """Find money that came to an address of ours unwatched, and record it as a deposit.

    For a wrong chain, for a token that was listed since, and for a block that was read before the
    address was watched. Shows what there is, each with the document that two persons of treasury
    sign; with --execute records what they signed. Exits with 1 if nothing can be, or was, rescued.
    """
    from api.commands import rescue as command
    from api.embedded import left_as_found

    settings = Settings()
    with kek_commands.clear_errors(), left_as_found(settings):
        given = [command.read_approval(path) for path in approval or []]
        shown = asyncio.run(command.run(settings, chain, tx, given, execute=execute))
    typer.echo(json.dumps(shown, indent=2))
    raise typer.Exit(0 if command.worked(shown, execute=execute) else 1)


@app.command("log-restore")
def log_restore(
    execute: Annotated[bool, typer.Option(help="go on; else nothing changes")] = False,
    approval: Annotated[
        list[Path] | None,
        typer.Option(help="file that `people sign-restore` wrote, once a person and document"),
    ] = None,
) -> None:
    """Let the log go on where a restored database lacks what is published.

    Shows what is missing, a document a tenant, which two persons of its treasury sign; with
    --execute and the founding tenant's two signatures, puts it back and logs what was accepted.
    Nothing that was published is changed. Exits with 1 if something waits for signatures.
    """
    from api.commands import log_restore as command
    from api.commands.rescue import read_approval
    from api.embedded import left_as_found

    settings = Settings()
    with kek_commands.clear_errors(), left_as_found(settings):
        given = [read_approval(path) for path in approval or []]
        shown = asyncio.run(command.run(settings, given, execute=execute))
    typer.echo(json.dumps(shown, indent=2))
    raise typer.Exit(1 if command.waits(shown) else 0)


@app.command("back-up")
def back_up(
    folder: Annotated[Path, typer.Argument(help="a new folder; keep it apart from the shares")],
) -> None:
    """Copy what a restore needs besides the shares: database, public file, signer's store, log."""
    from api.commands import backup
    from api.embedded import left_as_found

    settings = Settings()
    with left_as_found(settings):
        made = backup.make(settings, folder)
    typer.echo(f"log at {made.size}, root {made.root or 'none'}")


@app.command()
def drill(
    backup: Annotated[Path, typer.Argument(help="the folder that `moorage back-up` made")],
    secret_file: Annotated[Path, typer.Option(help="file (0600) of a new passphrase")],
    share: Annotated[
        list[Path] | None,
        typer.Option(help="a share's file, once a share; none: check what was rebuilt again"),
    ] = None,
    person: Annotated[
        str | None, typer.Option(help="of the treasury, who lifts the freeze")
    ] = None,
    person_key: Annotated[Path | None, typer.Option(help="that person's key file")] = None,
    send: Annotated[
        bool, typer.Option(help="send the test transfer: only if this machine takes over")
    ] = False,
) -> None:
    """Rebuild an installation in an empty home from shares and a backup, and check it.

    Needs: k share files (`moorage kek split`), a backup folder (`moorage back-up`: database.dump,
    installation.json, signer-store.db, log.tar, manifest.json), the chains' endpoints. An
    exchange's key is in no backup: make a new one before `moorage serve`. Exits with 1 if any
    check fails.
    """
    from api.commands import drill as command
    from api.embedded import left_as_found
    from custody.keys.people import PersonKey

    settings = Settings()
    lifter = command.Lifter(person, PersonKey.read(person_key)) if person and person_key else None
    with kek_commands.clear_errors(), left_as_found(settings):
        rows = command.run(settings, backup, share or [], secret_file, lifter, send=send)
    for row in rows:
        typer.echo(f"{row.name:<14} {'ok' if row.ok else 'FAILED':<6} {row.detail}")
    raise typer.Exit(0 if all(row.ok for row in rows) else 1)


@app.command()
def backtest(
    panel: Annotated[str, typer.Argument(help="a CSV of rates, or the name of a panel")],
    policy: Annotated[Path | None, typer.Option(help="limits of the run, as JSON")] = None,
    data: Annotated[
        Path, typer.Option(help="folder of the named panels", envvar="MOORAGE_RATES")
    ] = Path("../shared/rates"),
    amount: Annotated[list[int] | None, typer.Option(help="USD; once an amount")] = None,
    chart: Annotated[Path | None, typer.Option(help="draw wealth over time, SVG")] = None,
    rates: Annotated[
        str | None, typer.Option(help="what the rates of a CSV are: simple or effective")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="as one object")] = False,
) -> None:
    """Walk the router's strategy through past rates, net of costs, against simple rules.

    A CSV has the columns date, venue, token, apy_decimal; and withdrawable_usd, utilisation,
    tvl_usd where they are known. Exits with 1 if a bar is missed.
    """
    from api.commands import backtest as command
    from router.backtest import report

    amounts = amount or command.AMOUNTS_USD
    if rates is not None and rates not in command.READINGS:
        raise InvalidInput("rates", f"must be one of: {', '.join(command.READINGS)}", rates)
    found = command.run(panel, data, policy, amounts, chart, [rates] if rates else ())
    typer.echo(json.dumps(found) if as_json else command.as_text(found))
    raise typer.Exit(int(report.missed(found["measures"])))


def attach_routes() -> typer.Typer:
    """Add the commands of the routes; answers the whole application."""
    from api.app import create_app

    groups = {"people": people_commands.app}
    generated.attach(groups, app, create_app().openapi())
    return app


def main() -> None:
    named = sys.argv[1] if len(sys.argv) > 1 else ""
    if named not in LOCAL:
        attach_routes()
    try:
        app()
    except MoorageError as error:
        typer.echo(f"{error.code}: {error.detail}", err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
