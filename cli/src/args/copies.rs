//! The flags of `linkr backup` and `linkr restore`.

use super::store;
use clap::Args;
use std::path::PathBuf;

/// Which store is copied or replaced.
#[derive(Args)]
pub struct CopiedStore {
    /// The directory of `linkr up`, unless --store says another place
    #[arg(long, env = "LINKR_DATA_DIR", default_value = "./linkr-data", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// The store of `linkr control`: sqlite:PATH or postgres://USER@HOST/DATABASE
    #[arg(long, env = "LINKR_STORE", hide_env_values = true, value_parser = store)]
    pub store: Option<String>,
    /// PostgreSQL: a file with the password
    #[arg(long, env = "LINKR_STORE_PASSWORD_FILE", value_name = "FILE")]
    pub store_password_file: Option<PathBuf>,
    /// PostgreSQL: the same database past a PgBouncer
    #[arg(long, env = "LINKR_STORE_DIRECT", hide_env_values = true, value_name = "URL", value_parser = store)]
    pub store_direct: Option<String>,
}

/// `linkr backup`.
#[derive(Args)]
pub struct Backup {
    /// The copy; it may not be there yet
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Of which store.
    #[command(flatten)]
    pub at: CopiedStore,
}

/// `linkr restore`.
#[derive(Args)]
pub struct StoreRestore {
    /// The backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// FILE is no backup but was copied by hand, perhaps from a store that was open: take it for what it holds, with
    /// FILE-wal if that is beside it. FILE may be the store itself
    #[arg(long)]
    pub accept: bool,
    /// In the place of which store.
    #[command(flatten)]
    pub at: CopiedStore,
}
