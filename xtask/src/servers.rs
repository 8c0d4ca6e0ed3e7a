//! `make services`: throwaway servers to develop against, gone with Ctrl-C.

use services::{Folder, Postgres, Process, free_port, program};
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
        let (redis, folder, _process) = redis().map_err(|fault| fault.to_string())?;
        println!("LINKR_STORE={url}\nLINKR_TEST_POSTGRES={url}\nLINKR_REDIS={redis}\n");
        println!("linkr control --store {url}\nCtrl-C stops them, and what they hold is gone");
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
        }
        drop((postgres, folder));
        Ok(())
    })
}

fn redis() -> Result<(String, Folder, Process), services::Fault> {
    let (folder, port) = (Folder::new("redis", None)?, free_port()?);
    let (server, dir, number) = (
        program("redis-server", &[])?.display().to_string(),
        folder.path().display().to_string(),
        port.to_string(),
    );
    let words = [
        &server[..],
        "--bind",
        "127.0.0.1",
        "--port",
        &number,
        "--dir",
        &dir,
        "--save",
        "",
        "--appendonly",
        "no",
    ];
    let process = Process::start(&words, &folder.path().join("log"), None)?;
    Ok((format!("redis://127.0.0.1:{port}"), folder, process))
}
