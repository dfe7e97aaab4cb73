//! Replays the inputs that fuzzing found worth keeping: tests/fuzz/README.md.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "fuzz/targets.rs"]
mod targets;

/// Runs a target on every file of its corpus, and on every beginning of it.
fn replay(name: &str, target: fn(&[u8])) {
    let folder = format!("{}/tests/fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap_or_else(|why| panic!("{folder}: {why}")) {
        let data = std::fs::read(entry.unwrap().path()).unwrap();
        target(&data);
        for cut in 0..data.len().min(64) {
            target(&data[..cut]);
        }
        count += 1;
    }
    assert!(count > 5, "{folder} holds {count} inputs");
}

#[test]
fn messages() {
    replay("span", targets::span);
}

#[test]
fn batches() {
    replay("batch", targets::batch);
}

#[test]
fn bodies() {
    replay("splice", targets::splice);
}

#[test]
fn configurations() {
    replay("config", targets::config);
}
