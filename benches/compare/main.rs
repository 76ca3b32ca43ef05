//! How fast is each kind of request, beside the peers? One process, every allocator through `GlobalAlloc`.
//!
//! ```sh
//! cargo bench --bench compare --features peers                # mimalloc's version 3
//! cargo bench --bench compare --features peers-mimalloc-v2    # … its version 2: one program can hold only one of them
//! cargo bench --bench compare --features peers -- pair        # the groups whose name has `pair` in it
//! ```
//!
//! Criterion measures each allocator on a loop in turn and keeps its reports in `target/criterion`; at the end a table of
//! medians is printed and written there as `compare.md`. mimalloc takes part twice: through its crate, which passes every
//! request to `mi_malloc_aligned`, and bound to `mi_malloc` where the alignment allows. The global allocator of the
//! program is the system's, so that criterion's own requests disturb none of the others. Whole programs, each with one
//! allocator only, are compared in `workloads/`.

#[path = "../common/mod.rs"]
mod common;

mod loops;
mod mimalloc_raw;
mod peers;
mod summary;

use std::time::Duration;

use criterion::Criterion;

use peers::Peer;

/// Calls `$act::<P>(…)` for every allocator.
macro_rules! for_each_peer {
    ($act:ident, $($argument:expr),*) => {
        $act::<$crate::peers::Tenancy>($($argument),*);
        $act::<$crate::peers::TenancyInTenant>($($argument),*);
        $act::<$crate::peers::MimallocRaw>($($argument),*);
        $act::<$crate::peers::Mimalloc>($($argument),*);
        $act::<$crate::peers::Jemalloc>($($argument),*);
        $act::<$crate::peers::Snmalloc>($($argument),*);
        $act::<$crate::peers::Rpmalloc>($($argument),*);
        $act::<$crate::peers::System>($($argument),*);
    };
}
pub(crate) use for_each_peer;

fn main() {
    for_each_peer!(prove,);
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(40)
        .configure_from_args();
    loops::all(&mut criterion);
    criterion.final_summary();
    summary::print();
}

/// Whoever is named is who serves.
fn prove<P: Peer>() {
    P::in_scope(P::assert_serving);
}
