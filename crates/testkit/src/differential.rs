//! The same commands to two servers, and the first reply that differs.
//!
//! Replies are compared as bytes. Where two servers may rightly differ a [`Mask`] says how: times may be
//! a little apart, unordered replies are sorted. [`Pair::contents`] compares everything that is stored.

mod mask;
#[cfg(test)]
mod tests;

use std::env;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::Path;

pub use mask::Mask;

use crate::client::{Client, Reply, elements, encode_into, show};
use crate::process::{Process, Setup};

/// A reference server of its own, on a free loopback port, that saves nothing. Dropping it kills it.
#[derive(Debug)]
pub struct Reference {
    /// The server.
    pub process: Process,
}

impl Reference {
    /// Starts `valkey-server` or `redis-server`. Where it is not installed, says so and gives none; with
    /// `RUSSET_REQUIRE_PEERS=1` in the environment, panics instead.
    pub fn start(program: &str) -> Option<Self> {
        if !installed(program) {
            return None;
        }
        let setup = Setup::new(program).args([
            "--save",
            "",
            "--appendonly",
            "no",
            "--enable-debug-command",
            "yes",
        ]);
        let process = setup.start().expect("an installed reference server starts");
        Some(Self { process })
    }

    /// A new connection.
    pub fn client(&self) -> Client {
        self.process.client().expect("a running reference server accepts connections")
    }
}

/// Whether a program is on the path. If not, one line says that something is left out, or a panic does
/// when `RUSSET_REQUIRE_PEERS=1`.
#[expect(clippy::print_stdout, reason = "a test run must show what it did not test")]
pub fn installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    if env::split_paths(&path).any(|dir| Path::new(&dir).join(program).is_file()) {
        return true;
    }
    assert!(
        env::var("RUSSET_REQUIRE_PEERS").as_deref() != Ok("1"),
        "{program} is not installed, and RUSSET_REQUIRE_PEERS=1 requires it"
    );
    println!("left out: {program} is not installed");
    false
}

/// Two replies that should be the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The command as a person would type it.
    pub command: String,
    /// The first server's reply, raw.
    pub left: Vec<u8>,
    /// The second server's reply, raw.
    pub right: Vec<u8>,
}

impl Display for Difference {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}", self.command)?;
        writeln!(out, "   left: {}", self.left.escape_ascii())?;
        write!(out, "  right: {}", self.right.escape_ascii())
    }
}

/// Two connections that are told the same.
#[derive(Debug)]
pub struct Pair {
    /// A connection to the first server.
    pub left: Client,
    /// A connection to the second server.
    pub right: Client,
    /// Within MULTI, the names of the queued commands and what their replies may differ in.
    queued: Option<Vec<(Vec<u8>, Mask)>>,
    doubles: Doubles,
    /// How often doubles were not printed alike.
    unlike: usize,
    excuse: Excuse,
}

/// How alike two servers print doubles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Doubles {
    /// In the same way.
    #[default]
    Alike,
    /// The second with other digits now and then: more than are needed, or the other of two that are equally good.
    Longer,
    /// Each in its own way.
    Unlike,
}

/// Says of a command in upper case whether these raw replies of both servers are both right.
pub type Excuse = fn(&[u8], &[u8], &[u8]) -> bool;

impl Pair {
    /// Two connections in the same state.
    pub fn new(left: Client, right: Client) -> Self {
        let doubles = Doubles::default();
        Self { left, right, queued: None, doubles, unlike: 0, excuse: |_, _, _| false }
    }

    /// Texts that read as the same double may count as the same.
    #[must_use]
    pub fn with_doubles(mut self, doubles: Doubles) -> Self {
        self.doubles = doubles;
        self
    }

    /// How many replies have differed in nothing but how doubles are printed.
    pub fn unlike(&self) -> usize {
        self.unlike
    }

    /// Replies that differ count as the same if this says so.
    #[must_use]
    pub fn with_excuse(mut self, excuse: Excuse) -> Self {
        self.excuse = excuse;
        self
    }

    /// Sends a command to both and compares the replies. Replies in EXEC's are masked each by its own
    /// command. The raw reply of the first server is returned when they agree.
    #[track_caller]
    pub fn both<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<Vec<u8>, Difference> {
        let (left, right) = ask(&mut self.left, &mut self.right, args);
        self.compare(args, left, right)
    }

    /// Sends all commands to both, then compares as [`Self::both`] does, reply by reply. Gives the first server's raw replies, or the
    /// place of the first difference. All replies are read in either case, unless a connection is lost: to that the answer is empty.
    pub fn all<A: AsRef<[u8]>>(
        &mut self,
        commands: &[Vec<A>],
    ) -> Result<Vec<Vec<u8>>, (usize, Difference)> {
        let mut request = Vec::new();
        commands.iter().for_each(|command| encode_into(&mut request, command));
        // A connection that is lost shows when its replies are read.
        let _ = self.left.send_raw(&request);
        let _ = self.right.send_raw(&request);
        let mut replies = Vec::with_capacity(commands.len());
        let mut first = None;
        for (place, command) in commands.iter().enumerate() {
            let left = self.left.recv_frame().unwrap_or_default();
            let right = self.right.recv_frame().unwrap_or_default();
            let is_lost = left.is_empty() || right.is_empty();
            match self.compare(command, left, right) {
                Ok(left) => replies.push(left),
                Err(difference) => first = first.or(Some((place, difference))),
            }
            if is_lost {
                break;
            }
        }
        first.map_or(Ok(replies), Err)
    }

    fn compare<A: AsRef<[u8]>>(
        &mut self,
        args: &[A],
        left: Vec<u8>,
        right: Vec<u8>,
    ) -> Result<Vec<u8>, Difference> {
        let name = args.first().map(|name| name.as_ref().to_ascii_uppercase()).unwrap_or_default();
        let same = match name.as_slice() {
            b"EXEC" => self.same_exec(&left, &right),
            _ => self.same(&name, Mask::of(args), &left, &right),
        };
        self.follow(&name, &left, Mask::of(args));
        if same && !left.is_empty() {
            return Ok(left);
        }
        Err(Difference { command: show(args), left, right })
    }

    fn same_exec(&mut self, left: &[u8], right: &[u8]) -> bool {
        if left == right {
            return true;
        }
        let masks = self.queued.clone().unwrap_or_default();
        match (elements(left), elements(right)) {
            (Some(left), Some(right)) => {
                let mut all = masks.iter().zip(left.iter().zip(&right));
                left.len() == right.len()
                    && all.all(|((name, mask), (left, right))| self.same(name, *mask, left, right))
            }
            _ => left == right,
        }
    }

    fn same(&mut self, name: &[u8], mask: Mask, left: &[u8], right: &[u8]) -> bool {
        if same(left, right, mask) || (self.excuse)(name, left, right) {
            return true;
        }
        let is_unlike = match (Reply::decode(left), Reply::decode(right)) {
            (Ok(left), Ok(right)) if self.doubles == Doubles::Unlike => {
                mask::are_close(&left, &right, |_, _| true)
            }
            (Ok(left), Ok(right)) if self.doubles == Doubles::Longer => {
                mask::are_close(&left, &right, mask::has_other_digits)
            }
            _ => false,
        };
        self.unlike += usize::from(is_unlike);
        is_unlike
    }

    /// Keeps track of what is queued, by what the first server says.
    fn follow(&mut self, name: &[u8], left: &[u8], mask: Mask) {
        match (name, left) {
            (b"MULTI", b"+OK\r\n") => self.queued = Some(Vec::new()),
            (b"EXEC" | b"DISCARD" | b"RESET", _) if left.first() != Some(&b'-') => {
                self.queued = None;
            }
            (b"EXEC", _) if left.starts_with(b"-EXECABORT") => self.queued = None,
            (_, b"+QUEUED\r\n") => {
                self.queued.get_or_insert_default().push((name.to_vec(), mask));
            }
            _ => {}
        }
    }

    /// Compares all keys of the selected database: names, types, values and times to live. DBSIZE is not asked: it counts keys that have
    /// expired until the server comes across them.
    #[track_caller]
    pub fn contents(&mut self) -> Result<(), Difference> {
        let keys = self.both(&["KEYS", "*"])?;
        let keys = Reply::decode(&keys).expect("a reply that was compared decodes");
        for key in keys.items().unwrap_or_default().iter().filter_map(Reply::bytes) {
            let kind = self.both(&[b"TYPE", key])?;
            self.both(&reading(&kind, key))?;
            self.both(&[b"PTTL", key])?;
        }
        Ok(())
    }
}

/// The command that shows all of a key's value.
fn reading<'a>(kind: &[u8], key: &'a [u8]) -> Vec<&'a [u8]> {
    match kind {
        b"+list\r\n" => vec![b"LRANGE", key, b"0", b"-1"],
        b"+hash\r\n" => vec![b"HGETALL", key],
        b"+set\r\n" => vec![b"SMEMBERS", key],
        b"+zset\r\n" => vec![b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"],
        b"+stream\r\n" => vec![b"XRANGE", key, b"-", b"+"],
        _ => vec![b"GET", key],
    }
}

#[track_caller]
fn ask<A: AsRef<[u8]>>(left: &mut Client, right: &mut Client, args: &[A]) -> (Vec<u8>, Vec<u8>) {
    let sent = left.send(args).and_then(|()| right.send(args));
    let answers = sent.and_then(|()| Ok((left.recv_frame()?, right.recv_frame()?)));
    match answers {
        Ok(answers) => answers,
        Err(error) => lost(&show(args), &error),
    }
}

#[track_caller]
fn lost(command: &str, error: &io::Error) -> ! {
    panic!("a server did not answer {command}: {error}")
}

/// How the answer to a command that does not exist begins; how it quotes bytes that are no text is not compared.
const UNKNOWN: &[u8] = b"-ERR unknown command";

fn same(left: &[u8], right: &[u8], mask: Mask) -> bool {
    if left.starts_with(UNKNOWN) && right.starts_with(UNKNOWN) {
        return true;
    }
    if left == right || mask == Mask::Exact {
        return left == right;
    }
    match (Reply::decode(left), Reply::decode(right)) {
        (Ok(left), Ok(right)) => mask.is_met(&left, &right),
        _ => false,
    }
}
