//! Promise: a tenant that is full, as a cache is most of the time, goes on: it evicts as much as it writes.

use std::time::{Duration, Instant};

use crate::client::{Client, Reply};
use crate::process::Server;

/// Sets keys of many sizes, one after the other, for so long.
fn fill(client: &mut Client, time: Duration) {
    let begin = Instant::now();
    let mut number = 0usize;
    while begin.elapsed() < time {
        let key = format!("key:{number}");
        let value = vec![b'v'; number * 7919 % 3000];
        assert_eq!(
            client.ask(&[b"SET", key.as_bytes(), &value]),
            Reply::Simple("OK".into())
        );
        number += 1;
    }
}

#[test]
fn who_is_full_and_only_asks_whether_there_is_room_is_denied_nothing() {
    let server = Server::start("[[tenant]]\nname = \"a\"\nlimit = \"16MiB\"\n");
    let mut client = server.client();
    fill(&mut client, Duration::from_millis(1500));
    assert!(client.info("evicted_keys") > 0, "it is full");
    assert_eq!(client.info("denied"), 0);
    // Nor has it ever held what it asked for.
    let small = Server::start("[[tenant]]\nname = \"a\"\nlimit = \"256MiB\"\n");
    let mut client = small.client();
    assert_eq!(client.say("SET a 1"), "+OK");
    assert!(client.info("peak") < 1 << 20, "{}", client.info("peak"));
}
