//! Message bytes to [`Span`]: only the needed fields, borrowed from the message.
//!
//! The payload's bytes are never changed. What flushing has to set (`is_segment` and
//! `attributes."sentry.segment.id"`) is remembered as [`Splice`] positions, so that
//! encoding never parses JSON again.

mod scan;
mod specials;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Which fields are checked: option `validate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validate {
    /// Only what assembly needs.
    Ids,
    /// Everything that the published schema requires.
    Strict,
}

/// A span as assembly sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span<'m> {
    pub project_id: u64,
    pub trace_id: Cow<'m, str>,
    pub span_id: Cow<'m, str>,
    /// The id that this span hangs under; its own `span_id` for a segment span.
    pub attach: Cow<'m, str>,
    /// No parent, or `is_segment`: this span starts a segment of its own.
    pub is_segment_span: bool,
    pub splice: Splice,
    pub payload: &'m [u8],
}

/// Where encoding writes into the payload: byte ranges of it, `start == end` inserts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Splice {
    pub is_segment: FlagSplice,
    pub segment_id: IdSplice,
}

/// How `is_segment` gets its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagSplice {
    /// The member is there: replace the value in this range.
    Replace { start: u32, end: u32 },
    /// The member is missing: insert it behind the span's opening brace, at `at`.
    Insert { at: u32 },
}

/// How `attributes."sentry.segment.id"` gets its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdSplice {
    /// It has a non-empty value already: left alone.
    Keep,
    /// `attributes` is missing: insert the whole member behind the span's opening brace.
    InsertAttributes { at: u32 },
    /// `attributes` is null or no object: replace its value.
    ReplaceAttributes { start: u32, end: u32 },
    /// `attributes` is an object without the key: insert it behind its opening brace.
    InsertMember { at: u32, empty: bool },
    /// The key is there with null or an empty value: replace its value.
    ReplaceMember { start: u32, end: u32 },
}

/// Why a message cannot be a span; its text goes to the dead-letter topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    pub reason: String,
}

/// Ids and reasons are bounded: what is longer is no id.
const ID_BYTES_MAX: usize = 1024;
const REASON_CHARS_MAX: usize = 200;

/// Splice positions are 32 bits wide.
const PAYLOAD_BYTES_MAX: usize = u32::MAX as usize / 2;

/// Parses one message.
pub fn parse(payload: &[u8], validate: Validate) -> Result<Span<'_>, Reject> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return reject(format!("{} bytes are too much for a span", payload.len()));
    }
    let text = std::str::from_utf8(payload).or_else(|why| reject(format!("not UTF-8: {why}")))?;
    match scan::span(text, validate) {
        Some(span) => Ok(span),
        None => parse_carefully(text, validate),
    }
}

/// The whole truth about a message, as serde_json sees it; public for the benchmark.
pub fn parse_carefully(text: &str, validate: Validate) -> Result<Span<'_>, Reject> {
    let mut json = serde_json::Deserializer::from_str(text);
    let fields = Fields::deserialize(&mut json).or_else(|why| reject(why.to_string()))?;
    json.end().or_else(|why| reject(why.to_string()))?;
    if validate == Validate::Strict {
        fields.check_schema()?;
    }
    fields.into_span(text)
}

fn reject<T>(reason: impl Into<String>) -> Result<T, Reject> {
    let reason: String = reason.into();
    Err(Reject { reason: reason.chars().take(REASON_CHARS_MAX).collect() })
}

/// The members that somebody needs, raw; of a repeated key the last one counts, as in most
/// readers. Everything else is skipped.
#[derive(Default)]
struct Fields<'m> {
    project_id: Option<&'m RawValue>,
    trace_id: Option<&'m RawValue>,
    span_id: Option<&'m RawValue>,
    parent_span_id: Option<&'m RawValue>,
    is_segment: Option<&'m RawValue>,
    attributes: Option<&'m RawValue>,
    organization_id: Option<&'m RawValue>,
    start_timestamp: Option<&'m RawValue>,
    end_timestamp: Option<&'m RawValue>,
    received: Option<&'m RawValue>,
    retention_days: Option<&'m RawValue>,
    status: Option<&'m RawValue>,
    name: Option<&'m RawValue>,
}

impl<'m> Fields<'m> {
    fn slot(&mut self, key: &str) -> Option<&mut Option<&'m RawValue>> {
        Some(match key {
            "project_id" => &mut self.project_id,
            "trace_id" => &mut self.trace_id,
            "span_id" => &mut self.span_id,
            "parent_span_id" => &mut self.parent_span_id,
            "is_segment" => &mut self.is_segment,
            "attributes" => &mut self.attributes,
            "organization_id" => &mut self.organization_id,
            "start_timestamp" => &mut self.start_timestamp,
            "end_timestamp" => &mut self.end_timestamp,
            "received" => &mut self.received,
            "retention_days" => &mut self.retention_days,
            "status" => &mut self.status,
            "name" => &mut self.name,
            _ => return None,
        })
    }

    /// What the published schema requires beyond what assembly needs (UPSTREAM, section 1).
    fn check_schema(&self) -> Result<(), Reject> {
        needs::<u64>("organization_id", self.organization_id)?;
        for (name, value) in [
            ("start_timestamp", self.start_timestamp),
            ("end_timestamp", self.end_timestamp),
            ("received", self.received),
        ] {
            if needs::<f64>(name, value)? < 0.0 {
                return reject(format!("{name} is negative"));
            }
        }
        needs::<u16>("retention_days", self.retention_days)?;
        needs::<Cow<'_, str>>("status", self.status)?;
        if let Some(name) = self.name {
            read::<Option<Text<'_>>>("name", name)?;
        }
        Ok(())
    }

    fn into_span(self, payload: &'m str) -> Result<Span<'m>, Reject> {
        let span_id = id("span_id", self.span_id)?;
        let parent = match self.parent_span_id {
            Some(raw) => read::<Option<Text<'m>>>("parent_span_id", raw)?,
            None => None,
        };
        let is_segment = match self.is_segment {
            Some(raw) => read::<Option<bool>>("is_segment", raw)? == Some(true),
            None => false,
        };
        let (segment_id, splice) = attributes(self.attributes, payload)?;
        let is_segment_span = is_segment || parent.is_none();
        let attach = match (is_segment_span, segment_id, parent) {
            (true, _, _) => span_id.clone(),
            (false, Some(segment_id), _) => segment_id,
            (false, None, Some(parent)) => parent.0,
            (false, None, None) => span_id.clone(),
        };
        // It is written into every span of the segment that lacks it.
        if attach.len() >= ID_BYTES_MAX {
            return reject("the id of its parent or segment is too long");
        }
        Ok(Span {
            project_id: needs("project_id", self.project_id)?,
            trace_id: id("trace_id", self.trace_id)?,
            span_id,
            attach,
            is_segment_span,
            splice: Splice {
                is_segment: match self.is_segment {
                    Some(raw) => {
                        let (start, end) = range(raw.get(), payload);
                        FlagSplice::Replace { start, end }
                    }
                    None => FlagSplice::Insert { at: behind_brace(payload) },
                },
                segment_id: splice,
            },
            payload: payload.as_bytes(),
        })
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a span, which is an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields<'de>, M::Error> {
                let mut fields = Fields::default();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    match fields.slot(&key.0) {
                        Some(slot) => *slot = Some(map.next_value()?),
                        None => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(fields)
            }
        }

        from.deserialize_map(Members)
    }
}

/// A string that borrows where it has no escapes (serde's own `Cow<str>` always copies).
struct Text<'m>(Cow<'m, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Borrowing;

        impl<'de> Visitor<'de> for Borrowing {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        from.deserialize_str(Borrowing)
    }
}

/// The value of `attributes."sentry.segment.id"`, and how encoding sets it.
fn attributes<'m>(
    raw: Option<&'m RawValue>,
    payload: &str,
) -> Result<(Option<Cow<'m, str>>, IdSplice), Reject> {
    let Some(raw) = raw else {
        return Ok((None, IdSplice::InsertAttributes { at: behind_brace(payload) }));
    };
    let (start, end) = range(raw.get(), payload);
    if !raw.get().starts_with('{') {
        return Ok((None, IdSplice::ReplaceAttributes { start, end }));
    }
    let (member, count) = member(raw, "sentry.segment.id")?;
    let Some(member) = member else {
        return Ok((None, IdSplice::InsertMember { at: start + 1, empty: count == 0 }));
    };
    match segment_id(member)? {
        Some(id) if !id.is_empty() => Ok((Some(id), IdSplice::Keep)),
        _ => {
            let (start, end) = range(member.get(), payload);
            Ok((None, IdSplice::ReplaceMember { start, end }))
        }
    }
}

/// An attribute is null or `{"type": …, "value": …}`.
fn segment_id(attribute: &RawValue) -> Result<Option<Cow<'_, str>>, Reject> {
    if attribute.get() == "null" {
        return Ok(None);
    }
    let (value, _) = member(attribute, "value")?;
    let name = "attributes.sentry.segment.id.value";
    let text = value.map(|value| read::<Option<Text<'_>>>(name, value)).transpose()?;
    Ok(text.flatten().map(|text| text.0))
}

/// One member of an object, raw (the last one of that name), and how many members there are.
fn member<'m>(object: &'m RawValue, name: &str) -> Result<(Option<&'m RawValue>, usize), Reject> {
    struct Member<'n>(&'n str);

    impl<'de> Visitor<'de> for Member<'_> {
        type Value = (Option<&'de RawValue>, usize);

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "an object with {}", self.0)
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
            let (mut found, mut count) = (None, 0);
            while let Some(key) = map.next_key::<Text<'de>>()? {
                count += 1;
                if key.0 == self.0 {
                    found = Some(map.next_value()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok((found, count))
        }
    }

    let mut json = serde_json::Deserializer::from_str(object.get());
    (&mut json).deserialize_map(Member(name)).or_else(|why| reject(why.to_string()))
}

fn read<'m, T: Deserialize<'m>>(name: &str, raw: &'m RawValue) -> Result<T, Reject> {
    serde_json::from_str(raw.get()).or_else(|why| reject(format!("{name}: {why}")))
}

fn needs<'m, T: Deserialize<'m>>(name: &str, raw: Option<&'m RawValue>) -> Result<T, Reject> {
    match raw {
        Some(raw) => read(name, raw),
        None => reject(format!("{name} is missing")),
    }
}

fn id<'m>(name: &str, raw: Option<&'m RawValue>) -> Result<Cow<'m, str>, Reject> {
    let id = needs::<Text<'m>>(name, raw)?.0;
    match id.len() {
        0 => reject(format!("{name} is empty")),
        ID_BYTES_MAX.. => reject(format!("{name} is too long")),
        _ => Ok(id),
    }
}

/// Where a part of the payload stands in it: it borrows from it.
fn range(part: &str, payload: &str) -> (u32, u32) {
    let start = part.as_ptr() as usize - payload.as_ptr() as usize;
    (start as u32, (start + part.len()) as u32)
}

/// Behind the span's opening brace: it is an object, so the first brace is its own.
fn behind_brace(payload: &str) -> u32 {
    payload.find('{').map_or(0, |at| at as u32 + 1)
}

#[cfg(test)]
mod tests;
