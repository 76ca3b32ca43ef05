//! An operating system for tests: real memory, strict rules, faults and a clock on request.
//!
//! Above: the tests of every layer over `os/`, fuzzing, the full checks.
//! Below: [`Native`], which provides the memory.
//!
//! ```text
//!  a call ──▶ rules of Os obeyed?  ──no──▶ panic, naming the rule and the range
//!                   │ yes
//!                   ▼
//!             counted ──▶ a Rule fires? ──Fail──▶ the answer for failure, nothing done
//!                   │ no                └─Lie───▶ purge claims zeros it did not make
//!                   ▼
//!             Native ──▶ table of regions updated
//! ```
//!
//! What it enforces, for each call with a range (the rules stated on [`Os`]):
//!
//! - **Whole pages**: base and size are multiples of the page size, and the size is not zero.
//! - **Live**: every page of the range is mapped here and not unmapped since. That catches double unmaps.
//! - **One mapping**: all of it came from one `map` or `remap`.
//! - **Disjoint**: a new mapping overlaps no live one. (That would be the native layer's fault.)
//!
//! Memory that is unmapped really is, so touching it faults; purged pages really read zero.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::BTreeMap;
use std::format;
use std::string::String;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use super::{MapKind, Native, Os};
use faults::KINDS;

mod faults;
#[cfg(all(test, unix, not(miri)))]
mod last_words;
mod world;

pub(crate) use faults::{Effect, Kind, Rule, When};
#[cfg(all(test, unix, not(miri)))]
pub(crate) use last_words::last_words;
pub(crate) use world::World;

/// The operating system of one test.
///
/// It unmaps what is left when dropped, so a test may leak. Violations of the rules panic.
#[derive(Debug)]
pub(crate) struct Simulated {
    state: Mutex<State>,
    /// Written by tests, read by whoever asks for the time; it protects nothing.
    now_ms: AtomicU64,
}

#[derive(Debug)]
struct State {
    /// What is mapped, by address. Regions are disjoint.
    regions: BTreeMap<usize, Region>,
    /// The sum of their sizes.
    mapped_bytes: usize,
    peak_bytes: usize,
    /// Mappings made so far: the next one's number.
    mappings: u64,
    calls: [u64; KINDS],
    rules: Vec<ActiveRule>,
    faults: u64,
    /// `None`: the native layer's.
    page_size: Option<usize>,
}

/// A stretch of one mapping. Unmapping its middle makes two of it.
#[derive(Clone, Copy, Debug)]
struct Region {
    /// Its address, with provenance.
    base: NonNull<u8>,
    size: usize,
    kind: MapKind,
    /// Which mapping it is of: neighbours may be of different ones.
    mapping: u64,
}

#[derive(Debug)]
struct ActiveRule {
    rule: Rule,
    /// Calls of its kind since it was given.
    seen: u64,
}

// SAFETY: a region's address is a number to compare and to hand to the native layer; no thread owns it.
unsafe impl Send for State {}

impl Simulated {
    pub(crate) const fn new() -> Self {
        Self {
            state: Mutex::new(State {
                regions: BTreeMap::new(),
                mapped_bytes: 0,
                peak_bytes: 0,
                mappings: 0,
                calls: [0; KINDS],
                rules: Vec::new(),
                faults: 0,
                page_size: None,
            }),
            now_ms: AtomicU64::new(0),
        }
    }

    /// Has pages of so many bytes, larger ones than the native layer's, before anything is mapped.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn set_page_size(&self, bytes: usize) {
        self.state().page_size = Some(bytes);
    }

    /// Adds a fault. Several may be active; the first given that strikes decides the effect.
    pub(crate) fn fail(&self, rule: Rule) {
        self.state().rules.push(ActiveRule { rule, seen: 0 });
    }

    /// Fails the n-th call from now on, of whatever kind. A sweep runs one scenario with n = 1, 2, … until
    /// [`faults`](Self::faults) stays zero.
    pub(crate) fn fail_nth_of_all(&self, n: u64) {
        self.fail(Rule {
            kind: None,
            when: When::Nth(n),
            effect: Effect::Fail,
        });
    }

    /// Forgets all faults: the operating system is well again.
    pub(crate) fn clear_faults(&self) {
        self.state().rules.clear();
    }

    /// How many calls were struck by a rule so far.
    pub(crate) fn faults(&self) -> u64 {
        self.state().faults
    }

    /// How many calls of a kind were made so far, struck ones included.
    pub(crate) fn calls(&self, kind: Kind) -> u64 {
        self.state().calls[kind as usize]
    }

    /// How many calls were made so far, struck ones included.
    pub(crate) fn total_calls(&self) -> u64 {
        self.state().calls.iter().sum()
    }

    /// How many bytes are mapped.
    pub(crate) fn mapped_bytes(&self) -> usize {
        self.state().mapped_bytes
    }

    /// How many bytes are mapped for one purpose.
    pub(crate) fn mapped_bytes_of(&self, kind: MapKind) -> usize {
        self.state()
            .regions
            .values()
            .filter(|region| region.kind == kind)
            .map(|region| region.size)
            .sum()
    }

    /// The most bytes that were ever mapped.
    pub(crate) fn peak_bytes(&self) -> usize {
        self.state().peak_bytes
    }

    /// How many mappings have at least a page left.
    pub(crate) fn outstanding_mappings(&self) -> usize {
        let state = self.state();
        let mut mappings: Vec<u64> = state.regions.values().map(|region| region.mapping).collect();
        mappings.sort_unstable();
        mappings.dedup();
        mappings.len()
    }

    /// Is every page of the range mapped?
    pub(crate) fn is_mapped(&self, base: NonNull<u8>, size: usize) -> bool {
        let state = self.state();
        let end = base.addr().get() + size;
        let mut at = base.addr().get();
        while at < end {
            match state.region_of(at) {
                Some(region) => at = region.end(),
                None => return false,
            }
        }
        true
    }

    /// Sets the clock. Setting it back is the test's fault, and its privilege.
    pub(crate) fn set_now_ms(&self, now_ms: u64) {
        // Relaxed: the clock publishes nothing.
        self.now_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Lets time pass.
    pub(crate) fn advance(&self, ms: u64) {
        // Relaxed: the clock publishes nothing.
        self.now_ms.fetch_add(ms, Ordering::Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A violation panics with the lock held, before it changes anything: the state behind it is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Simulated {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        for region in self.state().regions.values() {
            // SAFETY: mapped through the native layer and not unmapped; with this `Simulated` go all who used it.
            // Refused (by the fallback platform, for part of a mapping), it is lost.
            unsafe { Native.unmap(region.base, region.size) };
        }
    }
}

impl Os for Simulated {
    fn page_size(&self) -> usize {
        self.state().page_size()
    }

    #[track_caller]
    fn map(&self, size: usize, align: usize, kind: MapKind) -> Option<NonNull<u8>> {
        let page = self.page_size();
        assert!(
            size != 0 && size.is_multiple_of(page),
            "map: {size:#x} bytes are no whole number of pages"
        );
        assert!(
            align.is_power_of_two() && align >= page,
            "map: {align:#x} is no alignment of pages"
        );
        let mut state = self.state();
        if state.count(Kind::Map, size) == Some(Effect::Fail) {
            return None;
        }
        let base = Native.map(size, align, kind)?;
        assert!(
            base.addr().get().is_multiple_of(align),
            "map: {base:p} is not aligned to {align:#x}"
        );
        let mapping = state.next_mapping();
        state.insert(Region {
            base,
            size,
            kind,
            mapping,
        });
        Some(base)
    }

    #[track_caller]
    unsafe fn unmap(&self, base: NonNull<u8>, size: usize) -> bool {
        let mut state = self.state();
        let region = state.check(Kind::Unmap, base, size);
        if state.count(Kind::Unmap, 0) == Some(Effect::Fail) {
            return false;
        }
        // SAFETY: the range was checked, and the caller has no more use for it.
        let unmapped = unsafe { Native.unmap(base, size) };
        if unmapped {
            state.cut(region, base, size);
        }
        unmapped
    }

    #[track_caller]
    unsafe fn purge(&self, base: NonNull<u8>, size: usize) -> bool {
        let mut state = self.state();
        state.check(Kind::Purge, base, size);
        match state.count(Kind::Purge, 0) {
            Some(Effect::Fail) => false,
            Some(Effect::LieAboutZero) => true,
            // SAFETY: the range was checked, and the caller lets go of its contents.
            None => unsafe { Native.purge(base, size) },
        }
    }

    #[track_caller]
    unsafe fn advise_huge(&self, base: NonNull<u8>, size: usize) {
        let mut state = self.state();
        state.check(Kind::AdviseHuge, base, size);
        if state.count(Kind::AdviseHuge, 0) != Some(Effect::Fail) {
            // SAFETY: the range was checked.
            unsafe { Native.advise_huge(base, size) };
        }
    }

    #[track_caller]
    unsafe fn remap(&self, base: NonNull<u8>, old: usize, new: usize, align: usize) -> Option<NonNull<u8>> {
        let page = self.page_size();
        assert!(
            new != 0 && new.is_multiple_of(page),
            "remap: {new:#x} bytes are no whole number of pages"
        );
        assert!(
            align.is_power_of_two() && align >= page,
            "remap: {align:#x} is no alignment of pages"
        );
        let mut state = self.state();
        let region = state.check(Kind::Remap, base, old);
        if state.count(Kind::Remap, new.saturating_sub(old)) == Some(Effect::Fail) {
            return None;
        }
        // SAFETY: the range was checked; the caller gives up what is not in the result.
        let moved = unsafe { Native.remap(base, old, new, align) }?;
        assert!(
            moved.addr().get().is_multiple_of(align),
            "remap: {moved:p} is not aligned to {align:#x}"
        );
        state.cut(region, base, old);
        // In place it is still the same mapping, and may have a rest before or behind it.
        let mapping = if moved == base {
            region.mapping
        } else {
            state.next_mapping()
        };
        state.insert(Region {
            base: moved,
            size: new,
            kind: region.kind,
            mapping,
        });
        Some(moved)
    }

    fn now_ms(&self) -> u64 {
        // Relaxed: the clock publishes nothing.
        self.now_ms.load(Ordering::Relaxed)
    }
}

impl Region {
    fn start(&self) -> usize {
        self.base.addr().get()
    }

    fn end(&self) -> usize {
        self.start() + self.size
    }
}

impl State {
    fn page_size(&self) -> usize {
        self.page_size.unwrap_or_else(|| Native.page_size())
    }

    /// The region that contains an address.
    fn region_of(&self, address: usize) -> Option<Region> {
        let (_, region) = self.regions.range(..=address).next_back()?;
        (address < region.end()).then_some(*region)
    }

    /// The region around a range, or a panic naming the rule that the call breaks.
    #[track_caller]
    fn check(&self, kind: Kind, base: NonNull<u8>, size: usize) -> Region {
        let page = self.page_size();
        let start = base.addr().get();
        let range = || -> String { format!("{kind:?} of {size:#x} bytes at {base:p}") };
        assert!(
            size != 0 && size.is_multiple_of(page) && start.is_multiple_of(page),
            "{}: not whole pages",
            range()
        );
        let Some(region) = self.region_of(start) else {
            panic!("{}: not mapped", range())
        };
        let end = start
            .checked_add(size)
            .unwrap_or_else(|| panic!("{}: wraps around", range()));
        if end <= region.end() {
            return region;
        }
        match self.region_of(region.end()) {
            Some(next) if next.mapping != region.mapping => panic!("{}: spans two mappings", range()),
            _ => panic!("{}: not mapped from {:#x} on", range(), region.end()),
        }
    }

    /// Counts a call that would add so many bytes to what is mapped, and finds out whether a rule strikes it.
    fn count(&mut self, kind: Kind, more_bytes: usize) -> Option<Effect> {
        self.calls[kind as usize] += 1;
        let mut effect = None;
        let after = self.mapped_bytes.saturating_add(more_bytes);
        for active in self
            .rules
            .iter_mut()
            .filter(|active| active.rule.kind.is_none_or(|of| of == kind))
        {
            active.seen += 1;
            let strikes = match active.rule.when {
                When::Nth(n) => active.seen == n,
                When::Every(k) => active.seen.is_multiple_of(k),
                When::From(n) => active.seen >= n,
                When::Beyond(bytes) => more_bytes > 0 && after > bytes,
            };
            let applies = active.rule.effect == Effect::Fail || kind == Kind::Purge;
            if strikes && applies {
                effect = effect.or(Some(active.rule.effect));
            }
        }
        self.faults += u64::from(effect.is_some());
        effect
    }

    fn next_mapping(&mut self) -> u64 {
        self.mappings += 1;
        self.mappings
    }

    /// Enters a region into the table.
    #[track_caller]
    fn insert(&mut self, new: Region) {
        if let Some((_, before)) = self.regions.range(..new.end()).next_back() {
            assert!(before.end() <= new.start(), "{new:?} overlaps {before:?}");
        }
        self.regions.insert(new.start(), new);
        self.mapped_bytes += new.size;
        self.peak_bytes = self.peak_bytes.max(self.mapped_bytes);
    }

    /// Takes a range out of a region, leaving what is before and behind it.
    fn cut(&mut self, region: Region, base: NonNull<u8>, size: usize) {
        self.regions.remove(&region.start());
        self.mapped_bytes -= region.size;
        let head = base.addr().get() - region.start();
        let tail = region.size - head - size;
        if head != 0 {
            self.insert(Region { size: head, ..region });
        }
        if tail != 0 {
            // SAFETY: `head + size` is less than the region's size, so the address is in the mapping it is of.
            let base = unsafe { region.base.add(head + size) };
            self.insert(Region {
                base,
                size: tail,
                ..region
            });
        }
    }
}
