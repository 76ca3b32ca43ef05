//! What the server says about itself: `INFO` and `COMMAND`.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use super::super::protocol::{Replies, Request};
use super::table::{self, COMMANDS, Command};
use super::{Context, Failure};
use crate::memory;

/// The version of Redis whose answers these are.
pub(super) const REDIS_VERSION: &str = "7.0.0";

const SECTIONS: [&str; 6] = ["server", "clients", "memory", "stats", "keyspace", "tenancy"];

/// `INFO [section…]`. Keys and memory are those of the tenant that asks.
pub(super) fn info(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let is_all = request.len() == 1
        || ["all", "default", "everything"]
            .iter()
            .any(|all| (1..request.len()).any(|index| request.says(index, all)));
    let mut text = String::with_capacity(2048);
    for section in SECTIONS {
        if is_all || (1..request.len()).any(|index| request.says(index, section)) {
            if !text.is_empty() {
                text += "\r\n";
            }
            let title = section[..1].to_uppercase() + &section[1..];
            let _ = write!(text, "# {title}\r\n"); // Writing to a `String` cannot fail.
            for (name, value) in lines(context, section) {
                let _ = write!(text, "{name}:{value}\r\n");
            }
        }
    }
    context.replies.text(&text);
    Ok(())
}

fn lines(context: &Context<'_>, section: &str) -> Vec<(String, String)> {
    let (server, keys) = (context.server, &context.keys);
    let counted = keys.bytes() as u64;
    let line = |name: &str, value: &dyn std::fmt::Display| (String::from(name), value.to_string());
    // Relaxed, in all of this function: counts for the report.
    match section {
        "server" => vec![
            line("redis_version", &REDIS_VERSION),
            line("redis_mode", &"standalone"),
            line("allocator", &memory::ALLOCATOR),
            line("process_id", &std::process::id()),
            line("tcp_port", &server.address.port()),
            line("uptime_in_seconds", &server.uptime().as_secs()),
        ],
        "clients" => vec![
            line("connected_clients", &server.connected.load(Ordering::Relaxed)),
            line("maxclients", &server.max_clients),
        ],
        "memory" => {
            let numbers = context.database.pool.numbers(counted);
            vec![
                line("used_memory", &counted),
                line("used_memory_peak", &numbers.peak),
                line("maxmemory", &context.database.pool.limit().unwrap_or(0)),
                line("maxmemory_policy", &"allkeys-lru"),
            ]
        }
        "stats" => vec![
            line(
                "total_connections_received",
                &server.accepted.load(Ordering::Relaxed),
            ),
            line(
                "total_commands_processed",
                &context.database.commands.load(Ordering::Relaxed),
            ),
            line("keyspace_hits", &keys.counts.hits),
            line("keyspace_misses", &keys.counts.misses),
            line("evicted_keys", &keys.counts.evicted),
            line("expired_keys", &keys.counts.expired),
            line(
                "refused_writes",
                &context.database.refused.load(Ordering::Relaxed),
            ),
        ],
        "keyspace" if keys.len() == 0 => vec![],
        "keyspace" => {
            let name = format!("db{}", server.number_of(context.database));
            let value = format!("keys={},expires={},avg_ttl=0", keys.len(), keys.expiring());
            vec![(name, value)]
        }
        _ => {
            let mut lines = vec![line("tenant", &context.database.name)];
            let numbers = context.database.pool.numbers(counted);
            for (name, value) in numbers.all() {
                // As `maxmemory` has it, what has no bound is 0.
                lines.push(line(name, &value.unwrap_or(0)));
            }
            lines
        }
    }
}

/// `COMMAND [COUNT | LIST | INFO name… | DOCS name… | HELP]`.
pub(super) fn command(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let replies = &mut *context.replies;
    if request.len() == 1 {
        replies.array(COMMANDS.len());
        COMMANDS.iter().for_each(|command| describe(replies, command));
    } else if request.says(1, "count") && request.len() == 2 {
        replies.count(COMMANDS.len());
    } else if request.says(1, "list") && request.len() == 2 {
        replies.bulks(COMMANDS.iter().map(|command| command.name.as_bytes()));
    } else if request.says(1, "info") {
        replies.array(request.len() - 2);
        for name in request.from(2) {
            match table::find(name) {
                Some(command) => describe(replies, command),
                None => replies.null_array(),
            }
        }
    } else if request.says(1, "docs") {
        let asked = || request.from(2).filter_map(table::find);
        if request.len() == 2 {
            replies.map(COMMANDS.len());
            COMMANDS.iter().for_each(|command| document(replies, command));
        } else {
            replies.map(asked().count());
            asked().for_each(|command| document(replies, command));
        }
    } else if request.says(1, "help") && request.len() == 2 {
        let lines = [
            "COMMAND <subcommand> [<arg> ...]. Subcommands are:",
            "(no subcommand)",
            "    All commands, as INFO has them.",
            "COUNT",
            "DOCS [<command> ...]",
            "INFO [<command> ...]",
            "LIST",
        ];
        super::help(context, &lines);
    } else if ["count", "list", "help"].iter().any(|name| request.says(1, name)) {
        return Err(Failure::arity_of_subcommand(request));
    } else {
        return Err(Failure::unknown_subcommand(request));
    }
    Ok(())
}

fn describe(replies: &mut Replies, command: &Command) {
    replies.array(10);
    replies.bulk(command.name.as_bytes());
    replies.integer(command.arity);
    replies.set(command.flags.len());
    command.flags.iter().for_each(|flag| replies.simple(flag));
    for number in [command.keys.0, command.keys.1, command.keys.2] {
        replies.integer(number);
    }
    replies.set(1);
    replies.simple(&format!("@{}", command.group));
    // Tips, key specifications, subcommands.
    (0..3).for_each(|_| replies.array(0));
}

fn document(replies: &mut Replies, command: &Command) {
    replies.bulk(command.name.as_bytes());
    let fields = [
        ("summary", command.summary),
        ("since", "1.0.0"),
        ("group", command.group),
    ];
    replies.map(fields.len());
    for (field, value) in fields {
        replies.bulk(field.as_bytes());
        replies.bulk(value.as_bytes());
    }
}
