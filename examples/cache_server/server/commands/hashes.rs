//! Hashes.

use super::super::protocol::Request;
use super::super::room::block;
use super::super::store::{Hash, Value};
use super::{Context, Failure};

/// The hash of a key to read, if there is one.
fn read<'a>(context: &'a mut Context<'_>, key: &[u8]) -> Result<Option<&'a Hash>, Failure> {
    match context.keys.read(key, context.now) {
        Some(Value::Hash(hash)) => Ok(Some(hash)),
        Some(_) => Err(Failure::WrongType),
        None => Ok(None),
    }
}

pub(super) fn hset(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    if !request.len().is_multiple_of(2) {
        return Err(Failure::Arity("hset"));
    }
    let (key, now) = (request.word(1), context.now);
    let pairs = (2..request.len()).step_by(2);
    let sizes: usize = request.from(1).map(|word| block(word.len())).sum();
    let fields = request.len() / 2 - 1;
    let new = block(size_of::<Hash>()) + Hash::default().growth(fields);
    context.make_room(|keys| {
        let growth = keys.peek(key, now).map_or(new, |value| value.growth(fields));
        keys.growth() + growth + sizes
    })?;
    let set = |hash: &mut Hash| {
        pairs
            .clone()
            .filter(|&index| hash.set(request.word(index), request.word(index + 1)))
            .count()
    };
    let changed = context.keys.update(key, now, |value| match value {
        Value::Hash(hash) => Ok(set(hash)),
        _ => Err(Failure::WrongType),
    });
    let new = match changed {
        Some(result) => result?,
        None => {
            let mut hash = Box::<Hash>::default();
            let new = set(&mut hash);
            context.keys.insert(key, Value::Hash(hash), None);
            new
        }
    };
    context.replies.count(new);
    Ok(())
}

pub(super) fn hget(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    match context.keys.read(request.word(1), context.now) {
        Some(Value::Hash(hash)) => match hash.get(request.word(2)) {
            Some(value) => context.replies.bulk(value),
            None => context.replies.null(),
        },
        Some(_) => return Err(Failure::WrongType),
        None => context.replies.null(),
    }
    Ok(())
}

pub(super) fn hgetall(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    match context.keys.read(request.word(1), context.now) {
        Some(Value::Hash(hash)) => {
            context.replies.map(hash.len());
            for (field, value) in hash.iter() {
                context.replies.bulk(field);
                context.replies.bulk(value);
            }
        }
        Some(_) => return Err(Failure::WrongType),
        None => context.replies.map(0),
    }
    Ok(())
}

pub(super) fn hlen(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let length = read(context, request.word(1))?.map_or(0, Hash::len);
    context.replies.count(length);
    Ok(())
}

pub(super) fn hdel(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let removed = context
        .keys
        .update(request.word(1), context.now, |value| match value {
            Value::Hash(hash) => Ok(request.from(2).filter(|field| hash.remove(field)).count()),
            _ => Err(Failure::WrongType),
        });
    context.replies.count(removed.unwrap_or(Ok(0))?);
    Ok(())
}
