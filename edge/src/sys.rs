//! The few system calls that no library here makes for us. The only `unsafe` of this crate.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// A write that may not be ends neither in death (SIGXFSZ: a limit of the size of files) nor in a stop (SIGTTOU: a
/// terminal that another job has): it fails, or is done.
pub fn ignore_signals_of_writing() {
    for signal in [libc::SIGXFSZ, libc::SIGTTOU] {
        // SAFETY: no handler is installed, so that nothing of ours runs in one.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Pins the calling thread to one core; `false` when the system does not let us, which costs speed only.
pub fn pin_to_core(core: usize) -> bool {
    // SAFETY: `set` is a plain bit set, zero is a valid value of it, and both calls only use it during the call.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core % (8 * size_of::<libc::cpu_set_t>()), &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) == 0
    }
}

/// The cores that this process may run on, in rising order; empty when the system does not say.
pub fn allowed_cores() -> Vec<usize> {
    // SAFETY: as above; the kernel fills `set` up to the size it is given.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        match libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) {
            0 => set,
            _ => return Vec::new(),
        }
    };
    // SAFETY: every index is below the size of the set in bits.
    (0..8 * size_of::<libc::cpu_set_t>()).filter(|&core| unsafe { libc::CPU_ISSET(core, &set) }).collect()
}

/// Nice value of what nobody waits for: beside a thread of the ordinary one, 1.5 % of a core.
const LATE: i32 = 19;
/// Nice value of what somebody waits for, but visitors go before: beside a thread of the ordinary one, a tenth of a core. With 1.5 % a
/// machine that others keep busy would never end it.
const BEHIND: i32 = 10;

/// The calling thread runs when hardly any other has something to do: nobody waits for what it does. Failing costs speed only.
pub fn let_others_go_first() {
    set_nice(0, LATE);
}

/// Every thread of this process goes behind those of others, and so do those that they start: for a process that answers nobody any
/// more, and has much memory to give back. Failing costs speed only.
pub fn go_behind_others_from_now_on() {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    for thread in threads.filter_map(|thread| thread.file_name().to_str()?.parse().ok()) {
        set_nice(thread, BEHIND);
    }
}

/// The calling thread goes behind others. Failing costs speed only.
pub fn go_behind_others() {
    set_nice(0, BEHIND);
}

/// `thread`: 0 is the calling one.
fn set_nice(thread: libc::id_t, nice: i32) {
    // SAFETY: nothing is handed over; on Linux a number of a thread is taken, too, and one that has ended since is none.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, thread, nice) };
}

/// Does something on a thread that goes behind others, and waits for that: what takes a while, in a process beside which another one
/// answers on the same cores.
///
/// # Errors
/// There is no room for a thread.
pub fn behind_others<R: Send>(then: impl FnOnce() -> R + Send) -> io::Result<R> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("links".into()).spawn_scoped(scope, || {
            go_behind_others();
            then()
        })?;
        thread.join().map_or_else(|panic| std::panic::resume_unwind(panic), Ok)
    })
}

/// The calling thread asks for short turns, so that it has one as soon as it wakes: a thread of ordinary turns, of this
/// process or of another, is not let run to the end of its own (2.8 ms). Its part of the core stays the same. Failing
/// costs speed only; kernels before 6.12 do not know of it, and a policy that somebody has chosen is left alone.
pub fn take_short_turns() -> bool {
    const NANOSECONDS: u64 = 100_000; // the shortest that there is
    // SAFETY: `attr` is plain numbers, zero is a valid value of each, and both calls only use it during the call; 0 is the
    // calling thread.
    unsafe {
        let mut attr: libc::sched_attr = std::mem::zeroed();
        let size = size_of_val(&attr);
        if libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attr, size, 0) != 0
            || attr.sched_policy != libc::SCHED_OTHER as u32
        {
            return false;
        }
        attr.sched_runtime = NANOSECONDS;
        libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) == 0
    }
}

/// Which half of a connection to end.
#[derive(Clone, Copy)]
pub enum Half {
    /// A pending read returns "end".
    Read,
    /// Pending reads and writes end.
    Both,
}

/// Ends a half of a connection whose descriptor is open. What it returns does not matter: a connection that is gone
/// already is what was wanted.
pub fn end(fd: RawFd, half: Half) {
    let how = match half {
        Half::Read => std::net::Shutdown::Read,
        Half::Both => std::net::Shutdown::Both,
    };
    // Descriptors in the callers' tables are open: they are taken out before the stream is dropped, on the same thread.
    let _ = socket2::SockRef::from(&borrow(&fd)).shutdown(how);
}

/// Receives into the spare room of `into` what is there already.
///
/// # Errors
/// `WouldBlock` when nothing is.
pub fn receive_now(socket: &(impl AsRawFd + ?Sized), into: &mut Vec<u8>) -> io::Result<usize> {
    let borrowed = borrow(socket);
    let count =
        socket2::SockRef::from(&borrowed).recv_with_flags(into.spare_capacity_mut(), libc::MSG_DONTWAIT)?;
    // SAFETY: the kernel wrote so many bytes behind the old length, within the capacity.
    unsafe { into.set_len(into.len() + count) };
    Ok(count)
}

/// Sends what the socket takes at once. `last`: the kernel keeps the bytes until the end of the stream goes out with
/// them, in one packet; it has to follow.
///
/// # Errors
/// `WouldBlock` when it takes nothing.
pub fn send_now(socket: &(impl AsRawFd + ?Sized), bytes: &[u8], last: bool) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | if last { libc::MSG_MORE } else { 0 };
    socket2::SockRef::from(&borrow(socket)).send_with_flags(bytes, flags)
}

/// Ends the writing half.
///
/// # Errors
/// The connection is gone.
pub fn end_writing(socket: &(impl AsRawFd + ?Sized)) -> io::Result<()> {
    socket2::SockRef::from(&borrow(socket)).shutdown(std::net::Shutdown::Write)
}

/// What came is acknowledged at once, and what comes next, until the kernel thinks otherwise.
pub fn acknowledge(socket: &(impl AsRawFd + ?Sized)) {
    let _ = socket2::SockRef::from(&borrow(socket)).set_tcp_quickack(true);
}

fn borrow(socket: &(impl AsRawFd + ?Sized)) -> BorrowedFd<'_> {
    // SAFETY: whoever lends the socket keeps its descriptor open meanwhile.
    unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) }
}

/// Ends the process in a state that nobody would mend: whoever started it has to start it again. What was said until now
/// has a moment to be written by the thread that writes the log.
pub fn die() -> ! {
    std::thread::sleep(Duration::from_millis(200));
    std::process::abort()
}

/// A descriptor that was open when this process began, because whoever started it says so (`LISTEN_FDS`).
///
/// # Errors
/// There is none of this number.
pub fn passed(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: it is borrowed for this one call, which fails if it is not open.
    unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned()
}

/// Milliseconds of a clock that goes on while the machine is suspended, as `Instant` does not.
pub fn boottime_ms() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills the struct it is given; CLOCK_BOOTTIME has been there since Linux 2.6.39.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// Whether somebody keeps the clock of this machine in step (NTP), as the kernel was told; `None`: it does not say.
pub fn clock_is_kept() -> Option<bool> {
    // SAFETY: `asked` is plain numbers, zero is a valid value of each and sets nothing; the kernel fills the struct.
    let state = unsafe {
        let mut asked: libc::timex = std::mem::zeroed();
        libc::adjtimex(&raw mut asked)
    };
    (state >= 0).then_some(state != libc::TIME_ERROR)
}

/// A descriptor that can be read 8 bytes from whenever so much time went by, and never waits.
///
/// # Errors
/// No descriptor is left, or this is not allowed.
pub fn timer(every: Duration) -> io::Result<OwnedFd> {
    let time = libc::timespec { tv_sec: every.as_secs() as _, tv_nsec: every.subsec_nanos().into() };
    let times = libc::itimerspec { it_interval: time, it_value: time };
    // SAFETY: a descriptor that was just made is nobody else's; the kernel only reads `times`.
    unsafe {
        let fd = libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let timer = OwnedFd::from_raw_fd(fd);
        match libc::timerfd_settime(fd, 0, &raw const times, std::ptr::null_mut()) {
            0 => Ok(timer),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// A file as memory: words that every thread sees, and the next process after this one was killed.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<AtomicU64>,
    words: usize,
}

impl Mapping {
    /// The first so many bytes of a file, each of which gets its place on the disk first: a write to a page without one would
    /// end this process (SIGBUS) once the disk is full, or a file is cut.
    ///
    /// # Errors
    /// The disk has no room for it, or this is not allowed.
    pub fn of(file: &File, bytes: usize) -> io::Result<Self> {
        let size = libc::off_t::try_from(bytes).map_err(io::Error::other)?;
        // SAFETY: the descriptor is open during the call.
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, size) } {
            0 => {}
            fault => return Err(io::Error::from_raw_os_error(fault)),
        }
        let (access, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a new place is asked for, so nothing that is there is mapped over; it stays when the file is closed.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, shared, file.as_raw_fd(), 0) };
        match NonNull::new(start).filter(|_| start != libc::MAP_FAILED) {
            Some(start) => Ok(Self { start: start.cast(), words: bytes / size_of::<AtomicU64>() }),
            None => Err(io::Error::last_os_error()),
        }
    }
}

impl Deref for Mapping {
    type Target = [AtomicU64];

    #[inline]
    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: so many words were mapped there, aligned to a page, and stay until `self` is dropped. Every value is one of
        // an atomic word, and nobody in this process touches them in another way.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `of`, in this size; whoever drops it has it alone.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.words * size_of::<AtomicU64>()) };
    }
}

// SAFETY: it owns its place as a box would, and all that is in it is atomic.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

/// Who made the other end of a connection by a socket file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub uid: u32,
    /// 0: it has none that this process could know.
    pub pid: i32,
}

/// Who made the other end.
///
/// # Errors
/// It is no connection by a socket file.
pub fn peer(stream: &std::os::unix::net::UnixStream) -> io::Result<Peer> {
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of_val(&credentials) as libc::socklen_t;
    // SAFETY: the kernel fills the struct, up to the length that it is given; the descriptor is open during the call.
    let done = unsafe {
        let (level, option) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
        libc::getsockopt(stream.as_raw_fd(), level, option, (&raw mut credentials).cast(), &raw mut length)
    };
    match done {
        0 => Ok(Peer { uid: credentials.uid, pid: credentials.pid }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Lets this process have as many open descriptors as its hard limit allows: each connection is one.
pub fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls only use the struct during the call.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// How many descriptors this process may have open.
pub fn file_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills the struct.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

/// The lowest descriptor that is free: at least so many are open. Above all of them, if none is.
pub fn files_in_use() -> usize {
    use socket2::{Domain, Socket, Type};
    let probe = Socket::new(Domain::IPV4, Type::DGRAM, None);
    probe.map_or(usize::MAX, |probe| probe.as_raw_fd() as usize)
}

/// Makes a pipe with a name. Another process that did it would have every lock of this one until it runs its own program,
/// and a test beside it would find locked what it has let go.
#[cfg(test)]
pub fn pipe_at(path: &std::path::Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the name ends in a zero and is there until the call ends.
    match unsafe { libc::mkfifo(path.as_ptr(), 0o600) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_thread_can_be_pinned_to_a_core_it_may_use() {
        let cores = allowed_cores();
        assert!(!cores.is_empty());
        std::thread::spawn(move || {
            assert!(pin_to_core(cores[0]));
            assert_eq!(allowed_cores(), [cores[0]]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_thread_can_have_short_turns() {
        std::thread::spawn(move || {
            let_others_go_first();
            assert!(take_short_turns());
            assert_eq!(nice("thread-self"), "19", "nothing else has changed");
        })
        .join()
        .unwrap();
    }

    /// The nice value of a thread of this process.
    fn nice(thread: &str) -> String {
        let stat = std::fs::read_to_string(format!("/proc/{thread}/stat")).unwrap();
        stat.rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap().to_owned()
    }

    #[test]
    fn what_is_done_behind_others_is_of_no_haste_and_whoever_waits_for_it_is_as_before() {
        let before = nice("thread-self");
        assert_eq!(behind_others(|| nice("thread-self")).unwrap(), "10");
        assert_eq!(nice("thread-self"), before);
        assert!(std::panic::catch_unwind(|| behind_others(|| panic!("it is not lost"))).is_err());
    }

    #[test]
    fn ending_the_read_half_wakes_a_reader() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let fd = server.as_raw_fd();
        let reader = std::thread::spawn(move || (server.read(&mut [0; 8]).unwrap(), server));
        end(fd, Half::Read);
        assert_eq!(reader.join().unwrap().0, 0);
    }

    #[test]
    fn sending_never_waits() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        assert_eq!(send_now(&server, b"goodbye", false).unwrap(), 7);
        let mut bytes = [0; 7];
        client.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"goodbye");
        // Far more than both buffers hold, and nobody reads.
        let much = vec![0; 1 << 20];
        assert!((0..64).any(|_| send_now(&server, &much, false).is_err()));
        drop(client);
        assert!(send_now(&server, b"to nobody", false).is_err()); // and no signal ends this process
    }

    #[test]
    fn the_other_end_of_a_socket_file_is_known() {
        use std::os::unix::fs::MetadataExt;
        let (one, _two) = std::os::unix::net::UnixStream::pair().unwrap();
        let uid = std::fs::metadata("/proc/self").unwrap().uid();
        assert_eq!(peer(&one).unwrap(), Peer { uid, pid: std::process::id() as i32 });
    }

    #[test]
    fn the_clock_is_asked_and_not_set() {
        let before = std::time::SystemTime::now();
        let _ = clock_is_kept(); // either is right, as may be that it is not said
        assert!(std::time::SystemTime::now().duration_since(before).unwrap() < Duration::from_secs(5));
    }

    #[test]
    fn the_boot_clock_moves() {
        let before = boottime_ms();
        while boottime_ms() == before {}
        assert!(boottime_ms() > before);
    }

    #[test]
    fn a_timer_ticks_and_never_waits() {
        let mut timer = std::fs::File::from(timer(Duration::from_millis(20)).unwrap());
        let began = std::time::Instant::now();
        let (mut ticks, mut early) = (0, 0);
        while ticks < 3 {
            let mut count = [0; 8];
            match timer.read_exact(&mut count) {
                Ok(()) => ticks += u64::from_ne_bytes(count),
                Err(fault) => {
                    assert_eq!(fault.kind(), io::ErrorKind::WouldBlock);
                    early += 1;
                }
            }
        }
        assert!(early > 0);
        assert!(began.elapsed() >= Duration::from_millis(55), "{:?}", began.elapsed());
    }

    #[test]
    fn what_is_written_to_a_mapped_file_is_there_for_the_next_one_that_maps_it() {
        use std::sync::atomic::Ordering::Relaxed;
        let path = std::env::temp_dir().join(format!("linkr-mapping-{}", std::process::id()));
        let file = File::options().create(true).truncate(true).read(true).write(true).open(&path).unwrap();
        let first = Mapping::of(&file, 8192).unwrap();
        assert_eq!((first.len(), file.metadata().unwrap().len()), (1024, 8192));
        first[1023].store(7, Relaxed);
        let second = Mapping::of(&file, 8192).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| second[0].store(5, Relaxed));
        });
        assert_eq!((first[0].load(Relaxed), second[1023].load(Relaxed)), (5, 7));
        drop((first, second, file));
        assert_eq!(std::fs::read(&path).unwrap()[8184..], [7, 0, 0, 0, 0, 0, 0, 0]);
        let read_only = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(Mapping::of(&read_only, 8192).is_err());
    }

    #[test]
    fn the_file_limit_is_the_hard_one() {
        raise_file_limit();
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the kernel fills the struct.
        unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
        assert_eq!((limit.rlim_cur, limit.rlim_max), (limit.rlim_max, file_limit() as u64));
        assert!((3..file_limit()).contains(&files_in_use()));
    }
}
