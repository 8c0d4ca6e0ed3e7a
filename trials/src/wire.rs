//! A TCP proxy that can be cut, delayed and made silent, and pointed somewhere else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Chunks on their way in one direction. With 64 KiB each, a delay does not become a limit of the bandwidth.
const UNDER_WAY: usize = 1024;
const CHUNK: usize = 64 * 1024;

/// What the wire does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    Pass,
    /// Everything takes so much longer in each direction.
    Delay(Duration),
    /// Connections are accepted and nothing ever arrives; what was sent arrives once it ends.
    Silent,
    /// No connections.
    Cut,
}

#[derive(Clone, Copy)]
struct WireState {
    mode: Mode,
    to: Option<SocketAddr>,
    /// Connections made in an earlier era are cut.
    era: u64,
}

/// A running proxy. It ends with the runtime.
#[derive(Clone)]
pub struct Wire {
    address: SocketAddr,
    state: Arc<watch::Sender<WireState>>,
}

impl Wire {
    /// Starts one that leads nowhere yet.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (state, states) = watch::channel(WireState { mode: Mode::Pass, to: None, era: 0 });
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(connection(near, states.clone()));
            }
        });
        Ok(Self { address, state: Arc::new(state) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As a client names it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on. Only a cut ends the connections there are.
    pub fn set(&self, mode: Mode) {
        self.state.send_modify(|state| {
            state.mode = mode;
            state.era += u64::from(mode == Mode::Cut);
        });
    }

    /// New connections lead there from now on; those there are stay.
    pub fn turn(&self, to: SocketAddr) {
        self.state.send_modify(|state| state.to = Some(to));
    }

    /// Takes no new connections from now on; those there are stay.
    pub fn hold(&self) {
        self.state.send_modify(|state| state.to = None);
    }

    /// Ends the connections there are.
    pub fn cut_once(&self) {
        self.state.send_modify(|state| state.era += 1);
    }

    /// Leads there from now on; what leads elsewhere is cut.
    pub fn lead(&self, to: SocketAddr) {
        self.state.send_modify(|state| {
            state.era += u64::from(state.to != Some(to));
            state.to = Some(to);
        });
    }
}

async fn connection(near: TcpStream, mut states: watch::Receiver<WireState>) {
    let WireState { mode, to, era } = *states.borrow_and_update();
    let Some(to) = to.filter(|_| mode != Mode::Cut) else { return };
    let Ok(far) = TcpStream::connect(to).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    tokio::select! {
        () = pump(near_in, far_out, states.clone()) => {}
        () = pump(far_in, near_out, states.clone()) => {}
        _ = states.wait_for(|state| state.era != era) => {}
    }
}

/// One direction: each chunk goes on when its time has come, in order.
async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut states: watch::Receiver<WireState>,
) {
    let (send, mut chunks) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let delays = states.clone();
    let read = async move {
        let mut buffer = vec![0; CHUNK];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let delay = if let Mode::Delay(delay) = delays.borrow().mode { delay } else { Duration::ZERO };
            if send.send((Instant::now() + delay, buffer[..count].to_vec())).await.is_err() {
                break;
            }
        }
    };
    let write = async move {
        while let Some((due, chunk)) = chunks.recv().await {
            if due > Instant::now() {
                tokio::time::sleep_until(due).await;
            }
            let speaking = states.wait_for(|state| state.mode != Mode::Silent).await.is_ok();
            if !speaking || to.write_all(&chunk).await.is_err() {
                break;
            }
        }
    };
    // The writer ends behind the reader's last chunk.
    tokio::join!(read, write);
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        address
    }

    async fn said(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Duration> {
        let began = Instant::now();
        stream.write_all(text).await?;
        let mut back = vec![0; text.len()];
        stream.read_exact(&mut back).await?;
        assert_eq!(back, text);
        Ok(began.elapsed())
    }

    #[tokio::test]
    async fn it_passes_delays_keeps_silent_and_cuts() {
        let wire = Wire::start().await.unwrap();
        wire.lead(echo().await);
        let mut stream = TcpStream::connect(wire.address).await.unwrap();
        said(&mut stream, b"one").await.unwrap();

        wire.set(Mode::Delay(Duration::from_millis(40)));
        assert!(said(&mut stream, b"two").await.unwrap() >= Duration::from_millis(80), "40 ms each way");

        wire.set(Mode::Silent);
        stream.write_all(b"three").await.unwrap();
        let mut back = [0; 5];
        let early = tokio::time::timeout(Duration::from_millis(100), stream.read_exact(&mut back)).await;
        assert!(early.is_err(), "nothing comes");
        wire.set(Mode::Pass);
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"three", "what was sent meanwhile comes afterwards");

        wire.set(Mode::Cut);
        assert!(said(&mut stream, b"four").await.is_err());
        let mut refused = TcpStream::connect(wire.address).await.unwrap();
        assert!(said(&mut refused, b"five").await.is_err());
        wire.set(Mode::Pass);
        let mut again = TcpStream::connect(wire.address).await.unwrap();
        said(&mut again, b"six").await.unwrap();
        wire.lead(echo().await);
        assert!(said(&mut again, b"seven").await.is_err(), "it led elsewhere");
    }
}
