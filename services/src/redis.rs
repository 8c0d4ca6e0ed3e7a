//! A private redis-server, or the one that the environment names; a cluster of three is below.

mod certificates;
mod cluster;

pub use certificates::Certificates;
pub use cluster::RedisCluster;

use crate::{Folder, Process, ServerFault, free_port, program};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a server may take until it answers, and a command until it is answered.
const PATIENCE: Duration = Duration::from_secs(20);
/// Another process may take the port that was just found to be free.
const ATTEMPTS: usize = 5;
/// Databases of a server that is not ours: each test takes the next one.
const DATABASES: u32 = 16;

/// One server on loopback. It keeps nothing on disk unless it is told to (`SAVE`); its folder holds `dump.rdb` then.
#[derive(Debug)]
pub struct Redis {
    own: Option<OwnRedis>,
    url: String,
}

#[derive(Debug)]
struct OwnRedis {
    folder: Folder,
    process: Process,
    port: u16,
}

impl Redis {
    /// Starts one with these lines in its configuration, such as `maxmemory 2mb`. Without any,
    /// `LINKR_TEST_REDIS=redis://…` is used instead if it is set, in a database of its own that is emptied first.
    ///
    /// # Errors
    /// [`ServerFault::Missing`] without redis-server, otherwise [`ServerFault::Failed`].
    pub fn start(lines: &[&str]) -> Result<Self, ServerFault> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if let (Ok(url), []) = (std::env::var("LINKR_TEST_REDIS"), lines) {
            let number = NEXT.fetch_add(1, Ordering::Relaxed) % DATABASES;
            let redis = Self { own: None, url: format!("{}/{number}", url.trim_end_matches('/')) };
            redis.cli(&["FLUSHDB"])?;
            return Ok(redis);
        }
        let folder = Folder::new("redis", None)?;
        for attempt in 1.. {
            let port = free_port()?;
            let config = format!(
                "bind 127.0.0.1\nport {port}\ndir {}\nsave \"\"\nappendonly no\n{}\n",
                folder.path().display(),
                lines.join("\n")
            );
            let file = folder.path().join("redis.conf");
            std::fs::write(&file, config)
                .map_err(|e| ServerFault::Failed(format!("cannot write {file:?}: {e}")))?;
            match run(&folder, port) {
                Ok(process) => {
                    let url = format!("redis://127.0.0.1:{port}");
                    return Ok(Self { own: Some(OwnRedis { folder, process, port }), url });
                }
                Err(ServerFault::Failed(_)) if attempt < ATTEMPTS => {}
                Err(fault) => return Err(fault),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// `redis://127.0.0.1:port`, or what the environment names.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its port.
    ///
    /// # Errors
    /// [`ServerFault::Missing`] for a server that is not ours.
    pub fn port(&mut self) -> Result<u16, ServerFault> {
        self.own().map(|own| own.port)
    }

    /// `SIGKILL`.
    ///
    /// # Errors
    /// [`ServerFault::Missing`] for a server that is not ours.
    pub fn kill(&mut self) -> Result<(), ServerFault> {
        self.own().map(|own| own.process.kill())
    }

    /// Starts it again on its port with its folder, after [`Redis::kill`].
    ///
    /// # Errors
    /// As for [`Redis::start`].
    pub fn start_again(&mut self) -> Result<(), ServerFault> {
        let own = self.own()?;
        own.process = run(&own.folder, own.port)?;
        Ok(())
    }

    /// Sends it a signal: `STOP` lets it hang, `CONT` lets it go on.
    ///
    /// # Errors
    /// [`ServerFault`]
    pub fn signal(&mut self, name: &str) -> Result<(), ServerFault> {
        self.own()?.process.signal(name)
    }

    /// What redis-cli prints for a command.
    ///
    /// # Errors
    /// [`ServerFault::Missing`] without redis-cli, [`ServerFault::Failed`] for an error that the server answers.
    pub fn cli(&self, words: &[&str]) -> Result<String, ServerFault> {
        let mut command = std::process::Command::new(program("redis-cli", &[])?);
        let output = command.args(["-e", "--no-auth-warning", "-u", &self.url]).args(words).output();
        let output = output.map_err(|e| ServerFault::Failed(format!("cannot run redis-cli: {e}")))?;
        let said = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        let wrong = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            Ok(said)
        } else {
            Err(ServerFault::Failed(format!("{words:?}: {said}{wrong}")))
        }
    }

    fn own(&mut self) -> Result<&mut OwnRedis, ServerFault> {
        self.own.as_mut().ok_or_else(|| ServerFault::Missing("a redis-server of our own".into()))
    }
}

/// Starts the server of a folder and waits until it answers.
fn run(folder: &Folder, port: u16) -> Result<Process, ServerFault> {
    let server = program("redis-server", &[])?;
    let (config, log) = (folder.path().join("redis.conf"), folder.path().join("log"));
    let words = [server.to_string_lossy(), config.to_string_lossy()];
    let mut process = Process::start(&[&words[0], &words[1]], &log, None)?;
    let deadline = Instant::now() + PATIENCE;
    while !answers(port) {
        if !process.is_running() || Instant::now() > deadline {
            return Err(ServerFault::Failed(format!("redis-server does not answer: {}", process.told())));
        }
        std::thread::sleep(Duration::from_millis(5)); // nothing tells when it listens
    }
    Ok(process)
}

/// Whether it takes commands; one that wants a password does, one that still loads its file does not.
fn answers(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"PING\r\n")?;
        stream.shutdown(Shutdown::Write)?;
        let mut said = String::new();
        stream.read_to_string(&mut said).map(|_| said)
    };
    ask().is_ok_and(|said: String| said.starts_with("+PONG") || said.starts_with("-NOAUTH"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_with_what_it_saved_and_goes_when_dropped() {
        let mut redis = match Redis::start(&["databases 2"]) {
            Err(fault @ ServerFault::Missing(_)) => return println!("SKIPPED: {fault}"),
            redis => redis.unwrap(),
        };
        redis.cli(&["SET", "a", "1"]).unwrap();
        redis.cli(&["SAVE"]).unwrap();
        redis.cli(&["SET", "a", "2"]).unwrap();
        redis.kill().unwrap();
        assert!(redis.cli(&["GET", "a"]).is_err());
        redis.start_again().unwrap();
        assert_eq!(redis.cli(&["GET", "a"]).unwrap(), "1");
        assert!(redis.cli(&["SELECT", "2"]).is_err());
        let port = redis.port().unwrap();
        drop(redis);
        assert!(!answers(port));
    }
}
