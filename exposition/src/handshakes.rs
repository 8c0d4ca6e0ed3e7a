//! The end of a listener that resets nobody. The only `unsafe` of this crate: two options of sockets that no library here sets.
#![allow(unsafe_code)]

use socket2::{Domain, SockFilter, SockRef};
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// No packet of a network comes with more: each router takes one off. Linux sends with 64.
const MOST_TTL: libc::c_int = 255;

/// Makes the kernel drop whatever begins a handshake with this listener. Those that have begun still come to their end,
/// and what is queued is still accepted: call [`hear_again`] for each. Who is dropped tries again a second later, and finds whoever
/// listens then.
///
/// # Errors
/// The system does not allow it.
pub fn begin_no_handshake(listener: &impl AsFd) -> io::Result<()> {
    // Linux 6.18 wants CAP_NET_ADMIN for a filter on TCP; for the other way nobody has to be anything.
    drop_what_begins(listener).or_else(|_| hear_from(listener, MOST_TTL))
}

/// A connection that was accepted behind [`begin_no_handshake`] may have been made by a handshake that ended since, and has from
/// its listener what drops all that comes: not any more.
pub fn hear_again(accepted: &impl AsFd) {
    let _ = hear_from(accepted, 0); // one of a socket file has nothing of that kind
}

/// Drops packets that have come further than from next door, but those of handshakes that have begun (tcp_v4_rcv, tcp_v6_rcv).
fn hear_from(socket: &impl AsFd, least_ttl: libc::c_int) -> io::Result<()> {
    if SockRef::from(socket).domain()? == Domain::IPV6 {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT, least_ttl)?;
    }
    set(socket, libc::IPPROTO_IP, libc::IP_MINTTL, least_ttl)
}

fn set(socket: &impl AsFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let (fd, size) = (socket.as_fd().as_raw_fd(), size_of_val(&value) as libc::socklen_t);
    // SAFETY: the descriptor is borrowed for the call, and the kernel reads `size` bytes of `value`, which outlives it.
    let done = unsafe { libc::setsockopt(fd, level, option, (&raw const value).cast(), size) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn drop_what_begins(listener: &impl AsFd) -> io::Result<()> {
    // A filter of a listener is shown each packet from its TCP header on.
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    let all = u32::MAX;
    let filter = [
        SockFilter::new((libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16, 0, 0, FLAGS),
        SockFilter::new((libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16, 0, 1, SYN),
        SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0),
        SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, all),
    ];
    SockRef::from(listener).attach_filter(&filter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    #[test]
    fn a_listener_that_begins_no_handshake_keeps_what_it_has() {
        keeps_what_it_has(begin_no_handshake);
    }

    /// As it is for any user but root.
    #[test]
    fn without_a_filter_it_does_so_too() {
        keeps_what_it_has(|listener| hear_from(listener, MOST_TTL));
    }

    fn keeps_what_it_has(begin_no_handshake: impl Fn(&TcpListener) -> io::Result<()>) {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let address = listener.local_addr().unwrap();
            let mut before = TcpStream::connect(address).unwrap();
            begin_no_handshake(&listener).unwrap();
            let most = Duration::from_millis(50);
            let late = TcpStream::connect_timeout(&address, most).unwrap_err();
            assert_eq!(late.kind(), io::ErrorKind::TimedOut);
            let (mut server, _) = listener.accept().unwrap();
            // As one that came to its end later would have it.
            hear_from(&server, MOST_TTL).unwrap();
            hear_again(&server);
            drop(listener);
            before.write_all(b"asked").unwrap();
            server.read_exact(&mut [0; 5]).unwrap();
            server.write_all(b"answered").unwrap();
            before.read_exact(&mut [0; 8]).unwrap();
        }
    }
}
