"""A test that cannot see its bug proves nothing: each of these bugs is planted, and the test named with it must fail.

A mutation replaces one piece of text in one file of `src/` in a copy of the tree; the text must be there exactly once,
so that a change of the source that moves it is noticed here. A test that hangs counts as one that fails. First each
test is seen to pass on the copy as it is.

Prints one line a mutation. Ends with 1 if one of them survived, did not compile, or was not found in the source.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

# (name, file in src/, text, replacement, test binary, test)
MUTATIONS = [
    # Classes 1 to 4: sizes and alignments.
    ("class 1: alignment left out of the size class", "size_class.rs",
     "((size + (align - 1)) & !(align - 1)).wrapping_sub(1)", "size.wrapping_sub(1)",
     "shadow_heap", "every_size_and_alignment_is_served"),
    ("class 2: page runs are not aligned", "pool/large.rs",
     "align: (request.align / PAGE).max(1),", "align: 1,",
     "shadow_heap", "every_size_and_alignment_is_served"),
    ("class 2: mappings are not aligned", "span/large.rs",
     "self.os.map(size, align.max(SEGMENT), MapKind::Large)", "self.os.map(size, SEGMENT.max(align.min(1)), MapKind::Large)",
     "shadow_heap", "alignments_up_to_a_gibibyte_are_served"),
    ("class 3: the free path derives the class from the size alone", "heap.rs",
     "let Some(class) = class_of(size.max(1), align) else {", "let Some(class) = class_of(size.max(1), 1) else {",
     "bug_classes", "small_blocks_of_great_alignment_are_freed_as_what_they_are"),
    ("class 4: only the lower half of a size is looked at", "size_class.rs",
     "    if (last | (align << 3).wrapping_sub(1)) < MAX_SMALL {", "    let last = last as u32 as usize;\n    if (last | (align << 3).wrapping_sub(1)) < MAX_SMALL {",
     "drop_in", "requests_that_cannot_be_served_are_answered_with_null"),
    ("class 4: what there are no addresses for is served in part", "heap.rs",
     "    if size > MAX_REQUEST {\n        return core::ptr::null_mut();\n    }\n    let block", "    let size = size as u32 as usize;\n    let block",
     "drop_in", "requests_that_cannot_be_served_are_answered_with_null"),
    ("class 4: rounding up to pages wraps", "base/units.rs",
     "bytes.div_ceil(PAGE as u64)", "bytes.wrapping_add(PAGE as u64 - 1) / PAGE as u64",
     "tenants", "no_request_is_so_large_that_the_numbers_wrap"),
    ("class 4: numbers of pages may wrap", "ledger/holding.rs",
     "(pages <= MOST_CHARGED - self.charged()).then(|| Self(self.0 + pages))", "Some(Self(self.0.wrapping_add(pages)))",
     "errors", "a_charge_that_cannot_be_counted_is_refused_before_there_is_a_capacity"),
    ("blocks of a slab overlap its end", "slab/shape.rs",
     "blocks.min(MAX_BLOCKS)", "(blocks + 1).min(MAX_BLOCKS)",
     "shadow_heap", "any_mixture_on_one_thread_keeps_blocks_apart"),
    ("nursery blocks are not aligned", "slab/lines.rs",
     "    1 << lines.trailing_zeros()", "    1 << (lines.trailing_zeros() / 64)",
     "bug_classes", "a_few_blocks_are_aligned_like_many"),
    # Classes 5 to 7: the operating system refuses.
    ("class 5: a charge without memory is not taken back", "pool/large.rs",
     "            shared.ledger.cancel(&self.account, granted);\n            return None;", "            return None;",
     "exhaustion", "without_memory_requests_are_answered_with_null_and_what_is_freed_can_be_had_again"),
    ("class 5: nothing is tried again when memory is short", "heap/room.rs",
     "let may_help = !(is_ambient && account.has_overdrawn());", "let may_help = account.overdraft() > u64::MAX - 1 && is_ambient;",
     "tenants", "at_its_limit_a_tenant_has_what_it_freed_in_other_sizes"),
    ("class 7: an unmapping that failed counts as done", "os/posix.rs",
     "    unsafe { libc::munmap(base.as_ptr().cast(), size) == 0 }", "    unsafe { libc::munmap(base.as_ptr().cast(), size) != 1 }",
     "exhaustion", "a_full_table_of_mappings_loses_nothing"),
    # Classes 8 to 10: contents.
    ("class 8: nothing is large when it is asked for, and small when it is freed", "heap.rs",
     "    match class_of(size.max(1), align) {", "    match class_of(size, align) {",
     "bug_classes", "a_request_for_nothing_is_harmless"),
    ("class 9: realloc copies too little", "heap.rs",
     "copy_nonoverlapping(block, to, old.min(new))", "copy_nonoverlapping(block, to, old.min(new) - 1)",
     "bug_classes", "blocks_keep_contents_and_alignment_through_every_change_of_length"),
    ("class 10: pages with something in them count as zero", "span/segment.rs",
     "if is_foreign || (zero && last != OwnerWord::CLEAN) {", "if is_foreign {",
     "isolation", "zeroed_blocks_are_zero_after_any_other_use"),
    ("class 10: segments with something in them count as zero", "pool/large.rs",
     "if block.dirty_pages > 0 && (request.zero || !block.is_own) {", "if block.dirty_pages > 0 && !block.is_own {",
     "isolation", "zeroed_blocks_are_zero_after_any_other_use"),
    ("class 10: small blocks are zeroed by half", "global.rs",
     "block.write_bytes(0, layout.size());", "block.write_bytes(0, layout.size() / 2);",
     "isolation", "zeroed_blocks_are_zero_after_any_other_use"),
    ("class 23: what was purged is not zero", "os/linux.rs",
     "unsafe { posix::advise(base, size, libc::MADV_DONTNEED) }", "unsafe { posix::advise(base, size, libc::MADV_FREE) }",
     "bug_classes", "a_zeroed_block_is_zero_after_a_purge"),
    # Isolation.
    ("pages of others are not scrubbed", "span/segment.rs",
     "let is_foreign = last != OwnerWord::CLEAN && last.tag() != tag;", "let is_foreign = last == OwnerWord::NEVER;",
     "isolation", "blocks_of_any_size_show_nothing_of_an_earlier_owner"),
    ("segments of others are not scrubbed", "pool/large.rs",
     "if block.dirty_pages > 0 && (request.zero || !block.is_own) {", "if block.dirty_pages > 0 && request.zero {",
     "isolation", "blocks_of_any_size_show_nothing_of_an_earlier_owner"),
    ("what lies behind a large block is not scrubbed, and it grows", "span/large.rs",
     "dirty_pages: if is_own { dirty_pages.min(pages) } else { dirty_pages },", "dirty_pages: dirty_pages.min(pages),",
     "isolation", "a_block_that_grows_shows_nothing_of_an_earlier_owner"),
    ("what lies behind a large block is not scrubbed, and it is freed", "span/large.rs",
     "dirty_pages: if is_own { dirty_pages.min(pages) } else { dirty_pages },", "dirty_pages: dirty_pages.min(pages),",
     "isolation", "what_was_behind_a_block_shows_nothing_of_an_earlier_owner"),
    ("a large block grows into segments of others", "span/large.rs",
     "!record.is_dirty || record.tag == state.records.get(id).tag", "!record.is_dirty || record.tag != Tag::ROOT",
     "isolation", "a_block_that_grows_shows_nothing_of_an_earlier_owner"),
    # Classes 12 and 13: fork.
    ("class 12: fork takes no locks", "heap/start.rs",
     "    lock::hold_all();\n    crate::rebalance::hold_for_fork();\n    HEAP.hold_for_fork();\n",
     "", "fork", "children_of_a_process_under_load_can_do_everything"),
    ("class 12: the child keeps the locks", "heap/start.rs",
     "    barrier::disable_unless_kept();\n    notice::release_after_fork();\n    HEAP.release_after_fork();\n",
     "    barrier::disable_unless_kept();\n    notice::release_after_fork();\n",
     "fork", "a_child_of_a_quiet_process_can_do_everything"),
    ("class 13: two threads that fork wait for each other", "heap/start.rs",
     "    crate::tenant::hold_for_fork();\n    lock::hold_all();\n",
     "    lock::hold_all();\n    crate::tenant::hold_for_fork();\n",
     "fork", "threads_may_fork_at_the_same_time"),
    # Classes 14 to 16: the end of threads.
    ("class 14: an exiting thread leaves its caches behind", "heap/start.rs",
     "        // SAFETY: as above.\n        unsafe { HEAP.leave(thread) };\n    }\n}", "        let _left_behind = thread;\n    }\n}",
     "drop_in", "threads_that_only_free_leave_nothing_behind"),
    ("class 15: an exiting thread goes on with its caches", "heap/start.rs",
     "    unsafe { set_current(EXITED.as_cache()) };\n", "",
     "drop_in", "destructors_of_a_thread_may_allocate_and_free_in_any_order"),
    ("class 16: an exiting thread forgets what it was to send home", "cache/thread.rs",
     "            unsafe { self.home.give_cache(cache) };\n        }\n        self.outbox.lock().send(self.shared());", "            unsafe { self.home.give_cache(cache) };\n        }",
     "bug_classes", "threads_may_end_while_others_free_what_they_leave"),
    ("class 25: who comes in the middle of the first use waits for its end", "heap/start.rs",
     "    if IS_STARTING.swap(true, Ordering::AcqRel) {\n        return None;\n    }", "    while IS_STARTING.swap(true, Ordering::AcqRel) {\n        core::hint::spin_loop();\n    }",
     "first_use", "a_signal_may_allocate_in_the_middle_of_the_first_use"),
    ("a thread that cannot be told of its end has a cache", "heap/start.rs",
     "        unsafe { HEAP.leave(thread) };\n        return None;", "        unsafe { set_current(thread.current()) };\n        return Some(thread);",
     "first_use", "without_a_place_for_a_threads_key_everything_works"),
    # Classes 17 to 19, 30: owners.
    ("class 17: generations repeat", "tenant/registry.rs",
     "self.entries[id as usize].generation + 1));", "self.entries[id as usize].generation));",
     "tenants", "a_number_is_used_again_only_when_drained_and_never_with_the_same_generation"),
    ("class 18: a number is used again while its memory lives", "tenant/registry.rs",
     "if !is_unused || !pool.references.is_none() || pool.account.charged() > 0 {",
     "if !is_unused || !pool.references.is_none() {",
     "tenants", "a_retired_tenant_keeps_what_lives_until_anybody_frees_it"),
    ("class 18: caches do not look whose they are", "cache/thread.rs",
     "if cache.tag() == tag && pool.is_live(tag) {", "if pool.is_live(tag) {",
     "tenants", "more_tenants_than_a_thread_has_caches_for_are_each_counted_their_own"),
    ("class 19: blocks of others wait for ever", "cache/outbox.rs",
     "let mut waiting = self.blocks.get_mut(..self.count).unwrap_or_default();", "let mut waiting = self.blocks.get_mut(..self.count / 2).unwrap_or_default();",
     "tenants", "a_million_small_blocks_that_cross_tenants_and_threads_all_come_home"),
    ("class 17: a number is used again while a thread is inside", "tenant/registry.rs",
     "let unused = heap.flush_tenants(tags);", "let unused = u64::MAX;",
     "tenants", "a_number_is_not_used_again_while_a_thread_is_inside"),
    ("class 30: an empty slab of a retired tenant stays", "pool/mod.rs",
     "        for bin in self.bins.iter().filter_map(Once::get) {\n            bin.trim(", "        for bin in self.bins.iter().filter_map(Once::get).skip(20) {\n            bin.trim(",
     "bug_classes", "a_tenant_may_retire_with_slabs_in_every_state"),
    ("a retired tenant goes on allocating", "cache/thread.rs",
     "        if !pool.is_live(tag) {\n            cache.flush(self.shared());", "        if false {\n            cache.flush(self.shared());",
     "tenants", "inside_a_retired_tenant_new_memory_is_roots"),
    ("a retired tenant can be entered", "cache/thread.rs",
     "        self.visit(pool, tag);\n        if !pool.is_live(tag) {", "        self.visit(pool, tag);\n        if false {",
     "tenants", "a_retired_tenant_cannot_be_entered"),
    ("the name of a retired tenant is not free", "tenant/registry.rs",
     "        registry.by_name.remove(&tenant.name);\n", "",
     "tenants", "a_name_is_free_as_soon_as_its_tenant_has_retired"),
    ("a block alone in its chunk stays whatever its alignment", "tenant/arena/blocks.rs",
     "&& head(1).is_multiple_of(new.align())", "&& new.align() <= 4096",
     "arenas", "a_block_alone_in_its_chunk_moves_if_it_is_to_be_aligned_otherwise"),
    ("to ask is to take", "tenant/charge.rs",
     "heap::heap().shared.ledger.cancel(&behalf.pool.account, granted);", "let _taken = granted;",
     "handles", "promises::credit_is_for_the_tenants_next_pages_and_for_nothing_else"),
    ("a charge of nothing takes another's credit", "tenant/charge.rs",
     "        if pool.tag() != tag {\n            return;\n        }\n", "",
     "handles", "promises::a_charge_of_nothing_takes_no_credit_of_who_comes_after"),
    ("a small request is held against the largest slab", "heap/room.rs",
     "least: slab_pages(class, 0) as Pages", "least: slab_pages(class, u32::MAX) as Pages",
     "handles", "promises::at_its_limit_a_tenant_gets_the_smallest_slab_that_serves"),
    ("a full group has all free memory purged", "heap/room.rs",
     "Refusal::OutOfMemory => give_all_back(),", "Refusal::OutOfMemory | Refusal::Group => give_all_back(),",
     "sharing", "who_is_refused_by_its_group_costs_nobody_else_what_he_keeps"),
    ("at its limit a tenant has not what others keep of it", "heap/room.rs",
     "                HEAP.flush_tenant(self.tag);\n", "",
     "tenants", "at_its_limit_a_tenant_has_what_sleeping_threads_keep_of_it"),
    ("who is above a lower limit is not helped", "heap/room.rs",
     "let may_help = !(is_ambient && account.has_overdrawn());", "let may_help = !(is_ambient && account.overdraft() > 0);",
     "tenants", "what_a_tenant_has_freed_is_its_own_below_a_lower_limit"),
    ("a race at a limit is taken for a machine without memory", "heap/room.rs",
     "                None if HEAP.shared.metadata.refusals() == refusals => allocate(purpose),\n", "",
     "tenants", "a_race_at_a_limit_purges_nothing"),
    ("who retires looks at all who drain", "tenant/registry.rs",
     "        registry.sweep_these(&[tag]);\n        registry.sweep();", "        registry.draining.push_back(tag.id());\n        registry.sweep_all();",
     "many_tenants", "who_retires_does_not_pay_for_all_who_drain"),
    ("a give purges all that has aged", "span/spans.rs",
     "            self.purge_some_aged();", "            self.purge_aged();",
     "--lib", "span::tests::one_give_purges_only_some_of_what_has_aged"),
    ("more is wanted than there is", "rebalance/solver/demand.rs",
     "least.max(self.pages.saturating_mul(factor)).min(most)", "least.max(self.pages.saturating_mul(factor)).min(most.max(MOST))",
     "--lib", "rebalance::solver::demand::tests::nobody_wants_more_than_there_is"),
    ("who waits is not before who is foreseen to want", "rebalance/solver/member.rs",
     "waits: self.reading.denied > 0,", "waits: self.reading.denied > u64::MAX - 1,",
     "--lib", "rebalance::solver::tests::rounds::who_was_refused_comes_before_who_is_expected_to_want"),
    ("visits do not add up", "cache/thread.rs",
     "            self.end_visit();\n        } else {", "            self.end_visit();\n            self.visits[cache.tag().id() as usize % TABLE].set((Tag::NOBODY, 0));\n        } else {",
     "--lib", "cache::tests::by_hand::a_tenant_that_is_visited_again_and_again_gets_a_cache"),
    ("visits of others count as one's own", "cache/thread.rs",
     "let count = if last == tag { count.saturating_add(1) } else { 1 };", "let count = if last != Tag::NOBODY { count.saturating_add(1) } else { 1 };",
     "--lib", "cache::tests::by_hand::a_tenant_that_is_visited_again_and_again_gets_a_cache"),
    ("who cannot enter loses what is at hand", "cache/thread.rs",
     "            return self.enter(self.shared().root(), Tag::ROOT);", "            self.visit(self.shared().root(), Tag::ROOT);",
     "--lib", "cache::tests::by_hand::who_cannot_enter_a_tenant_keeps_what_it_has"),
    ("a loose page stays in its slot", "span/loose.rs",
     "let before = slot.swap(OUT, Ordering::Acquire);", "let before = slot.load(Ordering::Acquire);",
     "--lib", "span::tests::threads_that_exchange_loose_pages_never_have_the_same_one"),
    ("loose pages of threads lie side by side", "span/spans.rs",
     ".take_open(1, segment::OWNERS_IN_LINE, fit)", ".take_open(1, 1, fit)",
     "--lib", "span::tests::loose_pages_of_threads_have_their_owner_words_on_cache_lines_of_their_own"),
    ("loose pages do not come back when memory is short", "span/spans.rs",
     "        self.collect_loose();\n        let state = self.state.lock();\n        let (id", "        let state = self.state.lock();\n        let (id",
     "--lib", "span::tests::a_loose_page_is_the_next_one_taken_and_goes_back_before_it_is_missed"),
    ("a window stays open without a line", "slab/window.rs",
     "            self.base.set(None);\n", "",
     "--lib", "slab::tests::a_window_closes_with_its_last_line"),
    ("a window is left open", "cache/visitor.rs",
     "        self.close_window();\n        self.visiting.end();", "        self.visiting.end();",
     "--lib", "cache::tests::by_hand::a_visit_leaves_nothing_behind_and_a_stay_gets_a_cache"),
    ("a window takes lines of its neighbour", "slab/window.rs",
     "|| line + lines > LINES {", "|| line > LINES {",
     "--lib", "slab::tests::windows_and_their_set_are_one_map_of_blocks"),
    ("blocks of a window are not aligned", "slab/window.rs",
     "starts_of_runs(free, lines) & at(&MULTIPLES, align.trailing_zeros() as usize)", "starts_of_runs(free, lines) | at(&MULTIPLES, align.trailing_zeros() as usize) & 0",
     "--lib", "slab::tests::windows_and_their_set_are_one_map_of_blocks"),
    # Class 29: tables.
    ("class 29: a table's blocks are shorter than their rows", "span/metadata.rs",
     "let rows = 1usize << (FIRST_SHIFT + block as u32);", "let rows = 1usize << FIRST_SHIFT;",
     "bug_classes", "tables_grow_without_losing_a_block"),
    # Classes 20, 26, 27: corruption.
    ("what is recalled is taken from all the same", "slab/set.rs",
     "self.draining - u32::from(row.as_ref().pages) >= withheld", "self.draining - u32::from(row.as_ref().pages) >= withheld / 64",
     "sharing", "a_borrower_that_stays_hungry_gives_its_loan_back"),
    ("an empty slab is kept where others drain", "slab/set.rs",
     "let keeps_it = self.draining == 0 && ", "let keeps_it = ",
     "--lib", "slab::tests::slabs_drain_where_pages_are_withheld"),
    ("what drained is never taken from again", "slab/set.rs",
     "open.iter().find_map(RowList::first).or_else(reopened)", "open.iter().find_map(RowList::first).or_else(|| reopened().filter(|_| false))",
     "sharing", "a_borrower_that_stays_hungry_gives_its_loan_back"),
    ("more is recalled than is above the allowance", "ledger/recall.rs",
     "pages: charged.saturating_sub(may_have),", "pages: charged.saturating_sub(may_have / 2),",
     "sharing", "a_borrower_that_stays_hungry_gives_its_loan_back"),
    ("what may not fail is refused what is recalled", "ledger/recall.rs",
     "let may_fail = purpose == Purpose::Fallible || account.on_limit() == OnLimit::Fail;", "let may_fail = true | (purpose == Purpose::Fallible);",
     "sharing", "what_may_not_fail_is_served_from_what_is_recalled"),
    ("class 20: a block freed twice is taken twice", "slab/set.rs",
     "if *word & bit != 0 {", "if *word & bit != 0 && row.capacity == 0 {",
     "bug_classes", "a_block_freed_twice_is_found_when_it_goes_home"),
    ("class 20: lines freed twice are taken twice", "slab/lines.rs",
     "if !runs::all_clear(&row.free, at, lines) {", "if lines == 0 {",
     "bug_classes", "a_nursery_block_freed_twice_is_found_at_once"),
    ("class 20: what a window has free is taken twice", "slab/lines.rs",
     "        if *word & free != 0 {", "        if free == 0 {",
     "bug_classes", "a_block_freed_twice_around_a_window_is_found_when_it_closes"),
    ("class 26: what is found out unwinds", "cache/thread.rs",
     "        abort_with(\n            \"block freed with another size than it was allocated\",\n            block.as_ptr().addr(),\n            owner.bits(),\n            class as u64,\n        )",
     "        panic!(\"block freed with another size than it was allocated\")",
     "bug_classes", "errors_inside_do_not_unwind"),
    ("class 27: the length of a large block is believed", "pool/large.rs",
     "        if pages != pages_for(size.max(1)) {", "        if pages == 0 {",
     "bug_classes", "a_large_block_freed_with_another_size_is_found_at_once"),
    # Classes 21, 22 and 28: purges and locks.
    ("class 21: a purge takes one page too many", "span/purge.rs",
     "if unsafe { self.os.purge(span.base(), count * PAGE) } {", "if unsafe { self.os.purge(span.base(), (count + 1) * PAGE) } {",
     "memory_returns", "large_blocks_that_live_are_all_that_is_held_after_a_peak"),
    ("class 22: a purge takes the lock that it holds", "span/purge.rs",
     "            drop(state);\n            // 2. Its backing goes, header included.", "            // 2. Its backing goes, header included.",
     "bug_classes", "purges_beside_allocations_lose_nothing"),
    ("class 22: locks are taken in any order", "base/lock.rs",
     "HELD.set(held | 1 << rank as u16);", "HELD.set(held);",
     "--lib", "base::lock::tests::locks_out_of_rank_are_found_out"),
    ("class 22: the same rank is in order with itself", "base/lock.rs",
     "if held >> rank as u16 != 0 &&", "if held >> rank as u16 > 1 &&",
     "--lib", "base::lock::tests::locks_out_of_rank_are_found_out"),
    ("class 28: a purge goes by our pages, not by the kernel's", "span/purge.rs",
     "let os_pages = (self.os.page_size() / PAGE).max(1);", "let os_pages = (self.os.page_size() / PAGE).min(1);",
     "--lib", "fuzzing::sweep::larger_pages_of_the_kernel_are_purged_whole_or_not_at_all"),
    ("memory is not given back when it is idle", "span/purge.rs",
     "        if is_due {\n            self.collect_loose();\n", "        if false {\n            self.collect_loose();\n",
     "memory_returns", "idle_memory_goes_back_without_being_asked_for"),
    ("memory is not given back when asked for", "heap/upkeep.rs",
     ".trim((in_use / KEPT_FRACTION).max(KEPT_LEAST));", ".trim(usize::MAX);",
     "memory_returns", "gibibytes_that_were_freed_go_back_to_the_operating_system"),
    ("sleeping threads keep what they have", "heap/upkeep.rs",
     "    }\n    HEAP.flush_sleeping();\n    HEAP.shared.all_pools().for_each(|pool| pool.trim(&HEAP.shared));\n    HEAP.shared.spans.purge_aged();",
     "    }\n    HEAP.shared.all_pools().for_each(|pool| pool.trim(&HEAP.shared));\n    HEAP.shared.spans.purge_aged();",
     "tenants", "a_sleeping_thread_keeps_nothing_of_a_tenant_that_it_has_left"),
    # Class 24: numbers.
    ("class 24: an account is given back too little", "ledger/mod.rs",
     "            self.shrink_claim(account, pages - repaid);", "            self.shrink_claim(account, (pages - repaid).saturating_sub(u64::from(pages == 7)));",
     "shadow_heap", "any_mixture_on_one_thread_keeps_blocks_apart"),
    ("class 24: a large block is counted to root", "heap.rs",
     "        current_pool().allocate_large(&HEAP.shared, request)", "        HEAP.shared.root().allocate_large(&HEAP.shared, request)",
     "shadow_heap", "any_mixture_on_one_thread_keeps_blocks_apart"),
    ("class 24: a block that moves stays with whom it was", "heap.rs",
     "            None => large_cold(new, align, false, grows),", "            None if old_class.is_none() => large_owner(NonNull::new_unchecked(block), old, align)\n                .allocate_large(&HEAP.shared, LargeRequest::new(new, align, Purpose::Ambient))\n                .map_or(core::ptr::null_mut(), NonNull::as_ptr),\n            None => large_cold(new, align, false, grows),",
     "shadow_heap", "any_mixture_on_one_thread_keeps_blocks_apart"),
    ("class 24: growth in place is not charged", "pool/large.rs",
     "let granted = if need > have {", "let granted = if need > have + (1 << 40) {",
     "tenants", "growth_in_place_stays_with_the_owner"),
    ("class 24: a charge is not given back", "tenant/charge.rs",
     "            .uncharge(&self.holder.pool.account, self.pages);", "            .uncharge(&self.holder.pool.account, self.pages / 2);",
     "tenants", "a_charge_counts_like_memory_and_ends_with_its_owner"),
    ("a failed request is a peak", "ledger/mod.rs",
     "        account.prepay(granted.prepaid);\n", "        account.prepay(granted.prepaid);\n        account.note_peak();\n",
     "--lib", "ledger::tests::properties::solvent_conserved_bounded_and_work_conserving"),
    ("limits do not bind", "ledger/mod.rs",
     "let limit = account.limit().saturating_sub(account.unbudgeted());", "let limit = NO_LIMIT;",
     "tenants", "a_limit_that_fails_gives_null_and_hurts_only_the_one_request"),
    ("overdraft is refused", "ledger/mod.rs",
     "purpose == Purpose::Insistent && account.on_limit() == OnLimit::Overdraft;", "purpose == Purpose::Insistent && account.on_limit() == OnLimit::Fail;",
     "tenants", "a_limit_below_what_is_held_takes_nothing_back"),
    ("a refusal refuses others", "ledger/budget.rs",
     "        self.0\n            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, less)\n            .ok()\n            .map(|before| before.saturating_sub_unsigned(pages))",
     "        let left = less(self.0.fetch_sub(pages.cast_signed(), Ordering::AcqRel));\n        if left.is_none() {\n            self.0.fetch_add(pages.cast_signed(), Ordering::AcqRel);\n        }\n        left",
     "tenants", "a_refusal_of_one_tenant_refuses_no_other"),
    ("refusals are counted with each try", "ledger/mod.rs",
     "if charged.is_err() && prepaid > 0 {", "if charged.is_err() {\n            account.count_denied(pages);",
     "tenants", "a_request_that_is_refused_is_counted_once"),
    ("the capacity does not bind", "ledger/budget.rs",
     "(left >= 0 && left.unsigned_abs() >= kept).then_some(left)", "Some(left)",
     "errors", "a_charge_beyond_the_capacity_is_refused"),
    # Claims.
    ("what is given was not taken", "ledger/mod.rs",
     "Ok(()) => return self.give(group, old.claim() - new.claim()),", "Ok(()) => return self.give(group, pages),",
     "--lib", "ledger::tests::properties::solvent_conserved_bounded_and_work_conserving"),
    ("a loan within what is protected takes from the surplus", "ledger/mod.rs",
     "            let more = new.claim() - old.claim();", "            let more = pages;",
     "--lib", "ledger::tests::properties::a_charge_within_what_is_protected_touches_nothing_shared"),
    ("protection rises beyond what there is", "ledger/mod.rs",
     "            let new = if taken < more {", "            let new = if taken > more {",
     "--lib", "ledger::tests::properties::solvent_conserved_bounded_and_work_conserving"),
    ("a group's room is not given back", "ledger/mod.rs",
     "                Some(group) => group.give(less, &self.surplus),", "                Some(_) => self.surplus.give(less),",
     "--lib", "ledger::tests::properties::solvent_conserved_bounded_and_work_conserving"),
    ("allowances never bind", "ledger/published.rs",
     "            // Relaxed, both: as in `take`.\n            self.is_contended.store(true, Ordering::Relaxed);", "            self.is_contended.store(false, Ordering::Relaxed);",
     "--lib", "ledger::tests::properties::an_allowance_binds_only_while_somebody_below_his_own_was_refused"),
    ("prepaid pages are lost when there was no memory", "ledger/mod.rs",
     "        account.prepay(granted.prepaid);\n", "",
     "--lib", "ledger::tests::properties::prepaid_pages_are_used_first_and_come_back_when_there_was_no_memory"),
    ("changes are told once and for all", "ledger/dirty.rs",
     "word.swap(0, Ordering::SeqCst);", "word.load(Ordering::SeqCst);",
     "--lib", "ledger::tests::properties::what_has_changed_is_told_once"),
    ("reservations of others are forgotten", "tenant/registry/groups.rs",
     "let free = lendable.saturating_sub(all - before);", "let free = lendable.saturating_sub(before - before);",
     "errors", "reservations_fit_the_capacity"),
    # Scopes.
    ("a guard left before restores once more", "cache/scopes.rs",
     "        outer < self.depth.get()\n            && self", "        self",
     "tenants", "guards_dropped_in_the_wrong_order_leave_the_outermost_scope"),
    ("a closure does not restore", "tenant/scope.rs",
     "            self.previous.switch(thread);", "            let _stays = thread;",
     "tenants", "unwinding_restores_what_was_there_before"),
    ("a future is dropped outside", "tenant/future.rs",
     "target.in_scope(|| unsafe { ManuallyDrop::drop(&mut self.inner) });", "let _ = target;\n        unsafe { ManuallyDrop::drop(&mut self.inner) };",
     "tenants", "a_future_is_polled_and_dropped_as_its_tenant"),
    ("wrapped closures forget the tenant", "tenant/scope.rs",
     "    move || target.in_scope(act)", "    let _ = target;\n    act",
     "tenants", "a_scope_is_its_threads_alone"),
    # Reading.
    ("reading allocates", "report/snapshot.rs",
     "(mut count, mut borrowed, mut unused) = (0, 0, 0);", "(mut count, mut borrowed, mut unused) = (core::hint::black_box(String::from(\"x\")).len() - 1, 0, 0);",
     "reading", "numbers_are_read_without_allocating"),
    ("options may be set twice", "heap/options.rs",
     "    if IS_CONFIGURED.swap(true, Ordering::AcqRel) {", "    if IS_CONFIGURED.swap(true, Ordering::AcqRel) && config.get_capacity().is_some() {",
     "errors", "options_take_effect_once"),
    # Everything in any order.
    ("a charge may exceed the limit", "ledger/mod.rs",
     ".filter(|new| new.charged() <= limit)", ".filter(|new| new.charged() <= limit.saturating_mul(2))",
     "interplay", "any_order_of_everything_leaves_nothing_over"),
    ("an arena keeps a chunk", "tenant/arena/chunks.rs",
     "self.for_each_chunk(|chunk| unsafe { self.give(chunk) });", "self.for_each_chunk(|chunk| unsafe { if !self.chunk.get().is_some_and(|first| first != chunk) { self.give(chunk) } });",
     "interplay", "any_order_of_everything_leaves_nothing_over"),
    ("what was promised to who has retired stays promised", "tenant/registry.rs",
     "        registry.book(pool.account.group(), pool.account.reservation(), 0);\n", "",
     "interplay", "any_order_of_everything_leaves_nothing_over"),
    ("what is reserved already counts twice", "tenant/registry/groups.rs",
     "let free = lendable.saturating_sub(all - before);", "let free = lendable.saturating_sub(all);",
     "interplay", "any_order_of_everything_leaves_nothing_over"),
    ("a group's limit does not bind", "ledger/group.rs",
     ".filter(|new| new.charged() <= self.limit());", ".filter(|new| new.charged() <= self.limit().saturating_mul(2));",
     "interplay", "any_order_of_everything_leaves_nothing_over"),
    ("a peak is forgotten", "ledger/mod.rs",
     "        account.note_peak();\n        account.count_emptied(pages);", "        account.count_emptied(pages);",
     "interplay", "any_order_of_everything_leaves_nothing_over"),
    ("a parked cache serves whoever has the number next", "cache/thread.rs",
     "if cache.tag() == tag && pool.is_live(tag) {", "if cache.tag().id() == tag.id() && pool.is_live(tag) {",
     "interplay", "any_order_of_everything_leaves_nothing_over"),
    # Rounds: for whom, and for how long.
    ("what can never be had binds everybody", "ledger/published.rs",
     "if !self.can_ever(account, pages) || ", "if ",
     "rounds", "what_can_never_be_had_binds_nobody"),
    ("one's own limit binds everybody", "ledger/published.rs",
     " || charged + pages > account.limit()", "",
     "--lib", "ledger::tests::what_ones_own_limit_forbids_is_nobody_elses_matter"),
    ("who drains takes of what its group gets", "rebalance/solver/contract.rs",
     "if self.weight == 0 { self.reservation } else { self.limit }", "self.limit",
     "--lib", "rebalance::solver::tests::laws::conserved_and_bounded_at_both_levels"),
    ("less than a page a round is nothing", "rebalance/solver/member.rs",
     "self.churn.rate_of(held, settings.interval),", "self.churn.rate_of(held, settings.interval) / 10 * 10,",
     "--lib", "rebalance::solver::tests::rounds::many_who_give_back_little_give_back_much_in_all"),
    ("anybody's reservation ends the wait of another", "ledger/waiting.rs",
     "if self.waiting.who.load(Ordering::Relaxed) == who.number(pages) {", "if who.number(pages) > 0 {",
     "rounds", "small_reservations_do_not_starve_a_large_one"),
    ("who waits is forgotten after a second", "rebalance/known.rs",
     "told => PATIENCE.max(told + solver.settings.interval),", "_ => PATIENCE,",
     "rounds", "who_asks_again_when_he_was_told_to_is_served"),
    ("who unsubscribes stays unresponsive", "rebalance/asking.rs",
     "self.asked.retain(|tenant, _| self.subscribers.has(*tenant));", "self.asked.retain(|tenant, _| tenant.index() > 0);",
     "rounds", "who_unsubscribes_has_nothing_to_answer_for"),
    ("idle members of a full group are not asked", "rebalance/asking.rs",
     "report.level > Pressure::None || debt > 0 || self.is_group_looked_at()", "report.level > Pressure::None || debt > 0",
     "rounds", "an_idle_sibling_is_asked_when_its_group_is_full"),
    ("a weight that is set takes urgency away", "rebalance/control.rs",
     "        solver.found_claim(id, account.claim());\n", "",
     "rounds", "urgency_outlives_a_weight_that_is_set_again"),
    ("a group leaves its level to the next", "rebalance/known.rs",
     "world.ledger().publish_level(number, Level::UNLIMITED);", "let _ = Level::UNLIMITED;",
     "rounds", "a_group_that_goes_takes_all_that_is_known_of_it_along"),
    ("members of a group keep what is protected beyond its limit", "tenant/registry/groups.rs",
     "if account.room() < 0 {", "if account.room() < i64::MIN + 1 {",
     "rounds", "a_group_keeps_to_a_lower_limit_at_once"),
    ("a refusal alarms nobody", "ledger/published.rs",
     "        self.dirty.mark(account.id());\n        self.alarm();\n    }", "        self.dirty.mark(account.id());\n    }",
     "sharing", "a_refusal_wakes_it"),
    ("who sleeps is not woken", "base/waker.rs",
     "            sleep::wake_one(&self.0);", "            let _asleep = sleep::wake_one;",
     "--lib", "base::waker::tests::there_is_one_thread_at_a_time_and_an_alarm_ends_its_sleep"),
    ("entitlements do not begin with what is reserved", "rebalance/solver/contract.rs",
     "let floor = self.reservation.max(reserved).min(MOST);", "let floor = (self.reservation.max(reserved) / 2).min(MOST);",
     "--lib", "rebalance::solver::tests::storms::policy_proof"),
    ("some of what is freed is lost", "ledger/mod.rs",
     "Ok(()) => return self.give(group, old.claim() - new.claim()),", "Ok(()) => return self.give(group, (old.claim() - new.claim()) & !1),",
     "--lib", "fuzzing::tests::the_heap_does_what_a_list_of_blocks_says"),
    ("callbacks are in the caller's tenant", "rebalance/subscriptions.rs",
     "caught(|| tenant::in_root(|| callback(&call.event)))", "caught(|| callback(&call.event))",
     "sharing", "callbacks_are_in_root_whoever_calls_them_and_whatever_the_one_before_left"),
    ("what is kept for a group pays what is owed to others", "ledger/mod.rs",
     "Ok(if is_lender { pages.min(owed) } else { 0 })", "Ok(if is_lender { more.min(owed).max(pages.min(owed)) } else { 0 })",
     "--lib", "ledger::tests::properties::what_is_kept_for_a_group_pays_nothing_that_is_owed"),
    # What runs beside the path: who is told, and who is told once.
    ("overdraft alarms nobody", "ledger/overdraft.rs",
     "self.dirty.mark(account.id()); self.alarm();", "self.dirty.mark(account.id());",
     "rounds", "overdraft_wakes_it"),
    ("a level that is reached alarms nobody", "ledger/mod.rs",
     "if left.unsigned_abs() < self.watermark.load(Ordering::Relaxed) {", "if left.unsigned_abs() > u64::MAX - 1 {",
     "rounds", "a_surplus_below_the_mark_of_a_level_wakes_it"),
    ("the rebalancer's thread handles signals", "rebalance/driver.rs",
     "let signals = os::block_all_signals();", "let signals = ();",
     "rounds", "its_thread_blocks_all_signals"),
    ("what cannot be is not told", "rebalance/guarded.rs",
     "self.tell_unless(is_possible(&estimate));", "self.tell_unless(is_possible(&estimate) || true);",
     "sharing", "a_policy_that_answers_what_cannot_be_is_told_of_once"),
    ("what the kernel would not take counts as zero", "span/purge.rs",
     "unsafe { self.os.purge(base, SEGMENT) }", "unsafe { self.os.purge(base, SEGMENT) || true }",
     "isolation", "spans_that_go_back_and_forth_show_nothing"),
    ("what is protected is refused while there is no surplus", "ledger/mod.rs",
     "let more = new.claim() - old.claim(); let paid", "let more = new.charged() - old.charged(); let paid",
     "never_refused", "nothing_within_what_is_protected_is_refused"),
    ("an allowance goes by what is left of a weight", "ledger/level.rs",
     "let pages = (u128::from(level) * u128::from(claim)) >> Self::FRACTION;",
     "let pages = u128::from(level) / u128::from(claim.max(1)) >> (Self::FRACTION - 4);",
     "--lib", "rebalance::solver::tests::laws::monotone_in_what_is_allowed"),
]

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WORK = os.environ.get("WORK") or tempfile.mkdtemp(prefix="tenancy-mutations-")
SECONDS = int(os.environ.get("SECONDS_EACH", "180"))


def copy_tree():
    """Copies what a build of the tests needs: once whole, then `src/` before each mutation."""
    tree = os.path.join(WORK, "tree")
    shutil.rmtree(tree, ignore_errors=True)
    skipped = shutil.ignore_patterns(".git", "target", "results", "third_party", "fuzz")
    shutil.copytree(ROOT, tree, ignore=skipped)
    shutil.copytree(os.path.join(tree, "src"), os.path.join(WORK, "src"), dirs_exist_ok=True)
    return tree


def run(tree, binary, test):
    """'passes', 'fails', 'hangs', or 'does not compile'."""
    environment = dict(os.environ, CARGO_TARGET_DIR=os.path.join(WORK, "target"), RUSTFLAGS="--cap-lints warn")
    cargo = ["cargo", "test", "--release", "--quiet", "-j1"]
    cargo += ["--lib"] if binary == "--lib" else ["--test", binary]
    built = subprocess.run(cargo + ["--no-run"], cwd=tree, env=environment, capture_output=True, text=True)
    if built.returncode != 0:
        return "does not compile", built.stderr
    ran = subprocess.Popen(cargo + ["--", "--exact", test], cwd=tree, env=environment, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        said, _ = ran.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(ran.pid, 9)
        said, _ = ran.communicate()
        return "hangs", said
    if ran.returncode != 0:
        return "fails", said
    if not re.search(r"[1-9]\d* passed", said):
        return "does not exist", said
    return "passes", said


def pattern(text):
    """The text, however its lines are broken."""
    return re.compile(r"\s+".join(re.escape(word) for word in text.split()))


def mutate(tree, file, text, replacement):
    source = os.path.join(WORK, "src", file)
    with open(source) as opened:
        original = opened.read()
    mutated, count = pattern(text).subn(lambda _: replacement, original)
    if count != 1:
        return f"text found {count} times in src/{file}"
    with open(os.path.join(tree, "src", file), "w") as opened:
        opened.write(mutated)
    return None


def restore(tree, file):
    shutil.copy(os.path.join(WORK, "src", file), os.path.join(tree, "src", file))
    os.utime(os.path.join(tree, "src", file))


def check():
    """Whether every text is in the source and every test is there, without building anything."""
    missing = 0
    for name, file, text, _, binary, test in MUTATIONS:
        with open(os.path.join(ROOT, "src", file)) as opened:
            count = len(pattern(text).findall(opened.read()))
        places = ["src"] if binary == "--lib" else [f"tests/{binary}.rs", f"tests/{binary}"]
        named = f"fn {test.rsplit('::', 1)[-1]}("
        found = any(named in source for place in places for source in sources(os.path.join(ROOT, place)))
        if count != 1 or not found:
            missing += 1
            print(f"STALE     {name}: text found {count} times in src/{file}, {binary}::{test} {'is there' if found else 'is missing'}")
    print(f"{len(MUTATIONS)} bugs to plant, {missing} stale")
    return 1 if missing else 0


def sources(place):
    """The text of a file, or of every Rust file in a directory."""
    files = [os.path.join(folder, file) for folder, _, files in os.walk(place) for file in files]
    for file in files or [place]:
        if file.endswith(".rs") and os.path.exists(file):
            with open(file) as opened:
                yield opened.read()


def main():
    words = sys.argv[1:]
    if words == ["--check"]:
        return check()
    chosen = [m for m in MUTATIONS if not words or any(word in m[0] for word in words)]
    tree = copy_tree()
    bad = 0
    for binary, test in sorted({(m[4], m[5]) for m in chosen}):
        verdict, said = run(tree, binary, test)
        if verdict != "passes":
            print(f"WITHOUT A BUG  {binary}::{test} {verdict}\n{said[-2000:]}", flush=True)
            bad += 1
    for name, file, text, replacement, binary, test in chosen:
        verdict = mutate(tree, file, text, replacement)
        if verdict is None:
            verdict, said = run(tree, binary, test)
            if verdict == "does not compile":
                print(said[-3000:])
        restore(tree, file)
        caught = verdict in ("fails", "hangs")
        bad += not caught
        print(f"{'caught  ' if caught else 'SURVIVED'}  {name}: {binary}::{test} {verdict}", flush=True)
    print(f"{len(chosen)} bugs planted, {bad} not caught")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
