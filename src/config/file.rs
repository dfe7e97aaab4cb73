//! The configuration file: `key = value`, a line each, with the lines' numbers.
//!
//! No sections, no includes, no continuation. A line whose first character is `#` is a
//! comment; behind a value `#` belongs to the value, since passwords may hold one. What the
//! keys mean is not known here.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// Larger than any configuration; a device or a log given by mistake ends here.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// One setting of the file.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    pub number: usize,
    pub key: String,
    pub value: String,
}

/// Reads the file's settings, in order.
pub fn read(path: &Path) -> Result<Vec<Line>> {
    let shown = path.display();
    let refused = |why: String| Error::config(format!("cannot read configuration {shown}: {why}"));
    let file = File::open(path).map_err(|why| match why.kind() {
        ErrorKind::PermissionDenied => {
            refused(format!("{why}; run this as root, or as a user who may read it"))
        }
        _ => refused(why.to_string()),
    })?;
    let mut bytes = Vec::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    let size = read.map_err(|why| refused(why.to_string()))? as u64;
    if size > FILE_BYTES_MAX {
        return Err(refused(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    parse(&bytes).map_err(|(number, why)| Error::config(format!("{shown}:{number}: {why}")))
}

/// The settings in the file's bytes, or what is wrong in which line.
pub fn parse(bytes: &[u8]) -> std::result::Result<Vec<Line>, (usize, String)> {
    let mut settings = Vec::new();
    for (index, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let number = index + 1;
        let text = str::from_utf8(line).map_err(|_| (number, "is not UTF-8".to_owned()))?;
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (key, value) = text.split_once('=').ok_or_else(|| (number, no_separator(text)))?;
        if value.chars().chain(key.chars()).any(|c| c.is_control() && c != '\t') {
            return Err((number, format!("{} has a control character", key.trim().escape_debug())));
        }
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        if is_quoted(&value) {
            return Err((number, format!("{key} has quotes around its value; leave them out")));
        }
        settings.push(Line { number, key, value });
    }
    Ok(settings)
}

/// Elsewhere quotes are taken off; here they would become part of a name or a group.
fn is_quoted(value: &str) -> bool {
    let between = |quote| value.len() > 1 && value.starts_with(quote) && value.ends_with(quote);
    between('"') || between('\'')
}

/// Only the line's first word is shown: what follows may be a secret.
fn no_separator(line: &str) -> String {
    let word = line.split(|c: char| c == ':' || c.is_whitespace()).next().unwrap_or_default();
    format!("{word:?} has no '=' behind it; write KEY = VALUE, or # before a comment")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: usize, key: &str, value: &str) -> Line {
        Line { number, key: key.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn comments_blanks_and_line_ends() {
        let text = b"# first\n\n  timeout = 5\r\n\t# more\ngroup-id=a=b # c\ndead-letter-topic =";
        let expected = [
            line(3, "timeout", "5"),
            line(5, "group-id", "a=b # c"),
            line(6, "dead-letter-topic", ""),
        ];
        assert_eq!(parse(text).as_deref(), Ok(&expected[..]));
    }

    #[test]
    fn errors_name_their_line() {
        assert_eq!(parse(b"a = 1\ntimeout 5\n").map_err(|(n, _)| n), Err(2));
        assert_eq!(parse(b"\n\na = \xff\n").map_err(|(n, _)| n), Err(3));
        assert_eq!(parse(b"a = b\0c").map_err(|(n, _)| n), Err(1));
    }

    #[test]
    fn a_secret_without_its_equals_sign_is_not_repeated() {
        for text in ["redis-url redis://:hunter2@h/0", "redis-url:redis://:hunter2@h/0"] {
            let why = parse(text.as_bytes()).err().map_or(String::new(), |(_, why)| why);
            assert!(why.starts_with("\"redis-url\" has no '='"), "{why}");
            assert!(!why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn any_bytes_are_answered() {
        let mut state = 1u32;
        for _ in 0..2_000 {
            let mut bytes = Vec::new();
            for _ in 0..40 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                bytes.push(b"\n=# a\x00\xc3\x28\r\t"[(state >> 24) as usize % 10]);
            }
            if let Err((number, _)) = parse(&bytes) {
                assert!(number >= 1 && number <= bytes.split(|b| *b == b'\n').count());
            }
        }
    }
}
