"""Many jobs in messages of bounded size."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from protojobs.v1.job_pb2 import JobSpec
from protojobs.v1.job_service_pb2 import DispatchBatchRequest, DispatchStreamRequest
from protojobs_client.batch import Sized, batches, room, size_of

SPECS = st.lists(st.integers(0, 3000).map(lambda size: JobSpec(kind="k", payload=bytes(size))), max_size=60)


def sized(specs: list[JobSpec]) -> list[Sized]:
    return [Sized(spec, size_of(spec)) for spec in specs]


@given(SPECS, st.integers(1, 10), st.integers(2048, 20_000))
def test_batches_keep_order_and_stay_within_both_bounds(specs: list[JobSpec], items: int, size: int) -> None:
    made = list(batches(sized(specs), max_bytes=room(size), max_items=items))

    assert [spec for batch in made for spec in batch] == specs
    for batch in made:
        assert 1 <= len(batch) <= items
        message = DispatchBatchRequest(specs=batch, atomic=True, validate_only=True)
        frame = DispatchStreamRequest(seq=2**64 - 1, specs=batch)
        assert max(message.ByteSize(), frame.ByteSize()) <= size or len(batch) == 1


@given(SPECS, st.integers(1, 10), st.integers(2048, 20_000))
def test_no_batch_could_take_the_item_that_follows_it(specs: list[JobSpec], items: int, size: int) -> None:
    made = list(batches(sized(specs), max_bytes=room(size), max_items=items))

    for batch, following in pairwise(made):
        assert len(batch) == items or sum(map(size_of, batch)) + size_of(following[0]) > room(size)


def test_nothing_makes_no_batch() -> None:
    assert not list(batches([], max_bytes=1000))
