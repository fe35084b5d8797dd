//! The guest's allocator: an arena inside the initial memory, then memory.grow.
//!
//! Each attempt runs in a fresh instance, so what an instance costs is paid for
//! every job. std's allocator asks for a page with its first allocation, and
//! that `memory.grow` was measured to be the dearest part of a small job: the
//! host changes page protections for it, and again when it takes the memory
//! back. The arena is part of the memory an instance starts with, so that small
//! jobs never grow it; larger ones go on with fresh pages.
//!
//! All `unsafe` of this crate is here: an allocator deals in raw memory.
#![allow(
    unsafe_code,
    reason = "an allocator hands out raw memory; see each block"
)]

use core::alloc::Layout;
use core::arch::wasm32::{memory_grow, memory_size};
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use talc::base::{CHUNK_UNIT, Talc, binning::Binning};
use talc::cell::TalcSyncCell;
use talc::source::Source;
use talc::wasm::WasmBinning;

/// A WebAssembly page.
const PAGE: usize = 64 * 1024;

/// What a job may allocate before memory grows. Together with the stack (96 KiB)
/// and static data (30 KiB in a small handler) it makes three pages; all must stay
/// below the 256 KiB that the host keeps resident for each instance.
const ARENA: usize = 48 * 1024;

static mut MEMORY: [MaybeUninit<u8>; ARENA] = [MaybeUninit::uninit(); ARENA];

#[global_allocator]
static ALLOCATOR: TalcSyncCell<ArenaThenGrow, WasmBinning> =
    TalcSyncCell::new_wasm(ArenaThenGrow {
        arena_claimed: false,
        end: None,
    });

/// Where the allocator gets memory from when it has none left.
#[derive(Debug)]
struct ArenaThenGrow {
    arena_claimed: bool,
    /// The end of the heap made of grown pages, which the next pages extend.
    end: Option<NonNull<u8>>,
}

// SAFETY: `acquire` allocates nothing and touches the allocator only through
// the reference it is given.
unsafe impl Source for ArenaThenGrow {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        if !talc.source.arena_claimed {
            talc.source.arena_claimed = true;
            // SAFETY: nothing else names `MEMORY`, and it is claimed once.
            // Should the arena be too small for `layout`, talc asks again.
            return unsafe { talc.claim((&raw mut MEMORY).cast(), ARENA) }
                .map(drop)
                .ok_or(());
        }
        let (base, bytes) = grow(layout).ok_or(())?;
        talc.source.end = match talc.source.end {
            Some(end) if end.as_ptr() == base => {
                // SAFETY: the new pages begin where this heap ends, and belong
                // to nobody else: only this allocator grows the memory.
                Some(unsafe { talc.extend(end, base.wrapping_add(bytes)) })
            }
            // SAFETY: as above; these pages begin a heap.
            _ => unsafe { talc.claim(base, bytes) },
        };
        talc.source.end.map(drop).ok_or(())
    }
}

/// Grows the memory so that `layout` fits, by a quarter of its size if the
/// limits allow, since growing page by page is slow: answers where the new pages
/// begin and their bytes.
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
