//! How many file descriptors the process may have, and so how many clients.

use russet_config::{Config, id};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for listening, files and the log.
const RESERVED: u64 = 32;

/// Descriptors of one thread's runtime: its poll, its wake-up and what comes with them.
const PER_THREAD: u64 = 4;

/// Why `maxclients` cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany {
    /// How many clients there is room for.
    pub(crate) room: u64,
}

/// Raises the limit of open files so that `maxclients` fits; else says how many do.
pub(crate) fn make_room(config: &Config) -> Result<(), TooMany> {
    let clients = config.memory(const { id("maxclients") });
    let others = others(config);
    let limit = raise(clients + others);
    if limit >= clients + others {
        Ok(())
    } else {
        Err(TooMany { room: limit.saturating_sub(others) })
    }
}

/// At the start: fewer clients where the system does not allow more. `false` if not even one fits.
pub(crate) fn fit(config: &mut Config) -> bool {
    let Err(TooMany { room }) = make_room(config) else { return true };
    if room == 0 {
        return false;
    }
    let wanted = config.memory(const { id("maxclients") });
    let needed = wanted + others(config);
    tracing::warn!(
        "You requested maxclients of {wanted} requiring at least {needed} max file descriptors."
    );
    tracing::warn!(
        "Current maximum open files is {}. maxclients has been reduced to {room} to compensate for low ulimit. \
         If you need higher maxclients increase 'ulimit -n'.",
        room + others(config)
    );
    let text = room.to_string();
    config.assign(const { id("maxclients") }, &text).expect("less than what was accepted before");
    true
}

/// Descriptors that are no ordinary client's.
fn others(config: &Config) -> u64 {
    let threads = config.threads(const { id("io-threads") }) as u64;
    RESERVED + PER_THREAD * (threads + 1) + config.memory(const { id("maxclients-reserved") })
}

/// Raises the limit towards `wanted` and answers what it is then.
fn raise(wanted: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let (soft, hard) = (current.unwrap_or(u64::MAX), maximum.unwrap_or(u64::MAX));
    if soft >= wanted {
        return soft;
    }
    // Only root may raise the hard limit; others get as much as it allows.
    let reached = [wanted.max(hard), hard].into_iter().find_map(|maximum| {
        let soft = wanted.min(maximum);
        let new = Rlimit { current: Some(soft), maximum: (maximum < u64::MAX).then_some(maximum) };
        setrlimit(Resource::Nofile, new).ok().map(|()| soft)
    });
    match reached {
        Some(limit) if limit > soft => {
            tracing::info!(
                "Increased maximum number of open files to {limit} (it was originally set to {soft})."
            );
            limit
        }
        _ => soft,
    }
}
