"""Django's tasks in Django's database. A worker looks every second when there is nothing."""

from datetime import timedelta

import django

django.setup()

from django.db import connection, transaction  # noqa: E402
from django.utils import timezone  # noqa: E402
from tasks import job  # noqa: E402


class Producer:
    def enqueue(self, kind, n):
        job.enqueue(kind, n)

    def enqueue_later(self, jobs):
        later = job.using(run_after=timezone.now() + timedelta(days=1))
        with transaction.atomic():
            for kind, n in jobs:
                later.enqueue(kind, n)

    def enqueue_many(self, jobs):
        with transaction.atomic():
            for kind, n in jobs:
                job.enqueue(kind, n)

    def transact(self, kind, n, commit):
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO orders (n) VALUES (%s)", [n])
            job.enqueue(kind, n)
            if not commit:
                transaction.set_rollback(True)
