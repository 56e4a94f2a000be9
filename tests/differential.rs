//! The whole command table against real servers: the same commands to both, every reply and all that is stored compared.
//!
//! Commands come in stretches. Each stretch begins with nothing stored, on new connections, in RESP2 or RESP3, with
//! small or default thresholds of the compact encodings; it ends with a comparison of all keys, their encodings and
//! DEBUG DIGEST. A difference is shrunk to the commands it needs.

mod commands;
mod excuse;
mod scope;
mod shrink;
mod state;
mod words;

use std::env;
use std::fmt::Write;
use std::time::{Duration, Instant};

use russet_testkit::differential::{Difference, Mask, Pair, Reference};
use russet_testkit::{Random, Reply};

use crate::Server;
use commands::{Commands, is_known};
use scope::{Peer, REDIS, VALKEY, left_out};

/// How long a test takes, unless a number of commands is asked for.
const SECONDS: u64 = 5;

/// Commands between two comparisons of everything.
const STRETCH: u64 = 500;

/// Differences after which a run ends.
const ENOUGH: usize = 25;

/// Differences at the same command that are shrunk and told.
const OF_A_KIND: usize = 2;

/// Thresholds that a few elements reach.
const SMALL: &[(&str, &str)] = &[
    ("hash-max-listpack-entries", "4"),
    ("set-max-listpack-entries", "5"),
    ("set-max-intset-entries", "3"),
    ("zset-max-listpack-entries", "4"),
    ("list-max-listpack-size", "3"),
    ("stream-node-max-entries", "3"),
];

/// The thresholds as they are in a new server.
const DEFAULT: &[(&str, &str)] = &[
    ("hash-max-listpack-entries", "512"),
    ("set-max-listpack-entries", "128"),
    ("set-max-intset-entries", "512"),
    ("zset-max-listpack-entries", "128"),
    ("list-max-listpack-size", "-2"),
    ("stream-node-max-entries", "100"),
];

type Command = Vec<Vec<u8>>;

/// Two servers, and what they are told.
struct Fuzz {
    server: Server,
    reference: Reference,
    peer: Peer,
    seed: u64,
}

/// What a stretch begins with.
#[derive(Clone, Copy, Debug)]
struct Setting {
    is_small: bool,
    is_resp3: bool,
}

impl Fuzz {
    /// New connections to servers that hold nothing.
    fn pair(&self, setting: Setting) -> Pair {
        let mut pair = Pair::new(self.server.client(), self.reference.client())
            .with_doubles(self.peer.doubles)
            .with_excuse(self.peer.excuse);
        let thresholds = if setting.is_small { SMALL } else { DEFAULT };
        let known = thresholds.iter().filter(|(name, _)| !self.peer.lacks_parameter(name));
        let mut config = vec!["CONFIG", "SET"];
        config.extend(known.flat_map(|(name, value)| [*name, *value]));
        let hello = ["HELLO", if setting.is_resp3 { "3" } else { "2" }];
        for client in [&mut pair.left, &mut pair.right] {
            assert_eq!(client.cmd(&config).to_string(), "OK");
            // What has ended is removed where it is met, on both alike.
            assert_eq!(client.cmd(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]).to_string(), "OK");
            client.cmd(&["FLUSHALL"]);
            client.cmd(&hello);
        }
        pair
    }

    /// Runs commands from nothing. Their first difference comes with the number of commands that led to it.
    fn play(&self, setting: Setting, commands: &[Command]) -> Result<(), (usize, Difference)> {
        let mut pair = self.pair(setting);
        let before = changes(&mut pair);
        tell(&mut pair, commands)?;
        let mut ended = state::compare(&mut pair, self.peer);
        // To replace a key that has ended counts where nobody has met it yet.
        if self.peer.is_recent && !commands.iter().any(is_end) {
            ended = ended.and_then(|()| compare_changes(before, changes(&mut pair)));
        }
        ended.map_err(|difference| (commands.len(), difference))
    }

    /// Plays a stretch, without the commands whose difference is explained. Each of those is told.
    fn judge(
        &self,
        setting: Setting,
        stretch: &mut Vec<Command>,
    ) -> Result<(), (usize, Difference)> {
        loop {
            let Err((place, difference)) = self.play(setting, stretch) else { return Ok(()) };
            let Some((at, reason)) = excuse::find(self, setting, stretch, (place, &difference))
            else {
                return Err((place, difference));
            };
            stretch.remove(at);
            println!("--- explained: {reason}\n{difference}");
        }
    }

    /// Runs as many commands as asked for, or for a while, and tells all differences.
    fn run(&self) -> (u64, Vec<String>) {
        // Waits end when the reference looks at its clock, ten times a second otherwise.
        self.reference.client().cmd(&["CONFIG", "SET", "hz", "500"]);
        // A snapshot would begin to count changes anew.
        self.server.client().cmd(&["CONFIG", "SET", "save", ""]);
        let mut random = Random::new(self.seed);
        let limit =
            env::var("RUSSET_FUZZ_COMMANDS").ok().and_then(|count| count.parse::<u64>().ok());
        let (begin, mut ran, mut found) = (Instant::now(), 0, Vec::new());
        let mut kinds: Vec<String> = Vec::new();
        let mut commands = Commands::new(self.server.state().table.all(), self.peer);
        while found.len() < ENOUGH
            && limit.map_or(begin.elapsed() < Duration::from_secs(SECONDS), |limit| ran < limit)
        {
            let setting = Setting { is_small: random.percent(50), is_resp3: random.percent(50) };
            commands.begin(random.bits());
            let mut stretch: Vec<Command> = (0..STRETCH).map(|_| commands.next()).collect();
            stretch.extend(commands.rest());
            ran += STRETCH;
            if let Err((place, difference)) = self.judge(setting, &mut stretch) {
                stretch.truncate(place);
                let kind = shrink::kind(&difference);
                kinds.push(kind.clone());
                if kinds.iter().filter(|it| **it == kind).count() <= OF_A_KIND {
                    found.push(shrink::shrunk(self, setting, stretch, difference));
                    println!("--- after {ran} commands\n{}", found[found.len() - 1]);
                }
            }
        }
        let rate = ran as f64 / begin.elapsed().as_secs_f64();
        println!("{}: {ran} commands of seed {}, {rate:.0}/s", self.peer.program, self.seed);
        (ran, found)
    }
}

/// Tells both the same, up to the first difference in what they answer.
fn tell(pair: &mut Pair, commands: &[Command]) -> Result<(), (usize, Difference)> {
    let mut done = 0;
    for part in commands.split_inclusive(is_spop) {
        let (spop, others) = match part.split_last() {
            Some((last, others)) if is_spop(last) => (Some(last), others),
            _ => (None, part),
        };
        pair.all(others).map_err(|(place, difference)| (done + place + 1, difference))?;
        done += part.len();
        spop.map_or(Ok(()), |spop| step(pair, spop)).map_err(|difference| (done, difference))?;
    }
    Ok(())
}

/// What both servers count as changes.
fn changes(pair: &mut Pair) -> [i64; 2] {
    [&mut pair.left, &mut pair.right].map(|client| {
        let text = client.cmd(&["INFO", "persistence"]);
        let text = String::from_utf8_lossy(text.bytes().expect("INFO is text")).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("rdb_changes_since_last_save:"));
        line.and_then(|number| number.parse().ok()).expect("INFO tells of changes")
    })
}

fn compare_changes(before: [i64; 2], after: [i64; 2]) -> Result<(), Difference> {
    let [left, right] = [0, 1].map(|side| (after[side] - before[side]).to_string().into_bytes());
    let command = "INFO changes".to_owned();
    if left == right { Ok(()) } else { Err(Difference { command, left, right }) }
}

/// Whether this gives a key a short life.
fn is_end(command: &Command) -> bool {
    command[0] == b"PEXPIRE" && command.get(2).is_some_and(|life| life == b"1")
}

fn is_spop(command: &Command) -> bool {
    command[0].eq_ignore_ascii_case(b"SPOP")
}

/// SPOP to both. What it took from one is taken from the other too.
fn step(pair: &mut Pair, command: &Command) -> Result<(), Difference> {
    let left = pair.left.cmd_frame(command).expect("our server answers");
    let right = pair.right.cmd_frame(command).expect("the reference answers");
    let difference =
        || Difference { command: "SPOP".to_owned(), left: left.clone(), right: right.clone() };
    let (Ok(ours), Ok(theirs)) = (Reply::decode(&left), Reply::decode(&right)) else {
        return Err(difference());
    };
    if !Mask::Shape.is_met(&ours, &theirs) {
        return Err(difference());
    }
    if ours.is_error() || ours == Reply::Nil {
        return Ok(());
    }
    let (ours, theirs) = (popped(&ours), popped(&theirs));
    take(&mut pair.left, &command[1], &theirs, &ours).ok_or_else(difference)?;
    take(&mut pair.right, &command[1], &ours, &theirs).ok_or_else(difference)
}

fn popped(reply: &Reply) -> Vec<Vec<u8>> {
    let one = std::slice::from_ref(reply);
    reply.items().unwrap_or(one).iter().filter_map(Reply::bytes).map(<[u8]>::to_vec).collect()
}

/// Removes members that the other server has popped and this one has not; all of them must be there.
fn take(
    client: &mut russet_testkit::Client,
    key: &[u8],
    members: &[Vec<u8>],
    done: &[Vec<u8>],
) -> Option<()> {
    let rest = members.iter().filter(|member| !done.contains(member));
    rest.map(|member| client.cmd(&[b"SREM", key, member]))
        .all(|reply| reply == Reply::Int(1))
        .then_some(())
}

fn seed() -> u64 {
    env::var("RUSSET_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

/// Says so where the peer is not installed.
fn agrees_with(peer: Peer) {
    let Some(reference) = Reference::start(peer.program) else { return };
    let fuzz = Fuzz { server: crate::server(), reference, peer, seed: seed() };
    let (ran, found) = fuzz.run();
    println!("{} differences in {ran} commands", found.len());
    let mut report = String::new();
    for (number, difference) in found.iter().enumerate() {
        writeln!(report, "--- {}\n{difference}", number + 1).expect("a string takes all");
    }
    assert!(found.is_empty(), "seed {} of {}:\n{report}", fuzz.seed, peer.program);
}

#[test]
fn all_commands_answer_as_valkey() {
    agrees_with(VALKEY);
}

#[test]
fn all_commands_answer_as_redis() {
    agrees_with(REDIS);
}

#[test]
fn fuz_4_every_command_is_compared_or_left_out_for_a_reason() {
    let rows = russet_server::table().all().filter(|row| row.subcommands.is_empty());
    let unknown: Vec<String> =
        rows.filter(|row| left_out(row).is_none()).filter_map(|row| is_known(row).err()).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
