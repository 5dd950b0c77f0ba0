"""The hot statements on PostgreSQL: each is one text, one round trip, one commit. Only the names come from `Tables`.

Every one wants the planner settings of `postgres_link.PLANNER`; tests/plans proves the plans on an empty and on a full database.
"""

from dataclasses import dataclass
from itertools import product

from sqlalchemy import URL, Table

from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.drivers.sql.tables import Tables

CLOCK = "(extract(epoch from clock_timestamp())*1000000)::bigint"
OFFSET_SETTING = "protojobs.clock_offset"
TEST_CLOCK = f"({CLOCK}+coalesce(nullif(current_setting('{OFFSET_SETTING}',true),''),'0')::bigint)"

_DIALECT = URL.create("postgresql+asyncpg").get_dialect()()
_MOST_REMEMBERED = 64
_PLACES = 256
_EVENT_SLOT = "'protojobs.event_slot'"
_PENDING, _RUNNING, _COMPLETED = State.PENDING.value, State.RUNNING.value, State.COMPLETED.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """The texts. dispatch: by (with handles, policies, accepted); claim: one group by whether it has a budget of bytes.

    dispatch_aside: for a writer that is not the only one of its slot.
    """

    dispatch: dict[tuple[bool, bool, bool], str]
    dispatch_aside: dict[tuple[bool, bool, bool], str]
    claim: dict[bool, str]
    claim_several: str
    complete: str


def render(tables: Tables, *, clock: str) -> Statements:
    """Return the statements for these tables; `clock` is an SQL expression in microseconds."""
    both = (False, True)
    return Statements(
        dispatch={columns: _dispatch(tables, clock, *columns) for columns in product(both, both, both)},
        dispatch_aside={columns: _dispatch(tables, clock, *columns, remembers=False) for columns in product(both, both, both)},
        claim={budget: _claim(tables, clock, several=False, bounded=budget) for budget in both},
        claim_several=_claim(tables, clock, several=True, bounded=True),
        complete=_complete(tables, clock),
    )


def quoted(table: Table) -> str:
    """Return the table's name with its schema, quoted where it must be."""
    return _DIALECT.identifier_preparer.format_table(table)


def _count_by_key(tables: Tables, source: str, slot: str, returned: str = "null") -> str:
    """Return a CTE that does as `_count`, for several writers of a slot: it takes the rows in the order in which all take them."""
    return f"""c as (insert into {quoted(tables.counter)} as c (lane,state,slot,n)
    select lane,state,{slot},n from ({source}) x order by lane,state
   on conflict (lane,state,slot) do update set n=c.n+excluded.n
   returning {returned})"""


def _count(tables: Tables, source: str, slot: str) -> str:
    """Return CTEs that add n per (lane, state) of `source` to the counters of one slot.

    A row of these is updated by each flush. To find it by its key is to pass all its versions that a held snapshot keeps: 10 ns
    each, 100 a second. So the session remembers where it has put the last one, under few names that rows may share, and looks
    there first; by key where another row or nothing is there. A flush of many counters does not remember: 2 us for each.
    """
    counter, name = quoted(tables.counter), f"'protojobs.counter_'||(({{0}}.lane*8+{{0}}.state)&{_PLACES - 1})"
    few = f"(select count(*) from counted)<={_MOST_REMEMBERED}"
    others = "select * from counted where ((lane,state) in (select lane,state from remembered)) is not true"
    return f"""counted as materialized (select lane,state,n from ({source}) x),
 remembered as (update {counter} c set n=c.n+x.n from counted x
   where c.ctid={_where_it_was(name.format("x"))} and (c.lane+0)=x.lane and (c.state+0)=x.state and (c.slot+0)={slot}
   returning c.lane,c.state,{_remember(name.format("c"), few)}),
 {_count_by_key(tables, others, slot, _remember(name.format("c"), few))}"""


def _where_it_was(name: str) -> str:
    """Return the place of a row that this connection has remembered under a name, else null."""
    return f"nullif(current_setting({name},true),'')::tid"


def _remember(name: str, condition: str = "true") -> str:
    """Keep the place of row `c` in the session, until its transaction is undone."""
    return f"case when {condition} then set_config({name},c.ctid::text,false) end"


def _moved(before: int, after: int) -> str:
    """Count the rows of `d` out of one state and into another."""
    return (
        "select lane,v.state,y.n*v.sign as n from (select lane,count(*) as n from d group by lane) y"
        f" cross join (values ({before}::smallint,-1),({after}::smallint,1)) v(state,sign)"
    )


def _dispatch(t: Tables, clock: str, handles: bool, policies: bool, accepted: bool, *, remembers: bool = True) -> str:
    """$1 ids, $2 lanes, $3 bands, $4 envelopes, $5 base, $6 slot; then handles, policies and accepted, where the text has them.

    `order by id`, so that two replicas that store the same ids lock them in the same order. Ordinals are position - base: a row
    that is returned was made here, with the position that was given to it here.
    """
    policy_column, arrays, names = "", "", ""
    created_at, now = f"(select {clock})", "created_at"
    if policies:
        policy_column, arrays, names = ",policy", f",${7 + handles}::text[]", ",p"
    if accepted:
        arrays, names = f"{arrays},${7 + handles + policies}::bigint[]", f"{names},c"
        created_at, now = f"least(u.c,{created_at})", created_at  # `least` passes over nulls
    insert = f"""
with i as (insert into {quoted(t.job)} (id,lane,band,position,created_at,envelope{policy_column})
   select u.id,u.l,u.b,$5::bigint+u.o-1,{created_at},u.e{",u.p" if policies else ""}
     from unnest($1::uuid[],$2::int[],$3::smallint[],$4::bytea[]{arrays}) with ordinality u(id,l,b,e{names},o)
    order by u.id
   on conflict (id) do nothing
   returning id,lane,band,position,{now} as now,octet_length(envelope) as size),"""
    created = "case when count(*)<cardinality($1::uuid[]) then coalesce(array_agg((position-$5::bigint)::int),'{}') end as created"
    count = _count if remembers else _count_by_key
    ready = f"insert into {quoted(t.ready)} (position,id,lane,band,attempt,size) select position,id,lane,band,0,size from"
    if not handles:
        counts = count(t, f"select lane,{_PENDING}::smallint as state,count(*) as n from i group by lane", "$6::smallint")
        return f"""{insert}
 r as ({ready} i),
 {counts}
select {created},null::int[] as unplaced from i"""
    # `in (select ..)` as a value, not as a condition: the planner keeps it a hashed lookup instead of a join. FOR KEY SHARE makes
    # the close of a handle wait for us, and us for a close that came first; heartbeats do not touch the row.
    handle = "($7::int[])[position-$5::bigint+1]"
    counts = count(
        t,
        f"select lane,case when placed then {_RUNNING} else {_PENDING} end::smallint as state,count(*) as n from s group by 1,2",
        "$6::smallint",
    )
    return f"""{insert}
 h as materialized (select id from {quoted(t.handle)} where id=any($7::int[]) and closed_at is null order by id for key share),
 s as materialized (select id,lane,band,position,now,size,{handle} as handle,({handle} in (select id from h)) is true as placed
   from i),
 r as ({ready} s where not placed),
 g as (insert into {quoted(t.running)} (id,handle,started_at,position,lane,band,attempt)
   select id,handle,now,position,lane,band,1 from s where placed),
 {counts}
select {created},array_agg((position-$5::bigint)::int) filter (where handle<>0 and not placed) as unplaced from s"""


def _claim(t: Tables, clock: str, *, several: bool, bounded: bool) -> str:
    """Take ready rows, probe by probe, for the open handles among the places, and give each row a place.

    One group: $1 lanes, $2 bands, $3 lows (probes in order), $4 places, $5 slot, and where it is bounded $6 max_bytes.
    Several: $1-$3 the probes of all groups one after the other, $4 their group numbers (from 1), $5 places, $6 their group
    numbers, $7 max_bytes by group, $8 slot. A lane stands in one group only: a row that this statement has locked is not
    skipped by its second probe.

    Rows are deleted by an array of ctids: a join on ctid costs 1.3 us a job and has once collapsed into a scan per row.
    Which place of its group a row gets does not matter, only that no two rows get the same. `offset 0` as in `_complete`.
    """
    returned = "handle,id,attempt,lane,band,position,failures,flags"
    places, budget, slot = ("$5", "($7::bigint[])[g]", "$8") if several else ("$4", "$6::bigint", "$5")
    keep = f"k=1 or coalesce(nullif({budget},0),{(1 << 63) - 1})>=total"
    alive = f"""
with h as materialized (select id from {quoted(t.handle)} where id=any({places}::int[]) and closed_at is null
   order by id for key share),"""
    rows = f"""select r.ctid as t,r.size,r.position from {quoted(t.ready)} r
       where r.lane=s.l and r.band=s.b and r.position>=s.low order by r.position limit {{limit}} for update skip locked"""
    probes = "unnest($1::int[],$2::smallint[],$3::bigint[]{more}) with ordinality s(l,b,low{names},o)"
    if several:
        # The places of a group are a range [first, first+n) of one array.
        picked = f"""
 v as materialized (select p,g,row_number() over (order by g,o) as k from unnest($5::int[],$6::int[]) with ordinality u(p,g,o)
   where (p in (select id from h)) is true),
 a as materialized (select g,min(k) as first,count(*) as n from v group by g),
 hs as materialized (select array_agg(p order by k) as handles from v),
 p as materialized (select y.t,y.size,y.position,y.o,a.g from a cross join lateral (
     select x.t,x.size,x.position,s.o from {probes.format(more=",$4::int[]", names=",g")} cross join lateral (
      {rows.format(limit="a.n")}) x where s.g=a.g limit a.n) y),
 q as (select t,g,sum(size) over w as total,row_number() over w as k from p
   window w as (partition by g order by o,position,t rows unbounded preceding)),"""
        group = "($4::int[])[array_position($1::int[],lane)]"
        rank = "row_number() over (partition by g)"
        handle = f"(select handles from hs)[(select first from a where a.g=d.g)+{rank}-1]"
    else:
        picked = f"""
 a as materialized (select array_agg(p) as handles,count(*) as n from unnest($4::int[]) p where (p in (select id from h)) is true),
 p as materialized (select x.t,x.size,x.position,s.o from {probes.format(more="", names="")} cross join lateral (
      {rows.format(limit="(select n from a)")}) x limit (select n from a)),"""
        if bounded:
            picked += """
 q as (select t,sum(size) over w as total,row_number() over w as k from p
   window w as (order by o,position,t rows unbounded preceding)),"""
        group = "1"
        handle = "(select handles from a)[row_number() over ()]"
    counts = _count(t, _moved(_PENDING, _RUNNING), f"{slot}::smallint")
    return f"""{alive}{picked}
 d as (delete from {quoted(t.ready)} where ctid=any(array(select t from {f"q where {keep}" if bounded else "p"}))
   returning id,attempt+1 as attempt,lane,band,position,failures,crashes,flags,(select {clock}) as now,{group} as g),
 w as materialized (select d.*,({handle}) as handle from d),
 g as (insert into {quoted(t.running)} (id,handle,started_at,position,lane,band,attempt,failures,crashes,flags)
   select id,handle,now,position,lane,band,attempt,failures,crashes,flags from w),
 {counts}
select {",".join(f"w.{name}" for name in returned.split(","))},j.policy,j.envelope
 from w cross join lateral (select policy,envelope from {quoted(t.job)} where id=w.id offset 0) j"""


def _complete(t: Tables, clock: str) -> str:
    """$1 ids, $2 attempts, $3 handles, $4 slot. Rows with flags are left for the cold path.

    `n` and `f` log the flush for those who watch (docs/adr/0002): one row of 16 bytes a job; attempts where one is above 1.

    `+0` keeps the planner on the key of running: with a bare handle it reads the index on handle, 60 us a job instead of 13. And
    `offset 0` keeps it from beginning with running: a plan made while that was empty reads all of it for each flush (1.5 s, not
    7 ms, for 1000 of 16 000), and stays until the next analyze.
    The bucket of a run time is the number of powers of two at or below it, which width_bucket counts exactly.
    """
    powers = ",".join(str(1 << n) for n in range(62))
    counts = _count(t, _moved(_RUNNING, _COMPLETED), "$4::smallint")
    return f"""
with s as materialized (select x.t from (
     select * from unnest($1::uuid[],$2::int[],$3::int[]) u(id,attempt,handle) order by u.id) u cross join lateral (
     select r.ctid as t from {quoted(t.running)} r
     where r.id=u.id and r.attempt=u.attempt and (r.handle+0)=u.handle and (r.flags+0)=0 offset 0 for update) x),
 d as (delete from {quoted(t.running)} where ctid=any(array(select t from s))
   returning id,attempt,lane,started_at,handle,(select {clock}) as now),
 e as (insert into {quoted(t.done)} (id,attempt,lane,started_at,finished_at,handle,outcome)
   select id,attempt,lane,started_at,now,handle,{Code.COMPLETED.value} from d),
 {counts},
 same as (update {quoted(t.event_slot)} c set seq=c.seq+1
   where c.ctid={_where_it_was(_EVENT_SLOT)} and (c.slot+0)=$4::smallint and exists (select from d)
   returning seq,{_remember(_EVENT_SLOT)}),
 other as (insert into {quoted(t.event_slot)} as c (slot,seq)
    select $4::smallint,1 from d where not exists (select from same) limit 1
   on conflict (slot) do update set seq=c.seq+1 returning seq,{_remember(_EVENT_SLOT)}),
 n as (select seq from same union all select seq from other),
 f as (insert into {quoted(t.done_flush)} (slot,seq,at,ids,attempts) select $4::smallint,n.seq,y.* from n cross join (
     select max(now),string_agg(uuid_send(id),''::bytea),
       case when max(attempt)>1 then string_agg(int4send(attempt),''::bytea) end from d) y),
 m as (insert into {quoted(t.stat_minute)} as m (minute,lane,slot,failed,bucket,n,run_us)
   select minute,lane,$4::smallint,0,bucket,count(*),sum(us) from (
     select now/60000000 as minute,lane,us,width_bucket(us,'{{{powers}}}'::bigint[]) as bucket
       from (select now,lane,greatest(now-started_at,0) as us from d) y) x group by minute,lane,bucket
   on conflict (minute,lane,slot,failed,bucket) do update set n=m.n+excluded.n,run_us=m.run_us+excluded.run_us)
select case when (select count(*) from d)<cardinality($1::uuid[]) then array(
   select (min(o)-1)::int from unnest($1::uuid[],$2::int[],$3::int[]) with ordinality u(id,attempt,handle,o)
   where ((id,attempt,handle) in (select id,attempt,handle from d)) is true group by id,attempt,handle) end"""
