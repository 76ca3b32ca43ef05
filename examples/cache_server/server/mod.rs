//! The server: tenants are made, sockets opened, clients served until a signal says that it is enough.

mod arguments;
mod commands;
mod config;
mod connection;
mod database;
mod janitor;
mod metrics;
mod protocol;
mod room;
mod session;
mod store;

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::memory;
use arguments::Arguments;
use config::{Bytes, Config};
use database::Database;

/// How long clients have to read their last replies when the server ends.
const GRACE: Duration = Duration::from_secs(5);

type Error = Box<dyn std::error::Error>;

/// How long a reply may be at least, however short requests are to be.
const LONGEST_REPLY_AT_LEAST: usize = 1 << 20;

/// What all connections share.
pub(crate) struct Server {
    /// By number, as `SELECT` has them.
    databases: Vec<Arc<Database>>,
    /// Where connections are that have yet to give a password.
    lobby: Arc<Database>,
    max_request: usize,
    max_clients: usize,
    address: SocketAddr,
    begin: Instant,
    begin_ms: u64,
    connected: AtomicUsize,
    accepted: AtomicU64,
}

impl Server {
    /// Milliseconds since 1970, by a clock that never goes back.
    fn now(&self) -> u64 {
        self.begin_ms + self.begin.elapsed().as_millis() as u64
    }

    fn uptime(&self) -> Duration {
        self.begin.elapsed()
    }

    /// No reply is longer than the longest request: who can write a string can read it.
    fn longest_reply(&self) -> usize {
        self.max_request.max(LONGEST_REPLY_AT_LEAST)
    }

    /// Whose keys a new connection's commands are about.
    fn first_database(&self) -> Arc<Database> {
        let first = &self.databases[0];
        Arc::clone(if first.password.is_none() {
            first
        } else {
            &self.lobby
        })
    }

    /// The number of the tenant called `name`.
    fn find(&self, name: &[u8]) -> Option<usize> {
        self.databases
            .iter()
            .position(|database| database.name.as_bytes() == name)
    }

    fn number_of(&self, database: &Arc<Database>) -> usize {
        let position = self.databases.iter().position(|one| Arc::ptr_eq(one, database));
        position.unwrap_or(0)
    }
}

/// The whole program.
pub(crate) fn main() -> ExitCode {
    match start(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn start(arguments: &Arguments) -> Result<(), Error> {
    // 1. The file, all of it, before anything is made.
    let mut config = Config::load(arguments.file.as_deref())?;
    config.listen = arguments.listen.unwrap_or(config.listen);
    config.metrics = arguments.metrics.unwrap_or(config.metrics);
    config.threads = arguments.threads.or(config.threads);
    // 2. The tenants.
    memory::configure(config.capacity.map(|bytes| bytes.0))?;
    let databases = open_databases(&config, arguments)?;
    if arguments.check {
        println!("{}\nno mistake found", memory::report());
        databases.iter().for_each(|database| database.pool.close());
        return Ok(());
    }
    // 3. The sockets.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = config.threads {
        runtime.worker_threads(threads.max(1).into());
    }
    runtime.enable_all().build()?.block_on(run(&config, databases))
}

/// Makes the tenants, and shows how far it is where that takes a while.
fn open_databases(config: &Config, arguments: &Arguments) -> Result<Vec<Arc<Database>>, Error> {
    const MANY: usize = 1000;
    let count = config.tenants.len();
    let progress = if count >= MANY && io::stderr().is_terminal() {
        let style = ProgressStyle::with_template("{prefix} {bar:32.blue/dim} {pos} of {len}, {eta} left")?;
        ProgressBar::new(count as u64)
            .with_style(style)
            .with_prefix("tenants")
    } else {
        ProgressBar::hidden()
    };
    let mut databases = Vec::with_capacity(count);
    for (number, tenant) in config.tenants.iter().enumerate() {
        let tenant = tenant.get_ref();
        let database =
            Database::open(tenant).map_err(|error| format!("tenant {number}, {:?}: {error}", tenant.name))?;
        databases.push(Arc::new(database));
        progress.inc(1);
        if progress.is_hidden() && count >= MANY && (number + 1) % (count / 10) == 0 {
            eprintln!("tenants: {} of {count}", number + 1);
        }
    }
    progress.finish_and_clear();
    let file = arguments.file.as_ref();
    println!(
        "{count} tenants{}, {} reserved, on {}",
        file.map_or(String::new(), |file| format!(" from {}", file.display())),
        Bytes(config.reserved()),
        memory::ALLOCATOR,
    );
    Ok(databases)
}

async fn run(config: &Config, databases: Vec<Arc<Database>>) -> Result<(), Error> {
    let bind = async |address: SocketAddr| {
        let listener = TcpListener::bind(address).await;
        listener.map_err(|error| format!("cannot listen on {address}: {error}"))
    };
    let (listener, metrics_listener) = (bind(config.listen).await?, bind(config.metrics).await?);
    let server = Arc::new(Server {
        databases,
        lobby: Arc::new(Database::lobby()),
        max_request: usize::try_from(config.max_request.0)?,
        max_clients: config.max_clients,
        address: listener.local_addr()?,
        begin: Instant::now(),
        begin_ms: u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?,
        connected: AtomicUsize::new(0),
        accepted: AtomicU64::new(0),
    });
    println!("listening on {}", server.address);
    println!("metrics on http://{}/metrics", metrics_listener.local_addr()?);

    let lending = memory::Lending::begin()?;
    let subscriptions: Vec<_> = server
        .databases
        .iter()
        .map(|database| database.evict_under_pressure())
        .collect();
    let (end, shutdown) = watch::channel(false);
    let mut upkeep = JoinSet::new();
    upkeep.spawn(janitor::run(Arc::clone(&server), shutdown.clone()));
    upkeep.spawn(metrics::run(
        Arc::clone(&server),
        metrics_listener,
        shutdown.clone(),
    ));
    let mut clients = JoinSet::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => accept(&server, &mut clients, stream, peer, &shutdown).await,
                // Out of file descriptors, most likely: some come back when clients leave.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = clients.join_next(), if !clients.is_empty() => {}
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    // Nobody new; who is served is served to the end of the batch.
    drop(listener);
    println!("ending with {} clients", clients.len());
    let _ = end.send(true); // Where nobody listens any more there is nobody to tell.
    let all_left = async { while clients.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all_left).await.is_err() {
        eprintln!("{} clients did not read their last replies", clients.len());
        clients.shutdown().await;
    }
    while upkeep.join_next().await.is_some() {}
    drop(subscriptions);
    lending.end();
    for database in &server.databases {
        drop(database.content().keys.clear());
        database.pool.close();
    }
    println!("ended");
    Ok(())
}

/// Serves a client, if there are not too many.
async fn accept(
    server: &Arc<Server>,
    clients: &mut JoinSet<()>,
    mut stream: TcpStream,
    peer: SocketAddr,
    shutdown: &watch::Receiver<bool>,
) {
    // Relaxed, here and below: counts, which publish nothing.
    let id = server.accepted.fetch_add(1, Ordering::Relaxed) + 1;
    if clients.len() >= server.max_clients {
        // Who does not read this has gone.
        let _ = stream.try_write(b"-ERR max number of clients reached\r\n");
        let _ = stream.shutdown().await;
        return;
    }
    server.connected.fetch_add(1, Ordering::Relaxed);
    let (server, shutdown) = (Arc::clone(server), shutdown.clone());
    clients.spawn(async move {
        // A connection that breaks is the client's decision.
        let _ = connection::serve(Arc::clone(&server), id, stream, peer, shutdown).await;
        server.connected.fetch_sub(1, Ordering::Relaxed);
    });
}
