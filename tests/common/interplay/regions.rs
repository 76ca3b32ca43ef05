//! Arenas and charges.

use super::helper::Sent;
use super::truths::{need, pages};
use super::*;

impl Interplay {
    pub(super) fn open_arena(&mut self, bytes: &mut Bytes<'_>) {
        let (Some(who), false) = (bytes.pick(&self.parties), self.regions.len() == ARENAS) else {
            return;
        };
        let tenant = &self.parties[&who].tenant;
        let size = bytes.size() as u64;
        let arena = match bytes.below(2) {
            0 => Ok(tenant.arena()),
            _ => self.run(|| tenant.arena_with_capacity(size)),
        };
        match arena {
            Ok(arena) => self.regions.push(Region {
                arena,
                owner: who,
                pieces: Vec::new(),
            }),
            // Its first chunk has a head.
            Err(_) => self.justify(who, need(size as usize + 64), false),
        }
    }

    pub(super) fn fill_arena(&mut self, bytes: &mut Bytes<'_>) {
        if self.regions.is_empty() {
            return;
        }
        let number = bytes.below(self.regions.len());
        for _ in 0..=bytes.below(4) {
            let layout = bytes.layout();
            let owner = self.regions[number].owner;
            let arena = Sent(&self.regions[number].arena);
            let piece = self.run(move || { arena }.0.try_alloc_layout(layout).ok().map(Sent));
            let Some(Sent(start)) = piece else {
                // A chunk begins aligned as well.
                let chunk = layout.pad_to_align().size() + layout.align().max(64);
                self.justify(owner, need(chunk), false);
                continue;
            };
            assert!(
                start.addr().get().is_multiple_of(layout.align()),
                "{start:?} for {layout:?}"
            );
            let whole = Layout::from_size_align(layout.size(), 1).expect("no alignment");
            self.shadow
                .allocated(start.addr().get(), whole, owner)
                .expect("of the arena's own");
            self.serial += 1;
            let seed = u64::from(self.serial);
            // SAFETY: fresh memory of that length.
            unsafe { fill(start.as_ptr(), layout.size(), seed) };
            self.regions[number].pieces.push((start, layout.size(), seed));
        }
    }

    /// Everything in it is given up, by a reset or for good.
    pub(super) fn empty_arena(&mut self, bytes: &mut Bytes<'_>) {
        if self.regions.is_empty() {
            return;
        }
        let number = bytes.below(self.regions.len());
        let mut region = self.regions.swap_remove(number);
        for (start, size, seed) in region.pieces.drain(..) {
            // SAFETY: memory of the arena that nobody else writes to.
            unsafe { check(start.as_ptr(), size, size, seed) }.expect("kept");
            let layout = Layout::from_size_align(size, 1).expect("no alignment");
            self.shadow
                .freed(start.addr().get(), layout, region.owner)
                .expect("in the list");
        }
        if bytes.below(2) == 0 {
            region.arena.reset();
            self.regions.push(region);
        } else {
            let arena = region.arena;
            self.run(move || drop(arena));
        }
    }

    pub(super) fn charge(&mut self, bytes: &mut Bytes<'_>) {
        let Some(who) = bytes.pick(&self.parties) else {
            return;
        };
        let size = match bytes.below(8) {
            0 => 0,
            _ => bytes.size(),
        };
        let tenant = &self.parties[&who].tenant;
        match self.run(|| tenant.try_charge(size as u64)) {
            Ok(charge) => {
                assert_eq!(charge.bytes(), pages(size as u64));
                self.charges.push((charge, who));
            }
            Err(error) => {
                assert!(
                    (error == Error::Retired) == self.parties[&who].is_retired,
                    "{error}"
                );
                self.justify(who, pages(size as u64), false);
            }
        }
    }

    pub(super) fn uncharge(&mut self, bytes: &mut Bytes<'_>) {
        if self.charges.is_empty() {
            return;
        }
        let (charge, who) = self.charges.swap_remove(bytes.below(self.charges.len().min(256)));
        if bytes.below(3) == 0 {
            charge.into_prepaid();
            if let Some(party) = self.parties.get_mut(&who) {
                party.has_prepaid |= !party.is_retired;
            }
        } else {
            self.run(move || drop(charge));
        }
    }
}
