//! Promise: no client, whatever it asks, takes more memory than its tenant has, or more time than the request is long.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::client::{Client, Reply, encoded};
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

/// Sends many requests, some hundreds before their replies are read.
fn send_all(client: &mut Client, requests: impl Iterator<Item = Vec<u8>>) {
    let requests: Vec<_> = requests.collect();
    for batch in requests.chunks(500) {
        client.stream.write_all(&batch.concat()).expect("sent");
        for _ in batch {
            let reply = client.read();
            assert!(!matches!(reply, Reply::Error(_)), "{reply}");
        }
    }
}

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
        server.metric("cache_memory_charged_bytes{tenant=\"a\"}") < 1 << 20
    });
}

#[test]
fn a_connection_that_is_idle_holds_no_buffer_at_all() {
    let server = Server::start("");
    let mut clients: Vec<_> = (0..400).map(|_| server.client()).collect();
    for client in &mut clients {
        assert_eq!(client.say("SET a 1"), "+OK");
    }
    super::until("the buffers are given back", || {
        root_charged(&mut clients[0]) < 4 << 20
    });
    for client in &mut clients {
        assert_eq!(client.say("GET a"), "\"1\"");
    }
}

/// What root is charged, by the report.
fn root_charged(client: &mut Client) -> u64 {
    let report = match client.ask(&[b"TENANCY", b"REPORT"]) {
        Reply::Bulk(bytes) => String::from_utf8(bytes).expect("text"),
        other => panic!("{other}"),
    };
    let row = report.lines().find(|line| line.starts_with("root"));
    let mut words = row.expect("root has a row").split_whitespace();
    // Behind its weight, its reservation, and a dash, for it has no limit.
    words.by_ref().find(|word| *word == "-").expect("no limit");
    let number: f64 = words.next().and_then(|word| word.parse().ok()).expect("a number");
    let unit = match words.next() {
        Some("KiB") => 1024.0,
        Some("MiB") => 1048576.0,
        other => panic!("{other:?}"),
    };
    (number * unit) as u64
}

#[cfg(target_os = "linux")]
#[test]
fn whether_a_silent_client_is_still_there_is_asked() {
    let server = Server::start("");
    let mut client = server.client();
    assert_eq!(client.say("PING"), "+PONG");
    let port = client.stream.local_addr().expect("it is bound").port();
    let (own, others) = (format!(":{:04X}", server.address.port()), format!(":{port:04X}"));
    let sockets = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let row = sockets
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = row
        .into_iter()
        .find(|row| row[1].ends_with(&own) && row[2].ends_with(&others));
    let timer = row.expect("the server's end of the connection")[5];
    assert!(timer.starts_with("02:"), "a timer that keeps alive: {timer}");
}

#[test]
fn a_reply_is_given_only_where_there_is_room() {
    let server = Server::start(SMALL);
    let mut client = server.client();
    let value = vec![b'v'; 500 << 10];
    assert_eq!(client.ask(&[b"SET", b"k", &value]), Reply::Simple("OK".into()));
    assert_eq!(client.ask(&[b"RPUSH", b"l", &value, b"last"]), Reply::Integer(2));
    assert_eq!(client.ask(&[b"HSET", b"h", b"f", &value]), Reply::Integer(1));
    // What fits is answered.
    let once = || Reply::Bulk(value.clone());
    assert_eq!(
        client.ask(&[b"MGET", b"k", b"k"]),
        Reply::Array(vec![once(), once()])
    );
    // What does not fit is refused: 2 GB, 15 MB, 4 MB.
    let gets = |count: usize| [vec![b"MGET".as_slice()], vec![b"k".as_slice(); count]].concat();
    assert_refused(&client.ask(&gets(4000)), "16777216, the longest");
    assert_refused(&client.ask(&gets(30)), "limit");
    assert_refused(&client.ask(&gets(7)), "limit");
    let infos = [
        vec![b"COMMAND".as_slice(), b"INFO"],
        vec![b"get".as_slice(); 30_000],
    ]
    .concat();
    assert_refused(&client.ask(&infos), "limit");
    // Nothing has been evicted for it, and everything is there to be read.
    assert_eq!(client.say("DBSIZE"), "3");
    assert_eq!(client.ask(&[b"GET", b"k"]), once());
    assert_eq!(
        client.ask(&[b"HGETALL", b"h"]),
        Reply::Array(vec![Reply::Bulk(b"f".to_vec()), once()])
    );
    let last = Reply::Bulk(b"last".to_vec());
    assert_eq!(
        client.ask(&[b"LRANGE", b"l", b"0", b"-1"]),
        Reply::Array(vec![once(), last.clone()])
    );
    // What is taken is told.
    assert_eq!(client.ask(&[b"LPOP", b"l", b"1"]), Reply::Array(vec![once()]));
    assert_eq!(client.ask(&[b"LPOP", b"l"]), last);
    assert_eq!(client.ask(&[b"SET", b"k", b"new", b"GET"]), once());
    assert_eq!(client.say("GET k"), "\"new\"");
    assert_within_limit(&mut client);
}

#[test]
fn what_changes_something_answers_or_changes_nothing() {
    let server = Server::start("max_request = \"1MiB\"\n[[tenant]]\nname = \"a\"\n");
    let mut client = server.client();
    let value = vec![b'v'; 600 << 10];
    for _ in 0..2 {
        client.ask(&[b"RPUSH", b"l", &value]);
    }
    assert_refused(&client.ask(&[b"LPOP", b"l", b"2"]), "1048576, the longest");
    assert_refused(
        &client.ask(&[b"LRANGE", b"l", b"0", b"-1"]),
        "1048576, the longest",
    );
    assert_eq!(client.say("LLEN l"), "2");
    assert_eq!(client.ask(&[b"RPOP", b"l"]), Reply::Bulk(value.clone()));
    // No string becomes too long to be read.
    assert_eq!(client.ask(&[b"APPEND", b"s", &value]), Reply::Integer(600 << 10));
    let reply = client.ask(&[b"APPEND", b"s", &value]).to_string();
    assert!(
        reply.starts_with("-ERR string exceeds maximum allowed size"),
        "{reply}"
    );
    let longest = (1 << 20) - 64;
    let rest = vec![b'v'; longest - value.len()];
    assert_eq!(
        client.ask(&[b"APPEND", b"s", &rest]),
        Reply::Integer(longest as i64)
    );
    assert!(matches!(client.ask(&[b"GET", b"s"]), Reply::Bulk(all) if all.len() == longest));
}

#[test]
fn an_answer_is_as_long_as_it_is() {
    let server = Server::start("max_request = \"1MiB\"\n[[tenant]]\nname = \"a\"\n");
    let mut client = server.client();
    let items = |count: usize| [vec![b"RPUSH".as_slice(), b"l"], vec![b"x".as_slice(); count]].concat();
    client.ask(&items(140_000));
    // Seven bytes an item, and nine for how many there are.
    assert_eq!(
        client.ask(&[b"LRANGE", b"l", b"0", b"-1"]),
        Reply::Array(vec![Reply::Bulk(b"x".to_vec()); 140_000])
    );
    client.ask(&items(10_000));
    let all = client.ask(&[b"LRANGE", b"l", b"0", b"-1"]);
    assert_refused(&all, "its answer of 1050009 bytes is longer");
    assert_refused(
        &client.ask(&[b"LPOP", b"l", b"150000"]),
        "its answer of 1050009 bytes",
    );
    assert!(matches!(client.ask(&[b"LPOP", b"l", b"149000"]), Reply::Array(all) if all.len() == 149_000));
}

#[test]
fn replies_that_nobody_reads_take_no_more_than_a_connection_has() {
    let server = Server::start(SMALL);
    let mut client = server.client();
    let value = vec![b'v'; 10 << 10];
    assert_eq!(client.ask(&[b"SET", b"k", &value]), Reply::Simple("OK".into()));
    let all = encoded(&[b"GET", b"k"]).repeat(1000);
    let mut deaf: Vec<_> = (0..40).map(|_| server.client()).collect();
    for client in &mut deaf {
        client.stream.write_all(&all).expect("sent");
    }
    // 400 MB in all, of which sockets take some.
    let served = |client: &mut Client| client.info("total_commands_processed");
    let mut before = 0;
    super::until("no reply more is written", || {
        std::thread::sleep(Duration::from_millis(100));
        let now = served(&mut client);
        std::mem::replace(&mut before, now) + 1 == now
    });
    assert_within_limit(&mut client);
    for client in &mut deaf {
        for _ in 0..1000 {
            assert_eq!(client.read(), Reply::Bulk(value.clone()));
        }
    }
}

#[test]
fn a_new_hash_or_list_asks_for_its_table_too() {
    let server = Server::start(SMALL);
    let mut client = server.client();
    let numbers: Vec<_> = (0..40_000)
        .map(|number| number.to_string().into_bytes())
        .collect();
    let numbers: Vec<_> = numbers.iter().map(Vec::as_slice).collect();
    // Its fields and values would fit, with what reads them.
    assert_refused(
        &client.ask(&[&[b"HSET".as_slice(), b"h"], numbers.as_slice()].concat()),
        "limit",
    );
    assert_eq!(
        client.ask(&[&[b"RPUSH".as_slice(), b"l"], &numbers[..10_000]].concat()),
        Reply::Integer(10_000)
    );
    assert_within_limit(&mut client);
}

#[test]
fn a_web_page_cannot_have_a_browser_send_commands() {
    let server = Server::start("");
    for start in [
        "POST / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\n",
        "*1\r\n$5\r\nhOsT:\r\n",
    ] {
        let mut client = server.client();
        let request = format!("PING\r\n{start}\r\nSET pwned 1\r\n");
        client.stream.write_all(request.as_bytes()).expect("sent");
        assert_eq!(
            client.read(),
            Reply::Simple("PONG".into()),
            "what came before is answered"
        );
        if start.starts_with("GET") {
            assert_eq!(
                client.read().to_string(),
                "-ERR wrong number of arguments for 'get' command"
            );
        }
        assert_eq!(client.try_read(), None, "{start}");
    }
    assert_eq!(server.client().say("EXISTS pwned"), "0");
}

#[test]
fn what_is_told_again_or_kept_is_short() {
    let server = Server::start("");
    let mut client = server.client();
    assert_eq!(client.say("SET a 1"), "+OK");
    let long = vec![b'\xff'; 1 << 20];
    for words in [
        [b"EXPIRE".as_slice(), b"a", b"1", &long].as_slice(),
        &[b"HELLO", b"3", &long],
        &[b"CLIENT", b"SETINFO", &long, b"x"],
        &[b"CLIENT", &long],
        &[b"TENANCY", b"WEIGHT", &long, b"1"],
        &[b"CLIENT", b"SETNAME", &[b'n'; 129]],
        &[b"CLIENT", b"SETINFO", b"LIB-NAME", &[b'n'; 1 << 20]],
        &[b"HELLO", b"3", b"SETNAME", &[b'n'; 1 << 20]],
        &[&long, &long, &long],
    ] {
        match client.ask(words) {
            Reply::Error(text) => assert!(text.len() < 1 << 10, "{}", text.len()),
            other => panic!("{other}"),
        }
    }
    assert_eq!(
        client.ask(&[b"CLIENT", b"SETNAME", &[b'n'; 128]]),
        Reply::Simple("OK".into())
    );
}

#[test]
fn what_is_moved_together_takes_little_room_meanwhile() {
    let server = Server::start("[[tenant]]\nname = \"a\"\nlimit = \"32MiB\"\n");
    let mut client = server.client();
    // Long values that lie side by side, and between short ones, of which nine of ten go, room that is not of their size.
    let set = |key: String, length| encoded(&[b"SET", key.as_bytes(), &vec![b'v'; length]]);
    send_all(
        &mut client,
        (0..1000).map(|number| set(format!("long:{number}"), 12 << 10)),
    );
    send_all(
        &mut client,
        (0..40_000).map(|number| set(number.to_string(), 200)),
    );
    let full = client.info("charged");
    let gone = (0..40_000usize).filter(|number| number * 7919 % 40_009 % 10 < 9);
    send_all(
        &mut client,
        gone.map(|number| encoded(&[b"DEL", number.to_string().as_bytes()])),
    );
    super::until("pages become free", || client.info("charged") < full * 3 / 4);
    let peak = client.info("peak");
    assert!(
        peak <= full + (2 << 20),
        "{peak}, when {full} were charged before"
    );
}

#[test]
fn deadlines_take_no_more_than_there_is() {
    let server = Server::start(SMALL);
    let mut client = server.client();
    let numbers = || (0..60_000).map(|number: u32| number.to_string());
    send_all(
        &mut client,
        numbers().map(|key| encoded(&[b"SET", key.as_bytes(), b""])),
    );
    send_all(
        &mut client,
        numbers().map(|key| encoded(&[b"EXPIRE", key.as_bytes(), b"1000"])),
    );
    assert_within_limit(&mut client);
}

#[test]
fn flushing_nothing_makes_no_threads() {
    let server = Server::start("");
    let mut clients: Vec<_> = (0..4).map(|_| server.client()).collect();
    let before = server.threads();
    let all = encoded(&[b"FLUSHDB", b"ASYNC"]).repeat(2000);
    for client in &mut clients {
        client.stream.write_all(&all).expect("sent");
    }
    for client in &mut clients {
        (0..2000).for_each(|_| assert_eq!(client.read(), Reply::Simple("OK".into())));
    }
    // One may look after memory.
    assert!(
        server.threads() <= before + 1,
        "{before} threads, then {}",
        server.threads()
    );
}
