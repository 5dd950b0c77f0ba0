"""What a trigger may say, and how it is refused."""

import pytest
from protojobs_service.application import Share
from protojobs_service.domain.errors import InvalidField
from protojobs_service.domain.lifecycle import State
from protojobs_service.transport.scaler_trigger import Trigger, parse_trigger


def test_a_trigger_that_names_a_queue_has_defaults_for_the_rest() -> None:
    assert parse_trigger({"queues": "mail"}) == Trigger(Share(("mail",)), target=10.0, backlog=0)


def test_everything_that_a_trigger_says_is_read() -> None:
    said = {
        "queues": " mail, news.* ,mail,",
        "kinds": "email,report.?",
        "targetPerReplica": "2.5",
        "include": "pending",
        "activationBacklog": "100",
    }

    share = Share(("mail", "news.*"), ("email", "report.?"), frozenset({State.PENDING}))
    assert parse_trigger(said) == Trigger(share, target=2.5, backlog=100)


def test_what_is_said_to_count_counts_alone() -> None:
    share = parse_trigger({"queues": "mail", "include": "scheduled, running"}).share

    assert share.states == {State.SCHEDULED, State.RUNNING}


def test_what_is_for_keda_itself_is_left_alone() -> None:
    metadata = {"scalerAddress": "jobs:6000", "enableTLS": "true", "unsafeSsl": "false", "queues": "mail"}

    assert parse_trigger(metadata) == parse_trigger({"queues": "mail"})


def test_a_value_of_the_environment_is_read_under_its_own_key() -> None:
    assert parse_trigger({"queuesFromEnv": "mail"}) == parse_trigger({"queues": "mail"})


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({}, "queues"),
        ({"queues": " , "}, "queues"),
        ({"queues": "not a name"}, "queues"),
        ({"queues": "[a]"}, "queues"),
        ({"queues": "a" * 129}, "queues"),
        ({"queues": ",".join(f"q{n}" for n in range(101))}, "queues"),
        ({"queues": "mail", "queuesFromEnv": "mail"}, "queues"),
        ({"queue": "mail"}, "queue"),
        ({"queues": "mail", "Kinds": "email"}, "Kinds"),
        ({"queues": "mail", "kinds": "e/mail"}, "kinds"),
        ({"queues": "mail", "targetPerReplica": "0"}, "targetPerReplica"),
        ({"queues": "mail", "targetPerReplica": "0.0001"}, "targetPerReplica"),
        ({"queues": "mail", "targetPerReplica": "-1"}, "targetPerReplica"),
        ({"queues": "mail", "targetPerReplica": "nan"}, "targetPerReplica"),
        ({"queues": "mail", "targetPerReplica": "1000001"}, "targetPerReplica"),
        ({"queues": "mail", "include": "waiting"}, "include"),
        ({"queues": "mail", "include": "pending;running"}, "include"),
        ({"queues": "mail", "activationBacklog": "1.5"}, "activationBacklog"),
        ({"queues": "mail", "activationBacklog": "-1"}, "activationBacklog"),
        ({"queues": "mail", "activationBacklog": "1000000001"}, "activationBacklog"),
    ],
)
def test_a_trigger_that_cannot_be_is_refused_by_the_name_of_its_field(metadata: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        parse_trigger(metadata)

    assert refused.value.field == f"scalerMetadata.{field}"
