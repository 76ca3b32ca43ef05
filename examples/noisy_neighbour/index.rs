//! Orders, and an index of the newest of them by word.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

/// A parsed order with its totals.
pub(crate) struct Order(Value);

impl Order {
    /// Parses an order and transforms it: sums for each line and for the whole, titles in lower case, no notes.
    pub(crate) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let mut order: Value = serde_json::from_str(text)?;
        let mut total = 0;
        for line in order["lines"].as_array_mut().into_iter().flatten() {
            let sum = line["quantity"].as_u64().unwrap_or(0) * line["cents"].as_u64().unwrap_or(0);
            total += sum;
            line["sum"] = sum.into();
            if let Some(title) = line["title"].as_str().map(str::to_lowercase) {
                line["title"] = title.into();
            }
        }
        order["total"] = total.into();
        if let Some(fields) = order.as_object_mut() {
            fields.remove("note");
        }
        Ok(Self(order))
    }

    /// The words by which it is found.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        let lines = self.0["lines"].as_array().into_iter().flatten();
        lines.flat_map(|line| line["title"].as_str().unwrap_or("").split(' '))
    }
}

/// Orders by number and by word.
#[derive(Default)]
pub(crate) struct Index {
    /// The oldest first.
    orders: VecDeque<(u64, Order)>,
    /// Numbers of the orders with a word, the oldest first.
    by_word: HashMap<String, VecDeque<u64>>,
}

impl Index {
    /// Adds an order and forgets the oldest until there are at most `keeps`.
    pub(crate) fn insert(&mut self, number: u64, order: Order, keeps: usize) {
        for word in order.words() {
            if let Some(numbers) = self.by_word.get_mut(word) {
                numbers.push_back(number);
            } else {
                self.by_word.insert(word.into(), VecDeque::from([number]));
            }
        }
        self.orders.push_back((number, order));
        while self.orders.len() > keeps {
            self.forget_oldest();
        }
    }

    /// How many orders have the word.
    pub(crate) fn search(&self, word: &str) -> usize {
        self.by_word.get(word).map_or(0, VecDeque::len)
    }

    fn forget_oldest(&mut self) {
        let Some((_, order)) = self.orders.pop_front() else {
            return;
        };
        for word in order.words() {
            if let Some(numbers) = self.by_word.get_mut(word) {
                numbers.pop_front();
                if numbers.is_empty() {
                    self.by_word.remove(word);
                }
            }
        }
    }
}
