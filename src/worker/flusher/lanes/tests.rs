//! Who is given what: the living, the dead, and those of which it is not known.

use super::*;
use crate::segment::index::{DueSegment, Reason};
use crate::segment::{EventMs, ShardId};
use crate::worker::flusher::flight::{FLIGHT_BYTES, Flight, Flights, Ticket};
use crate::worker::flusher::{IN_FLIGHT_BYTES_MAX, STUCK_BYTES_MAX};

const NOW: Duration = Duration::from_secs(100);

fn led(partitions: &[u32]) -> Vec<(u32, bool)> {
    partitions.iter().map(|partition| (*partition, true)).collect()
}

fn lanes(partitions: &[u32]) -> Lanes {
    let mut lanes = Lanes::default();
    lanes.know(&led(partitions), NOW);
    lanes
}

fn give(lanes: &mut Lanes, bytes: usize, alone: bool) -> Option<u32> {
    lanes.give(bytes, alone, NOW)
}

fn fill(lanes: &mut Lanes) -> Option<u32> {
    give(lanes, REQUEST_BYTES, false)
}

#[test]
fn without_knowledge_the_client_chooses() {
    let mut lanes = Lanes::default();
    assert!(lanes.takes(false));
    assert_eq!(give(&mut lanes, 1, false), None);
    lanes.acknowledged(None, NOW);
    assert!(lanes.takes(false));
}

#[test]
fn what_fits_into_a_request_goes_to_one_partition_and_the_rest_to_the_next() {
    let mut lanes = lanes(&[4, 7]);
    let first = give(&mut lanes, REQUEST_BYTES / 2, false);
    assert_eq!(give(&mut lanes, REQUEST_BYTES / 2, false), first);
    let second = fill(&mut lanes);
    assert_ne!(second, first);
    assert!(!lanes.takes(false), "{lanes:?}");
    // The rest of a segment does not wait.
    assert_eq!(fill(&mut lanes), second);
}

#[test]
fn a_partition_takes_more_only_when_all_is_acknowledged() {
    let mut lanes = lanes(&[0]);
    let (a, b) = (give(&mut lanes, 1, false), give(&mut lanes, 1, false));
    assert!(lanes.takes(false));
    lanes.end_request();
    assert!(!lanes.takes(false));
    lanes.acknowledged(a, NOW);
    assert!(!lanes.takes(false));
    lanes.failed(b);
    assert!(lanes.takes(false));
}

#[test]
fn alone_a_request_is_a_message() {
    let mut lanes = lanes(&[0]);
    for _ in 0..REQUEST_ALONE {
        assert!(lanes.takes(true));
        give(&mut lanes, 1, true);
    }
    assert!(!lanes.takes(true));
    assert!(lanes.takes(false));
}

#[test]
fn partitions_that_are_added_are_free_and_those_that_stay_remember() {
    let mut lanes = lanes(&[0]);
    assert_eq!(fill(&mut lanes), Some(0));
    lanes.know(&led(&[0, 1]), NOW);
    assert_eq!(fill(&mut lanes), Some(1));
    assert!(!lanes.takes(false));
}

#[test]
fn a_partition_that_comes_back_still_has_what_it_was_given() {
    let mut lanes = lanes(&[0]);
    let (a, b) = (give(&mut lanes, 1, false), give(&mut lanes, 1, false));
    lanes.know(&led(&[]), NOW);
    assert!(lanes.next_idle().is_none());
    lanes.acknowledged(a, NOW);
    lanes.know(&led(&[0]), NOW);
    lanes.end_request();
    assert!(!lanes.takes(false), "it has one still");
    lanes.acknowledged(b, NOW);
    assert_eq!(give(&mut lanes, 1, false), Some(0));
    lanes.know(&led(&[]), NOW);
    lanes.acknowledged(Some(0), NOW);
    lanes.know(&led(&[]), NOW);
    assert_eq!(give(&mut lanes, 1, false), None, "it is gone");
}

/// One that lost its leader while it had something, which is returned.
fn stuck_without_leader() -> (Lanes, Option<u32>) {
    let mut lanes = lanes(&[0]);
    let given = give(&mut lanes, 1, false);
    lanes.end_request();
    lanes.look_for_stuck(NOW + STUCK_AFTER);
    lanes.know(&[(0, false)], NOW);
    (lanes, given)
}

#[test]
fn who_acknowledges_has_a_leader_whatever_was_last_heard() {
    let (mut lanes, given) = stuck_without_leader();
    assert!(lanes.lack_leaders());
    lanes.acknowledged(given, NOW);
    assert!(lanes.takes(false) && !lanes.lack_leaders(), "{lanes:?}");
}

#[test]
fn who_lost_what_it_had_without_a_leader_is_asked_for_still() {
    let (mut lanes, given) = stuck_without_leader();
    lanes.failed(given);
    assert!(!lanes.takes(false) && lanes.lack_leaders(), "{lanes:?}");
    lanes.know(&led(&[0]), NOW);
    assert!(lanes.takes(false) && !lanes.lack_leaders(), "{lanes:?}");
}

#[test]
fn what_is_given_for_a_request_stays_with_its_partition_when_others_are_added() {
    let mut lanes = lanes(&[3, 5]);
    let first = give(&mut lanes, 1, false);
    lanes.know(&led(&[1, 3, 5, 7]), NOW);
    assert_eq!(give(&mut lanes, 1, false), first);
    assert!(lanes.end_request());
}

#[test]
fn who_is_stuck_leaves_one_message_to_each_that_may_be_as_well_and_all_to_the_living() {
    let mut lanes = lanes(&[0, 1, 2, 3, 4]);
    let stuck = (fill(&mut lanes), fill(&mut lanes));
    let now = NOW + STUCK_AFTER;
    assert!(lanes.look_for_stuck(now) && !lanes.others_live());
    assert!(lanes.is_stuck(stuck.0, now) && lanes.is_stuck(stuck.1, now));
    // All others are tried at once, with one message each, and one of them lives.
    let tried = [(); 3].map(|()| lanes.give(1, false, now));
    assert!(!lanes.takes(false), "{lanes:?}");
    let [living, dead @ ..] = tried;
    lanes.acknowledged(living, now);
    lanes.look_for_stuck(now);
    assert!(lanes.others_live());
    // It is given whole requests from then on, beside one that was silent and is tried.
    let now = now + STUCK_AFTER;
    [stuck.0, stuck.1].into_iter().for_each(|stuck| lanes.failed(stuck));
    assert!(lanes.look_for_stuck(now) && dead.iter().all(|dead| lanes.is_stuck(*dead, now)));
    let again = lanes.give(1, false, now);
    assert!(again == stuck.0 || again == stuck.1, "{lanes:?}");
    assert_eq!([(); 2].map(|()| lanes.give(1, false, now)), [living, living]);
    assert!(lanes.end_request() && !lanes.takes(false), "{lanes:?}");
    // When all have acknowledged, nobody is on trial.
    for partition in [living, living, again, dead[0], dead[1]] {
        lanes.acknowledged(partition, now);
    }
    let last = lanes.give(1, false, now);
    assert!(again != last && (last == stuck.0 || last == stuck.1), "{lanes:?}");
    lanes.acknowledged(last, now);
    assert!(!lanes.look_for_stuck(now) && lanes.silent_for(Duration::ZERO, now).is_empty());
    assert!(lanes.give(1, false, now).is_some() && lanes.takes(false));
}

#[test]
fn who_was_silent_is_tried_again_when_it_has_nothing_left_and_said_until_it_answers() {
    let mut lanes = lanes(&[0, 1]);
    let silent = give(&mut lanes, 1, false);
    let now = NOW + STUCK_AFTER;
    lanes.look_for_stuck(now);
    lanes.failed(silent);
    assert!(!lanes.look_for_stuck(now));
    // It has no leader, then it has one again.
    lanes.know(&[0, 1].map(|partition| (partition, Some(partition) != silent)), now);
    assert_ne!(lanes.give(1, false, now), silent);
    lanes.end_request();
    lanes.know(&led(&[0, 1]), now);
    assert_eq!(lanes.silent_for(STUCK_AFTER, now), Vec::from_iter(silent));
    assert_eq!(lanes.give(1, false, now), silent);
    assert!(!lanes.takes(false));
    lanes.acknowledged(silent, now);
    assert!(lanes.silent_for(Duration::ZERO, now).is_empty());
    assert_eq!((lanes.give(1, false, now), lanes.takes(false)), (silent, true));
}

#[test]
fn all_hang_while_one_is_stuck_nobody_acknowledges_and_kafka_does_not_answer() {
    let mut lanes = lanes(&[0, 1, 2]);
    let stuck = give(&mut lanes, 1, false);
    lanes.end_request();
    lanes.is_answered = true;
    let now = NOW + STUCK_AFTER;
    assert!(lanes.look_for_stuck(now) && lanes.all_hang(), "{lanes:?}");
    // An answer tells that it is that one alone, as does what others acknowledge.
    lanes.is_answered = true;
    assert!(lanes.look_for_stuck(now) && !lanes.all_hang(), "{lanes:?}");
    lanes.is_answered = false;
    let living = lanes.give(1, false, now);
    assert!(lanes.all_hang(), "{lanes:?}");
    lanes.acknowledged(living, now);
    assert!(!lanes.all_hang(), "{lanes:?}");
    // Where each is stuck, no answer counts.
    let rest = [(); 2].map(|()| {
        lanes.end_request();
        lanes.give(1, false, now)
    });
    lanes.look_for_stuck(now + STUCK_AFTER);
    lanes.is_answered = true;
    assert!(rest[0] != rest[1] && lanes.all_hang(), "{lanes:?}");
    lanes.acknowledged(stuck, now);
    assert!(!lanes.all_hang(), "{lanes:?}");
}

const SEGMENT_BYTES: u64 = 1 << 20;

fn segment() -> Flight {
    let due = DueSegment {
        segment: None,
        reason: Reason::Age,
        due_ms: EventMs(0),
        letters_below: None,
        delivered_below: None,
        spans: 1,
        bytes: SEGMENT_BYTES - FLIGHT_BYTES,
        chunks: Vec::new(),
    };
    Flight::new(ShardId(0), 0, due)
}

/// What is in flight when from then on all was given that goes, for as long as messages wait.
fn bytes_when_all_hang(lanes: &mut Lanes, flights: &mut Flights, then: Duration) -> u64 {
    for waits in 0..300 {
        let now = then + Duration::from_secs(waits);
        flights.look_for_stuck(lanes, now);
        while flights.have_room() && lanes.takes(false) {
            let (number, bytes) = (flights.ticket(), SEGMENT_BYTES as usize);
            let partition = lanes.give(bytes, false, now);
            let mut flight = segment();
            flight.tickets.push(Ticket { number, bytes, sent_alone: false, partition });
            flights.launch(flight);
        }
    }
    flights.bytes()
}

#[test]
fn an_output_that_hangs_holds_no_more_than_the_tries_also_where_the_living_die() {
    let all: Vec<u32> = (0..300).collect();
    let (mut lanes, mut flights) = (lanes(&all), Flights::new(SEGMENT_BYTES));
    let tried = bytes_when_all_hang(&mut lanes, &mut flights, NOW);
    let most = STUCK_BYTES_MAX + IN_FLIGHT_BYTES_MAX + SEGMENT_BYTES;
    assert!((STUCK_BYTES_MAX..=most).contains(&tried), "{tried} of {most} bytes");
    assert!(flights.have_room() && !lanes.takes(false));
    // Who turns out to live gets more; when all these die, it is no more than may be moving.
    let then = NOW + Duration::from_secs(300);
    (200..300).for_each(|partition| lanes.acknowledged(Some(partition), then));
    let with_others = bytes_when_all_hang(&mut lanes, &mut flights, then);
    let most = most + IN_FLIGHT_BYTES_MAX + SEGMENT_BYTES;
    let least = tried + IN_FLIGHT_BYTES_MAX;
    assert!((least..=most).contains(&with_others), "{with_others} of {most} bytes");
    assert!(!flights.have_room() && lanes.takes(false), "others live, for all that is known");
}

#[test]
fn while_nobody_is_tried_the_living_get_all_and_the_dead_nothing() {
    let mut lanes = lanes(&[0, 1, 2]);
    let stuck = fill(&mut lanes);
    let now = NOW + STUCK_AFTER;
    lanes.look_for_stuck(now);
    lanes.may_try(false);
    assert!(!lanes.takes(false), "{lanes:?}");
    let living = (0..3).find(|partition| Some(*partition) != stuck);
    lanes.acknowledged(living, now);
    assert_eq!(lanes.give(1, false, now), living);
    lanes.end_request();
    assert!(!lanes.takes(false), "{lanes:?}");
    lanes.may_try(true);
    assert!(lanes.takes(false), "{lanes:?}");
}

#[test]
fn what_the_client_chose_is_stuck_when_partitions_are_known_for_a_while() {
    let mut lanes = Lanes::default();
    assert_eq!(give(&mut lanes, 1, false), None);
    assert!(!lanes.look_for_stuck(NOW + STUCK_AFTER), "nobody else could take it");
    lanes.know(&led(&[0]), NOW);
    assert!(!lanes.look_for_stuck(NOW) && lanes.look_for_stuck(NOW + STUCK_AFTER));
    assert!(lanes.is_stuck(None, NOW + STUCK_AFTER));
    lanes.failed(None);
    assert!(!lanes.look_for_stuck(NOW + STUCK_AFTER));
}
