//! The consumer's end: leaving the group for good, or only closing.
//!
//! A static member that closes keeps its partitions until its session times out, which is what a
//! restart wants; one that unsubscribes first gives them to others at once.

use super::consumer::{Consumer, Event};
use rdkafka::consumer::Consumer as _;
use std::time::{Duration, Instant};

/// Bound of one question about the group's members.
const GROUP_WAIT: Duration = Duration::from_millis(500);

impl Consumer {
    /// Leaves the group for good, in at most `wait`: it gives our partitions to others at once.
    /// Without it they wait for us until the session times out, since we are a static member.
    pub fn leave(&self, wait: Duration) {
        let deadline = Instant::now() + wait;
        self.inner.unsubscribe();
        while self.is_member() && Instant::now() < deadline {
            self.wind_down();
        }
    }

    /// Whether the group still counts us in, as far as the broker tells.
    fn is_member(&self) -> bool {
        if self.inner.assignment().is_ok_and(|list| list.count() > 0) {
            return true;
        }
        let Some(name) = &self.member_name else { return false };
        let groups = self.inner.client().fetch_group_list(Some(&self.group), GROUP_WAIT);
        groups.is_ok_and(|list| {
            let mut members = list.groups().iter().flat_map(|group| group.members());
            members.any(|member| is_of(name, member.id()))
        })
    }

    /// Closes the client, in at most `wait`.
    pub fn close(&self, wait: Duration) {
        let deadline = Instant::now() + wait;
        if let Err(error) = self.inner.close_queue() {
            log::debug!("closing the consumer: {error}");
        }
        while !self.inner.closed() && Instant::now() < deadline {
            self.wind_down();
        }
    }

    /// A last revocation is answered at once: nothing of it is ours any more.
    fn wind_down(&self) {
        drop(self.inner.poll(Duration::from_millis(10)));
        if let Some(Event::Revoked { shards, .. }) = self.queued()
            && let Err(error) = self.give_back(&shards)
        {
            log::debug!("closing the consumer: {error}");
        }
    }
}

/// Whether a member's id was made of that name: the broker puts a UUID behind it. Names end with
/// the number of a worker, so none is the beginning of another up to a UUID.
fn is_of(name: &str, id: &str) -> bool {
    let uuid = id.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
    uuid.is_some_and(|uuid| !uuid.contains('_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_of_another_host_or_worker_is_another() {
        let uuid = "0b5e5f27-3f4e-4f0e-9f5e-1c7ce3f5a2d1";
        assert!(is_of("default_web-3_1", &format!("default_web-3_1-{uuid}")));
        for other in ["default_web-4_1", "default_web-3_11", "default_web-3_1-a_host_0"] {
            assert!(!is_of("default_web-3_1", &format!("{other}-{uuid}")), "{other}");
        }
    }
}
