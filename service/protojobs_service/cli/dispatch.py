"""`protojobs dispatch`."""

from typing import Annotated, Any

import typer
from protojobs_client import DispatchOptions, JobRequest, OnConflict, RetryPolicy, Unique, UniqueScope

from protojobs_service.cli.connection import AddressOption, connected
from protojobs_service.cli.output import JsonFlag, cell, print_json, print_pairs, screen
from protojobs_service.cli.values import parse_json, parse_pairs, parse_span, parse_time, read_data

_JSON = "application/json"


def dispatch(
    kind: Annotated[str, typer.Argument(help="Which handler runs it.")],
    data: Annotated[str | None, typer.Option("--data", "-d", help="JSON, @FILE, or @- for standard input.")] = None,
    queue: Annotated[str | None, typer.Option("--queue", "-q", help="Queue. [default: default]")] = None,
    delay: Annotated[str | None, typer.Option(help="Start this long from now: 30s, 5m, 2h, 1d.")] = None,
    at: Annotated[str | None, typer.Option("--at", help="Start at this time, ISO 8601.")] = None,
    priority: Annotated[int | None, typer.Option(help="1 to 9, higher first. [default: 5]")] = None,
    job_id: Annotated[str | None, typer.Option("--id", help="UUIDv7; the same one never runs twice.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", "-l", help="key=value, to find it by; repeatable.")] = None,
    header: Annotated[list[str] | None, typer.Option("--header", help="key=value, for the handler; repeatable.")] = None,
    fairness_key: Annotated[str | None, typer.Option(help="Whose share of a fair queue it takes.")] = None,
    concurrency_key: Annotated[str | None, typer.Option(help="Of one key so many run at once as the queue allows.")] = None,
    retries: Annotated[int | None, typer.Option(min=0, help="Retries after the first run. [default: the queue's, 3]")] = None,
    run_timeout: Annotated[str | None, typer.Option(help="Longest run of one attempt. [default: the queue's, 5m]")] = None,
    expires: Annotated[str | None, typer.Option(help="Do not start it after this time, ISO 8601.")] = None,
    keep_result: Annotated[str | None, typer.Option(help="How long its result is kept. [default: as the job]")] = None,
    unique_key: Annotated[str | None, typer.Option(help="At most one job of this key in its queue.")] = None,
    unique_scope: Annotated[UniqueScope | None, typer.Option(help="When the key is free. [default: until_done]")] = None,
    unique_window: Annotated[str | None, typer.Option(help="For scope window: how long the key is taken.")] = None,
    on_conflict: Annotated[OnConflict | None, typer.Option(help="If the key is taken. [default: reject]")] = None,
    on_complete: Annotated[list[str] | None, typer.Option(help="Kind to store with its completion; repeatable.")] = None,
    on_failed: Annotated[list[str] | None, typer.Option(help="Kind to store when it fails for good; repeatable.")] = None,
    content_type: Annotated[str, typer.Option(help="Media type; anything but JSON is sent as it is.")] = _JSON,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait for its result and print it.")] = False,
    timeout: Annotated[str | None, typer.Option(help="Wait no longer than this.")] = None,
    address: AddressOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Store a job."""
    options = DispatchOptions()
    if queue is not None:
        options["queue"] = queue
    if delay is not None:
        options["delay"] = parse_span(delay, "--delay")
    if at is not None:
        options["run_at"] = parse_time(at, "--at")
    if priority is not None:
        options["priority"] = priority
    if job_id is not None:
        options["job_id"] = job_id
    if label:
        options["labels"] = parse_pairs(label, "--label")
    if header:
        options["headers"] = parse_pairs(header, "--header")
    if fairness_key is not None:
        options["fairness_key"] = fairness_key
    if concurrency_key is not None:
        options["concurrency_key"] = concurrency_key
    if retries is not None:
        options["retry"] = RetryPolicy(max_retries=retries)
    if run_timeout is not None:
        options["run_timeout"] = parse_span(run_timeout, "--run-timeout")
    if expires is not None:
        options["expire_at"] = parse_time(expires, "--expires")
    if keep_result is not None:
        options["result_retention"] = parse_span(keep_result, "--keep-result")
    if (unique := _unique(unique_key, unique_scope, unique_window, on_conflict)) is not None:
        options["unique"] = unique
    if on_complete:
        options["on_complete"] = _same_queue(on_complete, queue)
    if on_failed:
        options["on_failed"] = _same_queue(on_failed, queue)
    if data is not None:
        payload = read_data(data)
        if content_type == _JSON:
            parse_json(payload)
        options["payload"] = payload
        options["content_type"] = content_type
    patience = None if timeout is None else parse_span(timeout, "--timeout")
    with connected(address, as_json=as_json) as client:
        stored = client.dispatch(kind, **options)
        if not wait:
            _show({"job_id": stored.job_id, "outcome": stored.outcome}, as_json=as_json)
            return
        result = client.wait(stored.job_id, patience)
    if as_json:
        print_json({"job_id": stored.job_id, "outcome": stored.outcome, "result": result})
    else:
        screen().print(cell(f"{stored.job_id} completed"))
        if result is not None:
            print_json(result)


def _unique(key: str | None, scope: UniqueScope | None, window: str | None, on_conflict: OnConflict | None) -> Unique | None:
    """Return what the options about a unique key mean together."""
    if key is None:
        if scope or window or on_conflict:
            raise typer.BadParameter("needs --unique-key", param_hint="--unique-scope, --unique-window, --on-conflict")
        return None
    if scope is None:
        scope = UniqueScope.UNTIL_DONE if window is None else UniqueScope.WINDOW
    if (scope is UniqueScope.WINDOW) != (window is not None):
        raise typer.BadParameter("goes with --unique-scope window, and must then be there", param_hint="--unique-window")
    try:
        return Unique(
            key,
            scope=scope,
            window=None if window is None else parse_span(window, "--unique-window"),
            on_conflict=on_conflict or OnConflict.REJECT,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--unique-key") from None


def _same_queue(kinds: list[str], queue: str | None) -> list[JobRequest]:
    """Return jobs without data that go where the job goes which they follow."""
    jobs = [JobRequest(kind) for kind in kinds]
    return [job.on_queue(queue) for job in jobs] if queue is not None else jobs


def _show(values: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(values)
    else:
        print_pairs((name.replace("_", " "), value) for name, value in values.items())
