//! `make services`: throwaway servers to develop against, gone with Ctrl-C.

use services::{Postgres, Redis};
use tokio::signal::unix::{SignalKind, signal};

/// Starts them, says where they are, and stops them at the end.
pub fn run() -> Result<(), String> {
    crate::tools::install_what_is_missing();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|fault| format!("cannot watch signals: {fault}"))?;
    runtime.block_on(async {
        let watch = |kind| signal(kind).map_err(|fault| format!("cannot watch signals: {fault}"));
        // From the first moment: whatever was started is to be stopped.
        let (mut int, mut term) = (watch(SignalKind::interrupt())?, watch(SignalKind::terminate())?);
        let postgres = Postgres::start(&[]).map_err(|fault| fault.to_string())?;
        let url = postgres.create("linkr").map_err(|fault| fault.to_string())?;
        let redis = Redis::start(&["maxmemory-policy volatile-lru"]).map_err(|fault| fault.to_string())?;
        println!("LINKR_STORE={url}\nLINKR_TEST_POSTGRES={url}\nLINKR_REDIS={}\n", redis.url());
        println!(
            "linkr control --insecure --store {url} --redis {}\nCtrl-C stops them, and what they hold is gone",
            redis.url()
        );
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
        }
        drop((postgres, redis));
        Ok(())
    })
}
