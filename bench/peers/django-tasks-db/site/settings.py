import os

SECRET_KEY = "peers"
USE_TZ = True
INSTALLED_APPS = ["django_tasks_db"]
# As Django comes: a rollback journal with synchronous = FULL. Unsynced is what its notes on SQLite show.
OPTIONS = {"timeout": 20, "transaction_mode": "IMMEDIATE"}
if os.environ.get("PEER_DURABILITY") == "unsynced":
    OPTIONS["init_command"] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["PEER_URL"], "OPTIONS": OPTIONS}}
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": ["default"]}}
