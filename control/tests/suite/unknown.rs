//! Commits whose connection breaks before anybody is told what became of them.

use super::contract::create;
use super::domains::make;
use super::postgres::Database;
use journal::Verdict;
use journal::domains::DomainVerdict;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use store::port::Repository;
use store::port::domains::DomainRows;
use store::postgres::{Options, Postgres};

/// What a client sends as a commit, and as its end of a transaction that it wants nothing of.
const COMMIT: &[u8] = b"; COMMIT\0";
const ROLLBACK: &[u8] = b"ROLLBACK\0";

/// Ways to a server that break, each time behind the next of these: the server gets it, and its answer is lost.
struct Way {
    at: SocketAddr,
    breaks: Arc<Mutex<VecDeque<&'static [u8]>>>,
}

impl Way {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (at, breaks) = (listener.local_addr().unwrap(), Arc::<Mutex<VecDeque<_>>>::default());
        let plan = Arc::clone(&breaks);
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(server) else { continue };
                let (back, plan) = ((far.try_clone().unwrap(), near.try_clone().unwrap()), plan.clone());
                std::thread::spawn(move || pump(back.0, back.1, &Mutex::default()));
                std::thread::spawn(move || pump(near, far, &plan));
            }
        });
        Self { at, breaks }
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, breaks: &Mutex<VecDeque<&'static [u8]>>) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let mut breaks = breaks.lock().unwrap();
        let broken =
            breaks.front().is_some_and(|what| bytes[..count].windows(what.len()).any(|at| at == *what));
        if broken {
            breaks.pop_front();
            let _ = from.shutdown(Shutdown::Both); // first: no answer gets through
        }
        if to.write_all(&bytes[..count]).is_err() || broken {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    // What is closed with bytes unread is reset, and the server would not read the end of what it was sent.
    let _ = std::io::copy(&mut to, &mut std::io::sink());
}

fn through(db: &Database, way: &Way) -> Postgres {
    let url = db.options().url;
    let (login, rest) = url.rsplit_once('@').unwrap();
    let database = rest.split_once('/').unwrap().1;
    Postgres::open(&Options { url: format!("{login}@{}/{database}", way.at), ..Options::default() }).unwrap()
}

#[test]
fn a_commit_is_known_again_although_the_connection_breaks_at_the_look_for_it_too() {
    let Some(db) = Database::new() else { return };
    let server = db.server.port().unwrap();
    let way = Way::to(SocketAddr::from(([127, 0, 0, 1], server)));
    let store = through(&db, &way);
    for (number, breaks) in
        [&[][..], &[COMMIT], &[COMMIT, ROLLBACK], &[COMMIT, ROLLBACK, ROLLBACK]].into_iter().enumerate()
    {
        way.breaks.lock().unwrap().extend(breaks);
        let done = store.commit(&[create(&format!("c{number}"))], 1).unwrap();
        assert!(matches!(done.verdicts[..], [Verdict::Created(_)]), "{number}: {:?}", done.verdicts);
        let left = way.breaks.lock().unwrap().len();
        assert_eq!(left, 0, "{number}: it did not break so often");
        way.breaks.lock().unwrap().extend(breaks);
        let done = store.write_domain(&make(number as u32 + 7, &format!("d{number}.example")), 1).unwrap();
        assert!(matches!(done.verdict, DomainVerdict::Written(_)), "{number}: {:?}", done.verdict);
        let left = way.breaks.lock().unwrap().len();
        assert_eq!(left, 0, "{number}: it did not break so often");
    }
    assert_eq!(db.sql("SELECT count(*), max(seq) FROM change_log"), "8|8");
    store.close();
}
