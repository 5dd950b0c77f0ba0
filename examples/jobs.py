"""The kinds of job of the demo: each does something real that can be looked at afterwards."""

import hashlib
import smtplib
import sqlite3
import time
from contextlib import closing
from email.message import EmailMessage
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image
from protojobs_client import Job
from protojobs_worker import JobContext


class SendEmail(Job):
    """Sends one mail by SMTP. data: {smtp: [host, port], to, subject, body}."""

    queue = "emails"
    max_retries = 3
    retry_delay = 5
    timeout = 30

    def handle(self, ctx: JobContext) -> dict[str, str]:
        """Send it; the job id becomes the Message-ID, so that a repeated run can be told from a second mail."""
        message = EmailMessage()
        message["From"] = "demo@protojobs.example"
        message["To"] = ctx.data["to"]
        message["Subject"] = ctx.data["subject"]
        message["Message-ID"] = f"<{ctx.job_id}@protojobs.example>"
        message.set_content(ctx.data["body"])
        host, port = ctx.data["smtp"]
        with smtplib.SMTP(host, port, timeout=10) as smtp:
            smtp.send_message(message)
        return {"message_id": message["Message-ID"]}


class ProcessImage(Job):
    """Makes thumbnails of a picture. data: {source, target, widths}."""

    queue = "images"
    max_retries = 2
    timeout = 60

    def handle(self, ctx: JobContext) -> dict[str, list[str]]:
        """Write one thumbnail per width, telling how far it is, and stop between two when asked to."""
        source, target, widths = Path(ctx.data["source"]), Path(ctx.data["target"]), ctx.data["widths"]
        made: list[str] = []
        with Image.open(source) as picture:
            for done, width in enumerate(widths, start=1):
                ctx.raise_if_cancelled()
                thumbnail = picture.copy()
                thumbnail.thumbnail((width, width))
                path = target / f"{source.stem}-{width}.jpg"
                thumbnail.save(path, quality=85)
                made.append(path.name)
                ctx.progress(done / len(widths), f"{width} px")
        return {"made": made}


class DataCleanup(Job):
    """Deletes old rows of a SQLite database in steps. data: {database, older_than_days}."""

    queue = "default"
    priority: ClassVar[Any] = 3
    timeout = 120

    def handle(self, ctx: JobContext) -> dict[str, int]:
        """Delete in steps of 500 rows, so that nobody waits long for a lock."""
        deleted = 0
        with closing(sqlite3.connect(ctx.data["database"], timeout=10)) as database:
            while True:
                ctx.raise_if_cancelled()
                with database:
                    step = database.execute(
                        "delete from visit where rowid in (select rowid from visit where at < datetime('now', ?) limit 500)",
                        (f"-{int(ctx.data['older_than_days'])} days",),
                    ).rowcount
                deleted += step
                if step == 0:
                    return {"deleted": deleted}


class ChargeCard(Job):
    """Asks a payment gateway that may be down. data: {gateway, amount}."""

    queue = "payments"
    max_retries = 1
    retry_delay = 0.5
    timeout = 10

    def handle(self, ctx: JobContext) -> dict[str, str]:
        """Fail while the gateway (a file here) says that it is down."""
        status = Path(ctx.data["gateway"]).read_text().strip()
        if status != "up":
            raise ConnectionError(f"gateway is {status}")
        return {"receipt": hashlib.sha256(ctx.job_id.encode()).hexdigest()[:12]}

    def failed(self, ctx: JobContext, error: BaseException) -> None:
        """Leave a note for a person: this runs once, on the last failure."""
        Path(ctx.data["gateway"]).with_suffix(".note").write_text(f"{ctx.job_id}: {error}")


class BuildReport(Job):
    """Works for some seconds, remembering how far it came. data: {pages, seconds_per_page, target}."""

    queue = "reports"
    timeout = 60

    def handle(self, ctx: JobContext) -> dict[str, int]:
        """Write page after page; an attempt that takes over starts at the last checkpoint."""
        pages, target = int(ctx.data["pages"]), Path(ctx.data["target"])
        first = int(ctx.checkpoint or b"0")
        for page in range(first, pages):
            ctx.raise_if_cancelled()
            time.sleep(ctx.data["seconds_per_page"])
            with target.open("a") as report:
                report.write(f"page {page + 1} by attempt {ctx.attempt}\n")
            ctx.save_checkpoint(str(page + 1).encode())
            ctx.progress((page + 1) / pages)
        return {"pages": pages, "resumed_at": first}


class CountWord(Job):
    """Does next to nothing: what is measured with it is everything around it. data: {text}."""

    queue = "words"

    async def handle(self, ctx: JobContext) -> None:
        """Count words and throw the number away."""
        len(ctx.data["text"].split())
