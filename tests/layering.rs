//! Promise: the arrows of the map (ARCHITECTURE.md) and the list of places for `unsafe` (docs/safety.md) hold in the source,
//! and what a round decides is plain arithmetic.
//!
//! A text scan, not a compiler: it splits each file of `src/` into words, apart from comments and strings, and looks
//! at paths that start with `crate` or leave their folder by `super`. What it cannot see (a path that a macro puts
//! together, a re-export that hides where a name comes from) it refuses where it can: names are taken from the module
//! that defines them, never from the crate's root.
//!
//! To add a module, give it a row in [`MAY_NAME`]. `layering/source.rs` splits the files, and `layering/seeded.rs`
//! tests the checks of this file on seeded mistakes.
// Miri does not let a test read files.
#![cfg(not(miri))]

#[path = "layering/seeded.rs"]
mod seeded;
#[path = "layering/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::fmt::Debug;

use source::{Source, sources};

/// The modules below everything: everybody may name them, and they name only each other.
const BELOW_EVERYTHING: &[&str] = &["base", "config", "error", "size_class"];

/// For every other top-level module, what it may name besides itself and what is below everything.
const MAY_NAME: &[(&str, &[&str])] = &[
    // The path of a request, from the bottom up.
    ("os", &[]),
    ("span", &["os"]),
    ("slab", &["os", "span"]),
    ("pool", &["os", "span", "slab", "ledger"]),
    ("cache", &["os", "span", "slab", "pool"]),
    ("heap", &["os", "span", "slab", "pool", "cache", "ledger"]),
    (
        "tenant",
        &["os", "span", "slab", "pool", "cache", "heap", "ledger"],
    ),
    (
        "global",
        &["os", "span", "slab", "pool", "cache", "heap", "tenant"],
    ),
    // Beside the path.
    ("ledger", &[]),
    ("rebalance", &["os", "span", "pool", "heap", "tenant", "ledger"]),
    (
        "report",
        &[
            "os",
            "span",
            "slab",
            "pool",
            "cache",
            "heap",
            "tenant",
            "ledger",
            "rebalance",
        ],
    ),
    // Above everything: what other libraries want of us.
    ("integrations", &["ledger", "tenant", "report"]),
    // Above everything: what fuzz targets drive, in no ordinary build.
    (
        "fuzzing",
        &["os", "span", "slab", "pool", "cache", "heap", "tenant", "ledger"],
    ),
];

/// The path of a request: in this order, nothing names what comes after it.
const PATH: &[&str] = &["os", "span", "slab", "pool", "cache", "tenant", "global"];

/// Arrows against the map: file, what it names, why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "base/checks.rs",
        "os",
        "the last words before an abort are written by the platform",
    ),
    ("base/lock.rs", "os", "a waiting thread is parked by the platform"),
    (
        "base/lock/tests.rs",
        "os",
        "what is out of rank is told in the last words of a process",
    ),
    ("base/waker.rs", "os", "as in `base/lock.rs`"),
    (
        "base/barrier.rs",
        "os",
        "the platform orders threads that do not order themselves",
    ),
    ("config.rs", "heap", "`Config::apply` is where the options go in"),
    (
        "heap/start.rs",
        "tenant",
        "a fork takes the locks of all layers, the registry's first",
    ),
    (
        "heap/start.rs",
        "rebalance",
        "a fork takes the locks of all layers, also of what is beside the path",
    ),
    (
        "error.rs",
        "tenant",
        "a refusal says whose limit it was, by `TenantId`, a number",
    ),
];

/// Macros that the crate's root has a short name for.
const ROOT_MACROS: &[&str] = &["check"];

/// Where `unsafe` may stand: modules, each with everything below it. `slab` is `slab.rs` and `slab/`.
const UNSAFE_PLACES: &[&str] = &[
    "global",
    "tenant/scope",
    "tenant/future",
    "tenant/allocator",
    "tenant/arena",
    "cache",
    "heap",
    "pool",
    "slab",
    "span",
    "os",
    "base/lock",
    "fuzzing",
];

/// Modules that say `forbid(unsafe_code)` themselves, so that the compiler keeps it too.
const UNSAFE_FORBIDDEN: &[&str] = &["integrations", "ledger", "rebalance", "report"];

/// The arithmetic of rounds: a module that has no lock, no atomic and no clock, so that a plan follows from numbers alone.
const ARITHMETIC: &str = "rebalance/solver";

/// Its tests, which may look how long it takes.
const ARITHMETIC_TESTS: &str = "rebalance/solver/tests";

/// What it names of the modules that have more to them than arithmetic; of others it names nothing.
const ARITHMETIC_MAY_NAME: &[(&[&str], &[&str])] = &[
    (&[], &["base", "ledger", "rebalance"]),
    (&["base"], &["units"]),
    (&["ledger"], &["CLAIM_UNITS", "Level"]),
    (&["rebalance"], &["policy"]),
];

/// Words that stand for locks, atomics and clocks, wherever they come from.
const NO_ARITHMETIC: &[&str] = &["sync", "cell", "thread", "Instant", "SystemTime"];

/// How many lines of code may stand between a `SAFETY:` comment and what it is about.
const SAFETY_LINES: usize = 6;

/// The length at which a file is asked for its second idea.
const LINES_MAX: usize = 500;

/// Files that are longer, and why each is still one idea.
const LONG_FILES: &[(&str, &str)] = &[];

#[test]
fn nothing_below_names_what_is_above() {
    refuse(&sources(), arrows);
}

#[test]
fn unsafe_stands_where_the_list_allows_it() {
    refuse(&sources(), unsafe_places);
}

#[test]
fn every_unsafe_block_and_impl_says_why_it_is_sound() {
    refuse(&sources(), safety_comments);
}

#[test]
fn the_side_of_the_path_forbids_unsafe() {
    refuse(&sources(), unsafe_forbidden);
}

#[test]
fn rounds_are_plain_arithmetic() {
    refuse(&sources(), arithmetic);
}

#[test]
fn a_file_is_one_idea() {
    refuse(&sources(), long_files);
}

#[test]
fn the_lists_of_this_file_are_not_longer_than_needed() {
    refuse(&sources(), stale_entries);
}

#[test]
fn the_table_is_the_map() {
    for (index, layer) in PATH.iter().enumerate() {
        let (_, may) = MAY_NAME
            .iter()
            .find(|(module, _)| module == layer)
            .expect("every layer has a row");
        for above in &PATH[index + 1..] {
            assert!(!may.contains(above), "{layer} may name {above}");
        }
        assert!(
            !may.contains(&"rebalance") && !may.contains(&"report"),
            "{layer} names what is beside it"
        );
        assert_eq!(
            may.contains(&"ledger"),
            ["pool", "tenant"].contains(layer),
            "{layer} and the ledger"
        );
    }
    let rank = |name: &str| {
        MAY_NAME
            .iter()
            .position(|(module, _)| *module == name)
            .expect("a row")
    };
    for (module, may) in MAY_NAME {
        for other in *may {
            assert!(
                *other == "ledger" || rank(other) < rank(module),
                "{module} and {other} form a circle"
            );
        }
    }
}

// ---- The checks. Each takes the whole source and returns one line per mistake. ----

fn arrows(sources: &[Source]) -> Vec<String> {
    let mut mistakes = Vec::new();
    for source in sources.iter().filter(|source| source.path != "lib.rs") {
        let from = source.module()[0].clone();
        let below = BELOW_EVERYTHING.contains(&from.as_str());
        let row = MAY_NAME.iter().find(|(module, _)| *module == from);
        if !below && row.is_none() {
            mistakes.push(format!("{}: module `{from}` has no row in MAY_NAME", source.path));
            continue;
        }
        for (name, line) in source.root_names() {
            let allowed = name == from
                || BELOW_EVERYTHING.contains(&name.as_str())
                || ROOT_MACROS.contains(&name.as_str())
                || row.is_some_and(|(_, may)| may.contains(&name.as_str()))
                || EXCEPTIONS
                    .iter()
                    .any(|(file, target, _)| *file == source.path && *target == name);
            if allowed {
                continue;
            }
            let known = MAY_NAME.iter().any(|(module, _)| *module == name);
            let advice = if known {
                "is above it or beside it"
            } else {
                "is not a module of the map"
            };
            mistakes.push(format!(
                "{}:{line}: `{from}` names `crate::{name}`, which {advice}",
                source.path
            ));
        }
    }
    mistakes
}

fn unsafe_places(sources: &[Source]) -> Vec<String> {
    let outside = sources.iter().filter(|source| !may_be_unsafe(source));
    let found = outside.flat_map(|source| source.lines_of("unsafe").map(move |line| (source, line)));
    found
        .map(|(source, line)| format!("{}:{line}: `unsafe` is not allowed here", source.path))
        .collect()
}

fn may_be_unsafe(source: &Source) -> bool {
    UNSAFE_PLACES.iter().any(|place| covers(place, source))
}

/// Whether a source is the module `place`, or below it.
fn covers(place: &str, source: &Source) -> bool {
    let module = source.module().join("/");
    module
        .strip_prefix(place)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn safety_comments(sources: &[Source]) -> Vec<String> {
    let mut mistakes = Vec::new();
    for source in sources {
        for pair in source.tokens.windows(2) {
            let opens = pair[0].text == "unsafe" && ["{", "impl"].contains(&pair[1].text.as_str());
            if opens && !source.has_comment_above("SAFETY:", pair[0].line, SAFETY_LINES) {
                let (path, line, what) = (&source.path, pair[0].line, &pair[1].text);
                mistakes.push(format!(
                    "{path}:{line}: `unsafe {what}` without a SAFETY comment above it"
                ));
            }
        }
    }
    mistakes
}

fn unsafe_forbidden(sources: &[Source]) -> Vec<String> {
    let mut mistakes = Vec::new();
    for module in UNSAFE_FORBIDDEN {
        let mut files = sources
            .iter()
            .filter(|source| source.module()[0] == *module)
            .peekable();
        // A module that is not written yet forbids nothing; `the_table_is_the_map` wants its row all the same.
        let Some(_) = files.peek() else { continue };
        let front = files.find(|source| source.module().len() == 1);
        if !front.is_some_and(|source| source.contains("#![forbid(unsafe_code)]")) {
            mistakes.push(format!(
                "{module}: its front page does not say #![forbid(unsafe_code)]"
            ));
        }
    }
    if !sources
        .iter()
        .any(|source| source.path == "lib.rs" && source.contains("#![deny(unsafe_code)]"))
    {
        mistakes.push("lib.rs does not say #![deny(unsafe_code)]".into());
    }
    mistakes
}

fn arithmetic(sources: &[Source]) -> Vec<String> {
    let mut mistakes = Vec::new();
    let inside = sources
        .iter()
        .filter(|source| covers(ARITHMETIC, source) && !covers(ARITHMETIC_TESTS, source));
    for source in inside {
        for (place, may) in ARITHMETIC_MAY_NAME {
            for (name, line) in source.names_of(place) {
                if !may.contains(&name.as_str()) {
                    let from = place.join("::");
                    mistakes.push(format!(
                        "{}:{line}: `{name}` of `crate::{from}` is no arithmetic",
                        source.path
                    ));
                }
            }
        }
        for word in NO_ARITHMETIC {
            let lines = source.lines_of(word);
            mistakes.extend(lines.map(|line| format!("{}:{line}: `{word}` is no arithmetic", source.path)));
        }
    }
    mistakes
}

fn long_files(sources: &[Source]) -> Vec<String> {
    let long = sources.iter().filter(|source| source.lines > LINES_MAX);
    long.filter(|source| !LONG_FILES.iter().any(|(path, _)| *path == source.path))
        .map(|source| {
            format!(
                "{}: {} lines; past {LINES_MAX}, look for the second idea",
                source.path, source.lines
            )
        })
        .collect()
}

/// Finds entries of the lists above that no file needs any more, or that stand there twice.
fn stale_entries(sources: &[Source]) -> Vec<String> {
    let mut mistakes = Vec::new();
    for (file, target, _) in EXCEPTIONS {
        let source = sources.iter().find(|source| source.path == *file);
        if !source.is_some_and(|source| source.root_names().iter().any(|(name, _)| name == target)) {
            mistakes.push(format!("EXCEPTIONS: {file} does not name crate::{target}"));
        }
    }
    for (file, _) in LONG_FILES {
        if !sources
            .iter()
            .any(|source| source.path == *file && source.lines > LINES_MAX)
        {
            mistakes.push(format!("LONG_FILES: {file} is not longer than {LINES_MAX} lines"));
        }
    }
    for place in UNSAFE_PLACES {
        let mut inside = sources.iter().filter(|source| covers(place, source));
        if !inside.any(|source| source.lines_of("unsafe").next().is_some()) {
            mistakes.push(format!("UNSAFE_PLACES: there is no `unsafe` in {place}"));
        }
    }
    mistakes.extend(doubles(
        "EXCEPTIONS",
        EXCEPTIONS.iter().map(|(file, target, _)| (file, target)),
    ));
    mistakes.extend(doubles("LONG_FILES", LONG_FILES.iter().map(|(file, _)| file)));
    mistakes.extend(doubles("UNSAFE_PLACES", UNSAFE_PLACES.iter()));
    mistakes
}

fn doubles<E: Ord + Debug>(list: &str, entries: impl Iterator<Item = E>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    entries
        .filter_map(|entry| seen.replace(entry))
        .map(|entry| format!("{list}: {entry:?} stands there twice"))
        .collect()
}

fn refuse(sources: &[Source], check: fn(&[Source]) -> Vec<String>) {
    let mistakes = check(sources);
    assert!(
        mistakes.is_empty(),
        "{} mistakes:\n{}",
        mistakes.len(),
        mistakes.join("\n")
    );
}
