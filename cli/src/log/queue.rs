//! A stream with a queue in front and a thread behind: whoever says something never waits for whoever reads it. What
//! finds no room, or cannot be written, is counted.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that wait; as many again may be with the kernel's writer.
const BYTES: usize = 1 << 20;
/// Between two tries to write to what takes nothing now and does not wait by itself.
const PAUSE: Duration = Duration::from_millis(10);

pub struct Queue(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<Backlog>,
    filled: Condvar,
    written: Condvar,
    lost: AtomicU64,
}

#[derive(Default)]
struct Backlog {
    bytes: Vec<u8>,
    /// Lines that found no room.
    lost: u64,
    /// The thread has some in its hands.
    writing: bool,
}

/// What is said, once it can be, about lines that were lost: how many.
type LossReport = Box<dyn Fn(u64) -> String + Send>;

impl Queue {
    /// Starts the thread.
    pub fn start(
        name: &str,
        file: File,
        report: impl Fn(u64) -> String + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let stream = StreamWriter {
            shared: shared.clone(),
            out: file,
            torn: false,
            untold: 0,
            report: Box::new(report),
        };
        std::thread::Builder::new().name(name.into()).spawn(move || stream.run())?;
        Ok(Self(shared))
    }

    /// Queues whole lines, or drops them.
    pub fn push(&self, lines: &[u8]) {
        let mut waiting = self.0.lock();
        if waiting.bytes.len() + lines.len() > BYTES {
            let lost = count(lines);
            waiting.lost += lost;
            self.0.lost.fetch_add(lost, Ordering::Relaxed);
        } else {
            waiting.bytes.extend_from_slice(lines);
        }
        drop(waiting);
        self.0.filled.notify_one();
    }

    /// Waits until all is written, until `end`.
    pub fn flush(&self, end: Instant) {
        let most = end.saturating_duration_since(Instant::now());
        let busy = |waiting: &mut Backlog| waiting.writing || !waiting.bytes.is_empty();
        drop(self.0.written.wait_timeout_while(self.0.lock(), most, busy));
    }

    /// Lines that could not be written.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Backlog> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's end.
struct StreamWriter<W> {
    shared: Arc<Shared>,
    out: W,
    /// What was written last is a part of a line.
    torn: bool,
    /// Lines lost, of which nobody has read yet.
    untold: u64,
    report: LossReport,
}

impl<W: Write> StreamWriter<W> {
    fn run(mut self) {
        loop {
            let idle = |waiting: &mut Backlog| waiting.bytes.is_empty() && waiting.lost == 0;
            let guard = self.shared.filled.wait_while(self.shared.lock(), idle);
            let mut waiting = guard.unwrap_or_else(PoisonError::into_inner);
            let (bytes, lost) = (std::mem::take(&mut waiting.bytes), std::mem::take(&mut waiting.lost));
            waiting.writing = true;
            drop(waiting);
            self.write(&bytes, lost);
            self.shared.lock().writing = false;
            self.shared.written.notify_all();
        }
    }

    /// Writes lines, behind which `lost` others found no room.
    fn write(&mut self, lines: &[u8], lost: u64) {
        self.tell();
        let done = if self.untold == 0 { self.all(lines) } else { 0 };
        if done < lines.len() {
            // A line that was written in part is lost as well.
            let left = count(&lines[done..]);
            self.shared.lost.fetch_add(left, Ordering::Relaxed);
            self.untold += left;
        }
        self.untold += lost;
        if done == lines.len() {
            self.tell();
        }
    }

    /// Says how many lines were lost, if that can be said.
    fn tell(&mut self) {
        if self.untold > 0 {
            let report = (self.report)(self.untold);
            if self.all(report.as_bytes()) == report.len() {
                self.untold = 0;
            }
        }
    }

    /// How much of it could be written.
    fn all(&mut self, bytes: &[u8]) -> usize {
        if self.torn && !self.some(b"\n").is_ok_and(|done| done == 1) {
            return 0;
        }
        let mut done = 0;
        while done < bytes.len() {
            match self.some(&bytes[done..]) {
                Ok(0) | Err(_) => break,
                Ok(more) => done += more,
            }
        }
        self.torn = done > 0 && bytes[done - 1] != b'\n';
        done
    }

    fn some(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        loop {
            match self.out.write(bytes) {
                Err(fault) if fault.kind() == ErrorKind::Interrupted => {}
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
                done => return done,
            }
        }
    }
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read};

    fn report(lost: u64) -> String {
        format!("{lost} lost\n")
    }

    /// Takes so many bytes, and then none until it is told to.
    struct Disk {
        room: usize,
        held: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let taken = bytes.len().min(self.room);
            if taken == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.room -= taken;
            self.held.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_full_disk_did_not_take_is_told_when_it_has_room_again() {
        let out = Disk { room: 7, held: Vec::new() };
        let (shared, report) = (Arc::default(), Box::new(report));
        let mut stream = StreamWriter { shared, out, torn: false, untold: 0, report };
        stream.write(b"one\ntwo\nthree\n", 0);
        stream.write(b"four\n", 0);
        assert_eq!(stream.shared.lost.load(Ordering::Relaxed), 3);
        stream.out.room = 1_000;
        stream.write(b"five\n", 0);
        stream.write(b"six\n", 2);
        stream.write(b"seven\n", 0);
        let held = String::from_utf8(stream.out.held).unwrap();
        assert_eq!(held, "one\ntwo\n3 lost\nfive\nsix\n2 lost\nseven\n");
    }

    #[test]
    fn a_reader_that_sleeps_holds_nobody_up_and_is_told_what_it_missed() {
        let (read, write) = std::io::pipe().unwrap();
        let queue = Queue::start("test", File::from(std::os::fd::OwnedFd::from(write)), report).unwrap();
        let line = [&[b'x'; 1_023][..], b"\n"].concat();
        let began = Instant::now();
        for _ in 0..10_000 {
            queue.push(&line);
        }
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        let lost = queue.lost();
        assert!(lost > 5_000, "{lost}");
        queue.flush(Instant::now() + Duration::from_millis(10));
        let mut lines = BufReader::new(read).lines();
        let mut told = 0;
        while told < lost {
            let line = lines.next().unwrap().unwrap();
            told += line.strip_suffix(" lost").map_or(0, |told| told.parse::<u64>().unwrap());
        }
        assert_eq!(told, lost);
        queue.push(b"awake\n");
        assert_eq!(lines.next().unwrap().unwrap(), "awake");
        assert_eq!(queue.lost(), lost);
    }

    #[test]
    fn nobody_left_to_read_is_a_loss_and_no_more() {
        let (read, write) = std::io::pipe().unwrap();
        let queue = Queue::start("test", File::from(std::os::fd::OwnedFd::from(write)), report).unwrap();
        drop(read);
        for _ in 0..3 {
            queue.push(b"a line\n");
            queue.flush(Instant::now() + Duration::from_secs(5));
        }
        assert_eq!(queue.lost(), 3);
    }

    #[test]
    fn everything_said_is_there_after_a_flush() {
        let (mut read, write) = std::io::pipe().unwrap();
        let queue = Queue::start("test", File::from(std::os::fd::OwnedFd::from(write)), report).unwrap();
        for n in 0..100 {
            queue.push(format!("{n}\n").as_bytes());
        }
        queue.flush(Instant::now() + Duration::from_secs(5));
        let mut said = [0; 290];
        read.read_exact(&mut said).unwrap();
        assert!(said.ends_with(b"98\n99\n"));
    }
}
