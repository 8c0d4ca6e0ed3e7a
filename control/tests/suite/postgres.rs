//! A PostgreSQL for all tests of this suite that run at the same time: a database each. Without fsync, save where a
//! test kills the server.

use services::ServerFault;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use store::postgres::{Options, Postgres};

static SHARED: Mutex<Weak<services::Postgres>> = Mutex::new(Weak::new());

/// A database of one test.
pub struct Database {
    pub server: Arc<services::Postgres>,
    pub name: String,
}

impl Database {
    /// An empty one, or the reason to skip the test is printed.
    pub fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let server = shared.upgrade().or_else(|| server(&["fsync=off"]).map(Arc::new))?;
        *shared = Arc::downgrade(&server);
        let name = format!("t{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        server.create(&name).unwrap();
        Some(Self { server, name })
    }

    pub fn options(&self) -> Options {
        Options { url: self.server.url(&self.name), ..Options::default() }
    }

    /// A control's view of it.
    pub fn open(&self) -> Postgres {
        Postgres::open(&self.options()).unwrap()
    }

    /// The same for a test that runs on a runtime, where opening blocks.
    pub async fn opened(&self, auto_fork: bool) -> Arc<Postgres> {
        let options = Options { auto_fork, ..self.options() };
        let store = tokio::task::spawn_blocking(move || Postgres::open(&options).unwrap());
        Arc::new(store.await.unwrap())
    }

    pub fn sql(&self, sql: &str) -> String {
        self.server.psql(&self.name, sql).unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = self.server.psql("postgres", &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

/// A server of one test, unless the program is missing.
pub fn server(settings: &[&str]) -> Option<services::Postgres> {
    match services::Postgres::start(settings) {
        Ok(server) => Some(server),
        Err(fault @ ServerFault::Missing(_)) => {
            println!("SKIPPED: {fault}");
            None
        }
        Err(fault) => panic!("{fault}"),
    }
}
