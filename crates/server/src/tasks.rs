//! What the core may ask of the shell, carried out.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use russet_config::Rewrite;
use russet_dispatch::persistence::Wish;
use russet_dispatch::request::Request;
use russet_dispatch::state::Thread;
use russet_dispatch::{Error, State};
use russet_persist::aof::Log;
use russet_persist::vfs::Vfs;
use russet_resp::{Output, Protocol, Writer};
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use crate::connection::Done;
use crate::listener::Listeners;
use crate::metrics;
use crate::reconfigure::reconfigure;
use crate::saving;

/// An answer: fine, or an error's text.
pub(crate) type Answer = Result<(), String>;

/// The way to the shell, for every connection.
#[derive(Clone, Debug)]
pub(crate) struct Shell {
    requests: mpsc::Sender<(Request, oneshot::Sender<Answer>)>,
    stop: watch::Sender<bool>,
    /// The append-only file.
    pub(crate) log: Arc<Log>,
}

/// The shell's end.
pub(crate) type Requests = mpsc::Receiver<(Request, oneshot::Sender<Answer>)>;

impl Shell {
    pub(crate) fn new(log: Arc<Log>) -> (Self, Requests) {
        let (requests, receiver) = mpsc::channel(64);
        (Self { requests, stop: watch::channel(false).0, log }, receiver)
    }

    /// Turns true when the server stops.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Stops the server.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }
}

/// Asks the shell, and turns its answer into a reply.
pub(crate) async fn ask(shell: Shell, request: Request, protocol: Protocol) -> Done {
    let (sender, receiver) = oneshot::channel();
    // If the shell takes no request any more, that makes no difference: there will be no answer.
    drop(shell.requests.send((request, sender)).await);
    let Ok(answer) = receiver.await else {
        // The server is stopping, and this connection with it.
        return std::future::pending().await;
    };
    let mut out = Output::default();
    let mut reply = Writer { out: &mut out, protocol };
    match answer {
        Ok(()) => reply.ok(),
        Err(text) => {
            reply.error(&text);
            return Done::Refused(out);
        }
    }
    Done::Reply(out)
}

/// What it takes to carry requests out.
pub(crate) struct Means {
    pub(crate) state: &'static State,
    pub(crate) shell: Shell,
    vfs: Arc<dyn Vfs>,
    pub(crate) doors: Mutex<Doors>,
    thread: Thread,
}

/// What the server listens on.
pub(crate) struct Doors {
    /// For clients.
    pub(crate) clients: Listeners,
    /// For those who read metrics.
    pub(crate) metrics: metrics::Door,
}

impl Means {
    pub(crate) fn new(
        state: &'static State,
        shell: Shell,
        vfs: Arc<dyn Vfs>,
        doors: Doors,
    ) -> Rc<Self> {
        Rc::new(Self { state, shell, vfs, doors: Mutex::new(doors), thread: state.thread("main") })
    }

    /// Stops the server. Clients see that it is gone when nobody can connect any more.
    pub(crate) async fn stop(&self) {
        self.doors.lock().await.clients.close().await;
        self.shell.stop();
    }

    /// Counts an error as the executor would.
    fn count(&self, error: &str) {
        self.thread.counters.error(error.split(' ').next().unwrap_or("ERR"));
    }
}

/// Carries requests out until the server stops.
pub(crate) async fn carry_out(means: Rc<Means>, mut requests: Requests) {
    while let Some((request, sender)) = requests.recv().await {
        let means = Rc::clone(&means);
        // Each on its own: a client that sleeps holds nobody else back.
        tokio::task::spawn_local(async move {
            if let Some(answer) = answer(&means, request).await {
                if let Err(error) = &answer {
                    means.count(error);
                }
                // The client may have gone meanwhile.
                drop(sender.send(answer));
            }
        });
    }
}

async fn answer(means: &Means, request: Request) -> Option<Answer> {
    match request {
        Request::Sleep { milliseconds } => {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            Some(Ok(()))
        }
        Request::Refuse { error, milliseconds } => {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            Some(Err(error.text().into_owned()))
        }
        Request::Emptied(what) => {
            saving::follow_emptying(means.state, what).await;
            Some(Ok(()))
        }
        Request::RewriteConfig { force } => {
            Some(rewrite_config(means.state, means.vfs.as_ref(), force))
        }
        Request::Reconfigure(change) => Some(reconfigure(means, &change).await),
        // A shutdown that succeeds has no answer: the connection just ends.
        Request::Shutdown(how) => saving::shut_down(means, how).await.err().map(Err),
        Request::Save => {
            let saved = saving::wish(means.state, |answer| Wish::Save(Some(answer))).await;
            Some(saved.map_err(|_| "ERR".to_owned()))
        }
        Request::Reload(how) => {
            let reloaded = saving::wish(means.state, |answer| Wish::Reload(how, answer)).await;
            Some(reloaded.map_err(|_| Error::ReloadFailed.text().into_owned()))
        }
        Request::LoadAof => {
            let loaded = saving::wish(means.state, Wish::LoadAof).await;
            Some(loaded.map_err(|_| Error::LoadAofFailed.text().into_owned()))
        }
        Request::AwaitDisk(_) | Request::SendSnapshot { .. } => {
            unreachable!("the connection does that by itself")
        }
    }
}

fn rewrite_config(state: &State, vfs: &dyn Vfs, force: bool) -> Answer {
    let path = &state.identity.config_file;
    if path.is_empty() {
        return Err("ERR The server is running without a config file".to_owned());
    }
    let path = std::path::Path::new(path);
    let old = vfs.read(path).unwrap_or_default();
    let wish = Rewrite { force, ..Rewrite::default() };
    let text = state.config.load().rewrite_with(&String::from_utf8_lossy(&old), wish);
    vfs.replace(path, text.as_bytes()).map_err(|error| {
        tracing::warn!(%error, "CONFIG REWRITE failed");
        format!("ERR Rewriting config file: {error}")
    })
}
