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
            assert honker_db.queue("emails").dead()[0]["last_error"] == "ValueError: no"

        def test_a_file_of_its_own(honker_jobs):
            assert honker_jobs.enqueued() == []
        """
    )
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=3)
