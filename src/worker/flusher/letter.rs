//! Dead letters: what cannot be parsed, or is too large for the output topic.
//!
//! With a dead-letter topic they go there, with everything that is known of them, and are
//! settled like any other chunk once Kafka has acknowledged them. Without one they are counted
//! and logged: never dropped silently.

use super::Desk;
use super::flight::{Flight, Flights};
use super::round::post;
use crate::error::Error;
use crate::kafka::producer::Letter;
use crate::segment::Offset;
use crate::segment::chunk::RejectBody;
use crate::segment::encode::{Outgoing, Segment};

/// Sends a message that was no span to the dead-letter topic.
pub fn send_reject(
    desk: &mut Desk<'_>,
    flights: &mut Flights,
    flight: &mut Flight,
    reject: &RejectBody<'_>,
) {
    let shard = flight.shard.to_string();
    let offset = reject.offset.to_string();
    let timestamp = reject.timestamp_ms.map_or_else(String::new, |at| at.to_string());
    let Some(topic) = desk.config.dead_letter_topic.clone() else {
        let why = format!("partition {shard} offset {offset}: {}", reject.reason);
        let doing = "dropped what is no span; set dead-letter-topic to keep such messages";
        desk.troubles.warn(doing, &Error::temporary(why));
        flight.became.dropped += 1;
        return;
    };
    let mut headers: Vec<(&[u8], Option<&[u8]>)> = reject.headers.clone();
    headers.push((b"spanbufd-reason", Some(reject.reason.as_bytes())));
    headers.push((b"spanbufd-topic", Some(desk.config.input_topic.as_bytes())));
    headers.push((b"spanbufd-partition", Some(shard.as_bytes())));
    headers.push((b"spanbufd-offset", Some(offset.as_bytes())));
    headers.push((b"spanbufd-timestamp-ms", Some(timestamp.as_bytes())));
    // A letter that the broker refuses for its size goes without its payload.
    let payload = reject.payload.filter(|payload| payload.len() < desk.letter_refused_bytes);
    let letter =
        Letter { topic: &topic, partition: None, key: reject.key, payload, headers: &headers };
    flight.became.dead_letters += 1;
    post(desk, flights, flight, &letter, true);
}

/// A single span that the broker takes in no message of the output topic goes to the dead-letter
/// topic as it came, unless that refuses its size as well: then without its payload.
pub fn send_too_large(
    desk: &mut Desk<'_>,
    flights: &mut Flights,
    flight: &mut Flight,
    segment: &Segment<'_>,
    message: &Outgoing,
) {
    let offset = message.offsets.first().copied().unwrap_or(Offset(0));
    let shard = segment.shard.to_string();
    let at = offset.to_string();
    let reason = format!("too large for the output: a message of {} bytes", message.payload.len());
    let Some(topic) = desk.config.dead_letter_topic.clone() else {
        let why = format!("partition {shard} offset {at}: {reason}");
        let doing = "dropped a span; set dead-letter-topic to keep such messages";
        desk.troubles.warn(doing, &Error::temporary(why));
        flight.became.dropped += 1;
        return;
    };
    // Of a span that was parsed only the payload is kept; keys are made of its trace.
    let trace = segment.bodies.first().map(|body| body.trace_id.as_bytes());
    let spans = segment.bodies.iter().flat_map(|body| &body.spans);
    let span = spans.into_iter().find(|span| span.offset == offset).map(|span| span.payload);
    let headers: [(&[u8], Option<&[u8]>); 5] = [
        (b"spanbufd-reason", Some(reason.as_bytes())),
        (b"spanbufd-topic", Some(desk.config.input_topic.as_bytes())),
        (b"spanbufd-partition", Some(shard.as_bytes())),
        (b"spanbufd-offset", Some(at.as_bytes())),
        (b"spanbufd-timestamp-ms", Some(b"")),
    ];
    let payload = span.filter(|payload| payload.len() < desk.letter_refused_bytes);
    let letter = Letter { topic: &topic, partition: None, key: trace, payload, headers: &headers };
    flight.became.dead_letters += 1;
    post(desk, flights, flight, &letter, true);
}
