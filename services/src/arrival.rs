//! Timing a server from a core that others use too: when the kernel took an answer in, and a thread that goes first on its
//! core. The only `unsafe` of this crate.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What [`receive`] took from a socket.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Bytes; 0 at the end of the stream.
    pub count: usize,
    /// When the kernel took in the last of them. `None` at the end, and on a socket that stamps nothing.
    pub at: Option<SystemTime>,
}

/// From now on [`receive`] says when bytes arrived. Over loopback the stamp is made on the core of whoever sends, so that
/// neither a receiver that wakes late nor what keeps it from its core is in it.
///
/// # Errors
/// It is no socket.
pub fn stamp_arrivals(socket: &impl AsRawFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    let (value, size) = ((&raw const on).cast(), size_of_val(&on) as libc::socklen_t);
    // SAFETY: the kernel only reads `on`, of whose size it is told, during the call.
    let done =
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, value, size) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// As `Read::read` of a socket, with the time of arrival.
///
/// # Errors
/// As `Read::read`.
pub fn receive(socket: &impl AsRawFd, into: &mut [u8]) -> io::Result<Received> {
    let mut part = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let mut room = [0u64; 8]; // as headers of control messages have to be aligned
    // SAFETY: `message` is plain numbers and pointers, zero is a valid value of each; it leads to `part`, hence to `into`, and to
    // `room`, with their sizes, and all three are there until the last use of it.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        message.msg_control = room.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&room) as _;
        let count = libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0);
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        Ok(Received { count, at: stamp(&message) })
    }
}

/// The stamp among the control messages of a received message.
///
/// # Safety
/// The kernel has filled `message`, and what it leads to is still there.
unsafe fn stamp(message: &libc::msghdr) -> Option<SystemTime> {
    // SAFETY: the macros stay within the bytes that the kernel says it has written, and a stamp is a `timespec`.
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(message);
        while let Some(header) = next.as_ref() {
            if (header.cmsg_level, header.cmsg_type) == (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS) {
                let time: libc::timespec = libc::CMSG_DATA(header).cast::<libc::timespec>().read_unaligned();
                return Some(UNIX_EPOCH + Duration::new(time.tv_sec as u64, time.tv_nsec as u32));
            }
            next = libc::CMSG_NXTHDR(message, header);
        }
    }
    None
}

/// The calling thread runs as soon as it has something to do, whatever else is on its core, and until it sleeps. What it starts
/// does not, not even another thread. `false` when the system does not let us, as for all but root.
pub fn go_first() -> bool {
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: the kernel only reads `priority` during the call; 0 is the calling thread.
    unsafe {
        libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const priority) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn what_is_read_late_has_arrived_when_it_came() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        stamp_arrivals(&near).unwrap();
        let (mut bytes, late) = ([0; 16], Duration::from_millis(50));
        // The kernel begins to stamp a moment after it is asked to.
        let until = SystemTime::now() + Duration::from_secs(60);
        loop {
            let sent = SystemTime::now();
            far.write_all(b"answer").unwrap();
            std::thread::sleep(late);
            let received = receive(&near, &mut bytes).unwrap();
            assert_eq!(&bytes[..received.count], b"answer");
            let took = received.at.and_then(|at| at.duration_since(sent).ok());
            if took.is_some_and(|took| took < late / 2) {
                break;
            }
            assert!(SystemTime::now() < until, "{received:?}");
        }
        drop(far);
        let end = receive(&near, &mut bytes).unwrap();
        assert_eq!((end.count, end.at), (0, None));
    }

    #[test]
    fn a_socket_that_nobody_asked_stamps_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        far.write_all(b"x").unwrap();
        let received = receive(&near, &mut [0; 4]).unwrap();
        assert_eq!((received.count, received.at), (1, None));
        near.set_nonblocking(true).unwrap();
        assert_eq!(receive(&near, &mut [0; 4]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_thread_goes_first_where_it_may() {
        let policy = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            stat.rsplit(')').next().unwrap().split_whitespace().nth(38).map(str::to_owned)
        };
        let went = std::thread::spawn(move || {
            let may = go_first();
            (may, policy().as_deref() == Some("1"), std::thread::spawn(policy).join().unwrap())
        });
        let (may, first, child) = went.join().unwrap();
        assert_eq!(may, first);
        assert_eq!(child.as_deref(), Some("0"), "what it starts goes last");
    }
}
