//! Loading: precedence, origins, and what is refused with which words.

use super::*;
use crate::error::Kind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A file that is removed when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(text: &str) -> Scratch {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "spanbufd-load-{}-{}.conf",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn load_with(file: &str, environment: &[(&str, &str)], flags: &[&str]) -> Result<Loaded> {
    let scratch = Scratch::new(file);
    let mut args = vec!["--config".to_owned(), scratch.0.display().to_string()];
    args.extend(flags.iter().map(|flag| flag.to_string()));
    let environment = environment.iter().map(|(name, text)| (name.to_string(), text.to_string()));
    load(&args, Options::new(), Accepts::All, environment)
}

fn refusal(file: &str, environment: &[(&str, &str)], flags: &[&str]) -> (Kind, String) {
    let error = load_with(file, environment, flags).err().expect("must be refused");
    (error.kind(), error.to_string())
}

fn origin_of(loaded: &Loaded, name: &str) -> Origin {
    loaded.settings.iter().find(|setting| setting.row.name == name).unwrap().origin.clone()
}

#[test]
fn flag_over_environment_over_file_over_default() {
    let file = "timeout = 11\nroot-timeout = 1\nmax-restarts = 3\n";
    let environment = [("SPANBUFD_TIMEOUT", "12"), ("SPANBUFD_ROOT_TIMEOUT", "2")];
    let loaded = load_with(file, &environment, &["--timeout", "13"]).unwrap();
    assert_eq!(loaded.config.timeout, Duration::from_secs(13));
    assert_eq!(loaded.config.root_timeout, Duration::from_secs(2));
    assert_eq!(loaded.config.max_restarts, 3);
    assert_eq!(loaded.config.redis_ttl, Duration::from_secs(3_600));

    assert_eq!(origin_of(&loaded, "timeout"), Origin::Flag("timeout"));
    let from = Origin::Environment("SPANBUFD_ROOT_TIMEOUT".into());
    assert_eq!(origin_of(&loaded, "root-timeout"), from);
    assert!(matches!(origin_of(&loaded, "max-restarts"), Origin::File { line: 3, .. }));
    assert_eq!(origin_of(&loaded, "redis-ttl"), Origin::Default);
}

#[test]
fn properties_are_merged_one_by_one() {
    let file = "kafka = linger.ms=5\nkafka = debug=all\n";
    let environment = [("SPANBUFD_KAFKA", "debug=cgrp\nsasl.password=a b=c\n")];
    let loaded = load_with(file, &environment, &["--kafka=linger.ms=7"]).unwrap();
    let mut pairs = loaded.config.kafka.clone();
    pairs.sort();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = [pair("debug", "cgrp"), pair("linger.ms", "7"), pair("sasl.password", "a b=c")];
    assert_eq!(pairs, expected);
    let shown = loaded.settings.iter().filter(|setting| setting.row.name == "kafka");
    assert_eq!(shown.count(), 3);
}

#[test]
fn an_empty_property_takes_away_those_of_earlier_sources() {
    let loaded = load_with("kafka = linger.ms=5\n", &[], &["--kafka="]).unwrap();
    assert!(loaded.config.kafka.is_empty());
    let loaded = load_with("kafka =\nkafka = linger.ms=5\n", &[], &[]).unwrap();
    assert_eq!(loaded.config.kafka.len(), 1);
}

#[test]
fn an_empty_value_is_none_where_there_is_one() {
    let loaded = load_with("dead-letter-topic = letters", &[], &["--dead-letter-topic="]).unwrap();
    assert_eq!(loaded.config.dead_letter_topic, None);
    let (kind, message) = refusal("input-topic =\n", &[], &[]);
    assert_eq!(kind, Kind::Config);
    assert!(message.contains(".conf:1: input-topic = (nothing) is no name"), "{message}");
}

#[test]
fn a_wrong_value_is_refused_where_it_stands() {
    for (file, line, words) in [
        ("\nflusher-processes = 0\n", 2, "write auto"),
        ("timeout = 1\nroot-timout = 5\n", 2, "did you mean root-timeout?"),
        ("timeout = 1\n\ntimeout = 2\n", 3, "set twice"),
        ("kafka = linger.ms=1\nkafka = linger.ms=2\n", 2, "set twice"),
        ("ingest-workers = 65\n", 1, "from 1 to 64"),
        ("max-batch-bytes = 10\n", 1, "from 1KiB to 256MiB"),
        ("timeout = 1 # second\n", 1, "number of seconds"),
        ("kafka-consumer = group.id=x\n", 1, "group-id"),
        ("kafka = enable.auto.commit=true\n", 1, "not yours to set"),
        ("redis-url = http://h\n", 1, "redis://"),
        ("redis-url = rediss://h\n", 1, "asks for TLS"),
        ("redis-url = redis-sentinel://h\n", 1, "asks for Sentinel"),
        ("redis-url = redis://\n", 1, "names no server"),
        ("redis-url = unix://run/redis\n", 1, "names no socket"),
        ("namespace = a{b}\n", 1, "is no name"),
        ("bootstrap-servers = kafka\n", 1, "HOST:PORT"),
        ("log-level = loud\n", 1, "is not one of off, error"),
        ("nonsense\n", 1, "has no '='"),
        ("output-topic = ingest-spans\n", 1, "must not be the same topic"),
        ("instance = a\nroot-timeout = 601\n", 2, "max-segment-age (default)"),
        ("max-segment-age = 5\n", 1, "clashes with timeout (default)"),
    ] {
        let (kind, message) = refusal(file, &[], &[]);
        assert_eq!(kind, Kind::Config, "{file}");
        assert!(message.contains(&format!(".conf:{line}: ")), "{message}");
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn an_overridden_value_must_be_valid_too() {
    let (kind, message) = refusal("timeout = x\n", &[], &["--timeout", "5"]);
    assert_eq!(kind, Kind::Config);
    assert!(message.contains(".conf:1: timeout = x"), "{message}");
}

#[test]
fn flags_and_environment_are_named() {
    let (kind, message) = refusal("", &[], &["--flusher-processes", "0"]);
    assert_eq!(kind, Kind::Config);
    assert!(message.starts_with("flag --flusher-processes: "), "{message}");
    let (_, message) = refusal("", &[("SPANBUFD_MAX_SHARDS", "0")], &[]);
    assert!(message.starts_with("environment SPANBUFD_MAX_SHARDS: "), "{message}");
    let (_, message) = refusal("", &[("SPANBUFD_ROOT_TIMOUT", "1")], &[]);
    assert!(message.ends_with("did you mean SPANBUFD_ROOT_TIMEOUT?"), "{message}");
    let (_, message) = refusal("", &[], &["--timeout=1", "--timeout=2"]);
    assert!(message.contains("timeout is set twice"), "{message}");
    assert!(refusal("", &[("SPANBUFD_CONFIG", "/x")], &[]).1.contains("--config only"));
    assert!(load_with("", &[("SPANBUFD_SERVICE_HOST", "x")], &[]).is_ok());
}

#[test]
fn unknown_flags_are_usage_errors() {
    let (kind, message) = refusal("", &[], &["--root-timout", "5"]);
    assert_eq!(kind, Kind::Usage);
    assert_eq!(message, "unknown option --root-timout; did you mean --root-timeout?");
    assert_eq!(refusal("", &[], &["--timeout"]).0, Kind::Usage);
    let args = ["--group-id".to_owned(), "x".to_owned()];
    let error = load(&args, Options::new(), Accepts::Only(&["timeout"]), []).err().unwrap();
    assert_eq!(error.to_string(), "option --group-id does not belong to this command");
}

#[test]
fn secrets_are_refused_as_flags_and_never_repeated() {
    for flag in ["--redis-url=redis://:hunter2@h/0", "--kafka=sasl.password=hunter2"] {
        let (kind, message) = refusal("", &[], &[flag]);
        assert_eq!(kind, Kind::Config);
        assert!(message.contains("secret") && !message.contains("hunter2"), "{message}");
    }
    let (_, message) = refusal("redis-url = redis://:hunter2@h/ 0\n", &[], &[]);
    assert!(message.contains(":***@h") && !message.contains("hunter2"), "{message}");
    for line in ["kafka = sasl.password hunter2\n", "kafka = sasl.pasword: hunter2\n"] {
        let (_, message) = refusal(line, &[], &[]);
        assert!(message.contains("***") && !message.contains("hunter2"), "{message}");
    }
    let file = "redis-url = redis://:hunter2@h/0\nkafka = debug=all\nkafka = ssl.key.pem=hunter2\n";
    let shown = format!("{:?}", load_with(file, &[], &[]).unwrap().config);
    assert!(shown.contains(":***@h") && shown.contains("ssl.key.pem=***"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn what_is_shown_can_be_loaded_again() {
    let file = "timeout = 0.25\nmax-index-bytes = 3GiB\npartitions = 4-7,0\nkafka = a.b=c=d\n\
                start-from = 2026-01-31T12:00:00+01:00\nflusher-processes = auto\n";
    let first = load_with(file, &[], &[]).unwrap();
    let lines = first.settings.iter().filter(|setting| !setting.value.is_empty());
    let text: String =
        lines.map(|setting| format!("{} = {}\n", setting.row.name, setting.value)).collect();
    let second = load_with(&text, &[], &[]).unwrap();
    assert_eq!(format!("{:?}", first.config), format!("{:?}", second.config));
}

#[test]
fn secrets_that_everyone_may_read_are_warned_of() {
    let scratch = Scratch::new("redis-url = redis://:pw@h/0\n");
    let args = ["--config".to_owned(), scratch.0.display().to_string()];
    let warnings = |mode| {
        std::fs::set_permissions(&scratch.0, std::fs::Permissions::from_mode(mode)).unwrap();
        load(&args, Options::new(), Accepts::All, []).unwrap().warnings
    };
    assert_eq!(warnings(0o640).len(), 0);
    assert!(warnings(0o644)[0].contains("chmod o-r"));
    assert!(load_with("timeout = 5\n", &[], &[]).unwrap().warnings.is_empty());
}

#[test]
fn a_credential_stands_in_for_the_default_only() {
    let folder = std::env::temp_dir().join(format!("spanbufd-credential-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let environment = [("CREDENTIALS_DIRECTORY", folder.to_str().unwrap())];
    let option = "redis-password-file";

    let loaded = load_with("", &environment, &[]).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(loaded.config.redis_password_file, None, "there is no such credential");
    std::fs::write(folder.join("redis-password"), "pw\n").unwrap();
    let loaded = load_with("", &environment, &[]).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(loaded.config.redis_password().ok().flatten().as_deref(), Some("pw"));
    assert_eq!(origin_of(&loaded, option).to_string(), "environment CREDENTIALS_DIRECTORY");
    let other = load_with("redis-password-file = /x", &environment, &[]);
    assert_eq!(other.ok().and_then(|l| l.config.redis_password_file), Some("/x".into()));
    let none = load_with("redis-password-file =", &environment, &[]);
    assert_eq!(none.ok().and_then(|l| l.config.redis_password_file), None);
    let clash = refusal("redis-url = redis://:pw@h/0", &environment, &[]);
    assert!(clash.1.contains("environment CREDENTIALS_DIRECTORY"), "{}", clash.1);
    let _ = std::fs::remove_dir_all(&folder);
}
