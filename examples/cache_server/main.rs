// ci-args: --check examples/cache_server/tenants.toml
//! A cache for several tenants that speaks the Redis protocol, RESP2 and RESP3.
//!
//! Each tenant's keys live in memory of its own. A tenant that is full evicts its own least recently used keys; a request
//! that there is no memory for, or for its reply, answers `-OOM` and says why; the others do not notice.
//!
//! ```sh
//! cargo run --release --example cache_server                                            # 16 tenants, db0 to db15
//! cargo run --release --example cache_server -- examples/cache_server/tenants.toml      # weights, limits, passwords
//! redis-cli -p 6379                                # SELECT n, or AUTH tenant password; as an admin TENANCY REPORT
//! redis-benchmark -p 6379 -t set,get,incr,lpush,rpop,mset -P 16
//! curl http://127.0.0.1:9121/metrics
//! ```
//!
//! ```text
//!                                 main.rs     the allocator
//!  server/  arguments.rs ─ config.rs ─▶ mod.rs    tenants, sockets, the end
//!             connection.rs   a socket: requests in batches, one write for each
//!               protocol/     bytes ⇄ requests and replies
//!               commands/     what each command does             session.rs   who is asking
//!               room.rs       is there memory? if not, evict
//!               store/        keys and values of one tenant
//!             janitor.rs      expiry, upkeep        metrics.rs   what Prometheus reads
//!  memory.rs  the tenant's pool: enter, ask, count
//! ```
//!
//! # Whose memory is what
//!
//! | | |
//! |---|---|
//! | keys, values, tables of a keyspace | the tenant's |
//! | what a request is taken apart into, replies above 16 KiB, requests above 16 KiB | the tenant's that sends it |
//! | a connection's task and its first 16 KiB each way, command tables, metrics | root's |
//!
//! What is a tenant's and as long as a client likes is asked for before it is allocated.

mod memory;
mod server;

use std::process::ExitCode;

#[global_allocator]
static ALLOC: tenancy::Tenancy = tenancy::Tenancy::new();

fn main() -> ExitCode {
    server::main()
}
