//! The keys of one tenant.
//!
//! Above: `commands/`, which say what happens; `room.rs`, which evicts; `janitor.rs`, which expires. Below: nothing but
//! memory, of which it counts what it asks for.
//!
//! ```text
//!  table  hash of a key ──▶ index       entries.rs  index ──▶ key, value (value.rs), order of use
//!                                       deadlines.rs          order of ending
//! ```
//!
//! - **Counted**: `bytes` is the sum of the blocks of all entries; the tables' are read off when asked for.
//! - **Timely**: a key whose deadline has come is never seen, whether or not it has been removed.
//! - **Used**: reading and writing a key makes it the one used last. Nothing else changes the order.

mod deadlines;
mod entries;
#[cfg(test)]
mod tests;
mod value;

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

pub(crate) use deadlines::BYTES_OF_DEADLINE;
use deadlines::Deadlines;
use entries::{Entries, Entry, Index, SMALL};
pub(crate) use value::{End, Hash, List, Value};

/// What has happened to keys so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) evicted: u64,
    pub(crate) expired: u64,
}

/// Keys and values.
pub(crate) struct Keyspace {
    table: HashTable<Index>,
    hasher: DefaultHashBuilder,
    entries: Entries,
    deadlines: Deadlines,
    /// **Counted**.
    entry_bytes: usize,
    pub(crate) counts: Counts,
}

impl Default for Keyspace {
    fn default() -> Self {
        Self::new()
    }
}

impl Keyspace {
    pub(crate) fn new() -> Self {
        Self {
            table: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            entries: Entries::new(),
            deadlines: Deadlines::default(),
            entry_bytes: 0,
            counts: Counts::default(),
        }
    }

    /// How many keys there are, those included whose deadline has come and that are not removed yet.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// How many of them have a deadline.
    pub(crate) fn expiring(&self) -> usize {
        self.deadlines.len()
    }

    /// Bytes of memory that were asked for.
    pub(crate) fn bytes(&self) -> usize {
        self.entry_bytes + self.table.allocation_size() + self.entries.bytes() + self.deadlines.bytes()
    }

    /// Those of them that go with their keys.
    pub(crate) fn evictable(&self) -> usize {
        self.entry_bytes
    }

    /// Bytes that a new key may need beside its key and value.
    pub(crate) fn growth(&self) -> usize {
        let table = if self.table.len() == self.table.capacity() {
            2 * self.table.allocation_size()
        } else {
            0
        };
        size_of::<Entry>() + table + self.entries.growth()
    }

    /// A key to read; counts as a hit or a miss.
    pub(crate) fn read(&mut self, key: &[u8], now: u64) -> Option<&Value> {
        match self.find(key, now) {
            Some(index) => {
                self.counts.hits += 1;
                self.entries.touch(index);
                Some(&self.entries.get(index).value)
            }
            None => {
                self.counts.misses += 1;
                None
            }
        }
    }

    /// A key to look at, which makes no difference to it.
    pub(crate) fn peek(&mut self, key: &[u8], now: u64) -> Option<&Value> {
        let index = self.find(key, now)?;
        Some(&self.entries.get(index).value)
    }

    /// Changes what a key stands for, if it is there. A hash or list that is empty then goes.
    pub(crate) fn update<T>(
        &mut self,
        key: &[u8],
        now: u64,
        change: impl FnOnce(&mut Value) -> T,
    ) -> Option<T> {
        let index = self.find(key, now)?;
        self.entries.touch(index);
        let value = &mut self.entries.get_mut(index).value;
        let before = value.bytes();
        let result = change(value);
        let (after, is_empty) = (value.bytes(), value.is_empty());
        self.entry_bytes = self.entry_bytes + after - before;
        if is_empty {
            self.remove_at(index);
        }
        Some(result)
    }

    /// Makes a key stand for `value`, until `deadline` if there is one, whatever it was before.
    pub(crate) fn insert(&mut self, key: &[u8], value: Value, deadline: Option<u64>) {
        let hash = self.hash(key);
        if let Some(index) = self.lookup(hash, key) {
            self.entries.touch(index);
            let entry = self.entries.get_mut(index);
            let old_deadline = std::mem::replace(&mut entry.deadline, deadline);
            self.entry_bytes = self.entry_bytes + value.bytes() - entry.value.bytes();
            entry.value = value;
            self.deadlines.change(index, old_deadline, deadline);
            return;
        }
        let index = self.entries.insert(key.into(), value, deadline);
        self.entry_bytes += self.entries.get(index).bytes();
        self.deadlines.change(index, None, deadline);
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.table
            .insert_unique(hash, index, |&index| hasher.hash_one(&*entries.get(index).key));
    }

    /// Whether the key was there.
    pub(crate) fn remove(&mut self, key: &[u8], now: u64) -> bool {
        match self.find(key, now) {
            Some(index) => {
                self.remove_at(index);
                true
            }
            None => false,
        }
    }

    /// When the key ends, if it is there, and if it ends.
    pub(crate) fn deadline(&mut self, key: &[u8], now: u64) -> Option<Option<u64>> {
        let index = self.find(key, now)?;
        Some(self.entries.get(index).deadline)
    }

    /// Makes the key end at `deadline`, or never. Whether it is there.
    pub(crate) fn set_deadline(&mut self, key: &[u8], deadline: Option<u64>, now: u64) -> bool {
        let Some(index) = self.find(key, now) else {
            return false;
        };
        let old = std::mem::replace(&mut self.entries.get_mut(index).deadline, deadline);
        self.deadlines.change(index, old, deadline);
        true
    }

    /// Removes the key used longest ago, and says how many bytes it had; none if there is no key.
    pub(crate) fn evict_oldest(&mut self) -> Option<usize> {
        let index = self.entries.oldest()?;
        self.counts.evicted += 1;
        Some(self.remove_at(index))
    }

    /// Removes keys whose deadline has come, `at_most` of them, and says how many.
    pub(crate) fn expire(&mut self, now: u64, at_most: usize) -> usize {
        let mut count = 0;
        while count < at_most
            && let Some(index) = self.deadlines.first_due(now)
        {
            self.remove_at(index);
            count += 1;
        }
        self.counts.expired += count as u64;
        count
    }

    /// Removes everything, and keeps the counts. What was removed is returned, to be dropped where nobody waits.
    pub(crate) fn clear(&mut self) -> Self {
        let counts = self.counts;
        std::mem::replace(
            self,
            Self {
                counts,
                ..Self::new()
            },
        )
    }

    /// Moves up to `count` entries of up to `bytes` together, from the `from`-th place on, to other blocks: into the slabs that
    /// are fullest, so that the others become empty. Says where to go on; none at the end. Values above `largest` stay
    /// where they are.
    pub(crate) fn relocate(&mut self, from: u32, count: usize, bytes: usize, largest: usize) -> Option<u32> {
        let places = self.entries.range(from, count);
        let mut next = (places.len() == count).then(|| from + count as u32);
        // First all the new, then away with the old: else each would move to where the one before it was.
        let mut old = Vec::with_capacity(places.len());
        let mut left = bytes;
        for (index, place) in (from..).zip(places) {
            let Some(entry) = place else { continue };
            let before = entry.bytes();
            if before > largest {
                continue;
            }
            if before > left && !old.is_empty() {
                next = Some(index);
                break;
            }
            left = left.saturating_sub(before);
            let copy = entry.copied();
            self.entry_bytes = self.entry_bytes + copy.bytes() - before;
            old.push(std::mem::replace(entry, copy));
        }
        next
    }

    /// The key, unless its deadline has come: then it goes.
    fn find(&mut self, key: &[u8], now: u64) -> Option<Index> {
        let index = self.lookup(self.hash(key), key)?;
        if self
            .entries
            .get(index)
            .deadline
            .is_some_and(|deadline| deadline <= now)
        {
            self.counts.expired += 1;
            self.remove_at(index);
            return None;
        }
        Some(index)
    }

    fn lookup(&self, hash: u64, key: &[u8]) -> Option<Index> {
        let is_it = |&index: &Index| *self.entries.get(index).key == *key;
        self.table.find(hash, is_it).copied()
    }

    fn remove_at(&mut self, index: Index) -> usize {
        let entry = self.entries.remove(index);
        let bytes = entry.bytes();
        self.entry_bytes -= bytes;
        self.deadlines.change(index, entry.deadline, None);
        let hash = self.hash(&entry.key);
        if let Ok(found) = self.table.find_entry(hash, |&other| other == index) {
            found.remove();
        }
        self.shrink();
        bytes
    }

    /// Gives room of the table and of the places back after many keys have gone.
    fn shrink(&mut self) {
        if self.entries.is_sparse() {
            let (table, deadlines, hasher) = (&mut self.table, &mut self.deadlines, &self.hasher);
            self.entries.close_up(|entry, from, to| {
                if let Some(index) = table.find_mut(hasher.hash_one(&*entry.key), |&index| index == from) {
                    *index = to;
                }
                deadlines.change(from, entry.deadline, None);
                deadlines.change(to, None, entry.deadline);
            });
        }
        if self.table.capacity() > SMALL && self.table.len() < self.table.capacity() / 8 {
            let (entries, hasher) = (&self.entries, &self.hasher);
            self.table.shrink_to(2 * self.table.len(), |&index| {
                hasher.hash_one(&*entries.get(index).key)
            });
        }
    }

    fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    #[cfg(test)]
    fn assert_invariants(&self) {
        let mut bytes = 0;
        let mut deadlines = 0;
        for &index in &self.table {
            let entry = self.entries.get(index);
            bytes += entry.bytes();
            deadlines += usize::from(entry.deadline.is_some());
            assert_eq!(self.lookup(self.hash(&entry.key), &entry.key), Some(index));
        }
        assert_eq!(self.entry_bytes, bytes, "Counted");
        assert_eq!(self.deadlines.len(), deadlines);
    }
}
