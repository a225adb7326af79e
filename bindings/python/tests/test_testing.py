"""The pytest plugin, from within and as its users have it."""

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def plugin(request):
    if not request.config.pluginmanager.hasplugin("honker"):
        request.config.pluginmanager.import_plugin("honker.pytest_plugin")


def test_as_users_have_it(pytester):
    pytester.makepyfile(
        """
        import pytest

        pytest_plugins = ["honker.pytest_plugin"]

        def test_all(honker_db, honker_jobs):
            emails = honker_db.queue("emails")
            emails.enqueue({"to": "alice", "n": 1})
            emails.enqueue({"to": "bob"}, delay=3600)
            assert honker_jobs.assert_enqueued("emails", {"to": "alice"})["payload"]["n"] == 1
            with pytest.raises(AssertionError, match="no job of emails"):
                honker_jobs.assert_enqueued("emails", {"to": "carol"})
            done = []
            assert honker_jobs.run_due(lambda job: done.append(job.payload["to"])) == 1
            assert done == ["alice"]
            honker_jobs.advance(3600)
            assert honker_jobs.run_due(lambda job: done.append(job.payload["to"]), emails) == 1
            assert honker_jobs.enqueued() == []

        def test_failures(honker_db, honker_jobs):
            honker_db.queue("emails").enqueue(1)

            async def fails(job):
                raise ValueError("no")

            with pytest.raises(ValueError, match="no"):
                honker_jobs.run_due(fails)
            assert honker_jobs.run_due(fails) == 0
            honker_jobs.advance(60)
            assert honker_jobs.run_due(fails, raise_errors=False) == 1
            honker_jobs.advance(60)
            honker_jobs.run_due(fails, raise_errors=False)
            assert honker_db.queue("emails").dead()[0]["last_error"].startswith("no\\nTraceback")

        def test_a_file_of_its_own(honker_jobs):
            assert honker_jobs.enqueued() == []
        """
    )
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=3)


def test_tasks(pytester):
    pytester.makepyfile(
        """
        import honker
        import pytest

        pytest_plugins = ["honker.pytest_plugin"]

        @pytest.fixture(autouse=True)
        def tasks():
            yield
            honker.registry.clear()

        def test_results_and_delays(honker_db, honker_jobs):
            emails, tries = honker_db.queue("emails"), []

            @emails.task(retries=2, retry_delay_s=3000)
            def send(to):
                tries.append(honker.current_job().attempts)
                if len(tries) == 1:
                    raise ValueError("no route")
                return {"sent": to}

            @emails.task
            async def add(a, b):
                return a + b

            honker_db.queue("raw").enqueue(1)
            sent, sum_of = send("alice"), add(1, b=2)
            with pytest.raises(ValueError, match="no route"):
                honker_jobs.run_due()
            assert honker_jobs.run_due() == 1
            assert sum_of.get(0) == 3
            honker_jobs.advance(2900)  # the clock goes on as well
            assert honker_jobs.run_due() == 0
            honker_jobs.advance(100)
            assert honker_jobs.run_due() == 1
            assert (sent.get(0), tries) == ({"sent": "alice"}, [1, 2])
            assert [job["queue"] for job in honker_jobs.enqueued()] == ["raw"]

        def test_what_they_say_of_their_job(honker_db, honker_jobs):
            @honker_db.task("emails")
            def says(what):
                says_so = {"later": honker.Snooze(60), "never": honker.Discard("no")}
                raise says_so.get(what, honker.Retryable("x", 5))

            for what in ("later", "never", "again"):
                says(what)
            assert honker_jobs.run_due() == 3
            assert [job["last_error"] for job in honker_db.queue("emails").dead()] == ["no"]
            assert [job["attempts"] for job in honker_jobs.enqueued()] == [0, 1]
            honker_jobs.advance(5)
            assert honker_jobs.run_due() == 1

        def test_what_no_task_is(honker_db, honker_jobs):
            with pytest.raises(ValueError, match="no tasks"):
                honker_jobs.run_due()
            honker_db.task("emails")(print)
            honker_db.queue("emails").enqueue({"__honker_task__": {"task": "gone", "args": [], "kwargs": {}}})
            with pytest.raises(Exception, match="unknown task: gone"):
                honker_jobs.run_due()
            assert "unknown task" in honker_db.queue("emails").dead()[0]["last_error"]

        def test_periodic_tasks(honker_db, honker_jobs):
            runs = []
            task = honker_db.periodic_task(honker.crontab("@daily"), "reports", name="nightly")
            task(lambda: runs.append(1)).schedule()
            honker_jobs.advance(86_400)
            assert [fire.name for fire in honker_db.scheduler().tick()] == ["nightly"]
            assert honker_jobs.run_due() == 1 and runs == [1]
        """
    )
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=4)
