//! Promise: the public names are there, and a program that is written as the documents say compiles and runs.
#![cfg(unix)]

use std::future::Future;
use std::hash::Hash;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tenancy::*;

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

fn run<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("not ready"),
    }
}

#[test]
fn a_program_runs_as_it_is_written_in_the_documents() -> Result<(), Error> {
    assert!(tenancy::is_installed());
    Config::from_env()?.capacity(2 << 30).apply()?;

    let acme: Tenant = Tenant::builder("acme")
        .weight(400)
        .reservation(64 << 20)
        .limit(512 << 20)
        .on_limit(OnLimit::Overdraft)
        .build()?;
    acme.set_weight(800)?;
    acme.set_reservation(0)?;
    acme.set_limit(None)?;
    assert!(Tenant::get("acme").is_some());
    let (_root, _id): (Tenant, TenantId) = (Tenant::root(), acme.id());
    assert_eq!(acme.name(), "acme");

    {
        let _in: Entered<'_> = acme.enter();
        assert_eq!(Tenant::current(), acme);
    }
    let owned: Entered<'static> = acme.enter_owned();
    drop(owned);
    let text = acme.in_scope(|| String::from("charged to acme"));
    assert!(acme.stats().charged > 0);
    drop(text);
    let numbers = run(async { vec![1, 2, 3] }.in_tenant(&acme));
    assert_eq!(numbers, [1, 2, 3]);
    run(async {}.in_current_tenant());
    std::thread::spawn(tenancy::wrap(|| ())).join().unwrap();

    #[cfg(feature = "allocator-api2-02")]
    {
        let mut v = allocator_api2::vec::Vec::<u8, TenantAlloc>::new_in(acme.allocator());
        assert!(v.try_reserve(1 << 40).is_err());
        v.push(1);
    }
    let arena: Arena = acme.arena();
    let _s: &mut str = arena.alloc_str("request");
    arena.try_alloc([0u8; 64])?;
    drop(arena);

    let charge: Charge = acme.try_charge(8 << 20)?;
    drop(charge);
    let stats: TenantStats = acme.stats();
    let copied = stats;
    assert_eq!(stats, copied);
    let snapshot: Snapshot = tenancy::snapshot();
    assert!(format!("{snapshot}").contains("acme"));
    let rows: usize = tenancy::snapshot_into(&mut [TenantStats::default(); 64]);
    assert_eq!(rows, 2);
    assert_eq!(snapshot.process.capacity, 2 << 30);
    tenancy::maintain();
    acme.retire()?;
    Ok(())
}

#[test]
fn types_may_go_where_the_documents_say() {
    fn handle<T: Clone + Send + Sync + Eq + Hash + std::fmt::Debug + 'static>() {}
    fn sent<T: Send + 'static>() {}
    fn number<T: Copy + Send + Sync + Ord + Hash + std::fmt::Display>() {}
    fn error<T: std::error::Error + Send + Sync + Clone + PartialEq + 'static>() {}
    handle::<Tenant>();
    sent::<Charge>();
    sent::<TenantFuture<std::future::Ready<()>>>();
    number::<TenantId>();
    error::<Error>();
    const _: Tenancy = Tenancy::new();
    const _: () = assert!(size_of::<Tenancy>() == 0);
    const _: Config = Config::new()
        .fit(Fit::Best)
        .tau(0.5)
        .purge_delay(Duration::ZERO)
        .huge_pages(false);
}
