//! Conditions of CLIENT LIST and CLIENT KILL: all of them must hold.
//!
//! A condition said twice counts as said last, except for ids, which add up.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use russet_dispatch::session::{Client, Delivery, Labels};
use russet_dispatch::{Args, Context, Error};
use russet_engine::number::parse_i64;

use crate::client::line::flags;
use crate::connection::DEFAULT_USER;

/// The letters that CLIENT LIST may show.
const FLAG_LETTERS: &[u8] = b"OSMPxbtRBdcuAUreTIN";

/// Which connections are meant.
#[derive(Debug)]
pub(super) struct Filter<'a> {
    conditions: Vec<(bool, Condition<'a>)>,
    skip_me: bool,
}

#[derive(Debug)]
enum Condition<'a> {
    Id(Vec<u64>),
    /// Whoever asks for primaries finds none.
    Type(&'static str),
    User,
    Addr(&'a [u8]),
    Laddr(&'a [u8]),
    Age(u64),
    Idle(u64),
    Name(&'a [u8]),
    LibName(&'a [u8]),
    LibVer(&'a [u8]),
    Flags(&'a [u8]),
    Db(u32),
    Capa(&'a [u8]),
    Ip(&'a [u8]),
}

impl<'a> Filter<'a> {
    /// The connection from an address.
    pub(super) fn of_address(address: &'a [u8]) -> Self {
        Self { conditions: vec![(true, Condition::Addr(address))], skip_me: false }
    }

    /// Reads all arguments that are left.
    pub(super) fn read(
        cx: &Context<'_>,
        args: &mut Args<'a>,
        is_kill: bool,
    ) -> Result<Self, Error> {
        let mut filter = Self { conditions: Vec::new(), skip_me: is_kill };
        while let Some(word) = args.peek() {
            if args.left() < 2 {
                return Err(Error::Syntax);
            }
            args.next()?;
            if word.eq_ignore_ascii_case(b"SKIPME") {
                filter.skip_me = yes_or_no(args.next()?)?;
                continue;
            }
            let is_negated = word.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"NOT-"));
            let name = if is_negated { &word[4..] } else { word };
            filter.add(!is_negated, Condition::read(cx, name, args, is_negated, is_kill)?);
        }
        Ok(filter)
    }

    fn add(&mut self, wanted: bool, mut condition: Condition<'a>) {
        let is_same = |(w, old): &(bool, Condition<'a>)| {
            *w == wanted && std::mem::discriminant(old) == std::mem::discriminant(&condition)
        };
        let old = self.conditions.iter().position(is_same).map(|at| self.conditions.remove(at).1);
        if let (Condition::Id(ids), Some(Condition::Id(more))) = (&mut condition, old) {
            ids.extend(more);
        }
        self.conditions.push((wanted, condition));
    }

    /// The connections that are meant, by id.
    pub(super) fn choose(&self, cx: &Context<'_>) -> Vec<Arc<Client>> {
        let (own, now) = (cx.session.client.id, cx.state.clock.now());
        let mut all = cx.state.clients.all();
        all.retain(|client| !client.is_killed());
        all.retain(|client| !self.skip_me || client.id != own);
        all.retain(|client| {
            self.conditions
                .iter()
                .all(|(wanted, condition)| condition.holds(client, now) == *wanted)
        });
        all
    }
}

impl<'a> Condition<'a> {
    fn read(
        cx: &Context<'_>,
        name: &[u8],
        args: &mut Args<'a>,
        is_negated: bool,
        is_kill: bool,
    ) -> Result<Self, Error> {
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        if is("ID") {
            return ids(args, is_kill).map(Self::Id);
        }
        // A connection has an age and an idle time, and no connection has not: these are not negated.
        if !is_negated && is("MAXAGE") {
            return seconds(args.next()?, "maxage").map(Self::Age);
        }
        if !is_negated && is("IDLE") {
            return seconds(args.next()?, "idle").map(Self::Idle);
        }
        let value = args.next()?;
        match name.to_ascii_uppercase().as_slice() {
            b"TYPE" => kind(value).map(Self::Type),
            b"USER" if value == DEFAULT_USER.as_bytes() => Ok(Self::User),
            b"USER" => Err(shown("ERR No such user '", value, "'")),
            b"ADDR" => Ok(Self::Addr(value)),
            b"LADDR" => Ok(Self::Laddr(value)),
            b"NAME" => Ok(Self::Name(value)),
            b"LIB-NAME" => Ok(Self::LibName(value)),
            b"LIB-VER" => Ok(Self::LibVer(value)),
            b"FLAGS" if value.iter().all(|letter| FLAG_LETTERS.contains(letter)) => {
                Ok(Self::Flags(value))
            }
            b"FLAGS" => Err(shown("ERR Unknown flags found in the provided filter: ", value, "")),
            b"DB" => database(value, cx.state.databases).map(Self::Db),
            b"CAPA" if value.iter().all(|letter| *letter == b'r') => Ok(Self::Capa(value)),
            b"CAPA" => Err(shown("ERR Unknown capa found in the provided filter: ", value, "")),
            b"IP" => Ok(Self::Ip(value)),
            _ => Err(Error::Syntax),
        }
    }

    fn holds(&self, client: &Client, now: u64) -> bool {
        let label = |of: fn(&Labels) -> &String, value: &[u8]| {
            let labels = client.labels.lock();
            !of(&labels).is_empty() && of(&labels).as_bytes() == value
        };
        match self {
            Self::Id(ids) => ids.contains(&client.id),
            Self::Type(kind) => *kind == kind_of(client),
            Self::User => true,
            Self::Addr(value) => client.peer.addr().as_bytes() == *value,
            Self::Laddr(value) => client.peer.laddr().as_bytes() == *value,
            Self::Age(seconds) => now.saturating_sub(client.created_ms) / 1000 >= *seconds,
            Self::Idle(seconds) => {
                now.saturating_sub(client.active_ms.load(Relaxed)) / 1000 >= *seconds
            }
            Self::Name(value) => label(|labels| &labels.name, value),
            Self::LibName(value) => label(|labels| &labels.lib_name, value),
            Self::LibVer(value) => label(|labels| &labels.lib_ver, value),
            Self::Flags(letters) => {
                let flags = flags(client);
                letters.iter().all(|letter| flags.as_bytes().contains(letter))
            }
            Self::Db(db) => client.db.load(Relaxed) == *db,
            Self::Capa(letters) => letters.is_empty() || client.takes_redirects.load(Relaxed),
            Self::Ip(value) => is_from(&client.peer.addr(), value),
        }
    }
}

/// One id, and as many more as follow.
fn ids(args: &mut Args<'_>, is_kill: bool) -> Result<Vec<u64>, Error> {
    let not_an_id = if is_kill { Error::ClientIdNotPositive } else { Error::InvalidClientId };
    let first = parse_i64(args.next()?).ok_or(not_an_id)?;
    let mut ids = vec![first];
    while let Some(id) = args.peek().and_then(parse_i64) {
        args.next()?;
        ids.push(id);
    }
    let positive =
        |id: i64| u64::try_from(id).ok().filter(|id| *id > 0).ok_or(Error::ClientIdNotPositive);
    ids.into_iter().map(positive).collect()
}

fn seconds(value: &[u8], name: &str) -> Result<u64, Error> {
    let number = parse_i64(value)
        .ok_or_else(|| Error::of(format!("ERR {name} is not an integer or out of range")))?;
    let positive = u64::try_from(number).ok().filter(|seconds| *seconds > 0);
    positive.ok_or_else(|| Error::of(format!("ERR {name} should be greater than 0")))
}

fn kind(value: &[u8]) -> Result<&'static str, Error> {
    const NAMES: [(&str, &str); 6] = [
        ("normal", "normal"),
        ("slave", "replica"),
        ("replica", "replica"),
        ("pubsub", "pubsub"),
        ("master", "primary"),
        ("primary", "primary"),
    ];
    let found = NAMES.into_iter().find(|(name, _)| value.eq_ignore_ascii_case(name.as_bytes()));
    found.map(|(_, kind)| kind).ok_or_else(|| shown("ERR Unknown client type '", value, "'"))
}

fn kind_of(client: &Client) -> &'static str {
    if client.delivery() != Delivery::None {
        "replica"
    } else if client.is_subscriber() {
        "pubsub"
    } else {
        "normal"
    }
}

fn database(value: &[u8], databases: u32) -> Result<u32, Error> {
    let number = parse_i64(value).and_then(|number| i32::try_from(number).ok());
    let number = number.ok_or_else(|| Error::of("ERR DB is not an integer or out of range"))?;
    let db = u32::try_from(number).ok().filter(|db| *db < databases);
    db.ok_or_else(|| Error::of(format!("ERR DB number should be between 0 and {}", databases - 1)))
}

fn yes_or_no(value: &[u8]) -> Result<bool, Error> {
    let is = |word: &[u8]| value.eq_ignore_ascii_case(word);
    if is(b"YES") || is(b"NO") { Ok(is(b"YES")) } else { Err(Error::Syntax) }
}

fn shown(before: &str, value: &[u8], behind: &str) -> Error {
    Error::of(format!("{before}{}{behind}", String::from_utf8_lossy(value)))
}

/// Whether `ip:port` is of this IP; Unix sockets, whose port is 0, have none.
fn is_from(addr: &str, ip: &[u8]) -> bool {
    let Some((host, port)) = addr.rsplit_once(':') else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    port != "0" && host.as_bytes() == ip
}
