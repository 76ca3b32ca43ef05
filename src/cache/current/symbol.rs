//! The pointer in a thread-local symbol of our own, found through the initial-exec model in every build.
//!
//! `thread_local!` compiles to a call wherever the linker decides late: without LTO, so in most builds, a pair of
//! allocation and free takes 45 instructions by it and 17 by the symbol (`docs/decisions/0001-hot-path-and-depot.md`,
//! Q5). The assembler text yields the *address*, which is the same for a thread's whole life, so that the compiler may
//! keep it over a loop. In an executable the linker turns `@GOTTPOFF` into a constant; a shared library that is loaded
//! later takes 8 bytes of the static surplus that the C library keeps for this.

use crate::cache::{Cache, EMPTY};

core::arch::global_asm!(
    ".pushsection .tdata.tenancy_current_cache,\"awT\",@progbits",
    ".balign 8",
    ".globl tenancy_current_cache",
    ".type tenancy_current_cache,@object",
    ".size tenancy_current_cache, 8",
    "tenancy_current_cache:",
    ".quad {empty}",
    ".popsection",
    empty = sym EMPTY,
);

#[inline(always)]
fn place() -> *mut *const Cache {
    let place: *mut *const Cache;
    // SAFETY: computes the address of this thread's copy of the symbol above. It reads only the thread pointer and an
    // offset that the loader has fixed, so it is pure; the result is the same wherever on the thread it is asked for.
    unsafe {
        core::arch::asm!(
            "mov {place}, qword ptr fs:[0]",
            "add {place}, qword ptr [rip + tenancy_current_cache@GOTTPOFF]",
            place = out(reg) place,
            options(pure, nomem, nostack),
        );
    }
    place
}

#[inline(always)]
pub(super) fn get() -> *const Cache {
    // SAFETY: the thread's own pointer, initialised with the address of EMPTY.
    unsafe { place().read() }
}

#[inline(always)]
pub(super) fn set(cache: *const Cache) {
    // SAFETY: as in `get`; nobody but this thread reads it.
    unsafe { place().write(cache) }
}
