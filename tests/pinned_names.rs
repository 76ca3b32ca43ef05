//! Promise: the public names are those that programs were written against, and do what the introduction says.
//!
//! One program, from installation to retirement, with every name of the crate that others may rely on.

use std::fmt::{Debug, Display};
use std::future::Ready;
use std::hash::Hash;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tenancy::*;

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

/// Zero-sized, and made without running anything.
const _: () = assert!(size_of::<Tenancy>() == 0);
const _: Config = Config::new()
    .fit(Fit::Best)
    .tau(0.5)
    .purge_delay(Duration::ZERO)
    .huge_pages(false);

fn program() -> Result<(), Error> {
    assert!(tenancy::is_installed());
    Config::from_env()?.capacity(2 << 30).apply()?;
    assert!(matches!(
        Config::new().capacity(2 << 30).apply(),
        Err(Error::AlreadyConfigured)
    ));

    let gold: Group = Group::builder("gold")
        .weight(300)
        .reservation(128 << 20)
        .limit(1 << 30)
        .build()?;
    let acme: Tenant = Tenant::builder("acme")
        .weight(400)
        .reservation(64 << 20)
        .limit(512 << 20)
        .on_limit(OnLimit::Overdraft)
        .group(&gold)
        .build()?;
    acme.set_weight(800)?;
    acme.set_reservation(0)?;
    acme.set_limit(None)?;
    assert!(Tenant::get("acme").is_some());
    let _root = Tenant::root();
    let _id: TenantId = acme.id();
    assert_eq!(acme.name(), "acme");

    {
        let _in = acme.enter();
        assert_eq!(Tenant::current(), acme);
        let _in: Entered<'static> = acme.enter_owned();
    }
    assert_eq!(Tenant::current(), Tenant::root());
    let text = acme.in_scope(|| String::from("charged to acme"));
    let _fut = async { vec![1, 2, 3] }.in_tenant(&acme);
    let _fut = async {}.in_current_tenant();
    let polled = pin!(async { 1 }.in_tenant(&acme)).poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(polled, Poll::Ready(1));
    std::thread::spawn(tenancy::wrap(|| ())).join().unwrap();

    #[cfg(feature = "allocator-api2-02")]
    handle(&acme);

    let mut arena: Arena = acme.arena();
    let s: &mut str = arena.alloc_str("request");
    assert_eq!(s, "request");
    arena.try_alloc([0u8; 64])?;
    assert!(arena.bytes() >= 71);
    arena.reset();
    drop(arena);

    let charge: Charge = acme.try_charge(8 << 20)?;
    charge.into_prepaid();
    let stats: TenantStats = acme.stats();
    assert!(stats.charged >= 8 << 20);
    println!("{}", tenancy::snapshot());
    let snapshot: Snapshot = tenancy::snapshot();
    assert_eq!(snapshot.process.capacity, 2 << 30);
    let mut rows = [TenantStats::default(); 64];
    let n: usize = tenancy::snapshot_into(&mut rows);
    assert_eq!(n, 2, "root and acme");

    let sub: Subscription = acme.on_pressure(|e: &PressureEvent| {
        let _ = (e.bytes, e.deadline, e.level);
    });
    let level: Pressure = acme.pressure();
    assert_eq!(level, Pressure::None);
    assert!(
        Pressure::None < Pressure::Soft && Pressure::Soft < Pressure::Hard && Pressure::Hard < Pressure::Low
    );

    let rb: RebalancerHandle = Rebalancer::new()
        .interval(Duration::from_millis(100))
        .policy(policy::Utilization::default())
        .spawn()?;
    tenancy::maintain();
    let _report: RoundReport = rb.stop();
    let mut by_hand = Rebalancer::new().policy(policy::Predictive::default());
    let _report: RoundReport = by_hand.tick(Duration::from_secs(1));
    drop(Rebalancer::new().policy(policy::Performance::default()));
    drop((text, sub));
    acme.retire()?;
    assert!(matches!(acme.retire(), Err(Error::Retired)));
    Ok(())
}

#[cfg(feature = "allocator-api2-02")]
fn handle(acme: &Tenant) {
    let mut v = allocator_api2::vec::Vec::<u8, TenantAlloc>::new_in(acme.allocator());
    assert!(v.try_reserve(1 << 40).is_err());
    v.extend_from_slice(&[1; 100]);
}

#[test]
fn the_names_compile_and_the_program_runs() {
    program().unwrap();
}

/// What may cross threads, be compared, copied and printed.
#[test]
fn types_may_go_where_the_documents_say() {
    fn anywhere<T: Clone + Send + Sync + Eq + Debug + 'static>() {}
    anywhere::<Tenant>();
    #[cfg(feature = "allocator-api2-02")]
    anywhere::<TenantAlloc>();
    fn hashed<T: Hash>() {}
    hashed::<Tenant>();
    fn sent<T: Send + 'static>() {}
    sent::<Arena>();
    sent::<Charge>();
    sent::<Subscription>();
    sent::<RebalancerHandle>();
    sent::<TenantFuture<Ready<()>>>();
    fn number<T: Copy + Send + Sync + Ord + Hash + Display>() {}
    number::<TenantId>();
    fn copied<T: Copy>() {}
    copied::<TenantStats>();
    fn error<T: std::error::Error + Send + Sync + Clone + PartialEq + 'static>() {}
    error::<Error>();
}
