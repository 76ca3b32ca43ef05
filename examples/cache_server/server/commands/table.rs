//! All commands: how they are called, what `COMMAND` says of them, and what runs them.

use super::super::protocol::Request;
use super::{Context, Failure, admin, client, hashes, info, keys, lists, strings};

/// A command.
pub(super) struct Command {
    pub(super) name: &'static str,
    /// Words with its name; at least so many if negative.
    pub(super) arity: i64,
    /// As `COMMAND INFO` tells them.
    pub(super) flags: &'static [&'static str],
    /// First key, last key (from the end if negative), keys' distance; zeros if it has none.
    pub(super) keys: (i64, i64, i64),
    pub(super) group: &'static str,
    pub(super) summary: &'static str,
    pub(super) run: Run,
}

type Run = fn(&mut Context<'_>, &Request<'_>) -> Result<(), Failure>;

impl Command {
    pub(super) fn takes(&self, words: usize) -> bool {
        let words = words as i64;
        if self.arity < 0 {
            words >= -self.arity
        } else {
            words == self.arity
        }
    }

    /// Whether it takes memory, and so may be refused for want of it.
    pub(super) fn may_grow(&self) -> bool {
        self.flags.contains(&"denyoom")
    }

    /// Whether it may be used before a password was given.
    pub(super) fn is_for_strangers(&self) -> bool {
        self.flags.contains(&"no_auth")
    }
}

/// The longest name of a command.
const LONGEST: usize = 16;

/// The command of this name, in any case.
pub(super) fn find(name: &[u8]) -> Option<&'static Command> {
    let mut lower = [0; LONGEST];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let found = COMMANDS.binary_search_by(|command| command.name.as_bytes().cmp(lower));
    found.ok().map(|index| &COMMANDS[index])
}

const fn command(
    name: &'static str,
    arity: i64,
    flags: &'static [&'static str],
    keys: (i64, i64, i64),
    group: &'static str,
    summary: &'static str,
    run: Run,
) -> Command {
    Command {
        name,
        arity,
        flags,
        keys,
        group,
        summary,
        run,
    }
}

const READ: &[&str] = &["readonly", "fast"];
const WRITE: &[&str] = &["write", "fast"];
const GROW: &[&str] = &["write", "denyoom", "fast"];
const CONNECTION: &[&str] = &["noscript", "loading", "stale", "fast"];
const STRANGER: &[&str] = &["noscript", "loading", "stale", "fast", "no_auth"];
const ADMIN: &[&str] = &["admin", "noscript", "loading", "stale"];

const NO_KEYS: (i64, i64, i64) = (0, 0, 0);
const ONE_KEY: (i64, i64, i64) = (1, 1, 1);
const ALL_KEYS: (i64, i64, i64) = (1, -1, 1);

/// In the order of their names.
#[rustfmt::skip] // A table: one line each.
pub(super) static COMMANDS: &[Command] = &[
    command("append", 3, GROW, ONE_KEY, "string", "Appends a string to the value of a key.", strings::append),
    command("auth", -2, STRANGER, NO_KEYS, "connection", "Becomes a tenant: AUTH tenant password.", client::auth),
    command("client", -2, CONNECTION, NO_KEYS, "connection", "Says or asks something about the connection.", client::client),
    command("command", -1, CONNECTION, NO_KEYS, "server", "Describes commands.", info::command),
    command("config", -2, ADMIN, NO_KEYS, "server", "Reads settings: CONFIG GET pattern.", admin::config),
    command("dbsize", 1, READ, NO_KEYS, "server", "Returns the number of the tenant's keys.", admin::dbsize),
    command("decr", 2, GROW, ONE_KEY, "string", "Takes one from a number.", strings::decr),
    command("decrby", 3, GROW, ONE_KEY, "string", "Takes from a number.", strings::decrby),
    command("del", -2, WRITE, ALL_KEYS, "generic", "Deletes keys.", keys::del),
    command("echo", 2, CONNECTION, NO_KEYS, "connection", "Returns its argument.", client::echo),
    command("exists", -2, READ, ALL_KEYS, "generic", "Counts those of the keys that exist.", keys::exists),
    command("expire", -3, GROW, ONE_KEY, "generic", "Lets a key end after seconds.", keys::expire),
    command("flushdb", -1, WRITE, NO_KEYS, "server", "Deletes all of the tenant's keys.", admin::flushdb),
    command("get", 2, READ, ONE_KEY, "string", "Returns the value of a key.", strings::get),
    command("hdel", -3, WRITE, ONE_KEY, "hash", "Deletes fields of a hash.", hashes::hdel),
    command("hello", -1, STRANGER, NO_KEYS, "connection", "Chooses the protocol: HELLO [2|3 [AUTH tenant password] [SETNAME name]].", client::hello),
    command("hget", 3, READ, ONE_KEY, "hash", "Returns the value of a field.", hashes::hget),
    command("hgetall", 2, &["readonly"], ONE_KEY, "hash", "Returns all fields and values.", hashes::hgetall),
    command("hlen", 2, READ, ONE_KEY, "hash", "Returns the number of fields.", hashes::hlen),
    command("hset", -4, GROW, ONE_KEY, "hash", "Sets fields of a hash.", hashes::hset),
    command("incr", 2, GROW, ONE_KEY, "string", "Adds one to a number.", strings::incr),
    command("incrby", 3, GROW, ONE_KEY, "string", "Adds to a number.", strings::incrby),
    command("info", -1, CONNECTION, NO_KEYS, "server", "Returns numbers about the server and the tenant.", info::info),
    command("llen", 2, READ, ONE_KEY, "list", "Returns the length of a list.", lists::llen),
    command("lpop", -2, WRITE, ONE_KEY, "list", "Takes items from the left of a list.", lists::lpop),
    command("lpush", -3, GROW, ONE_KEY, "list", "Puts items to the left of a list.", lists::lpush),
    command("lrange", 4, &["readonly"], ONE_KEY, "list", "Returns a range of a list.", lists::lrange),
    command("mget", -2, READ, ALL_KEYS, "string", "Returns the values of keys.", strings::mget),
    command("mset", -3, &["write", "denyoom"], (1, -1, 2), "string", "Sets keys.", strings::mset),
    command("persist", 2, WRITE, ONE_KEY, "generic", "Lets a key never end.", keys::persist),
    command("pexpire", -3, GROW, ONE_KEY, "generic", "Lets a key end after milliseconds.", keys::pexpire),
    command("ping", -1, CONNECTION, NO_KEYS, "connection", "Returns PONG, or its argument.", client::ping),
    command("pttl", 2, READ, ONE_KEY, "generic", "Returns the milliseconds that a key has left.", keys::pttl),
    command("quit", -1, STRANGER, NO_KEYS, "connection", "Closes the connection.", client::quit),
    command("reset", 1, STRANGER, NO_KEYS, "connection", "Makes the connection new.", client::reset),
    command("rpop", -2, WRITE, ONE_KEY, "list", "Takes items from the right of a list.", lists::rpop),
    command("rpush", -3, GROW, ONE_KEY, "list", "Puts items to the right of a list.", lists::rpush),
    command("select", 2, CONNECTION, NO_KEYS, "connection", "Becomes the tenant with this number.", client::select),
    command("set", -3, GROW, ONE_KEY, "string", "Sets a key: SET key value [NX|XX] [GET] [EX seconds|PX milliseconds|KEEPTTL].", strings::set),
    command("strlen", 2, READ, ONE_KEY, "string", "Returns the length of a string.", strings::strlen),
    command("tenancy", -2, ADMIN, NO_KEYS, "server", "TENANCY REPORT: all tenants' memory. TENANCY WEIGHT name n: changes a claim.", admin::tenancy),
    command("ttl", 2, READ, ONE_KEY, "generic", "Returns the seconds that a key has left.", keys::ttl),
    command("type", 2, READ, ONE_KEY, "generic", "Returns what a key stands for.", keys::type_of),
    command("unlink", -2, WRITE, ALL_KEYS, "generic", "Deletes keys.", keys::del),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_by_its_name_in_any_case() {
        assert!(COMMANDS.is_sorted_by_key(|command| command.name));
        for command in COMMANDS {
            assert!(command.name.len() <= LONGEST);
            for name in [command.name.to_owned(), command.name.to_uppercase()] {
                assert_eq!(find(name.as_bytes()).map(|found| found.name), Some(command.name));
            }
        }
        for name in [b"".as_slice(), b"ge", b"gett", &[b'x'; 1000]] {
            assert!(find(name).is_none());
        }
    }
}
