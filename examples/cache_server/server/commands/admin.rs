//! The server and its tenants.

use super::super::protocol::{Request, parse_integer};
use super::{Context, Failure};
use crate::memory;

pub(super) fn dbsize(context: &mut Context<'_>, _request: &Request<'_>) -> Result<(), Failure> {
    context.keys.expire(context.now, usize::MAX);
    context.replies.count(context.keys.len());
    Ok(())
}

pub(super) fn flushdb(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let is_plain = request.len() == 1;
    if !is_plain && !(request.len() == 2 && (request.says(1, "sync") || request.says(1, "async"))) {
        return Err(Failure::Syntax);
    }
    let all = context.keys.clear();
    if request.says(1, "async") {
        // Freed by another thread; the memory goes back to the tenant it came from.
        tokio::task::spawn_blocking(move || drop(all));
    } else {
        drop(all);
    }
    context.replies.ok();
    Ok(())
}

/// `CONFIG GET pattern…`: what clients ask Redis for, as far as it means something here.
pub(super) fn config(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    if request.says(1, "resetstat") && request.len() == 2 {
        context.keys.counts = Default::default();
        context.replies.ok();
        return Ok(());
    }
    if !request.says(1, "get") || request.len() < 3 {
        return Err(Failure::unknown_subcommand(request));
    }
    let limit = context.database.pool.limit().unwrap_or(0).to_string();
    let (clients, databases) = (
        context.server.max_clients.to_string(),
        context.server.databases.len().to_string(),
    );
    let longest = context.server.max_request.to_string();
    let settings = [
        ("appendonly", "no"),
        ("databases", &*databases),
        ("maxclients", &*clients),
        ("maxmemory", &*limit),
        ("maxmemory-policy", "allkeys-lru"),
        ("proto-max-bulk-len", &*longest),
        ("save", ""),
        ("timeout", "0"),
    ];
    let asked = |name: &str| {
        request
            .from(2)
            .any(|pattern| matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
    };
    let found = || settings.iter().filter(|(name, _)| asked(name));
    context.replies.map(found().count());
    for (name, value) in found() {
        context.replies.bulk(name.as_bytes());
        context.replies.bulk(value.as_bytes());
    }
    Ok(())
}

/// Whether a pattern of `*`, `?` and letters fits.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) if matches(rest, text) => true,
        (Some((b'*', _)), Some((_, text))) => matches(pattern, text),
        (Some((b'?', rest)), Some((_, text))) => matches(rest, text),
        (Some((letter, rest)), Some((other, text))) => letter == other && matches(rest, text),
        _ => false,
    }
}

/// `TENANCY REPORT`, `TENANCY WEIGHT name n`.
pub(super) fn tenancy(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    if request.says(1, "help") {
        let lines = [
            "TENANCY <subcommand> [<arg> ...]. Subcommands are:",
            "REPORT",
            "    All tenants' memory.",
            "WEIGHT <tenant> <weight>",
            "    Sets a tenant's claim when memory is short, 1 to 10000.",
        ];
        context.replies.array(lines.len());
        lines.iter().for_each(|line| context.replies.simple(line));
        return Ok(());
    }
    if !context.database.is_admin {
        let name = &context.database.name;
        let text = format!("NOPERM tenant '{name}' is not an admin of this server");
        return Err(Failure::Other(text));
    }
    if request.says(1, "report") && request.len() == 2 {
        let report = memory::report();
        context.replies.text(&report);
        return Ok(());
    }
    if request.says(1, "weight") && request.len() == 4 {
        let Some(index) = context.server.find(request.word(2)) else {
            let name = String::from_utf8_lossy(request.word(2));
            return Err(Failure::Other(format!("ERR there is no tenant '{name}'")));
        };
        let weight = parse_integer(request.word(3)).and_then(|weight| u32::try_from(weight).ok());
        let weight = weight.ok_or(Failure::NotAnInteger)?;
        context.server.databases[index]
            .pool
            .set_weight(weight)
            .map_err(|error| Failure::Other(format!("ERR {error}")))?;
        context.replies.ok();
        return Ok(());
    }
    Err(Failure::unknown_subcommand(request))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_fit_as_in_a_shell() {
        for (pattern, text, fits) in [
            ("save", "save", true),
            ("save", "saves", false),
            ("*", "anything", true),
            ("max*", "maxmemory", true),
            ("*mem*y", "maxmemory", true),
            ("ma?memory", "maxmemory", true),
            ("", "x", false),
            ("*x", "maxmemory", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                fits,
                "{pattern} {text}"
            );
        }
    }
}
