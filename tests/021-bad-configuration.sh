#!/bin/sh
# A wrong configuration ends with status 78, says where and why, and starts nothing.
. "$(dirname "$0")/lib/common.sh"

conf=$TMP/spanbufd.conf

# refused PLACE WORDS [FLAG]...: check and run both refuse what stands in $conf.
refused() {
    place=$1 words=$2
    shift 2
    for command in check run; do
        status=0
        "$SPANBUFD" "$command" --config "$conf" "$@" >"$TMP/out" 2>"$TMP/err" || status=$?
        [ "$status" -eq 78 ] || fail "$command: status $status, not 78: $(cat "$conf" "$TMP/err")"
        grep -Fq -- "spanbufd: $place: " "$TMP/err" || fail "no '$place' in: $(cat "$TMP/err")"
        grep -Fq -- "$words" "$TMP/err" || fail "no '$words' in: $(cat "$TMP/err")"
        [ "$(wc -l <"$TMP/err")" -eq 1 ] || fail "not one line: $(cat "$TMP/err")"
        [ ! -s "$TMP/out" ] || fail "$command printed: $(cat "$TMP/out")"
    done
}

# bad LINE WORDS: the line is refused as the second of the file.
bad() {
    printf '# a comment\n%s\n' "$1" >"$conf"
    refused "$conf:2" "$2"
}

bad 'root-timout = 5'                 'did you mean root-timeout?'
bad 'colour = red'                    'unknown key colour'
bad 'timeout 5'                       "has no '='"
bad 'flusher-processes = 0'           'write auto'
bad 'ingest-workers = 65'             'from 1 to 64'
bad 'max-batch-time-ms = 0'           'from 1 ms to 60000 ms'
bad 'max-segment-bytes = 10MB'        'write it as'
bad 'timeout = 5s'                    'write it as'
bad 'timeout = 5 # seconds'           'write it as'
bad 'timeout = -1'                    'write it as'
bad 'partitions = 3-1'                'runs backwards'
bad 'partitions = 1,1'                'twice'
bad 'start-from = yesterday'          'neither earliest'
bad 'compression = lz4'               'neither none nor zstd:N'
bad 'validate = some'                 'is not one of strict, ids'
bad 'log-level = loud'                'is not one of off'
bad 'redis-url = http://localhost'    'does not begin with redis://'
bad 'redis-url = unix://redis.sock'   'names no socket'
bad 'bootstrap-servers = localhost'   'is not HOST:PORT'
bad 'input-topic = a b'               'is no name for a topic'
bad 'input-topic ='                   'is no name for a topic'
bad 'namespace = {a}'                 'is no name'
bad 'group-id = "x"'                  'leave them out'
bad 'kafka = linger.ms'               'PROP=VALUE'
bad 'kafka = enable.auto.commit=true' 'not yours to set'
bad 'kafka = group.id=x'              'use the option group-id'
bad 'kafka = sokcet.timeout.ms=5'     'kafka sokcet.timeout.ms is refused by librdkafka'
bad 'kafka-producer = linger.ms=soon' 'kafka-producer linger.ms is refused by librdkafka'
bad 'kafka = sasl.pasword=hunter2'    'kafka sasl.pasword is refused by librdkafka'
if grep hunter2 "$TMP/err"; then fail "a password with a misspelt name is shown"; fi
bad 'kafka-consumer = auto.offset.reset=latest' 'use the option start-from'
bad 'kafka-consumer = topic.auto.offset.reset=latest' 'use the option start-from'
bad 'kafka-producer = topic.acks=1'   'nothing is settled before all replicas have it'

# Two options that contradict each other; the other one may be a default.
bad 'output-topic = ingest-spans'      'clashes with input-topic (default)'
bad 'dead-letter-topic = ingest-spans' 'clashes with input-topic (default)'
bad 'dead-letter-topic = buffered-segments' 'clashes with output-topic (default)'
bad 'root-timeout = 601'               'clashes with max-segment-age (default)'
bad 'max-segment-age = 59'             'clashes with timeout (default)'
bad 'redis-ttl = 660'                  'clashes with max-segment-age (default)'
bad 'partitions = 1024'                'clashes with max-shards (default)'

printf 'timeout = 1\n\ntimeout = 1\n' >"$conf"
refused "$conf:3" "timeout is set twice ($conf:1)"
printf 'kafka = debug=all\nkafka = debug=msg\n' >"$conf"
refused "$conf:2" "kafka debug is set twice ($conf:1)"
printf 'kafka = sasl.mechanism=PLAIN\nkafka = sasl.mechanisms=PLAIN\n' >"$conf"
refused "$conf:2" "kafka sasl.mechanisms is set twice ($conf:1)"
printf 'partitions = 0,1\ningest-workers = 2\n' >"$conf"
refused "$conf:2" "clashes with partitions ($conf:1)"
printf 'redis-url = redis://:pw@h/0\nredis-password-file = /x\n' >"$conf"
refused "$conf:2" "clashes with redis-url ($conf:1)"
printf 'group-id = \377\n' >"$conf"
refused "$conf:1" 'is not UTF-8'

# An overridden value must be valid as well.
printf 'timeout = x\n' >"$conf"
refused "$conf:1" 'write it as' --timeout 5

: >"$conf"
refused 'flag --flusher-processes' 'write auto' --flusher-processes 0
conf=$TMP/none
refused "cannot read configuration $conf" 'No such file'
