"""Forked children, subinterpreters, and what is left when a process ends."""

import asyncio
import gc
import multiprocessing
import os
import sys

import honker
import pytest


def in_child(function):
    """What it returns in a forked child, as text."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = str(function())
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(writes, answer.encode())
        os._exit(0)
    os.close(writes)
    with open(reads, "rb") as pipe:
        answer = pipe.read().decode()
    assert os.waitpid(child, 0)[1] == 0
    return answer


pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def test_a_forked_child_is_told_and_hurts_nobody(path, db, queue):
    queue.enqueue(1)
    job, claims, listener = queue.claim_one("w"), queue.claim("w"), db.listen("c")

    def child():
        said = []
        for call in (
            lambda: queue.enqueue(2),
            job.ack,
            lambda: next(claims),
            lambda: listener.next(timeout=0),
            lambda: db.query("SELECT 1"),
            lambda: db.transaction().__enter__(),
            lambda: db.update_events(),
        ):
            try:
                call()
                said.append("nothing")
            except honker.ForkedError as error:
                assert "fork" in str(error)
        claims.close()
        db.close()
        gc.collect()
        with honker.open(path) as own:
            own.queue("emails").enqueue("from the child")
        return said

    assert in_child(child) == "[]"
    assert job.ack() is True
    assert next(claims).payload == "from the child"
    assert listener.next(timeout=0) is None


def test_a_forked_child_within_a_transaction(db, queue):
    with db.transaction() as tx:
        queue.enqueue("kept", tx=tx)

        def child():
            try:
                queue.enqueue(2, tx=tx)
            except honker.ForkedError:
                return "told"

        assert in_child(child) == "told"

        def leaves():
            tx.__exit__(ZeroDivisionError)
            return "left"

        assert in_child(leaves) in ("left",)
    assert queue.claim_one("w").payload == "kept"


def test_a_forked_child_of_a_loop(path, db, queue):
    """A server that forks its workers when a loop has run already."""

    async def claim(database):
        async for job in database.queue("emails").claim("w"):
            job.ack()
            return job.payload

    queue.enqueue("parent")
    assert asyncio.run(claim(db)) == "parent"
    queue.enqueue("child")

    def child():
        with honker.open(path) as own:
            return asyncio.run(claim(own))

    assert in_child(child) == "child"


def enqueue_inherited(queue, answers):
    try:
        queue.enqueue(1)
        answers.put("nothing")
    except honker.ForkedError as error:
        answers.put(str(error))


def test_multiprocessing_fork(queue):
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    process = context.Process(target=enqueue_inherited, args=(queue, answers))
    process.start()
    assert "fork" in answers.get()
    process.join()
    assert process.exitcode == 0 and queue.claim_one("w") is None


def test_it_cannot_be_sent_to_a_process(db, queue):
    import pickle

    for one in (db, queue):
        with pytest.raises(TypeError, match="open it"):
            pickle.dumps(one)


def test_a_process_that_ends_closes_what_it_opened(path, program):
    """Also its leadership, which others would wait a minute for."""
    leader = program(
        """
        import sys, honker
        db = honker.open(sys.argv[1])
        leader = db.scheduler().leader()
        db.scheduler().add(name="n", queue="q", schedule="@every 1s")
        next(leader)
        print(leader.leads)
        """,
        path,
    )
    assert leader.line() == "True"
    leader.end()
    with honker.open(path) as db:
        assert db.query("SELECT * FROM _honker_locks") == []


@pytest.mark.skipif(sys.version_info < (3, 13), reason="ctypes cannot be imported by subinterpreters before 3.13")
def test_subinterpreters(path, queue, program):
    queue.enqueue("for a subinterpreter")
    runs = program(
        """
        import sys
        try:
            from concurrent import interpreters
            interpreter = interpreters.create()
            run = interpreter.exec
        except ImportError:
            import _interpreters as interpreters
            interpreter = interpreters.create()
            run = lambda code: interpreters.exec(interpreter, code)
        failed = run(f'''
        import sys
        sys.path[:0] = {sys.path!r}
        import honker
        with honker.open({sys.argv[1]!r}) as db:
            job = db.queue("emails").claim_one("sub")
            print(job.payload, job.ack(), flush=True)
        '''.replace("\\n        ", "\\n"))
        assert failed is None, failed
        """,
        path,
    )
    assert runs.line() == "for a subinterpreter True"
    runs.end()
