//! Promise: what a tenant has borrowed goes to whom it belongs when that one wants it: by keys that were used longest ago.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::client::{Client, Reply, encoded};
use crate::process::Server;
use crate::until;

/// Of 64 MiB, less the headroom, each is entitled to a third, and so is root. Most of its third `sleeper` may have at any time.
const TENANTS: &str = r#"
capacity = "64MiB"

[[tenant]]
name = "borrower"

[[tenant]]
name = "sleeper"
reservation = "16MiB"
"#;

const RESERVED: u64 = 16 << 20;

const VALUE: [u8; 1000] = [b'v'; 1000];

fn key(number: usize) -> Vec<u8> {
    format!("key:{number}").into_bytes()
}

/// Writes these keys, a hundred requests at a time.
fn set(client: &mut Client, keys: std::ops::Range<usize>) {
    for number in keys.clone().step_by(100) {
        let batch = number..keys.end.min(number + 100);
        let requests: Vec<u8> = batch
            .clone()
            .flat_map(|number| encoded(&[b"SET", &key(number), &VALUE]))
            .collect();
        client.stream.write_all(&requests).expect("sent");
        for number in batch {
            assert_eq!(client.read(), Reply::Simple("OK".into()), "key {number}");
        }
    }
}

fn has(client: &mut Client, number: usize) -> bool {
    client.ask(&[b"EXISTS", &key(number)]) == Reply::Integer(1)
}

/// How many keys it has evicted once it is asked for no more.
fn evicted_at_rest(client: &mut Client) -> u64 {
    let mut evicted = client.info("evicted_keys");
    until("nobody is asked for more", || {
        std::thread::sleep(Duration::from_millis(1500));
        let before = std::mem::replace(&mut evicted, client.info("evicted_keys"));
        before == evicted
    });
    evicted
}

#[test]
fn who_wakes_gets_its_memory_from_the_borrowers_oldest_keys() {
    let server = Server::start(TENANTS);
    let (mut borrower, mut sleeper) = (server.client(), server.client());
    assert_eq!(sleeper.say("SELECT 1"), "+OK");
    // 1. One fills its cache, far above what it is entitled to, and is idle from then on: it evicts nothing by itself.
    const WRITTEN: usize = 60_000;
    set(&mut borrower, 0..WRITTEN);
    let by_itself = evicted_at_rest(&mut borrower);
    let lent = borrower.info("borrowed");
    assert!(lent > 8 << 20, "it borrowed {lent}");

    // 2. The other wakes. Inside its reservation it waits for nobody.
    let mut written = 0;
    let mut write = |sleeper: &mut Client| {
        set(sleeper, written..written + 100);
        written += 100;
        sleeper.info("charged")
    };
    while write(&mut sleeper) < RESERVED - (1 << 20) {}
    assert_eq!(
        (sleeper.info("evicted_keys"), sleeper.info("refused_writes")),
        (0, 0)
    );

    // 3. Above it, it gets what it is entitled to from who borrowed that.
    let wanted = sleeper.info("entitlement") * 7 / 8;
    let begin = Instant::now();
    while write(&mut sleeper) < wanted {
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "{}",
            sleeper.info("charged")
        );
    }
    assert_eq!(sleeper.info("refused_writes"), 0);

    // 4. It was the callback that evicted: the borrower wrote nothing. What it used last is still there.
    let (now, returned) = (borrower.info("borrowed"), wanted - RESERVED);
    assert!(now + returned < lent + (2 << 20), "{now} of {lent}");
    let evicted = evicted_at_rest(&mut borrower);
    assert!(evicted > by_itself, "{evicted} keys, {by_itself} before");
    let first = usize::try_from(evicted).expect("a number of keys");
    assert_eq!(borrower.say("DBSIZE"), (WRITTEN - first).to_string());
    assert!((0..first).step_by(37).all(|number| !has(&mut borrower, number)));
    assert!((WRITTEN - 10_000..WRITTEN).all(|number| has(&mut borrower, number)));
}
