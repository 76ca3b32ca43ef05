//! States by tenant: apart, and given back.

use super::super::per_tenant::PerTenant;
use super::*;

#[test]
fn a_later_generation_starts_anew_and_an_earlier_one_is_not_heard() {
    let mut table = PerTenant::new();
    let (earlier, later) = (TenantId::made_up(3, 1), TenantId::made_up(3, 2));
    *table.get_or_begin(earlier, || 0).unwrap() = 5;
    assert_eq!(table.get(later), None);
    assert_eq!(table.get_or_begin(later, || 0), Some(&mut 0));
    assert_eq!(table.get(earlier), None);
    assert_eq!(table.get_or_begin(earlier, || 0), None);
    assert_eq!(table.remove(earlier), None);
    assert_eq!(table.remove(later), Some(0));
}

#[test]
fn an_earlier_generation_can_be_taken_out() {
    let mut table = PerTenant::new();
    let (earlier, later) = (TenantId::made_up(3, 1), TenantId::made_up(3, 2));
    table.get_or_begin(earlier, || 5);
    assert_eq!(table.remove_earlier(earlier), None);
    assert_eq!(table.remove_earlier(later), Some(5));
    assert_eq!(table.remove_earlier(TenantId::made_up(900, 2)), None);
}

#[test]
fn memory_goes_back_when_tenants_are_forgotten() {
    let mut table = PerTenant::new();
    for index in 0..10_000 {
        table.get_or_begin(TenantId::made_up(index, 1), || 0u64);
    }
    let full = table.table_bytes();
    assert!(full >= 10_000 * 24);
    for index in 0..10_000 {
        table.remove(TenantId::made_up(index, 1));
    }
    assert!(table.table_bytes() < full / 100, "{}", table.table_bytes());
}

#[test]
fn the_highest_number_has_a_place() {
    let mut table = PerTenant::new();
    let last = TenantId::made_up(u16::MAX, 9);
    table.get_or_begin(last, || 1);
    assert_eq!(table.get(last), Some(&1));
    assert_eq!(table.remove(last), Some(1));
    assert_eq!(table.table_bytes(), 0);
}
