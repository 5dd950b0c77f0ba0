"""The demo's worker: `python -m protojobs_worker examples.worker:worker`."""

from protojobs_worker import Worker

from examples.jobs import BuildReport, ChargeCard, CountWord, DataCleanup, ProcessImage, SendEmail

worker = Worker(
    queues={"payments": 5, "emails": 3, "images": 2, "reports": 2, "default": 1, "words": 1},
    concurrency=8,
    session_ttl=10,
)
for job in (SendEmail, ProcessImage, DataCleanup, ChargeCard, BuildReport, CountWord):
    worker.register(job)
