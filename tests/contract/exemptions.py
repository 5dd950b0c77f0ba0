"""The only legal skips: what a store cannot do, each with its reason. GetServerInfo tells users the same as a capability."""

from collections.abc import Mapping

_THOUSANDS = "a cap and a load of the side store, which meets them as itself; making thousands of topics takes a minute"
_NOTES = "the notes are its side store's, which has them tested as itself, and some of them are its own"

EXEMPTIONS: Mapping[tuple[str, str], str] = {
    ("kafka", "test_reserved_places_become_leases_or_are_given_back"): (
        "a job is leased when it is moved out of its topic, a moment after the answer that it is stored"
    ),
    ("kafka", "test_store_takes_no_more_queues_than_its_cap"): _THOUSANDS,
    ("kafka", "test_a_follow_up_that_there_is_no_room_for_is_skipped_and_noted"): _THOUSANDS,
    ("kafka", "test_ten_thousand_schedules_of_midnight_tick_once_each_in_bounded_turns"): _THOUSANDS,
    ("kafka", "test_all_notes_below_a_prefix_come_in_the_order_of_their_bytes"): _NOTES,
    ("kafka", "test_what_is_forgotten_is_gone_and_may_be_made_again"): _NOTES,
    ("kafka", "test_more_names_than_one_statement_takes_are_read_and_forgotten"): _NOTES,
}
"""(backend, test function) -> why the store cannot do it."""
