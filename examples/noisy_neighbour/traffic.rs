//! Who sends what and when: a list of requests, worked out from the seed.
//!
//! Tenants take turns, a document each. After a warm-up that is not measured the run consists of [`ROUNDS`] rounds of
//! two halves, *quiet* and *noisy*: side by side, so that whatever else the machine does meanwhile falls on both.

use std::fmt::Write;

use crate::arguments::Arguments;
use crate::service;

/// The tenant that misbehaves: the last one is asked last, so that the report ends with it.
pub(crate) fn is_noisy(tenant: usize, tenants: usize) -> bool {
    tenant + 1 == tenants
}

/// How much longer the documents of the misbehaving tenant are.
pub(crate) const NOISE: usize = 16;

const ROUNDS: usize = 4;
/// The part of all requests that only warms up.
const WARM_UP: usize = 20;

/// What part of the run a request belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    WarmUp,
    Quiet,
    Noisy,
}

impl Phase {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::WarmUp => "warm-up",
            Phase::Quiet => "quiet",
            Phase::Noisy => "noisy",
        }
    }
}

/// All requests.
pub(crate) struct Traffic {
    tenants: usize,
    requests: usize,
    document_bytes: usize,
    seed: u64,
}

/// A document on its way.
pub(crate) struct Request {
    pub(crate) tenant: usize,
    pub(crate) phase: Phase,
    /// Whether its sender misbehaves at present: a long document, and everything is kept.
    pub(crate) is_greedy: bool,
    pub(crate) number: u64,
    bytes: usize,
    seed: u64,
}

impl Traffic {
    /// Checks that there is enough traffic for the limit to be met.
    pub(crate) fn new(arguments: &Arguments) -> Result<Self, String> {
        let traffic = Self {
            tenants: arguments.tenants.into(),
            requests: arguments.documents as usize * usize::from(arguments.tenants),
            document_bytes: arguments.document_bytes as usize,
            seed: arguments.seed,
        };
        let longest = service::estimate(traffic.document_bytes * NOISE);
        let least = 16 * longest;
        if arguments.limit < least {
            return Err(format!(
                "a limit of {} has no room for the long documents: give at least --limit {}MiB, or shorter ones",
                crate::view::Bytes(arguments.limit),
                least.div_ceil(1 << 20)
            ));
        }
        // Each noisy half must fill the limit, also if documents need only half of what is estimated.
        let filling = 2 * arguments.limit / longest;
        let documents = filling * 2 * ROUNDS as u64;
        if u64::from(arguments.documents) < documents {
            return Err(format!(
                "too few documents to meet a limit of {}: give at least --documents {documents}, or a lower --limit",
                crate::view::Bytes(arguments.limit),
            ));
        }
        Ok(traffic)
    }

    /// How many there are.
    pub(crate) fn requests(&self) -> usize {
        self.requests
    }

    /// The phase that request `number` belongs to.
    pub(crate) fn phase(&self, number: usize) -> Phase {
        let warm_up = self.requests / WARM_UP;
        let Some(measured) = number.checked_sub(warm_up) else {
            return Phase::WarmUp;
        };
        if (measured * ROUNDS * 2 / (self.requests - warm_up)).is_multiple_of(2) {
            Phase::Quiet
        } else {
            Phase::Noisy
        }
    }

    /// Request `number`, if there are so many.
    pub(crate) fn request(&self, number: usize) -> Option<Request> {
        if number >= self.requests {
            return None;
        }
        let (tenant, phase) = (number % self.tenants, self.phase(number));
        let is_greedy = phase == Phase::Noisy && is_noisy(tenant, self.tenants);
        Some(Request {
            tenant,
            phase,
            is_greedy,
            number: number as u64,
            bytes: self.document_bytes * if is_greedy { NOISE } else { 1 },
            seed: self.seed,
        })
    }
}

impl Request {
    /// The document: an order, with as many lines as its length asks for.
    pub(crate) fn text(&self) -> String {
        let mut random = Random(self.seed ^ self.number.wrapping_mul(0xd134_2543_de82_ef95));
        let mut text = String::with_capacity(self.bytes + 256);
        let random = &mut random;
        let _ = write!(
            text,
            r#"{{"id":{},"customer":{{"name":"{} {}","city":"{}"}},"note":"{} {}","lines":["#,
            self.number,
            Word(random.next()),
            Word(random.next()),
            Word(random.next()),
            Word(random.next()),
            Word(random.next()),
        );
        loop {
            let _ = write!(
                text,
                r#"{{"sku":"{:06X}","title":"{} {}","quantity":{},"cents":{},"tags":["{}","{}"]}}"#,
                random.next() & 0xff_ffff,
                Word(random.next()),
                Word(random.next()),
                1 + random.next() % 9,
                99 + random.next() % 100_000,
                Word(random.next()),
                Word(random.next()),
            );
            if text.len() >= self.bytes {
                break;
            }
            text.push(',');
        }
        text.push_str("]}");
        text
    }
}

/// A word of three syllables, one of 4,096.
struct Word(u64);

impl std::fmt::Display for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SYLLABLES: [&str; 16] = [
            "ba", "cor", "di", "fen", "ga", "hol", "ki", "lum", "mo", "nar", "pe", "quo", "ri", "sta", "tun",
            "ve",
        ];
        let syllable = |shift: u32| SYLLABLES[(self.0 >> shift) as usize % SYLLABLES.len()];
        write!(f, "{}{}{}", syllable(0), syllable(4), syllable(8))
    }
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
