//! What a keyspace promises, by example and against a model of obvious code.

use std::collections::BTreeMap;
use std::collections::btree_map;

use proptest::prelude::*;

use super::*;

fn string(value: Option<&Value>) -> Option<Vec<u8>> {
    match value {
        Some(Value::String(bytes)) => Some(bytes.clone()),
        _ => None,
    }
}

fn filled(keys: &[&str]) -> Keyspace {
    let mut space = Keyspace::new();
    for key in keys {
        space.insert(key.as_bytes(), Value::string(b"value"), None);
    }
    space
}

/// Keys in the order in which they would be evicted.
fn order_of_eviction(mut space: Keyspace, keys: &[&str]) -> Vec<String> {
    let mut order = Vec::new();
    loop {
        let before: Vec<_> = keys
            .iter()
            .filter(|key| space.peek(key.as_bytes(), 0).is_some())
            .collect();
        if space.evict_oldest().is_none() {
            return order;
        }
        let gone = before
            .into_iter()
            .find(|key| space.peek(key.as_bytes(), 0).is_none());
        order.push(gone.expect("one key went").to_string());
    }
}

#[test]
fn the_key_used_longest_ago_is_evicted_first() {
    let keys = ["a", "b", "c", "d", "e"];
    assert_eq!(order_of_eviction(filled(&keys), &keys), keys);

    let mut space = filled(&keys);
    assert!(space.read(b"a", 0).is_some());
    space.update(b"c", 0, |_| ());
    space.insert(b"b", Value::string(b"other"), None);
    assert!(space.peek(b"d", 0).is_some());
    assert!(space.remove(b"e", 0));
    assert_eq!(order_of_eviction(space, &keys), ["d", "a", "c", "b"]);
}

#[test]
fn a_key_whose_time_has_come_is_not_seen() {
    let mut space = Keyspace::new();
    space.insert(b"a", Value::string(b"1"), Some(10));
    assert_eq!(space.deadline(b"a", 9), Some(Some(10)));
    assert!(space.read(b"a", 9).is_some());
    assert!(space.read(b"a", 10).is_none());
    assert_eq!((space.len(), space.expiring(), space.counts.expired), (0, 0, 1));
    assert_eq!((space.counts.hits, space.counts.misses), (1, 1));
}

#[test]
fn keys_end_in_the_order_of_their_deadlines_without_being_asked_for() {
    let mut space = Keyspace::new();
    for (number, deadline) in [30u64, 10, 20, 40].into_iter().enumerate() {
        space.insert(&[number as u8], Value::string(b"x"), Some(deadline));
    }
    space.insert(b"forever", Value::string(b"x"), None);
    assert_eq!(space.expire(9, 10), 0);
    assert_eq!(space.expire(25, 1), 1);
    assert!(
        space.peek(&[1], 0).is_none() && space.peek(&[2], 0).is_some(),
        "the first deadline went first"
    );
    assert_eq!(space.expire(25, 10), 1);
    assert!(space.set_deadline(&[0], None, 25));
    assert_eq!(space.expire(1000, 10), 1);
    assert_eq!((space.len(), space.expiring(), space.counts.expired), (2, 0, 3));
}

#[test]
fn a_new_value_takes_the_deadline_with_it() {
    let mut space = Keyspace::new();
    space.insert(b"a", Value::string(b"1"), Some(10));
    space.insert(b"a", Value::string(b"2"), None);
    assert_eq!(space.expire(100, 10), 0);
    assert_eq!(space.deadline(b"a", 100), Some(None));
    assert_eq!(space.deadline(b"b", 100), None);
}

#[test]
fn a_list_or_hash_goes_with_its_last_element() {
    let mut space = Keyspace::new();
    let mut list = Box::<List>::default();
    list.push(End::Left, b"item");
    space.insert(b"list", Value::List(list), Some(10));
    let pop = |value: &mut Value| match value {
        Value::List(list) => list.pop(End::Right),
        _ => None,
    };
    let popped = space.update(b"list", 0, pop).flatten();
    assert_eq!(popped.as_deref(), Some(b"item".as_slice()));
    assert_eq!((space.len(), space.expiring()), (0, 0));
    space.assert_invariants();
}

#[test]
fn everything_is_counted_and_given_back() {
    let mut space = Keyspace::new();
    for number in 0..10_000u32 {
        space.insert(
            &number.to_le_bytes(),
            Value::string(&[7; 100]),
            Some(u64::from(number) + 1),
        );
    }
    assert!(space.bytes() >= 10_000 * (100 + 4 + size_of::<Entry>()));
    space.assert_invariants();
    assert_eq!(space.expire(u64::MAX, usize::MAX), 10_000);
    assert_eq!(space.entry_bytes, 0);
    assert!(
        space.table.allocation_size() < 64 << 10,
        "the table has given its room back"
    );
    assert!(space.entries.bytes() < 64 << 10, "and so have the places");
    space.insert(b"a", Value::string(b"b"), None);
    drop(space.clear());
    assert_eq!(space.bytes(), 0);
    assert_eq!(space.counts.expired, 10_000, "counts are kept");
}

#[test]
fn those_who_are_left_of_many_keep_their_order_and_their_ends() {
    let mut space = Keyspace::new();
    let key = |number: u32| number.to_le_bytes();
    for number in 0..10_000 {
        let deadline = (number % 10 == 0).then_some(u64::from(number) + 1);
        space.insert(&key(number), Value::string(&key(number)), deadline);
    }
    let before = space.bytes();
    let stays = |number: &u32| number.is_multiple_of(100);
    // Every second of those who stay has been used after all others.
    for number in (0..10_000).filter(stays).filter(|number| number % 200 == 0) {
        space.read(&key(number), 0);
    }
    for number in (0..10_000).filter(|number| !stays(number)) {
        assert!(space.remove(&key(number), 0));
        if number % 500 == 1 {
            space.assert_invariants();
        }
    }
    assert!(space.bytes() < before / 20, "{} of {before}", space.bytes());
    for number in (0..10_000).filter(stays) {
        let value = string(space.peek(&key(number), 0));
        assert_eq!(value.as_deref(), Some(key(number).as_slice()));
        let deadline = space.deadline(&key(number), 0);
        assert_eq!(deadline, Some(Some(u64::from(number) + 1)));
    }
    let order = (0..10_000).filter(|number| number % 200 == 100);
    for number in order.chain((0..10_000).filter(|number| number % 200 == 0)) {
        assert!(space.peek(&key(number), 0).is_some());
        space.evict_oldest();
        assert!(space.peek(&key(number), 0).is_none(), "{number} was the oldest");
    }
    space.assert_invariants();
}

#[test]
fn entries_are_moved_in_batches_of_so_many_bytes() {
    let mut space = Keyspace::new();
    for number in 0..1000u32 {
        space.insert(&number.to_le_bytes(), Value::string(&[7; 1000]), None);
    }
    let address = |space: &mut Keyspace, number: u32| match space.peek(&number.to_le_bytes(), 0) {
        Some(Value::String(bytes)) => bytes.as_ptr() as usize,
        _ => panic!("it is there"),
    };
    let before: Vec<_> = (0..1000).map(|number| address(&mut space, number)).collect();
    let (mut next, mut batches, mut moved) = (Some(0), 0, 0);
    while let Some(from) = next {
        next = space.relocate(from, 400, 100 << 10, 16 << 10);
        batches += 1;
        let now = (0..1000).filter(|&number| address(&mut space, number) != before[number as usize]);
        let count = now.count();
        assert!((count - moved) * 1000 <= 100 << 10, "{} at once", count - moved);
        moved = count;
    }
    assert!(batches >= 10 && moved == 1000, "{moved} moved in {batches}");
    assert_eq!(
        space.relocate(0, 400, 1, 999),
        Some(400),
        "what is too large is passed over"
    );
    assert_eq!(
        space.relocate(0, 1, 1, 16 << 10),
        Some(1),
        "one at least is moved"
    );
    space.assert_invariants();
}

#[derive(Clone, Debug)]
enum Operation {
    Insert {
        key: u8,
        length: usize,
        lives: Option<u64>,
    },
    Read(u8),
    Append {
        key: u8,
        length: usize,
    },
    Remove(u8),
    Deadline {
        key: u8,
        lives: Option<u64>,
    },
    Push {
        key: u8,
        left: bool,
        length: usize,
    },
    Pop {
        key: u8,
        left: bool,
    },
    SetField {
        key: u8,
        field: u8,
        length: usize,
    },
    RemoveField {
        key: u8,
        field: u8,
    },
    Evict,
    Expire {
        at_most: usize,
    },
    Wait(u64),
    Relocate(usize),
    Clear,
}

fn operation() -> impl Strategy<Value = Operation> {
    let key = 0..24u8;
    let length = 0..200usize;
    let lives = proptest::option::of(1..50u64);
    prop_oneof![
        8 => (key.clone(), length.clone(), lives.clone())
            .prop_map(|(key, length, lives)| Operation::Insert { key, length, lives }),
        6 => key.clone().prop_map(Operation::Read),
        3 => (key.clone(), length.clone()).prop_map(|(key, length)| Operation::Append { key, length }),
        3 => key.clone().prop_map(Operation::Remove),
        3 => (key.clone(), lives).prop_map(|(key, lives)| Operation::Deadline { key, lives }),
        4 => (key.clone(), any::<bool>(), length.clone())
            .prop_map(|(key, left, length)| Operation::Push { key, left, length }),
        4 => (key.clone(), any::<bool>()).prop_map(|(key, left)| Operation::Pop { key, left }),
        4 => (key.clone(), 0..6u8, length)
            .prop_map(|(key, field, length)| Operation::SetField { key, field, length }),
        2 => (key, 0..6u8).prop_map(|(key, field)| Operation::RemoveField { key, field }),
        2 => Just(Operation::Evict),
        2 => (0..4usize).prop_map(|at_most| Operation::Expire { at_most }),
        2 => (0..20u64).prop_map(Operation::Wait),
        1 => (1..9usize).prop_map(Operation::Relocate),
        1 => Just(Operation::Clear),
    ]
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Plain {
    String(Vec<u8>),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    List(Vec<Vec<u8>>),
}

/// A keyspace in obvious code. Keys whose time has come are dropped before each operation.
#[derive(Default)]
struct Model {
    all: BTreeMap<u8, (Plain, Option<u64>)>,
    /// From the key used longest ago.
    order: Vec<u8>,
}

impl Model {
    fn touch(&mut self, key: u8) {
        self.order.retain(|&other| other != key);
        if self.all.contains_key(&key) {
            self.order.push(key);
        }
    }

    fn remove(&mut self, key: u8) -> bool {
        self.order.retain(|&other| other != key);
        self.all.remove(&key).is_some()
    }

    fn update(&mut self, key: u8, change: impl FnOnce(&mut Plain)) {
        if let Some((value, _)) = self.all.get_mut(&key) {
            change(value);
            let is_empty = match value {
                Plain::String(_) => false,
                Plain::Hash(fields) => fields.is_empty(),
                Plain::List(items) => items.is_empty(),
            };
            self.touch(key);
            if is_empty {
                self.remove(key);
            }
        }
    }
}

fn plain(value: &Value) -> Plain {
    match value {
        Value::String(bytes) => Plain::String(bytes.clone()),
        Value::Hash(hash) => Plain::Hash(
            hash.iter()
                .map(|(field, value)| (field.to_vec(), value.to_vec()))
                .collect(),
        ),
        Value::List(list) => Plain::List(list.range(0, usize::MAX).map(<[u8]>::to_vec).collect()),
    }
}

/// Does the same to both.
fn apply(operation: &Operation, space: &mut Keyspace, model: &mut Model, now: &mut u64) {
    let bytes = |length: usize| vec![length as u8; length];
    let end = |left: bool| if left { End::Left } else { End::Right };
    match *operation {
        Operation::Insert { key, length, lives } => {
            let deadline = lives.map(|lives| *now + lives);
            space.insert(&[key], Value::string(&bytes(length)), deadline);
            model.all.insert(key, (Plain::String(bytes(length)), deadline));
            model.touch(key);
        }
        Operation::Read(key) => {
            let found = space.read(&[key], *now).map(plain);
            assert_eq!(found, model.all.get(&key).map(|(value, _)| value.clone()));
            model.touch(key);
        }
        Operation::Append { key, length } => {
            space.update(&[key], *now, |value| {
                if let Value::String(old) = value {
                    old.extend(bytes(length));
                }
            });
            model.update(key, |value| {
                if let Plain::String(old) = value {
                    old.extend(bytes(length));
                }
            });
        }
        Operation::Remove(key) => assert_eq!(space.remove(&[key], *now), model.remove(key)),
        Operation::Deadline { key, lives } => {
            let deadline = lives.map(|lives| *now + lives);
            let found = space.set_deadline(&[key], deadline, *now);
            let entry = model.all.get_mut(&key);
            assert_eq!(found, entry.is_some());
            if let Some((_, old)) = entry {
                *old = deadline;
            }
        }
        Operation::Push { key, left, length } => {
            if let btree_map::Entry::Vacant(vacant) = model.all.entry(key) {
                let mut list = Box::<List>::default();
                list.push(end(left), &bytes(length));
                space.insert(&[key], Value::List(list), None);
                vacant.insert((Plain::List(vec![bytes(length)]), None));
                model.touch(key);
                return;
            }
            space.update(&[key], *now, |value| {
                if let Value::List(list) = value {
                    list.push(end(left), &bytes(length));
                }
            });
            model.update(key, |value| {
                if let Plain::List(items) = value {
                    let at = if left { 0 } else { items.len() };
                    items.insert(at, bytes(length));
                }
            });
        }
        Operation::Pop { key, left } => {
            let popped = space.update(&[key], *now, |value| match value {
                Value::List(list) => list.pop(end(left)),
                _ => None,
            });
            let mut expected = None;
            model.update(key, |value| {
                if let Plain::List(items) = value {
                    let at = if left { 0 } else { items.len() - 1 };
                    expected = Some(items.remove(at));
                }
            });
            assert_eq!(popped.flatten().map(Vec::from), expected);
        }
        Operation::SetField { key, field, length } => {
            if let btree_map::Entry::Vacant(vacant) = model.all.entry(key) {
                space.insert(&[key], Value::Hash(Box::default()), None);
                vacant.insert((Plain::Hash(BTreeMap::new()), None));
            }
            space.update(&[key], *now, |value| {
                if let Value::Hash(hash) = value {
                    hash.set(&[field], &bytes(length));
                }
            });
            model.update(key, |value| {
                if let Plain::Hash(fields) = value {
                    fields.insert(vec![field], bytes(length));
                }
            });
        }
        Operation::RemoveField { key, field } => {
            let removed = space.update(&[key], *now, |value| match value {
                Value::Hash(hash) => hash.remove(&[field]),
                _ => false,
            });
            let mut expected = false;
            model.update(key, |value| {
                if let Plain::Hash(fields) = value {
                    expected = fields.remove(&vec![field]).is_some();
                }
            });
            assert_eq!(removed.unwrap_or(false), expected);
        }
        Operation::Evict => {
            let expected = model.order.first().copied();
            assert_eq!(space.evict_oldest().is_some(), expected.is_some());
            if let Some(key) = expected {
                model.remove(key);
            }
        }
        Operation::Expire { at_most } => assert_eq!(space.expire(*now, at_most), 0, "all had been removed"),
        Operation::Wait(time) => {
            *now += time;
            let due: Vec<u8> = model
                .all
                .iter()
                .filter(|(_, (_, deadline))| deadline.is_some_and(|deadline| deadline <= *now))
                .map(|(&key, _)| key)
                .collect();
            // Some go when they are looked at, some when the janitor comes.
            for &key in due.iter().take(due.len() / 2) {
                assert!(space.peek(&[key], *now).is_none());
            }
            space.expire(*now, usize::MAX);
            due.iter().for_each(|&key| {
                model.remove(key);
            });
        }
        Operation::Relocate(count) => {
            let mut next = Some(0);
            while let Some(from) = next {
                next = space.relocate(from, count, 500, 1000);
            }
        }
        Operation::Clear => {
            space.clear();
            *model = Model::default();
        }
    }
}

proptest! {
    #[test]
    fn a_keyspace_is_what_a_map_would_be(operations in prop::collection::vec(operation(), 1..200)) {
        let (mut space, mut model, mut now) = (Keyspace::new(), Model::default(), 1);
        for operation in &operations {
            apply(operation, &mut space, &mut model, &mut now);
            space.assert_invariants();
            prop_assert_eq!(space.len(), model.all.len());
        }
        for (key, (value, deadline)) in &model.all {
            let found = space.peek(&[*key], now).map(plain);
            prop_assert_eq!(found.as_ref(), Some(value));
            prop_assert_eq!(space.deadline(&[*key], now), Some(*deadline));
        }
        while let Some(key) = model.order.first().copied() {
            space.evict_oldest();
            prop_assert!(space.peek(&[key], now).is_none(), "the order of use is the model's");
            model.remove(key);
        }
        prop_assert_eq!(space.entry_bytes, 0);
    }
}

#[test]
fn a_value_is_read_as_it_was_written() {
    let mut space = Keyspace::new();
    space.insert(b"", Value::string(b""), None);
    space.insert(b"\0\r\n", Value::string(&[0xff; 3]), None);
    assert_eq!(string(space.read(b"", 0)), Some(vec![]));
    assert_eq!(string(space.read(b"\0\r\n", 0)), Some(vec![0xff; 3]));
}
