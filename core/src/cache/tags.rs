//! Tags: one invalidation for the entries that carry a name.
//!
//! An entry holds handles on its tags' barriers, so a read compares numbers and
//! looks nothing up. The table from name to barrier is bounded per tenant. When
//! it is full, the oldest tag is forgotten, first one that no entry carries if
//! there is one near. Forgetting is exact and safe:
//! - entries that still carry the tag die (its barrier is raised beyond every
//!   version), because a later invalidation of the name could not reach them;
//! - its last invalidation, and its settle time, live on in the table's floors,
//!   at which every tag named later starts, so a load in flight since before that invalidation
//!   cannot bring the value back under a new handle.
//!
//! Cost: naming a tag takes the table's mutex and a hash look-up; about 150
//! bytes a tag.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::barrier::Barrier;
use super::key::ScopeId;
use super::name::{BadField, at_most, sized};
use crate::clock::Time;
use crate::planted::{Bug, planted};
use crate::sync::Mutex;
use crate::version::Version;

/// The most tags an entry may carry.
pub const MAX_TAGS: usize = 8;
/// The longest tag, in bytes.
pub const MAX_TAG_LEN: usize = 128;

/// How many tags are passed over in search of one that no entry carries.
const UNUSED_SEARCH: usize = 8;

/// A tag as an entry holds it.
#[derive(Debug)]
pub(crate) struct Tag {
    pub(crate) name: Box<[u8]>,
    pub(crate) barrier: Barrier,
}

/// Checks the tags of a call.
///
/// # Errors
/// When there are more than [`MAX_TAGS`], or one is empty or longer than
/// [`MAX_TAG_LEN`].
pub fn check_tags<T: AsRef<[u8]>>(tags: &[T]) -> Result<(), BadField> {
    at_most("tags", tags.len(), MAX_TAGS, "tags")?;
    tags.iter()
        .try_for_each(|tag| sized("tags", tag.as_ref().len(), MAX_TAG_LEN))
}

/// The tags of one tenant.
#[derive(Debug)]
pub(crate) struct TagTable {
    state: Mutex<State>,
    limit: usize,
}

#[derive(Debug, Default)]
struct State {
    by_name: HashMap<(u64, Box<[u8]>), Arc<Tag>>,
    /// In the order they were named, for the choice of whom to forget.
    order: VecDeque<(u64, Box<[u8]>)>,
    floor: Version,
    settle_floor: Time,
}

impl TagTable {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            state: Mutex::new(State::default()),
            limit: limit.max(MAX_TAGS),
        }
    }

    /// Handles on these tags of a cache, made as needed.
    pub(crate) fn resolve<T: AsRef<[u8]>>(&self, scope: ScopeId, names: &[T]) -> Box<[Arc<Tag>]> {
        if names.is_empty() {
            return Box::default();
        }
        let mut state = self.state.lock();
        names
            .iter()
            .map(|name| state.tag(scope, name.as_ref(), self.limit))
            .collect()
    }

    /// Raises the barriers of these tags. Under the table's lock, so that a tag
    /// forgotten meanwhile has passed its last invalidation on to the floor.
    pub(crate) fn raise<T: AsRef<[u8]>>(
        &self,
        scope: ScopeId,
        names: &[T],
        mut raise: impl FnMut(&Barrier),
    ) {
        let mut state = self.state.lock();
        for name in names {
            raise(&state.tag(scope, name.as_ref(), self.limit).barrier);
        }
    }

    #[cfg(all(test, not(millpond_loom)))]
    fn len(&self) -> usize {
        self.state.lock().by_name.len()
    }
}

impl State {
    fn tag(&mut self, scope: ScopeId, name: &[u8], limit: usize) -> Arc<Tag> {
        let id = (scope.0, Box::from(name));
        if let Some(tag) = self.by_name.get(&id) {
            return Arc::clone(tag);
        }
        while self.by_name.len() >= limit {
            self.forget_one();
        }
        let barrier = Barrier::at(self.floor);
        barrier.settle_by(self.settle_floor);
        let tag = Arc::new(Tag {
            name: Box::from(name),
            barrier,
        });
        self.order.push_back(id.clone());
        self.by_name.insert(id, Arc::clone(&tag));
        tag
    }

    fn forget_one(&mut self) {
        for _ in 0..UNUSED_SEARCH.min(self.order.len()) {
            let carried = self
                .order
                .front()
                .and_then(|id| self.by_name.get(id))
                // Handles are only made under this table's lock, so a count of
                // one stays one.
                .is_some_and(|tag| Arc::strong_count(tag) > 1);
            if !carried {
                break;
            }
            self.order.rotate_left(1);
        }
        let Some(tag) = self
            .order
            .pop_front()
            .and_then(|id| self.by_name.remove(&id))
        else {
            return;
        };
        if planted(Bug::TagForgotten) {
            return;
        }
        self.floor = self.floor.max(tag.barrier.hard()).max(tag.barrier.soft());
        self.settle_floor = self.settle_floor.max(tag.barrier.settle_until());
        tag.barrier.kill();
    }
}

#[cfg(all(test, not(millpond_loom)))]
mod tests {
    use super::*;

    const SCOPE: ScopeId = ScopeId(1);

    #[test]
    fn a_forgotten_tag_kills_its_entries_and_leaves_its_invalidation_behind() {
        let table = TagTable::new(8);
        let held = table.resolve(SCOPE, &["old"]);
        held[0].barrier.raise_to(Version::from_raw(70), false);
        for name in 0..16_u8 {
            drop(table.resolve(SCOPE, &[[name]]));
        }
        assert_eq!(table.len(), 8);
        // Carried by nobody went first; "old" outlived eight newer tags.
        let kept = table.resolve(SCOPE, &["old"]);
        assert!(Arc::ptr_eq(&kept[0], &held[0]));

        let crowd: Vec<_> = (0..16_u8)
            .map(|name| table.resolve(SCOPE, &[[name, 0]]))
            .collect();
        let renewed = table.resolve(SCOPE, &["old"]);
        assert!(!Arc::ptr_eq(&renewed[0], &held[0]));
        assert_eq!(held[0].barrier.hard(), Version::MAX);
        assert!(renewed[0].barrier.hard() >= Version::from_raw(70));
        assert_eq!(crowd.len(), 16);
    }

    #[test]
    fn the_same_name_in_another_cache_is_another_tag() {
        let table = TagTable::new(8);
        let here = table.resolve(SCOPE, &["t"]);
        let there = table.resolve(ScopeId(2), &["t"]);
        assert!(!Arc::ptr_eq(&here[0], &there[0]));
    }
}
