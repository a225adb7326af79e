"""The receiver: https://ntfy.sh, or what understands its JSON."""

from __future__ import annotations

import asyncio
from typing import Any

import honker
import httpx

from .settings import Settings

# What was refused would be refused again. Anything else may be mended meanwhile, a wrong token or topic as well.
REFUSED = {400, 413, 422}


class Ntfy:
    """Posts reminders. Of one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        headers = {"Authorization": f"Bearer {settings.token}"} if settings.token else {}
        self._http = httpx.AsyncClient(timeout=settings.timeout_s, headers=headers)

    async def __call__(self, reminder: dict[str, Any]) -> None:
        """Delivers it, or raises. If the answer is lost it is posted again: the key tells the receiver."""
        settings = self._settings
        try:
            async with asyncio.timeout(settings.timeout_s):
                response = await self._http.post(
                    settings.endpoint,
                    json={"topic": settings.topic, **reminder},
                    headers={"Idempotency-Key": f"reminder-{honker.current_job().id}"},
                )
        except (httpx.TransportError, TimeoutError) as error:
            raise honker.Retryable(f"{settings.endpoint}: {error or type(error).__name__}", delay_s=None) from error
        if response.is_success:
            return
        message = f"{settings.endpoint} answered {response.status_code}: {response.text[:200]}"
        if response.status_code in REFUSED:
            raise honker.Discard(message)
        after = response.headers.get("Retry-After", "")
        raise honker.Retryable(message, delay_s=int(after) if after.isdecimal() and len(after) < 6 else None)

    async def aclose(self) -> None:
        await self._http.aclose()
