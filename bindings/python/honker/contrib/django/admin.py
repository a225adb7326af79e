"""Pages of the admin: the queues with what is in them, and the dead jobs, to be read, tried again, or deleted."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.db import connections
from django.utils import timezone

from . import store
from .apps import databases
from .models import DeadJob, Job


class _ReadOnly(admin.ModelAdmin):  # type: ignore[misc]
    list_filter = ("queue",)
    show_facets = admin.ShowFacets.ALWAYS
    show_full_result_count = False

    @property
    def alias(self) -> str:
        return min(databases(), default="default")

    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).using(self.alias)

    def has_add_permission(self, request: Any) -> bool:
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        return False


def _moment(name: str, title: str) -> Any:
    @admin.display(description=title, ordering=name)
    def show(self: Any, row: Any) -> datetime:
        return datetime.fromtimestamp(getattr(row, name), timezone.get_current_timezone())

    return show


@admin.register(Job)
class JobAdmin(_ReadOnly):
    list_display = ("id", "queue", "state", "priority", "due", "attempts", "max_attempts", "worker_id")
    list_filter = ("queue", "state")
    search_fields = ("payload",)
    ordering = ("-id",)
    change_list_template = "honker/queues.html"
    due = _moment("run_at", "due")

    def changelist_view(self, request: Any, extra_context: dict[str, Any] | None = None) -> Any:
        context = {**(extra_context or {}), "honker_queues": store.queues(connections[self.alias])}
        return super().changelist_view(request, context)


@admin.register(DeadJob)
class DeadJobAdmin(_ReadOnly):
    list_display = ("id", "queue", "died", "attempts", "error")
    search_fields = ("payload", "last_error")
    ordering = ("-id",)
    actions = ("retry", "delete")
    died = _moment("died_at", "died")

    @admin.display(description="error")
    def error(self, row: Any) -> str:
        return (row.last_error or "").partition("\n")[0][:200]

    @admin.action(description="Try the selected jobs again", permissions=["act"])
    def retry(self, request: Any, queryset: Any) -> None:
        ids = list(queryset.values_list("id", flat=True))
        count = store.retry_dead(connections[self.alias], ids)
        self.message_user(request, f"{count} of {len(ids)} jobs are due again.")
        if count < len(ids):
            self.message_user(
                request,
                "Those with a unique key or in a batch are left as they are: use honker's Database.jobs.",
                messages.WARNING,
            )

    @admin.action(description="Delete the selected jobs", permissions=["act"])
    def delete(self, request: Any, queryset: Any) -> None:
        count = store.delete_dead(connections[self.alias], list(queryset.values_list("id", flat=True)))
        self.message_user(request, f"{count} jobs are deleted.")

    def has_act_permission(self, request: Any) -> bool:
        return bool(request.user.has_perm("honker.change_deadjob") or request.user.has_perm("honker.delete_deadjob"))
