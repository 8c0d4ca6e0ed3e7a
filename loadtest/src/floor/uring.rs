//! The floor on io_uring: multishot accept and receive, buffers that the kernel picks. The only ring of this program.
#![allow(unsafe_code)]

use super::{ANSWER, Faults, count};
use io_uring::types::{BufRingEntry, Fd};
use io_uring::{IoUring, cqueue, opcode, squeue};
use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU16, Ordering};

const BUFFERS: u16 = 1024;
const BUFFER_BYTES: usize = 4096;
const MOST_ANSWERS: usize = 256;
const ACCEPT: u64 = 1 << 60;
const RECEIVE: u64 = 2 << 60;
const SEND: u64 = 3 << 60;

pub(super) fn serve(listener: &TcpListener, mut faults: Faults) -> io::Result<()> {
    let mut ring: IoUring =
        IoUring::builder().setup_single_issuer().setup_defer_taskrun().setup_cqsize(8192).build(2048)?;
    let (mut buffers, close) = (Buffers::new(&ring)?, faults.floor.close);
    let answers = ANSWER.repeat(MOST_ANSWERS);
    push(&mut ring, &[opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).build().user_data(ACCEPT)])?;
    let receive = |fd: i32| opcode::RecvMulti::new(Fd(fd), 0).build().user_data(RECEIVE | fd as u64);
    loop {
        ring.submit_and_wait(1)?;
        let done: Vec<_> =
            ring.completion().map(|entry| (entry.user_data(), entry.result(), entry.flags())).collect();
        for (data, result, flags) in done {
            let fd = data as u32 as i32;
            match data >> 60 << 60 {
                ACCEPT if result >= 0 => {
                    // SAFETY: the descriptor was just accepted and is used nowhere else during this call.
                    let stream = unsafe { std::os::fd::BorrowedFd::borrow_raw(result) };
                    socket2::SockRef::from(&stream).set_tcp_nodelay(true)?;
                    push(&mut ring, &[receive(result)])?;
                }
                RECEIVE if result == -libc::ENOBUFS => push(&mut ring, &[receive(fd)])?,
                RECEIVE if result <= 0 => {
                    // SAFETY: the multishot receive of this descriptor has ended, and nothing else holds it.
                    drop(unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd) });
                }
                RECEIVE => {
                    let Some(buffer) = cqueue::buffer_select(flags) else { continue };
                    let asked = count(buffers.filled(buffer, result as usize)).min(MOST_ANSWERS);
                    buffers.give_back(buffer);
                    if asked > 0 {
                        faults.before(asked);
                        let length = (asked * ANSWER.len()) as u32;
                        let send = opcode::Send::new(Fd(fd), answers.as_ptr(), length);
                        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
                        let send = send.flags(flags).build().user_data(SEND);
                        if close {
                            // The receive sees the end, too, and closes the descriptor.
                            let end = opcode::Shutdown::new(Fd(fd), libc::SHUT_RDWR).build().user_data(SEND);
                            push(&mut ring, &[send.flags(squeue::Flags::IO_LINK), end])?;
                        } else {
                            push(&mut ring, &[send])?;
                        }
                    }
                    if !cqueue::more(flags) {
                        push(&mut ring, &[receive(fd)])?;
                    }
                }
                _ => {}
            }
        }
        buffers.publish();
    }
}

/// All of them or none at once: a chain must not be cut by a submission.
fn push(ring: &mut IoUring, entries: &[squeue::Entry]) -> io::Result<()> {
    // SAFETY: what the entries point to (the answers, the buffer ring) lives as long as the ring: `serve` never returns
    // while operations are under way but by an error that ends the process.
    while unsafe { ring.submission().push_multiple(entries) }.is_err() {
        ring.submit()?;
    }
    Ok(())
}

/// Buffers that the kernel takes from a shared ring.
struct Buffers {
    entries: *mut BufRingEntry,
    memory: *mut u8,
    tail: u16,
}

impl Buffers {
    fn new(ring: &IoUring) -> io::Result<Self> {
        let map = |bytes: usize| {
            // SAFETY: a fresh private mapping; the kernel aligns it to a page, as a buffer ring must be.
            let memory = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    bytes,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                    -1,
                    0,
                )
            };
            if memory == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(memory) }
        };
        let entries = map(usize::from(BUFFERS) * size_of::<BufRingEntry>())?.cast();
        let memory = map(usize::from(BUFFERS) * BUFFER_BYTES)?.cast();
        // SAFETY: `entries` is page-aligned, has room for that many entries, and is never unmapped.
        unsafe { ring.submitter().register_buf_ring(entries as u64, BUFFERS, 0)? };
        let mut buffers = Self { entries, memory, tail: 0 };
        (0..BUFFERS).for_each(|buffer| buffers.give_back(buffer));
        buffers.publish();
        Ok(buffers)
    }

    /// What the kernel put into this buffer.
    fn filled(&self, buffer: u16, length: usize) -> &[u8] {
        // SAFETY: the kernel gave this buffer to us with `length` (at most BUFFER_BYTES) bytes written, and does not
        // touch it again until `give_back`, which needs `&mut self`.
        unsafe { std::slice::from_raw_parts(self.memory.add(usize::from(buffer) * BUFFER_BYTES), length) }
    }

    fn give_back(&mut self, buffer: u16) {
        // SAFETY: the index is below BUFFERS; entries behind the published tail are ours to write.
        unsafe {
            let entry = &mut *self.entries.add(usize::from(self.tail & (BUFFERS - 1)));
            entry.set_addr(self.memory.add(usize::from(buffer) * BUFFER_BYTES) as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(buffer);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Lets the kernel see what was given back.
    fn publish(&self) {
        // SAFETY: the tail lies inside the first entry of the ring and is written by us alone; the kernel reads it.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}
