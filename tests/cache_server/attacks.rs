//! Promise: no client, whatever it asks, takes more memory than its tenant has, or more time than the request is long.

use std::time::{Duration, Instant};

use crate::client::{Client, Reply};
use crate::process::Server;

#[test]
fn a_pattern_of_stars_neither_recurses_nor_backtracks_for_ever() {
    let server = Server::start("");
    let mut client = server.client();
    let begin = Instant::now();
    let many = vec![b'*'; 1 << 20];
    let stars_then_a_letter = ["*a".repeat(40).as_bytes(), b"x"].concat();
    assert!(matches!(client.ask(&[b"CONFIG", b"GET", &many]), Reply::Array(all) if all.len() == 16));
    assert_eq!(
        client.ask(&[b"CONFIG", b"GET", &stars_then_a_letter]),
        Reply::Array(vec![])
    );
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

/// One tenant of 4 MiB without a password, and nothing that the process could not give it.
const SMALL: &str = "max_request = \"16MiB\"\n[[tenant]]\nname = \"a\"\nlimit = \"4MiB\"\n";
const LIMIT: u64 = 4 << 20;

/// That the tenant has never been charged more than its limit, and a little.
fn assert_within_limit(client: &mut Client) {
    let peak = client.info("peak");
    assert!(peak <= LIMIT + LIMIT / 16, "{peak} of {LIMIT}");
}

fn assert_refused(reply: &Reply, why: &str) {
    let text = reply.to_string();
    let start = &text[..text.len().min(200)];
    assert!(text.starts_with("-OOM ") && text.contains(why), "{start}");
}

#[test]
fn a_request_of_many_words_is_read_and_taken_apart_only_where_there_is_room() {
    let server = Server::start(SMALL);
    let mut client = server.client();
    assert_eq!(client.say("SET a 1"), "+OK");
    let words = |count: usize| [vec![b"EXISTS".as_slice()], vec![b"".as_slice(); count]].concat();
    assert_eq!(client.ask(&words(10_000)), Reply::Integer(0));
    assert_refused(&client.ask(&words(150_000)), "command not allowed");
    assert_refused(&client.ask(&words(1_000_000)), "bytes is not read");
    assert_eq!(
        client.say("GET a"),
        "\"1\"",
        "what cannot be had by any eviction evicts nothing"
    );
    assert_eq!(client.info("refused_writes"), 2);
    assert_within_limit(&mut client);
}

#[test]
fn a_connection_that_waits_holds_no_long_buffer() {
    let server = Server::start("[[tenant]]\nname = \"a\"\n");
    let (mut writer, mut reader) = (server.client(), server.client());
    let value = vec![b'v'; 8 << 20];
    assert_eq!(writer.ask(&[b"SET", b"a", &value]), Reply::Simple("OK".into()));
    assert_eq!(reader.ask(&[b"GET", b"a"]), Reply::Bulk(value));
    assert_eq!(server.client().say("DEL a"), "1");
    super::until("the buffers are given back", || {
        server.metric("cache_memory_charged{tenant=\"a\"}") < 1 << 20
    });
}
