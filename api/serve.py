"""What the HTTP server loads: the application, wired from the settings when it starts."""

from fastapi import FastAPI

from api.app import create_app
from api.deps import Deps
from api.processes import end_with_parent
from custody.core.hardening import harden
from custody.core.settings import Settings
from custody.core.telemetry import setup_logging


async def _build() -> Deps:
    from api import wiring

    return await wiring.build(Settings())


def application() -> FastAPI:
    """Factory for `granian --factory api.serve:application`."""
    # Loaded by Granian's worker, whose master may be killed: nobody else would end it then.
    end_with_parent()
    harden()
    setup_logging(Settings().log_level)
    return create_app(build=_build)
