import peer
from django.tasks import task


@task
def job(kind, n):
    peer.handle(kind, n)
