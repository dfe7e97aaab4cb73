//! What stands behind a committed offset: whether it is a floor, and the offset map above it.
//!
//! Text, because that is what Kafka's tools print, and at most as long as brokers take by default.
//! What another tool has written there, or what was written for another offset, says nothing.
//! The records of the offset-map topic have the same form, and no bound on their length.

use crate::segment::Offset;

/// The broker's `offset.metadata.max.bytes`, unless it is set otherwise.
const TEXT_MAX: usize = 4096;

/// Bytes of a map for which there is room in any case: tag and offset go off.
pub const MAP_MAX: usize = (TEXT_MAX - 80) / 4 * 3;

const TAG: &str = "spanbufd/1";
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Which records of the offset-map topic go with a commit. Random, and only ever handed on from
/// commit to commit: where offsets were reset by hand or a topic was made anew, the chain ends, and
/// what was written before is believed by nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(pub u64);

/// The meaning of a committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// All below it is delivered, and what the map names above it; with a mark there is a record
    /// in the offset-map topic that names more.
    Floor { map: Vec<u8>, mark: Option<Mark> },
    /// All below it is in the buffer (`commit = buffered`).
    Buffered,
    /// The group begins with this partition, and nobody has looked yet where `start-from` is.
    Begin,
}

/// The text that goes with `offset`.
pub fn print(note: &Note, offset: Offset) -> String {
    match note {
        Note::Buffered => format!("{TAG} buffered {offset}"),
        Note::Begin => format!("{TAG} begin {offset}"),
        Note::Floor { map, mark: None } => format!("{TAG} floor {offset} {}", to_text(map)),
        Note::Floor { map, mark: Some(Mark(mark)) } => {
            format!("{TAG} floor {offset} {} {mark:016x}", to_text(map))
        }
    }
}

/// What `bytes` say of `offset`; `None` when they are not ours, or of another offset.
pub fn parse(bytes: &[u8], offset: Offset) -> Option<Note> {
    read(bytes).filter(|(of, _)| *of == offset).map(|(_, note)| note)
}

/// What `bytes` say, and of which offset.
pub(super) fn read(bytes: &[u8]) -> Option<(Offset, Note)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut words = text.split(' ');
    if words.next()? != TAG {
        return None;
    }
    let kind = words.next()?;
    let offset = Offset(words.next()?.parse().ok()?);
    let note = match kind {
        "buffered" => Note::Buffered,
        "begin" => Note::Begin,
        "floor" => {
            let map = from_text(words.next()?)?;
            let mark = words.next().map(|word| u64::from_str_radix(word, 16).map(Mark));
            Note::Floor { map, mark: mark.transpose().ok()? }
        }
        _ => return None,
    };
    Some((offset, note))
}

/// Six bits a letter; the last letter's low bits are zero where bytes end.
fn to_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (24 - 8 * three.len());
        for letter in 0..=three.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * letter)) as usize & 63]));
        }
    }
    text
}

fn from_text(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for four in text.as_bytes().chunks(4) {
        let mut bits = 0u32;
        for letter in four {
            let digit = DIGITS.iter().position(|digit| digit == letter)?;
            bits = bits << 6 | digit as u32;
        }
        if four.len() == 1 {
            return None;
        }
        bits <<= 6 * (4 - four.len());
        bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_comes_back() {
        for length in [0, 1, 2, 3, 4, 5, 254, 255, 256, MAP_MAX] {
            let map: Vec<u8> = (0..length).map(|at| (at * 7 + length) as u8).collect();
            let note = Note::Floor { map, mark: Some(Mark(length as u64)) };
            let text = print(&note, Offset(i64::MAX));
            assert!(text.len() <= TEXT_MAX, "{} bytes", text.len());
            assert_eq!(parse(text.as_bytes(), Offset(i64::MAX)), Some(note));
        }
        let unmarked = Note::Floor { map: vec![7], mark: None };
        assert_eq!(parse(print(&unmarked, Offset(3)).as_bytes(), Offset(3)), Some(unmarked));
        for note in [Note::Buffered, Note::Begin] {
            assert_eq!(parse(print(&note, Offset(3)).as_bytes(), Offset(3)), Some(note));
        }
    }

    #[test]
    fn what_is_not_ours_says_nothing() {
        let ours = print(&Note::Floor { map: vec![1, 2, 3], mark: None }, Offset(5));
        assert_eq!(parse(ours.as_bytes(), Offset(4)), None, "moved by hand");
        let foreign: [&[u8]; 10] = [
            b"",
            b"\xff\xfe",
            b"consumer-7",
            b"spanbufd/2 floor 5 AQID",
            b"spanbufd/1",
            b"spanbufd/1 floor 5",
            b"spanbufd/1 floor 5 A",
            b"spanbufd/1 floor 5 A=B",
            b"spanbufd/1 flour 5 AQID",
            b"spanbufd/1 floor 5 AQID mark",
        ];
        for bytes in foreign {
            assert_eq!(parse(bytes, Offset(5)), None);
        }
    }
}
