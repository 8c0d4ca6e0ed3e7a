//! Everything of an edge that is not a request, on one thread: following the log, asking the origin, handing over clicks, the
//! admin listener. Never monoio; nothing here runs longer than a few milliseconds at a stretch.

mod admin;
mod append;
mod contact;
mod explain;
mod follow;
mod metrics;
mod origin;
mod report;
mod slow;
mod spans;
mod watching;

use crate::Config;
use crate::clicks::ClickOffer;
use crate::keep::LoadedSnapshot;
use crate::shared::{OriginQuestion, Shared};
use crate::sys;
use crate::tls::ServedTls;
use exposition::StartFault;
use futures_channel::mpsc::Receiver;
use proto::client::Access;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tonic::transport::Endpoint;

/// For the goodbye to arrive.
const GOODBYE: Duration = Duration::from_millis(500);

/// Whether the admin listener answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminState {
    /// Not yet: another process still does.
    Waiting,
    Open,
    /// Not any more: another process does.
    PassedOn,
}

/// By which that is said.
pub type AdminDoor = Arc<watch::Sender<AdminState>>;

/// The background thread of a running edge.
pub struct BackgroundThread {
    admin: SocketAddr,
    door: AdminDoor,
    /// Whether this process has given its last answer.
    stop: oneshot::Sender<bool>,
    thread: JoinHandle<()>,
}

/// Whether control can be reached for all that is known before a try.
pub fn check(config: &Config) -> Result<(), StartFault> {
    origin::check(&config.control, &config.access)?;
    receiver(config).map(drop)
}

/// Where traces are sent; `None`: nowhere.
fn receiver(config: &Config) -> Result<Option<Endpoint>, StartFault> {
    let Some(url) = &config.otlp else { return Ok(None) };
    let endpoint = Access::default().endpoint(url);
    endpoint.map(Some).map_err(|why| StartFault::new(format!("--otlp: {why}")))
}

pub use admin::health;

/// What other threads ask of this one.
pub struct Inboxes {
    /// Links that a worker lacks.
    pub questions: Receiver<OriginQuestion>,
    /// Clicks for control.
    pub offers: mpsc::Receiver<ClickOffer>,
}

/// Starts the thread. `host`: where redirects are answered; `listener`: that of the admin address.
pub fn start(
    config: Config,
    host: String,
    listener: TcpListener,
    offered: Option<ServedTls>,
    shared: Arc<Shared>,
    inboxes: Inboxes,
    restored: Option<LoadedSnapshot>,
) -> Result<BackgroundThread, StartFault> {
    let cannot = |fault: std::io::Error| StartFault::because("cannot start the background thread", fault);
    let admin = listener.local_addr().map_err(cannot)?;
    listener.set_nonblocking(true).map_err(cannot)?;
    let receiver = receiver(&config)?;
    let (stop, stopped) = oneshot::channel();
    let door: AdminDoor = Arc::new(watch::Sender::new(AdminState::Waiting));
    let opens = Arc::clone(&door);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    let thread = std::thread::Builder::new()
        .name("background".into())
        .spawn(move || {
            runtime.block_on(async {
                let origin = origin::Origin::new(config.control, config.access, Arc::clone(&shared));
                let (more, control) = (config.more_metrics.clone(), config.control_health.clone());
                let own = follow::OwnIdentity {
                    name: config.name.clone(),
                    host: host.clone(),
                    build: config.build,
                };
                let served = admin::serve(listener, host, Arc::clone(&shared), more, control);
                tokio::spawn(while_open(opens, served));
                if let Some(redis) = shared.redis.clone() {
                    tokio::spawn(redis.resolve());
                }
                if let Some(offered) = offered {
                    tokio::spawn(offered.run());
                }
                tokio::spawn(origin::answer(origin.clone(), inboxes.questions));
                tokio::spawn(append::hand_over(origin.clone(), config.name.clone(), inboxes.offers));
                tokio::spawn(contact::watch_sight(Arc::clone(&shared)));
                tokio::spawn(slow::watch(Arc::clone(&shared)));
                if let Some(receiver) = receiver {
                    tokio::spawn(spans::hand_over(Arc::clone(&shared), receiver, config.name.clone()));
                }
                let (leave, left) = oneshot::channel();
                let follow = follow::follow(own, Arc::clone(&shared), origin, restored, left);
                let mut following = tokio::spawn(follow);
                tokio::select! {
                    last = stopped => {
                        let goodbye = async {
                            if last == Ok(true) {
                                let _ = leave.send(());
                                // If control does not hear it now, it finds out by itself.
                                let _ = tokio::time::timeout(GOODBYE, following).await;
                            }
                        };
                        tokio::join!(goodbye, spans::hand_over_last(&shared));
                    }
                    // Only by a panic. An edge that follows no more would be blind for good, and nobody would restart it.
                    _ = &mut following => sys::die(),
                }
            });
            // Whatever is still under way here holds nothing that anyone waits for.
            runtime.shutdown_background();
        })
        .map_err(cannot)?;
    Ok(BackgroundThread { admin, door, stop, thread })
}

/// The listener is closed with the future that has it, and shut down for nobody else.
async fn while_open(door: AdminDoor, served: impl Future<Output = ()>) {
    let mut state = door.subscribe();
    if state.wait_for(|state| *state != AdminState::Waiting).await.is_err() {
        return; // `door` is one of its senders
    }
    tokio::select! {
        () = served => {}
        _ = state.wait_for(|state| *state == AdminState::PassedOn) => {}
    }
}

impl BackgroundThread {
    /// Where the admin listener is.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// By which the admin listener is opened and passed on.
    pub fn door(&self) -> &AdminDoor {
        &self.door
    }

    /// Ends the thread. `last`: no worker will answer anybody any more, so that control may forget this process at once.
    pub fn stop(self, last: bool) {
        let _ = self.stop.send(last);
        let _ = self.thread.join();
    }
}
