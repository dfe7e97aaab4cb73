//! The quick way through a span: one pass over the bytes, for the form that nearly all spans have.
//!
//! It reads the same fields as the careful way (serde_json, in `span`), and is there only because
//! it is quicker: `benchkit stages` prints what both take. It may only say yes where that would
//! give exactly the same [`Span`]: on any doubt (an escape in what is read, a member that comes
//! twice, an unusual number, a null where it matters, deep nesting, anything malformed) it answers
//! `None`, and the careful way decides. The tests hold one against the other with mutated spans.

use super::specials::Specials;
use super::{FlagSplice, ID_BYTES_MAX, IdSplice, Span, Splice, Validate};
use std::borrow::Cow;

/// Levels of objects and arrays in a value that is skipped.
const DEPTH_MAX: u32 = 60;

/// A byte range of the payload.
#[derive(Clone, Copy)]
struct Range {
    start: usize,
    end: usize,
}

/// The members that assembly needs, and whether those that only a schema needs are sound.
#[derive(Default)]
struct Found<'m> {
    project_id: Option<u64>,
    trace_id: Option<&'m str>,
    span_id: Option<&'m str>,
    /// The inner `None` is null.
    parent: Option<Option<&'m str>>,
    is_segment: Option<(bool, Range)>,
    attributes: Option<Attributes<'m>>,
    organization_id: Option<u64>,
    retention_days: Option<u64>,
    start_timestamp: Option<()>,
    end_timestamp: Option<()>,
    received: Option<()>,
    status: Option<()>,
    name: Option<()>,
}

#[derive(Clone, Copy)]
struct Attributes<'m> {
    at: usize,
    count: usize,
    segment_id: Option<&'m str>,
}

/// The span that `text` is, or `None` in doubt.
pub fn span(text: &str, validate: Validate) -> Option<Span<'_>> {
    let mut scan = Scan { text, at: 0, specials: Specials::of(text.as_bytes()) };
    scan.blank();
    let brace = scan.at + 1;
    let found = scan.members()?;
    scan.blank();
    if scan.at != text.len() || (validate == Validate::Strict && !found.fits_schema()) {
        return None;
    }
    found.into_span(text, brace)
}

/// Stores what a member must have once only.
fn once<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    match slot.replace(value) {
        None => Some(()),
        Some(_) => None,
    }
}

impl<'m> Found<'m> {
    fn fits_schema(&self) -> bool {
        self.organization_id.is_some()
            && self.retention_days.is_some_and(|days| days <= u16::MAX.into())
            && self.start_timestamp.is_some()
            && self.end_timestamp.is_some()
            && self.received.is_some()
            && self.status.is_some()
    }

    fn into_span(self, text: &'m str, brace: usize) -> Option<Span<'m>> {
        let (trace_id, span_id) = (id(self.trace_id?)?, id(self.span_id?)?);
        let parent = self.parent.flatten();
        let is_segment_span =
            parent.is_none() || self.is_segment.is_some_and(|(is_segment, _)| is_segment);
        let segment_id = self.attributes.and_then(|attributes| attributes.segment_id);
        let attach = match (is_segment_span, segment_id, parent) {
            (false, Some(segment_id), _) => segment_id,
            (false, None, Some(parent)) => parent,
            _ => span_id,
        };
        if attach.len() >= ID_BYTES_MAX {
            return None;
        }
        let brace = brace as u32;
        Some(Span {
            project_id: self.project_id?,
            trace_id: Cow::Borrowed(trace_id),
            span_id: Cow::Borrowed(span_id),
            attach: Cow::Borrowed(attach),
            is_segment_span,
            splice: Splice {
                is_segment: match self.is_segment {
                    Some((_, Range { start, end })) => {
                        FlagSplice::Replace { start: start as u32, end: end as u32 }
                    }
                    None => FlagSplice::Insert { at: brace },
                },
                segment_id: match self.attributes {
                    None => IdSplice::InsertAttributes { at: brace },
                    Some(Attributes { segment_id: Some(_), .. }) => IdSplice::Keep,
                    Some(Attributes { at, count, .. }) => {
                        IdSplice::InsertMember { at: at as u32 + 1, empty: count == 0 }
                    }
                },
            },
            payload: text.as_bytes(),
        })
    }
}

fn id(text: &str) -> Option<&str> {
    (1..ID_BYTES_MAX).contains(&text.len()).then_some(text)
}

/// A place in the text. Every step answers `None` for what it does not expect.
struct Scan<'m> {
    text: &'m str,
    at: usize,
    specials: Specials<'m>,
}

impl<'m> Scan<'m> {
    // --- the span ---

    fn members(&mut self) -> Option<Found<'m>> {
        let mut found = Found::default();
        self.object(|scan, key| scan.member(key, &mut found))?;
        Some(found)
    }

    fn member(&mut self, key: &str, found: &mut Found<'m>) -> Option<()> {
        match key {
            "project_id" => once(&mut found.project_id, self.integer()?),
            "trace_id" => once(&mut found.trace_id, self.plain_string()?),
            "span_id" => once(&mut found.span_id, self.plain_string()?),
            "parent_span_id" => once(&mut found.parent, self.string_or_null()?),
            "is_segment" => {
                let start = self.at;
                let is_segment = self.boolean()?;
                once(&mut found.is_segment, (is_segment, Range { start, end: self.at }))
            }
            "attributes" => once(&mut found.attributes, self.attributes()?),
            "organization_id" => once(&mut found.organization_id, self.integer()?),
            "retention_days" => once(&mut found.retention_days, self.integer()?),
            "start_timestamp" => once(&mut found.start_timestamp, self.positive()?),
            "end_timestamp" => once(&mut found.end_timestamp, self.positive()?),
            "received" => once(&mut found.received, self.positive()?),
            "status" => once(&mut found.status, self.skip_string()?),
            "name" => once(&mut found.name, self.skip_string_or_null()?),
            _ => self.skip(),
        }
    }

    fn attributes(&mut self) -> Option<Attributes<'m>> {
        let mut found = Attributes { at: self.at, count: 0, segment_id: None };
        self.object(|scan, key| {
            found.count += 1;
            match key {
                "sentry.segment.id" => once(&mut found.segment_id, scan.attribute()?),
                _ => scan.skip(),
            }
        })?;
        Some(found)
    }

    /// The text in the member `value` of an attribute.
    fn attribute(&mut self) -> Option<&'m str> {
        let mut value = None;
        self.object(|scan, key| match key {
            "value" => once(&mut value, scan.plain_string()?),
            _ => scan.skip(),
        })?;
        value.filter(|text| !text.is_empty())
    }

    // --- values ---

    /// An object: `member` is called in front of each value with its key, and consumes it.
    fn object(
        &mut self,
        mut member: impl FnMut(&mut Scan<'m>, &'m str) -> Option<()>,
    ) -> Option<()> {
        self.expect(b'{')?;
        self.blank();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            let key = self.plain_string()?;
            self.blank();
            self.expect(b':')?;
            self.blank();
            member(self, key)?;
            self.blank();
            match self.next()? {
                b',' => self.blank(),
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// A string without escapes.
    fn plain_string(&mut self) -> Option<&'m str> {
        self.expect(b'"')?;
        let start = self.at;
        self.at = self.specials.next(start)?;
        self.expect(b'"')?;
        self.text.get(start..self.at - 1)
    }

    fn string_or_null(&mut self) -> Option<Option<&'m str>> {
        match self.peek()? {
            b'n' => self.word("null").map(|()| None),
            _ => self.plain_string().map(Some),
        }
    }

    fn boolean(&mut self) -> Option<bool> {
        match self.peek()? {
            b't' => self.word("true").map(|()| true),
            _ => self.word("false").map(|()| false),
        }
    }

    /// A number of digits only, few enough for 64 bits.
    fn integer(&mut self) -> Option<u64> {
        let digits = self.digits()?;
        let is_whole = !matches!(self.peek()?, b'.' | b'e' | b'E');
        if digits.len() > 19 || !is_whole {
            return None;
        }
        digits.parse().ok()
    }

    /// A number without sign and exponent: not negative, and finite as a double.
    fn positive(&mut self) -> Option<()> {
        if self.digits()?.len() > 100 {
            return None;
        }
        if self.peek()? == b'.' {
            self.at += 1;
            self.run_of_digits()?;
        }
        (!matches!(self.peek()?, b'e' | b'E')).then_some(())
    }

    /// Digits that begin with 0 only when they are 0.
    fn digits(&mut self) -> Option<&'m str> {
        let digits = self.run_of_digits()?;
        (digits == "0" || !digits.starts_with('0')).then_some(digits)
    }

    fn run_of_digits(&mut self) -> Option<&'m str> {
        let start = self.at;
        while self.text.as_bytes().get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        self.text.get(start..self.at).filter(|digits| !digits.is_empty())
    }

    /// Any value, checked as JSON. Numbers may have a sign, not an exponent.
    fn skip(&mut self) -> Option<()> {
        self.skip_at(0)
    }

    fn skip_at(&mut self, depth: u32) -> Option<()> {
        match self.peek()? {
            b'"' => self.skip_string(),
            b'{' if depth < DEPTH_MAX => self.object(|scan, _| scan.skip_at(depth + 1)),
            b'[' if depth < DEPTH_MAX => self.skip_array(depth + 1),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            b'-' => {
                self.at += 1;
                self.positive()
            }
            _ => self.positive(),
        }
    }

    fn skip_array(&mut self, depth: u32) -> Option<()> {
        self.expect(b'[')?;
        self.blank();
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.skip_at(depth)?;
            self.blank();
            match self.next()? {
                b',' => self.blank(),
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    /// A string that nobody reads: short escapes are fine, `\u` is left to the careful way.
    fn skip_string(&mut self) -> Option<()> {
        self.expect(b'"')?;
        loop {
            self.at = self.specials.next(self.at)?;
            match self.next()? {
                b'"' => return Some(()),
                b'\\' => match self.next()? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    _ => return None,
                },
                _ => return None,
            }
        }
    }

    fn skip_string_or_null(&mut self) -> Option<()> {
        if self.peek()? == b'n' { self.word("null") } else { self.skip_string() }
    }

    // --- bytes ---

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        self.at += word.len();
        rest.starts_with(word.as_bytes()).then_some(())
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
