//! A row's syntax line, read into the tree of arguments that COMMAND DOCS shows, and printed back.
//!
//! ```text
//! key                      an argument; `count:int` says its type: int, double, time, pattern, key
//! NX                       a word to be said as it is
//! EX seconds:int           a word and the argument behind it
//! [NX | XX]  <A | B>       one of several, or none; exactly one of several
//! [LIMIT offset count]     all or none
//! key [key ...]            one or more; so with several: `key value [key value ...]`
//! PREFIX p [PREFIX p ...]  the word is said again each time
//! [key ...]  <A | B> ...   none or more; one or more
//! ```
//!
//! Printing gives the very line that was read: what the tree says is what the line said.

use std::fmt;

/// One argument, or a group of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// What it is called.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The word before it, or the word itself.
    pub token: Option<String>,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether it may be said again.
    pub repeats: Repeats,
}

/// What an argument is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any bytes.
    String,
    /// A 64-bit integer.
    Integer,
    /// A float.
    Double,
    /// A key.
    Key,
    /// A glob pattern.
    Pattern,
    /// A moment in time.
    UnixTime,
    /// A word and nothing else.
    PureToken,
    /// One of these.
    OneOf(Vec<Argument>),
    /// All of these.
    Block(Vec<Argument>),
}

/// How an argument is said again, and how the line spells that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// It is not.
    No,
    /// `x [x ...]`
    Yes,
    /// `T x [T x ...]`
    WithToken,
    /// `[x ...]` or `<x | y> ...`
    Dots,
}

/// Names of arguments that are keys, where the command has key specifications.
const KEY_NAMES: [&str; 12] = [
    "key",
    "key1",
    "key2",
    "newkey",
    "source",
    "destination",
    "sourcekey",
    "destkey",
    "dest-key",
    "source-key",
    "dst",
    "src",
];

impl Kind {
    /// How COMMAND DOCS prints it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Double => "double",
            Self::Key => "key",
            Self::Pattern => "pattern",
            Self::UnixTime => "unix-time",
            Self::PureToken => "pure-token",
            Self::OneOf(_) => "oneof",
            Self::Block(_) => "block",
        }
    }

    /// The arguments of a group.
    pub fn parts(&self) -> &[Argument] {
        match self {
            Self::OneOf(parts) | Self::Block(parts) => parts,
            _ => &[],
        }
    }
}

/// Reads a syntax line. The error says what is wrong with it.
pub fn parse(line: &str) -> Result<Vec<Argument>, String> {
    let mut reader = Reader { rest: line };
    let arguments = reader.sequence()?;
    if reader.rest.is_empty() { Ok(arguments) } else { Err(format!("unexpected: {}", reader.rest)) }
}

/// Prints arguments as a syntax line.
pub fn print(arguments: &[Argument]) -> String {
    let words: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    words.join(" ")
}

/// A syntax line without the types, for people. A line that cannot be read stays as it is.
pub fn plain(line: &str) -> String {
    parse(line).map_or_else(
        |_| line.to_owned(),
        |arguments| print(&arguments.into_iter().map(untyped).collect::<Vec<_>>()),
    )
}

fn untyped(argument: Argument) -> Argument {
    let all = |parts: Vec<Argument>| parts.into_iter().map(untyped).collect();
    let kind = match argument.kind {
        Kind::OneOf(parts) => Kind::OneOf(all(parts)),
        Kind::Block(parts) => Kind::Block(all(parts)),
        Kind::PureToken => Kind::PureToken,
        _ => Kind::String,
    };
    Argument { kind, ..argument }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// The next word or sign, without going on.
    fn peek(&self) -> &'a str {
        let rest = self.rest;
        let end = match rest.as_bytes().first() {
            Some(b'[' | b']' | b'|' | b'<' | b'>') => 1,
            _ => rest.find([' ', ']', '>', '|']).unwrap_or(rest.len()),
        };
        &rest[..end]
    }

    fn take(&mut self) -> &'a str {
        let word = self.peek();
        self.rest = self.rest[word.len()..].trim_start();
        word
    }

    fn accept(&mut self, word: &str) -> bool {
        let is_it = self.peek() == word;
        if is_it {
            self.take();
        }
        is_it
    }

    /// Arguments up to the end of the group.
    fn sequence(&mut self) -> Result<Vec<Argument>, String> {
        let mut arguments: Vec<Argument> = Vec::new();
        while !matches!(self.peek(), "" | "]" | ">" | "|" | "...") {
            if !self.repetition(&mut arguments)? {
                arguments.push(self.item()?);
            }
        }
        Ok(arguments)
    }

    /// `[x ...]` behind `x`: marks what stands before it, and says whether that was it.
    fn repetition(&mut self, before: &mut Vec<Argument>) -> Result<bool, String> {
        let inner = match self.rest.strip_prefix('[').map(|rest| Self { rest }) {
            Some(mut inner) => {
                let repeated = inner.sequence()?;
                if !inner.accept("...") || !inner.accept("]") {
                    return Ok(false);
                }
                (repeated, inner.rest)
            }
            None => return Ok(false),
        };
        let (repeated, rest) = inner;
        let is_repeated = mark_repeated(before, &repeated);
        if is_repeated {
            self.rest = rest;
        }
        Ok(is_repeated)
    }

    fn item(&mut self) -> Result<Argument, String> {
        match self.take() {
            "[" => self.group("]"),
            "<" => {
                let mut argument = self.group(">")?;
                if self.has_own_dots() && self.accept("...") {
                    argument.repeats = Repeats::Dots;
                }
                Ok(argument)
            }
            word if is_token(word) => self.behind_token(word),
            word => Ok(named(word)),
        }
    }

    /// Whether dots follow that belong to what stands before them, and not to the brackets around it.
    fn has_own_dots(&self) -> bool {
        self.rest.strip_prefix("...").is_some_and(|behind| !behind.starts_with(']'))
    }

    /// A word by itself, or with the argument that follows it.
    fn behind_token(&mut self, token: &str) -> Result<Argument, String> {
        let next = self.peek();
        let has_argument =
            next == "<" || next.starts_with(|first: char| first.is_ascii_lowercase());
        let mut argument = if !has_argument {
            Argument::new(token.to_lowercase(), Kind::PureToken)
        } else if self.accept("<") {
            self.group(">")?
        } else {
            named(self.take())
        };
        argument.token = Some(token.to_owned());
        Ok(argument)
    }

    /// What stands in brackets, up to the closing one.
    fn group(&mut self, closing: &str) -> Result<Argument, String> {
        let mut alternatives = vec![as_one(self.sequence()?)?];
        while self.accept("|") {
            alternatives.push(as_one(self.sequence()?)?);
        }
        let has_dots = self.accept("...");
        if !self.accept(closing) {
            return Err(format!("{closing} is missing before: {}", self.rest));
        }
        let optional = closing == "]";
        let mut argument = match <[Argument; 1]>::try_from(alternatives) {
            Ok([only])
                if optional && !only.optional && !(has_dots && only.repeats != Repeats::No) =>
            {
                only
            }
            Ok(only) => return Err(format!("needless brackets around: {}", print(&only))),
            Err(_) if optional && has_dots => {
                return Err("dots belong behind one thing: [<a | b> ...]".to_owned());
            }
            Err(alternatives) => Argument::new(joined(&alternatives), Kind::OneOf(alternatives)),
        };
        argument.optional = optional;
        if has_dots {
            argument.repeats = Repeats::Dots;
        }
        Ok(argument)
    }
}

/// Marks the last arguments as repeated if they are these.
fn mark_repeated(before: &mut Vec<Argument>, repeated: &[Argument]) -> bool {
    if let ([only], Some(last)) = (repeated, before.last_mut()) {
        let without = Argument { token: None, ..last.clone() };
        let is_plain = last.repeats == Repeats::No && !last.optional;
        let repeats =
            if last.token.is_some() && *only == *last { Repeats::WithToken } else { Repeats::Yes };
        let is_repeated = is_plain && (*only == *last || *only == without);
        if is_repeated {
            last.repeats = repeats;
        }
        return is_repeated;
    }
    if repeated.len() < 2 || !before.ends_with(repeated) {
        return false;
    }
    let parts = before.split_off(before.len() - repeated.len());
    before.push(Argument {
        repeats: Repeats::Yes,
        ..Argument::new(joined(&parts), Kind::Block(parts))
    });
    true
}

/// Several arguments as a block, which takes over the word that it begins with.
fn as_one(mut arguments: Vec<Argument>) -> Result<Argument, String> {
    match arguments.len() {
        0 => Err("an empty group".to_owned()),
        1 => Ok(arguments.remove(0)),
        _ => {
            let is_plain = |part: &Argument| {
                part.token.is_none() && !part.optional && part.repeats == Repeats::No
            };
            let first_is_simple =
                arguments[0].kind.parts().is_empty() && arguments[0].kind != Kind::PureToken;
            let takes_token = first_is_simple
                && arguments[0].repeats == Repeats::No
                && arguments[1..].iter().all(is_plain);
            let token = if takes_token { arguments[0].token.take() } else { None };
            let name =
                token.as_ref().map_or_else(|| joined(&arguments), |token| token.to_lowercase());
            Ok(Argument { token, ..Argument::new(name, Kind::Block(arguments)) })
        }
    }
}

/// Words to be said as they are have no lower-case letters.
fn is_token(word: &str) -> bool {
    !word.contains(|letter: char| letter.is_ascii_lowercase())
}

fn joined(parts: &[Argument]) -> String {
    let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
    names.join("-")
}

fn named(word: &str) -> Argument {
    let typed = word.rsplit_once(':').and_then(|(name, kind)| Some((name, type_of(kind)?)));
    let (name, kind) = typed.unwrap_or((word, Kind::String));
    Argument::new(name.to_owned(), kind)
}

fn type_of(word: &str) -> Option<Kind> {
    Some(match word {
        "int" => Kind::Integer,
        "double" => Kind::Double,
        "time" => Kind::UnixTime,
        "pattern" => Kind::Pattern,
        "key" => Kind::Key,
        _ => return None,
    })
}

impl Argument {
    const fn new(name: String, kind: Kind) -> Self {
        Self { name, kind, token: None, optional: false, repeats: Repeats::No }
    }

    /// Whether it is a key of a command that has key specifications.
    pub fn is_key(&self) -> bool {
        self.kind == Kind::Key
            || (self.kind == Kind::String && KEY_NAMES.contains(&self.name.as_str()))
    }

    /// The least number of words that it takes; none if it may be left out.
    pub fn words_min(&self) -> usize {
        if self.optional {
            return 0;
        }
        let own = match &self.kind {
            Kind::PureToken => 0,
            Kind::OneOf(parts) => parts.iter().map(Self::words_min).min().unwrap_or(0),
            Kind::Block(parts) => parts.iter().map(Self::words_min).sum(),
            _ => 1,
        };
        own + usize::from(self.token.is_some())
    }

    /// Whether it always takes the same number of words.
    pub fn is_fixed(&self) -> bool {
        let parts = self.kind.parts();
        let same_length = match &self.kind {
            Kind::OneOf(parts) => parts.iter().all(|part| part.words_min() == parts[0].words_min()),
            _ => true,
        };
        !self.optional
            && self.repeats == Repeats::No
            && same_length
            && parts.iter().all(Self::is_fixed)
    }

    /// It without its brackets, word and repetition.
    fn core(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = match &self.kind {
            Kind::OneOf(parts) => {
                let words: Vec<String> = parts.iter().map(ToString::to_string).collect();
                return f.write_str(&words.join(" | "));
            }
            Kind::Block(parts) => return f.write_str(&print(parts)),
            Kind::PureToken => return Ok(()),
            Kind::String => "",
            Kind::Integer => ":int",
            Kind::Double => ":double",
            Kind::UnixTime => ":time",
            Kind::Pattern => ":pattern",
            Kind::Key => ":key",
        };
        write!(f, "{}{suffix}", self.name)
    }

    /// It with its word, and in the brackets that it needs where it stands.
    fn body(&self) -> String {
        let core = fmt::from_fn(|f| self.core(f)).to_string();
        let is_bare = self.optional && self.token.is_none() && self.repeats == Repeats::No;
        let needs_brackets = matches!(self.kind, Kind::OneOf(_)) && !is_bare;
        let core = if needs_brackets { format!("<{core}>") } else { core };
        match &self.token {
            Some(token) if core.is_empty() => token.clone(),
            Some(token) => format!("{token} {core}"),
            None => core,
        }
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = self.body();
        let again = match (&self.token, self.repeats) {
            (Some(token), Repeats::Yes) => body[token.len() + 1..].to_owned(),
            _ => body.clone(),
        };
        let body = match self.repeats {
            Repeats::No => body,
            Repeats::Yes | Repeats::WithToken => format!("{body} [{again} ...]"),
            Repeats::Dots => format!("{body} ..."),
        };
        if self.optional { write!(f, "[{body}]") } else { f.write_str(&body) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, tree: &str) {
        let arguments = parse(line).unwrap();
        assert_eq!(print(&arguments), line);
        let shown: Vec<String> = arguments.iter().map(show).collect();
        assert_eq!(shown.join(", "), tree);
    }

    /// `name:type=TOKEN?*(parts)`
    fn show(argument: &Argument) -> String {
        let token = argument.token.as_ref().map(|token| format!("={token}")).unwrap_or_default();
        let optional = if argument.optional { "?" } else { "" };
        let repeats = match argument.repeats {
            Repeats::No => "",
            Repeats::Yes => "*",
            Repeats::WithToken => "**",
            Repeats::Dots => "*..",
        };
        let parts: Vec<String> = argument.kind.parts().iter().map(show).collect();
        let parts =
            if parts.is_empty() { String::new() } else { format!("({})", parts.join(", ")) };
        format!("{}:{}{token}{optional}{repeats}{parts}", argument.name, argument.kind.name())
    }

    #[test]
    fn words_tokens_and_types_are_read() {
        check("", "");
        check("key seconds:int", "key:string, seconds:integer");
        check("ip:port", "ip:port:string");
        check(
            "key at:time delta:double by:pattern",
            "key:string, at:unix-time, delta:double, by:pattern",
        );
        check("STREAMS key", "key:string=STREAMS");
        check("[ASYNC | SYNC]", "async-sync:oneof?(async:pure-token=ASYNC, sync:pure-token=SYNC)");
    }

    #[test]
    fn groups_are_read() {
        check(
            "[EX seconds:int | KEEPTTL]",
            "seconds-keepttl:oneof?(seconds:integer=EX, keepttl:pure-token=KEEPTTL)",
        );
        check("[LIMIT offset:int count:int]", "limit:block=LIMIT?(offset:integer, count:integer)");
        check(
            "BY <LEFT | RIGHT>",
            "left-right:oneof=BY(left:pure-token=LEFT, right:pure-token=RIGHT)",
        );
        check("[TYPE <A | B>]", "a-b:oneof=TYPE?(a:pure-token=A, b:pure-token=B)");
        check("[a [b]]", "a-b:block?(a:string, b:string?)");
    }

    #[test]
    fn repetition_is_read() {
        check("key [key ...]", "key:string*");
        check("[key [key ...]]", "key:string?*");
        check("[key ...]", "key:string?*..");
        check("key value [key value ...]", "key-value:block*(key:string, value:string)");
        check("ID id [id ...]", "id:string=ID*");
        check("[PREFIX p [PREFIX p ...]]", "p:string=PREFIX?**");
        check("<a | B b> ...", "a-b:oneof*..(a:string, b:string=B)");
        check("<a | b> [<a | b> ...]", "a-b:oneof*(a:string, b:string)");
        check("[<a | b> ...]", "a-b:oneof?*..(a:string, b:string)");
        check(
            "<a | <B | C> ...>",
            "a-b-c:oneof(a:string, b-c:oneof*..(b:pure-token=B, c:pure-token=C))",
        );
        check("x [y ...]", "x:string, y:string?*..");
    }

    #[test]
    fn types_are_left_out_for_people() {
        assert_eq!(
            plain("key [EX s:int | KEEPTTL] [f:double [f:double ...]]"),
            "key [EX s | KEEPTTL] [f [f ...]]"
        );
    }

    #[test]
    fn the_number_of_words_follows() {
        let words = |line: &str| {
            let arguments = parse(line).unwrap();
            let fixed = arguments.iter().all(Argument::is_fixed);
            (arguments.iter().map(Argument::words_min).sum::<usize>(), fixed)
        };
        assert_eq!(words("key [NX | XX]"), (1, false));
        assert_eq!(words("<ON | OFF>"), (1, true));
        assert_eq!(words("<LIB-NAME a | LIB-VER b>"), (2, true));
        assert_eq!(words("<ip | ID id>"), (1, false));
        assert_eq!(words("numkeys key [key ...] <A | B>"), (3, false));
    }

    #[test]
    fn lines_that_make_no_sense_are_refused() {
        for line in ["[a", "a]", "<a>", "[[a]]", "[]", "a | b", "...", "[a | b ...]", "a ..."] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
