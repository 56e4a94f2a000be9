//! The same commands to two servers, and the first reply that differs.
//!
//! Replies are compared as bytes. Where two servers may rightly differ a [`Mask`] says how: times may be
//! a little apart, unordered replies are sorted. [`Generator`] makes commands from a seed; after a stretch
//! of them [`contents`] compares everything that is stored.

mod arguments;
mod generator;
mod mask;
#[cfg(test)]
mod tests;

use std::env;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::Path;

pub use generator::Generator;
pub use mask::Mask;

use crate::client::{Client, Reply, show};
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
    /// Within MULTI, what the replies of the queued commands may differ in.
    queued: Option<Vec<Mask>>,
}

impl Pair {
    /// Two connections in the same state.
    pub fn new(left: Client, right: Client) -> Self {
        Self { left, right, queued: None }
    }

    /// Sends a command to both and compares the replies. Replies in EXEC's are masked each by its own
    /// command. The raw reply of the first server is returned when they agree.
    #[track_caller]
    pub fn both<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<Vec<u8>, Difference> {
        let name = args.first().map(|name| name.as_ref().to_ascii_uppercase()).unwrap_or_default();
        let (left, right) = ask(&mut self.left, &mut self.right, args);
        let same = match name.as_slice() {
            b"EXEC" => self.same_exec(&left, &right),
            _ => same(&left, &right, Mask::of(args)),
        };
        self.follow(&name, &left, Mask::of(args));
        if same { Ok(left) } else { Err(Difference { command: show(args), left, right }) }
    }

    fn same_exec(&self, left: &[u8], right: &[u8]) -> bool {
        let masks = self.queued.as_deref().unwrap_or_default();
        match (Reply::decode(left), Reply::decode(right)) {
            (Ok(Reply::Array(left)), Ok(Reply::Array(right))) => {
                let mut all = masks.iter().zip(left.iter().zip(&right));
                left.len() == right.len()
                    && all.all(|(mask, (left, right))| mask.is_met(left, right))
            }
            _ => left == right,
        }
    }

    /// Keeps track of what is queued, by what the first server says.
    fn follow(&mut self, name: &[u8], left: &[u8], mask: Mask) {
        match (name, left) {
            (b"MULTI", b"+OK\r\n") => self.queued = Some(Vec::new()),
            (b"EXEC" | b"DISCARD" | b"RESET", _) if left.first() != Some(&b'-') => {
                self.queued = None;
            }
            (b"EXEC", _) if left.starts_with(b"-EXECABORT") => self.queued = None,
            (_, b"+QUEUED\r\n") => self.queued.get_or_insert_default().push(mask),
            _ => {}
        }
    }

    /// Runs commands of a generator, comparing all that is stored after every thousand.
    #[track_caller]
    pub fn run(&mut self, generator: &mut Generator, count: usize) -> Result<(), Difference> {
        for index in 1..=count {
            self.both(&generator.next())?;
            if index % 1_000 == 0 || index == count {
                self.both(&["DISCARD"])?;
                generator.left_transaction();
                contents(&mut self.left, &mut self.right)?;
            }
        }
        Ok(())
    }
}

/// Sends a command to both and compares the raw replies, but for what the mask allows.
#[track_caller]
pub fn both<A: AsRef<[u8]>>(
    left: &mut Client,
    right: &mut Client,
    args: &[A],
    mask: Mask,
) -> Result<Vec<u8>, Difference> {
    let (left, right) = ask(left, right, args);
    if same(&left, &right, mask) {
        return Ok(left);
    }
    Err(Difference { command: show(args), left, right })
}

/// Compares all keys of the selected database: names, types, values and times to live. DBSIZE is not asked:
/// it counts keys that have expired until the server comes across them.
#[track_caller]
pub fn contents(left: &mut Client, right: &mut Client) -> Result<(), Difference> {
    let keys = both(left, right, &["KEYS", "*"], Mask::Unordered)?;
    let keys = Reply::decode(&keys).expect("a reply that was compared decodes");
    for key in keys.items().unwrap_or_default().iter().filter_map(Reply::bytes) {
        let kind = both(left, right, &[b"TYPE", key], Mask::Exact)?;
        let read = reading(&kind, key);
        both(left, right, &read, Mask::of(&read))?;
        let lives: [&[u8]; 2] = [b"PTTL", key];
        both(left, right, &lives, Mask::of(&lives))?;
    }
    Ok(())
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
