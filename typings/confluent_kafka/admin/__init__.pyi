# The admin client of confluent-kafka 2.16, whose own types do not say what its futures hold and export none of its names.
# Only the calls that we make. Collections are lists and dictionaries because the library accepts nothing else.
# Timeouts are seconds. Every future raises KafkaException.
from concurrent.futures import Future
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, TopicCollection, TopicPartition
from confluent_kafka.admin._cluster import DescribeClusterResult as DescribeClusterResult
from confluent_kafka.admin._config import AlterConfigOpType as AlterConfigOpType
from confluent_kafka.admin._config import ConfigEntry as ConfigEntry
from confluent_kafka.admin._config import ConfigResource as ConfigResource
from confluent_kafka.admin._config import ConfigSource as ConfigSource
from confluent_kafka.admin._group import ConsumerGroupDescription as ConsumerGroupDescription
from confluent_kafka.admin._listoffsets import ListOffsetsResultInfo as ListOffsetsResultInfo
from confluent_kafka.admin._metadata import BrokerMetadata as BrokerMetadata
from confluent_kafka.admin._metadata import ClusterMetadata as ClusterMetadata
from confluent_kafka.admin._metadata import PartitionMetadata as PartitionMetadata
from confluent_kafka.admin._metadata import TopicMetadata as TopicMetadata
from confluent_kafka.admin._records import DeletedRecords as DeletedRecords
from confluent_kafka.admin._resource import ResourceType as ResourceType
from confluent_kafka.admin._topic import TopicDescription as TopicDescription
from confluent_kafka.cimpl import NewPartitions as NewPartitions
from confluent_kafka.cimpl import NewTopic as NewTopic

class OffsetSpec:
    @classmethod
    def earliest(cls) -> OffsetSpec: ...
    @classmethod
    def latest(cls) -> OffsetSpec: ...
    @classmethod
    def max_timestamp(cls) -> OffsetSpec: ...
    @classmethod
    def for_timestamp(cls, timestamp: int) -> OffsetSpec: ...

class AdminClient:
    def __init__(self, conf: dict[str, Any], *, logger: object = ...) -> None: ...
    def poll(self, timeout: float = -1) -> int: ...
    def list_topics(self, topic: str | None = None, timeout: float = -1) -> ClusterMetadata: ...
    def describe_cluster(self, *, request_timeout: float = ...) -> Future[DescribeClusterResult]: ...
    def describe_topics(self, topics: TopicCollection, *, request_timeout: float = ...) -> dict[str, Future[TopicDescription]]: ...
    def describe_consumer_groups(
        self, group_ids: list[str], *, request_timeout: float = ...
    ) -> dict[str, Future[ConsumerGroupDescription]]: ...
    def create_topics(
        self,
        new_topics: list[NewTopic],
        *,
        operation_timeout: float = ...,
        request_timeout: float = ...,
        validate_only: bool = False,
    ) -> dict[str, Future[None]]: ...
    def delete_topics(
        self, topics: list[str], *, operation_timeout: float = ..., request_timeout: float = ...
    ) -> dict[str, Future[None]]: ...
    def create_partitions(
        self,
        new_partitions: list[NewPartitions],
        *,
        operation_timeout: float = ...,
        request_timeout: float = ...,
        validate_only: bool = False,
    ) -> dict[str, Future[None]]: ...
    def describe_configs(
        self, resources: list[ConfigResource], *, request_timeout: float = ...
    ) -> dict[ConfigResource, Future[dict[str, ConfigEntry]]]: ...
    def incremental_alter_configs(
        self, resources: list[ConfigResource], *, request_timeout: float = ..., validate_only: bool = False
    ) -> dict[ConfigResource, Future[None]]: ...
    def delete_records(
        self,
        topic_partition_offsets: list[TopicPartition],
        *,
        request_timeout: float = ...,
        operation_timeout: float = ...,
    ) -> dict[TopicPartition, Future[DeletedRecords]]: ...
    def list_offsets(
        self,
        topic_partition_offsets: dict[TopicPartition, OffsetSpec],
        *,
        isolation_level: IsolationLevel = ...,
        request_timeout: float = ...,
    ) -> dict[TopicPartition, Future[ListOffsetsResultInfo]]: ...
    def list_consumer_group_offsets(
        self,
        list_consumer_group_offsets_request: list[ConsumerGroupTopicPartitions],
        *,
        require_stable: bool = False,
        request_timeout: float = ...,
    ) -> dict[str, Future[ConsumerGroupTopicPartitions]]: ...
    def alter_consumer_group_offsets(
        self, alter_consumer_group_offsets_request: list[ConsumerGroupTopicPartitions], *, request_timeout: float = ...
    ) -> dict[str, Future[ConsumerGroupTopicPartitions]]: ...
    def delete_consumer_groups(self, group_ids: list[str], *, request_timeout: float = ...) -> dict[str, Future[None]]: ...
