//! librdkafka's mock cluster, for `demo` and the tests: a broker without Kafka.
