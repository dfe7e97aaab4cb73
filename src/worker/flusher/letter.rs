//! Dead letters: what cannot be parsed, or is too large for the output topic.
//!
//! With a dead-letter topic they go there, with everything that is known of them, and are
//! settled like any other chunk once Kafka has acknowledged them. A letter that the topic refuses
//! for its size is tried again with less of it. Without such a topic they are counted and logged:
//! never dropped silently.

use super::Desk;
use super::flight::{Flight, Flights};
use super::round::post;
use crate::error::Error;
use crate::kafka::producer::Letter;
use crate::segment::Offset;
use crate::segment::chunk::RejectBody;
use crate::segment::encode::{Outgoing, Segment};
use crate::sys::headers::Header;

/// With this the reason of a letter begins that is no matter of parsing.
pub const TOO_LARGE: &str = "too large for the output";

/// Said where not even a letter's own facts are taken.
const REFUSED: &str = "dropped a dead letter that its topic refuses for its size, whatever is left \
                       out of it";

type Headers<'h> = &'h [Header<'h>];

/// What a dead letter is made of.
struct Dead<'a> {
    offset: Offset,
    timestamp_ms: Option<i64>,
    reason: &'a str,
    payload: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
    /// The message's own headers.
    headers: Headers<'a>,
    /// What is done where such letters are dropped.
    dropped: &'static str,
}

/// Sends a message that was no span to the dead-letter topic.
pub fn send_reject(
    desk: &mut Desk<'_>,
    flights: &mut Flights,
    flight: &mut Flight,
    reject: &RejectBody<'_>,
) {
    let dead = Dead {
        offset: reject.offset,
        timestamp_ms: reject.timestamp_ms,
        reason: reject.reason,
        payload: reject.payload,
        key: reject.key,
        headers: &reject.headers,
        dropped: "dropped what is no span; set dead-letter-topic to keep such messages",
    };
    send(desk, flights, flight, &dead);
}

/// Sends a single span that the broker takes in no message of the output topic to the dead-letter
/// topic as it came.
pub fn send_too_large(
    desk: &mut Desk<'_>,
    flights: &mut Flights,
    flight: &mut Flight,
    segment: &Segment<'_>,
    message: &Outgoing,
) {
    let offset = message.offsets.first().copied().unwrap_or(Offset(0));
    let mut spans = segment.bodies.iter().flat_map(|body| &body.spans);
    let reason = format!("{TOO_LARGE}: a message of {} bytes", message.payload.len());
    let dead = Dead {
        offset,
        timestamp_ms: None,
        reason: &reason,
        payload: spans.find(|span| span.offset == offset).map(|span| span.payload),
        // Of a span that was parsed only the payload is kept; keys are made of its trace.
        key: segment.bodies.first().map(|body| body.trace_id.as_bytes()),
        headers: &[],
        dropped: "dropped a span; set dead-letter-topic to keep such messages",
    };
    send(desk, flights, flight, &dead);
}

fn send(desk: &mut Desk<'_>, flights: &mut Flights, flight: &mut Flight, dead: &Dead<'_>) {
    let config = desk.config;
    let Some(topic) = config.dead_letter_topic.as_deref() else {
        return drop_letter(desk, flight, dead, dead.dropped);
    };
    let (shard, offset) = (flight.shard.to_string(), dead.offset.to_string());
    let timestamp = dead.timestamp_ms.map_or_else(String::new, |at| at.to_string());
    let ours: [Header<'_>; 5] = [
        (b"spanbufd-reason", Some(dead.reason.as_bytes())),
        (b"spanbufd-topic", Some(config.input_topic.as_bytes())),
        (b"spanbufd-partition", Some(shard.as_bytes())),
        (b"spanbufd-offset", Some(offset.as_bytes())),
        (b"spanbufd-timestamp-ms", Some(timestamp.as_bytes())),
    ];
    let headers = [dead.headers, &ours].concat();
    let (key, payload) = (dead.key, dead.payload);
    let whole = Letter { topic, partition: None, key, payload, headers: &headers };
    let below = flight.due.letters_below.unwrap_or(usize::MAX);
    let Some(letter) = fitting(whole, &ours, below) else {
        return drop_letter(desk, flight, dead, REFUSED);
    };
    flight.became.dead_letters += 1;
    post(desk, flights, flight, &letter, letter.bytes());
}

fn drop_letter(desk: &mut Desk<'_>, flight: &mut Flight, dead: &Dead<'_>, doing: &str) {
    let why = format!("partition {} offset {}: {}", flight.shard, dead.offset, dead.reason);
    desk.troubles.warn(doing, &Error::temporary(why));
    flight.became.dropped += 1;
}

/// As much of a letter as is smaller than what its topic refused of it: all, or no payload, or
/// without its own headers, or without its key. Ours always stay; `None` if even these are refused.
fn fitting<'a>(whole: Letter<'a>, ours: Headers<'a>, below: usize) -> Option<Letter<'a>> {
    let bare = Letter { payload: None, ..whole };
    let nameless = Letter { headers: ours, ..bare };
    let steps = [whole, bare, nameless, Letter { key: None, ..nameless }];
    steps.into_iter().find(|letter| letter.bytes() < below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_that_is_refused_loses_first_its_payload_and_never_our_headers() {
        let (own, ours): (Headers<'_>, Headers<'_>) =
            (&[(b"h", Some(b"12345"))], &[(b"spanbufd-offset", Some(b"7"))]);
        let headers = [own, ours].concat();
        let (key, payload) = (Some(&b"key"[..]), Some(&b"payload"[..]));
        let whole = Letter { topic: "t", partition: None, key, payload, headers: &headers };
        let parts = |below| {
            let letter = fitting(whole, ours, below)?;
            let sizes = (letter.payload.map(<[u8]>::len), letter.headers.len());
            Some((sizes, letter.key.is_some(), letter.bytes()))
        };
        let mut below = usize::MAX;
        for left in [((Some(7), 2), true, 32), ((None, 2), true, 25), ((None, 1), true, 19)] {
            assert_eq!(parts(below), Some(left));
            below = left.2;
        }
        assert_eq!(parts(below), Some(((None, 1), false, 16)));
        assert_eq!(parts(16), None);
        // What has nothing of its own is not sent twice as it was.
        let plain = Letter { headers: ours, key: None, ..whole };
        assert!(fitting(plain, ours, plain.bytes()).is_some_and(|one| one.payload.is_none()));
        let empty = Letter { payload: None, ..plain };
        assert!(fitting(empty, ours, empty.bytes()).is_none());
    }
}
