//! What the two processes say to each other: JSON behind its length, and descriptors behind that.

use crate::listen::{Address, InheritedListener};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Bytes of one message.
const MOST_BYTES: u32 = 4 << 20;
/// Descriptors that go together; the kernel takes 253.
const AT_ONCE: usize = 64;
/// Descriptors of one message.
const MOST_FILES: usize = 65_536;

/// Fields that one side does not know are passed over by the other; see `PROTOCOL`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// The heir: may I?
    Ask(Ask),
    /// The old process: this is all.
    Offer(Offer),
    /// The old process serves on.
    Refused { why: String },
    /// The heir has all links, and is current.
    Ready(Ready),
    /// The old process has closed its companion.
    Closed,
    /// The heir's companion serves in its place.
    Opened,
    /// The heir ends.
    GivesUp { why: String },
    /// The old process gathers no more clicks.
    Go,
    /// The heir is still there, and is going to serve.
    Serving,
    /// The old process accepts no more.
    Left,
}

#[derive(Serialize, Deserialize)]
pub struct Ask {
    pub protocol: u32,
    /// Of the edge, for control.
    pub name: String,
    /// Of linkr.
    pub version: String,
    /// Whether something shares the process with it, and takes over as well.
    #[serde(default)]
    pub has_companion: bool,
    /// In which it is, as the kernel calls it: sockets belong to one, and end with it. `None`: it does not say.
    #[serde(default)]
    pub network: Option<String>,
}

/// Behind it come the descriptors: of `listen`, `listen_tls`, `admin`, the note if there is one, the lock of the rings if there
/// are any, those of the companion.
#[derive(Serialize, Deserialize)]
pub struct Offer {
    pub version: String,
    pub listen: Vec<OfferedListener>,
    pub listen_tls: Vec<OfferedListener>,
    pub admin: Vec<OfferedListener>,
    pub has_note: bool,
    pub rings: Option<OfferedRings>,
    pub ticket_keys: Vec<OfferedTicketKey>,
    #[serde(default)]
    pub companion: Option<OfferedCompanion>,
}

#[derive(Serialize, Deserialize)]
pub struct OfferedListener {
    pub address: OfferedAddress,
    pub sockets: usize,
    /// The service manager holds them, too.
    #[serde(default)]
    pub given: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfferedAddress {
    Tcp(SocketAddr),
    File(PathBuf),
}

#[derive(Serialize, Deserialize)]
pub struct OfferedRings {
    pub dir: PathBuf,
    /// Of addresses in them.
    pub key: [u8; 16],
    /// Number and start of each.
    pub starts: Vec<(u64, u64)>,
}

#[derive(Serialize, Deserialize)]
pub struct OfferedCompanion {
    /// What only companions understand.
    pub words: String,
    pub files: usize,
}

#[derive(Serialize, Deserialize)]
pub struct OfferedTicketKey {
    pub key: [u8; 32],
    /// By the boot clock.
    pub since_ms: u64,
}

#[derive(Serialize, Deserialize)]
pub struct Ready {
    /// Where the heir goes on; what it does not take, the old process closes as at any stop.
    pub takes: Vec<OfferedAddress>,
}

impl OfferedListener {
    pub fn of(listener: &InheritedListener) -> Self {
        let (sockets, given) = (listener.sockets.len(), listener.given);
        Self { address: OfferedAddress::of(&listener.address), sockets, given }
    }
}

impl OfferedAddress {
    pub fn of(address: &Address) -> Self {
        match address {
            Address::Tcp(address) => Self::Tcp(*address),
            Address::File(path) => Self::File(path.clone()),
        }
    }

    pub fn into_address(self) -> Address {
        match self {
            Self::Tcp(address) => Address::Tcp(address),
            Self::File(path) => Address::File(path),
        }
    }
}

impl Offer {
    /// How many descriptors come behind it.
    pub fn files(&self) -> usize {
        let all = self.listen.iter().chain(&self.listen_tls).chain(&self.admin);
        let sockets = all.fold(0, |sum: usize, listener| sum.saturating_add(listener.sockets));
        let of_companion = self.companion.as_ref().map_or(0, |companion| companion.files);
        let own = usize::from(self.has_note) + usize::from(self.rings.is_some());
        sockets.saturating_add(own).saturating_add(of_companion)
    }
}

/// One end of the way between them.
pub struct Channel {
    stream: UnixStream,
    until: Instant,
}

impl Channel {
    /// All that is said and heard has to be over within this time.
    pub fn new(stream: UnixStream, within: Duration) -> Self {
        Self { stream, until: Instant::now() + within }
    }

    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// From now on it has so long.
    pub fn allow(&mut self, within: Duration) {
        self.until = Instant::now() + within;
    }

    /// # Errors
    /// The other side is gone, or takes nothing.
    pub fn say(&mut self, message: &Message) -> io::Result<()> {
        self.say_with(message, &[])
    }

    /// # Errors
    /// The other side is gone, or takes nothing.
    pub fn say_with(&mut self, message: &Message, files: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        let text = serde_json::to_vec(message)?;
        let length = u32::try_from(text.len()).map_err(io::Error::other)?;
        self.stream.write_all(&[&length.to_le_bytes()[..], &text].concat())?;
        for files in files.chunks(AT_ONCE) {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
            let mut with = SendAncillaryBuffer::new(&mut space);
            if !with.push(SendAncillaryMessage::ScmRights(files)) {
                return Err(ErrorKind::OutOfMemory.into());
            }
            sendmsg(&self.stream, &[IoSlice::new(b"f")], &mut with, SendFlags::NOSIGNAL)?;
        }
        Ok(())
    }

    /// # Errors
    /// `UnexpectedEof`: the other side has ended. `WouldBlock`: it has said nothing in time. `InvalidData`: what it says cannot
    /// be understood.
    pub fn hear(&mut self) -> io::Result<Message> {
        let mut length = [0; 4];
        self.read(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length > MOST_BYTES {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut text = vec![0; length as usize];
        self.read(&mut text)?;
        serde_json::from_slice(&text).map_err(|fault| io::Error::new(ErrorKind::InvalidData, fault))
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<()> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read_exact(into)
    }

    /// The descriptors behind a message.
    ///
    /// # Errors
    /// As [`Channel::hear`]; or they are not so many.
    pub fn files(&mut self, count: usize) -> io::Result<Vec<OwnedFd>> {
        let mut files = Vec::new();
        if count > MOST_FILES {
            return Err(ErrorKind::InvalidData.into());
        }
        while files.len() < count {
            self.stream.set_read_timeout(Some(self.left()?))?;
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
            let (mut with, mut byte) = (RecvAncillaryBuffer::new(&mut space), [0u8]);
            let heard =
                recvmsg(&self.stream, &mut [IoSliceMut::new(&mut byte)], &mut with, RecvFlags::CMSG_CLOEXEC)?;
            if heard.bytes == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let before = files.len();
            for message in with.drain() {
                if let RecvAncillaryMessage::ScmRights(more) = message {
                    files.extend(more);
                }
            }
            if files.len() == before {
                // No descriptor is left for them here.
                return Err(io::Error::other(
                    "descriptors did not arrive: raise their limit (ulimit -n, LimitNOFILE=)",
                ));
            }
        }
        Ok(files)
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::WouldBlock.into()) } else { Ok(left) }
    }
}

/// Why nothing came, for people.
pub fn in_words(fault: &io::Error) -> String {
    match fault.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "it said nothing in time".to_owned(),
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
            "it has ended".to_owned()
        }
        ErrorKind::InvalidData => format!("what it says cannot be understood by this version: {fault}"),
        _ => fault.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    fn pair() -> [Channel; 2] {
        let (one, two) = UnixStream::pair().unwrap();
        [one, two].map(|stream| Channel::new(stream, Duration::from_secs(5)))
    }

    #[test]
    fn descriptors_arrive_in_order_however_many_and_words_behind_them() {
        let [mut one, mut two] = pair();
        let dir = std::env::temp_dir().join(format!("linkr-handover-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let write = |at: usize| {
            std::fs::write(dir.join(at.to_string()), at.to_string()).unwrap();
            File::open(dir.join(at.to_string())).unwrap()
        };
        let files: Vec<File> = (0..2 * AT_ONCE + 3).map(write).collect();
        let sent: Vec<_> = files.iter().map(File::as_fd).collect();
        one.say_with(&Message::Go, &sent).unwrap();
        one.say(&Message::Serving).unwrap();
        assert!(matches!(two.hear(), Ok(Message::Go)));
        for (at, file) in two.files(files.len()).unwrap().into_iter().enumerate() {
            let mut text = String::new();
            File::from(file).read_to_string(&mut text).unwrap();
            assert_eq!(text, at.to_string());
        }
        assert!(matches!(two.hear(), Ok(Message::Serving)));
        drop(one);
        assert_eq!(two.hear().err().unwrap().kind(), ErrorKind::UnexpectedEof);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_is_new_in_a_message_is_passed_over_and_what_is_missing_is_told() {
        let of = |text: &str| serde_json::from_str::<Message>(text);
        let later = r#"{"ask":{"protocol":1,"name":"a","version":"9","colour":"red"}}"#;
        assert!(matches!(of(later), Ok(Message::Ask(ask)) if ask.name == "a"));
        assert!(of(r#"{"ask":{"protocol":1}}"#).is_err());
        assert!(of(r#"{"dance":{}}"#).is_err());
    }

    #[test]
    fn nobody_is_waited_for_longer_than_is_said() {
        let [mut one, _two] = pair();
        one.allow(Duration::from_millis(20));
        assert_eq!(in_words(&one.hear().err().unwrap()), "it said nothing in time");
        let [mut one, mut two] = pair();
        two.stream.write_all(&u32::MAX.to_le_bytes()).unwrap();
        assert_eq!(one.hear().err().unwrap().kind(), ErrorKind::InvalidData);
        two.say(&Message::Left).unwrap();
    }
}
