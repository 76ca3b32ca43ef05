//! What commands do: a table of them, and one file for each kind.
//!
//! Above: `connection.rs`. Below: `store/`, `room.rs`, `protocol/`.
//!
//! A command answers once, or returns a [`Failure`], which is answered in Redis's words. One that writes asks for room
//! before it looks anything up: making it may evict any key.

mod admin;
mod client;
mod hashes;
mod info;
mod keys;
mod lists;
mod strings;
mod table;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Server;
use super::database::Database;
use super::protocol::{Replies, Request};
use super::room::Room;
use super::session::Session;
use super::store::Keyspace;

/// What a command works with.
pub(crate) struct Context<'a> {
    pub(crate) server: &'a Arc<Server>,
    pub(crate) session: &'a mut Session,
    pub(crate) database: &'a Arc<Database>,
    pub(crate) keys: &'a mut Keyspace,
    pub(crate) room: &'a mut Room,
    /// Milliseconds of the server's clock.
    pub(crate) now: u64,
    pub(crate) replies: &'a mut Replies,
}

impl Context<'_> {
    /// Makes room for what a write `needs`.
    fn make_room(&mut self, needs: impl Fn(&mut Keyspace) -> usize) -> Result<(), Failure> {
        self.room
            .make(&self.database.pool, self.keys, needs)
            .map_err(Failure::OutOfMemory)
    }
}

/// Runs a request and answers it.
pub(crate) fn run(context: &mut Context<'_>, request: &Request<'_>) {
    if let Err(failure) = try_run(context, request) {
        if matches!(failure, Failure::OutOfMemory(_)) {
            // Relaxed: a count for the report.
            context.database.refused.fetch_add(1, Ordering::Relaxed);
        }
        context.replies.error(&failure.to_string());
    }
}

fn try_run(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let command = table::find(request.word(0)).ok_or_else(|| Failure::unknown(request))?;
    if !command.takes(request.len()) {
        return Err(Failure::Arity(command.name));
    }
    if !command.is_for_strangers() && context.session.is_stranger(context.server) {
        return Err(Failure::Other("NOAUTH Authentication required.".into()));
    }
    (command.run)(context, request)
}

/// Why a command did nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    Arity(&'static str),
    WrongType,
    Syntax,
    NotAnInteger,
    OutOfMemory(String),
    Other(String),
}

impl Failure {
    fn unknown(request: &Request<'_>) -> Self {
        const LONGEST: usize = 128;
        let mut text = format!(
            "ERR unknown command '{}', with args beginning with: ",
            shortened(request.word(0), LONGEST)
        );
        for word in request.from(1) {
            if text.len() >= LONGEST {
                break;
            }
            text += &format!("'{}' ", shortened(word, LONGEST));
        }
        Failure::Other(text)
    }

    fn unknown_subcommand(request: &Request<'_>) -> Self {
        let command = String::from_utf8_lossy(request.word(0)).to_uppercase();
        let subcommand = shortened(request.word(1), 128);
        Failure::Other(format!(
            "ERR unknown subcommand '{subcommand}'. Try {command} HELP."
        ))
    }
}

fn shortened(word: &[u8], longest: usize) -> String {
    String::from_utf8_lossy(&word[..word.len().min(longest)]).into_owned()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Arity(name) => write!(f, "ERR wrong number of arguments for '{name}' command"),
            Failure::WrongType => {
                f.write_str("WRONGTYPE Operation against a key holding the wrong kind of value")
            }
            Failure::Syntax => f.write_str("ERR syntax error"),
            Failure::NotAnInteger => f.write_str("ERR value is not an integer or out of range"),
            Failure::OutOfMemory(reason) => write!(f, "OOM command not allowed: {reason}"),
            Failure::Other(text) => f.write_str(text),
        }
    }
}
