//! Which flusher serves which shard: a pure function that moves as few shards as possible.

use std::collections::BTreeMap;

/// Deals `shards` to `flushers` processes, given who serves what `today` (shards that are gone
/// and flushers that do not exist are ignored). Afterwards no flusher serves two more than
/// another, and a shard moves only where that takes it.
pub fn plan(shards: &[u32], today: &BTreeMap<u32, usize>, flushers: usize) -> BTreeMap<u32, usize> {
    if flushers == 0 {
        return BTreeMap::new();
    }
    let mut served: Vec<Vec<u32>> = vec![Vec::new(); flushers];
    let mut free = Vec::new();
    for &shard in shards {
        match today.get(&shard).filter(|flusher| **flusher < flushers) {
            Some(flusher) => served[*flusher].push(shard),
            None => free.push(shard),
        }
    }
    take_excess(&mut served, &mut free, shards.len());
    free.sort_unstable();
    for shard in free {
        least(&mut served).push(shard);
    }
    let pairs = served.into_iter().enumerate();
    pairs.flat_map(|(flusher, list)| list.into_iter().map(move |shard| (shard, flusher))).collect()
}

/// Takes what is over the fair share: the fullest keep one more when it does not divide evenly.
fn take_excess(served: &mut [Vec<u32>], free: &mut Vec<u32>, shards: usize) {
    let share = shards / served.len();
    let mut extra = shards % served.len();
    let mut order: Vec<usize> = (0..served.len()).collect();
    order.sort_by_key(|flusher| std::cmp::Reverse(served[*flusher].len()));
    for flusher in order {
        let list = &mut served[flusher];
        let mut keep = share;
        if list.len() > share && extra > 0 {
            keep += 1;
            extra -= 1;
        }
        list.sort_unstable();
        if list.len() > keep {
            free.extend(list.split_off(keep));
        }
    }
}

/// The flusher with the fewest shards, the lowest number first. There is at least one.
fn least(served: &mut [Vec<u32>]) -> &mut Vec<u32> {
    let at = (0..served.len()).min_by_key(|at| served[*at].len()).unwrap_or(0);
    &mut served[at]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(before: &BTreeMap<u32, usize>, after: &BTreeMap<u32, usize>) -> usize {
        after.iter().filter(|(s, f)| before.get(s).is_some_and(|was| was != *f)).count()
    }

    fn counts(plan: &BTreeMap<u32, usize>, flushers: usize) -> Vec<usize> {
        (0..flushers).map(|f| plan.values().filter(|v| **v == f).count()).collect()
    }

    #[test]
    fn no_shards_and_no_flushers_are_normal() {
        assert!(plan(&[], &BTreeMap::new(), 3).is_empty());
        assert!(plan(&[1, 2], &BTreeMap::new(), 0).is_empty());
    }

    #[test]
    fn a_plan_is_kept_when_nothing_changes() {
        let shards: Vec<u32> = (0..10).collect();
        let first = plan(&shards, &BTreeMap::new(), 3);
        assert_eq!(plan(&shards, &first, 3), first);
    }

    #[test]
    fn every_change_is_balanced_and_moves_only_what_it_must() {
        let mut state = 7u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let mut today = BTreeMap::new();
        for _ in 0..2000 {
            let shards: Vec<u32> = (0..24).filter(|_| random(3) > 0).collect();
            let flushers = 1 + random(6) as usize;
            let next = plan(&shards, &today, flushers);
            assert_eq!(next.keys().copied().collect::<Vec<_>>(), shards);
            let counts = counts(&next, flushers);
            let (most, fewest) = (counts.iter().max(), counts.iter().min());
            assert!(most.zip(fewest).is_some_and(|(m, f)| m - f <= 1), "{counts:?}");
            assert_eq!(moved(&today, &next), must_move(&shards, &today, flushers));
            today = next;
        }
    }

    /// Shards on flushers that are gone, and what is over the fair share of the others.
    fn must_move(shards: &[u32], today: &BTreeMap<u32, usize>, flushers: usize) -> usize {
        let kept: BTreeMap<u32, usize> =
            shards.iter().filter_map(|s| today.get(s).map(|f| (*s, *f))).collect();
        let gone = kept.values().filter(|f| **f >= flushers).count();
        let mut held = counts(&kept, flushers);
        held.sort_unstable_by(|a, b| b.cmp(a));
        let (share, extra) = (shards.len() / flushers, shards.len() % flushers);
        let over =
            |(at, held): (usize, &usize)| held.saturating_sub(share + usize::from(at < extra));
        gone + held.iter().enumerate().map(over).sum::<usize>()
    }
}
