//! A snapshot on its way to a client, for SYNC and PSYNC.
//!
//! While it is being made, an empty line a second says that somebody is there. Then it is sent a piece at a time: the next one is read from
//! its file when most of those before have been taken, so what waits for the client is bounded, however slowly it takes it. Who takes
//! nothing for `repl-timeout` is cut, since the file takes room on the disk until then. The connection ends with the last byte.

use std::future::{Future, poll_fn};
use std::io::{self, Read};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use russet_config::id;
use russet_dispatch::persistence::{Contents, Parcel, Recipient, Wish};
use russet_dispatch::session::{Client, Delivery};
use russet_dispatch::{Error, State};
use russet_journal::Lsn;
use russet_resp::Output;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::waiting::{Done, Part, Work};

/// How often a client that waits is told that somebody is there.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// How much of the file is read at once. Twice as much may wait for the client.
const PIECE_BYTES: usize = 128 << 10;

/// Who is sent a snapshot.
struct Order {
    state: &'static State,
    client: Arc<Client>,
    tells_moment: bool,
}

/// The way of a snapshot from who makes it to the connection.
struct Slot(oneshot::Sender<Parcel>);

impl Recipient for Slot {
    fn is_gone(&self) -> bool {
        self.0.is_closed()
    }

    fn take(self: Box<Self>, parcel: Parcel) {
        // Who has gone just now needs none.
        drop(self.0.send(parcel));
    }
}

/// Orders a snapshot and sends it.
pub(super) fn send(
    state: &'static State,
    client: Arc<Client>,
    contents: Contents,
    tells_moment: bool,
) -> Work {
    tracing::info!(id = client.id, ?contents, "a client asks for a snapshot");
    let (sender, receiver) = oneshot::channel();
    // Who sees that it is made sees for whom.
    client.set_delivery(Delivery::Awaited);
    state.persistence.ask(Wish::Send(contents, Box::new(Slot(sender))));
    Box::pin(begin(Order { state, client, tells_moment }, receiver))
}

/// Waits until the snapshot is there, and says how long it is.
async fn begin(order: Order, mut receiver: oneshot::Receiver<Parcel>) -> Done {
    match tokio::time::timeout(SIGN_OF_LIFE, &mut receiver).await {
        Err(_) => part(b"\n", 0, begin(order, receiver)),
        Ok(Err(_)) => Done::End(Some(Error::SyncFailed)),
        Ok(Ok(parcel)) => {
            order.client.set_delivery(Delivery::Sent);
            part(order.head(&parcel).as_bytes(), parcel.lsn, go_on(order, parcel))
        }
    }
}

impl Order {
    /// What stands before the bytes of the snapshot.
    fn head(&self, parcel: &Parcel) -> String {
        let len = format!("${}\r\n", parcel.len);
        if !self.tells_moment {
            return len;
        }
        let id = self.state.replication_id.load();
        format!("+FULLRESYNC {id} {}\r\n{len}", parcel.lsn)
    }

    /// Waits until no more than so many bytes wait for the client. `false` if it takes nothing for too long.
    async fn has_taken(&self, but_for: usize) -> bool {
        let timeout = self.state.config.load().integer(const { id("repl-timeout") });
        let timeout = Duration::from_secs(u64::try_from(timeout).unwrap_or(u64::MAX));
        let mut sent = self.client.total_out.get();
        let mut too_late = pin!(tokio::time::sleep(timeout));
        // Its connection looks at this whenever it has sent something.
        poll_fn(|cx| {
            if self.client.output_bytes.load(Ordering::Relaxed) <= but_for {
                return std::task::Poll::Ready(true);
            }
            let all = self.client.total_out.get();
            if all != std::mem::replace(&mut sent, all) {
                too_late.as_mut().reset(Instant::now() + timeout);
            }
            too_late.as_mut().poll(cx).map(|()| false)
        })
        .await
    }

    /// The client is cut.
    async fn give_up(&self) -> Done {
        let id = self.client.id;
        tracing::warn!(id, "closing a client that does not take the snapshot it has asked for");
        self.client.kill();
        std::future::pending().await
    }
}

/// Sends the next piece when there is room for it.
async fn go_on(order: Order, parcel: Parcel) -> Done {
    let is_all = parcel.len == 0;
    if !order.has_taken(if is_all { 0 } else { PIECE_BYTES }).await {
        drop(parcel);
        return order.give_up().await;
    }
    if is_all {
        tracing::info!(id = order.client.id, "a client has its snapshot");
        return Done::End(None);
    }
    let lsn = parcel.lsn;
    let read = tokio::task::spawn_blocking(move || take(parcel));
    match read.await.unwrap_or_else(|_| Err(io::ErrorKind::Other.into())) {
        Ok((piece, parcel)) => {
            order.state.persistence.sent_bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
            part(&piece, lsn, go_on(order, parcel))
        }
        Err(error) => {
            tracing::warn!(%error, "a snapshot for a client cannot be read back");
            Done::End(None)
        }
    }
}

/// The next piece, and what is left.
fn take(mut parcel: Parcel) -> io::Result<(Vec<u8>, Parcel)> {
    let len = parcel.len.min(PIECE_BYTES as u64);
    let mut piece = vec![0; len as usize];
    parcel.file.read_exact(&mut piece)?;
    parcel.len -= len;
    Ok((piece, parcel))
}

/// Something for the client, which shows what there was at a position of the journal, and what comes behind it.
fn part(bytes: &[u8], shows: Lsn, rest: impl Future<Output = Done> + 'static) -> Done {
    let mut out = Output::default();
    out.push(bytes);
    Done::Part(Part { out, shows: Some(shows), rest: Box::pin(rest) })
}
