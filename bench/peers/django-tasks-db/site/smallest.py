import django
from django.tasks import task

SECRET_KEY = "peers"
INSTALLED_APPS = ["django_tasks_db"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "app.db"}}
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}


@task
def greet(word):
    print(word, flush=True)


def main():
    django.setup()
    greet.enqueue("hello")
