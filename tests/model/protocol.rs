//! What there is: Redis with its keys, two daemons, Kafka; and what must be true of it.
//!
//! Sets of offsets are bits of a byte. Even offsets are of one trace, odd ones of another, and the
//! last one is no span: a dead letter, delivered alone. Ids, epochs and lives are drawn from one
//! counter, so none comes twice.

pub type Set = u8;

/// A guard of the protocol that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// A batch's id is its offset, so that two histories may have the same.
    IdsFromOffsets,
    /// The append compares no life, position, tip.
    AppendAnyLife,
    AppendAnyPosition,
    AppendAnyTip,
    /// The index follows positions instead of the chain.
    NoChain,
    /// Ingest looks at the store only when it appends.
    NoCompare,
    /// The commit is what is read, or its map names what is open.
    CommitPosition,
    MapNamesOpen,
    /// A take draws no epoch of its own, or does not count what is there.
    TakeKeepsEpoch,
    NoCounts,
    /// A settle goes by what is sent, does not ask who is the last taker, marks what is not listed.
    SettleUnacknowledged,
    SettleAnyEpoch,
    SettleUnlisted,
    /// A cleaning does not ask who is the last taker, or what is settled by now.
    CleanAnyEpoch,
    CleanAnyMarks,
    /// A life that has a hole is dropped by whoever finds it.
    DropAnyEpoch,
}

#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Faults in one history, of any kinds.
    pub faults: u8,
    pub spans: u8,
    pub mutation: Option<Mutation>,
    /// Only these faults happen; all when empty. For mutations that need several of a kind.
    pub only: &'static [&'static str],
    /// What an earlier life has delivered above the floor, before Redis was lost.
    pub known: Set,
}

impl Rules {
    pub fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    pub fn all(&self) -> Set {
        (1 << self.spans) - 1
    }
}

/// An immutable batch; 0 as id means none: a move over what is known to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Batch {
    pub id: u8,
    pub previous: u8,
    pub start: u8,
    pub next: u8,
    pub spans: Set,
    pub carry: bool,
}

/// The hash `p`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Head {
    pub life: u8,
    pub position: u8,
    pub tip: u8,
    pub epoch: u8,
    pub batches: u8,
    pub marked: u8,
    /// Not in Redis: what this life has taken in, for P5.
    pub entered: Set,
    /// Not in Redis: the last take, for P7.
    pub taken: u8,
}

/// All keys of the shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Redis {
    pub p: Option<Head>,
    pub l: Vec<u8>,
    pub d: Vec<(u8, Set)>,
    /// The values that are there.
    pub b: Vec<Batch>,
}

impl Redis {
    pub fn value(&self, id: u8) -> Option<Batch> {
        self.b.iter().find(|batch| batch.id == id).copied()
    }

    pub fn marks(&self, id: u8) -> Set {
        self.d.iter().find(|(batch, _)| *batch == id).map_or(0, |(_, marks)| *marks)
    }

    /// What is buffered and not settled.
    pub fn live(&self) -> Set {
        let left = |id: &u8| self.value(*id).map_or(0, |batch| batch.spans & !self.marks(*id));
        self.l.iter().map(left).fold(0, |all, some| all | some)
    }

    pub fn remove(&mut self, id: u8) -> (u8, u8) {
        let before = (self.l.len(), self.d.len());
        self.l.retain(|listed| *listed != id);
        self.d.retain(|(batch, _)| *batch != id);
        self.b.retain(|batch| batch.id != id);
        ((before.0 - self.l.len()) as u8, (before.1 - self.d.len()) as u8)
    }
}

/// Where an ingest believes that the store stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub life: u8,
    pub position: u8,
    pub tip: u8,
}

/// A flusher's index: batch, what it holds, what of it is open.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Index {
    pub life: u8,
    pub epoch: u8,
    /// Which take it is of, for P7.
    pub taken: u8,
    pub position: u8,
    pub tip: u8,
    pub batches: Vec<(u8, Set, Set)>,
    /// Produced and not acknowledged.
    pub flight: Set,
    /// Settled here, not yet in the store.
    pub unsettled: bool,
    /// A cleaning whose answer is not known: its carry.
    pub cleaning: Option<Batch>,
}

impl Index {
    pub fn open(&self) -> Set {
        self.batches.iter().fold(0, |all, (_, _, open)| all | open)
    }

    pub fn floor(&self) -> u8 {
        (self.open().trailing_zeros() as u8).min(self.position)
    }

    pub fn marked(&self) -> usize {
        self.batches.iter().filter(|(_, held, open)| held != open).count()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Daemon {
    /// Believes that the group has assigned the shard to it.
    pub owns: bool,
    pub ingest: Option<Place>,
    /// A batch on its way whose answer is not known.
    pub pending: Option<Batch>,
    pub index: Option<Index>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub redis: Redis,
    /// An older state of Redis that may come back.
    pub snapshot: Option<Redis>,
    /// The group's committed floor, and the offset map beside it.
    pub floor: u8,
    pub map: Set,
    /// What Kafka has acknowledged.
    pub out: Set,
    pub daemons: [Daemon; 2],
    /// Whom the group has assigned the shard to.
    pub owner: u8,
    pub faults: u8,
    pub numbers: u8,
    /// A promise that a step broke.
    pub broke: Option<&'static str>,
}

impl State {
    pub fn start(rules: Rules) -> State {
        State {
            redis: Redis::default(),
            snapshot: None,
            floor: 0,
            map: rules.known,
            out: rules.known,
            daemons: [Daemon { owns: true, ..Daemon::default() }, Daemon::default()],
            owner: 0,
            faults: rules.faults,
            numbers: 0,
            broke: None,
        }
    }

    /// Notes that a promise does not hold; the first one counts.
    pub fn breaks(&mut self, is_broken: bool, promise: &'static str) {
        if is_broken {
            self.broke.get_or_insert(promise);
        }
    }

    pub fn number(&mut self) -> u8 {
        self.numbers += 1;
        self.numbers
    }

    /// Everything is delivered, committed and gone from the store.
    pub fn is_done(&self, rules: Rules) -> bool {
        self.out == rules.all() && self.floor == rules.spans && self.redis.l.is_empty()
    }

    /// The promise that does not hold here, if there is one.
    pub fn broken(&self, rules: Rules) -> Option<String> {
        if let Some(why) = self.broke {
            return Some(why.to_owned());
        }
        let below = (1 << self.floor) - 1;
        if below & !self.out != 0 {
            return Some("P6: below the floor something is not delivered".to_owned());
        }
        if self.map & !self.out != 0 {
            return Some("P6: the offset map names what is not delivered".to_owned());
        }
        // Where the counters disagree with what is there, the life will be dropped and read again.
        let counts = |p: &Head| p.position == rules.spans && p.batches == 0 && p.marked == 0;
        let read = self.redis.p.as_ref().is_some_and(counts);
        let idle = |daemon: &Daemon| {
            daemon.pending.is_none()
                && daemon.index.as_ref().is_none_or(|index| index.flight == 0 && index.open() == 0)
        };
        let quiet = read && self.redis.l.is_empty() && self.daemons.iter().all(idle);
        if quiet && self.out != rules.all() {
            return Some("P8: all is quiet and something is not delivered".to_owned());
        }
        None
    }
}
