//! Configuration files: Redis' own syntax, TOML, and options on the command line.
//!
//! A line of `redis.conf` is a name and its words, quoted as for redis-cli; `#` begins a comment. Options on
//! the command line become such lines: `--port 6380` is `port "6380"`. TOML has the same names as keys; tables
//! only group. Whatever is read later replaces what was read before, but for `save`, whose lines add up.
//!
//! Nothing is opened here: `include` asks its caller for the text.

use crate::value::Value;
use crate::{Config, REDIS_VERSION, find, id};

/// Files that include files: deeper than this is taken for a circle.
const INCLUDE_DEPTH_MAX: usize = 32;

/// Names Redis once knew and still lets pass.
const FORGOTTEN: [&str; 3] =
    ["list-max-ziplist-entries", "list-max-ziplist-value", "lua-replicate-commands"];

/// A line that cannot be taken. Displayed as Redis prints it before it gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The file, as its caller named it.
    pub file: String,
    /// Which line, from 1; 0 when it is none in particular.
    pub line: usize,
    /// The line itself.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl std::error::Error for FileError {}

impl std::fmt::Display for FileError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(formatter, "\n*** FATAL CONFIG FILE ERROR (Redis {REDIS_VERSION}) ***")?;
        if self.line > 0 {
            writeln!(formatter, "Reading the configuration file, at line {}", self.line)?;
            writeln!(formatter, ">>> '{}'", self.text)?;
        }
        write!(formatter, "{}", self.reason)
    }
}

/// A line that is no parameter: its words and where it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// The words, the first in lower case.
    pub words: Vec<String>,
    file: String,
    line: usize,
    text: String,
}

impl Directive {
    /// The error that says what is wrong with this line.
    pub fn error(&self, reason: impl Into<String>) -> FileError {
        FileError {
            file: self.file.clone(),
            line: self.line,
            text: self.text.clone(),
            reason: reason.into(),
        }
    }
}

/// What a command line asks for, the program's name left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// The configuration file: the first word, unless it begins with a dash.
    pub file: Option<String>,
    /// Read more lines from standard input: `-` comes first or last.
    pub stdin: bool,
    /// The options, as lines of a file.
    pub options: String,
}

/// Gives the text of the file or files an `include` line names, or why it cannot.
type Include<'a> = &'a mut dyn FnMut(&str) -> Result<String, String>;

impl Config {
    /// Reads a file in Redis' syntax. `source` is its name, for errors; `include` gives the text of the files
    /// it includes.
    pub fn load(
        &mut self,
        source: &str,
        text: &str,
        include: Include<'_>,
    ) -> Result<(), FileError> {
        self.load_from(source, text, self.lines_read, include, 0)?;
        self.lines_read += text.split('\n').count();
        self.settle_together()
    }

    /// Takes the options of a command line as redis-server does: `--name value…`, several values, names and
    /// values in one word. The file it names and `-` are left to the caller: see [`CommandLine`].
    pub fn load_args(
        &mut self,
        arguments: &[String],
        include: Include<'_>,
    ) -> Result<(), FileError> {
        self.lines_read = self.lines_read.max(1);
        self.load("command line", &CommandLine::parse(arguments).options, include)
    }

    /// Reads a TOML file.
    pub fn load_toml(
        &mut self,
        source: &str,
        text: &str,
        include: Include<'_>,
    ) -> Result<(), FileError> {
        let table = text.parse::<toml::Table>().map_err(|error| not_toml(source, text, &error))?;
        let lines = Toml { source, text };
        self.load_table(&lines, &table, include)?;
        self.settle_together()
    }

    fn load_table(
        &mut self,
        lines: &Toml<'_>,
        table: &toml::Table,
        include: Include<'_>,
    ) -> Result<(), FileError> {
        for (key, value) in table {
            match value {
                toml::Value::Table(group) => self.load_table(lines, group, include)?,
                _ => self.load_entry(lines, key, value, include)?,
            }
        }
        Ok(())
    }

    fn load_entry(
        &mut self,
        lines: &Toml<'_>,
        key: &str,
        value: &toml::Value,
        include: Include<'_>,
    ) -> Result<(), FileError> {
        let known = find(key).is_some();
        for words in entry_words(value, known).map_err(|reason| lines.error(key, reason))? {
            let mut directive = lines.directive(key);
            directive.words.extend(words);
            self.obey(directive, include, 0)?;
        }
        Ok(())
    }

    fn load_from(
        &mut self,
        source: &str,
        text: &str,
        lines_before: usize,
        include: Include<'_>,
        depth: usize,
    ) -> Result<(), FileError> {
        for (index, line) in text.split('\n').enumerate() {
            let text = line.trim_matches([' ', '\t', '\r', '\n']);
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let mut directive = Directive {
                words: Vec::new(),
                file: source.to_owned(),
                line: lines_before + index + 1,
                text: text.to_owned(),
            };
            directive.words = split_arguments(text).map_err(|reason| directive.error(reason))?;
            self.obey(directive, include, depth)?;
        }
        Ok(())
    }

    /// Does what a line says.
    fn obey(
        &mut self,
        mut directive: Directive,
        include: Include<'_>,
        depth: usize,
    ) -> Result<(), FileError> {
        let Some(name) = directive.words.first_mut() else { return Ok(()) };
        name.make_ascii_lowercase();
        let count = directive.words.len();
        match directive.words[0].as_str() {
            name if find(name).is_some() => {
                return self.obey_parameter(&directive).map_err(|reason| directive.error(reason));
            }
            name if FORGOTTEN.contains(&name) && count == 2 => {}
            "include" if count == 2 => return self.obey_include(&directive, include, depth),
            "sentinel" if count == 1 => {}
            "rename-command" if count == 3 => self.push_directive(directive),
            "user" | "loadmodule" | "sentinel" if count >= 2 => self.push_directive(directive),
            name if name.contains('.') && count < 2 => {
                return Err(directive.error("Module config specified without value"));
            }
            name if name.contains('.') => self.push_directive(directive),
            _ => return Err(directive.error("Bad directive or wrong number of arguments")),
        }
        Ok(())
    }

    fn obey_parameter(&mut self, directive: &Directive) -> Result<(), String> {
        let words: Vec<&str> = directive.words.iter().map(String::as_str).collect();
        let (name, values) = words.split_first().expect("the caller found the first word");
        let (id, _) = find(name).ok_or("Bad directive or wrong number of arguments")?;
        let split;
        let mut values = values.to_vec();
        // Several words may come as one, between quotes.
        if let ([one], true) = (values.as_slice(), id.parameter().kind.multi())
            && !one.is_empty()
        {
            split = split_arguments(one).unwrap_or_default();
            values = split.iter().map(String::as_str).collect();
        }
        if id == const { crate::id("save") } {
            return self.add_save_rules(&values);
        }
        self.assign_words(id, &values)
    }

    /// The first `save` replaces the default, the next ones add to it, an empty one clears all.
    fn add_save_rules(&mut self, values: &[&str]) -> Result<(), String> {
        let save = const { id("save") };
        let kept =
            if self.save_seen && values != [""] { self.save_rules().to_vec() } else { Vec::new() };
        self.assign_words(save, values)?;
        let rules = [kept.as_slice(), self.save_rules()].concat();
        self.replace(save, Value::Save(rules));
        self.save_seen = true;
        Ok(())
    }

    fn obey_include(
        &mut self,
        directive: &Directive,
        include: Include<'_>,
        depth: usize,
    ) -> Result<(), FileError> {
        if depth == INCLUDE_DEPTH_MAX {
            return Err(directive.error("files include each other too deeply"));
        }
        let name = &directive.words[1];
        let text = include(name).map_err(|reason| {
            directive.error(format!("Fatal error, can't open config file '{name}': {reason}"))
        })?;
        self.load_from(name, &text, 0, include, depth + 1)
    }

    /// Rules about several parameters, checked when all have been read.
    fn settle_together(&mut self) -> Result<(), FileError> {
        if !self.bool(const { id("cluster-enabled") }) {
            return Ok(());
        }
        if self.replica_of().is_some() {
            let reason = "replicaof directive not allowed in cluster mode".to_owned();
            return Err(FileError { file: String::new(), line: 0, text: String::new(), reason });
        }
        let databases = self.integer(const { id("cluster-databases") });
        self.replace(const { id("databases") }, Value::Number(databases));
        Ok(())
    }
}

/// A TOML text, for finding the line a key stands in.
struct Toml<'a> {
    source: &'a str,
    text: &'a str,
}

impl Toml<'_> {
    /// A directive with nothing but its name.
    fn directive(&self, key: &str) -> Directive {
        let begins = |line: &str| {
            let rest = line.trim_start().trim_start_matches('"').strip_prefix(key);
            rest.is_some_and(|rest| rest.trim_start_matches('"').trim_start().starts_with('='))
        };
        let found = self.text.lines().enumerate().find(|(_, line)| begins(line));
        let (line, text) = found.map_or((0, ""), |(index, line)| (index + 1, line));
        let text = text.trim().to_owned();
        Directive { words: vec![key.to_owned()], file: self.source.to_owned(), line, text }
    }

    fn error(&self, key: &str, reason: String) -> FileError {
        self.directive(key).error(reason)
    }
}

fn not_toml(source: &str, text: &str, error: &toml::de::Error) -> FileError {
    let begin = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text.get(..begin).map_or(0, |before| before.matches('\n').count());
    FileError {
        file: source.to_owned(),
        line: line + 1,
        text: text.lines().nth(line).unwrap_or_default().trim().to_owned(),
        reason: error.message().to_owned(),
    }
}

/// The words of each line a TOML value stands for: a parameter has one line, a directive as many as the array
/// has elements.
fn entry_words(value: &toml::Value, parameter: bool) -> Result<Vec<Vec<String>>, String> {
    let toml::Value::Array(elements) = value else {
        return scalar_words(value, false).map(|words| vec![words]);
    };
    let lines: Result<Vec<_>, String> =
        elements.iter().map(|element| scalar_words(element, true)).collect();
    match lines? {
        none if parameter && none.is_empty() => Ok(vec![vec![String::new()]]),
        lines if parameter => Ok(vec![lines.concat()]),
        lines => Ok(lines),
    }
}

fn scalar_words(value: &toml::Value, split: bool) -> Result<Vec<String>, String> {
    match value {
        toml::Value::String(text) if split => split_arguments(text).map_err(str::to_owned),
        toml::Value::String(text) => Ok(vec![text.clone()]),
        toml::Value::Boolean(flag) => Ok(vec![if *flag { "yes" } else { "no" }.to_owned()]),
        toml::Value::Integer(number) => Ok(vec![number.to_string()]),
        toml::Value::Float(number) => Ok(vec![number.to_string()]),
        _ => Err("argument must be text, a number, true, false or an array of these".to_owned()),
    }
}

impl CommandLine {
    /// Reads the arguments after the program's name.
    pub fn parse(arguments: &[String]) -> Self {
        let mut line = Self::default();
        // An option takes the next word as its value even if that begins with two dashes.
        let mut complete = true;
        for (index, argument) in arguments.iter().enumerate() {
            let last = index + 1 == arguments.len();
            if index == 0 && !argument.starts_with('-') {
                line.file = Some(argument.clone());
            } else if argument == "-" && (index == 0 || last) {
                line.stdin = true;
            } else if complete && argument.starts_with("--") {
                let next = arguments.get(index + 1).map(String::as_str);
                complete = line.push_option(argument, next);
            } else {
                line.options.push_str(&crate::value::quoted(argument));
                line.options.push(' ');
                complete = true;
            }
        }
        line
    }

    /// Begins the line of an option. Returns whether it has its value already.
    fn push_option(&mut self, argument: &str, next: Option<&str>) -> bool {
        if !self.options.is_empty() {
            self.options.push('\n');
        }
        self.options.push_str(&argument[2..]);
        self.options.push(' ');
        let alone = split_arguments(argument).is_ok_and(|words| words.len() == 1);
        let next_is_option = next.is_some_and(|next| next.starts_with("--"));
        let empty_save =
            argument.eq_ignore_ascii_case("--save") && (next_is_option || next.is_none());
        if empty_save {
            self.options.push_str("\"\"");
        }
        let sentinel = argument.eq_ignore_ascii_case("--sentinel") && next_is_option;
        !alone || empty_save || sentinel
    }
}

/// Splits a line into words as Redis does: blanks separate; double quotes keep blanks and know escapes, single
/// quotes keep all but `\'`; a closing quote ends the word.
pub fn split_arguments(line: &str) -> Result<Vec<String>, &'static str> {
    let mut rest = Words { bytes: line.as_bytes() };
    let mut words = Vec::new();
    while rest.skip_blanks() {
        let word = rest.word().ok_or("Unbalanced quotes in configuration line")?;
        words.push(String::from_utf8(word).map_err(|_| "argument must be valid UTF-8")?);
    }
    Ok(words)
}

/// What remains of a line.
struct Words<'a> {
    bytes: &'a [u8],
}

impl Words<'_> {
    /// Goes to the next word. Returns whether there is one.
    fn skip_blanks(&mut self) -> bool {
        self.bytes = self.bytes.trim_ascii_start();
        while self.bytes.first() == Some(&VERTICAL_TAB) {
            self.bytes = self.bytes[1..].trim_ascii_start();
        }
        !self.bytes.is_empty()
    }

    /// The word that begins here; `None` for unbalanced quotes.
    fn word(&mut self) -> Option<Vec<u8>> {
        let mut word = Vec::new();
        loop {
            match self.take() {
                None | Some(b' ' | b'\n' | b'\r' | b'\t' | 0) => return Some(word),
                Some(b'"') => return self.double_quoted(word),
                Some(b'\'') => return self.single_quoted(word),
                Some(byte) => word.push(byte),
            }
        }
    }

    fn take(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn double_quoted(&mut self, mut word: Vec<u8>) -> Option<Vec<u8>> {
        loop {
            match self.take()? {
                b'"' => return self.closed(word),
                b'\\' => word.push(self.escaped()?),
                byte => word.push(byte),
            }
        }
    }

    fn single_quoted(&mut self, mut word: Vec<u8>) -> Option<Vec<u8>> {
        loop {
            match self.take()? {
                b'\'' => return self.closed(word),
                b'\\' if self.bytes.first() == Some(&b'\'') => word.push(self.take()?),
                byte => word.push(byte),
            }
        }
    }

    /// A closing quote is followed by a blank or by nothing.
    fn closed(&self, word: Vec<u8>) -> Option<Vec<u8>> {
        self.bytes.first().is_none_or(|byte| is_blank(*byte)).then_some(word)
    }

    /// What follows a backslash between double quotes.
    fn escaped(&mut self) -> Option<u8> {
        if let [b'x', high, low, rest @ ..] = self.bytes
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            self.bytes = rest;
            return Some(high * 16 + low);
        }
        Some(match self.take()? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 8,
            b'a' => 7,
            other => other,
        })
    }
}

/// C's isspace counts it among the blanks, Rust does not.
const VERTICAL_TAB: u8 = 0x0b;

/// What C's isspace says.
fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == VERTICAL_TAB
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}
