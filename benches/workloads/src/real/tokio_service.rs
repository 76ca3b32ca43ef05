//! How does an async service do whose requests hop between tasks and threads?
//!
//! Clients send requests through a channel; the server spawns a task for each, which parses its body, updates a shared
//! table of sessions and answers through a one-shot channel. Everything runs in one process on two worker threads.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Mutex};

use tokio::runtime;
use tokio::sync::{mpsc, oneshot};

use crate::{Outcome, Rng, Scale};

const WORKERS: usize = 2;
const CLIENTS: u64 = 64;
const REQUESTS_PER_CLIENT: u64 = 22_000;
const SESSIONS: usize = 20_000;
const QUEUE_DEPTH: usize = 256;

struct Request {
    body: Vec<u8>,
    reply: oneshot::Sender<String>,
}

type Sessions = Arc<Mutex<HashMap<String, String, BuildHasherDefault<DefaultHasher>>>>;

pub(super) fn run(scale: Scale) -> Outcome {
    let requests = scale.of(REQUESTS_PER_CLIENT);
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .build()
        .expect("two workers start");
    runtime.block_on(async {
        let (requests_in, requests_out) = mpsc::channel(QUEUE_DEPTH);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|seed| tokio::spawn(be_client(Rng::new(seed), requests, requests_in.clone())))
            .collect();
        drop(requests_in);
        tokio::spawn(serve(requests_out))
            .await
            .expect("the server ends with its clients");
        for client in clients {
            client.await.expect("clients do not panic");
        }
    });
    Outcome::of(CLIENTS * requests)
}

async fn be_client(mut rng: Rng, requests: u64, server: mpsc::Sender<Request>) {
    for _ in 0..requests {
        let (reply, answer) = oneshot::channel();
        let session = rng.below(SESSIONS);
        let length = rng.pareto(16, 4_000);
        let body = format!(
            "session={session}&action={}&text={}",
            rng.word(5),
            "t".repeat(length)
        )
        .into_bytes();
        server
            .send(Request { body, reply })
            .await
            .expect("the server outlives its clients");
        assert!(
            answer
                .await
                .expect("every request is answered")
                .starts_with("200")
        );
    }
}

async fn serve(mut requests: mpsc::Receiver<Request>) {
    let sessions = Sessions::default();
    while let Some(request) = requests.recv().await {
        tokio::spawn(handle(request, Arc::clone(&sessions)));
    }
}

async fn handle(request: Request, sessions: Sessions) {
    let body = String::from_utf8(request.body).expect("clients send text");
    let fields: HashMap<&str, &str> = body
        .split('&')
        .filter_map(|field| field.split_once('='))
        .collect();
    let text = fields["text"].to_uppercase();
    let before = sessions
        .lock()
        .unwrap()
        .insert(fields["session"].to_owned(), text.clone());
    let answer = format!(
        "200 {} {} {}",
        fields["action"],
        before.map_or(0, |before| before.len()),
        text
    );
    // A client waits for its answer before anything else.
    request.reply.send(answer).expect("the client is waiting");
}
