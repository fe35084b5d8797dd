//! The guest's allocator: an arena inside the initial memory, then memory.grow.
//!
//! Each attempt runs in a fresh instance, so what an instance costs is paid for
//! every job. A small job allocates some dozens of small blocks, and its instance
//! is thrown away soon after the last of them is freed: for it the allocator
//! takes block after block from an arena, and gets back the last one only. The
//! arena is part of the memory an instance starts with, since `memory.grow` is
//! the dearest part of a small job: the host changes page protections for it, and
//! again when it takes the memory back.
//!
//! What does not fit goes to talc, on grown pages: a handler that allocates and
//! frees for long loses no more than the arena.
//!
//! All `unsafe` of this crate is here: an allocator deals in raw memory.
#![allow(
    unsafe_code,
    reason = "an allocator hands out raw memory; see each block"
)]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
#[cfg(target_arch = "wasm32")]
pub(crate) use grown::Grown;

/// What a job may allocate before memory grows. Most jobs need less than a KiB;
/// what the arena leaves of two pages beside the stack (64 KiB) is for static data
/// (15 KiB in a small handler), so that few handlers need a third page, which the
/// host would have to clear after each job.
///
/// Not the memory between `__heap_base` and the end of a page, though that would
/// cost nothing: a libc's `malloc` takes it for its own.
const ARENA: usize = 16 * 1024;

/// Serves from an arena while it lasts, and from `rest` what does not fit.
struct ArenaThen<R> {
    /// The arena's first byte. Pointers into the arena derive from this one.
    start: *mut u8,
    /// How many of its bytes are taken.
    used: Cell<usize>,
    rest: R,
}

#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: ArenaThen<Grown> = {
    use core::mem::MaybeUninit;

    static mut MEMORY: [MaybeUninit<u8>; ARENA] = [MaybeUninit::uninit(); ARENA];
    ArenaThen {
        start: (&raw mut MEMORY).cast(),
        used: Cell::new(0),
        rest: grown::new(),
    }
};

// SAFETY: a WebAssembly instance without atomics has one thread; `grown::new` does
// not compile for others. Tests keep an allocator to their own thread.
unsafe impl<R> Sync for ArenaThen<R> {}

impl<R> ArenaThen<R> {
    /// How far into the arena a block begins, if it lies there.
    fn offset(&self, block: *mut u8) -> Option<usize> {
        let offset = block.addr().wrapping_sub(self.start.addr());
        (offset < ARENA).then_some(offset)
    }
}

// SAFETY: a block in the arena begins at or after the end of all blocks taken
// before, is aligned, and ends within the arena; `used` moves back only to the
// beginning of the last one when that is freed. All other blocks are those of
// `rest`, which gets back what it gave: its memory is apart from the arena.
// Nothing here panics or allocates.
unsafe impl<R: GlobalAlloc> GlobalAlloc for ArenaThen<R> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let free = self.start.addr() + self.used.get();
        let offset = free.wrapping_add(layout.align() - 1) & !(layout.align() - 1);
        let offset = offset.wrapping_sub(self.start.addr());
        if offset <= ARENA && layout.size() <= ARENA - offset {
            self.used.set(offset + layout.size());
            return self.start.wrapping_add(offset);
        }
        // SAFETY: the caller's promises about `layout`.
        unsafe { self.rest.alloc(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match self.offset(block) {
            Some(offset) if offset + layout.size() == self.used.get() => self.used.set(offset),
            Some(_) => {}
            // SAFETY: not in the arena, so it came from `rest`.
            None => unsafe { self.rest.dealloc(block, layout) },
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(offset) = self.offset(block) else {
            // SAFETY: not in the arena, so it came from `rest`.
            return unsafe { self.rest.realloc(block, layout, size) };
        };
        if offset + layout.size() == self.used.get() && size <= ARENA - offset {
            self.used.set(offset + size);
            return block;
        }
        if size <= layout.size() {
            return block;
        }
        // SAFETY: the caller promises that `size` makes a layout with this
        // alignment. The new block is apart from the old one, which is still
        // taken, and longer.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(block, layout.size());
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

/// talc on memory that the instance did not start with.
#[cfg(target_arch = "wasm32")]
mod grown {
    use core::alloc::Layout;
    use core::arch::wasm32::{memory_grow, memory_size};
    use core::ptr::NonNull;

    use talc::base::{CHUNK_UNIT, Talc, binning::Binning};
    use talc::cell::TalcSyncCell;
    use talc::source::Source;
    use talc::wasm::WasmBinning;

    /// A WebAssembly page.
    const PAGE: usize = 64 * 1024;

    pub(crate) type Grown = TalcSyncCell<Pages, WasmBinning>;

    pub(super) const fn new() -> Grown {
        TalcSyncCell::new_wasm(Pages { end: None })
    }

    /// Where talc gets memory from when it has none left.
    #[derive(Debug)]
    pub(crate) struct Pages {
        /// The end of the heap made of grown pages, which the next pages extend.
        end: Option<NonNull<u8>>,
    }

    // SAFETY: `acquire` allocates nothing and touches the allocator only through
    // the reference it is given.
    unsafe impl Source for Pages {
        fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
            let (base, bytes) = grow(layout).ok_or(())?;
            talc.source.end = match talc.source.end {
                Some(end) if end.as_ptr() == base => {
                    // SAFETY: the new pages begin where this heap ends, and belong
                    // to nobody else: whoever grows the memory owns the growth.
                    Some(unsafe { talc.extend(end, base.wrapping_add(bytes)) })
                }
                // SAFETY: as above; these pages begin a heap.
                _ => unsafe { talc.claim(base, bytes) },
            };
            talc.source.end.map(drop).ok_or(())
        }
    }

    /// Grows the memory so that `layout` fits, by a quarter of its size if the
    /// limits allow, since growing page by page is slow: answers where the new
    /// pages begin and their bytes.
    fn grow(layout: Layout) -> Option<(*mut u8, usize)> {
        // talc's own bookkeeping takes up to two chunks of a new heap.
        let needed = layout
            .size()
            .checked_add(layout.align())?
            .checked_add(4 * CHUNK_UNIT)?
            .div_ceil(PAGE);
        let generous = needed.max(memory_size::<0>() / 4);
        [generous, needed].into_iter().find_map(|pages| {
            let first = memory_grow::<0>(pages);
            (first != usize::MAX).then_some(((first * PAGE) as *mut u8, pages * PAGE))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::System;

    use super::*;

    /// The system's allocator, counting what it has given and not got back.
    #[derive(Default)]
    struct Counted {
        live: Cell<usize>,
        peak: Cell<usize>,
    }

    impl Counted {
        fn count(&self, live: usize) {
            self.live.set(live);
            self.peak.set(self.peak.get().max(live));
        }
    }

    // SAFETY: the system's allocator does all the work.
    unsafe impl GlobalAlloc for Counted {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            self.count(self.live.get() + layout.size());
            // SAFETY: the caller's promises.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            self.count(self.live.get() - layout.size());
            // SAFETY: the caller's promises.
            unsafe { System.dealloc(block, layout) }
        }
    }

    fn with_arena(test: impl FnOnce(&ArenaThen<Counted>)) {
        let mut memory = vec![0u64; ARENA / 8];
        test(&ArenaThen {
            start: memory.as_mut_ptr().cast(),
            used: Cell::new(0),
            rest: Counted::default(),
        });
    }

    /// A block filled with one byte, which nobody else may change.
    struct Block {
        at: *mut u8,
        layout: Layout,
        filling: u8,
    }

    impl Block {
        fn new(allocator: &ArenaThen<Counted>, layout: Layout, filling: u8) -> Self {
            // SAFETY: no layout here is empty; the block is as long as it says.
            let at = unsafe {
                let at = allocator.alloc(layout);
                at.write_bytes(filling, layout.size());
                at
            };
            assert_eq!(at.addr() % layout.align(), 0);
            Block {
                at,
                layout,
                filling,
            }
        }

        fn check(&self, size: usize) {
            // SAFETY: `size` is at most that of the block, all of which is written.
            let content = unsafe { std::slice::from_raw_parts(self.at, size) };
            assert!(content.iter().all(|&byte| byte == self.filling));
        }

        fn resize(&mut self, allocator: &ArenaThen<Counted>, size: usize) {
            // SAFETY: the block is the allocator's; `size` is small and not 0.
            self.at = unsafe { allocator.realloc(self.at, self.layout, size) };
            self.check(size.min(self.layout.size()));
            // SAFETY: the block is as long as it was asked to be.
            unsafe { self.at.write_bytes(self.filling, size) };
            self.layout = Layout::from_size_align(size, self.layout.align()).unwrap();
        }

        fn free(self, allocator: &ArenaThen<Counted>) {
            self.check(self.layout.size());
            // SAFETY: the block is the allocator's, and nobody's from now on.
            unsafe { allocator.dealloc(self.at, self.layout) }
        }
    }

    #[test]
    fn small_jobs_stay_in_the_arena() {
        with_arena(|allocator| {
            let layout = Layout::from_size_align(100, 4).unwrap();
            let kept = Block::new(allocator, layout, 1);
            // The last block grows where it is, and its memory is used again.
            for _ in 0..10_000 {
                let mut last = Block::new(allocator, layout, 2);
                let at = last.at;
                last.resize(allocator, 4000);
                assert_eq!(last.at, at);
                last.free(allocator);
            }
            kept.free(allocator);
            assert_eq!(allocator.used.get(), 0);
            assert_eq!(allocator.rest.peak.get(), 0);
        });
    }

    #[test]
    fn a_full_arena_leaves_the_rest_of_a_long_job_to_a_real_allocator() {
        with_arena(|allocator| {
            let mut random = 1u32;
            let mut below = |limit: usize| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (random >> 8) as usize % limit
            };
            let mut blocks: Vec<Block> = Vec::new();
            let mut most = 0;
            for step in 0..50_000 {
                match below(3) {
                    0 if !blocks.is_empty() => {
                        blocks.swap_remove(below(blocks.len())).free(allocator);
                    }
                    1 if !blocks.is_empty() => {
                        let chosen = below(blocks.len());
                        blocks[chosen].resize(allocator, 1 + below(3000));
                    }
                    _ if blocks.len() < 100 => {
                        let layout = Layout::from_size_align(1 + below(3000), 1 << below(7));
                        blocks.push(Block::new(allocator, layout.unwrap(), step as u8));
                    }
                    _ => {}
                }
                let live = blocks.iter().map(|block| block.layout.size()).sum();
                most = most.max(live);
            }
            blocks.drain(..).for_each(|block| block.free(allocator));
            assert_eq!(allocator.rest.live.get(), 0);
            // While a block moves it is there twice.
            let peak = allocator.rest.peak.get();
            assert!(
                (most - ARENA..=most + 3000).contains(&peak),
                "{peak} of {most}"
            );
        });
    }

    #[test]
    fn what_cannot_fit_is_refused_or_left_to_the_rest() {
        with_arena(|allocator| {
            let whole = Layout::from_size_align(ARENA, 8).unwrap();
            let block = Block::new(allocator, whole, 3);
            assert_eq!(allocator.offset(block.at), Some(0));
            let one = Block::new(allocator, Layout::new::<u8>(), 4);
            assert_eq!(allocator.offset(one.at), None);
            one.free(allocator);
            block.free(allocator);
            let huge = Layout::from_size_align(isize::MAX as usize - 4095, 4096).unwrap();
            // SAFETY: the layout is not empty.
            assert!(unsafe { allocator.alloc(huge) }.is_null());
        });
    }
}
