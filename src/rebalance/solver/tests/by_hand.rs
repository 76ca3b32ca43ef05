//! The worked example of `docs/rebalancer.md`: its tables are read, and the solver must come to the same numbers.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::super::contract::Contract;
use super::super::member::Reading;
use super::super::plan::{Transfer, TransferReason};
use super::super::{Settings, Solver};
use super::world::{ROUND, UNKNOWN};

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rebalancer.md"));

/// The rows of the table under `heading`, as text.
fn table(heading: &str) -> Vec<Vec<String>> {
    let lines = PAGE.lines().skip_while(|line| *line != heading);
    let table = lines
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'));
    let cells = |line: &str| {
        line.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().into())
            .collect()
    };
    let rows: Vec<_> = table.skip(2).map(cells).collect();
    assert!(!rows.is_empty(), "a table under {heading}");
    rows
}

/// A number with commas; `-` is none.
fn number(cell: &str) -> u64 {
    if cell == "-" {
        return u64::MAX;
    }
    cell.replace(',', "").parse().expect(cell)
}

fn numbers(row: &[String]) -> Vec<u64> {
    row.iter().map(|cell| number(cell)).collect()
}

#[test]
fn the_example_of_the_manual_is_what_happens() {
    let read = table("### What is read");
    let mut solver = Solver::new(Settings::default(), 99_000);
    solver.set_tau(0.75);
    let id_of = |name: &str| read.iter().position(|row| row[0] == name).expect(name) as u16;
    let readings: Vec<Reading> = (0..)
        .zip(&read)
        .map(|(id, row)| {
            let cells = numbers(&row[1..]);
            let contract = Contract {
                weight: cells[0] as u32,
                reservation: 0,
                limit: cells[1],
            };
            solver.join(id, contract, None);
            let [charged, protected, denied, free, emptied] = cells[2..] else {
                panic!("{row:?}")
            };
            // Emptied at this rate for so long that the average is that.
            let emptied = emptied * 1200;
            Reading {
                id,
                charged,
                protected,
                denied,
                emptied,
                live: charged - free,
                free,
            }
        })
        .collect();
    solver.begin(ROUND * 1200, &mut Vec::new());
    readings
        .iter()
        .for_each(|reading| solver.observe(reading, &UNKNOWN));
    let claimed: u64 = readings
        .iter()
        .map(|reading| reading.charged.max(reading.protected))
        .sum();
    let decisions = solver.decide(99_000 - claimed as i64).clone();
    solver.assert_invariants();

    for row in table("### What is decided") {
        let figures = solver.figures(id_of(&row[0])).expect("joined");
        let ours = [
            figures.entitlement,
            figures.demand,
            figures.wish,
            figures.demand.saturating_sub(figures.wish),
            figures.allowance,
        ];
        assert_eq!(&ours[..], &numbers(&row[1..])[..], "{}", row[0]);
    }
    for (id, entitlement) in &decisions.entitlements {
        assert_eq!(
            solver.figures(*id).map(|figures| figures.entitlement),
            Some(*entitlement)
        );
    }
    let outcome = table("### What follows");
    let of = |what: &str| outcome.iter().find(|row| row[0] == what).expect(what)[1].clone();
    assert_eq!(decisions.debt, number(&of("debt")));
    assert_eq!(decisions.frozen, [(id_of(&of("frozen")), true)]);
    assert_eq!(
        decisions.lowered,
        [(
            id_of(&of("lowered")),
            solver.figures(id_of(&of("lowered"))).expect("joined").wish
        )]
    );
    let Transfer {
        from,
        to,
        pages,
        reason,
    } = decisions.transfers[0];
    assert_eq!(
        (from, to, reason),
        (
            id_of(&of("gives")),
            id_of(&of("is owed")),
            TransferReason::Restoration
        )
    );
    assert_eq!((pages, decisions.transfers.len()), (number(&of("moved")), 1));
    assert_eq!(
        decisions.eta,
        Duration::from_millis(number(&of("paid after, ms")))
    );
}
