//! Requests made from the command table: each row's syntax line says which words it takes.

use russet_dispatch::syntax::{self, Argument, Kind, Repeats};
use russet_dispatch::{Flag, Group, Row};

/// Groups whose commands work on data.
const OF_DATA: [Group; 10] = [
    Group::Generic,
    Group::String,
    Group::List,
    Group::Set,
    Group::SortedSet,
    Group::Hash,
    Group::HyperLogLog,
    Group::Geo,
    Group::Stream,
    Group::Bitmap,
];

/// Commands of these groups that wait for other servers, or talk to them.
const OF_OTHERS: [&str; 3] = ["wait", "waitaof", "migrate"];

/// Rows of commands that work on data, without containers.
pub(super) fn rows() -> impl Iterator<Item = &'static Row> {
    russet_server::table().all().filter(|row| {
        row.subcommands.is_empty()
            && OF_DATA.contains(&row.command.group)
            && !OF_OTHERS.contains(&row.command.name)
    })
}

/// Whether a command may wait: within MULTI it answers at once.
pub(super) fn may_wait(row: &Row) -> bool {
    row.has(Flag::Blocking)
}

/// A number among the arguments of a row that is to be this.
#[derive(Clone, Copy)]
pub(super) struct Edge<'a> {
    /// Which of the row's numbers.
    pub(super) nth: usize,
    /// What stands there.
    pub(super) text: &'a str,
}

/// How requests are made.
pub(super) struct Sampler<'a> {
    /// What the key with this index is called.
    pub(super) key: &'a dyn Fn(usize) -> String,
    /// How often what may be said again is said.
    pub(super) times: usize,
    /// Whether what repeats is said in options, too.
    pub(super) in_options: bool,
}

/// A request on its way.
struct Draft<'a> {
    row: &'static Row,
    sampler: &'a Sampler<'a>,
    edge: Option<Edge<'a>>,
    numbers: usize,
    keys: usize,
    words: Vec<String>,
}

impl Sampler<'_> {
    /// A request of what is mandatory, and of the options that lead to the edge.
    pub(super) fn request(&self, row: &'static Row, edge: Option<Edge<'_>>) -> Vec<String> {
        let arguments = arguments(row);
        let words = row.full_name.split('|').map(str::to_owned).collect();
        let mut draft = Draft { row, sampler: self, edge, numbers: 0, keys: 0, words };
        draft.sequence(&arguments);
        draft.words
    }
}

/// The arguments that a row's syntax line names.
pub(super) fn arguments(row: &Row) -> Vec<Argument> {
    syntax::parse(row.command.syntax).expect("every line is read")
}

/// How many numbers there are among some arguments and in their groups.
pub(super) fn numbers(arguments: &[Argument]) -> usize {
    arguments.iter().map(numbers_of).sum()
}

fn numbers_of(argument: &Argument) -> usize {
    match &argument.kind {
        Kind::Integer | Kind::UnixTime => 1,
        kind => numbers(kind.parts()),
    }
}

/// Whether anything among these arguments may be said again, within what is mandatory or anywhere.
pub(super) fn repeats(arguments: &[Argument], anywhere: bool) -> bool {
    arguments
        .iter()
        .filter(|argument| anywhere || !argument.optional)
        .any(|argument| argument.repeats != Repeats::No || repeats(argument.kind.parts(), anywhere))
}

impl Draft<'_> {
    fn sequence(&mut self, arguments: &[Argument]) {
        for argument in arguments {
            self.argument(argument);
        }
    }

    /// Whether the edge is within an argument.
    fn leads_to_edge(&self, argument: &Argument) -> bool {
        let here = self.numbers..self.numbers + numbers_of(argument);
        self.edge.is_some_and(|edge| here.contains(&edge.nth))
    }

    fn argument(&mut self, argument: &Argument) {
        let is_repeated = argument.repeats != Repeats::No;
        let is_wanted = is_repeated && self.sampler.in_options;
        if argument.optional && !self.leads_to_edge(argument) && !is_wanted {
            self.numbers += numbers_of(argument);
            return;
        }
        let times = if is_repeated { self.sampler.times.max(1) } else { 1 };
        let numbers = self.numbers;
        for time in 0..times {
            self.numbers = numbers;
            if let Some(token) = &argument.token
                && (time == 0 || argument.repeats != Repeats::Yes)
            {
                self.words.push(token.clone());
            }
            self.value(argument, time);
        }
        self.numbers = numbers + numbers_of(argument);
    }

    fn value(&mut self, argument: &Argument, time: usize) {
        match &argument.kind {
            Kind::PureToken => {}
            Kind::Block(parts) => self.sequence(parts),
            Kind::OneOf(parts) => self.one_of(parts),
            Kind::Integer | Kind::UnixTime => {
                let is_edge = self.edge.is_some_and(|edge| edge.nth == self.numbers);
                let text = match self.edge {
                    Some(edge) if is_edge => edge.text.to_owned(),
                    _ if argument.name.starts_with("num") => self.sampler.times.to_string(),
                    _ => "1".to_owned(),
                };
                self.numbers += 1;
                self.words.push(text);
            }
            _ if argument.is_key() => {
                let key = (self.sampler.key)(self.keys);
                self.keys += 1;
                self.words.push(key);
            }
            _ => self.words.push(text_of(self.row, argument, time)),
        }
    }

    /// The part with the edge, or the one that repeats if that is wanted, or else the first.
    fn one_of(&mut self, parts: &[Argument]) {
        let numbers = self.numbers;
        let mut chosen = (0, numbers);
        for (nth, part) in parts.iter().enumerate() {
            let is_long = self.sampler.times > 1 && repeats(std::slice::from_ref(part), true);
            if self.leads_to_edge(part) || is_long {
                chosen = (nth, self.numbers);
            }
            self.numbers += numbers_of(part);
        }
        let end = self.numbers;
        self.numbers = chosen.1;
        let part = Argument { optional: false, ..parts[chosen.0].clone() };
        self.argument(&part);
        self.numbers = end;
    }
}

/// Text that makes sense in the place of an argument.
fn text_of(row: &Row, argument: &Argument, time: usize) -> String {
    let is_stream = row.command.group == Group::Stream;
    match argument.name.as_str() {
        "id" | "start" | "end" | "threshold" | "lastid" if is_stream => format!("{}-1", time + 1),
        "group" => "g".to_owned(),
        "consumer" => "c".to_owned(),
        "min" => "-".to_owned(),
        "max" => "+".to_owned(),
        "longitude" => "13".to_owned(),
        "latitude" => "38".to_owned(),
        _ => match argument.kind {
            Kind::Double => "1".to_owned(),
            Kind::Pattern => "*".to_owned(),
            _ => format!("w{time}"),
        },
    }
}
