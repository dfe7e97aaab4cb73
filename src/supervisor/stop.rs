//! The orderly end: one deadline for all workers, and the status it ends with.

use crate::error::Kind;
use std::time::Duration;

pub struct Stop {
    status: i32,
    deadline: Duration,
    killed: bool,
}

impl Stop {
    /// `status` is what the daemon ends with when every worker ends in order.
    pub fn new(status: i32, deadline: Duration) -> Stop {
        Stop { status, deadline, killed: false }
    }

    /// Asked again: now. The first reason that is not "asked to" keeps the status.
    pub fn again(&mut self, status: i32, now: Duration) {
        if self.status == 0 {
            self.status = status;
        }
        if status == 0 {
            self.deadline = self.deadline.min(now);
        }
    }

    pub fn until_deadline(&self, now: Duration) -> Duration {
        if self.killed { Duration::MAX } else { self.deadline.saturating_sub(now) }
    }

    /// The deadline has passed and the stragglers are not killed yet.
    pub fn is_over(&self, now: Duration) -> bool {
        !self.killed && now >= self.deadline
    }

    /// The stragglers are killed now: the exit status says so, unless something worse did.
    pub fn kill(&mut self, stragglers: usize) {
        self.killed = true;
        if stragglers > 0 && self.status == 0 {
            self.status = Kind::Software as i32;
        }
    }

    pub fn status(&self) -> i32 {
        self.status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn in_order_ends_with_the_status_it_began_with() {
        assert_eq!(Stop::new(0, AT(30)).status(), 0);
        assert_eq!(Stop::new(70, AT(30)).status(), 70);
    }

    #[test]
    fn stragglers_are_killed_once_and_change_the_status() {
        let mut stop = Stop::new(0, AT(30));
        assert!(!stop.is_over(AT(29)));
        assert!(stop.is_over(AT(30)));
        stop.kill(2);
        assert!(!stop.is_over(AT(31)));
        assert_eq!(stop.status(), 70);
    }

    #[test]
    fn a_second_request_means_now() {
        let mut stop = Stop::new(0, AT(30));
        stop.again(0, AT(2));
        assert!(stop.is_over(AT(2)));
        assert_eq!(stop.until_deadline(AT(2)), Duration::ZERO);
    }

    #[test]
    fn a_configuration_error_on_the_way_out_is_not_a_request() {
        let mut stop = Stop::new(0, AT(30));
        stop.again(78, AT(2));
        assert!(!stop.is_over(AT(2)));
        assert_eq!(stop.status(), 78);
    }
}
