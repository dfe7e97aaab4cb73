//! THE TABLE: every word of the board with its unit, its one writer and its meaning (P4).
//!
//! A word is 64 bits. Offsets are stored plus one and times as they are, so that 0 means "not
//! known" everywhere and a fresh board needs no initialisation.

/// Who writes a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    Supervisor,
    /// The worker whose slot or row it is in.
    Own,
    Ingest,
    /// The flusher that holds the shard.
    Flusher,
    /// Handed over by compare and swap: the flusher takes and gives back, the
    /// supervisor frees what a reaped flusher held.
    Handover,
}

/// One row of a table.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    pub name: &'static str,
    pub unit: &'static str,
    pub writer: Writer,
    pub counter: bool,
    pub help: &'static str,
}

/// Declares a group of words: the enum that names them and the table that describes them.
macro_rules! words {
    ($(#[$meta:meta])* $group:ident: $($word:ident $name:literal $unit:literal $writer:ident
        $kind:ident $help:literal;)*) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum $group { $($word,)* }

        impl $group {
            /// The rows, in the order of the words.
            pub const TABLE: &'static [Word] = &[$(Word {
                name: $name,
                unit: $unit,
                writer: Writer::$writer,
                counter: is_counter(stringify!($kind)),
                help: $help,
            },)*];
        }
    };
}

const fn is_counter(kind: &str) -> bool {
    matches!(kind.as_bytes(), b"counter")
}

words! {
    /// The supervisor's own words: one slot.
    DaemonWord:
    Pid "pid" "pid" Supervisor gauge "process id of the supervisor";
    StartedMs "started" "ms" Supervisor gauge "wall time of the start";
    BeatMs "heartbeat" "ms" Supervisor gauge "monotonic time of the supervisor's last turn";
    State "state" "state" Supervisor gauge "starting, running, stopping";
    Generation "generation" "count" Supervisor gauge "configuration generation, counts reloads";
    ReloadFailed "reload_failed" "count" Supervisor counter "reloads that were refused";
    // These three stand in the opposite order of their writing (`Reload`, `Reloads`; at the end
    // `ReloadProven`, `Reload`), since a copy is made row by row: who sees that a reload has begun
    // does not see the idleness before it, and who sees its end sees whether it was proven.
    Reloads "reloads" "count" Supervisor counter "reloads that were begun";
    Reload "reload" "state" Supervisor gauge
        "idle, probing, replacing, probation, restoring";
    ReloadProven "reload_proven" "number" Supervisor gauge
        "number of the last reload that no worker has rejected in time";
    Stragglers "stragglers" "count" Supervisor counter "workers killed at the deadline of a stop";
}

words! {
    /// One slot per worker.
    WorkerWord:
    Pid "pid" "pid" Supervisor gauge "process id, 0 when it does not run";
    Kind "kind" "kind" Supervisor gauge "1 ingest, 2 flusher";
    State "state" "state" Supervisor gauge "vacant, starting, healthy, killed, dead, gone";
    StartedMs "started" "ms" Supervisor gauge "monotonic time of the last fork";
    Restarts "restarts" "count" Supervisor counter "replacements of a dead worker";
    RecentRestarts "recent_restarts" "count" Supervisor gauge
        "of these, within restart-window and not forgiven";
    FailedStarts "failed_starts" "count" Supervisor counter "forks that failed";
    LeaveBy "leave_by" "ms" Supervisor gauge
        "monotonic time at which it is killed because it was asked to leave; 0 it was not";
    LastExit "last_exit" "status" Supervisor gauge "wait status of the last death, plus one";
    BeatMs "heartbeat" "ms" Own gauge "monotonic time of the last turn";
    MovedMs "progress" "ms" Own gauge "monotonic time when work last got done";
    WaitingFor "waiting_for" "reason" Own gauge "0 nothing, 1 Kafka, 2 Redis, 3 both";
    Turns "turns" "count" Own counter "turns of its loop";
    InFlightBytes "in_flight" "bytes" Own gauge
        "bytes produced and not yet acknowledged, and 2 KiB a segment";
    IndexBytes "index" "bytes" Own gauge "memory of its indexes";
    Generation "generation" "count" Own gauge "configuration generation it runs with";
    Producers "producers" "count" Own counter "producers that failed for good and were replaced";
    FencedMs "fenced" "ms" Own gauge
        "monotonic time when another consumer took its name in the group; 0 none did";
    Unserved "unserved" "partitions" Own gauge
        "partitions of its that are not consumed: their numbers are max-shards or more";
}

words! {
    /// What one ingest worker says of one shard; readers take the newest generation.
    OwnershipWord:
    Assigned "assigned" "generation" Own gauge
        "assignment's generation (monotonic ms) plus one, 0 not ours";
    Wanted "wanted" "flag" Own gauge "1 while a flusher is wanted; 0 asks it to let go";
}

words! {
    /// One slot per shard.
    ShardWord:
    Desired "desired" "flusher" Supervisor gauge "flusher that should hold it, plus one";
    Holder "holder" "flusher" Handover gauge "flusher that holds it, plus one";
    Clock "clock" "ms" Ingest gauge "event time, ms since the epoch";
    Frozen "frozen" "flag" Ingest gauge "1 while its clock stands still";
    Position "position" "offset" Ingest gauge "next offset to append, plus one";
    Committed "committed" "offset" Ingest gauge "committed floor, plus one";
    HighWatermark "high_watermark" "offset" Ingest gauge "end of what there is to read, plus one";
    Paused "paused" "reason" Ingest gauge
        "0 flowing, 1 starting, 2 waits for Redis, 3 no holder, 4 backpressure, 5 memory";
    PausedMs "paused_since" "ms" Ingest gauge "monotonic time since which it is not read, 0 it is";
    Read "read" "spans" Ingest counter "messages read and appended";
    ReadBytes "read_bytes" "bytes" Ingest counter "payload bytes of these";
    Rejected "rejected" "messages" Ingest counter "of these, no spans";
    Batches "batches" "batches" Ingest counter "batches appended";
    StoredBytes "stored_bytes" "bytes" Ingest counter "bytes of these batches";
    Gaps "gaps" "offsets" Ingest counter "offsets without a message (markers, compaction)";
    Skipped "skipped" "messages" Ingest counter "read again and known to be delivered: left out";
    Lost "lost" "offsets" Ingest counter "offsets that retention ate before they were read";
    LostMs "lost_at" "ms" Ingest gauge "monotonic time when lost last grew, 0 it never did";
    Stale "stale" "count" Ingest counter "appends refused because the store stood elsewhere";
    Lives "lives" "count" Ingest counter "lives begun";
    Confirmed "confirmed" "count" Ingest gauge
        "value of contested up to which the group has said that the shard is ours";
    Indexed "indexed" "offset" Flusher gauge "position up to which headers are indexed, plus one";
    Floor "floor" "offset" Flusher gauge "lowest offset that is not settled, plus one";
    FloorMs "floor_time" "ms" Flusher gauge "event time of the span at the floor, 0 for none";
    IndexBytes "index" "bytes" Flusher gauge "memory of its index";
    OpenSegments "open_segments" "segments" Flusher gauge "segments in its index";
    OpenSpans "open_spans" "spans" Flusher gauge "spans in its index";
    NextDueMs "next_due" "ms" Flusher gauge "event time of the next deadline";
    Delivered "delivered" "spans" Flusher counter "spans acknowledged by the output";
    Segments "segments" "segments" Flusher counter "segments acknowledged by the output";
    Messages "messages" "messages" Flusher counter "messages acknowledged by the output";
    OutBytes "out_bytes" "bytes" Flusher counter "bytes of these messages";
    Duplicates "duplicates" "spans" Flusher counter "repeated spans left out";
    DeadLetters "dead_letters" "messages" Flusher counter "delivered to the dead-letter topic";
    Dropped "dropped" "messages" Flusher counter
        "rejects without a dead-letter topic: counted, logged";
    Contested "contested" "count" Flusher counter
        "times another flusher took it from ours in the store";
    Rebuilds "rebuilds" "count" Flusher counter "times the index was built again";
    Cleaned "cleaned" "batches" Flusher counter "sparse batches rewritten";
    LiveBatches "live_batches" "batches" Flusher gauge "batches listed in the store";
    Reread "reread" "messages" Flusher counter
        "buffered in a life that ended: read again from Kafka";
    LifeRead "life_read" "messages" Flusher gauge "books of the life: entered the buffer";
    LifeDelivered "life_delivered" "spans" Flusher gauge "of these, acknowledged by the output";
    LifeDuplicates "life_duplicates" "spans" Flusher gauge "of these, repeated spans left out";
    LifeDeadLetters "life_dead_letters" "messages" Flusher gauge
        "of these, acknowledged by the dead-letter topic";
    LifeDropped "life_dropped" "messages" Flusher gauge "of these, dropped by policy";
    LifeSkipped "life_skipped" "messages" Flusher gauge
        "of these, settled unread, because they lie below the committed floor";
    Buffered "buffered" "messages" Flusher gauge "of these, in the buffer";
    Unaccounted "unaccounted" "difference" Flusher gauge "of these, none of the above: 0";
    UnaccountedMs "unaccounted_since" "ms" Flusher gauge
        "monotonic time since which unaccounted is not 0, 0 it is";
}

words! {
    /// Before each offset map: floor and map are one value, from one process to another.
    AreaWord:
    Sequence "sequence" "count" Own gauge "odd while the area is written";
    LifeHigh "life_high" "bits" Own gauge "upper half of the life that it is about";
    LifeLow "life_low" "bits" Own gauge "lower half of the life";
    Floor "told_floor" "offset" Own gauge "the floor that goes with the map, plus one";
    Closed "closed" "flag" Own gauge "1 when nothing more is settled in this life";
    MapBytes "map_bytes" "bytes" Own gauge "length of the offset map behind these words";
}

/// What a worker does; the number stands in `WorkerWord::Kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerKind {
    Ingest = 1,
    Flusher = 2,
}

impl WorkerKind {
    pub fn name(self) -> &'static str {
        match self {
            WorkerKind::Ingest => "ingest",
            WorkerKind::Flusher => "flusher",
        }
    }

    /// A worker's name in log and status, such as `flusher/3`.
    pub fn label(self, number: usize) -> String {
        format!("{}/{number}", self.name())
    }
}

/// Declares the values of a state or reason word, with the names that log and status show.
macro_rules! values {
    ($(#[$meta:meta])* $group:ident: $first:ident $first_name:literal;
        $($value:ident $name:literal;)*) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $group { #[default] $first, $($value,)* }

        impl $group {
            pub fn from_word(word: u64) -> $group {
                let all = [$group::$first, $($group::$value,)*];
                all.get(word as usize).copied().unwrap_or_default()
            }

            pub fn name(self) -> &'static str {
                match self { $group::$first => $first_name, $($group::$value => $name,)* }
            }
        }
    };
}

values! {
    /// The values of `DaemonWord::State`.
    DaemonState:
    Starting "starting";
    Running "running";
    Stopping "stopping";
}

values! {
    /// The values of `DaemonWord::Reload`.
    ReloadState:
    Idle "idle";
    Probing "probing";
    Replacing "replacing";
    Probation "probation";
    Restoring "restoring";
}

values! {
    /// The values of `WorkerWord::State`: a process from birth to birth.
    WorkerState:
    Vacant "vacant";
    Starting "starting";
    Healthy "healthy";
    Killed "killed";
    Dead "dead";
    Gone "gone";
}

values! {
    /// The values of `WorkerWord::WaitingFor`.
    WaitingFor:
    Nothing "nothing";
    Kafka "Kafka";
    Redis "Redis";
    Both "Kafka and Redis";
}

values! {
    /// The values of `ShardWord::Paused`: why nothing is read of a shard.
    Paused:
    Flowing "flowing";
    Starting "starting";
    Refused "waits for Redis";
    NoHolder "no holder";
    Backpressure "backpressure";
    Memory "memory";
}

/// Upper bounds in ms of the lateness histogram (acknowledged minus due), the last is open.
/// Finest where a healthy daemon's are.
pub const LATENESS_BOUNDS_MS: [u64; 20] = [
    1,
    2,
    5,
    10,
    20,
    30,
    50,
    75,
    100,
    150,
    200,
    300,
    500,
    1000,
    2000,
    5000,
    10_000,
    60_000,
    600_000,
    u64::MAX,
];
