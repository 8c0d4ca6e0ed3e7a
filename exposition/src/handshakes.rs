//! The end of a listener that resets nobody.

use socket2::{SockFilter, SockRef};
use std::io;
use std::os::fd::AsFd;

/// Makes the kernel drop whatever begins a handshake with this listener. Those that have begun still come to their end,
/// and what is queued is still accepted. Who is dropped tries again a second later, and finds whoever listens then.
///
/// # Errors
/// The system does not allow it.
pub fn begin_no_handshake(listener: &impl AsFd) -> io::Result<()> {
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
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let address = listener.local_addr().unwrap();
            let mut before = TcpStream::connect(address).unwrap();
            begin_no_handshake(&listener).unwrap();
            let most = Duration::from_millis(50);
            let late = TcpStream::connect_timeout(&address, most).unwrap_err();
            assert_eq!(late.kind(), io::ErrorKind::TimedOut);
            let (mut server, _) = listener.accept().unwrap();
            drop(listener);
            before.write_all(b"asked").unwrap();
            server.read_exact(&mut [0; 5]).unwrap();
            server.write_all(b"answered").unwrap();
            before.read_exact(&mut [0; 8]).unwrap();
        }
    }
}
