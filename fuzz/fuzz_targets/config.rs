//! Any text is an error or a configuration; any configuration is a text that gives it back.
#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tenancy::{Config, Fit};

#[derive(Arbitrary, Debug)]
enum Start<'a> {
    Text(&'a str),
    Options {
        capacity: Option<u64>,
        fit: u8,
        purge_delay: Duration,
        tau: f64,
        huge_pages: bool,
    },
}

fuzz_target!(|start: Start<'_>| {
    let config = match start {
        Start::Text(text) => match Config::parse(text) {
            Ok(config) => config,
            // The message is made of the text, whatever that is.
            Err(error) => return drop(error.to_string()),
        },
        Start::Options {
            capacity,
            fit,
            purge_delay,
            tau,
            huge_pages,
        } => {
            let fit = [Fit::Best, Fit::Worst, Fit::First][fit as usize % 3];
            let options = Config::new()
                .fit(fit)
                .purge_delay(purge_delay)
                .huge_pages(huge_pages);
            let options = options.tau(if (0.0..=1.0).contains(&tau) { tau } else { 0.5 });
            match capacity {
                Some(bytes) => options.capacity(bytes.max(16 << 20)),
                None => options,
            }
        }
    };
    assert_eq!(Config::parse(&config.to_string()), Ok(config.clone()), "{config}");
});
