//! Log lines: their form, and what reaches the stream when processes share or lose it.
//!
//! What needs a standard error of its own runs in a child: this test binary again, told by
//! its arguments to run one ignored test.

use super::*;
use std::fs::File;
use std::io::{BufRead, Read};
use std::process::{Command, Stdio};

fn formatted(journal: bool, level: Level, target: &str, message: &str) -> String {
    let args = format_args!("{message}");
    let record = Record::builder().args(args).level(level).target(target).build();
    line(journal, &record).0
}

#[test]
fn an_event_is_one_line() {
    let text = formatted(true, Level::Warn, "spanbufd::worker", "a\nb\r\x1b[31m\tc\u{85}");
    assert_eq!(text, "<4>a\\nb\\r\\u{1b}[31m\\tc\\u{85}\n");
}

#[test]
fn text_has_time_and_level() {
    let text = formatted(false, Level::Info, "spanbufd", "up");
    let (stamp, rest) = text.split_once(' ').unwrap();
    assert!(date::parse_rfc3339(stamp).is_some(), "{text}");
    assert_eq!(rest, "INFO  up\n");
}

#[test]
fn foreign_targets_are_named() {
    let text = formatted(true, Level::Error, "librdkafka", "broker down");
    assert_eq!(text, "<3>librdkafka: broker down\n");
    let text = formatted(true, Level::Error, "librdkafka", "librdkafka: broker down");
    assert_eq!(text, "<3>librdkafka: broker down\n");
}

#[test]
fn long_lines_are_cut_at_a_character() {
    for pad in 0..4 {
        let message = format!("{}{}", "x".repeat(pad), "é\n".repeat(9_000));
        let text = formatted(true, Level::Info, "spanbufd", &message);
        assert!(text.len() <= LINE_BYTES_MAX && text.len() > LINE_BYTES_MAX - 10);
        assert!(text.ends_with("…\n"));
    }
}

#[test]
fn a_line_that_just_fits_is_whole() {
    let message = "x".repeat(LINE_BYTES_MAX - "<6>\n".len());
    let text = formatted(true, Level::Info, "spanbufd", &message);
    assert_eq!(text.len(), LINE_BYTES_MAX);
    assert!(text.ends_with("x\n"));
}

const LINES: usize = 200;

/// Not a test of its own: what the children of the tests below do.
#[test]
#[ignore = "run by other tests, as a child"]
fn child() {
    init(&Config::default());
    set_process("flusher/3");
    for number in 0..LINES {
        log::info!(target: "spanbufd::test", "{number} {}\nend", "x".repeat(2_000));
    }
    log::debug!("below the level");
    if std::env::var_os("EXPECT_LOST").is_some() {
        println!("full");
        // Until somebody reads again.
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while LOST_LINES.load(Ordering::Relaxed) > 0 && std::time::Instant::now() < deadline {
            log::info!(target: "spanbufd::test", "again");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn spawn_child(stderr: Stdio) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--ignored", "--nocapture", "command::log::tests::child"]);
    command.env_remove("JOURNAL_STREAM").stdout(Stdio::null()).stderr(stderr);
    command
}

/// A new file, opened for appending as a log is.
fn stream(name: &str) -> (std::path::PathBuf, File) {
    let path = std::env::temp_dir().join(format!("spanbufd-{name}-{}", std::process::id()));
    let file = File::options().create(true).append(true).open(&path).unwrap();
    (path, file)
}

fn take(path: &std::path::Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::remove_file(path).unwrap();
    text
}

#[test]
fn processes_that_share_a_stream_tear_no_line() {
    let (path, file) = stream("shared");
    let share = || Stdio::from(file.try_clone().unwrap());
    let mut children: Vec<_> = (0..4).map(|_| spawn_child(share()).spawn().unwrap()).collect();
    assert!(children.iter_mut().all(|child| child.wait().unwrap().success()));
    let text = take(&path);
    let whole = format!(" {}\\nend", "x".repeat(2_000));
    let is_whole = |line: &&str| line.contains("Z INFO  flusher/3: ") && line.ends_with(&whole);
    assert_eq!(text.lines().filter(is_whole).count(), 4 * LINES);
    assert_eq!(text.lines().count(), 4 * LINES, "nothing else, and nothing below the level");
}

#[test]
fn priorities_are_for_the_journal_itself() {
    let (path, file) = stream("journal");
    let stat = file.metadata().unwrap();
    let (dev, ino) = (stat.dev(), stat.ino());
    for (variable, prefix) in
        [(format!("{dev}:{ino}"), "<6>flusher/3: 0 "), (format!("{dev}:{}", ino + 1), "20")]
    {
        file.set_len(0).unwrap();
        let mut command = spawn_child(Stdio::from(file.try_clone().unwrap()));
        assert!(command.env("JOURNAL_STREAM", variable).status().unwrap().success());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(prefix), "{}", &text[..80.min(text.len())]);
    }
    take(&path);
}

#[test]
fn a_gone_reader_costs_lines_and_nothing_else() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    assert!(spawn_child(Stdio::from(writer)).status().unwrap().success());
}

#[test]
fn a_reader_that_comes_back_is_told_what_it_missed() {
    let mut command = spawn_child(Stdio::piped());
    let mut child = command.env("EXPECT_LOST", "1").stdout(Stdio::piped()).spawn().unwrap();
    let mut says = io::BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(says.by_ref().map_while(io::Result::ok).any(|line| line.contains("full")));
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    let words = " lines are missing here: nobody took them";
    let told: Vec<&str> = text.lines().filter(|line| line.ends_with(words)).collect();
    let [told] = told[..] else { panic!("not told once: {told:?}") };
    let missing: usize = told.trim_end_matches(words).rsplit(' ').next().unwrap().parse().unwrap();
    let again = text.lines().filter(|line| line.ends_with(": again")).count();
    let whole = text.lines().filter(|line| line.ends_with("\\nend")).count();
    // All that were logged while it did not read are there or counted; the first `again` that
    // finds room comes right after.
    assert!(told.contains("WARN  flusher/3: ") && missing + whole >= LINES && again > 0, "{told}");
}
