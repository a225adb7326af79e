"""What the package costs beside the C ABI: reads lines from standard input, each a workload and a number, and answers
each with a line of JSON. Each has a queue of its own. With --asyncio the tasks of an event loop do it.
"""

import asyncio
import json
import sys
import threading
import time
from queue import SimpleQueue

import honker

now = time.perf_counter


def enqueue(queue, count):
    before = now()
    for n in range(count):
        queue.enqueue({"n": n})
    return {"seconds": now() - before}


def claim_ack(queue, count):
    queue.enqueue_many([{"n": n} for n in range(count)])
    before = now()
    for _ in range(count):
        assert queue.claim_one("w").ack()
    return {"seconds": now() - before}


def batch(queue, count):
    queue.enqueue_many([{"n": n} for n in range(count)])
    before = now()
    while jobs := queue.claim_batch("w", 100):
        queue.ack_batch([job.id for job in jobs], "w")
    return {"seconds": now() - before}


def wake(queue, count):
    got = SimpleQueue()

    def consume():
        for job in queue.claim("w"):
            got.put(now())
            job.ack()
            if job.payload["n"] == count - 1:
                return

    consumer = threading.Thread(target=consume)
    consumer.start()
    times = []
    for n in range(count):
        time.sleep(0.002)
        sent = now()
        queue.enqueue({"n": n})
        times.append(got.get() - sent)
    consumer.join()
    return {"p50_us": sorted(times)[count // 2] * 1e6}


async def aenqueue(queue, count):
    before = now()
    for n in range(count):
        await queue.aenqueue({"n": n})
    return {"seconds": now() - before}


async def aclaim_ack(queue, count):
    queue.enqueue_many([{"n": n} for n in range(count)])
    before = now()
    for _ in range(count):
        assert await (await queue.aclaim_one("w")).aack()
    return {"seconds": now() - before}


async def abatch(queue, count):
    queue.enqueue_many([{"n": n} for n in range(count)])
    before = now()
    while jobs := await queue.aclaim_batch("w", 100):
        await queue.aack_batch([job.id for job in jobs], "w")
    return {"seconds": now() - before}


async def awake(queue, count):
    """Between two tasks of one loop."""
    got, times = asyncio.Queue(), []

    async def consume():
        async for job in queue.claim("w"):
            got.put_nowait(now())
            await job.aack()
            if job.payload["n"] == count - 1:
                return

    consumer = asyncio.create_task(consume())
    for n in range(count):
        await asyncio.sleep(0.002)
        sent = now()
        await queue.aenqueue({"n": n})
        times.append(await got.get() - sent)
    await consumer
    return {"p50_us": sorted(times)[count // 2] * 1e6}


WORKLOADS = {f.__name__: f for f in (enqueue, claim_ack, batch, wake, aenqueue, aclaim_ack, abatch, awake)}


def main():
    with honker.open(f"{sys.argv[1]}/bench.db") as db:
        for i, line in enumerate(sys.stdin):
            name, count = line.split()
            if sys.argv[2:] == ["--asyncio"]:
                name = f"a{name}"
            done = WORKLOADS[name](db.queue(f"bench-{i}"), int(count))
            print(json.dumps(asyncio.run(done) if asyncio.iscoroutine(done) else done), flush=True)


main()
