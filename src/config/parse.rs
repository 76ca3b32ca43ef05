//! The text form of [`Config`]: `capacity:2GiB,tau:0.9,fit:best`.
//!
//! Above: `config.rs`, which documents the form and checks ranges that the setters share.
//! Below: nothing.
//!
//! Values are read by small functions that know neither key nor place and say in words what they did not like;
//! [`read`] adds the key, the place and what is allowed there.

use alloc::borrow::Cow;
use alloc::format;
use core::fmt;
use core::time::Duration;

use super::{Config, Fit};
use crate::error::{EnvError, Error};

/// What is wrong with a value.
type Problem = &'static str;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Capacity,
    Fit,
    PurgeDelay,
    Tau,
    HugePages,
}

impl Key {
    const ALL: [Key; 5] = [Key::Capacity, Key::Fit, Key::PurgeDelay, Key::Tau, Key::HugePages];
    /// The names of all keys, for messages. A test holds it to `ALL`.
    const NAMES: &str = "capacity, fit, purge_delay, tau, huge_pages";

    const fn name(self) -> &'static str {
        match self {
            Key::Capacity => "capacity",
            Key::Fit => "fit",
            Key::PurgeDelay => "purge_delay",
            Key::Tau => "tau",
            Key::HugePages => "huge_pages",
        }
    }

    const fn allowed(self) -> &'static str {
        match self {
            Key::Capacity => "a whole number with B, KiB, MiB, GiB, TiB, KB, MB, GB or TB, as in 2GiB",
            Key::Fit => "best, worst or first",
            Key::PurgeDelay => "a whole number with ns, us, ms, s or m, as in 500ms",
            Key::Tau => "a number from 0 to 1 or a percentage, as in 0.9 or 90%",
            Key::HugePages => "on or off",
        }
    }
}

/// A part of the text that knows where it stands.
#[derive(Clone, Copy)]
struct Piece<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Piece<'a> {
    fn trimmed(self) -> Piece<'a> {
        let start = self.text.trim_start();
        Piece {
            text: start.trim_end(),
            position: self.position + (self.text.len() - start.len()),
        }
    }

    fn split_once(self, separator: char) -> Option<(Piece<'a>, Piece<'a>)> {
        let (left, right) = self.text.split_once(separator)?;
        let right = Piece {
            text: right,
            position: self.position + self.text.len() - right.len(),
        };
        Some((Piece { text: left, ..self }, right))
    }
}

/// Reads `text`, which came from the environment variable `variable` if from one.
pub(super) fn read(text: &str, variable: Option<&'static str>) -> Result<Config, Error> {
    let mut config = Config::new();
    let mut first_seen_at: [Option<usize>; Key::ALL.len()] = [None; _];
    let mut rest = Some(Piece { text, position: 0 });
    while let Some(whole) = rest {
        let (item, after) = match whole.split_once(',') {
            Some((item, after)) => (item.trimmed(), Some(after)),
            None => (whole.trimmed(), None),
        };
        rest = after;
        if item.text.is_empty() {
            continue;
        }

        let Some((name, value)) = item.split_once(':') else {
            let problem = "no `:` between key and value";
            return Err(EnvError::new(variable, Some(item.text), item.position, problem, "key:value").into());
        };
        let (name, value) = (name.trimmed(), value.trimmed());
        let fail = |at: Piece<'_>, problem: Cow<'static, str>, allowed| {
            Error::from(EnvError::new(
                variable,
                Some(name.text),
                at.position,
                problem,
                allowed,
            ))
        };

        let Some(key) = Key::ALL.into_iter().find(|key| key.name() == name.text) else {
            let problem = match nearest(name.text) {
                Some(key) => format!("unknown key, did you mean `{}`?", key.name()).into(),
                None => "unknown key".into(),
            };
            return Err(fail(name, problem, Key::NAMES));
        };
        if let Some(position) = first_seen_at[key as usize].replace(name.position) {
            let problem = format!("key given twice, first at byte {position}").into();
            return Err(fail(name, problem, "each key once"));
        }

        let outcome = match key {
            Key::Capacity => bytes(value.text).map(|bytes| config.capacity = Some(bytes)),
            Key::Fit => fit(value.text).map(|fit| config.fit = fit),
            Key::PurgeDelay => duration(value.text).map(|delay| config.purge_delay = delay),
            Key::Tau => tau(value.text).map(|tau| config.tau = tau),
            Key::HugePages => switch(value.text).map(|on| config.huge_pages = on),
        };
        outcome.map_err(|problem| fail(value, problem.into(), key.allowed()))?;
    }
    Ok(config)
}

/// Writes what [`read`] reads.
pub(super) fn write(config: &Config, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some(bytes) = config.capacity {
        let (number, unit) = in_largest_unit(u128::from(bytes), &SIZE_UNITS);
        write!(f, "{}:{number}{unit},", Key::Capacity.name())?;
    }
    write!(f, "{}:{},", Key::Fit.name(), config.fit)?;
    let (number, unit) = in_largest_unit(config.purge_delay.as_nanos(), &DURATION_UNITS);
    write!(f, "{}:{number}{unit},", Key::PurgeDelay.name())?;
    // The shortest decimal that reads back as the same number, as `f64` always prints.
    write!(f, "{}:{},", Key::Tau.name(), config.tau)?;
    write!(
        f,
        "{}:{}",
        Key::HugePages.name(),
        if config.huge_pages { "on" } else { "off" }
    )
}

/// Units and what they are worth. The first ones are those that [`write()`] uses, from large to small.
type Units<const N: usize> = [(&'static str, u128); N];

const SIZE_UNITS: Units<9> = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// In nanoseconds.
const DURATION_UNITS: Units<5> = [
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

fn in_largest_unit<const N: usize>(amount: u128, units: &Units<N>) -> (u128, &'static str) {
    let exact = units
        .iter()
        .find(|(_, worth)| amount != 0 && amount.is_multiple_of(*worth));
    // Every table has a unit worth 1; only an amount of 0 finds none.
    exact.map_or((0, units[N.min(5) - 1].0), |(unit, worth)| {
        (amount / worth, *unit)
    })
}

fn bytes(text: &str) -> Result<u64, Problem> {
    let (number, unit) = number_and_unit(text)?;
    let amount = if unit.is_empty() {
        Ok(number)
    } else {
        scale(number, unit, &SIZE_UNITS)
    };
    u64::try_from(amount?).map_err(|_| TOO_LARGE)
}

fn duration(text: &str) -> Result<Duration, Problem> {
    const NANOS_PER_SEC: u128 = 1_000_000_000;
    let (number, unit) = number_and_unit(text)?;
    if unit.is_empty() {
        return Err("no unit");
    }
    let nanos = scale(number, unit, &DURATION_UNITS)?;
    let secs = u64::try_from(nanos / NANOS_PER_SEC).map_err(|_| TOO_LARGE)?;
    Ok(Duration::new(secs, (nanos % NANOS_PER_SEC) as u32))
}

fn tau(text: &str) -> Result<f64, Problem> {
    let parse = |text: &str| text.trim_end().parse::<f64>().map_err(|_| "not a number");
    let tau = match text.strip_suffix('%') {
        Some(percent) => parse(percent)? / 100.0,
        None => parse(text)?,
    };
    if (0.0..=1.0).contains(&tau) {
        Ok(tau)
    } else {
        Err("out of range")
    }
}

pub(super) fn fit(text: &str) -> Result<Fit, Problem> {
    one_of(
        text,
        &[("best", Fit::Best), ("worst", Fit::Worst), ("first", Fit::First)],
    )
    .ok_or("not a known fit")
}

fn switch(text: &str) -> Result<bool, Problem> {
    let words = [
        ("on", true),
        ("off", false),
        ("true", true),
        ("false", false),
        ("yes", true),
        ("no", false),
        ("1", true),
        ("0", false),
    ];
    one_of(text, &words).ok_or("neither on nor off")
}

const TOO_LARGE: Problem = "too large";

fn number_and_unit(text: &str) -> Result<(u128, &str), Problem> {
    let (number, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    if number.is_empty() {
        return Err("not a whole number");
    }
    if unit.starts_with('.') {
        return Err("not a whole number, use a smaller unit");
    }
    // Digits alone can only fail by being too many.
    Ok((number.parse().map_err(|_| TOO_LARGE)?, unit.trim_start()))
}

fn scale<const N: usize>(number: u128, unit: &str, units: &Units<N>) -> Result<u128, Problem> {
    let worth = one_of(unit, units).ok_or("unknown unit")?;
    number.checked_mul(worth).ok_or(TOO_LARGE)
}

fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Option<T> {
    words
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(text))
        .map(|(_, value)| *value)
}

/// The key that `name` most likely was meant to be: at most a third of it mistyped.
fn nearest(name: &str) -> Option<Key> {
    let near = |key: &Key| edit_distance(name, key.name()) <= key.name().len().div_ceil(3);
    Key::ALL
        .into_iter()
        .filter(near)
        .min_by_key(|key| edit_distance(name, key.name()))
}

/// Bytes to insert, delete or replace, the case of letters aside, to make `name` from `key`.
///
/// One row of the usual table; a name much longer than any key is far from all of them without counting.
fn edit_distance(name: &str, key: &str) -> usize {
    const LEN_MAX: usize = 24;
    if name.len() > LEN_MAX {
        return name.len();
    }
    let mut row: [usize; LEN_MAX + 1] = core::array::from_fn(|column| column);
    for (above, k) in key.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for (column, n) in name.bytes().enumerate() {
            let replaced = diagonal + usize::from(!k.eq_ignore_ascii_case(&n));
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_names_is_complete() {
        let names = Key::ALL.map(Key::name).join(", ");
        assert_eq!(names, Key::NAMES);
        for (index, key) in Key::ALL.into_iter().enumerate() {
            assert_eq!(key as usize, index);
        }
    }

    #[test]
    fn edit_distance_counts_edits() {
        let cases = [
            ("tau", "tau", 0),
            ("TAU", "tau", 0),
            ("tua", "tau", 2),
            ("", "fit", 3),
            ("fitt", "fit", 1),
        ];
        for (name, key, distance) in cases {
            assert_eq!(edit_distance(name, key), distance, "{name}");
        }
    }
}
