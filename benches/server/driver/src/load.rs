//! What clients ask for: a mix of commands over keys of which some are popular.

use std::time::Duration;

use anyhow::Result;

use crate::client::{Answer, Client};
use crate::random::{Random, Zipf, mix};

/// How much more the popular keys are asked for; what caches of the web see.
pub(crate) const EXPONENT: f64 = 0.99;

/// A client with its own random numbers.
pub(crate) struct Load {
    pub(crate) client: Client,
    pub(crate) random: Random,
    value: Vec<u8>,
}

impl Load {
    pub(crate) fn new(client: Client, seed: u64) -> Self {
        let mut random = Random::new(seed);
        // Bytes that nothing compresses, deduplicates or recognises.
        let value = (0..LONGEST).map(|_| random.next_u64() as u8).collect();
        Self {
            client,
            random,
            value,
        }
    }

    /// Sets every key once.
    pub(crate) fn fill(&mut self, keys: std::ops::Range<usize>) -> Result<()> {
        const BATCH: usize = 64;
        for (index, key) in keys.enumerate() {
            self.set(key);
            if index % BATCH == BATCH - 1 {
                self.client.exchange(|_| ())?;
            }
        }
        self.client.exchange(|_| ())
    }

    /// Adds one request of the mix to the batch.
    pub(crate) fn ask_mixed(&mut self, zipf: &Zipf) {
        let picked = zipf.pick(&mut self.random);
        let key = spread(picked, zipf.len());
        let name = name(key);
        match self.random.below(100) {
            0..55 => self.client.ask(&[b"GET", &name]),
            55..75 => self.set(key),
            // Values that end by themselves.
            75..80 => {
                let length = length(self.random.next_u64());
                let value = &self.value[..length];
                let short = [b"short:".as_slice(), &name].concat();
                self.client.ask(&[b"SET", &short, value, b"PX", b"500"]);
            }
            80..84 => self.client.ask(&[b"DEL", &name]),
            84..88 => {
                let counter = [b"count:".as_slice(), &name[..name.len() - 2]].concat();
                self.client.ask(&[b"INCR", &counter]);
            }
            88..91 => {
                let field = &name[name.len() - 4..];
                let hash = [b"hash:".as_slice(), &name[..name.len() - 4]].concat();
                let value = &self.value[..64];
                self.client.ask(&[b"HSET", &hash, field, value]);
            }
            91..94 => {
                let field = &name[name.len() - 4..];
                let hash = [b"hash:".as_slice(), &name[..name.len() - 4]].concat();
                self.client.ask(&[b"HGET", &hash, field]);
            }
            94..97 => {
                let list = [b"list:".as_slice(), &name[name.len() - 2..]].concat();
                let value = &self.value[..100];
                self.client.ask(&[b"LPUSH", &list, value]);
            }
            _ => {
                let list = [b"list:".as_slice(), &name[name.len() - 2..]].concat();
                self.client.ask(&[b"RPOP", &list]);
            }
        }
    }

    /// Reads keys as a cache is read, and sets those that were not there, to live for a time. How many were, and how many
    /// writes were refused.
    pub(crate) fn look_up(&mut self, zipf: &Zipf, batch: usize, lives: Duration) -> Result<LookUps> {
        let keys: Vec<usize> = (0..batch).map(|_| zipf.pick(&mut self.random)).collect();
        for &key in &keys {
            self.client.ask(&[b"GET", &name(key)]);
        }
        let mut missing = Vec::new();
        let mut index = 0;
        self.client.exchange(|answer| {
            if answer == Answer::Nothing {
                missing.push(keys[index]);
            }
            index += 1;
        })?;
        let lives = lives.as_millis().to_string();
        for &key in &missing {
            let length = length(self.random.next_u64());
            let value = &self.value[..length];
            self.client
                .ask(&[b"SET", &name(key), value, b"PX", lives.as_bytes()]);
        }
        let mut refused = 0;
        self.client
            .exchange(|answer| refused += u64::from(answer == Answer::Refused))?;
        Ok(LookUps {
            hits: (batch - missing.len()) as u64,
            misses: missing.len() as u64,
            refused,
        })
    }

    fn set(&mut self, key: usize) {
        let length = length(self.random.next_u64());
        self.client.ask(&[b"SET", &name(key), &self.value[..length]]);
    }
}

/// What came of reading keys.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LookUps {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) refused: u64,
}

/// Popular keys are not neighbours.
fn spread(rank: usize, keys: usize) -> usize {
    mix(rank as u64) as usize % keys
}

fn name(key: usize) -> Vec<u8> {
    format!("user:{key:08}").into_bytes()
}

const LONGEST: usize = 4096;

/// Half of the values are short, some are long.
fn length(random: u64) -> usize {
    let point = (random >> 8) as usize;
    match random % 10 {
        0..5 => 16 + point % 112,
        5..9 => 128 + point % 896,
        _ => 1024 + point % (LONGEST - 1024),
    }
}
