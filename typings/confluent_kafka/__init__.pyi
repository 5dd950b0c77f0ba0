# The types that confluent-kafka 2.16 ships, and none of its modules that need more libraries. Without this file nobody
# would look at `admin` beside it.
from confluent_kafka._model import ConsumerGroupTopicPartitions as ConsumerGroupTopicPartitions
from confluent_kafka._model import IsolationLevel as IsolationLevel
from confluent_kafka._model import Node as Node
from confluent_kafka._model import TopicCollection as TopicCollection
from confluent_kafka.cimpl import OFFSET_BEGINNING as OFFSET_BEGINNING
from confluent_kafka.cimpl import OFFSET_END as OFFSET_END
from confluent_kafka.cimpl import OFFSET_INVALID as OFFSET_INVALID
from confluent_kafka.cimpl import OFFSET_STORED as OFFSET_STORED
from confluent_kafka.cimpl import TIMESTAMP_CREATE_TIME as TIMESTAMP_CREATE_TIME
from confluent_kafka.cimpl import TIMESTAMP_LOG_APPEND_TIME as TIMESTAMP_LOG_APPEND_TIME
from confluent_kafka.cimpl import TIMESTAMP_NOT_AVAILABLE as TIMESTAMP_NOT_AVAILABLE
from confluent_kafka.cimpl import Consumer as Consumer
from confluent_kafka.cimpl import KafkaError as KafkaError
from confluent_kafka.cimpl import KafkaException as KafkaException
from confluent_kafka.cimpl import Message as Message
from confluent_kafka.cimpl import Producer as Producer
from confluent_kafka.cimpl import TopicPartition as TopicPartition
from confluent_kafka.cimpl import consistent as consistent
from confluent_kafka.cimpl import libversion as libversion
from confluent_kafka.cimpl import murmur2 as murmur2
from confluent_kafka.cimpl import version as version
