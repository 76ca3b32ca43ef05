//! What commands do: a table of them, and one file for each kind.
//!
//! Above: `connection.rs`. Below: `store/`, `room.rs`, `protocol/`.
//!
//! A command answers once, or returns a [`Failure`], which is answered in Redis's words. One that writes asks for room
//! before it looks anything up: making it may evict any key. One that answers longer than the buffer has place is run once
//! more, when there is place: so what changes something and may answer at length looks for place before it does.

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

use bytes::BytesMut;

use super::Server;
use super::database::Database;
use super::protocol::{Replies, Request, SHORT};
use super::room::{self, Room, block};
use super::session::Session;
use super::store::Keyspace;
use table::Command;

/// How long answers of a batch may become together before they are written, where there is memory for it.
const MOST_AT_ONCE: usize = 256 << 10;

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
    pub(crate) fn make_room(&mut self, needs: impl Fn(&mut Keyspace) -> usize) -> Result<(), Failure> {
        self.room
            .make(&self.database.pool, self.keys, needs)
            .map_err(Failure::OutOfMemory)
    }

    /// Whether a short answer has a place. If not, those before it are to be written first.
    pub(crate) fn has_short_place(&mut self) -> bool {
        let buffer = &self.replies.buffer;
        buffer.capacity() - buffer.len() >= SHORT || self.lengthen(0)
    }

    /// Makes place for an answer of `length` bytes behind those that wait to be written, unless they are many, or take what is
    /// kept for writes.
    #[cold]
    fn lengthen(&mut self, length: usize) -> bool {
        let buffer = &self.replies.buffer;
        let needed = buffer.len() + length + SHORT;
        let capacity = (4 * buffer.capacity()).min(MOST_AT_ONCE);
        let (pool, counted) = (&self.database.pool, self.keys.bytes() as u64);
        let asked = room::kept(pool) + block(capacity) as u64;
        if needed > capacity || pool.room_for(asked, counted).is_err() {
            return false;
        }
        let mut longer = BytesMut::with_capacity(capacity);
        longer.extend_from_slice(buffer);
        self.replies.buffer = longer;
        true
    }

    /// Makes place for an answer of `length` bytes, where none waits to be written.
    #[cold]
    fn make_place(&mut self, length: usize) -> Result<(), Failure> {
        let longest = self.server.longest_reply();
        if length > longest {
            return Err(Failure::OutOfMemory(format!(
                "its answer of {length} bytes is longer than {longest}, the longest that is given"
            )));
        }
        let capacity = length + SHORT;
        self.room
            .make_for_answer(&self.database.pool, self.keys, capacity)
            .map_err(Failure::OutOfMemory)?;
        self.replies.buffer = BytesMut::with_capacity(capacity);
        Ok(())
    }

    /// Answers that a request failed.
    pub(crate) fn fail(&mut self, failure: &Failure) {
        if matches!(failure, Failure::OutOfMemory(_)) {
            // Relaxed: a count for the report.
            self.database.refused.fetch_add(1, Ordering::Relaxed);
        }
        self.replies.error(&failure.to_string());
    }
}

/// Whether the command of this name keeps what it is sent.
pub(crate) fn keeps(name: &[u8]) -> bool {
    table::find(name).is_some_and(Command::may_grow)
}

/// Runs a request and answers it; false if its answer has no place behind those that wait to be written. Then nothing has
/// happened, and it is to be run when they are gone.
pub(crate) fn run(context: &mut Context<'_>, request: &Request<'_>) -> bool {
    let (start, counts) = (context.replies.buffer.len(), context.keys.counts);
    let done = loop {
        let done = try_run(context, request);
        let Some(length) = context.replies.take_back(start) else {
            break done;
        };
        (context.keys.counts.hits, context.keys.counts.misses) = (counts.hits, counts.misses);
        if start == 0 {
            if let Err(failure) = context.make_place(length) {
                break Err(failure);
            }
        } else if !context.lengthen(length) {
            return false;
        }
    };
    if let Err(failure) = done {
        context.fail(&failure);
    }
    true
}

fn try_run(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let Some(command) = table::find(request.word(0)) else {
        return unknown(context, request);
    };
    if !command.takes(request.len()) {
        return Err(Failure::Arity(command.name));
    }
    if !command.is_for_strangers() && context.session.is_stranger(context.server) {
        return Err(Failure::Other("NOAUTH Authentication required.".into()));
    }
    (command.run)(context, request)
}

/// Answers what is no command. A request of HTTP, which a web page can have a browser send here, ends the connection
/// before anything in its body is taken for a command, as in Redis.
#[cold]
fn unknown(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    if request.says(0, "post") || request.says(0, "host:") {
        context.session.is_leaving = true;
        return Ok(());
    }
    Err(Failure::unknown(request))
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
        let mut text = format!(
            "ERR unknown command '{}', with args beginning with: ",
            shortened(request.word(0))
        );
        for word in request.from(1) {
            if text.len() >= LONGEST {
                break;
            }
            text += &format!("'{}' ", shortened(word));
        }
        Failure::Other(text)
    }

    /// As for a command, but of its subcommand.
    fn arity_of_subcommand(request: &Request<'_>) -> Self {
        let [command, subcommand] = [0, 1].map(|index| shortened(request.word(index)).to_lowercase());
        Failure::Other(format!(
            "ERR wrong number of arguments for '{command}|{subcommand}' command"
        ))
    }

    fn unknown_subcommand(request: &Request<'_>) -> Self {
        let command = String::from_utf8_lossy(request.word(0)).to_uppercase();
        let subcommand = shortened(request.word(1));
        Failure::Other(format!(
            "ERR unknown subcommand '{subcommand}'. Try {command} HELP."
        ))
    }
}

/// Answers how a command is to be called.
fn help(context: &mut Context<'_>, lines: &[&str]) {
    context.replies.array(lines.len());
    lines.iter().for_each(|line| context.replies.simple(line));
}

/// The most bytes of a request that an error tells again.
const LONGEST: usize = 128;

fn shortened(word: &[u8]) -> String {
    String::from_utf8_lossy(&word[..word.len().min(LONGEST)]).into_owned()
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
