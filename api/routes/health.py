"""Is the service up, and how is it doing. Public; says nothing about anybody."""

from fastapi import Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import Field
from starlette.responses import Response

from api import edge
from api.answers import Shape, answer
from api.auth.access import PUBLIC
from api.deps import deps_of
from api.routing import Routes
from custody.assurance.anchor_chains import STOPPED

routes = Routes("health")


class Health(Shape):
    status: str
    database: str
    signing: str = Field(description="on, or stopped: this database may lack payments")
    anchoring: str = Field(description="on, or stopped: somebody holds a log that is not ours")
    reconciliation: str = Field(description="on time, or late: nobody has compared the books")


@routes.get("/v1/health", access=PUBLIC, command="health show", answer=Health)
async def show(request: Request) -> Response:
    """Answers 200 when the database answers; any error is a 5xx."""
    async with deps_of(request).hot.session() as s:
        row = await s.one(
            "SELECT EXISTS (SELECT FROM signing_stops) AS signing,"
            " EXISTS (SELECT FROM log_forks WHERE dismissed_at IS NULL)"
            " OR EXISTS (SELECT FROM log_statements WHERE verdict = 'ahead')"
            " OR EXISTS (SELECT FROM anchor_chains WHERE state = ANY(:states)) AS anchoring,"
            " EXISTS (SELECT FROM overdue_reports) AS late",
            {"states": [state.value for state in STOPPED]},
        )
    return answer(
        {
            "status": "ok",
            "database": "ok",
            "signing": "stopped" if row.signing else "on",
            "anchoring": "stopped" if row.anchoring else "on",
            "reconciliation": "late" if row.late else "on time",
        }
    )


@routes.get("/v1/metrics", access=PUBLIC, command="health metrics", answer="text/plain")
async def prometheus(request: Request) -> Response:
    """Counters in Prometheus' text form."""
    return Response(generate_latest(edge.registry), media_type=CONTENT_TYPE_LATEST)
