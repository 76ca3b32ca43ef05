//! The visitor: how a thread serves a tenant that it has no cache for.
//!
//! Above: `thread.rs`, which makes the visitor current and leaves it again. Below: the tenant's pool.
//!
//! The visitor is a cache without a magazine, so every request comes to the cold half, and from there to the pool, whose
//! nursery and slabs lie under locks. A lock costs more than all else in a short visit. So the first block of a visit that
//! comes from the nursery brings a [window](crate::slab::Window) with it: the quarter of a page that it lies in is this
//! thread's until the visit ends.

use core::ptr::NonNull;

use super::Thread;
use crate::base::purpose::Purpose;
use crate::pool::Pool;
use crate::size_class::block_size;
use crate::slab::{LINE, Window, alignment};
use crate::span::Tag;

impl Thread {
    /// Serves the tenant from the pool's shared path.
    pub(super) fn visit(&'static self, pool: &'static Pool, tag: Tag) {
        self.visiting.show(tag);
        self.visitor.pool.set(Some(pool));
        self.visitor.tag.set(tag);
        self.current.set(&self.visitor);
    }

    /// Ends the visit, if there is one.
    pub(super) fn end_visit(&self) {
        self.close_window();
        self.visiting.end();
    }

    /// Gives the visited tenant's nursery back what is free in the window.
    #[inline]
    pub(super) fn close_window(&self) {
        if let Some(quarter) = self.window.close()
            && let Some(pool) = self.visitor.pool()
        {
            // SAFETY: a window is open during a visit alone, and on the visited pool's nursery.
            unsafe { pool.give_quarter(self.shared(), quarter) };
        }
    }

    /// A block of `class` from the pool that is visited.
    pub(super) fn allocate_visiting(
        &self,
        pool: &Pool,
        class: usize,
        purpose: Purpose,
    ) -> Option<NonNull<u8>> {
        let lines = block_size(class) / LINE;
        if let Some(block) = self.window.take(lines, alignment(lines)) {
            return Some(block);
        }
        if !Window::may_hold(lines) {
            return pool.allocate(self.shared(), class, purpose);
        }
        self.close_window();
        let (block, quarter) = pool.allocate_with_quarter(self.shared(), class, purpose)?;
        if let Some(quarter) = quarter {
            self.window.open(quarter);
        }
        Some(block)
    }

    /// Takes a block of `class` back into the window. `false`: it does not lie there.
    #[inline]
    pub(super) fn deallocate_visiting(&self, class: usize, block: NonNull<u8>) -> bool {
        self.window.give(block, block_size(class) / LINE)
    }
}
