//! The connection itself: who is there, and how it wants to be answered.

use super::super::protocol::{Request, Version, parse_integer};
use super::{Context, Failure, shortened};

pub(super) fn ping(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    match request.len() {
        1 => context.replies.simple("PONG"),
        2 => context.replies.bulk(request.word(1)),
        _ => return Err(Failure::Arity("ping")),
    }
    Ok(())
}

pub(super) fn echo(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    context.replies.bulk(request.word(1));
    Ok(())
}

pub(super) fn quit(context: &mut Context<'_>, _request: &Request<'_>) -> Result<(), Failure> {
    context.session.is_leaving = true;
    context.replies.ok();
    Ok(())
}

pub(super) fn reset(context: &mut Context<'_>, _request: &Request<'_>) -> Result<(), Failure> {
    context.session.reset(context.server);
    context.replies.version = Version::Resp2;
    context.replies.simple("RESET");
    Ok(())
}

pub(super) fn select(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let number = parse_integer(request.word(1)).ok_or(Failure::NotAnInteger)?;
    // What is no number of a tenant is out of range, negative or not.
    let index = usize::try_from(number).unwrap_or(usize::MAX);
    context
        .session
        .select(context.server, index)
        .map_err(Failure::Other)?;
    context.replies.ok();
    Ok(())
}

/// `AUTH tenant password`; `AUTH password` is for the first tenant.
pub(super) fn auth(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let (tenant, password) = match request.len() {
        2 => (None, request.word(1)),
        3 => (Some(request.word(1)), request.word(2)),
        _ => return Err(Failure::Syntax),
    };
    authenticate(context, tenant, password)?;
    context.replies.ok();
    Ok(())
}

/// Those who name no tenant mean the first. To Redis they are `default`, and so they are here unless a tenant is called so. Where
/// it has no password any will do, if it is called by its name; a password alone is taken for a mistake.
fn authenticate(context: &mut Context<'_>, tenant: Option<&[u8]>, password: &[u8]) -> Result<(), Failure> {
    let server = context.server;
    let first = &server.databases[0];
    if tenant.is_none() && first.password.is_none() {
        let text = "ERR AUTH <password> called without any password configured for the default user. \
                    Are you sure your configuration is correct?";
        return Err(Failure::Other(text.into()));
    }
    let tenant = tenant.filter(|name| *name != b"default" || server.find(name).is_some());
    let name = tenant.unwrap_or(first.name.as_bytes());
    let admitted = context.session.authenticate(server, name, password);
    admitted
        .map_err(|()| Failure::Other("WRONGPASS invalid username-password pair or user is disabled.".into()))
}

/// `HELLO [2|3 [AUTH tenant password] [SETNAME name]]`.
pub(super) fn hello(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let version = match request.word(1) {
        _ if request.len() == 1 => context.replies.version,
        b"2" => Version::Resp2,
        b"3" => Version::Resp3,
        other if parse_integer(other).is_some() => {
            return Err(Failure::Other("NOPROTO unsupported protocol version".into()));
        }
        _ => {
            let text = "ERR Protocol version is not an integer or out of range";
            return Err(Failure::Other(text.into()));
        }
    };
    let (mut credentials, mut name) = (None, None);
    let mut index = 2;
    while index < request.len() {
        if request.says(index, "auth") && index + 2 < request.len() {
            credentials = Some((request.word(index + 1), request.word(index + 2)));
            index += 3;
        } else if request.says(index, "setname") && index + 1 < request.len() {
            name = Some(client_name(request.word(index + 1))?);
            index += 2;
        } else {
            let option = shortened(request.word(index));
            return Err(Failure::Other(format!(
                "ERR Syntax error in HELLO option '{option}'"
            )));
        }
    }
    if let Some((tenant, password)) = credentials {
        authenticate(context, Some(tenant), password)?;
    }
    if context.session.is_stranger(context.server) {
        let text = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> \
                    AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol \
                    version at the same time";
        return Err(Failure::Other(text.into()));
    }
    if let Some(name) = name {
        context.session.name = name;
    }
    context.replies.version = version;
    let (id, replies) = (context.session.id, &mut *context.replies);
    replies.map(7);
    for (field, value) in [("server", "redis"), ("version", super::info::REDIS_VERSION)] {
        replies.bulk(field.as_bytes());
        replies.bulk(value.as_bytes());
    }
    replies.bulk(b"proto");
    replies.integer(if version == Version::Resp3 { 3 } else { 2 });
    replies.bulk(b"id");
    replies.integer(id as i64);
    for (field, value) in [("mode", "standalone"), ("role", "master")] {
        replies.bulk(field.as_bytes());
        replies.bulk(value.as_bytes());
    }
    replies.bulk(b"modules");
    replies.array(0);
    Ok(())
}

pub(super) fn client(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let subcommand = request.word(1).to_ascii_lowercase();
    match (subcommand.as_slice(), request.len()) {
        (b"id", 2) => context.replies.integer(context.session.id as i64),
        (b"getname", 2) if context.session.name.is_empty() => context.replies.null(),
        (b"getname", 2) => context.replies.bulk(context.session.name.as_bytes()),
        (b"setname", 3) => {
            context.session.name = client_name(request.word(2))?;
            context.replies.ok();
        }
        (b"setinfo", 4) => {
            let value = client_name(request.word(3))?;
            if request.says(2, "lib-name") {
                context.session.library.0 = value;
            } else if request.says(2, "lib-ver") {
                context.session.library.1 = value;
            } else {
                let option = shortened(request.word(2));
                return Err(Failure::Other(format!("ERR Unrecognized option '{option}'")));
            }
            context.replies.ok();
        }
        // A tenant sees the connection that asks, and not what others there are.
        (b"info", 2) | (b"list", 2) => {
            let line = line(context);
            context.replies.text(&line);
        }
        (b"no-evict" | b"no-touch", 3) if request.says(2, "on") || request.says(2, "off") => {
            context.replies.ok();
        }
        (b"help", 2) => {
            let lines = [
                "CLIENT <subcommand> [<arg> ...]. Subcommands are:",
                "GETNAME",
                "ID",
                "INFO",
                "LIST",
                "NO-EVICT (ON|OFF)",
                "SETINFO (LIB-NAME|LIB-VER) <value>",
                "SETNAME <name>",
            ];
            super::help(context, &lines);
        }
        (b"list", _) | (b"no-evict" | b"no-touch", 3) => return Err(Failure::Syntax),
        (b"id" | b"getname" | b"setname" | b"setinfo" | b"info" | b"no-evict" | b"no-touch" | b"help", _) => {
            return Err(Failure::arity_of_subcommand(request));
        }
        _ => return Err(Failure::unknown_subcommand(request)),
    }
    Ok(())
}

/// Names are parts of lines, separated by spaces. They are kept as long as the connection, and so are short.
fn client_name(name: &[u8]) -> Result<String, Failure> {
    const LONGEST: usize = 128;
    if name.len() > LONGEST {
        let text = format!("ERR Client names cannot be longer than {LONGEST} bytes.");
        return Err(Failure::Other(text));
    }
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        return Ok(String::from_utf8_lossy(name).into_owned());
    }
    let text = "ERR Client names cannot contain spaces, newlines or special characters.";
    Err(Failure::Other(text.into()))
}

fn line(context: &Context<'_>) -> String {
    let session = &context.session;
    let version = if context.replies.version == Version::Resp3 {
        3
    } else {
        2
    };
    format!(
        "id={} addr={} name={} age={} db={} user={} resp={version} lib-name={} lib-ver={}\n",
        session.id,
        session.peer,
        session.name,
        session.since.elapsed().as_secs(),
        context.server.number_of(context.database),
        context.database.name,
        session.library.0,
        session.library.1,
    )
}
