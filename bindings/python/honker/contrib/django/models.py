"""For the admin: rows that honker writes. Nothing is migrated, and nothing is written through them."""

from __future__ import annotations

from django.db import models


class Job(models.Model):  # type: ignore[misc]
    """One that is not done."""

    id = models.BigIntegerField(primary_key=True)
    queue = models.TextField()
    payload = models.TextField()
    state = models.TextField()
    priority = models.IntegerField()
    run_at = models.BigIntegerField()
    worker_id = models.TextField(null=True)
    attempts = models.IntegerField()
    max_attempts = models.IntegerField()
    created_at = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = "_honker_live"

    def __str__(self) -> str:
        return f"job {self.id} of {self.queue}"


class DeadJob(models.Model):  # type: ignore[misc]
    """One that was given up."""

    id = models.BigIntegerField(primary_key=True)
    queue = models.TextField()
    payload = models.TextField()
    priority = models.IntegerField()
    attempts = models.IntegerField()
    max_attempts = models.IntegerField()
    last_error = models.TextField(null=True)
    created_at = models.BigIntegerField()
    died_at = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = "_honker_dead"
        verbose_name = "dead job"

    def __str__(self) -> str:
        return f"dead job {self.id} of {self.queue}"
