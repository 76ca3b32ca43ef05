//! A policy behind a wall: whatever it does, the round goes on.
//!
//! Above: rounds. Below: `policy/`, and policies of users. A policy that panics is dropped, counted, and replaced by the
//! default one, where panics unwind; where they abort, it ends the process like any other. One whose answers cannot be stays,
//! since the solver makes them safe; an event says so, once.

use alloc::boxed::Box;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use super::policy::{Estimate, Observation, SharePolicy, Utilization};
use super::solver::{is_possible, is_share};
use crate::heap::{self, EventKind};
use crate::span::Tag;
use crate::tenant::TenantId;

/// The wall.
pub(super) struct Guarded {
    policy: Box<dyn SharePolicy>,
    /// As it was when the policy came in.
    name: &'static str,
    /// Whether the policy knows nobody: it is to observe all.
    pub(super) is_new: bool,
    pub(super) panics: u64,
    /// Whether it was told that an answer of the policy cannot be.
    is_told: bool,
}

/// Runs `act`; `None` if it panics.
pub(super) fn caught<T>(act: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(done) => Some(done),
        Err(payload) => {
            // What was thrown may panic again as it is dropped; then it is not.
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                core::mem::forget(again);
            }
            None
        }
    }
}

impl Guarded {
    pub(super) fn new(policy: Box<dyn SharePolicy>) -> Self {
        let mut guarded = Self {
            policy,
            name: "",
            is_new: true,
            panics: 0,
            is_told: false,
        };
        guarded.name = guarded.call(|policy| policy.name());
        guarded
    }

    /// The default one.
    pub(super) fn by_default() -> Self {
        Self::new(Box::new(Utilization::new().tau(heap::tau())))
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn observe(&mut self, observation: &Observation) -> Estimate {
        let estimate = self.call(|policy| {
            policy.observe(observation);
            policy.estimate(observation.tenant)
        });
        self.tell_unless(is_possible(&estimate));
        estimate
    }

    pub(super) fn tau(&mut self) -> f64 {
        let tau = self.call(|policy| policy.tau());
        self.tell_unless(is_share(tau));
        tau
    }

    fn tell_unless(&mut self, is_fine: bool) {
        if !is_fine && !core::mem::replace(&mut self.is_told, true) {
            heap::note(EventKind::PolicyIgnored, Tag::ROOT, 0);
        }
    }

    pub(super) fn forget(&mut self, tenant: TenantId) {
        self.call(|policy| policy.forget(tenant));
    }

    /// Calls the policy, or the one that takes its place.
    fn call<T>(&mut self, mut act: impl FnMut(&mut dyn SharePolicy) -> T) -> T {
        if let Some(done) = caught(|| act(&mut *self.policy)) {
            return done;
        }
        let default = Box::new(Utilization::new().tau(heap::tau()));
        let panicked = core::mem::replace(&mut self.policy, default);
        let _ = caught(|| drop(panicked));
        self.name = self.policy.name();
        self.is_new = true;
        self.panics += 1;
        heap::note(EventKind::PolicyPanicked, Tag::ROOT, 0);
        act(&mut *self.policy)
    }
}
