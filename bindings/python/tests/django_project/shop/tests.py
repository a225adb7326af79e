"""In Django's runner: a TestCase's transaction, in memory, in several processes."""

from __future__ import annotations

from datetime import timedelta
from unittest import mock, skipUnless

from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase
from django.utils import timezone
from honker.contrib.django import checks, store
from honker.contrib.django.compat import (
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_enqueued,
    task_finished,
    task_started,
)
from honker.contrib.django.testing import run_due

from . import tasks
from .models import Order


def execute(cursor, sql, *parameters):
    """SQL of honker's tables, whichever the database."""
    cursor.execute(store.sql(connection, sql), *parameters)


def due(result):
    """As if its delay were over."""
    with connection.cursor() as cursor:
        execute(cursor, "UPDATE _honker_live SET run_at = unixepoch() WHERE id = %s", [int(result.id)])


class TasksTest(TestCase):
    def test_a_task_is_enqueued_run_and_looked_at(self):
        result = tasks.write.enqueue(7, note="naïve")
        self.assertEqual((result.status, result.attempts, result.is_finished), (TaskResultStatus.READY, 0, False))
        self.assertEqual(Order.objects.count(), 0)
        self.assertEqual(run_due(), 1)
        self.assertEqual(Order.objects.get().note, "naïve")
        result.refresh()
        self.assertEqual(result.status, TaskResultStatus.SUCCESSFUL)
        self.assertEqual(result.return_value, {"id": Order.objects.get().id, "number": 7})
        self.assertEqual((result.attempts, result.worker_ids, result.errors), (1, ["run_due"], []))
        self.assertEqual((result.args, result.kwargs), ([7], {"note": "naïve"}))
        for moment in (result.enqueued_at, result.started_at, result.last_attempted_at, result.finished_at):
            self.assertLess(abs(timezone.now() - moment), timedelta(seconds=60))
        self.assertEqual(tasks.write.get_result(result.id).status, TaskResultStatus.SUCCESSFUL)
        self.assertEqual(run_due(), 0)

    def test_async_tasks_queues_priority_and_delay(self):
        first, second = tasks.send.enqueue("alice"), tasks.send.using(priority=50).enqueue("bob")
        later = tasks.send.using(run_after=timezone.now() + timedelta(hours=1)).enqueue("carol")
        self.assertEqual(run_due("default"), 0)
        self.assertEqual(run_due("emails", limit=1), 1)
        self.assertEqual([tasks.send.get_result(one.id).status for one in (first, second)], ["READY", "SUCCESSFUL"])
        self.assertEqual(run_due(), 1)
        self.assertEqual(list(Order.objects.values_list("note", flat=True)), ["bob", "alice"])
        self.assertEqual(tasks.send.get_result(later.id).status, TaskResultStatus.READY)

    def test_a_result_has_its_task_as_it_was_enqueued(self):
        run_after = timezone.now().replace(microsecond=0) + timedelta(hours=1)
        result = tasks.write.using(priority=-7, queue_name="emails", run_after=run_after).enqueue(1)
        task = tasks.write.get_result(result.id).task
        self.assertEqual((task.priority, task.queue_name, task.run_after), (-7, "emails", run_after))
        self.assertEqual(task.func, tasks.write.func)
        with connection.cursor() as cursor:
            execute(cursor, "UPDATE _honker_live SET queue = 'gone', run_at = 0")
        self.assertEqual(tasks.write.get_result(result.id).task, tasks.write)

    def test_a_failure_is_tried_again(self):
        result = tasks.fails.enqueue(2)
        run_due()
        result.refresh()
        self.assertEqual((result.status, result.attempts, len(result.errors)), (TaskResultStatus.READY, 1, 1))
        self.assertEqual(run_due(), 0)
        due(result)
        run_due()
        result.refresh()
        self.assertEqual((result.status, result.attempts, result.return_value), (TaskResultStatus.SUCCESSFUL, 2, 2))
        self.assertEqual(result.errors[0].exception_class, ValueError)
        self.assertIn("ValueError: attempt 1", result.errors[0].traceback)

    def test_the_last_attempt_is_the_end(self):
        result = tasks.fails.enqueue(9)
        for _ in range(2):
            due(result)
            run_due()
        result.refresh()
        self.assertEqual((result.status, result.attempts, len(result.errors)), (TaskResultStatus.FAILED, 2, 2))
        self.assertIsNotNone(result.finished_at)
        with self.assertRaises(ValueError):
            result.return_value  # noqa: B018

    def test_what_is_not_json_is_not_run_again(self):
        result = tasks.odd.enqueue()
        run_due()
        result.refresh()
        self.assertEqual((result.status, result.attempts), (TaskResultStatus.FAILED, 1))
        self.assertIn("is not JSON", result.errors[0].traceback)
        with self.assertRaises(TypeError):
            tasks.write.enqueue(object())
        self.assertEqual(run_due(), 0)

    def test_signals(self):
        seen = []

        def enqueued(sender, task_result, **kwargs):
            seen.append(("enqueued", task_result.id, task_result.status))

        def started(sender, task_result, **kwargs):
            seen.append(("started", task_result.id, task_result.status))

        def finished(sender, task_result, **kwargs):
            seen.append(("finished", task_result.id, task_result.status))

        pairs = ((task_enqueued, enqueued), (task_started, started), (task_finished, finished))
        for signal, receiver in pairs:
            signal.connect(receiver)
        try:
            id = tasks.fails.enqueue(2).id
            run_due()
            with connection.cursor() as cursor:
                execute(cursor, "UPDATE _honker_live SET run_at = unixepoch()")
            run_due()
        finally:
            for signal, receiver in pairs:
                signal.disconnect(receiver)
        self.assertEqual(
            seen,
            [
                ("enqueued", id, "READY"),
                ("started", id, "RUNNING"),
                ("started", id, "RUNNING"),
                ("finished", id, "SUCCESSFUL"),
            ],
        )

    def test_a_receiver_that_fails_repeats_nothing(self):
        """What has run is done, whoever is told of it."""

        def receiver(sender, **kwargs):
            raise ValueError("not today")

        task_finished.connect(receiver)
        try:
            result = tasks.write.enqueue(1)
            with self.assertLogs("django.dispatch", "ERROR"):
                self.assertEqual(run_due(), 1)
        finally:
            task_finished.disconnect(receiver)
        result.refresh()
        self.assertEqual((result.status, Order.objects.count()), (TaskResultStatus.SUCCESSFUL, 1))

    def test_a_module_that_fails_to_load_is_not_taken_for_none(self):
        """It may be mended: the job is tried again."""
        with connection.cursor() as cursor:
            execute(
                cursor,
                "INSERT INTO _honker_live (queue, payload) VALUES ('default', %s)",
                ['{"__honker_task__": {"task": "shop.broken.task", "args": [], "kwargs": {}}}'],
            )
        self.assertEqual(run_due(), 1)
        with connection.cursor() as cursor:
            execute(cursor, "SELECT state, attempts FROM _honker_live")
            self.assertEqual(cursor.fetchall(), [("pending", 1)])

    def test_a_rollback_takes_the_task_back(self):
        with self.assertRaises(ZeroDivisionError), transaction.atomic():
            kept = tasks.write.enqueue(1)
            raise ZeroDivisionError
        with self.assertRaises(TaskResultDoesNotExist):
            tasks.write.get_result(kept.id)
        self.assertEqual(run_due(), 0)

    def test_unknown_results(self):
        for id in ("1000000", "x", "-1", "1.5", "", "9" * 30, "9" * 5000, "\u0661", str(2**63)):
            with self.assertRaises(TaskResultDoesNotExist):
                tasks.write.get_result(id)
        with connection.cursor() as cursor:
            execute(
                cursor,
                "INSERT INTO _honker_live (queue, payload) VALUES ('default', %s), ('default', %s)",
                ['{"x": 1}', '{"__honker_task__": {"task": "shop.tasks.not_a_task", "args": [], "kwargs": {}}}'],
            )
        self.assertEqual(run_due(), 2)
        with connection.cursor() as cursor:
            execute(cursor, "SELECT last_error FROM _honker_dead ORDER BY id")
            errors = [row[0] for row in cursor.fetchall()]
        self.assertEqual(errors, ["the job is no task of Django's", "shop.tasks.not_a_task is no task, but a int"])

    async def test_async_forms(self):
        result = await tasks.write.aenqueue(3)
        self.assertEqual((await tasks.write.aget_result(result.id)).status, TaskResultStatus.READY)
        await result.arefresh()

    @skipUnless(connection.vendor == "sqlite", "only SQLite is in memory")
    def test_a_worker_refuses_a_database_in_memory(self):
        with self.assertRaisesRegex(CommandError, r"is in memory.*run_due\(\)"):
            call_command("honker_worker")


class AdminTest(TestCase):
    def setUp(self):
        user = User.objects.create_superuser("root", "root@example.com", "secret")
        self.client.force_login(user)
        self.dead = tasks.fails.enqueue(9)
        for _ in range(2):
            due(self.dead)
            run_due()
        self.live = tasks.write.enqueue(1)

    def test_queues_and_jobs_are_shown(self):
        page = self.client.get("/admin/honker/job/")
        self.assertContains(page, "<caption>Queues</caption>")
        self.assertContains(page, '<th scope="row">default</th><td>1</td><td>0</td><td>0</td><td>1</td>')
        self.assertContains(self.client.get("/admin/honker/deadjob/"), "attempt 2")
        self.assertEqual(self.client.get(f"/admin/honker/deadjob/{self.dead.id}/change/").status_code, 200)
        self.assertEqual(self.client.get("/admin/honker/job/add/").status_code, 403)

    def test_a_dead_job_is_tried_again(self):
        data = {"action": "retry", "_selected_action": [self.dead.id]}
        page = self.client.post("/admin/honker/deadjob/", data, follow=True)
        self.assertContains(page, "1 of 1 jobs are due again.")
        self.dead.refresh()
        self.assertEqual((self.dead.status, self.dead.attempts, self.dead.errors), (TaskResultStatus.READY, 0, []))

    def test_a_dead_job_is_deleted(self):
        data = {"action": "delete", "_selected_action": [self.dead.id]}
        self.assertContains(self.client.post("/admin/honker/deadjob/", data, follow=True), "1 jobs are deleted.")
        with self.assertRaises(TaskResultDoesNotExist):
            self.dead.refresh()

    def test_who_may_not_act_sees_only(self):
        from django.contrib.auth.models import Permission

        user = User.objects.create_user("eve", is_staff=True)
        user.user_permissions.add(Permission.objects.get(codename="view_deadjob"))
        self.client.force_login(user)
        page = self.client.get("/admin/honker/deadjob/")
        self.assertContains(page, "attempt 2")
        self.assertNotContains(page, "Try the selected jobs again")
        self.client.post("/admin/honker/deadjob/", {"action": "retry", "_selected_action": [self.dead.id]})
        self.dead.refresh()
        self.assertEqual(self.dead.status, TaskResultStatus.FAILED)

    def test_jobs_with_a_unique_key_are_left(self):
        with connection.cursor() as cursor:
            sql = "INSERT INTO _honker_job_options (job_id, unique_key) VALUES (%s, 'k')"
            execute(cursor, sql, [int(self.dead.id)])
        self.assertEqual(store.retry_dead(connection, [int(self.dead.id)]), 0)


class WithoutATransactionTest(TransactionTestCase):
    def test_a_task_is_committed_with_what_is_beside_it(self):
        with transaction.atomic():
            Order.objects.create(number=1)
            tasks.write.enqueue(2)
        self.assertEqual(run_due(limit=1), 1)
        self.assertEqual(Order.objects.count(), 2)


class ChecksTest(TestCase):
    def messages(self, database=None, **options):
        from django.conf import settings
        from honker.contrib.django.backend import HonkerBackend

        databases = {"default": settings.DATABASES["default"], **({"other": database} if database else {})}
        backend = HonkerBackend("default", {"OPTIONS": {"DATABASE": "other" if database else "default", **options}})
        with mock.patch.object(checks, "settings", mock.Mock(DATABASES=databases)):
            return [message.id for message in backend.check()]

    def test_checks(self):
        self.assertEqual(self.messages(), [])
        self.assertEqual(self.messages(DATABASE="nowhere"), ["honker.E001"])
        self.assertEqual(self.messages({"ENGINE": "django.db.backends.mysql"}), ["honker.E002"])
        self.assertEqual(self.messages({"ENGINE": "django.db.backends.postgresql"}), [])
        self.assertEqual(self.messages(KEEP_DONE_S=-1, MAX_ATTEMPTS="x"), ["honker.E003", "honker.E003"])
        self.assertEqual(self.messages(KEEP=1), ["honker.E004"])
        plain = {"ENGINE": "django.db.backends.sqlite3", "NAME": "x", "OPTIONS": {"timeout": 0}}
        self.assertEqual(self.messages(plain), ["honker.W001", "honker.W002", "honker.W003"])
