//! Ours.

pub(crate) use tenancy::Tenancy as Allocator;

pub(crate) const NAME: &str = "tenancy";
pub(crate) const ALLOCATOR: Allocator = Allocator::new();

/// Asks the crate, which allocates a block and looks up whose it is.
pub(crate) fn assert_serving() {
    assert!(tenancy::is_installed(), "tenancy does not serve this process");
}
