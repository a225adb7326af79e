from __future__ import annotations

import asyncio
import os

from honker.contrib.django.compat import TaskContext

from .models import Order

try:
    from django.tasks import task
except ImportError:
    from django_tasks import task


@task
def write(number: int, note: str = "") -> dict:
    order = Order.objects.create(number=number, note=note)
    return {"id": order.id, "number": number}


@task(queue_name="emails", priority=5)
async def send(to: str) -> str:
    await asyncio.sleep(0)
    await Order.objects.acreate(number=0, note=to)
    return f"sent to {to}"


@task(takes_context=True)
def fails(context: TaskContext, until: int) -> int:
    if context.attempt < until:
        raise ValueError(f"attempt {context.attempt}")
    return context.attempt


@task
def odd() -> object:
    return object()


@task
async def waits() -> None:
    await asyncio.sleep(3600)


@task
def dies() -> None:
    os._exit(3)


not_a_task = 7
