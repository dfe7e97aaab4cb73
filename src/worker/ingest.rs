//! Ingest: Kafka to Redis.
