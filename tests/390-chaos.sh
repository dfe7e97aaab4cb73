#!/bin/sh
# A minute of chaos from a fixed seed, with Apache Kafka, Redis and two daemons: nothing is lost.
# kafka: own
# timeout: 400
exec sh "$(dirname "$0")/chaos/run.sh" --seed 4 --seconds 60
