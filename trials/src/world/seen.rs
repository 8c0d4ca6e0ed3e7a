//! What those who run it see of edges and controls, and whom they forget; and the process that lies to them.

use super::{PATIENCE, POLL, World};
use crate::http::metric;
use crate::keyring::ADMIN;
use crate::liar;
use crate::process::command;
use link::{Epoch, Seq};
use proto::client::KeyedChannel;
use proto::v1::edges_client::EdgesClient;
use proto::v1::{ForgetEdgeRequest, History, ListEdgesRequest};
use services::Process;
use std::path::Path;
use std::time::Duration;
use tonic::Code;
use tonic::transport::Endpoint;

/// The worst of what was seen of edges and controls at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pulse {
    /// Seconds.
    pub staleness: f64,
    /// MiB.
    pub memory: f64,
}

impl World {
    /// Each history that has taken the place of another one, as control lists them.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn forks(&self) -> Result<Vec<(Epoch, Seq)>, String> {
        let mut client = self.people().await?;
        let listed = client.list_edges(ListEdgesRequest {}).await.map_err(|status| status.to_string())?;
        let histories = listed.into_inner().log.unwrap_or_default().histories;
        let parent = |history: &History| proto::epoch_from_wire(history.parent.as_ref()).ok();
        Ok(histories.iter().filter_map(|history| Some((parent(history)?, history.fork_seq))).collect())
    }

    /// As those who run it ask the first control about edges.
    async fn people(&self) -> Result<EdgesClient<KeyedChannel>, String> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.controls[0].api));
        let channel = endpoint.map_err(|fault| fault.to_string())?.connect().await;
        Ok(EdgesClient::new(self.keys.way(channel.map_err(|fault| fault.to_string())?, ADMIN)?))
    }

    /// Forgets an edge that is gone, once control lets it go.
    ///
    /// # Errors
    /// It does not.
    pub async fn forget(&self, edge: &str) -> Result<(), String> {
        let mut people = self.people().await?;
        let forgotten = tokio::time::timeout(PATIENCE, async {
            loop {
                match people.forget_edge(ForgetEdgeRequest { edge: edge.to_owned() }).await {
                    Err(status) if status.code() == Code::FailedPrecondition => {
                        tokio::time::sleep(POLL).await;
                    }
                    done => break done,
                }
            }
        });
        let forgotten = forgotten.await.map_err(|_| format!("{edge} is still there after {PATIENCE:?}"))?;
        forgotten.map(drop).map_err(|status| format!("{edge} is not forgotten: {status}"))
    }

    /// Starts the process with the stolen key. It ends by itself, and says in `report` what it did.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_liar(&self, length: Duration, seed: u64, report: &Path) -> Result<Process, String> {
        let program = std::env::current_exe().map_err(|fault| fault.to_string())?;
        let controls: Vec<String> =
            self.controls.iter().map(|control| format!("http://{}", control.api)).collect();
        let key = self.keys.file(liar::NAME).ok_or("there are no keys to steal")?;
        let (controls, length, seed) = (controls.join(","), length.as_millis().to_string(), seed.to_string());
        let (key, report) = (key.to_string_lossy(), report.to_string_lossy());
        let words =
            ["liar", "--control", &controls, "--key-file", &key, "--milliseconds", &length, "--seed", &seed];
        let words = [&words[..], &["--report", &report]].concat();
        let log = self.dir.path().join("liar.log");
        Ok(Process::hear(&command(&program, self.dir.path(), &words), &log, &[liar::NAME])?)
    }

    /// How long ago each edge last knew that it is current, in seconds, and what the controls take of memory, in MiB.
    ///
    /// # Errors
    /// One does not say.
    pub async fn pulse(&self) -> Result<Pulse, String> {
        let mut pulse = Pulse::default();
        for edge in &self.edges {
            let age = metric(edge.admin, "linkr_edge_staleness_seconds").await;
            let age = age.ok_or_else(|| format!("{} does not say how old its knowledge is", edge.name))?;
            pulse.staleness = pulse.staleness.max(age);
        }
        for control in &self.controls {
            let bytes = metric(control.admin, "process_resident_memory_bytes").await;
            let bytes = bytes.ok_or("control does not say what memory it takes")?;
            pulse.memory = pulse.memory.max(bytes / f64::from(1 << 20));
        }
        Ok(pulse)
    }

    /// How often edges had to begin anew, all together.
    ///
    /// # Errors
    /// One does not say.
    pub async fn resets(&self) -> Result<f64, String> {
        let mut all = 0.0;
        for edge in 0..self.edges.len() as u8 {
            all += self.resets_of(edge).await?;
        }
        Ok(all)
    }

    /// How often this process of an edge had to.
    ///
    /// # Errors
    /// It does not say.
    pub async fn resets_of(&self, edge: u8) -> Result<f64, String> {
        let edge = &self.edges[usize::from(edge)];
        let resets = metric(edge.admin, "linkr_feed_resets_total").await;
        resets.ok_or_else(|| format!("{} does not say how often it was reset", edge.name))
    }
}
