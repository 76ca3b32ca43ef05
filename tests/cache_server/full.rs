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
fn who_is_full_alone_is_not_asked_for_what_nobody_else_wants() {
    let server = Server::start("[[tenant]]\nname = \"a\"\nlimit = \"16MiB\"\nadmin = true\n");
    let mut client = server.client();
    fill(&mut client, Duration::from_secs(4));
    // Nothing is written meanwhile: whoever is asked now, at each deadline of a second, would have to evict for it.
    std::thread::sleep(Duration::from_secs(3));
    assert!(client.info("used_memory") > 12 << 20, "it is full");
    assert_eq!(client.info("borrowed"), 0);
    let report = match client.ask(&[b"TENANCY", b"REPORT"]) {
        Reply::Bulk(bytes) => String::from_utf8(bytes).expect("text"),
        other => panic!("{other}"),
    };
    assert!(!report.contains("did not free what it was asked for"), "{report}");
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

#[test]
fn a_request_that_can_never_fit_evicts_nothing_and_one_that_can_is_served() {
    let server = Server::start("max_request = \"16MiB\"\n[[tenant]]\nname = \"a\"\nlimit = \"4MiB\"\n");
    let mut client = server.client();
    let value = vec![b'v'; 10 << 10];
    for number in 0..200 {
        let key = format!("key:{number}");
        assert_eq!(client.ask(&[b"SET", key.as_bytes(), &value]).to_string(), "+OK");
    }
    // Twice as much would fit nowhere: where it is read, and where it is kept.
    let long = vec![b'v'; 5 << 19];
    for words in [
        [b"SET".as_slice(), b"long", &long],
        [b"append", b"long", &long],
        [b"RPUSH", b"long", &long],
    ] {
        let reply = client.ask(&words).to_string();
        assert!(reply.starts_with("-OOM ") && reply.contains("limit"), "{reply}");
    }
    assert_eq!(client.say("DBSIZE"), "200");
    assert_eq!(client.info("evicted_keys"), 0);
    // It is read, if it is for nothing but that.
    assert_eq!(client.ask(&[b"EXISTS", &long]), Reply::Integer(0));
    let half = vec![b'v'; 3 << 19];
    assert_eq!(client.ask(&[b"SET", b"half", &half]), Reply::Simple("OK".into()));
    assert_eq!(client.ask(&[b"GET", b"half"]), Reply::Bulk(half));
}
