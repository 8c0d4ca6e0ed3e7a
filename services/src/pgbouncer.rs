//! A PgBouncer in front of a server: a transaction may meet any of its few connections.

use crate::{Folder, Postgres, Process, ServerFault, free_port, postgres, program};
use std::fs;

/// One that runs.
#[derive(Debug)]
pub struct PgBouncer {
    port: u16,
    _process: Process,
    _folder: Folder,
}

impl PgBouncer {
    /// In transaction mode with a few server connections, for these roles and their passwords.
    ///
    /// # Errors
    /// [`ServerFault`]
    pub fn start(server: &Postgres, roles: &[(&str, &str)]) -> Result<Self, ServerFault> {
        let owner = postgres::owner()?;
        let (folder, port) = (Folder::new("pgbouncer", owner)?, free_port()?);
        let to = server.port().ok_or_else(|| ServerFault::Failed("this server is not our own".into()))?;
        let (settings, users) = (folder.path().join("ini"), folder.path().join("users"));
        let ini = format!(
            "[databases]\n* = host=127.0.0.1 port={to}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = 3\n\
             max_client_conn = 500\nserver_lifetime = 2\n",
            users.display()
        );
        let users_text: String =
            roles.iter().map(|(role, password)| format!("\"{role}\" \"{password}\"\n")).collect();
        let written = fs::write(&settings, ini).and_then(|()| fs::write(&users, users_text));
        written.map_err(|e| ServerFault::Failed(e.to_string()))?;
        let (bouncer, settings) = (program("pgbouncer", &[])?, settings.display().to_string());
        let words = [&bouncer.display().to_string()[..], &settings];
        let mut process = Process::start(&words, &folder.path().join("log"), owner)?;
        let began = std::time::Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if !process.is_running() || began.elapsed() > postgres::PATIENCE {
                return Err(ServerFault::Failed(format!("pgbouncer does not answer: {}", process.told())));
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Ok(Self { port, _process: process, _folder: folder })
    }

    /// The address of a database behind it.
    #[must_use]
    pub fn url(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/{database}", self.port)
    }
}
