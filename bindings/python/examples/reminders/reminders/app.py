"""The HTTP API. /docs is a page to try it on, and /openapi.json describes it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import honker
from fastapi import Depends, FastAPI, Path, Request
from fastapi.responses import JSONResponse

from .models import Delivery, New, Reminder
from .reminders import Conflict, Missing, Reminders
from .settings import Settings

log = logging.getLogger("reminders")


def reminders_of(request: Request) -> Reminders:
    found: Reminders = request.app.state.reminders
    return found


Here = Annotated[Reminders, Depends(reminders_of)]
Id = Annotated[int, Path(ge=1, lt=2**63)]


def create_app(settings: Settings, *, delivers: bool = True) -> FastAPI:
    """With `delivers` the worker runs in the app's own event loop, and is done when the app is."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.reminders = reminders = Reminders(settings)
        try:
            if delivers:
                async with working(reminders):
                    yield
            else:
                yield
        finally:
            await reminders.aclose()

    app = FastAPI(title="Reminders", version="1", lifespan=lifespan)

    # Plain functions run in a thread: one that waits for the writer keeps nobody else.

    @app.post("/reminders", status_code=201)
    def create(new: New, reminders: Here) -> Reminder:
        return reminders.create(new)

    @app.get("/reminders")
    def list_all(reminders: Here) -> list[Reminder]:
        return reminders.all()

    @app.get("/reminders/{id}")
    def get(id: Id, reminders: Here) -> Reminder:
        return reminders.get(id)

    @app.post("/reminders/{id}/pause")
    def pause(id: Id, reminders: Here) -> Reminder:
        return reminders.pause(id)

    @app.post("/reminders/{id}/resume")
    def resume(id: Id, reminders: Here) -> Reminder:
        return reminders.resume(id)

    @app.delete("/reminders/{id}", status_code=204)
    def delete(id: Id, reminders: Here) -> None:
        reminders.delete(id)

    @app.get("/reminders/{id}/deliveries")
    def deliveries(id: Id, reminders: Here) -> list[Delivery]:
        return reminders.deliveries(id)

    @app.get("/dead")
    def dead(reminders: Here) -> list[Delivery]:
        return reminders.dead()

    @app.post("/dead/{id}/retry", status_code=204)
    def retry(id: Id, reminders: Here) -> None:
        reminders.retry(id)

    @app.exception_handler(Missing)
    async def missing(request: Request, error: Missing) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 404)

    @app.exception_handler(Conflict)
    async def conflict(request: Request, error: Conflict) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 409)

    @app.exception_handler(honker.Error)
    async def trouble(request: Request, error: honker.Error) -> JSONResponse:
        """A lock that somebody holds, a full disk: nothing was done, and may be asked for again."""
        if not error.transient:
            raise error
        log.warning("%s %s: %s", request.method, request.url.path, error)
        return JSONResponse({"detail": str(error)}, 503, headers={"Retry-After": "1"})

    return app


@asynccontextmanager
async def working(reminders: Reminders) -> AsyncIterator[None]:
    stop = asyncio.Event()
    worker = asyncio.create_task(reminders.worker().arun(stop))
    worker.add_done_callback(ended)
    try:
        yield
    finally:
        stop.set()
        await worker


def ended(worker: asyncio.Task[None]) -> None:
    """An app that has ceased to deliver must not look alive: whoever supervises it begins it again."""
    if not worker.cancelled() and worker.exception() is not None:
        log.critical("the worker has ended", exc_info=worker.exception())
        os.kill(os.getpid(), signal.SIGTERM)
