//! A second server that follows the first, and takes its place.

use super::{PATIENCE, Postgres, run, text};
use crate::{Folder, ServerFault, Volume, program};
use std::path::{Path, PathBuf};
use std::time::Instant;

impl Postgres {
    /// A standby by streaming from a base backup. With `synchronous` no commit of this server is answered before the
    /// standby has it on disk, from now on.
    ///
    /// # Errors
    /// [`ServerFault::Missing`] where [`Volume::Own`] is not permitted, else [`ServerFault::Failed`].
    pub fn standby(&self, synchronous: bool, place: Volume) -> Result<Self, ServerFault> {
        let own =
            self.own.as_ref().ok_or_else(|| ServerFault::Failed("this server is not our own".into()))?;
        let folder = Folder::new("postgres", own.owner)?;
        let data = folder.path().join("data");
        let disk = place.made(&data, own.owner)?;
        let backup = program("pg_basebackup", std::slice::from_ref(&self.at.bin))?;
        let from = format!("{}/postgres?application_name=standby", self.at.server);
        let words = ["-D", &text(&data), "-R", "-X", "stream", "-c", "fast", "-d", &from];
        run(&backup, &words, folder.path(), own.owner)?;
        let standby = Self::on(self.at.bin.clone(), folder, disk, own.owner, own.settings.clone())?;
        if synchronous {
            self.psql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'standby'")?;
            self.psql("postgres", "SELECT pg_reload_conf()")?;
            // The server reads its settings when it comes to it, and until its checkpointer has, commits wait for nobody.
            self.until("SELECT current_setting('synchronous_standby_names') = 'standby'")?;
            self.psql("postgres", "CHECKPOINT")?;
        }
        self.until("SELECT EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')")?;
        Ok(standby)
    }

    /// Where its data is, if it is our own.
    #[must_use]
    pub fn data(&self) -> Option<PathBuf> {
        self.own.as_ref().map(|own| own.folder.path().join("data"))
    }

    /// A folder for another server of the same owner. Its data belongs into `data` in it.
    ///
    /// # Errors
    /// [`ServerFault::Failed`]
    pub fn folder_beside(&self) -> Result<Folder, ServerFault> {
        Folder::new("postgres", self.own.as_ref().and_then(|own| own.owner))
    }

    /// Starts a server on the data that somebody has put into such a folder.
    ///
    /// # Errors
    /// [`ServerFault::Failed`]
    pub fn beside(&self, folder: Folder) -> Result<Self, ServerFault> {
        let own =
            self.own.as_ref().ok_or_else(|| ServerFault::Failed("this server is not our own".into()))?;
        Self::on(self.at.bin.clone(), folder, None, own.owner, own.settings.clone())
    }

    /// Runs lines of a shell as the server's owner, with its programs before all others: what they print. The first that fails
    /// ends them.
    ///
    /// # Errors
    /// [`ServerFault::Failed`] with what they say.
    pub fn shell(&self, lines: &str, variables: &[(&str, &str)]) -> Result<String, ServerFault> {
        let owner = self.own.as_ref().and_then(|own| own.owner);
        let folder = Folder::new("shell", owner)?;
        let set: String = variables.iter().map(|(name, value)| format!("{name}='{value}'\n")).collect();
        let path = format!("PATH='{}':$PATH", text(&self.at.bin));
        let script = format!("set -e\n{path}\n{set}{lines}");
        run(Path::new("/bin/sh"), &["-c", &script], folder.path(), owner)
    }

    fn until(&self, question: &str) -> Result<(), ServerFault> {
        let began = Instant::now();
        while self.psql("postgres", question)? != "t" {
            if began.elapsed() > PATIENCE {
                return Err(ServerFault::Failed(format!("never true: {question}")));
            }
        }
        Ok(())
    }

    /// A standby becomes a primary. The old one is not told.
    ///
    /// # Errors
    /// [`ServerFault::Failed`]
    pub fn promote(&mut self) -> Result<(), ServerFault> {
        // What it copied with its data: nobody follows it yet.
        self.psql("postgres", "SELECT pg_promote(true, 60)")?;
        self.psql("postgres", "ALTER SYSTEM RESET synchronous_standby_names")?;
        self.psql("postgres", "SELECT pg_reload_conf()").map(drop)
    }
}
