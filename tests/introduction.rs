//! Promise: the program that introduces the public names compiles as it stands, and runs to its end.
//!
//! It retires its tenant while a vector, an arena and a subscription of that tenant are alive. What the names do is in
//! `pinned_names.rs`.
#![cfg(feature = "allocator-api2-02")]

#[rustfmt::skip]
mod program {
use std::time::Duration;
use tenancy::*;

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

pub(super) fn main() -> Result<(), Error> {
    assert!(tenancy::is_installed());
    Config::from_env()?
        .capacity(2 << 30)
        .apply()?;

    let acme: Tenant = Tenant::builder("acme")
        .weight(400)
        .reservation(64 << 20)
        .limit(512 << 20)
        .on_limit(OnLimit::Overdraft)
        .build()?;
    acme.set_weight(800)?; acme.set_reservation(0)?; acme.set_limit(None)?;
    assert!(Tenant::get("acme").is_some()); let _root = Tenant::root(); let _id: TenantId = acme.id(); acme.name();

    { let _in = acme.enter(); assert_eq!(Tenant::current(), acme); }
    acme.in_scope(|| String::from("charged to acme"));
    let _fut = async { vec![1, 2, 3] }.in_tenant(&acme);
    let _fut = async {}.in_current_tenant();
    std::thread::spawn(tenancy::wrap(|| ())).join().unwrap();

    let mut v = allocator_api2::vec::Vec::<u8, TenantAlloc>::new_in(acme.allocator());
    assert!(v.try_reserve(1 << 40).is_err());

    let arena: Arena = acme.arena();
    let _s: &mut str = arena.alloc_str("request");
    arena.try_alloc([0u8; 64])?;

    let charge: Charge = acme.try_charge(8 << 20)?;
    charge.into_prepaid();
    let _st: TenantStats = acme.stats();
    println!("{}", tenancy::snapshot());
    let _n: usize = tenancy::snapshot_into(&mut [TenantStats::default(); 64]);

    let _sub: Subscription = acme.on_pressure(|e: &PressureEvent| { let _ = (e.bytes, e.deadline, e.level); });
    let _level: Pressure = acme.pressure();

    let rb: RebalancerHandle = Rebalancer::new().interval(Duration::from_millis(100))
        .policy(policy::Utilization::default())
        .spawn()?;
    tenancy::maintain();
    let _report: RoundReport = rb.stop();
    acme.retire()?;
    Ok(())
}
}

#[test]
fn the_program_runs() {
    program::main().unwrap();
    assert!(tenancy::Tenant::get("acme").is_none());
}
