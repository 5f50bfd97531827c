//! What a cache's hit ratio is held against: exact LRU, and the optimum that knows
//! the future. Entries are of equal size; a miss is followed by an insert.
//!
//! Both are exact, at O(n log n) over a trace of n accesses.

use std::collections::{BTreeSet, HashMap};

/// Hits of an exact LRU of `capacity` entries.
///
/// An access hits iff fewer than `capacity` other keys were asked for since the
/// key's last access (Mattson et al., "Evaluation techniques for storage
/// hierarchies", 1970); a Fenwick tree over the last accesses counts them.
#[must_use]
pub fn lru_hits(accesses: &[u64], capacity: usize) -> u64 {
    let mut last_access = HashMap::new();
    let mut latest = Fenwick::new(accesses.len());
    let mut hits = 0;
    for (time, &key) in accesses.iter().enumerate() {
        if let Some(before) = last_access.insert(key, time) {
            let keys_since = last_access.len() - latest.sum_through(before);
            hits += u64::from(keys_since < capacity);
            latest.remove(before);
        }
        latest.add(time);
    }
    hits
}

/// Hits of the optimum for `capacity` entries: of what it holds and the newcomer it
/// drops the one asked for again last (Belady, "A study of replacement algorithms
/// for a virtual-storage computer", 1966).
#[must_use]
pub fn optimum_hits(accesses: &[u64], capacity: usize) -> u64 {
    let next = next_accesses(accesses);
    // Each resident by its next access, which no two residents share: it is an
    // index into the trace, or beyond its end by the index of the last access.
    let mut resident = BTreeSet::new();
    let mut hits = 0;
    for (time, &next) in next.iter().enumerate() {
        hits += u64::from(resident.remove(&time));
        resident.insert(next);
        if resident.len() > capacity {
            resident.pop_last();
        }
    }
    hits
}

/// For each access the index of the next one of its key; where there is none, an
/// index of its own beyond the end.
fn next_accesses(accesses: &[u64]) -> Vec<usize> {
    let mut upcoming = HashMap::new();
    let mut next: Vec<usize> = accesses
        .iter()
        .enumerate()
        .rev()
        .map(|(time, key)| upcoming.insert(key, time).unwrap_or(accesses.len() + time))
        .collect();
    next.reverse();
    next
}

/// Counts of marked positions, each prefix in O(log n).
struct Fenwick(Vec<usize>);

impl Fenwick {
    fn new(positions: usize) -> Self {
        Self(vec![0; positions + 1])
    }

    fn add(&mut self, position: usize) {
        self.each_above(position, |count| *count += 1);
    }

    fn remove(&mut self, position: usize) {
        self.each_above(position, |count| *count -= 1);
    }

    fn each_above(&mut self, position: usize, mut change: impl FnMut(&mut usize)) {
        let mut node = position + 1;
        while let Some(count) = self.0.get_mut(node) {
            change(count);
            node += lowest_bit(node);
        }
    }

    fn sum_through(&self, position: usize) -> usize {
        let mut node = position + 1;
        let mut sum = 0;
        while node > 0 {
            sum += self.0[node];
            node -= lowest_bit(node);
        }
        sum
    }
}

fn lowest_bit(number: usize) -> usize {
    number & number.wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// LRU as it is defined: a list, most recent first.
    fn lru_by_list(accesses: &[u64], capacity: usize) -> u64 {
        let mut list: Vec<u64> = Vec::new();
        let mut hits = 0;
        for &key in accesses {
            if let Some(place) = list.iter().position(|&held| held == key) {
                hits += 1;
                list.remove(place);
            }
            list.insert(0, key);
            list.truncate(capacity);
        }
        hits
    }

    /// The best of every choice of what to drop.
    fn optimum_by_search(accesses: &[u64], capacity: usize, held: &[u64]) -> u64 {
        let Some((&key, rest)) = accesses.split_first() else {
            return 0;
        };
        if held.contains(&key) {
            return 1 + optimum_by_search(rest, capacity, held);
        }
        let mut with = held.to_vec();
        with.push(key);
        if with.len() <= capacity {
            return optimum_by_search(rest, capacity, &with);
        }
        (0..with.len())
            .map(|victim| {
                let mut kept = with.clone();
                kept.remove(victim);
                optimum_by_search(rest, capacity, &kept)
            })
            .max()
            .unwrap_or_default()
    }

    fn random(seed: u64, length: usize, keys: u64) -> Vec<u64> {
        let mut rng = fastrand::Rng::with_seed(seed);
        (0..length).map(|_| rng.u64(0..keys)).collect()
    }

    #[test]
    fn lru_agrees_with_its_definition() {
        for seed in 0..20 {
            let accesses = random(seed, 500, 40);
            for capacity in [1, 2, 7, 39, 40, 100] {
                assert_eq!(
                    lru_hits(&accesses, capacity),
                    lru_by_list(&accesses, capacity),
                    "seed {seed} capacity {capacity}"
                );
            }
        }
    }

    #[test]
    fn the_optimum_is_no_worse_and_no_better_than_the_best_of_all_choices() {
        for seed in 0..20 {
            let accesses = random(seed, 11, 5);
            for capacity in [1, 2, 3] {
                assert_eq!(
                    optimum_hits(&accesses, capacity),
                    optimum_by_search(&accesses, capacity, &[]),
                    "seed {seed} capacity {capacity}"
                );
            }
        }
    }
}
