//! What must not be seen.
//!
//! A secret may stand in the file or in the environment, never on the command line, where
//! `ps` shows it to everyone; and it is masked wherever the program prints it.

use super::Config;
use crate::error::{Error, Result};
use std::path::Path;

const MASK: &str = "***";

/// Whether a librdkafka property, in any case of letters, holds a password or a private key.
fn is_secret_property(property: &str) -> bool {
    let property = property.to_ascii_lowercase();
    let endings = ["password", "passphrase", "secret", "private.key.pem", "ssl.key.pem"];
    endings.iter().any(|ending| property.ends_with(ending)) || property == "sasl.oauthbearer.config"
}

/// The text of an option as it may be shown.
pub fn mask(name: &str, text: &str) -> String {
    match name {
        "redis-url" => mask_url(text),
        "kafka" | "kafka-consumer" | "kafka-producer" => mask_property(text),
        _ => text.to_owned(),
    }
}

/// Whether the text of an option holds a secret.
pub fn is_secret(name: &str, text: &str) -> bool {
    match name {
        "kafka" | "kafka-consumer" | "kafka-producer" => {
            let (property, value) = split_property(text);
            is_secret_property(property) && !value.is_empty()
        }
        _ => mask(name, text) != text,
    }
}

/// What is not written as PROP=VALUE is masked whatever its name: it is shown in a message about
/// just that, and who forgets the '=' may have misspelt the name.
fn mask_property(text: &str) -> String {
    let (property, value) = split_property(text);
    let written_well = text.split_once('=').is_some_and(|(name, _)| name.trim() == property);
    let secret = is_secret_property(property);
    match (value.is_empty(), written_well) {
        (true, _) => text.to_owned(),
        (_, true) if !secret => text.to_owned(),
        (_, true) => format!("{property}={MASK}"),
        (_, false) => format!("{property} {MASK}"),
    }
}

/// The first word, and what stands behind whatever ends it.
fn split_property(text: &str) -> (&str, &str) {
    let ends = |c: char| c == '=' || c == ':' || c.is_whitespace();
    let text = text.trim();
    let (property, value) = text.split_at(text.find(ends).unwrap_or(text.len()));
    (property, value.trim_start_matches(ends))
}

/// `redis://user:***@host/0`, `unix:///path?pass=***`. What looks like a password by a
/// generous reading is masked: an '@' inside a password must not show its tail.
fn mask_url(text: &str) -> String {
    let shown = mask_authority(text);
    let Some((place, query)) = shown.split_once('?') else { return shown };
    let parts: Vec<String> = query.split('&').map(mask_parameter).collect();
    format!("{place}?{}", parts.join("&"))
}

fn mask_authority(place: &str) -> String {
    let is_scheme = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+');
    let scheme = place.find("://").filter(|at| is_scheme(&place[..*at]));
    let start = scheme.map_or(0, |at| at + 3);
    let rest = &place[start..];
    let colon = rest.rfind('@').and_then(|at| Some((rest[..at].find(':')?, at)));
    match colon {
        Some((colon, at)) if colon + 1 < at => {
            format!("{}{}:{MASK}{}", &place[..start], &rest[..colon], &rest[at..])
        }
        _ => place.to_owned(),
    }
}

fn mask_parameter(parameter: &str) -> String {
    match parameter.split_once('=') {
        Some((name, value)) if name.to_ascii_lowercase().contains("pass") && !value.is_empty() => {
            format!("{name}={MASK}")
        }
        _ => parameter.to_owned(),
    }
}

impl Config {
    /// Redis's URL with its password masked: for logs and messages.
    pub fn redis_url_masked(&self) -> String {
        mask_url(&self.redis_url)
    }

    /// The password in `redis-password-file`; `None` without the option.
    pub fn redis_password(&self) -> Result<Option<String>> {
        let path = self.redis_password_file.as_ref();
        path.map(|path| read_password(path).map_err(Error::around_config)).transpose()
    }
}

/// The only line of the file, without its end.
pub fn read_password(path: &Path) -> std::result::Result<String, String> {
    let what = format!("cannot read redis-password-file {}", path.display());
    let text = std::fs::read_to_string(path).map_err(|why| format!("{what}: {why}"))?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.contains('\n') {
        return Err(format!("{what}: it must hold one line, the password"));
    }
    Ok(password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_masked() {
        for (text, shown) in [
            ("redis://h:6379/0", "redis://h:6379/0"),
            ("redis://user@h/0", "redis://user@h/0"),
            ("redis://:pw@h:6379/0", "redis://:***@h:6379/0"),
            ("rediss://user:p@w@h/0", "rediss://user:***@h/0"),
            ("redis://u:pa/ss@h/0", "redis://u:***@h/0"),
            ("redis://u:p?q@h/0", "redis://u:***@h/0"),
            ("redis:/:pw@h/0?next=redis://u:pw@h", "redis:***@h"),
            ("unix:///s?user=a@b&pass=pw", "unix:///s?user=a@b&pass=***"),
            ("unix:///s?db=1&pass=pw", "unix:///s?db=1&pass=***"),
        ] {
            assert_eq!(mask("redis-url", text), shown, "{text}");
        }
    }

    #[test]
    fn secret_properties_are_masked() {
        assert_eq!(mask("kafka", "sasl.password=x"), "sasl.password=***");
        assert_eq!(mask("kafka", "linger.ms=5"), "linger.ms=5");
        assert!(is_secret("kafka-producer", "ssl.key.pem=---"));
        assert!(is_secret("kafka", "sasl.oauthbearer.client.secret=x"));
        assert!(!is_secret("kafka", "sasl.password="));
        assert!(is_secret("kafka", "SASL.password x") && !is_secret("kafka", "linger.ms 5"));
        assert_eq!(mask("kafka", "linger.ms = 5"), "linger.ms = 5");
        assert_eq!(mask("kafka", "sasl.password = x"), "sasl.password=***");
        for text in ["sasl.password x", "sasl.password:x", "sasl.password x==", "sasl.password\t=x"]
        {
            assert!(!mask("kafka", text).contains('x'), "{text}: {}", mask("kafka", text));
        }
        assert_eq!(mask("kafka", "sasl.pasword x"), "sasl.pasword ***");
        assert!(!is_secret("group-id", "sasl.password=x"));
    }
}
