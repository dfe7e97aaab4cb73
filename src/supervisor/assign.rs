//! Which flusher serves which shard: a pure function that moves as few shards as possible.
//!
//! Flushers get equal numbers of shards, give or take one. A shard stays where it is unless
//! its flusher is gone or has more than its part; the order of the input does not matter.

/// One shard and the flusher that is to hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Placed {
    pub shard: u32,
    pub flusher: usize,
}

/// Places all `shards` (number, present flusher) on flushers below `flushers`.
pub fn plan(shards: &[(u32, Option<usize>)], flushers: usize) -> Vec<Placed> {
    if flushers == 0 {
        return Vec::new();
    }
    let mut shards = shards.to_vec();
    shards.sort_unstable();
    let mut room = quotas(&shards, flushers);
    let mut placed = Vec::with_capacity(shards.len());
    let mut homeless = Vec::new();
    for (shard, present) in shards {
        match present.filter(|flusher| room.get(*flusher).is_some_and(|room| *room > 0)) {
            Some(flusher) => {
                room[flusher] -= 1;
                placed.push(Placed { shard, flusher });
            }
            None => homeless.push(shard),
        }
    }
    let free = room.iter().enumerate().flat_map(|(flusher, room)| (0..*room).map(move |_| flusher));
    placed.extend(homeless.into_iter().zip(free).map(|(shard, flusher)| Placed { shard, flusher }));
    placed.sort_unstable();
    placed
}

/// How many shards each flusher may have. Those that have most now get the odd ones, so that
/// an odd shard does not move.
fn quotas(shards: &[(u32, Option<usize>)], flushers: usize) -> Vec<usize> {
    let mut load = vec![0usize; flushers];
    for flusher in shards.iter().filter_map(|(_, present)| *present) {
        if let Some(load) = load.get_mut(flusher) {
            *load += 1;
        }
    }
    let mut by_load: Vec<usize> = (0..flushers).collect();
    by_load.sort_by_key(|flusher| (usize::MAX - load[*flusher], *flusher));
    let (each, odd) = (shards.len() / flushers, shards.len() % flushers);
    let mut quotas = vec![each; flushers];
    for flusher in by_load.into_iter().take(odd) {
        quotas[flusher] += 1;
    }
    quotas
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(before: &[(u32, Option<usize>)], after: &[Placed]) -> usize {
        let stayed = |placed: &&Placed| before.contains(&(placed.shard, Some(placed.flusher)));
        after.len() - after.iter().filter(stayed).count()
    }

    fn next(placed: &[Placed]) -> Vec<(u32, Option<usize>)> {
        placed.iter().map(|placed| (placed.shard, Some(placed.flusher))).collect()
    }

    /// The fewest moves any balanced placement needs: what is above each flusher's part.
    fn fewest(before: &[(u32, Option<usize>)], flushers: usize) -> usize {
        let mut load = vec![0usize; flushers];
        for flusher in before.iter().filter_map(|(_, present)| *present) {
            if flusher < flushers {
                load[flusher] += 1;
            }
        }
        load.sort_unstable_by(|a, b| b.cmp(a));
        let (each, odd) = (before.len() / flushers, before.len() % flushers);
        let part = |rank: usize| each + usize::from(rank < odd);
        before.len() - load.iter().enumerate().map(|(rank, n)| part(rank).min(*n)).sum::<usize>()
    }

    #[test]
    fn nothing_to_place_is_no_error() {
        assert_eq!(plan(&[], 3), []);
        assert_eq!(plan(&[], 0), []);
        assert_eq!(plan(&[(1, None)], 0), []);
    }

    #[test]
    fn every_shard_is_placed_evenly_with_the_fewest_moves() {
        let mut shards: Vec<(u32, Option<usize>)> = Vec::new();
        // Any walk through sizes: grow, shrink, drop shards, bring them back.
        for (count, flushers) in
            [(7, 3), (7, 2), (12, 5), (12, 1), (3, 5), (64, 16), (64, 15), (63, 16), (5, 4)]
        {
            let known: Vec<_> = shards.clone();
            let present = |n| known.iter().find(|(s, _)| *s == n).and_then(|(_, f)| *f);
            shards = (0..count).map(|n| (n, present(n))).collect();
            let placed = plan(&shards, flushers);

            assert_eq!(placed.len(), shards.len());
            let load = |f| placed.iter().filter(|placed| placed.flusher == f).count();
            let loads: Vec<usize> = (0..flushers).map(load).collect();
            assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1, "{loads:?}");
            assert_eq!(moved(&shards, &placed), fewest(&shards, flushers), "{count} {flushers}");

            let mut reversed = shards.clone();
            reversed.reverse();
            assert_eq!(plan(&reversed, flushers), placed);
            assert_eq!(moved(&next(&placed), &plan(&next(&placed), flushers)), 0);
            shards = next(&placed);
        }
    }
}
