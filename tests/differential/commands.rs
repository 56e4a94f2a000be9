//! Random commands made from the command table: each row's syntax line says which words it takes.
//!
//! Four in five are well-formed; one in five has an edge value, a word too many or too few, or a word that does not
//! belong. Options come in any order. Each family has a few keys of its own, which the others meet at times.

use std::rc::Rc;

use russet_dispatch::syntax::{self, Argument, Kind, Repeats};
use russet_dispatch::{Group, Row};
use russet_testkit::Random;

use super::scope::{Peer, left_out};
use super::words;

/// How many in a hundred commands are well-formed.
const VALID_PERCENT: u64 = 80;

/// How many in a hundred commands within MULTI end it.
const EXEC_PERCENT: u64 = 15;

/// How many in a hundred keys are of the command's own family.
const OWN_KEY_PERCENT: u64 = 85;

/// How many in a hundred options that may be left out are not.
const OPTION_PERCENT: u64 = 35;

/// How many in a hundred commands that may wait, and are not within MULTI, are sent.
const WAITING_PERCENT: u64 = 15;

/// Commands that fill keys, and others that need to come often.
const OFTEN: &[(&str, usize)] = &[
    ("set", 5),
    ("rpush", 4),
    ("lpush", 3),
    ("sadd", 7),
    ("hset", 7),
    ("zadd", 9),
    ("xadd", 10),
    ("geoadd", 5),
    ("setbit", 3),
    ("pfadd", 3),
    ("xgroup|create", 3),
    ("xreadgroup", 3),
    ("sort", 2),
    ("zrange", 3),
    ("zunionstore", 2),
    ("geosearch", 2),
    ("bitfield", 3),
    ("multi", 4),
];

/// One in so many commands outside of MULTI gives a key a life that ends before the next but one.
const ENDS: u64 = 400;

/// Words that belong to no command, or to another place.
const STRAY: [&str; 9] = ["", "NX", "GET", "COUNT", "nosuch", "-1", "\r\n", "LIMIT", "WITHSCORES"];

/// A command of the table, its syntax line read.
#[derive(Debug)]
struct Known {
    row: &'static Row,
    arguments: Rc<[Argument]>,
}

/// An endless sequence of commands.
#[derive(Debug)]
pub(super) struct Commands {
    random: Random,
    known: Vec<Known>,
    peer: Peer,
    /// What comes next, the last first.
    planned: Vec<Vec<Vec<u8>>>,
    in_multi: bool,
    /// Whether a key may have ended that nobody has met since.
    has_ended: bool,
    /// Whether the command being made should make sense.
    valid: bool,
    group: Group,
    name: &'static str,
    /// How many of the next argument that repeats, where a number before it says so.
    announced: Option<usize>,
    /// How many there were the last time.
    last: usize,
    /// Grows with every entry, so that identifiers of streams do.
    clock: u64,
}

/// Whether there are values for everything a command takes.
pub(super) fn is_known(row: &Row) -> Result<(), String> {
    let arguments = syntax::parse(row.command.syntax)?;
    arguments.iter().try_for_each(|argument| has_values(row.command.name, argument))
}

fn has_values(command: &str, argument: &Argument) -> Result<(), String> {
    match &argument.kind {
        Kind::OneOf(parts) | Kind::Block(parts) => {
            parts.iter().try_for_each(|part| has_values(command, part))
        }
        Kind::Key | Kind::PureToken | Kind::UnixTime => Ok(()),
        _ if argument.is_key() => Ok(()),
        _ if is_identifier(command, argument) || words::pools(command, argument).is_some() => {
            Ok(())
        }
        _ => Err(format!("no values for {} of {command}", argument.name)),
    }
}

/// Whether an argument is an identifier of a stream entry, or a limit on them.
fn is_identifier(command: &str, argument: &Argument) -> bool {
    let names = [
        "id",
        "start",
        "end",
        "threshold",
        "lastid",
        "last-id",
        "max-deleted-id",
        "producer-id",
        "idempotent-id",
    ];
    command.starts_with('x') && names.contains(&argument.name.as_str())
        || ["create", "setid"].contains(&command) && argument.name == "id"
        || argument.name.starts_with("if") && argument.token.is_some()
}

fn is_data(row: &Row) -> bool {
    row.subcommands.is_empty() && left_out(row).is_none()
}

impl Commands {
    /// Commands that the peer knows.
    pub(super) fn new(rows: impl Iterator<Item = &'static Row>, peer: Peer) -> Self {
        let often =
            |row: &Row| OFTEN.iter().find(|(name, _)| *name == row.full_name).map_or(1, |it| it.1);
        let known = rows.filter(|row| is_data(row) && peer.has(row)).flat_map(|row| {
            let arguments = syntax::parse(row.command.syntax).expect("a line of the table is read");
            let arguments: Rc<[Argument]> = arguments.into();
            (0..often(row)).map(move |_| Known { row, arguments: Rc::clone(&arguments) })
        });
        Self {
            random: Random::new(0),
            known: known.collect(),
            peer,
            planned: Vec::new(),
            in_multi: false,
            has_ended: false,
            valid: true,
            group: Group::Generic,
            name: "",
            announced: None,
            last: 1,
            clock: 1,
        }
    }

    /// Begins the sequence of this seed.
    pub(super) fn begin(&mut self, seed: u64) {
        self.random = Random::new(seed);
        self.planned.clear();
        (self.in_multi, self.has_ended, self.last, self.clock) = (false, false, 1, 1);
    }

    /// What must still follow the last command.
    pub(super) fn rest(&mut self) -> impl Iterator<Item = Vec<Vec<u8>>> + '_ {
        self.planned.drain(..).rev()
    }

    /// The next command.
    pub(super) fn next(&mut self) -> Vec<Vec<u8>> {
        if let Some(planned) = self.planned.pop() {
            return planned;
        }
        if !self.in_multi && self.random.below(ENDS) == 0 {
            return self.end_a_key();
        }
        let mut command = if self.in_multi && self.random.percent(EXEC_PERCENT) {
            vec![(*self.random.pick(&["EXEC", "exec", "EXEC", "DISCARD"])).to_owned()]
        } else {
            self.any()
        };
        while self.in_multi && !fits_multi(&command)
            || self.has_ended && is(&command, "DBSIZE")
            || self.peer.lacks_form(&command)
        {
            command = self.any();
        }
        let is_bare = command.len() == 1;
        self.in_multi |= is_bare && is(&command, "MULTI");
        self.in_multi &= !(is_bare && (is(&command, "EXEC") || is(&command, "DISCARD")));
        let mut all = self.peer.first(&command);
        all.push(command);
        self.planned.extend(all.into_iter().rev().map(encoded));
        self.planned.pop().expect("the command at least")
    }

    /// A key that ends while the next command waits, on both servers.
    fn end_a_key(&mut self) -> Vec<Vec<u8>> {
        let bytes = |word: &&str| word.as_bytes().to_vec();
        self.has_ended = true;
        self.planned.push(["BLPOP", "nosuchkey", "0.005"].iter().map(bytes).collect());
        ["PEXPIRE", *self.random.pick(words::ALL_KEYS), "1"].iter().map(bytes).collect()
    }

    /// One that waits would only cost time, most of the time.
    fn any(&mut self) -> Vec<String> {
        let mut command = self.one_of_all();
        while !self.in_multi && is_waiting(&command) && !self.random.percent(WAITING_PERCENT) {
            command = self.one_of_all();
        }
        command
    }

    fn one_of_all(&mut self) -> Vec<String> {
        self.valid = self.random.percent(VALID_PERCENT);
        let place = self.random.below(self.known.len() as u64) as usize;
        let Known { row, arguments } = &self.known[place];
        (self.group, self.name) = (row.command.group, row.command.name);
        let mut command: Vec<String> = row.full_name.split('|').map(str::to_uppercase).collect();
        let arguments = Rc::clone(arguments);
        self.announced = None;
        self.sequence(&arguments, &mut command);
        self.mend(&mut command);
        if !self.valid {
            self.spoil(&mut command);
        }
        if self.random.percent(20) {
            command[0] = command[0].to_lowercase();
        }
        command
    }

    /// Arguments in their order, but options beside each other in any.
    fn sequence(&mut self, arguments: &[Argument], out: &mut Vec<String>) {
        let mut rest = arguments;
        while let Some(first) = rest.first() {
            let options = rest.iter().take_while(|argument| argument.optional).count();
            if options < 2 {
                self.argument(first, out);
                rest = &rest[1..];
                continue;
            }
            let mut order: Vec<usize> = (0..options).collect();
            for last in (1..options).rev() {
                order.swap(last, self.random.below(last as u64 + 1) as usize);
            }
            order.iter().for_each(|place| self.argument(&rest[*place], out));
            rest = &rest[options..];
        }
    }

    fn argument(&mut self, argument: &Argument, out: &mut Vec<String>) {
        if self.is_left_out(argument) || argument.optional && !self.random.percent(OPTION_PERCENT) {
            return;
        }
        let says = argument.token.clone().filter(|_| argument.kind != Kind::PureToken);
        if says.as_deref() == Some("WEIGHTS")
            || argument.name == "id" && out.iter().any(|word| word == "STREAMS")
        {
            self.announced = Some(self.last);
        }
        for time in 0..self.times(argument) {
            if time == 0 || argument.repeats == Repeats::WithToken {
                out.extend(says.clone());
            }
            self.one(argument, out);
        }
    }

    fn times(&mut self, argument: &Argument) -> usize {
        if argument.repeats == Repeats::No {
            return 1;
        }
        let times = self.announced.take().unwrap_or_else(|| 1 + self.random.below(3) as usize);
        self.last = times;
        times
    }

    /// Whether the peer does not know it, or makes of it what the clock says.
    fn is_left_out(&self, argument: &Argument) -> bool {
        let is_count = self.name.starts_with('z') && argument.kind == Kind::PureToken;
        match (&argument.token, &argument.kind) {
            (Some(word), _) if word == "*" => true,
            (Some(word), _) if word == "COUNT" && is_count => true,
            (Some(word), _) if self.peer.lacks(word) => true,
            (_, Kind::OneOf(parts)) => parts.iter().all(|part| self.is_left_out(part)),
            _ => false,
        }
    }

    fn one(&mut self, argument: &Argument, out: &mut Vec<String>) {
        match &argument.kind {
            Kind::OneOf(parts) => {
                let parts: Vec<&Argument> =
                    parts.iter().filter(|part| !self.is_left_out(part)).collect();
                let part = *self.random.pick(&parts);
                self.argument(part, out);
            }
            Kind::Block(parts) => self.sequence(parts, out),
            Kind::PureToken => out.push(self.cased(argument.token.as_deref().unwrap_or_default())),
            _ if argument.is_key() => out.push(self.key()),
            Kind::Integer if argument.name.starts_with("num") && argument.name != "num-matches" => {
                out.push(self.number());
            }
            _ => out.push(self.value(argument)),
        }
    }

    fn value(&mut self, argument: &Argument) -> String {
        let good = self.valid || self.random.percent(60);
        if is_identifier(self.name, argument) {
            return self.identifier(&argument.name);
        }
        if let Some(made) = words::made(&mut self.random, argument, good) {
            return made;
        }
        let (right, wrong) = words::pools(self.name, argument).expect("every argument has values");
        (*self.random.pick(if good { right } else { wrong })).to_owned()
    }

    fn cased(&mut self, word: &str) -> String {
        if self.random.percent(80) { word.to_owned() } else { word.to_lowercase() }
    }

    fn key(&mut self) -> String {
        let own = self.random.percent(OWN_KEY_PERCENT);
        let keys = if own { words::keys(self.group) } else { words::ALL_KEYS };
        (*self.random.pick(keys)).to_owned()
    }

    /// How many keys or fields follow.
    fn number(&mut self) -> String {
        let number = 1 + self.random.below(3) as usize;
        self.announced = Some(number);
        if self.valid || self.random.percent(60) {
            number.to_string()
        } else {
            words::edge(&mut self.random)
        }
    }

    /// An identifier near those that are there.
    fn identifier(&mut self, name: &str) -> String {
        let past = self.clock.saturating_sub(self.random.below(12));
        if self.name == "xadd" && name == "id" {
            return self.new_identifier(past);
        }
        if name == "threshold" && self.random.percent(50) {
            return self.random.below(8).to_string();
        }
        match self.random.below(12) {
            0 => "-".to_owned(),
            1 => "+".to_owned(),
            2 => format!("({past}"),
            3 | 4 => ">".to_owned(),
            5 => "0".to_owned(),
            6 => "$".to_owned(),
            7 => (*self.random.pick(&[
                "0-0",
                "abc",
                "1-",
                "-1",
                "18446744073709551615-18446744073709551615",
                "18446744073709551616",
                "(",
                "1-1-1",
                " 1",
            ]))
            .to_owned(),
            8 => format!("{past}-1"),
            _ => format!("{past}-{}", self.random.below(3)),
        }
    }

    fn new_identifier(&mut self, past: u64) -> String {
        self.clock += self.random.below(2);
        match self.random.below(20) {
            0 => format!("{past}-*"),
            1 => past.to_string(),
            2 => "0-0".to_owned(),
            3 => (*self.random.pick(&[
                "abc",
                "",
                "1-",
                "-",
                "+",
                "$",
                "99999999999999999999-1",
                "0-*",
            ]))
            .to_owned(),
            4..8 => format!("{}-*", self.clock),
            _ => {
                self.clock += 1;
                format!("{}-{}", self.clock, self.random.below(3))
            }
        }
    }

    /// What a syntax line does not say: that the ends of a range are of the kind an option names.
    fn mend(&mut self, command: &mut Vec<String>) {
        self.mend_lex(command);
        mend_sort(command);
        let place = match self.name {
            "zrange" => 2,
            "zrangestore" => 3,
            _ => return,
        };
        let by = ["BYSCORE", "BYLEX"]
            .into_iter()
            .find(|by| command.iter().any(|word| word.eq_ignore_ascii_case(by)));
        for word in command.iter_mut().skip(place).take(2) {
            *word = words::end(&mut self.random, by.unwrap_or_default(), self.valid);
        }
    }

    /// Ranges of members mean something only where all scores are the same: there are keys for that.
    fn mend_lex(&mut self, command: &mut Vec<String>) {
        let key = (*self.random.pick(words::LEX_KEYS)).to_owned();
        let is_by_lex = command.iter().any(|word| word.eq_ignore_ascii_case("BYLEX"));
        match self.name {
            "zadd" if self.random.percent(20) => {
                let members = (0..3).map(|_| words::value(&mut self.random));
                let pairs = members.flat_map(|member| ["0".to_owned(), member]);
                let pairs: Vec<String> = pairs.collect();
                command.truncate(1);
                command.push(key);
                command.extend(pairs);
            }
            "zrangebylex" | "zrevrangebylex" | "zlexcount" | "zremrangebylex" => command[1] = key,
            "zrange" if is_by_lex => command[1] = key,
            "zrangestore" if is_by_lex => command[2] = key,
            _ => {}
        }
    }

    /// Makes a command wrong in one more way, or leaves it at its edge values.
    fn spoil(&mut self, command: &mut Vec<String>) {
        let place = self.random.below(command.len() as u64) as usize;
        match self.random.below(10) {
            0 if command.len() > 1 => drop(command.pop()),
            1 => command.push((*self.random.pick(&STRAY)).to_owned()),
            2 if !self.may_stall() => {
                command.insert(place + 1, (*self.random.pick(&STRAY)).to_owned())
            }
            3 if place > 0 && !self.may_stall() => drop(command.remove(place)),
            4 if place > 0 && !self.may_stall() => command[place] = words::edge(&mut self.random),
            5 => command[0].push('X'),
            _ => {}
        }
    }

    /// Whether a word in the wrong place could set a life that ends on one server before the other, make a string of
    /// megabytes, wait for long, or ask for millions of elements.
    fn may_stall(&self) -> bool {
        const NAMES: &[&str] = &[
            "set",
            "getex",
            "setex",
            "psetex",
            "expire",
            "pexpire",
            "setbit",
            "setrange",
            "bitfield",
            "srandmember",
            "hrandfield",
            "zrandmember",
            "xread",
            "xreadgroup",
            "zadd",
            "select",
            "swapdb",
            "move",
            "copy",
            "xclaim",
            // Valkey cuts larger indexes to 32 bits.
            "lset",
        ];
        NAMES.contains(&self.name) || self.name.starts_with('b')
    }
}

/// Elements for which other keys say the same text come in any order: that is not kept.
fn mend_sort(command: &mut Vec<String>) {
    let has = |word: &str| command.iter().any(|it| it.eq_ignore_ascii_case(word));
    if is(command, "SORT") && has("BY") && has("ALPHA") && has("STORE") {
        command.retain(|word| !word.eq_ignore_ascii_case("ALPHA"));
    }
}

fn encoded(command: Vec<String>) -> Vec<Vec<u8>> {
    command.into_iter().map(String::into_bytes).collect()
}

/// Whether it may wait.
fn is_waiting(command: &[String]) -> bool {
    const NAMES: [&str; 7] =
        ["BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BLMPOP", "BZPOPMIN", "BZPOPMAX"];
    NAMES.iter().chain(&["BZMPOP"]).any(|name| is(command, name))
        || command.iter().any(|word| word == "BLOCK")
}

fn is(command: &[String], name: &str) -> bool {
    command[0].eq_ignore_ascii_case(name)
}

/// What SPOP removes is known only from its reply; MULTI and WATCH have an answer for each version.
fn fits_multi(command: &[String]) -> bool {
    !["SPOP", "MULTI", "WATCH"].iter().any(|name| is(command, name))
}
