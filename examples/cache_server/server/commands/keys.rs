//! Keys, whatever they stand for.

use super::super::protocol::{Request, parse_integer};
use super::super::room::block;
use super::super::store::BYTES_OF_DEADLINE;
use super::{Context, Failure, shortened};

pub(super) fn del(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let removed = request
        .from(1)
        .filter(|key| context.keys.remove(key, context.now))
        .count();
    context.replies.count(removed);
    Ok(())
}

pub(super) fn exists(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let there = request
        .from(1)
        .filter(|key| context.keys.peek(key, context.now).is_some())
        .count();
    context.replies.count(there);
    Ok(())
}

pub(super) fn type_of(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let value = context.keys.peek(request.word(1), context.now);
    context
        .replies
        .simple(value.map_or("none", |value| value.type_name()));
    Ok(())
}

pub(super) fn expire(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    expire_in(context, request, 1000, "expire")
}

pub(super) fn pexpire(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    expire_in(context, request, 1, "pexpire")
}

/// Under which deadlines a new one counts.
#[derive(Default)]
struct Conditions {
    if_none: bool,
    if_some: bool,
    if_later: bool,
    if_earlier: bool,
}

impl Conditions {
    fn parse(request: &Request<'_>) -> Result<Self, Failure> {
        let mut all = Self::default();
        for index in 3..request.len() {
            if request.says(index, "nx") {
                all.if_none = true;
            } else if request.says(index, "xx") {
                all.if_some = true;
            } else if request.says(index, "gt") {
                all.if_later = true;
            } else if request.says(index, "lt") {
                all.if_earlier = true;
            } else {
                let option = shortened(request.word(index));
                return Err(Failure::Other(format!("ERR Unsupported option {option}")));
            }
        }
        if all.if_none && (all.if_some || all.if_later || all.if_earlier) {
            let text = "ERR NX and XX, GT or LT options at the same time are not compatible";
            return Err(Failure::Other(text.into()));
        }
        if all.if_later && all.if_earlier {
            let text = "ERR GT and LT options at the same time are not compatible";
            return Err(Failure::Other(text.into()));
        }
        Ok(all)
    }

    /// A key without a deadline ends later than any.
    fn allow(&self, old: Option<u64>, new: u64) -> bool {
        !(self.if_none && old.is_some()
            || self.if_some && old.is_none()
            || self.if_later && old.is_none_or(|old| new <= old)
            || self.if_earlier && old.is_some_and(|old| new >= old))
    }
}

fn expire_in(
    context: &mut Context<'_>,
    request: &Request<'_>,
    unit_ms: i64,
    name: &str,
) -> Result<(), Failure> {
    let (key, now) = (request.word(1), context.now);
    let time = parse_integer(request.word(2)).ok_or(Failure::NotAnInteger)?;
    let at = time
        .checked_mul(unit_ms)
        .and_then(|ms| ms.checked_add(i64::try_from(now).ok()?))
        .ok_or_else(|| Failure::Other(format!("ERR invalid expire time in '{name}' command")))?;
    let conditions = Conditions::parse(request)?;
    let at = u64::try_from(at).unwrap_or(0);
    context.make_room(|_| block(BYTES_OF_DEADLINE))?;
    let changed = match context.keys.deadline(key, now) {
        Some(old) if conditions.allow(old, at) => {
            if at <= now {
                context.keys.remove(key, now)
            } else {
                context.keys.set_deadline(key, Some(at), now)
            }
        }
        _ => false,
    };
    context.replies.integer(changed.into());
    Ok(())
}

pub(super) fn persist(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let key = request.word(1);
    let has_deadline = matches!(context.keys.deadline(key, context.now), Some(Some(_)));
    if has_deadline {
        context.keys.set_deadline(key, None, context.now);
    }
    context.replies.integer(has_deadline.into());
    Ok(())
}

pub(super) fn ttl(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    time_left(context, request, |ms| ms.saturating_add(500) / 1000)
}

pub(super) fn pttl(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    time_left(context, request, |ms| ms)
}

fn time_left(
    context: &mut Context<'_>,
    request: &Request<'_>,
    unit: impl Fn(u64) -> u64,
) -> Result<(), Failure> {
    let answer = match context.keys.deadline(request.word(1), context.now) {
        None => -2,
        Some(None) => -1,
        Some(Some(deadline)) => unit(deadline - context.now) as i64,
    };
    context.replies.integer(answer);
    Ok(())
}
