//! Redis's replies to the store's types, and its refusals to conditions or errors.

use super::link::Reply;
use crate::error::{Error, Result};
use crate::segment::index::Marks;
use crate::segment::{BatchId, EventMs, Offset};
use crate::store::books::{Books, SETTLED_FIELDS, Settled};
use crate::store::{Epoch, Identity, Life, Listed, State, Taken};

/// 128 bits as the 32 hex digits that stand in Redis.
pub fn hex(bits: u128) -> String {
    format!("{bits:032x}")
}

fn unhex(text: &str) -> Option<u128> {
    BatchId::parse(text).map(|id| id.0)
}

/// A batch's member of `l`: header length included, which saves a trip when it is read.
pub fn member(id: BatchId, header_bytes: u32) -> String {
    format!("{id}:{header_bytes}")
}

/// The word that a script answered, alone or as the first of a list.
pub fn answer(reply: &Reply) -> Option<&str> {
    match reply {
        Reply::List(parts) => parts.first()?.text(),
        other => other.text(),
    }
}

/// HGETALL of `p`: `Some(None)` where there is no life, `None` when it cannot be read.
pub fn state(reply: &Reply) -> Option<Option<State>> {
    let Reply::List(parts) = reply else { return None };
    if parts.is_empty() {
        return Some(None);
    }
    let field = |name: &str| {
        let pair = parts.chunks_exact(2).find(|pair| pair[0].text() == Some(name))?;
        pair[1].text()
    };
    let Some(life) = field("life") else {
        // Somebody took apart what was there: no life, ingest begins a new one.
        return Some(None);
    };
    let number = |name: &str| field(name).and_then(|text| text.parse::<i64>().ok());
    // Not there until the first append or settle of the life.
    let sum = |name: &str| field(name).map_or(Some(0), |_| Some(number(name)?.max(0) as u64));
    let mut settled = [0; SETTLED_FIELDS.len()];
    for (value, name) in settled.iter_mut().zip(SETTLED_FIELDS) {
        *value = sum(name)?;
    }
    let tip = match field("tip")? {
        "" => None,
        tip => Some(BatchId::parse(tip)?),
    };
    Some(Some(State {
        identity: Identity {
            cluster: field("cluster")?.to_owned(),
            topic: field("topic")?.to_owned(),
            group: field("group")?.to_owned(),
        },
        life: Life(unhex(life)?),
        position: Offset(number("position")?),
        tip,
        clock: number("clock").map(EventMs),
        epoch: field("epoch").and_then(unhex).map(Epoch),
        batches: number("batches")?.max(0) as u64,
        marked: number("marked")?.max(0) as u64,
        books: Books { read: sum("read")?, settled: Settled::from_values(settled) },
    }))
}

/// Members and scores of `l`; `None` when it cannot be read. A member that is none of ours is left
/// out: whether ours are all there, their number in `p` says.
pub fn listed(reply: &Reply) -> Option<Vec<Listed>> {
    let Reply::List(parts) = reply else { return None };
    let one = |pair: &[Reply]| {
        let (id, header_bytes) = pair[0].text()?.split_once(':')?;
        let first: f64 = pair[1].text()?.parse().ok()?;
        Some(Listed {
            id: BatchId::parse(id)?,
            header_bytes: header_bytes.parse().ok()?,
            // A score is a double: exact for every offset below 2^53.
            first: Offset(first as i64),
        })
    };
    Some(parts.chunks_exact(2).filter_map(one).collect())
}

/// The reply of take: `Some(None)` where there is no life, `None` when it cannot be read.
pub fn taken(reply: &Reply) -> Option<Option<Taken>> {
    let Reply::List(parts) = reply else { return None };
    let [p, l, d] = parts.as_slice() else {
        return if parts.is_empty() { Some(None) } else { None };
    };
    let Some(state) = state(p)? else { return Some(None) };
    let Reply::List(marks) = d else { return None };
    let one = |pair: &[Reply]| match &pair[1] {
        Reply::Bytes(bytes) => Some((BatchId::parse(pair[0].text()?)?, Marks(bytes.clone()))),
        _ => None,
    };
    let mut marks: Vec<(BatchId, Marks)> = marks.chunks_exact(2).filter_map(one).collect();
    // A hash has no order of its own; the contract has one.
    marks.sort_unstable_by_key(|(id, _)| *id);
    Some(Some(Taken { state, listed: listed(l)?, marks }))
}

/// The value of a line of INFO.
pub fn info<'i>(info: &'i str, key: &str) -> Option<&'i str> {
    info.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(':'))
}

/// A Redis that may evict our keys loses spans silently: refused with the command that mends it.
pub fn check_eviction(text: &str, address: &str) -> Result<()> {
    let max: u64 = info(text, "maxmemory").and_then(|max| max.parse().ok()).unwrap_or(0);
    let policy = info(text, "maxmemory_policy").unwrap_or("noeviction");
    if max == 0 || policy == "noeviction" {
        return Ok(());
    }
    Err(Error::config(format!(
        "Redis at {address} may evict our keys: maxmemory-policy is {policy}; run 'CONFIG SET \
         maxmemory-policy noeviction' there, and set it in its configuration file"
    )))
}

/// Refusals that pass by themselves, or by the help of whoever runs Redis: try the same again.
pub fn is_passing(code: &str) -> bool {
    const PASSING: [&str; 10] = [
        "OOM",
        "LOADING",
        "READONLY",
        "MISCONF",
        "NOREPLICAS",
        "BUSY",
        "CLUSTERDOWN",
        "TRYAGAIN",
        "MASTERDOWN",
        "NOSCRIPT",
    ];
    PASSING.contains(&code)
}

/// Answers of a node that is one of several: it holds only its share of our keys.
const OF_A_CLUSTER: [&str; 3] = ["MOVED", "ASK", "CROSSSLOT"];

/// An answer that is no condition of the call. That the server is one node of a Redis Cluster
/// does not mend itself: a configuration error.
pub fn unexpected(doing: &str, address: &str, reply: Option<&Reply>) -> Error {
    let (why, remedy) = match reply {
        Some(Reply::Refused { code, text }) if OF_A_CLUSTER.contains(&code.as_str()) => {
            return Error::config(format!(
                "cannot {doing} at {address}: it is one node of a Redis Cluster ({}), which \
                 spanbufd does not speak; point redis-url to a Redis that is not part of one",
                bounded(text)
            ));
        }
        Some(reply) if is_damage(reply) => {
            ("its keys are not as they were written".to_owned(), DAMAGE_REMEDY)
        }
        Some(Reply::Refused { code, text }) => (text.clone(), remedy(code)),
        Some(other) => (format!("an answer that was not expected: {other:?}"), ""),
        None => ("an answer is missing".to_owned(), ""),
    };
    let message = format!("cannot {doing} at {address}: {}{remedy}", bounded(&why));
    match reply {
        Some(reply) if is_damage(reply) => Error::of_one_shard(message),
        Some(Reply::Refused { code, .. }) if code == "WRONGTYPE" => Error::of_one_shard(message),
        _ => Error::temporary(message),
    }
}

const DAMAGE_REMEDY: &str =
    "; delete the shard's key p (NAMESPACE:{S}:p): what is not delivered is read again from Kafka";

/// What a script says that counts in a field of `p` which holds no number of ours.
const NO_NUMBER: [&str; 2] =
    ["hash value is not an integer", "increment or decrement would overflow"];

/// The server has answered as it should, and what it holds of the shard cannot be read: somebody
/// has written into its keys.
fn is_damage(reply: &Reply) -> bool {
    match reply {
        Reply::List(_) => true,
        Reply::Refused { text, .. } => NO_NUMBER.iter().any(|said| text.contains(said)),
        _ => false,
    }
}

/// What to do about a refusal; begins with a semicolon where there is something.
pub fn remedy(code: &str) -> &'static str {
    match code {
        "LOADING" => "; it reads its data and is waited for",
        "CLUSTERDOWN" | "TRYAGAIN" => {
            "; it is one node of a Redis Cluster: point redis-url to one that is not part of any"
        }
        "MASTERDOWN" => "; it is a replica without its master: mend that, or promote it",
        "NOREPLICAS" => "; bring its replicas back, or lower min-replicas-to-write",
        "BUSY" => "; somebody's script runs there and is waited for; SCRIPT KILL would end it",
        "OOM" => "; raise maxmemory",
        "MISCONF" => "; its disk does not take the snapshot: make room there",
        "NOAUTH" | "WRONGPASS" => "; check redis-password-file",
        "NOPERM" => {
            "; the ACL user needs the keys of our namespace and +@all -@admin -@dangerous +info"
        }
        "WRONGTYPE" => {
            "; a key of this shard is somebody else's: delete it, and give each program a \
             namespace of its own"
        }
        "READONLY" => "; it is a replica: promote it, or point redis-url to the master",
        _ => "",
    }
}

fn bounded(text: &str) -> String {
    text.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eviction_is_refused_only_where_it_can_happen() {
        let of =
            |max: u64, policy: &str| format!("maxmemory:{max}\r\nmaxmemory_policy:{policy}\r\n");
        assert!(check_eviction(&of(0, "allkeys-lru"), "x").is_ok());
        assert!(check_eviction(&of(5, "noeviction"), "x").is_ok());
        let refused = check_eviction(&of(5, "volatile-lru"), "x").err();
        assert_eq!(refused.map(|error| error.exit_status()), Some(78));
    }

    fn texts(texts: &[&str]) -> Reply {
        Reply::List(texts.iter().map(|text| Reply::Bytes(text.as_bytes().to_vec())).collect())
    }

    /// A life without batches; `fields` come before what it would say of them.
    fn p(fields: &[&str]) -> Reply {
        const LIFE: &str = "00000000000000000000000000000001";
        let rest = "cluster c topic t group g position 5 tip  batches 0 marked 0";
        let rest: Vec<&str> = rest.split(' ').collect();
        texts(&[fields, &["life", LIFE], rest.as_slice()].concat())
    }

    #[test]
    fn what_is_not_ours_is_not_read_as_a_state() {
        assert_eq!(state(&Reply::List(Vec::new())), Some(None));
        assert_eq!(state(&Reply::Int(3)), None);
        assert_eq!(state(&texts(&["life", "nonsense", "tip", ""])), None);
        assert!(state(&p(&[])).flatten().is_some());
        for field in ["tip", "position", "batches", "read", "skipped"] {
            assert_eq!(state(&p(&[field, "nonsense"])), None, "{field}");
        }
    }

    #[test]
    fn members_of_others_are_left_out() {
        const ID: &str = "0000000000000000000000000000000a";
        let l = texts(&["foreign", "1", &format!("{ID}:12"), "5", "foreign:7", "6", ID, "7"]);
        let listed: Vec<u128> = listed(&l).into_iter().flatten().map(|one| one.id.0).collect();
        assert_eq!(listed, [10]);
        let d = texts(&["x", "y", ID, "\u{1}"]);
        let taken = taken(&Reply::List(vec![p(&[]), l, d])).flatten();
        let marks = taken.map(|taken| taken.marks);
        assert_eq!(marks, Some(vec![(BatchId(10), Marks(vec![1]))]));
    }

    #[test]
    fn what_somebody_wrote_into_a_shard_stops_that_shard_alone() {
        let refused = |text: &str| {
            let code = text.split(' ').next().unwrap_or_default().to_owned();
            Reply::Refused { code, text: text.to_owned() }
        };
        let is_of_one_shard =
            |reply: &Reply| unexpected("look", "x", Some(reply)).is_of_one_shard();
        assert!(is_of_one_shard(&p(&["tip", "nonsense"])));
        assert!(is_of_one_shard(&refused("ERR hash value is not an integer script: 3a, on @1")));
        assert!(is_of_one_shard(&refused("WRONGTYPE Operation against a key")));
        for other in [Reply::Int(3), refused("ERR unknown command"), refused("LOADING data")] {
            assert!(!is_of_one_shard(&other), "{other:?}");
        }
    }
}
