//! The flusher: Redis to Kafka.
