//! Promise: the example `cache_server` answers as Redis does, keeps its tenants apart, and ends when it is told to.
//!
//! Each test starts a server of its own. Most of them speak to it with a client in obvious code; `redis_cli` and
//! `redis_benchmark` drive it with the programs of Debian's `redis-tools`. Where these are not installed those two
//! say so and pass, unless `TENANCY_REDIS_TOOLS=required`, as in the full check.
#![cfg(all(unix, not(miri)))]

#[path = "cache_server/attacks.rs"]
mod attacks;
#[path = "cache_server/borrowing.rs"]
mod borrowing;
#[path = "cache_server/client.rs"]
mod client;
#[path = "cache_server/full.rs"]
mod full;
#[path = "cache_server/process.rs"]
mod process;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use client::{Client, Reply, encoded};
use process::{Server, check, check_at_terminal};

/// Asks and compares, one line after the other.
fn expect(client: &mut Client, all: &[(&str, &str)]) {
    for (line, expected) in all {
        assert_eq!(client.say(line), *expected, "{line}");
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NOT_AN_INTEGER: &str = "-ERR value is not an integer or out of range";
const SYNTAX: &str = "-ERR syntax error";

#[test]
fn strings_and_numbers_answer_as_redis_does() {
    let server = Server::start("");
    expect(
        &mut server.client(),
        &[
            ("GET a", "nil"),
            ("SET a 1", "+OK"),
            ("get a", "\"1\""),
            ("SET a 2 NX", "nil"),
            ("SET b 2 XX", "nil"),
            ("SET b 2 NX", "+OK"),
            ("SET b 3 XX GET", "\"2\""),
            ("SET c 3 NX GET", "nil"),
            ("GET c", "\"3\""),
            ("SET a 1 NX XX", SYNTAX),
            ("SET a 1 EX", SYNTAX),
            ("SET a 1 EX 1 PX 1", SYNTAX),
            ("SET a 1 EX x", NOT_AN_INTEGER),
            ("SET a 1 EX 0", "-ERR invalid expire time in 'set' command"),
            (
                "SET a 1 PX 9223372036854775807",
                "-ERR invalid expire time in 'set' command",
            ),
            ("SET a", "-ERR wrong number of arguments for 'set' command"),
            ("MSET a 1 b 2 c 3", "+OK"),
            ("MSET a 1 b", "-ERR wrong number of arguments for 'mset' command"),
            ("MGET a nothing c", "[\"1\" nil \"3\"]"),
            ("INCR a", "2"),
            ("INCRBY a 40", "42"),
            ("DECR a", "41"),
            ("DECRBY a 41", "0"),
            ("INCR new", "1"),
            ("SET a 9223372036854775807", "+OK"),
            ("INCR a", "-ERR increment or decrement would overflow"),
            ("GET a", "\"9223372036854775807\""),
            ("SET a 999999999999999998", "+OK"),
            ("INCR a", "999999999999999999"),
            ("SET a -9223372036854775808", "+OK"),
            ("DECR a", "-ERR increment or decrement would overflow"),
            ("DECRBY a -9223372036854775808", "-ERR decrement would overflow"),
            ("SET a 01", "+OK"),
            ("INCR a", NOT_AN_INTEGER),
            ("INCRBY b 1.5", NOT_AN_INTEGER),
            ("APPEND text ab", "2"),
            ("APPEND text cd", "4"),
            ("GET text", "\"abcd\""),
            ("STRLEN text", "4"),
            ("EXISTS a b a nothing", "3"),
            ("TYPE text", "+string"),
            ("DBSIZE", "5"),
            ("DEL a b nothing", "2"),
            ("FLUSHDB", "+OK"),
            ("DBSIZE", "0"),
        ],
    );
}

#[test]
fn hashes_and_lists_answer_as_redis_does() {
    let server = Server::start("");
    expect(
        &mut server.client(),
        &[
            ("HSET h a 1 b 2", "2"),
            ("HSET h a 3 c 4", "1"),
            ("HSET h a", "-ERR wrong number of arguments for 'hset' command"),
            (
                "HSET h a 1 b",
                "-ERR wrong number of arguments for 'hset' command",
            ),
            ("HGET h a", "\"3\""),
            ("HGET h nothing", "nil"),
            ("HGET nothing a", "nil"),
            ("HLEN h", "3"),
            ("HDEL h a b nothing", "2"),
            ("HGETALL h", "[\"c\" \"4\"]"),
            ("HGETALL nothing", "[]"),
            ("HDEL h c", "1"),
            ("EXISTS h", "0"),
            ("LPUSH l a b c", "3"),
            ("RPUSH l z", "4"),
            ("LRANGE l 0 -1", "[\"c\" \"b\" \"a\" \"z\"]"),
            ("LRANGE l 1 2", "[\"b\" \"a\"]"),
            ("LRANGE l 5 9", "[]"),
            ("LRANGE l x 9", NOT_AN_INTEGER),
            ("LLEN l", "4"),
            ("RPOP l", "\"z\""),
            ("LPOP l 2", "[\"c\" \"b\"]"),
            ("LPOP l 1 2", "-ERR wrong number of arguments for 'lpop' command"),
            ("RPOP l -1", "-ERR value is out of range, must be positive"),
            ("RPOP l 0", "[]"),
            ("RPOP l", "\"a\""),
            ("RPOP l", "nil"),
            ("RPOP l 1", "nil[]"),
            ("EXISTS l", "0"),
            ("SET s text", "+OK"),
            ("HSET s a 1", WRONG_TYPE),
            ("HGET s a", WRONG_TYPE),
            ("LPUSH s a", WRONG_TYPE),
            ("RPOP s", WRONG_TYPE),
            ("LRANGE s 0 1", WRONG_TYPE),
            ("LPUSH l a", "1"),
            ("GET l", WRONG_TYPE),
            ("INCR l", WRONG_TYPE),
            ("APPEND l a", WRONG_TYPE),
            ("MGET l s", "[nil \"text\"]"),
            ("SET l now-a-string", "+OK"),
        ],
    );
}

#[test]
fn keys_end_when_they_are_told_to_whether_or_not_they_are_asked_for() {
    let server = Server::start("");
    let mut client = server.client();
    expect(
        &mut client,
        &[
            ("TTL a", "-2"),
            ("EXPIRE a 10", "0"),
            ("SET a 1", "+OK"),
            ("TTL a", "-1"),
            ("EXPIRE a 100", "1"),
            ("TTL a", "100"),
            ("EXPIRE a 50 GT", "0"),
            ("EXPIRE a 50 LT", "1"),
            ("EXPIRE a 50 NX", "0"),
            (
                "EXPIRE a 50 NX XX",
                "-ERR NX and XX, GT or LT options at the same time are not compatible",
            ),
            ("EXPIRE a 50 QQ", "-ERR Unsupported option QQ"),
            ("EXPIRE a x", NOT_AN_INTEGER),
            (
                "EXPIRE a 9223372036854775807",
                "-ERR invalid expire time in 'expire' command",
            ),
            ("SET a 2 KEEPTTL", "+OK"),
            ("TTL a", "50"),
            ("SET a 2", "+OK"),
            ("TTL a", "-1"),
            ("SET a 3 EX 7", "+OK"),
            ("PERSIST a", "1"),
            ("PERSIST a", "0"),
            ("EXPIRE a -1", "1"),
            ("EXISTS a", "0"),
            ("SET b 1 PX 60", "+OK"),
            ("SET c 1 PX 60000", "+OK"),
        ],
    );
    assert_eq!(server.metric("cache_keys{tenant=\"db0\"}"), 2);
    until("the key ends by itself", || {
        server.metric("cache_keys{tenant=\"db0\"}") == 1
    });
    assert_eq!(server.metric("cache_expired_total{tenant=\"db0\"}"), 1);
    expect(&mut client, &[("GET b", "nil"), ("EXISTS c", "1")]);
}

#[test]
fn connections_answer_as_redis_does() {
    let server = Server::start("");
    let mut client = server.client();
    expect(
        &mut client,
        &[
            ("PING", "+PONG"),
            ("PING hello", "\"hello\""),
            ("ECHO hello", "\"hello\""),
            ("CLIENT GETNAME", "nil"),
            ("CLIENT SETNAME me", "+OK"),
            ("CLIENT GETNAME", "\"me\""),
            ("CLIENT SETINFO LIB-NAME test", "+OK"),
            ("CLIENT SETINFO other test", "-ERR Unrecognized option 'other'"),
            ("CLIENT NO-EVICT on", "+OK"),
            ("CLIENT what", "-ERR unknown subcommand 'what'. Try CLIENT HELP."),
            (
                "CLIENT ID x",
                "-ERR wrong number of arguments for 'client|id' command",
            ),
            ("CLIENT NO-EVICT maybe", SYNTAX),
            (
                "CONFIG GET",
                "-ERR wrong number of arguments for 'config|get' command",
            ),
            (
                "COMMAND COUNT x",
                "-ERR wrong number of arguments for 'command|count' command",
            ),
            ("SELECT 99", "-ERR DB index is out of range"),
            ("SELECT x", NOT_AN_INTEGER),
            (
                "CONFIG GET save appendonly",
                "[\"appendonly\" \"no\" \"save\" \"\"]",
            ),
            (
                "CONFIG GET maxmemory*",
                "[\"maxmemory\" \"0\" \"maxmemory-policy\" \"allkeys-lru\"]",
            ),
            (
                "CONFIG SET save 1",
                "-ERR unknown subcommand 'SET'. Try CONFIG HELP.",
            ),
            ("COMMAND COUNT", "44"),
            (
                "COMMAND INFO get",
                "[[\"get\" 2 [+readonly +fast] 1 1 1 [+@string] [] [] []]]",
            ),
            (
                "NONSENSE a b",
                "-ERR unknown command 'NONSENSE', with args beginning with: 'a' 'b' ",
            ),
            ("TENANCY WEIGHT db3 250", "+OK"),
            (
                "TENANCY WEIGHT db3 0",
                "-ERR the weight must be between 1 and 10000",
            ),
            ("TENANCY WEIGHT nobody 5", "-ERR there is no tenant 'nobody'"),
            ("HELLO 4", "-NOPROTO unsupported protocol version"),
        ],
    );
    let report = match client.ask(&[b"TENANCY", b"REPORT"]) {
        Reply::Bulk(bytes) => String::from_utf8(bytes).expect("text"),
        other => panic!("{other}"),
    };
    let mut rows = report.lines().map(|line| line.split_whitespace().take(2));
    assert!(rows.any(|row| row.eq(["db3", "250"])), "{report}");
    assert!(matches!(client.ask(&[b"CLIENT", b"ID"]), Reply::Integer(1..)));
    assert!(client.say("CLIENT INFO").contains("name=me"));
    assert!(client.say("COMMAND DOCS get").contains("\"summary\""));
    for command in ["CLIENT", "COMMAND", "CONFIG", "TENANCY"] {
        let help = client.say(&format!("{command} HELP"));
        assert!(
            help.starts_with(&format!("[+{command} <subcommand> [<arg> ...]")),
            "{help}"
        );
    }
    assert!(client.say("INFO keyspace").contains("# Keyspace"));

    assert!(
        client
            .say("HELLO 3 SETNAME you")
            .starts_with("{\"server\":\"redis\"")
    );
    expect(
        &mut client,
        &[
            ("GET nothing", "nil"),
            ("HSET h a 1", "1"),
            ("HGETALL h", "{\"a\":\"1\"}"),
            ("CLIENT GETNAME", "\"you\""),
            ("CONFIG GET save", "{\"save\":\"\"}"),
            ("RPOP nothing 2", "nil"),
            ("RESET", "+RESET"),
            ("HGETALL h", "[\"a\" \"1\"]"),
            ("QUIT", "+OK"),
        ],
    );
    assert_eq!(client.try_read(), None, "the server closes after QUIT");
}

#[test]
fn requests_may_arrive_in_any_pieces() {
    let server = Server::start("");
    let mut client = server.client();
    // Byte by byte.
    for byte in encoded(&[b"SET", b"key", b"a\r\nb"]) {
        client.stream.write_all(&[byte]).expect("sent");
    }
    assert_eq!(client.read().to_string(), "+OK");
    // As lines.
    let lines = b"PING\r\n\r\nSET other \"with \\x41 space\"\r\nGET other\n*0\r\nGET key\r\n";
    client.stream.write_all(lines).expect("sent");
    let answers: Vec<_> = (0..4).map(|_| client.read().to_string()).collect();
    assert_eq!(answers, ["+PONG", "+OK", "\"with A space\"", "\"a\\r\\nb\""]);
    // A pipeline that is longer than any buffer, in two tenants by turns.
    let mut writer = client.stream.try_clone().expect("a descriptor");
    const COUNT: usize = 30_000;
    let sender = std::thread::spawn(move || {
        let mut all = Vec::new();
        for number in 0..COUNT {
            if number % 100 == 0 {
                all.extend(encoded(&[b"SELECT", if number % 200 == 0 { b"1" } else { b"2" }]));
            }
            all.extend(encoded(&[b"SET", b"n", number.to_string().as_bytes()]));
            all.extend(encoded(&[b"GET", b"n"]));
        }
        writer.write_all(&all).expect("sent");
    });
    for number in 0..COUNT {
        if number % 100 == 0 {
            assert_eq!(client.read(), Reply::Simple("OK".into()));
        }
        assert_eq!(client.read(), Reply::Simple("OK".into()));
        assert_eq!(client.read(), Reply::Bulk(number.to_string().into_bytes()));
    }
    sender.join().expect("all was sent");
    // A value that is longer than a buffer.
    let value = vec![b'v'; 5 << 20];
    assert_eq!(client.ask(&[b"SET", b"long", &value]), Reply::Simple("OK".into()));
    assert_eq!(client.ask(&[b"GET", b"long"]), Reply::Bulk(value));
}

#[test]
fn what_is_no_request_is_answered_and_ends_the_connection() {
    let server = Server::start("max_request = \"1MiB\"\n[[tenant]]\nname = \"a\"\n");
    for (bytes, expected) in [
        ("*1\r\n:1\r\n", "expected '$', got ':'"),
        ("*1\r\n*1\r\n$4\r\nPING\r\n", "expected '$', got '*'"),
        ("*x\r\n", "invalid multibulk length"),
        ("*1048577\r\n", "invalid multibulk length"),
        ("*2\r\n$3\r\nGET\r\n$-1\r\n", "invalid bulk length"),
        ("*2\r\n$3\r\nGET\r\n$1048577\r\n", "invalid bulk length"),
        ("SET 'a\r\n", "unbalanced quotes in request"),
    ] {
        let mut client = server.client();
        let sent = [encoded(&[b"PING"]).as_slice(), bytes.as_bytes()].concat();
        client.stream.write_all(&sent).expect("sent");
        assert_eq!(client.read().to_string(), "+PONG", "what came before is answered");
        let expected = format!("-ERR Protocol error: {expected}");
        assert_eq!(client.read().to_string(), expected);
        assert_eq!(client.try_read(), None);
    }
    assert_eq!(server.client().say("PING"), "+PONG");
}

#[test]
fn who_comes_when_there_are_too_many_is_told_so() {
    let server = Server::start("max_clients = 2\n[[tenant]]\nname = \"a\"\n");
    let (mut first, mut second) = (server.client(), server.client());
    for client in [&mut first, &mut second] {
        assert_eq!(client.say("PING"), "+PONG");
    }
    for _ in 0..50 {
        let mut late = server.client();
        let told = late.try_read().map(|reply| reply.to_string());
        assert_eq!(told.as_deref(), Some("-ERR max number of clients reached"));
        assert_eq!(late.try_read(), None);
    }
    assert_eq!(first.say("QUIT"), "+OK");
    until("one has gone", || server.metric("cache_connections") == 1);
    assert_eq!(server.client().say("PING"), "+PONG");
}

const TENANTS: &str = r#"
capacity = "64MiB"

[[tenant]]
name = "front"
password = "door"
weight = 50

[[tenant]]
name = "acme"
password = "coyote"
limit = "4MiB"

[[tenant]]
name = "free"
admin = true

[[tenant]]
name = "birch"
reservation = "16MiB"
limit = "16MiB"
"#;

#[test]
fn a_tenant_is_who_gives_its_password() {
    let server = Server::start(TENANTS);
    let mut client = server.client();
    let denied = "-WRONGPASS invalid username-password pair or user is disabled.";
    expect(
        &mut client,
        &[
            ("GET a", "-NOAUTH Authentication required."),
            ("PING", "-NOAUTH Authentication required."),
            ("AUTH front wrong", denied),
            ("AUTH nobody door", denied),
            ("AUTH wrong", denied),
            ("AUTH default wrong", denied),
            ("AUTH door", "+OK"),
            ("SET a front", "+OK"),
            (
                "SELECT 1",
                "-NOPERM tenant 'acme' has a password: AUTH acme <password>",
            ),
            ("AUTH acme coyote", "+OK"),
            ("GET a", "nil"),
            ("SET a acme", "+OK"),
            ("SELECT 0", "+OK"),
            ("GET a", "\"front\""),
            ("SELECT 1", "+OK"),
            ("GET a", "\"acme\""),
            ("SELECT 2", "+OK"),
            ("GET a", "nil"),
            ("TENANCY WEIGHT acme 300", "+OK"),
            ("SELECT 1", "+OK"),
            (
                "TENANCY REPORT",
                "-NOPERM tenant 'acme' is not an admin of this server",
            ),
            ("RESET", "+RESET"),
            ("GET a", "-NOAUTH Authentication required."),
        ],
    );
    assert!(
        client
            .say("HELLO 3 AUTH acme coyote SETNAME x")
            .contains("\"proto\":3")
    );
    assert_eq!(client.say("GET a"), "\"acme\"");
    assert_eq!(client.info("weight"), 300);
}

#[test]
fn default_is_who_gives_a_password_only_unless_a_tenant_is_called_so() {
    let server = Server::start(TENANTS);
    let mut client = server.client();
    expect(
        &mut client,
        &[("AUTH default door", "+OK"), ("SET a front", "+OK")],
    );
    let mut client = server.client();
    assert!(client.say("HELLO 3 AUTH default door").contains("\"proto\":3"));
    assert_eq!(client.say("GET a"), "\"front\"");

    // As Redis 7 has it of a user without a password: only who names it may say any.
    let none = "-ERR AUTH <password> called without any password configured for the default user. \
                Are you sure your configuration is correct?";
    let server = Server::start("");
    expect(
        &mut server.client(),
        &[("AUTH x", none), ("AUTH default x", "+OK"), ("AUTH db0 x", "+OK")],
    );

    let server = Server::start(
        "[[tenant]]\nname = \"first\"\npassword = \"a\"\n[[tenant]]\nname = \"default\"\npassword = \"b\"\n",
    );
    let denied = "-WRONGPASS invalid username-password pair or user is disabled.";
    expect(
        &mut server.client(),
        &[
            ("AUTH default a", denied),
            ("AUTH b", denied),
            ("AUTH a", "+OK"),
            (
                "SELECT 1",
                "-NOPERM tenant 'default' has a password: AUTH default <password>",
            ),
            ("AUTH default b", "+OK"),
        ],
    );
}

#[test]
fn a_full_tenant_evicts_its_own_keys_and_nobody_elses() {
    let server = Server::start(TENANTS);
    let (mut acme, mut birch) = (server.client(), server.client());
    expect(&mut acme, &[("AUTH acme coyote", "+OK"), ("SET first 1", "+OK")]);
    assert_eq!(birch.say("AUTH birch x"), "+OK");
    for number in 0..1000 {
        assert_eq!(birch.say(&format!("SET key:{number} value")), "+OK");
    }
    // Five times what fits. Half of the values are of one size, half of another.
    for number in 0..20_000usize {
        let key = format!("key:{number}");
        let value = vec![b'v'; if number % 2 == 0 { 700 } else { 1400 }];
        assert_eq!(
            acme.ask(&[b"SET", key.as_bytes(), &value]),
            Reply::Simple("OK".into())
        );
        assert_eq!(acme.ask(&[b"GET", key.as_bytes()]), Reply::Bulk(value));
    }
    assert_eq!(acme.say("GET first"), "nil", "the key used longest ago has gone");
    let (charged, limit) = (acme.info("charged"), acme.info("limit"));
    assert!(
        charged <= limit + (limit >> 4),
        "charged {charged} of {limit}: the limit holds but for what the last write took"
    );
    assert!(acme.info("used_memory") > limit / 2, "and is used");
    assert!(acme.info("evicted_keys") > 10_000);
    assert_eq!(acme.info("refused_writes"), 0);

    // What can never fit is refused with a reason, and evicts nothing.
    let keys = acme.say("DBSIZE");
    let reply = acme.ask(&[b"SET", b"huge", &vec![b'v'; 5 << 20]]);
    let text = reply.to_string();
    assert!(text.starts_with("-OOM ") && text.contains("limit"), "{text}");
    assert_eq!(acme.say("DBSIZE"), keys);

    assert_eq!(birch.say("DBSIZE"), "1000");
    assert_eq!((birch.info("evicted_keys"), birch.info("refused_writes")), (0, 0));
}

#[test]
fn what_is_charged_is_what_the_server_counts_within_the_rounding_of_slabs() {
    let server = Server::start("");
    let mut client = server.client();
    for (select, size) in [("1", 10usize), ("2", 100), ("3", 1000), ("4", 10_000)] {
        assert_eq!(client.say(&format!("SELECT {select}")), "+OK");
        let value = vec![b'v'; size];
        for number in 0..((8 << 20) / size).min(60_000) {
            let key = format!("key:{number:08}");
            client.ask(&[b"SET", key.as_bytes(), &value]);
        }
        let (counted, charged) = (client.info("used_memory"), client.info("charged"));
        assert!(counted <= charged, "{size}: counted {counted}, charged {charged}");
        // Size classes are a quarter apart, less a little; a table may just have moved.
        let most = counted + counted / 4 + (512 << 10);
        assert!(charged <= most, "{size}: counted {counted}, charged {charged}");
        assert_eq!(client.say("FLUSHDB"), "+OK");
        until("what was flushed is uncharged", || {
            client.info("charged") < 256 << 10
        });
    }
}

#[test]
fn what_lies_scattered_is_moved_together() {
    let server = Server::start("");
    let mut client = server.client();
    let value = vec![b'v'; 500];
    for number in 0..30_000usize {
        client.ask(&[b"SET", number.to_string().as_bytes(), &value]);
    }
    let full = client.info("charged");
    // Three of four keys, in no order: hardly a page is left without a key.
    for number in (0..30_000usize).filter(|number| (number * 7919) % 30_011 % 4 != 0) {
        client.ask(&[b"DEL", number.to_string().as_bytes()]);
    }
    until("pages become free", || client.info("charged") < full / 2);
    assert!(client.info("charged") >= client.info("used_memory"));
    assert_eq!(client.say("GET 0"), format!("{:?}", "v".repeat(500)));
}

#[test]
fn a_long_mixed_load_leaves_nothing_behind() {
    let server = Server::start(
        "[[tenant]]\nname = \"a\"\nlimit = \"8MiB\"\n[[tenant]]\nname = \"b\"\nlimit = \"8MiB\"\n",
    );
    let round = |seed: u64| {
        let mut client = server.client();
        let mut state = seed;
        let mut random = move |bound: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        for batch in 0..400 {
            let mut requests = encoded(&[b"SELECT", if batch % 2 == 0 { b"0" } else { b"1" }]);
            for _ in 0..99 {
                let key = format!("{}", random(20_000));
                let value = vec![b'v'; random(1500) as usize];
                let words: Vec<&[u8]> = match random(8) {
                    0 | 1 => vec![b"SET", key.as_bytes(), &value],
                    2 => vec![b"SET", key.as_bytes(), &value, b"PX", b"50"],
                    3 => vec![b"GET", key.as_bytes()],
                    4 => vec![b"HSET", b"hash", key.as_bytes(), &value],
                    5 => vec![b"LPUSH", b"list", &value],
                    6 => vec![b"RPOP", b"list"],
                    _ => vec![b"DEL", key.as_bytes(), b"hash"],
                };
                requests.extend(encoded(&words));
            }
            client.stream.write_all(&requests).expect("sent");
            for _ in 0..100 {
                let reply = client.read();
                assert!(!reply.to_string().starts_with("-OOM"), "{reply}");
            }
        }
    };
    (1..4).for_each(round);
    let before = server.resident_bytes();
    (4..10).for_each(round);
    let after = server.resident_bytes();
    assert!(after < before + before / 10, "resident {before}, then {after}");
}

#[test]
fn metrics_are_what_prometheus_reads() {
    let server = Server::start(TENANTS);
    let mut client = server.client();
    expect(&mut client, &[("AUTH acme coyote", "+OK"), ("SET a 1", "+OK")]);
    expect(&mut client, &[("GET a", "\"1\""), ("GET b", "nil")]);
    let body = server.metrics();
    assert!(body.ends_with("# EOF\n"));
    assert!(body.contains("# TYPE cache_hits counter\n"), "{body}");
    assert_eq!(server.metric("cache_hits_total{tenant=\"acme\"}"), 1);
    assert_eq!(server.metric("cache_misses_total{tenant=\"acme\"}"), 1);
    assert_eq!(server.metric("cache_keys{tenant=\"acme\"}"), 1);
    assert_eq!(server.metric("cache_connections"), 1);
    // What it is told by, and in what: 0 would be no limit at all, and what was denied only grows.
    assert!(server.metric("cache_memory_charged_bytes{tenant=\"acme\"}") > 0);
    assert_eq!(
        server.metric("cache_memory_limit_bytes{tenant=\"acme\"}"),
        4 << 20
    );
    assert!(
        body.contains("\ncache_memory_limit_bytes{tenant=\"free\"} inf\n"),
        "{body}"
    );
    assert!(body.contains("# TYPE cache_memory_denied counter\n"), "{body}");
    assert_eq!(server.metric("cache_memory_denied_total{tenant=\"acme\"}"), 0);
    assert_eq!(server.metric("cache_weight{tenant=\"front\"}"), 50);
    for name in body.lines().filter_map(|line| line.strip_prefix("# UNIT ")) {
        assert!(name.ends_with("_bytes bytes"), "{name}");
    }
}

#[test]
fn a_signal_ends_it_cleanly() {
    let mut server = Server::start("");
    let mut idle = server.client();
    assert_eq!(idle.say("SET a 1"), "+OK");
    let mut partial = server.client();
    partial.stream.write_all(b"*2\r\n$3\r\nGET\r\n").expect("sent");
    let status = server.terminate();
    assert!(status.success(), "{status}");
    assert_eq!(idle.try_read(), None);
}

#[test]
fn a_bad_file_is_told_with_its_line() {
    let good = check(TENANTS);
    assert!(good.status.success(), "{good:?}");
    for (text, expected) in [
        ("[[tenant]]\nname = \"a\"\nwieght = 1\n", "line 3"),
        ("[[tenant]]\nname = \"a\"\nlimit = \"lots\"\n", "64MiB"),
        (
            "[[tenant]]\nname = \"a\"\n[[tenant]]\nname = \"a\"\n",
            "line 3, tenant \"a\"",
        ),
        (
            "capacity = \"32MiB\"\n[[tenant]]\nname = \"a\"\nreservation = \"64MiB\"\n",
            "more than the capacity of 32 MiB",
        ),
        ("", "at least one"),
    ] {
        let output = check(text);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with("error: ") && said.contains(expected), "{said}");
    }
}

#[test]
fn a_thousand_tenants_show_how_far_they_are() {
    let tenants = |count: usize| -> String {
        (0..count)
            .map(|n| format!("[[tenant]]\nname = \"tenant-{n}\"\n"))
            .collect()
    };
    let output = check(&tenants(1000));
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    let tenths: Vec<_> = (1..=10).map(|n| format!("tenants: {n}00 of 1000")).collect();
    assert!(said.lines().eq(&tenths), "{said}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.starts_with("1000 tenants from ") && said.ends_with("no mistake found\n"),
        "{said}"
    );
    // At a terminal it is a bar, and of few nothing is said.
    let (output, shown) = check_at_terminal(&tenants(1000));
    assert!(output.status.success(), "{output:?}");
    assert!(
        shown.contains(" of 1000, ") && !shown.contains("tenants: "),
        "{shown:?}"
    );
    let (output, shown) = check_at_terminal(&tenants(999));
    assert!(output.status.success() && shown.is_empty(), "{shown:?}");
    assert!(check(&tenants(999)).stderr.is_empty());
}

/// Whether to go on with a program of `redis-tools`.
fn has(program: &str) -> bool {
    let runs = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok();
    let is_required = std::env::var("TENANCY_REDIS_TOOLS").is_ok_and(|value| value == "required");
    assert!(
        runs || !is_required,
        "{program} is not installed: apt-get install redis-tools"
    );
    if !runs {
        eprintln!("NOT TESTED: {program} is not installed: apt-get install redis-tools");
    }
    runs
}

#[test]
fn redis_cli() {
    if !has("redis-cli") {
        return;
    }
    let server = Server::start(TENANTS);
    let port = server.address.port().to_string();
    let cli = |arguments: &[&str]| {
        let output = Command::new("redis-cli")
            .args(["-p", &port, "--no-auth-warning"])
            .args(arguments)
            .output()
            .expect("it is installed");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let acme = ["--user", "acme", "--pass", "coyote"];
    let asked = |words: &[&str]| cli(&[&acme, words].concat());
    assert_eq!(asked(&["set", "a", "a value"]), "OK\n");
    assert_eq!(asked(&["-3", "get", "a"]), "a value\n");
    assert_eq!(asked(&["hset", "h", "f", "1"]), "1\n");
    assert_eq!(asked(&["--json", "hgetall", "h"]), "{\"f\":\"1\"}\n");
    assert_eq!(asked(&["-3", "--no-raw", "hgetall", "h"]), "1# \"f\" => \"1\"\n");
    assert!(cli(&["get", "a"]).starts_with("NOAUTH"));
    assert!(cli(&["-a", "door", "ping"]).starts_with("PONG"));
    assert!(cli(&["-a", "door", "-n", "2", "tenancy", "report"]).contains("birch"));
    assert!(asked(&["info"]).contains("tenant:acme"));
    assert!(asked(&["command", "docs", "get"]).contains("summary"));

    // As at a terminal: it asks for COMMAND DOCS and reads lines.
    let mut child = Command::new("redis-cli")
        .args(["-p", &port, "--no-auth-warning"])
        .args(acme)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it is installed");
    let mut input = child.stdin.take().expect("piped");
    input
        .write_all(b"incr n\nselect 3\nincr n\ndbsize\n")
        .expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\nOK\n1\n1\n");
}

#[test]
fn redis_benchmark() {
    if !has("redis-benchmark") {
        return;
    }
    let server = Server::start("[[tenant]]\nname = \"a\"\nlimit = \"64MiB\"\n");
    let output = Command::new("redis-benchmark")
        .args(["-p", &server.address.port().to_string()])
        .args(["-t", "set,get,incr,lpush,rpop,mset", "-P", "16"])
        .args(["-n", "100000", "-r", "100000", "-d", "100", "--csv"])
        .output()
        .expect("it is installed");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaints}");
    assert!(
        !said.contains("rror") && complaints.is_empty(),
        "{said}{complaints}"
    );
    for test in ["SET", "GET", "INCR", "LPUSH", "RPOP", "MSET (10 keys)"] {
        assert!(said.contains(&format!("\"{test}\",")), "{said}");
    }
    let mut client = server.client();
    assert_eq!(client.info("refused_writes"), 0);
    assert!(client.info("total_commands_processed") >= 600_000);
}
