//! What a key stands for.

use std::collections::VecDeque;
use std::mem::size_of;

use hashbrown::HashMap;

/// A string, hash or list, with the bytes of memory that it asked for.
#[derive(Debug)]
pub(crate) enum Value {
    String(Vec<u8>),
    Hash(Box<Hash>),
    List(Box<List>),
}

impl Value {
    pub(crate) fn string(bytes: &[u8]) -> Self {
        Value::String(bytes.to_vec())
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Value::String(_) => "string",
            Value::Hash(_) => "hash",
            Value::List(_) => "list",
        }
    }

    /// Bytes of its blocks. Constant time.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Value::String(bytes) => bytes.capacity(),
            Value::Hash(hash) => size_of::<Hash>() + hash.bytes(),
            Value::List(list) => size_of::<List>() + list.bytes(),
        }
    }

    /// Bytes that its table may need for so many more fields or items: tables grow by moving to twice the room.
    pub(crate) fn growth(&self, more: usize) -> usize {
        match self {
            Value::String(_) => 0,
            Value::Hash(hash) => hash.growth(more),
            Value::List(list) => list.growth(more),
        }
    }

    /// The same in other blocks.
    pub(super) fn copied(&self) -> Self {
        match self {
            Value::String(bytes) => Value::String(bytes.clone()),
            Value::Hash(hash) => Value::Hash(hash.clone()),
            Value::List(list) => Value::List(list.clone()),
        }
    }

    /// Whether a hash or list has nothing in it. Then its key goes.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Value::String(_) => false,
            Value::Hash(hash) => hash.fields.is_empty(),
            Value::List(list) => list.items.is_empty(),
        }
    }
}

/// Fields and their values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hash {
    fields: HashMap<Box<[u8]>, Box<[u8]>>,
    /// Of names and values, without the table.
    content_bytes: usize,
}

impl Hash {
    /// Bytes that its table may need for so many more fields. While it moves there are two: the old has half the room of the
    /// new, which may have twice what it needs.
    pub(crate) fn growth(&self, more: usize) -> usize {
        if self.fields.len() + more <= self.fields.capacity() {
            return 0;
        }
        2 * self.fields.allocation_size() + 120 * more
    }

    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    pub(crate) fn get(&self, field: &[u8]) -> Option<&[u8]> {
        self.fields.get(field).map(|value| &**value)
    }

    /// Whether the field is new.
    pub(crate) fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        self.content_bytes += value.len();
        match self.fields.get_mut(field) {
            Some(old) => {
                self.content_bytes -= old.len();
                *old = value.into();
                false
            }
            None => {
                self.content_bytes += field.len();
                self.fields.insert(field.into(), value.into());
                true
            }
        }
    }

    pub(crate) fn remove(&mut self, field: &[u8]) -> bool {
        let removed = self.fields.remove(field);
        if let Some(value) = &removed {
            self.content_bytes -= field.len() + value.len();
            if self.fields.len() < self.fields.capacity() / 4 {
                self.fields.shrink_to(2 * self.fields.len());
            }
        }
        removed.is_some()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(field, value)| (&**field, &**value))
    }

    fn bytes(&self) -> usize {
        self.content_bytes + self.fields.allocation_size()
    }
}

/// Items, each a block of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    items: VecDeque<Box<[u8]>>,
    content_bytes: usize,
}

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Left,
    Right,
}

impl List {
    /// Bytes that so many more items may need beside their own: as for [`Hash::growth`].
    pub(crate) fn growth(&self, more: usize) -> usize {
        if self.items.len() + more <= self.items.capacity() {
            return 0;
        }
        3 * size_of::<Box<[u8]>>() * (self.items.capacity() + more)
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn push(&mut self, end: End, item: &[u8]) {
        self.content_bytes += item.len();
        match end {
            End::Left => self.items.push_front(item.into()),
            End::Right => self.items.push_back(item.into()),
        }
    }

    pub(crate) fn pop(&mut self, end: End) -> Option<Box<[u8]>> {
        let item = match end {
            End::Left => self.items.pop_front(),
            End::Right => self.items.pop_back(),
        }?;
        self.content_bytes -= item.len();
        if self.items.len() < self.items.capacity() / 4 {
            self.items.shrink_to(2 * self.items.len());
        }
        Some(item)
    }

    /// The items that `count` times [`Self::pop`] would take.
    pub(crate) fn at_end(&self, end: End, count: usize) -> impl ExactSizeIterator<Item = &[u8]> {
        let start = match end {
            End::Left => 0,
            End::Right => self.len().saturating_sub(count),
        };
        self.range(start, count)
    }

    /// The items from `start` on, of those at most `count`.
    pub(crate) fn range(&self, start: usize, count: usize) -> impl ExactSizeIterator<Item = &[u8]> {
        let start = start.min(self.len());
        let end = start.saturating_add(count).min(self.len());
        self.items.range(start..end).map(|item| &**item)
    }

    fn bytes(&self) -> usize {
        self.content_bytes + self.items.capacity() * size_of::<Box<[u8]>>()
    }
}
