//! Values: every parser's edges, and that parsing what was printed is the identity.

use super::*;

/// A small deterministic generator, so that a failure can be repeated.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn seconds_have_decimals_and_nothing_else() {
    assert_eq!(seconds("60"), Ok(Duration::from_secs(60)));
    assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
    assert_eq!(seconds("1.000000001"), Ok(Duration::new(1, 1)));
    for text in ["", "-1", "+1", "1e3", "10s", ".5", "5.", "1.0000000001", "1.2.3", "NaN", " 1"] {
        assert!(seconds(text).is_err(), "{text}");
    }
    assert!(seconds("99999999999999999999").is_err());
}

#[test]
fn sizes_have_binary_suffixes() {
    assert_eq!(size("10MiB"), Ok(10 << 20));
    assert_eq!(size("10 MiB"), Ok(10 << 20));
    assert_eq!(size("1GiB"), Ok(1 << 30));
    assert_eq!(size("4096"), Ok(4096));
    for text in ["", "10MB", "10m", "MiB", "-1", "1.5GiB", "10MiBMiB", "10mib"] {
        assert!(size(text).is_err(), "{text}");
    }
    assert!(size("18446744073709551615GiB").is_err());
}

#[test]
fn flushers_are_a_number_or_auto() {
    assert_eq!(flushers("auto"), Ok(Flushers::Auto));
    assert_eq!(flushers("16"), Ok(Flushers::Fixed(16)));
    for text in ["0", "00", "", "-1", "Auto", "4294967296"] {
        assert!(flushers(text).is_err(), "{text}");
    }
}

#[test]
fn start_from_is_a_word_or_a_time() {
    assert_eq!(start_from("earliest"), Ok(StartFrom::Earliest));
    assert_eq!(start_from("latest"), Ok(StartFrom::Latest));
    assert_eq!(start_from("1500"), Ok(StartFrom::Time(1500)));
    assert_eq!(start_from("1970-01-01T00:00:01.5Z"), Ok(StartFrom::Time(1500)));
    for text in ["", "oldest", "yesterday", "-5", "1969-01-01T00:00:00Z"] {
        assert!(start_from(text).is_err(), "{text}");
    }
}

#[test]
fn partitions_are_numbers_and_ranges() {
    assert_eq!(partitions("0,1,4-7"), Ok(vec![0, 1, 4, 5, 6, 7]));
    assert_eq!(partitions(" 3 , 1 "), Ok(vec![1, 3]));
    let far = "0-4294967295";
    for text in ["", "a", "1,,2", "7-4", "1,1", "0-3,2", "-1", "1-", "2147483648", far] {
        assert!(partitions(text).is_err(), "{text}");
    }
    assert!(partitions("0-2147483647").is_err());
}

#[test]
fn compression_has_a_level() {
    assert_eq!(compression("none"), Ok(Compression::None));
    assert_eq!(compression("zstd:-5"), Ok(Compression::Zstd(-5)));
    for text in ["zstd", "zstd:", "zstd:20", "zstd:x", "lz4", ""] {
        assert!(compression(text).is_err(), "{text}");
    }
}

#[test]
fn a_property_is_split_at_its_first_equals_sign() {
    let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
    assert_eq!(property("linger.ms=5"), pair("linger.ms", "5"));
    assert_eq!(property("sasl.password = a=b "), pair("sasl.password", "a=b"));
    assert_eq!(property("debug="), pair("debug", ""));
    for text in ["linger.ms", "=5", "Linger=5", "a b=5", ""] {
        assert!(property(text).is_err(), "{text}");
    }
}

#[test]
fn what_is_printed_is_parsed_to_the_same() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for _ in 0..2_000 {
        let (n, shift) = (numbers.next(), numbers.next() % 64);
        let time = Duration::new(n >> shift, (numbers.next() % 1_000_000_000) as u32);
        assert_eq!(seconds(&print_seconds(time)), Ok(time));
        let coarse = Duration::from_millis(n % 100_000);
        assert_eq!(seconds(&print_seconds(coarse)), Ok(coarse));

        let bytes = (n >> shift) & !((1 << (numbers.next() % 40)) - 1);
        assert_eq!(size(&print_size(bytes)), Ok(bytes));

        let at = StartFrom::Time((n >> (shift | 1)) as i64);
        assert_eq!(start_from(&print_start_from(at)), Ok(at));

        let processes = Flushers::Fixed((n as u32).max(1));
        assert_eq!(flushers(&print_flushers(processes)), Ok(processes));

        let level = Compression::Zstd((n % 27) as i32 - 7);
        assert_eq!(compression(&print_compression(level)), Ok(level));

        let list: Vec<u32> = (0..64).filter(|bit| n >> bit & 1 == 1).collect();
        if !list.is_empty() {
            assert_eq!(partitions(&print_partitions(&list)), Ok(list));
        }
    }
}
