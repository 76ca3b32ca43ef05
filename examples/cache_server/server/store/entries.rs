//! The entries of a keyspace: each in a block of its own, found by number, in the order of their last use.

use std::mem::size_of;

use super::Value;

/// A place in [`Entries`].
pub(super) type Index = u32;

const NONE: Index = Index::MAX;

/// So many places are kept whoever uses them.
pub(super) const SMALL: usize = if cfg!(test) { 4 } else { 1024 };

/// A key and what it stands for.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Box<[u8]>,
    pub(super) value: Value,
    /// When it ends, in milliseconds of the server's clock.
    pub(super) deadline: Option<u64>,
    /// The one used just before it; none for the one used longest ago.
    older: Index,
    newer: Index,
}

impl Entry {
    /// The same in other blocks.
    pub(super) fn copied(&self) -> Box<Self> {
        Box::new(Self {
            key: self.key.clone(),
            value: self.value.copied(),
            ..*self
        })
    }

    /// Bytes of the blocks of the entry, its key and its value.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.key.len() + self.value.bytes()
    }
}

/// Entries, as a list from the one used longest ago to the one used last.
#[derive(Debug)]
pub(super) struct Entries {
    places: Vec<Option<Box<Entry>>>,
    vacant: Vec<Index>,
    oldest: Index,
    newest: Index,
}

impl Entries {
    pub(super) const fn new() -> Self {
        Self {
            places: Vec::new(),
            vacant: Vec::new(),
            oldest: NONE,
            newest: NONE,
        }
    }

    pub(super) fn get(&self, index: Index) -> &Entry {
        self.places[index as usize].as_deref().expect("an index in use")
    }

    pub(super) fn get_mut(&mut self, index: Index) -> &mut Entry {
        self.places[index as usize]
            .as_deref_mut()
            .expect("an index in use")
    }

    /// Puts a new entry in, as the one used last.
    pub(super) fn insert(&mut self, key: Box<[u8]>, value: Value, deadline: Option<u64>) -> Index {
        let entry = Box::new(Entry {
            key,
            value,
            deadline,
            older: NONE,
            newer: NONE,
        });
        let index = match self.vacant.pop() {
            Some(index) => {
                self.places[index as usize] = Some(entry);
                index
            }
            None => {
                self.places.push(Some(entry));
                (self.places.len() - 1) as Index
            }
        };
        self.link(index);
        index
    }

    pub(super) fn remove(&mut self, index: Index) -> Entry {
        self.unlink(index);
        let entry = self.places[index as usize].take().expect("an index in use");
        if index as usize + 1 == self.places.len() {
            self.places.pop();
        } else {
            self.vacant.push(index);
        }
        *entry
    }

    /// Whether there are many places, and seven of eight are vacant.
    pub(super) fn is_sparse(&self) -> bool {
        let used = self.places.len() - self.vacant.len();
        self.places.capacity() > SMALL && used < self.places.capacity() / 8
    }

    /// Moves all entries to the first places, in their order, and gives the others back. Each that is `moved` is told with where
    /// it was and where it is.
    pub(super) fn close_up(&mut self, mut moved: impl FnMut(&Entry, Index, Index)) {
        let mut to = 0;
        for from in 0..self.places.len() as Index {
            let Some(entry) = self.places[from as usize].take() else {
                continue;
            };
            if from != to {
                match entry.older {
                    NONE => self.oldest = to,
                    older => self.get_mut(older).newer = to,
                }
                match entry.newer {
                    NONE => self.newest = to,
                    newer => self.get_mut(newer).older = to,
                }
                moved(&entry, from, to);
            }
            self.places[to as usize] = Some(entry);
            to += 1;
        }
        self.places.truncate(to as usize);
        self.places.shrink_to(2 * to as usize);
        self.vacant = Vec::new();
    }

    /// Makes it the one used last.
    pub(super) fn touch(&mut self, index: Index) {
        if self.newest != index {
            self.unlink(index);
            self.link(index);
        }
    }

    /// The places from `from` on, at most `count`.
    pub(super) fn range(&mut self, from: Index, count: usize) -> &mut [Option<Box<Entry>>] {
        let start = self.places.len().min(from as usize);
        let end = self.places.len().min(start + count);
        &mut self.places[start..end]
    }

    pub(super) fn oldest(&self) -> Option<Index> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// Bytes of the places; those of the entries are counted where they change.
    pub(super) fn bytes(&self) -> usize {
        self.places.capacity() * size_of::<Option<Box<Entry>>>() + self.vacant.capacity() * size_of::<Index>()
    }

    /// Bytes that one more entry may need beside its own blocks: places grow by moving to twice the room.
    pub(super) fn growth(&self) -> usize {
        if self.vacant.is_empty() && self.places.len() == self.places.capacity() {
            2 * self.places.capacity() * size_of::<Option<Box<Entry>>>()
        } else {
            0
        }
    }

    fn link(&mut self, index: Index) {
        let newest = self.newest;
        let entry = self.get_mut(index);
        entry.older = newest;
        entry.newer = NONE;
        match newest {
            NONE => self.oldest = index,
            newest => self.get_mut(newest).newer = index,
        }
        self.newest = index;
    }

    fn unlink(&mut self, index: Index) {
        let entry = self.get(index);
        let (older, newer) = (entry.older, entry.newer);
        match older {
            NONE => self.oldest = newer,
            older => self.get_mut(older).newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.get_mut(newer).older = older,
        }
    }
}
