//! Strings and numbers.

use super::super::protocol::{Request, digits, parse_integer};
use super::super::room::block;
use super::super::store::{BYTES_OF_DEADLINE, Keyspace, Value};
use super::{Context, Failure};

/// By how much a string is shorter than the longest request: so much is around it where it is written, and where it is
/// read.
const AROUND: usize = 64;

pub(super) fn get(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    match context.keys.read(request.word(1), context.now) {
        Some(Value::String(bytes)) => context.replies.bulk(bytes),
        Some(_) => return Err(Failure::WrongType),
        None => context.replies.null(),
    }
    Ok(())
}

pub(super) fn mget(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    context.replies.array(request.len() - 1);
    for key in request.from(1) {
        match context.keys.read(key, context.now) {
            Some(Value::String(bytes)) => context.replies.bulk(bytes),
            _ => context.replies.null(),
        }
    }
    Ok(())
}

pub(super) fn strlen(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    match context.keys.read(request.word(1), context.now) {
        Some(Value::String(bytes)) => context.replies.count(bytes.len()),
        Some(_) => return Err(Failure::WrongType),
        None => context.replies.integer(0),
    }
    Ok(())
}

/// What stands behind key and value of a `SET`.
#[derive(Default)]
struct SetOptions {
    if_absent: bool,
    if_present: bool,
    returns_old: bool,
    keeps_deadline: bool,
    deadline: Option<u64>,
}

impl SetOptions {
    fn parse(request: &Request<'_>, now: u64) -> Result<Self, Failure> {
        let mut options = Self::default();
        let mut index = 3;
        while index < request.len() {
            let has_time = options.deadline.is_some() || options.keeps_deadline;
            if request.says(index, "nx") && !options.if_present {
                options.if_absent = true;
            } else if request.says(index, "xx") && !options.if_absent {
                options.if_present = true;
            } else if request.says(index, "get") {
                options.returns_old = true;
            } else if request.says(index, "keepttl") && options.deadline.is_none() {
                options.keeps_deadline = true;
            } else if !has_time && index + 1 < request.len() && request.says(index, "ex") {
                index += 1;
                options.deadline = Some(deadline(request.word(index), 1000, now)?);
            } else if !has_time && index + 1 < request.len() && request.says(index, "px") {
                index += 1;
                options.deadline = Some(deadline(request.word(index), 1, now)?);
            } else {
                return Err(Failure::Syntax);
            }
            index += 1;
        }
        Ok(options)
    }
}

fn deadline(text: &[u8], unit_ms: i64, now: u64) -> Result<u64, Failure> {
    let time = parse_integer(text).ok_or(Failure::NotAnInteger)?;
    time.checked_mul(unit_ms)
        .filter(|&ms| ms > 0)
        .and_then(|ms| i64::try_from(now).ok()?.checked_add(ms))
        .and_then(|at| u64::try_from(at).ok())
        .ok_or_else(|| Failure::Other("ERR invalid expire time in 'set' command".into()))
}

pub(super) fn set(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let (key, bytes) = (request.word(1), request.word(2));
    let options = if request.len() == 3 {
        SetOptions::default()
    } else {
        SetOptions::parse(request, context.now)?
    };
    let mut deadline = options.deadline;
    let needs_tree = deadline.map_or(0, |_| block(BYTES_OF_DEADLINE));
    context.make_room(|keys| keys.growth() + block(key.len()) + block(bytes.len()) + needs_tree)?;
    if request.len() > 3 {
        let old = context.keys.peek(key, context.now);
        let exists = old.is_some();
        if options.returns_old {
            match old {
                Some(Value::String(old)) => context.replies.bulk(old),
                Some(_) => return Err(Failure::WrongType),
                None => context.replies.null(),
            }
            if context.replies.has_missed() {
                return Ok(());
            }
        }
        if options.if_absent && exists || options.if_present && !exists {
            if !options.returns_old {
                context.replies.null();
            }
            return Ok(());
        }
        if options.keeps_deadline {
            deadline = context.keys.deadline(key, context.now).flatten();
        }
    }
    context.keys.insert(key, Value::string(bytes), deadline);
    if !options.returns_old {
        context.replies.ok();
    }
    Ok(())
}

pub(super) fn mset(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    if request.len().is_multiple_of(2) {
        return Err(Failure::Arity("mset"));
    }
    // All or nothing: there is room for all before the first is set.
    let sizes: usize = request.from(1).map(|word| block(word.len())).sum();
    let pairs = request.len() / 2;
    context.make_room(|keys| keys.growth() * if pairs > 1 { 2 } else { 1 } + pairs * block(80) + sizes)?;
    for index in (1..request.len()).step_by(2) {
        let value = Value::string(request.word(index + 1));
        context.keys.insert(request.word(index), value, None);
    }
    context.replies.ok();
    Ok(())
}

pub(super) fn append(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let (key, more) = (request.word(1), request.word(2));
    let now = context.now;
    // A string that grows may move to twice its room.
    let length = |keys: &mut Keyspace| match keys.peek(key, now) {
        Some(Value::String(bytes)) => bytes.len(),
        _ => 0,
    };
    if length(context.keys) + more.len() + AROUND > context.server.longest_reply() {
        let text = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
        return Err(Failure::Other(text.into()));
    }
    context.make_room(|keys| 2 * block(length(keys) + more.len()) + keys.growth() + block(key.len()))?;
    let appended = context.keys.update(key, now, |value| match value {
        Value::String(bytes) => {
            bytes.extend_from_slice(more);
            Ok(bytes.len())
        }
        _ => Err(Failure::WrongType),
    });
    let length = match appended {
        Some(result) => result?,
        None => {
            context.keys.insert(key, Value::string(more), None);
            more.len()
        }
    };
    context.replies.count(length);
    Ok(())
}

pub(super) fn incr(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    add(context, request.word(1), 1)
}

pub(super) fn decr(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    add(context, request.word(1), -1)
}

pub(super) fn incrby(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let amount = parse_integer(request.word(2)).ok_or(Failure::NotAnInteger)?;
    add(context, request.word(1), amount)
}

pub(super) fn decrby(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let amount = parse_integer(request.word(2)).ok_or(Failure::NotAnInteger)?;
    let amount = amount
        .checked_neg()
        .ok_or_else(|| Failure::Other("ERR decrement would overflow".into()))?;
    add(context, request.word(1), amount)
}

fn add(context: &mut Context<'_>, key: &[u8], amount: i64) -> Result<(), Failure> {
    context.make_room(|keys| keys.growth() + block(key.len()) + block(20))?;
    let sum_of = |old: i64| {
        let overflow = || Failure::Other("ERR increment or decrement would overflow".into());
        old.checked_add(amount).ok_or_else(overflow)
    };
    let mut text = [0; 20];
    let added = context.keys.update(key, context.now, |value| match value {
        Value::String(bytes) => {
            let sum = sum_of(parse_integer(bytes).ok_or(Failure::NotAnInteger)?)?;
            bytes.clear();
            bytes.extend_from_slice(digits(sum, &mut text));
            Ok(sum)
        }
        _ => Err(Failure::WrongType),
    });
    let sum = match added {
        Some(result) => result?,
        None => {
            let value = Value::string(digits(amount, &mut text));
            context.keys.insert(key, value, None);
            amount
        }
    };
    context.replies.integer(sum);
    Ok(())
}
