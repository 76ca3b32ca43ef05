//! `/metrics`, as Prometheus reads it, on a port of its own.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::Server;
use super::database::Standing;

/// The longest head of a request.
const LONGEST: usize = 8 << 10;
/// How long a client may take to ask, and to read the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves until the server ends.
pub(crate) async fn run(server: Arc<Server>, listener: TcpListener, mut shutdown: watch::Receiver<bool>) {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Tenants(server)));
    let registry = Arc::new(registry);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => { tokio::time::sleep(Duration::from_millis(50)).await; continue }
            },
            _ = shutdown.changed() => return,
        };
        let registry = Arc::clone(&registry);
        tokio::spawn(async move {
            // A client that went away is no business of the server's.
            let _ = timeout(PATIENCE, answer(&registry, stream)).await;
        });
    }
}

/// Reads the head of one HTTP request and answers it.
async fn answer(registry: &Registry, mut stream: TcpStream) -> io::Result<()> {
    let mut head = Vec::with_capacity(1024);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > LONGEST || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|&byte| byte == b' ');
    let (status, body) = match (words.next(), words.next()) {
        (Some(b"GET"), Some(b"/metrics")) => {
            let mut body = String::new();
            match encode(&mut body, registry) {
                Ok(()) => ("200 OK", body),
                Err(fmt::Error) => ("500 Internal Server Error", String::new()),
            }
        }
        (Some(b"GET"), _) => ("404 Not Found", "see /metrics\n".into()),
        _ => ("405 Method Not Allowed", String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// A number of a tenant: its name, what it means, whether it only grows, and where it stands.
type Number = (&'static str, &'static str, MetricType, fn(&Standing) -> u64);

const NUMBERS: [Number; 9] = [
    ("cache_keys", "Keys", MetricType::Gauge, |all| all.keys),
    (
        "cache_keys_expiring",
        "Keys with a deadline",
        MetricType::Gauge,
        |all| all.expiring,
    ),
    (
        "cache_counted_bytes",
        "Bytes asked for, as the server counts them",
        MetricType::Gauge,
        |all| all.counted,
    ),
    ("cache_commands", "Commands served", MetricType::Counter, |all| {
        all.commands
    }),
    (
        "cache_hits",
        "Reads that found their key",
        MetricType::Counter,
        |all| all.hits,
    ),
    ("cache_misses", "Reads that did not", MetricType::Counter, |all| {
        all.misses
    }),
    (
        "cache_evicted",
        "Keys evicted to make room",
        MetricType::Counter,
        |all| all.evicted,
    ),
    (
        "cache_expired",
        "Keys whose deadline came",
        MetricType::Counter,
        |all| all.expired,
    ),
    (
        "cache_refused",
        "Requests answered with -OOM",
        MetricType::Counter,
        |all| all.refused,
    ),
];

/// Collects how tenants stand when it is asked.
struct Tenants(Arc<Server>);

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tenants")
    }
}

impl Collector for Tenants {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let standings: Vec<_> = self.0.databases.iter().map(|one| one.standing()).collect();
        for (name, help, kind, read) in NUMBERS {
            let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
            for (database, standing) in self.0.databases.iter().zip(&standings) {
                let labels = [("tenant", database.name.as_str())];
                write(metric.encode_family(&labels)?, kind, read(standing))?;
            }
        }
        // What the allocator says of each: charged, entitlement, borrowed, lent …
        let memory: Vec<_> = standings.iter().map(|one| one.memory.all()).collect();
        for (index, (number, _)) in memory[0].iter().enumerate() {
            let (name, kind, unit) = match *number {
                "weight" => ("cache_weight".into(), MetricType::Gauge, None),
                "denied" => ("cache_memory_denied".into(), MetricType::Counter, None),
                bytes => (
                    format!("cache_memory_{bytes}"),
                    MetricType::Gauge,
                    Some(Unit::Bytes),
                ),
            };
            let mut metric = encoder.encode_descriptor(&name, "As in docs/report.md", unit.as_ref(), kind)?;
            for (database, all) in self.0.databases.iter().zip(&memory) {
                let labels = [("tenant", database.name.as_str())];
                let metric = metric.encode_family(&labels)?;
                match all[index] {
                    (_, Some(value)) => write(metric, kind, value)?,
                    // So that what is charged of it is none of it.
                    (_, None) => ConstGauge::new(f64::INFINITY).encode(metric)?,
                }
            }
        }
        let mut metric = encoder.encode_descriptor(
            "cache_connections",
            "Clients that are connected",
            None,
            MetricType::Gauge,
        )?;
        // Relaxed: a count for the report.
        let connected = self.0.connected.load(std::sync::atomic::Ordering::Relaxed);
        metric.encode_gauge(&(connected as u64))
    }
}

fn write(mut metric: MetricEncoder<'_>, kind: MetricType, value: u64) -> Result<(), fmt::Error> {
    match kind {
        MetricType::Counter => metric.encode_counter::<NoLabelSet, u64, u64>(&value, None),
        _ => ConstGauge::new(value).encode(metric),
    }
}
