//! A hit allocates nothing: counted by the allocator itself, in a program of its own.
#![allow(unsafe_code)]

use benches::{Answerer, bare, browser, forwarded, set};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

/// The system's, and a count of what each thread asks of it.
struct CountingAllocator;

// SAFETY: everything is handed on to `System` as it came. The count is a `Cell` of the thread without a destructor, so
// it neither allocates nor is ever gone. Tested below: an allocation is counted.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: as the caller promised us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: as the caller promised us.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn calls(work: impl FnOnce()) -> u32 {
    let before = CALLS.get();
    work();
    CALLS.get() - before
}

/// Its name, the head with a number, and the hits in it.
type HeadKind<'a> = (&'a str, &'a dyn Fn(u32) -> Vec<u8>, u32);

#[test]
fn ten_thousand_hits_allocate_nothing() {
    let set = set(10_000);
    let with_id = |number| {
        let text = String::from_utf8(browser(number)).unwrap();
        text.replace("Connection: keep-alive", "X-Request-Id: 0123456789abcdef").into_bytes()
    };
    let pipelined = |number: u32| (0..16).flat_map(|at| bare((number * 16 + at) % 10_000)).collect();
    let kinds: [HeadKind<'_>; 5] = [
        ("bare", &bare, 1),
        ("browser", &browser, 1),
        ("forwarded", &forwarded, 1),
        ("with an id", &with_id, 1),
        ("pipelined", &pipelined, 16),
    ];
    for ((kind, head, hits), noting) in kinds.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        let heads: Vec<_> = (0..10_000 / hits).map(head).collect();
        let mut asking = if noting { Answerer::noting() } else { Answerer::default() };
        let mut bytes = 0;
        let calls = calls(|| bytes = heads.iter().map(|head| asking.answer(&set, head).len()).sum());
        assert_eq!((calls, asking.lost().unwrap_or(0)), (0, 0), "{kind}, noting: {noting}");
        let counted = asking.counts.get(hot::Outcome::Redirect);
        assert_eq!(counted, 10_000, "{kind}: all were hits");
        assert!(bytes > 10_000 * 200, "{kind}: all were answered");
    }
}

#[test]
fn an_allocation_is_counted() {
    assert_eq!(calls(|| drop(std::hint::black_box(Box::new(1)))), 2);
}
