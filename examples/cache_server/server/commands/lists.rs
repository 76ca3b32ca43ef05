//! Lists.

use super::super::protocol::{Request, parse_integer};
use super::super::room::block;
use super::super::store::{End, List, Value};
use super::{Context, Failure};

pub(super) fn lpush(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    push(context, request, End::Left)
}

pub(super) fn rpush(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    push(context, request, End::Right)
}

fn push(context: &mut Context<'_>, request: &Request<'_>, end: End) -> Result<(), Failure> {
    let (key, now) = (request.word(1), context.now);
    let sizes: usize = request.from(1).map(|word| block(word.len())).sum();
    let items = request.len() - 2;
    let new = block(size_of::<List>() + 64) + List::default().growth(items);
    context.make_room(|keys| {
        let growth = keys.peek(key, now).map_or(new, |value| value.growth(items));
        keys.growth() + growth + sizes
    })?;
    let push_all = |list: &mut List| {
        request.from(2).for_each(|item| list.push(end, item));
        list.len()
    };
    let changed = context.keys.update(key, now, |value| match value {
        Value::List(list) => Ok(push_all(list)),
        _ => Err(Failure::WrongType),
    });
    let length = match changed {
        Some(result) => result?,
        None => {
            let mut list = Box::<List>::default();
            let length = push_all(&mut list);
            context.keys.insert(key, Value::List(list), None);
            length
        }
    };
    context.replies.count(length);
    Ok(())
}

pub(super) fn lpop(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    pop(context, request, End::Left)
}

pub(super) fn rpop(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    pop(context, request, End::Right)
}

fn pop(context: &mut Context<'_>, request: &Request<'_>, end: End) -> Result<(), Failure> {
    let count = match request.len() {
        2 => None,
        3 => {
            let text = "ERR value is out of range, must be positive";
            let count = parse_integer(request.word(2)).and_then(|count| usize::try_from(count).ok());
            Some(count.ok_or_else(|| Failure::Other(text.into()))?)
        }
        _ => {
            return Err(Failure::Arity(match end {
                End::Left => "lpop",
                End::Right => "rpop",
            }));
        }
    };
    let replies = &mut *context.replies;
    let popped = context
        .keys
        .update(request.word(1), context.now, |value| match value {
            Value::List(list) => {
                let has_place = {
                    let mut lengths = list.at_end(end, count.unwrap_or(1)).map(<[u8]>::len);
                    match count {
                        None => lengths
                            .next()
                            .is_none_or(|length| replies.has_place_for_bulk(length)),
                        Some(_) => replies.has_place_for_bulks(lengths),
                    }
                };
                if !has_place {
                    return Ok(());
                }
                match count {
                    None => match list.pop(end) {
                        Some(item) => replies.bulk(&item),
                        None => replies.null(),
                    },
                    Some(count) => {
                        let count = count.min(list.len());
                        replies.array(count);
                        for item in (0..count).filter_map(|_| list.pop(end)) {
                            replies.bulk(&item);
                        }
                    }
                }
                Ok(())
            }
            _ => Err(Failure::WrongType),
        });
    match (popped, count) {
        (Some(result), _) => result,
        (None, None) => {
            context.replies.null();
            Ok(())
        }
        (None, Some(_)) => {
            context.replies.null_array();
            Ok(())
        }
    }
}

pub(super) fn llen(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    match context.keys.read(request.word(1), context.now) {
        Some(Value::List(list)) => context.replies.count(list.len()),
        Some(_) => return Err(Failure::WrongType),
        None => context.replies.integer(0),
    }
    Ok(())
}

pub(super) fn lrange(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Failure> {
    let first = parse_integer(request.word(2)).ok_or(Failure::NotAnInteger)?;
    let last = parse_integer(request.word(3)).ok_or(Failure::NotAnInteger)?;
    match context.keys.read(request.word(1), context.now) {
        Some(Value::List(list)) => {
            let (start, count) = clamp_range(first, last, list.len());
            context.replies.bulks(list.range(start, count));
        }
        Some(_) => return Err(Failure::WrongType),
        None => context.replies.array(0),
    }
    Ok(())
}

/// A range with both ends in it, negative ones counted from the end, as a start and a number of items.
fn clamp_range(first: i64, last: i64, length: usize) -> (usize, usize) {
    let length = length as i64;
    let from_start = |index: i64| {
        if index < 0 {
            index.saturating_add(length)
        } else {
            index
        }
    };
    let (first, last) = (from_start(first).max(0), from_start(last).min(length - 1));
    if first > last {
        (0, 0)
    } else {
        (first as usize, (last - first + 1) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::clamp_range;

    #[test]
    fn ranges_are_cut_to_the_list() {
        for (first, last, length, expected) in [
            (0, -1, 5, (0, 5)),
            (1, 3, 5, (1, 3)),
            (-2, -1, 5, (3, 2)),
            (-100, 100, 5, (0, 5)),
            (3, 1, 5, (0, 0)),
            (5, 9, 5, (0, 0)),
            (0, i64::MAX, 5, (0, 5)),
            (i64::MIN, i64::MAX, 5, (0, 5)),
            (0, -1, 0, (0, 0)),
        ] {
            assert_eq!(
                clamp_range(first, last, length),
                expected,
                "{first}..={last} of {length}"
            );
        }
    }
}
