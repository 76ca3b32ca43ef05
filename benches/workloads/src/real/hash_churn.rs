//! How does a hash map with string keys behave while its entries come and go and its table grows and shrinks?
//!
//! A `HashMap<String, Vec<String>>` as a table of subscriptions: users subscribe to topics, unsubscribe, leave; from time
//! to time the whole table is copied, and the old one dropped. The hash has fixed keys, so that runs are alike.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

use crate::{Outcome, Rng, Scale};

const USERS: usize = 50_000;
const STEPS: u64 = 2_800_000;
const STEPS_PER_COPY: u64 = 400_000;

type Subscriptions = HashMap<String, Vec<String>, BuildHasherDefault<DefaultHasher>>;

pub(super) fn run(scale: Scale) -> Outcome {
    let steps = scale.of(STEPS);
    let mut rng = Rng::new(3);
    let mut subscriptions = Subscriptions::default();
    for step in 0..steps {
        let user = format!("user-{:06}", rng.below(USERS));
        match rng.below(10) {
            0..6 => subscribe(&mut subscriptions, user, topic(&mut rng)),
            6..8 => unsubscribe(&mut subscriptions, &user),
            _ => drop(subscriptions.remove(&user)),
        }
        if step % STEPS_PER_COPY == 0 {
            subscriptions = subscriptions.clone();
        }
    }
    Outcome::of(steps)
}

fn subscribe(subscriptions: &mut Subscriptions, user: String, topic: String) {
    subscriptions.entry(user).or_default().push(topic);
}

fn unsubscribe(subscriptions: &mut Subscriptions, user: &str) {
    if let Some(topics) = subscriptions.get_mut(user) {
        topics.pop();
        topics.shrink_to_fit();
    }
}

fn topic(rng: &mut Rng) -> String {
    let length = rng.between(5, 60);
    rng.word(length)
}
