//! Promise: no client, whatever it asks, takes more memory than its tenant has, or more time than the request is long.

use std::time::{Duration, Instant};

use crate::client::Reply;
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
