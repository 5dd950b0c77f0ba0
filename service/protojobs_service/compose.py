"""Settings in, a running server out: the only file that knows both the drivers and the wire."""

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from protojobs_service.admin.server import Admin
from protojobs_service.admin.web import web_routes
from protojobs_service.application import Application, MadeToken, Outbox, Relay, SystemClock, Timings, UpkeepDone
from protojobs_service.application.audit import say_nothing
from protojobs_service.application.transfer import Report as TransferReport
from protojobs_service.application.transfer import SameStore, Transfer
from protojobs_service.domain.access import Grant
from protojobs_service.domain.errors import InvalidField
from protojobs_service.drivers.memory import MemoryDriver
from protojobs_service.drivers.sql import foreign_rows, migrate
from protojobs_service.drivers.sql.cold.incarnation import Renewed
from protojobs_service.drivers.sql.driver import SqlDriver
from protojobs_service.drivers.sql.dsn import check
from protojobs_service.drivers.sql.foreign_rows import ForeignTable
from protojobs_service.drivers.sql.outbox import open_outbox
from protojobs_service.drivers.sql.ready import NoRoom
from protojobs_service.drivers.sql.sqlite import SqliteStore
from protojobs_service.drivers.sql.store import Options, Store
from protojobs_service.drivers.traced import TracedDriver
from protojobs_service.port import Driver
from protojobs_service.settings import DriverName, InvalidSettings, OtelSettings, Settings
from protojobs_service.telemetry import Telemetry, say_audit, service_version
from protojobs_service.transport.authenticators import authentication_of
from protojobs_service.transport.chains import brief
from protojobs_service.transport.outbox import OutboxDispatch
from protojobs_service.transport.redraft import Redrafts
from protojobs_service.transport.scaler import ScalerServer
from protojobs_service.transport.schedule_convert import Templates
from protojobs_service.transport.server import GrpcServer
from protojobs_service.transport.specs import fingerprint, unique_of

if TYPE_CHECKING:
    from protojobs_service.drivers.kafka import layout
    from protojobs_service.drivers.kafka.options import Options as KafkaOptions

    Finding = layout.Finding

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """A server that takes calls. The addresses are what a client on this machine may dial; scaler_address: empty without one."""

    address: str
    admin_address: str
    scaler_address: str
    version: str
    application: Application
    grpc: GrpcServer


def make_driver(settings: Settings) -> Driver:
    """Return the driver that the settings choose, not opened. Raises InvalidSettings."""
    match settings.driver:
        case DriverName.KAFKA:
            return _kafka_driver(settings)
        case _:
            return make_store(settings)


def make_store(settings: Settings) -> Driver:
    """Return the driver that the settings choose, of Kafka the one of its side store; not opened. Raises InvalidSettings."""
    match settings.store_name:
        case DriverName.MEMORY:
            return MemoryDriver(fingerprint=fingerprint, clock=lambda: datetime.now(UTC), rng=Random(), **_caps(settings))
        case DriverName.POSTGRES:
            options = _options(settings)
            try:
                from protojobs_service.drivers.sql.postgres import PostgresStore
            except ImportError as error:
                raise _needs_extra("postgres", error) from error
            return _sql_driver(PostgresStore(options), settings)
        case DriverName.MYSQL:
            options = _options(settings)
            try:
                from protojobs_service.drivers.sql.mysql import MysqlStore
            except ImportError as error:
                raise _needs_extra("mysql", error) from error
            return _sql_driver(MysqlStore(options), settings)
        case _:
            return _sql_driver(SqliteStore(_options(settings)), settings)


async def upgrade_schema(settings: Settings) -> str:
    """Bring the store's schema to that of this build; returns its revision. Raises InvalidSettings, StoreUnavailable."""
    options = _options(settings)
    return await migrate.upgrade(options.url, schema=options.schema, prefix=options.prefix)


async def current_schema(settings: Settings) -> str | None:
    """Return the revision of the store's schema, None where it has none. Raises InvalidSettings, StoreUnavailable."""
    options = _options(settings)
    return await migrate.current(options.url, schema=options.schema, prefix=options.prefix)


async def check_schema(settings: Settings) -> str:
    """Return current, missing, older, ahead or newer. Raises InvalidSettings, StoreUnavailable."""
    options = _options(settings)
    return (await migrate.check(options.url, schema=options.schema, prefix=options.prefix)).value


async def begin_anew(settings: Settings) -> Renewed:
    """Begin another incarnation of a restored store: no session of before goes on in it, and what they had waits again.

    Raises InvalidSettings, StoreUnavailable; also where a server is on it.
    """
    if settings.driver is DriverName.MEMORY:
        raise InvalidSettings("driver: memory cannot be restored")
    store = make_store(settings)
    assert isinstance(store, SqlDriver)
    await store.open(NoRoom())
    try:
        return await store.sessions.refuse_all()
    finally:
        await store.close()


def foreign_tables(dsn: str, *, insecure: bool) -> AbstractAsyncContextManager[Callable[[str, str], ForeignTable]]:
    """Open tables of another program's database by name and key; insecure: as store.insecure. Raises ValueError."""
    return foreign_rows.foreign_tables(dsn, insecure=insecure)


async def upkeep_once(settings: Settings, most: int) -> UpkeepDone:
    """Do what the timers of a server do to its store, once: at most `most` a step. Raises InvalidSettings, StoreUnavailable."""
    if settings.driver is DriverName.MEMORY:
        raise InvalidSettings("driver: memory is one server's own; nobody else can look after it")
    templates = Templates(settings.bounds)
    application = Application.over(
        make_store(settings),
        limits=settings.bounds,
        draft=templates.draft,
        read_follow_ups=templates.follow_ups,
        audit_kept=timedelta(days=settings.audit.retention_days),
    )
    return await application.upkeep_once(most)


async def survey_topics(settings: Settings, *, mend: bool) -> "Sequence[Finding]":
    """Return what the topics of Kafka lack, by the settings and the queues of the side store. mend: and mend what can be mended.

    Safe beside running servers, and to repeat. Raises InvalidSettings, StoreUnavailable.
    """
    options, side = _kafka_options(settings), make_store(settings)
    from protojobs_service.drivers.kafka.survey import survey

    await side.open(NoRoom())
    try:
        return await survey(side, options, mend=mend)
    finally:
        await side.close()


async def create_token(settings: Settings, name: str, grants: Sequence[Grant], ttl: timedelta) -> MadeToken:
    """Make a token in the store itself, and say so in its audit log: nobody can ask a server for the first one.

    Raises InvalidSettings, and what `Tokens.create` raises.
    """
    if settings.driver is DriverName.MEMORY:
        raise InvalidSettings("driver: memory is one server's own; nobody else can write to it")
    return await Application.over(make_store(settings)).create_first_token(name, grants, ttl)


async def transfer(source: Settings, target: Settings, queue: str, *, dry_run: bool, force: bool, new_ids: bool) -> TransferReport:
    """Move a queue from the store of some settings to that of others, beside their servers.

    Raises InvalidSettings, and what `Transfer.run` raises.
    """
    if DriverName.MEMORY in (source.driver, target.driver):
        raise InvalidSettings("driver: memory is one server's own; nobody else can read or write it")
    if _options(source) == _options(target):
        raise SameStore
    redraft = Redrafts(target.bounds).redraft
    async with _lent(source) as given, _lent(target) as taking:
        moving = Transfer(source=given, target=taking, queue=queue, redraft=redraft, new_ids=new_ids)
        return await (moving.count() if dry_run else moving.run(force=force))


@asynccontextmanager
async def _lent(settings: Settings) -> AsyncGenerator[Driver]:
    """Open a store that servers have open too, or not, and lease nothing."""
    # As the static member of a server it would take that one's partitions away.
    alone = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"instance": None, "adopt": False})})
    driver = make_driver(alone)
    await driver.open(NoRoom())
    try:
        yield driver
    finally:
        await driver.close()


@asynccontextmanager
async def start_server(
    settings: Settings,
    *,
    driver: Driver | None = None,
    timings: Timings | None = None,
    says_audit: bool = False,
    otel: OtelSettings | None = None,
    process_no: int | None = None,
) -> AsyncGenerator[RunningServer]:
    """Serve as long as the context lasts; then NOT_SERVING, Drain on every stream, the grace, and the store closed last.

    driver: instead of the one that the settings choose. says_audit: what `auto` means for audit.stdout. otel: where spans and
    metrics are pushed to, besides the admin port. process_no: which of several processes of a server this is; whoever starts them
    tells `grpc.health` when all are ready.
    Raises InvalidSettings, StoreUnavailable, OSError.
    """
    _refuse_plaintext(settings)
    chosen = driver or make_driver(settings)
    telemetry = Telemetry(driver=chosen.name, otel=otel)
    says = {"on": True, "off": False, "auto": says_audit}
    templates = Templates(settings.bounds, telemetry.tracer)
    application = Application.over(
        TracedDriver(chosen, telemetry.meter, telemetry.tracer),
        limits=settings.bounds,
        timings=timings or _timings(settings),
        draft=templates.draft,
        draft_scheduled=templates.draft_scheduled,
        read_follow_ups=templates.follow_ups,
        brief=brief,
        audit_kept=timedelta(days=settings.audit.retention_days),
        say_audit=partial(say_audit, process_no=process_no) if says[settings.audit.stdout] else say_nothing,
    )
    telemetry.count("protojobs.audit.lost", "Audit records that are in no store.", lambda: [(application.audit.lost, {})])
    try:
        keeps_tokens = settings.driver is not DriverName.MEMORY
        authentication = authentication_of(settings, application.tokens, keeps_tokens=keeps_tokens)
        with _sole_error():
            async with application.running(), _relaying(settings, application) as relays:
                server = GrpcServer(application, settings, telemetry, authentication, one_of_many=process_no is not None)
                admin = Admin(
                    application,
                    telemetry,
                    why_not_ready=lambda: server.health.why_not,
                    load=lambda: _load(server),
                    refusals=lambda: _refusals(server),
                    relays=relays,
                    routes=web_routes(
                        server.local,
                        None if authentication is None else application.tokens,
                        settings,
                        record=application.audit.record,
                    ),
                )
                admin_place = settings.listener("admin")
                async with (
                    admin.serving(admin_place) as admin_port,
                    _scaling(settings, application, telemetry, server) as scaler_address,
                    server.running() as port,
                ):
                    running = RunningServer(
                        address=f"{_dialable(settings.host)}:{port}",
                        admin_address=f"{_dialable(admin_place.host)}:{admin_port}",
                        scaler_address=scaler_address,
                        version=service_version(),
                        application=application,
                        grpc=server,
                    )
                    where = {"address": running.address, "admin_address": running.admin_address, "driver": chosen.name}
                    where |= {"scaler_address": scaler_address} if scaler_address else {}
                    _log.info("server started", extra={**where, "version": running.version, "server_id": settings.server_id})
                    yield running
                    _log.info("server stopping")
        _log.info("server stopped")
    finally:
        await asyncio.to_thread(telemetry.close)


@asynccontextmanager
async def _scaling(settings: Settings, application: Application, telemetry: Telemetry, server: GrpcServer) -> AsyncGenerator[str]:
    """Answer KEDA, where the settings say so, until `server` has stopped; gives the address. Raises OSError, InvalidSettings."""
    if settings.scaler_port is None:
        yield ""
        return
    async with ScalerServer(application, settings, telemetry, server.drain_signal).running() as port:
        yield f"{_dialable(settings.listener('scaler').host)}:{port}"


def find_outbox(dsn: str, *, insecure: bool) -> Outbox:
    """Return the outbox of a database, connected when it is first used; insecure: as store.insecure.

    Raises InvalidSettings, which does not say the address.
    """
    try:
        return open_outbox(dsn, insecure=insecure)
    except InvalidField as error:
        raise _wrong_dsn("outbox_dsn", error) from None
    except ImportError as error:
        raise InvalidSettings(f"outbox_dsn: the extra of this database is not installed ({error})") from error


@asynccontextmanager
async def _relaying(settings: Settings, application: Application) -> AsyncGenerator[Sequence[Relay]]:
    """Move the rows of the outboxes that the settings name. What is under way at the end is sent again by whoever comes next."""
    outboxes = [find_outbox(dsn.get_secret_value(), insecure=settings.store.insecure) for dsn in settings.outbox_dsn]
    deliver = OutboxDispatch(application).deliver
    try:
        async with asyncio.TaskGroup() as tasks:
            relays = [Relay(outbox, deliver, SystemClock(), name=f"outbox-{number}") for number, outbox in enumerate(outboxes, 1)]
            running = [tasks.create_task(relay.run(), name=relay.name) for relay in relays]
            try:
                yield relays
            finally:
                for task in running:
                    task.cancel()
    finally:
        for outbox in outboxes:
            await outbox.close()


def _refuse_plaintext(settings: Settings) -> None:
    """Refuse listeners that others can reach and read, or warn of them where the settings say that this is meant."""
    for exposed in (each for each in settings.listeners if each.is_exposed):
        if not settings.insecure:
            setting, remedy = exposed.host_setting, f"{exposed.tls_setting}.cert or --insecure"
            raise InvalidSettings(f"{setting}: listening beyond loopback needs {remedy}")
        _log.warning("listening beyond loopback without encryption", extra={"listener": exposed.name})


@contextmanager
def _sole_error() -> Generator[None]:
    """Raise the one error itself that task groups around it have wrapped: callers know it by its type."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise _unwrap(group) from None


def _unwrap(error: BaseException) -> BaseException:
    wrapped: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    return _unwrap(wrapped[0]) if len(wrapped) == 1 else error


def _needs_extra(driver: str, error: ImportError) -> InvalidSettings:
    return InvalidSettings(f"driver: {driver} needs the extra: pip install proto-jobs-service[{driver}] ({error})")


def _kafka_driver(settings: Settings) -> Driver:
    options = _kafka_options(settings)
    from protojobs_service.drivers.kafka.driver import KafkaDriver

    kafka = settings.kafka
    return KafkaDriver(make_store(settings), options, adopt=kafka.adopt, unsafe_topics=kafka.unsafe_topics)


def _kafka_options(settings: Settings) -> "KafkaOptions":
    try:
        from protojobs_service.kafka_options import options_of
    except ImportError as error:
        raise _needs_extra("kafka", error) from error
    return options_of(settings)


def _sql_driver(store: Store, settings: Settings) -> SqlDriver:
    # Two servers may be given one name by mistake; a replica's must be its own.
    replica = f"{settings.server_id}-{secrets.token_hex(4)}"
    return SqlDriver(store, fingerprint=fingerprint, unique_of=unique_of, rng=Random(), replica=replica, **_caps(settings))


def _caps(settings: Settings) -> dict[str, int]:
    limits = settings.limits
    return {"max_queues": limits.max_queues, "max_lanes": limits.max_kinds, "max_schedules": limits.max_schedules}


def _options(settings: Settings) -> Options:
    prefix = settings.store.table_prefix
    match settings.store_name:
        case DriverName.MEMORY:
            raise InvalidSettings("driver: memory has no schema")
        case DriverName.POSTGRES:
            dsn = settings.postgres.dsn
            if dsn is None:
                raise InvalidSettings("postgres.dsn: is required with driver postgres (PROTOJOBS_POSTGRES__DSN)")
            url = f"postgresql+asyncpg://{_place(dsn.get_secret_value(), 'postgres.dsn', 'postgresql')}"
            _check(url, "postgres.dsn", settings)
            return Options(url=url, schema=settings.postgres.schema_name, prefix=prefix)
        case DriverName.MYSQL:
            dsn = settings.mysql.dsn
            if dsn is None:
                raise InvalidSettings("mysql.dsn: is required with driver mysql (PROTOJOBS_MYSQL__DSN)")
            url = f"mysql+asyncmy://{_place(dsn.get_secret_value(), 'mysql.dsn', 'mysql')}"
            _check(url, "mysql.dsn", settings)
            return Options(url=url, prefix=prefix)
        case _:
            return Options(url=f"sqlite:///{settings.sqlite.path.absolute()}", prefix=prefix)


def _place(dsn: str, setting: str, scheme: str) -> str:
    """Return what stands behind the scheme: drivers have schemes of their own."""
    _, separator, rest = dsn.partition("://")
    if not separator:
        raise InvalidSettings(f"{setting}: is not {scheme}://user:password@host:port/database")
    return rest


def _check(url: str, setting: str, settings: Settings) -> None:
    """Raise InvalidSettings for a store that would not be verified, or whose files cannot be used."""
    try:
        check(url, insecure=settings.store.insecure)
    except InvalidField as error:
        raise _wrong_dsn(setting, error) from None


def _wrong_dsn(setting: str, error: InvalidField) -> InvalidSettings:
    """Name the setting, and the parameter in it where one is to blame."""
    parameter = "" if error.field == "dsn" else f"{error.field} "
    return InvalidSettings(f"{setting}: {parameter}{error.detail}")


def _timings(settings: Settings) -> Timings:
    defaults = Timings()
    return Timings(
        stream_age=settings.session.stream_age,
        max_heartbeat=settings.session.max_heartbeat,
        # Streams must have left before the server cuts what still runs.
        drain=min(defaults.drain, timedelta(seconds=settings.shutdown.grace)),
    )


def _load(server: GrpcServer) -> Mapping[str, float]:
    admission = server.admission
    return {
        "calls": admission.calls,
        "call_bytes": admission.call_bytes,
        "streams": admission.streams,
        "answer_bytes": server.answers.bytes,
    }


def _refusals(server: GrpcServer) -> Mapping[str, int]:
    return {
        "overload": server.admission.refused,
        "caller": server.caller_limits.refused,
        "answers": server.answers.refused,
    }


def _dialable(host: str) -> str:
    """Return a host that can be dialled for one that is listened on."""
    match host.strip("[]"):
        case "0.0.0.0":
            return "127.0.0.1"
        case "::":
            return "[::1]"
        case plain:
            return f"[{plain}]" if ":" in plain else plain
