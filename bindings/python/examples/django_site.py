"""Django's Tasks in honker. A project has `TASKS` in its settings; `manage.py honker_worker` runs what is run here."""

import django
from django.conf import settings

TASKS = {
    "default": {
        "BACKEND": "honker.contrib.django.HonkerBackend",
        "OPTIONS": {"MAX_ATTEMPTS": 10},
    }
}
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "honker.contrib.django"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": "site.db",
            "OPTIONS": {
                "timeout": 5,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }
    },
    TASKS=TASKS,
    USE_TZ=True,
)
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import transaction  # noqa: E402
from django.tasks import task  # noqa: E402
from honker.contrib.django.testing import run_due  # noqa: E402


@task
def send_email(to):
    print("sent to", to)
    return to


call_command("migrate", verbosity=0)
with transaction.atomic():
    result = send_email.enqueue("alice@example.com")
print(result.status)
run_due()
result.refresh()
print(result.status, result.return_value)
# => READY
# => sent to alice@example.com
# => SUCCESSFUL alice@example.com
