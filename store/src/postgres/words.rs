//! What a fault of the driver means for whoever starts control: the cause, and the way out.

use proto::client::ClientFault;
use std::error::Error;
use std::io::ErrorKind;
use tokio_postgres::Config;
use tokio_postgres::error::{DbError, SqlState};

/// The address of the server, and the flags that set it.
pub(super) struct ServerAddress<'a> {
    pub config: &'a Config,
    /// Host and port, or hosts.
    pub place: &'a str,
    /// The flags of its address and of its password.
    pub flags: [&'static str; 2],
}

impl ServerAddress<'_> {
    /// One line about why the server or its database cannot be used.
    pub(super) fn words(&self, fault: &(dyn Error + 'static)) -> String {
        let mut causes = Vec::new();
        let mut next = Some(fault);
        while let Some(fault) = next {
            causes.push(fault);
            next = fault.source();
        }
        let driver = causes.iter().find_map(|fault| fault.downcast_ref::<tokio_postgres::Error>());
        if let Some(said) = driver.and_then(tokio_postgres::Error::as_db_error) {
            return self.said(said);
        }
        let text = causes.last().map_or_else(String::new, ToString::to_string);
        self.told(fault, &text)
    }

    /// What the server says.
    fn said(&self, said: &DbError) -> String {
        let (place, [address, password]) = (self.place, self.flags);
        let (role, database) = (self.role(), self.database());
        let message = format!("{} ({})", said.message(), said.code().code());
        match *said.code() {
            SqlState::INVALID_CATALOG_NAME => format!(
                "{place} has no database '{database}': make it (CREATE DATABASE \"{database}\"), or name another with {address}"
            ),
            SqlState::INVALID_PASSWORD => format!(
                "{place} refuses the role '{role}': its password is wrong, or there is no such role \
                 (deploy/postgres-roles.sql makes it); see {address} and {password}"
            ),
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION => format!(
                "{place} does not let the role '{role}' in: {message}. deploy/postgres-roles.sql makes roles, pg_hba.conf says \
                 who may come from where, and sslmode=require in {address} asks for TLS"
            ),
            SqlState::INSUFFICIENT_PRIVILEGE => format!(
                "the role '{role}' lacks a right in the database '{database}': {message}. Run deploy/postgres-roles.sql there \
                 once; the tables are made and changed by the owner whom --store-direct names, who needs CREATE and USAGE on \
                 the schema, the role of --store USAGE and the right to read and write rows"
            ),
            SqlState::TOO_MANY_CONNECTIONS => format!(
                "{place} has no connection left for the role '{role}': {message}. Raise max_connections, or put a PgBouncer in \
                 front"
            ),
            SqlState::CANNOT_CONNECT_NOW | SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN => {
                format!("{place} is starting or stopping: {message}. Try again when it is up")
            }
            _ => format!("{place} says: {message}"),
        }
    }

    /// What the driver says by itself.
    fn told(&self, fault: &(dyn Error + 'static), text: &str) -> String {
        let (place, [address, password]) = (self.place, self.flags);
        // These two the driver has as texts only.
        match text {
            "password missing" => {
                return format!("{place} asks for a password of the role '{}': give {password}", self.role());
            }
            "server does not support TLS" => {
                return format!(
                    "{place} speaks no TLS: turn it on there (ssl = on), or take sslmode out of {address}"
                );
            }
            _ => {}
        }
        match ClientFault::of(fault) {
            ClientFault::Refused => {
                format!(
                    "nothing answers at {place} (connection refused): is PostgreSQL running there? See {address}"
                )
            }
            ClientFault::TimedOut | ClientFault::Unreachable => {
                format!("{place} cannot be reached: see the network and {address}")
            }
            ClientFault::Unresolved => {
                format!("the host of {place} is not known: is it spelled right? See {address}")
            }
            ClientFault::UnknownAuthority => format!(
                "the certificate of {place} is of an authority that is not trusted here: name the file with its authority with \
                 sslmode=verify-full&sslrootcert=FILE in {address}"
            ),
            ClientFault::WrongName => format!(
                "the certificate of {place} is for another name: ask for a name that stands in it with {address}"
            ),
            ClientFault::NotValidNow => {
                format!(
                    "the certificate of {place} is not valid at this time: the server needs another, or a clock is wrong"
                )
            }
            _ if refuses_writes(fault) => format!(
                "{place} takes no writes: it is a standby, or default_transaction_read_only is on. Name the primary, or all \
                 hosts, with {address}"
            ),
            ClientFault::Broken => {
                format!("{place} ended the connection: is it PostgreSQL? See {address} and its log")
            }
            other => format!("{place} cannot be used: {other}"),
        }
    }

    fn role(&self) -> &str {
        self.config.get_user().unwrap_or("unknown")
    }

    fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or_else(|| self.role())
    }
}

/// The driver makes this fault itself, of a host that is not what `target_session_attrs` asks for.
fn refuses_writes(fault: &(dyn Error + 'static)) -> bool {
    let mut next = Some(fault);
    while let Some(fault) = next {
        if fault
            .downcast_ref::<std::io::Error>()
            .is_some_and(|fault| fault.kind() == ErrorKind::PermissionDenied)
        {
            return true;
        }
        next = fault.source();
    }
    false
}
