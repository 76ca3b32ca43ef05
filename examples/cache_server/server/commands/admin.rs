//! The server and its tenants.

use super::super::protocol::{Request, parse_integer};
use super::{Context, Failure, shortened};
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
    // Little is freed sooner than it is given to another thread, which might have to be made.
    const LITTLE: usize = 1 << 20;
    let all = context.keys.clear();
    if request.says(1, "async") && all.bytes() > LITTLE {
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
    let (is_get, is_reset, is_help) = (
        request.says(1, "get"),
        request.says(1, "resetstat"),
        request.says(1, "help"),
    );
    match request.len() {
        3.. if is_get => {}
        2 if is_reset => {
            context.keys.counts = Default::default();
            context.replies.ok();
            return Ok(());
        }
        2 if is_help => {
            let lines = [
                "CONFIG <subcommand> [<arg> ...]. Subcommands are:",
                "GET <pattern> [<pattern> ...]",
                "    Settings whose names fit.",
                "RESETSTAT",
                "    Counts hits, misses, evicted and expired keys anew.",
            ];
            super::help(context, &lines);
            return Ok(());
        }
        _ if is_get || is_reset || is_help => return Err(Failure::arity_of_subcommand(request)),
        _ => return Err(Failure::unknown_subcommand(request)),
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
    let asked = |name: &str| request.from(2).any(|pattern| matches(pattern, name.as_bytes()));
    let found: Vec<_> = settings.iter().filter(|(name, _)| asked(name)).collect();
    context.replies.map(found.len());
    for (name, value) in found {
        context.replies.bulk(name.as_bytes());
        context.replies.bulk(value.as_bytes());
    }
    Ok(())
}

/// Whether a pattern of `*`, `?` and letters in any case fits. Where it does not, the last `*` takes one letter more; those
/// before it need not, so this takes the pattern's length and the square of the text's.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut position) = (0, 0);
    // Behind the last `*`, and how far it has taken the text.
    let mut last = None;
    while let Some(other) = text.get(position) {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                last = Some((at, position));
            }
            Some(letter) if *letter == b'?' || letter.eq_ignore_ascii_case(other) => {
                at += 1;
                position += 1;
            }
            _ => {
                let Some((behind, taken)) = last else { return false };
                last = Some((behind, taken + 1));
                (at, position) = (behind, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|&letter| letter == b'*')
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
        super::help(context, &lines);
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
            let name = shortened(request.word(2));
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
            ("MAX*", "maxmemory", true),
            ("", "x", false),
            ("*", "", true),
            ("?", "", false),
            ("*x", "maxmemory", false),
            ("*m*m?r*", "maxmemory", true),
            ("*mo*mo*", "maxmemory", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                fits,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn a_pattern_of_many_stars_takes_no_longer_than_it_is_long() {
        assert!(matches(&vec![b'*'; 1 << 20], b"maxmemory"));
        let stars_then_a_letter = ["*a".repeat(40).as_bytes(), b"x"].concat();
        assert!(!matches(&stars_then_a_letter, &[b'a'; 80]));
    }
}
