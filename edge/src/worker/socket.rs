//! A connection's socket: plain system calls where nothing has to be waited for, the driver where something has.

use super::task::yield_now;
use crate::sys;
use monoio::buf::{IoBufMut, Slice, SliceMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent};
use monoio::net::TcpStream;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::pin::pin;

/// Room for a request head, to begin with: a browser's takes about 700 bytes.
pub const FIRST_BUFFER_BYTES: usize = 2 * 1024;

/// Reads one after the other for which something was there already. Then others come first: a client that always sends
/// would have the worker for itself.
const MOST_WITHOUT_WAITING: u8 = 16;

/// See the module. Dropped, it is closed.
pub struct Socket {
    state: SocketState,
    /// The next wait for a first byte may be long: it holds no buffer, and costs one system call more.
    patient: bool,
    /// Reads since the last wait.
    without_waiting: u8,
}

enum SocketState {
    /// Not known to the driver: a connection for one request, which is most often here already, never has to be.
    New(std::net::TcpStream),
    Driven(TcpStream),
    /// The driver did not take it.
    Gone,
}

/// What became of a write.
pub struct Written {
    /// Whether the kernel has taken all of it.
    pub result: io::Result<()>,
    /// Bytes that it has taken, from the front.
    pub taken: usize,
}

impl Written {
    /// Nothing more than so many bytes can be written.
    pub fn failed(taken: usize, fault: impl Into<io::Error>) -> Self {
        Self { result: Err(fault.into()), taken }
    }
}

impl Socket {
    /// Of a connection just accepted, in blocking mode.
    pub fn new(stream: std::net::TcpStream) -> Self {
        Self { state: SocketState::New(stream), patient: true, without_waiting: 0 }
    }

    /// Reads behind what is there, into room for at most so many bytes in all. 0: nothing more comes.
    pub async fn read(&mut self, mut input: Vec<u8>, most: usize) -> (io::Result<usize>, Vec<u8>) {
        self.without_waiting += 1;
        if self.without_waiting > MOST_WITHOUT_WAITING {
            self.without_waiting = 0;
            // On io_uring whatever the driver does is waited for.
            match self.driven() {
                Ok(_) if monoio::utils::is_legacy() => yield_now().await,
                Ok(_) => {}
                Err(fault) => return (Err(fault), input),
            }
        }
        if let SocketState::New(stream) = &self.state {
            make_room(&mut input, most);
            match sys::receive_now(stream, &mut input) {
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => {}
                done => return (done, input),
            }
        }
        let patient = std::mem::take(&mut self.patient) && input.is_empty();
        let stream = match self.driven() {
            Ok(stream) => stream,
            Err(fault) => return (Err(fault), input),
        };
        if patient {
            input = Vec::new();
            loop {
                if let Err(fault) = stream.readable(false).await {
                    return (Err(fault), input);
                }
                make_room(&mut input, most);
                match sys::receive_now(stream, &mut input) {
                    Err(fault) if fault.kind() == ErrorKind::WouldBlock => {} // another's wake-up
                    done => return (done, input),
                }
            }
        }
        make_room(&mut input, most);
        let (start, end) = (input.len(), input.bytes_total());
        let mut waited = false;
        let (result, slice) = {
            let mut read = pin!(stream.read(SliceMut::new(input, start, end)));
            poll_fn(|context| {
                let polled = read.as_mut().poll(context);
                waited |= polled.is_pending();
                polled
            })
            .await
        };
        if waited {
            self.without_waiting = 0;
        }
        (result, slice.into_inner())
    }

    /// Writes all. `last`: the end goes out with these bytes in one packet: a connection for one request costs the
    /// kernel a fifth less.
    pub async fn write(&mut self, out: Vec<u8>, last: bool) -> (Written, Vec<u8>) {
        let written = self.write_all(out, last).await;
        if last {
            // At once: a close while something is unread is a reset, and what the kernel still keeps would be lost.
            let _ = self.end_writing();
        }
        written
    }

    async fn write_all(&mut self, mut out: Vec<u8>, last: bool) -> (Written, Vec<u8>) {
        let sent = match &self.state {
            SocketState::New(stream) => sys::send_now(stream, &out, last),
            SocketState::Driven(stream) if last => sys::send_now(stream, &out, last),
            _ => Ok(0),
        };
        let mut taken = match sent {
            Ok(sent) => sent,
            Err(fault) if fault.kind() == ErrorKind::WouldBlock => 0,
            Err(fault) => return (Written::failed(0, fault), out),
        };
        let whole = out.len();
        if taken < whole {
            let stream = match self.driven() {
                Ok(stream) => stream,
                Err(fault) => return (Written::failed(taken, fault), out),
            };
            while taken < whole {
                let (result, slice) = stream.write(Slice::new(out, taken, whole)).await;
                out = slice.into_inner();
                match result {
                    Ok(0) => return (Written::failed(taken, ErrorKind::WriteZero), out),
                    Ok(count) => taken += count,
                    Err(fault) if fault.kind() == ErrorKind::Interrupted => {}
                    Err(fault) => return (Written::failed(taken, fault), out),
                }
            }
        }
        (Written { result: Ok(()), taken }, out)
    }

    /// Sends what the kernel takes at once. What it does not take is not worth waiting for.
    pub fn say(&self, bytes: &[u8]) {
        let _ = self.open().map(|socket| sys::send_now(socket, bytes, false));
    }

    /// Nothing more is going to be written.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn end_writing(&self) -> io::Result<()> {
        sys::end_writing(self.open().ok_or(ErrorKind::NotConnected)?)
    }

    /// The last wait was long, and the next one may be.
    pub fn be_patient(&mut self) {
        self.patient = true;
    }

    /// More of what is read now is on its way: the client must not wait for the kernel's acknowledgement of this part.
    pub fn expect_more(&self) {
        if let Some(socket) = self.open() {
            sys::acknowledge(socket);
        }
    }

    fn open(&self) -> Option<&dyn AsRawFd> {
        match &self.state {
            SocketState::New(stream) => Some(stream),
            SocketState::Driven(stream) => Some(stream),
            SocketState::Gone => None,
        }
    }

    fn driven(&mut self) -> io::Result<&mut TcpStream> {
        if let SocketState::New(_) = self.state
            && let SocketState::New(stream) = std::mem::replace(&mut self.state, SocketState::Gone)
        {
            // epoll needs it; io_uring would return "nothing there" at once instead of waiting.
            if monoio::utils::is_legacy() {
                stream.set_nonblocking(true)?;
            }
            self.state = SocketState::Driven(TcpStream::from_std(stream)?);
        }
        match &mut self.state {
            SocketState::Driven(stream) => Ok(stream),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }
}

/// Twice as much as before when little is left, up to so many bytes in all.
fn make_room(buffer: &mut Vec<u8>, most: usize) {
    let (length, capacity) = (buffer.len(), buffer.capacity());
    if capacity - length < FIRST_BUFFER_BYTES / 4 {
        buffer.reserve_exact((capacity * 2).max(FIRST_BUFFER_BYTES).min(most) - length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};
    use std::cell::Cell;
    use std::io::{Read, Write};
    use std::net;
    use std::rc::Rc;
    use std::time::{Duration, Instant};

    fn on_both_drivers(test: impl AsyncFn()) {
        RuntimeBuilder::<LegacyDriver>::new().enable_timer().build().unwrap().block_on(test());
        match monoio::utils::detect_uring() {
            true => RuntimeBuilder::<IoUringDriver>::new().enable_timer().build().unwrap().block_on(test()),
            false => println!("SKIPPED: io_uring is not allowed here"),
        }
    }

    /// A client, and its connection to a listener as an edge has it.
    fn pair() -> (net::TcpStream, Socket) {
        let listener = crate::listen::listener("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let listener = net::TcpListener::from(listener);
        let client = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, Socket::new(listener.accept().unwrap().0))
    }

    async fn read(socket: &mut Socket) -> Vec<u8> {
        let (count, input) = socket.read(Vec::new(), 4096).await;
        assert_eq!(count.unwrap(), input.len());
        input
    }

    #[test]
    fn bytes_come_through_whenever_they_are_sent() {
        on_both_drivers(async || {
            let (mut client, mut socket) = pair();
            client.write_all(b"at once").unwrap();
            assert_eq!(read(&mut socket).await, b"at once");
            for patient in [true, false, true, true] {
                if patient {
                    socket.be_patient();
                }
                let mut later = client.try_clone().unwrap();
                monoio::spawn(async move {
                    monoio::time::sleep(Duration::from_millis(1)).await;
                    later.write_all(b"later").unwrap();
                });
                assert_eq!(read(&mut socket).await, b"later");
            }
            client.shutdown(net::Shutdown::Write).unwrap();
            socket.be_patient();
            assert_eq!(read(&mut socket).await, b"");
        });
    }

    #[test]
    fn a_client_that_always_sends_leaves_others_their_turn() {
        on_both_drivers(async || {
            for driven in [false, true] {
                let (mut client, mut socket) = pair();
                if driven {
                    socket.driven().unwrap();
                }
                client.write_all(&[b'x'; 1024]).unwrap();
                let other = Rc::new(Cell::new(false));
                let turn = Rc::clone(&other);
                drop(monoio::spawn(async move { turn.set(true) }));
                for _ in 0..=MOST_WITHOUT_WAITING + 1 {
                    assert_eq!(socket.read(Vec::new(), 8).await.0.unwrap(), 8);
                }
                assert!(other.get(), "driven: {driven}");
            }
        });
    }

    #[test]
    fn more_than_the_kernel_takes_at_once_is_written_whole() {
        on_both_drivers(async || {
            for last in [false, true] {
                let (mut client, mut socket) = pair();
                let reader = std::thread::spawn(move || {
                    let mut all = Vec::new();
                    client.read_to_end(&mut all).unwrap();
                    all.len()
                });
                let (written, _) = socket.write(vec![b'x'; 20 << 20], last).await;
                written.result.unwrap();
                assert_eq!(written.taken, 20 << 20);
                drop(socket);
                // On io_uring the driver closes it, in its next turn.
                monoio::time::sleep(Duration::from_millis(1)).await;
                assert_eq!(reader.join().unwrap(), 20 << 20);
            }
        });
    }

    #[test]
    fn a_client_that_goes_is_told_of_with_what_the_kernel_took() {
        on_both_drivers(async || {
            for last in [false, true] {
                let (mut client, mut socket) = pair();
                let reader = std::thread::spawn(move || {
                    client.read_exact(&mut vec![0; 1 << 20]).unwrap();
                    // With something unread: a reset.
                });
                let (written, out) = socket.write(vec![b'x'; 20 << 20], last).await;
                assert!(written.result.is_err(), "last: {last}");
                assert!((1 << 20..20 << 20).contains(&written.taken), "{}", written.taken);
                assert_eq!(out.len(), 20 << 20);
                reader.join().unwrap();
            }
        });
    }

    #[test]
    fn the_last_bytes_wait_for_the_end() {
        on_both_drivers(async || {
            // The kernel waits for the end for 200 ms: a machine that is as slow as that five times is out of order.
            let held = (0..5).any(|_| {
                let (mut client, socket) = pair();
                let SocketState::New(stream) = &socket.state else { unreachable!() };
                assert_eq!(sys::send_now(stream, b"bye", true).unwrap(), 3);
                client.set_nonblocking(true).unwrap();
                let early = client.read(&mut [0; 8]);
                drop(socket);
                client.set_nonblocking(false).unwrap();
                early.is_err_and(|fault| fault.kind() == ErrorKind::WouldBlock)
                    && client.read(&mut [0; 8]).unwrap() == 3
                    && client.read(&mut [0; 8]).unwrap() == 0
            });
            assert!(held);
        });
    }

    #[test]
    fn the_last_answer_arrives_though_the_client_has_said_more() {
        on_both_drivers(async || {
            for driven in [false, true] {
                let (mut client, mut socket) = pair();
                if driven {
                    socket.driven().unwrap();
                }
                client.write_all(b"one").unwrap();
                assert_eq!(read(&mut socket).await, b"one");
                client.write_all(b"two").unwrap();
                socket.write(b"bye".to_vec(), true).await.0.result.unwrap();
                drop(socket);
                monoio::time::sleep(Duration::from_millis(1)).await; // on io_uring the driver closes it
                assert_eq!(client.read(&mut [0; 8]).unwrap(), 3);
            }
        });
    }

    #[test]
    fn a_request_in_parts_does_not_wait_for_a_late_acknowledgement() {
        on_both_drivers(async || {
            // By Nagle's rule the client keeps the second part until the first is acknowledged, and without being told
            // the kernel would let that take 40 ms.
            let mut quickest = Duration::MAX;
            for _ in 0..5 {
                let (mut client, mut socket) = pair();
                client.write_all(b"GET /").unwrap();
                let began = Instant::now();
                client.write_all(b"x HTTP/1.1").unwrap();
                assert_eq!(read(&mut socket).await, b"GET /");
                socket.expect_more();
                assert_eq!(read(&mut socket).await, b"x HTTP/1.1");
                quickest = quickest.min(began.elapsed());
            }
            assert!(quickest < Duration::from_millis(25), "{quickest:?}");
        });
    }
}
