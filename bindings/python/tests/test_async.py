"""asyncio, uvloop, trio, and anyio above them."""

import asyncio
import gc
import os
import threading
import warnings

import anyio
import honker
import pytest
from conftest import SOON_S, until

LOOPS = ["asyncio", "asyncio+uvloop", "trio"]


@pytest.fixture(params=LOOPS)
def run(request):
    """Runs a coroutine function in one of the loops; it has to end soon."""
    name, _, variant = request.param.partition("+")

    def run(function):
        async def limited():
            with anyio.fail_after(SOON_S):
                return await function()

        return anyio.run(
            limited, backend=name, backend_options={"use_uvloop": bool(variant)} if name == "asyncio" else {}
        )

    return run


def test_claims_wake_for_enqueues_and_delays(run, queue):
    async def main():
        got = []
        async with anyio.create_task_group() as group:

            async def consume():
                async with queue.claim("w", idle_poll_s=None) as claims:
                    async for job in claims:
                        got.append(job.payload)
                        assert await job.aack()
                        if job.payload == "last":
                            return

            group.start_soon(consume)
            await anyio.sleep(0.02)
            await queue.aenqueue("first")
            await queue.aenqueue("last", delay=1)
        assert got == ["first", "last"]

    run(main)


def test_many_consumers_of_one_loop(run, db):
    """asyncio keeps one callback for a descriptor: all of them have to be served all the same."""
    queues = [db.queue(f"q{n}") for n in range(20)]

    async def main():
        got = []
        async with anyio.create_task_group() as group:

            async def consume(queue):
                async for job in queue.claim("w", idle_poll_s=None):
                    got.append(job.payload)
                    job.ack()
                    return

            for queue in queues:
                group.start_soon(consume, queue)
            listener = db.listen("c", fallback_poll_s=None)
            group.start_soon(db.update_events().anext)
            await anyio.sleep(0.05)
            for n, queue in enumerate(queues):
                await queue.aenqueue(n)
            await db.anotify("c", "bye")
            assert (await anext(listener)).payload == "bye"
        assert sorted(got) == list(range(20))
        assert len(db._dispatchers) == 1

    run(main)


def test_what_was_made_outside_of_a_loop_is_used_there(run, db, queue):
    claims, listener = queue.claim("w", idle_poll_s=None), db.listen("c")

    async def main():
        async with anyio.create_task_group() as group:

            async def send():
                await anyio.sleep(0.02)
                await queue.aenqueue(1)
                await db.anotify("c", 2)

            group.start_soon(send)
            assert (await anext(claims)).payload == 1
            assert (await anext(listener)).payload == 2

    run(main)


def test_a_cancelled_wait_loses_no_job(run, queue):
    async def main():
        for n in range(30):
            claims = queue.claim("w", idle_poll_s=None)
            with anyio.move_on_after(0.001 * (n % 3)):
                async for _ in claims:
                    raise AssertionError("there is none")
            await claims.aclose()
        await queue.aenqueue("kept")
        claims = queue.claim("other")
        job = await anext(claims)
        assert (job.payload, job.attempts) == ("kept", 1)

    run(main)


def test_a_claim_that_was_cancelled_in_a_thread_is_undone(run, path, queue, program):
    """Another process has the writer, so that the claim is moved to a thread, and cancelled there."""
    queue.enqueue("kept")
    holder = program(HOLD, path)
    holder.line()

    async def main():
        with anyio.move_on_after(0.1) as scope:
            await queue.aclaim_one("w")
        assert scope.cancelled_caught or scope.cancel_called

    run(main)
    holder.process.stdin.write("\n")
    holder.process.stdin.flush()
    holder.end()
    job = queue.claim_one("other")
    assert (job.payload, job.attempts) == ("kept", 1)


HOLD = """
import sys, honker
db = honker.open(sys.argv[1])
with db.transaction() as tx:
    tx.execute("CREATE TABLE IF NOT EXISTS t (a)")
    print("open")
    sys.stdin.readline()
"""


def test_a_busy_writer_does_not_keep_the_loop(run, path, queue, program):
    holder = program(HOLD, path)
    holder.line()

    async def main():
        done, turns = [], 0
        async with anyio.create_task_group() as group:

            async def enqueue():
                done.append(await queue.aenqueue(1))

            group.start_soon(enqueue)
            for _ in range(50):
                await anyio.sleep(0.001)
                turns += 1
            assert not done and turns == 50
            holder.process.stdin.write("\n")
            holder.process.stdin.flush()
        assert done

    run(main)
    holder.end()


def test_two_tasks_and_a_transaction(run, db, queue):
    """Tasks of a loop share a thread: what would wait there would wait for itself."""

    async def main():
        entered, refused, order = anyio.Event(), anyio.Event(), []
        async with anyio.create_task_group() as group:

            async def first():
                async with db.atransaction() as tx:
                    queue.enqueue("first", tx=tx)
                    entered.set()
                    await refused.wait()
                    await anyio.sleep(0.05)
                    tx.execute("CREATE TABLE t (a)")
                    order.append("first")

            async def second():
                await entered.wait()
                with pytest.raises(honker.MisuseError, match="pass tx or use the async form"):
                    queue.enqueue("sync")
                with pytest.raises(honker.MisuseError, match="nested"), db.transaction():
                    pass
                refused.set()
                assert await queue.aclaim_one("w") is not None
                order.append("claimed")
                async with db.atransaction() as tx:
                    await queue.aenqueue("second", tx=tx)

            group.start_soon(first)
            group.start_soon(second)
        assert order == ["first", "claimed"]
        assert [job.payload for job in queue.claim_batch("w", 9)] == ["second"]

    run(main)


def test_many_transactions_queue_behind_each_other(run, db, queue):
    with db.transaction() as tx:
        tx.execute("CREATE TABLE n (n)")
        tx.execute("INSERT INTO n VALUES (0)")

    async def main():
        async with anyio.create_task_group() as group:

            async def add():
                async with db.atransaction() as tx:
                    n = tx.query("SELECT n FROM n")[0]["n"]
                    await anyio.sleep(0)
                    tx.execute("UPDATE n SET n = ?", [n + 1])

            for _ in range(20):
                group.start_soon(add)
        assert db.query("SELECT n FROM n") == [{"n": 20}]

    run(main)


def test_a_cancelled_transaction_is_rolled_back(run, db, queue):
    async def main():
        with anyio.move_on_after(0.01):
            async with db.atransaction() as tx:
                queue.enqueue(1, tx=tx)
                await anyio.sleep_forever()
        assert await queue.aclaim_one("w") is None
        # And one that waits for it.
        async with db.atransaction():
            with anyio.move_on_after(0.05):
                async with db.atransaction():
                    raise AssertionError("two at once")
        queue.enqueue(2)
        assert queue.claim_one("w").payload == 2

    run(main)


def test_results(run, queue):
    async def main():
        with pytest.raises(TimeoutError, match=r"wait_result\(5\) timed out"):
            await queue.wait_result(5, timeout=0.01)
        async with anyio.create_task_group() as group:

            async def save():
                await anyio.sleep(0.02)
                queue.save_result(5, {"ok": None}, ttl=60)

            group.start_soon(save)
            assert await queue.wait_result(5) == {"ok": None}
        assert await queue.wait_result(5, timeout=0) == {"ok": None}

    run(main)


def test_closing_ends_iterations(run, db, queue):
    async def main():
        claims, listener, ended = queue.claim("w"), db.listen("c"), anyio.Event()
        async with anyio.create_task_group() as group:

            async def close():
                await anyio.sleep(0.02)
                await claims.aclose()
                await ended.wait()
                await anyio.sleep(0.02)
                db.close()

            group.start_soon(close)
            assert [job async for job in claims] == []
            ended.set()
            with pytest.raises(honker.ClosedError):
                await anext(listener)

    run(main)


def test_a_thread_wakes_a_task(run, queue):
    async def main():
        claims = queue.claim("w")
        thread = threading.Thread(target=lambda: (until(lambda: claims._dispatcher._waiting), claims.wake()))
        thread.start()
        assert await claims.anext() is None
        thread.join()
        with pytest.raises(honker.MisuseError, match="event loop"):
            next(claims)

    run(main)


def test_an_idle_loop_does_nothing(run, db, queue):
    """The descriptor stays readable until the library is asked: a loop that forgot to would spin."""

    async def main():
        looks = 0
        idle = queue.claim("w", idle_poll_s=None)  # has something, and does not look
        await queue.aenqueue(1)
        waiting = db.listen("c", fallback_poll_s=None)
        dispatch = waiting._dispatcher.dispatch

        def counted():
            nonlocal looks
            looks += 1
            dispatch()

        waiting._dispatcher.dispatch = counted
        with anyio.move_on_after(0.2):
            await anext(waiting)
        assert looks < 50
        idle.close()

    run(main)


def test_loops_come_and_go_and_leave_nothing(db, queue):
    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    async def main():
        queue.enqueue(1)
        async for job in queue.claim("w"):
            job.ack()
            return

    asyncio.run(main())
    gc.collect()
    before = descriptors()
    for _ in range(20):
        asyncio.run(main())
    gc.collect()
    assert descriptors() <= before + 2
    assert len(db._dispatchers) <= 1


def test_close_between_two_runs_of_a_loop_leaves_nothing(path):
    """Its loop does not run then, and cannot be waited for."""

    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    def use(loop):
        db = honker.open(path)
        queue = db.queue("q")
        queue.enqueue(1)

        async def main():
            async with queue.claim("w") as claims:
                async for job in claims:
                    job.ack()
                    with anyio.move_on_after(0.05):
                        await anext(claims)
                    return

        loop.run_until_complete(main())
        db.close()

    loop = asyncio.new_event_loop()
    try:
        use(loop)
        loop.run_until_complete(asyncio.sleep(0.01))
        before = descriptors()
        use(loop)
        assert descriptors() == before
    finally:
        loop.close()


def test_two_loops_in_two_threads(db, queue):
    def consume(name, got):
        async def main():
            async for job in queue.claim(name):
                job.ack()
                if job.payload is None:
                    return
                got.append(job.payload)

        asyncio.run(main())

    got = [[], []]
    threads = [threading.Thread(target=consume, args=(f"w{n}", got[n])) for n in range(2)]
    for thread in threads:
        thread.start()
    for n in range(100):
        queue.enqueue(n)
    until(lambda: sum(map(len, got)) == 100)
    queue.enqueue_many([None, None])
    for thread in threads:
        thread.join(SOON_S)
    assert sorted(got[0] + got[1]) == list(range(100))


def test_no_warning_for_what_was_forgotten(queue):
    async def main():
        await asyncio.wait_for(queue.claim("w").anext(timeout=0), 60)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(main(), debug=True)
        gc.collect()
