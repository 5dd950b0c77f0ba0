"""A worker: `python -m protojobs_worker examples.hello_worker:worker`."""

from protojobs_worker import JobContext, Retry, Worker

worker = Worker(queues=["greetings"], concurrency=4)


@worker.handler("greet", timeout=30)
async def greet(ctx: JobContext) -> dict[str, str]:
    """Greet somebody; what it returns is the job's result."""
    if not ctx.data["name"]:
        raise Retry(after=5, reason="nobody there yet")
    ctx.progress(0.5, "thinking")
    return {"greeting": f"Hello {ctx.data['name']}, this is attempt {ctx.attempt}"}
