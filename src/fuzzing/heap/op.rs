//! What can be done to the heap, and how bytes spell it.

use crate::fuzzing::input::Input;
use crate::os::simulated::{Effect, Rule, When};

/// One operation. Threads, tenants and blocks are numbers that are taken modulo how many there are.
#[derive(Clone, Copy, Debug)]
pub(in crate::fuzzing) enum Op {
    Join,
    Leave {
        thread: usize,
    },
    /// This is the child of a fork now, and has this thread only.
    Fork {
        thread: usize,
    },
    Enter {
        thread: usize,
        tenant: usize,
    },
    Allocate {
        thread: usize,
        size: usize,
        align: usize,
        zero: bool,
    },
    /// Without a thread, as after its exit.
    AllocateShared {
        size: usize,
    },
    Deallocate {
        thread: usize,
        block: usize,
    },
    DeallocateShared {
        block: usize,
    },
    Reallocate {
        thread: usize,
        block: usize,
        size: usize,
    },
    Flush {
        thread: usize,
    },
    FlushSleeping,
    Create,
    Retire {
        tenant: usize,
    },
    Sweep,
    Trim {
        keep: usize,
    },
    Wait {
        ms: u64,
    },
    Fail(Rule),
    Heal,
}

impl Op {
    /// The next operation that the input spells; `None` at its end.
    pub(in crate::fuzzing) fn read(input: &mut Input<'_>) -> Option<Self> {
        let (way, thread) = (input.byte()?, usize::from(input.byte()?));
        Some(match way {
            0..90 => Self::Allocate {
                thread,
                size: input.size()?,
                align: input.align()?,
                zero: thread & 0x80 != 0,
            },
            90..150 => Self::Deallocate {
                thread,
                block: input.word()?,
            },
            150..175 => Self::Reallocate {
                thread,
                block: input.word()?,
                size: input.size()?,
            },
            175..200 => Self::Enter {
                thread,
                tenant: input.byte()?.into(),
            },
            200..206 => Self::AllocateShared { size: input.size()? },
            206..214 => Self::DeallocateShared { block: input.word()? },
            214..219 => Self::Flush { thread },
            219..222 => Self::FlushSleeping,
            222..227 => Self::Join,
            227..230 => Self::Leave { thread },
            230..236 => Self::Create,
            236..239 => Self::Retire { tenant: thread },
            239..242 => Self::Sweep,
            242..246 => Self::Wait {
                ms: input.word()? as u64,
            },
            246..249 => Self::Trim { keep: thread << 16 },
            249..252 => Self::Heal,
            _ => {
                let n = u64::from(input.byte()?) % 8 + 1;
                let when = if thread & 1 == 0 {
                    When::Nth(n)
                } else {
                    When::From(n)
                };
                Self::Fail(Rule {
                    kind: None,
                    when,
                    effect: Effect::Fail,
                })
            }
        })
    }
}
