//! How fast is a service that reads documents, changes them and writes them again?
//!
//! Orders generated from a seed are parsed by `serde_json` into its dynamic tree, some fields are removed, renamed and
//! added, and the tree is written to a new string.

use serde_json::{Map, Value};

use crate::{Outcome, Rng, Scale};

const DOCUMENTS: usize = 64;
const PASSES: u64 = 200;

pub(super) fn run(scale: Scale) -> Outcome {
    let passes = scale.of(PASSES);
    let mut rng = Rng::new(1);
    let documents: Vec<String> = (0..DOCUMENTS).map(|number| document(&mut rng, number)).collect();
    let mut answers = Vec::with_capacity(DOCUMENTS);
    for _ in 0..passes {
        answers.clear();
        answers.extend(documents.iter().map(|text| answer(text)));
    }
    Outcome::of(passes * DOCUMENTS as u64)
}

fn answer(text: &str) -> String {
    let mut order: Map<String, Value> = serde_json::from_str(text).expect("we wrote this document");
    let Some(Value::Array(mut items)) = order.remove("items") else {
        panic!("every order has items")
    };
    items.retain(|item| item["in_stock"] == true);
    let mut total = 0;
    for item in &mut items {
        let item = item.as_object_mut().expect("an item is an object");
        let cents = item["cents"].as_u64().unwrap_or(0) * item["quantity"].as_u64().unwrap_or(0);
        total += cents;
        item.remove("notes");
        item.insert("line_total".to_owned(), cents.into());
    }
    order.insert("positions".to_owned(), items.into());
    order.insert("total".to_owned(), total.into());
    serde_json::to_string(&order).expect("a tree of plain values")
}

fn document(rng: &mut Rng, number: usize) -> String {
    let items: Vec<Value> = (0..rng.between(20, 200)).map(|_| item(rng)).collect();
    serde_json::json!({
        "order": number,
        "customer": { "name": sentence(rng, 2), "email": format!("{}@example.org", rng.word(9)), "vip": rng.chance(5) },
        "address": [sentence(rng, 3), rng.word(8), rng.below(100_000)],
        "items": items,
    })
    .to_string()
}

fn item(rng: &mut Rng) -> Value {
    let (title_words, notes_words) = (rng.between(1, 6), rng.between(0, 30));
    let tags: Vec<String> = (0..rng.between(0, 5)).map(|_| rng.word(6)).collect();
    serde_json::json!({
        "sku": rng.word(12),
        "title": sentence(rng, title_words),
        "notes": sentence(rng, notes_words),
        "cents": rng.below(100_000),
        "quantity": rng.between(1, 9),
        "weight": rng.unit() * 10.0,
        "in_stock": rng.chance(80),
        "tags": tags,
    })
}

fn sentence(rng: &mut Rng, words: usize) -> String {
    let words: Vec<String> = (0..words)
        .map(|_| {
            let length = rng.between(2, 10);
            rng.word(length)
        })
        .collect();
    words.join(" ")
}
