//! Values as Redis spells them: read, shown, and written back to a file.
//!
//! [`parse`] takes the words after a name and gives a value or Redis' complaint; [`show`] prints it as
//! CONFIG GET does, bytes as plain numbers; [`lines`] writes it as CONFIG REWRITE does, bytes with units.
//! A value that was shown can be parsed again.

use crate::{Kind, Names, Rule};

/// `maxmemory-clients auto`: the server decides. Outside the range of bytes and percentages.
pub(crate) const AUTO: i64 = i64::MIN;

/// What CONFIG GET prints for it: near enough for whoever reads a number there.
const AUTO_SHOWN: &str = "10%";

/// The greatest number of addresses `bind` takes.
const ADDRESSES_MAX: usize = 16;

/// The longest host name, exclusive.
const HOST_NAME_LEN: usize = 256;

/// A value of any kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Number(i64),
    Text(String),
    Words(Vec<String>),
    Save(Vec<SaveRule>),
    Limits([OutputBufferLimit; 3]),
    Scores([i32; 3]),
    Percentiles(Vec<f64>),
    Replica(Option<(String, u16)>),
}

/// Snapshot when so many seconds have passed since the last one with at least so many changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaveRule {
    /// At least one.
    pub seconds: i64,
    /// May be zero: then time alone decides.
    pub changes: i64,
}

/// How much unsent output one class of clients may pile up. Zero is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputBufferLimit {
    /// Cut the client when it has more pending than this.
    pub hard_bytes: u64,
    /// Cut it when it has more pending than this …
    pub soft_bytes: u64,
    /// … for so long.
    pub soft_seconds: u64,
}

/// The bits of `notify-keyspace-events`.
pub mod event {
    /// `K`: publish to the channel of the key.
    pub const KEYSPACE: i64 = 1;
    /// `E`: publish to the channel of the event.
    pub const KEYEVENT: i64 = 1 << 1;
    /// `g`: commands of no particular type.
    pub const GENERIC: i64 = 1 << 2;
    /// `$`
    pub const STRING: i64 = 1 << 3;
    /// `l`
    pub const LIST: i64 = 1 << 4;
    /// `s`
    pub const SET: i64 = 1 << 5;
    /// `h`
    pub const HASH: i64 = 1 << 6;
    /// `z`
    pub const SORTED_SET: i64 = 1 << 7;
    /// `x`: a key expired.
    pub const EXPIRED: i64 = 1 << 8;
    /// `e`: a key was evicted.
    pub const EVICTED: i64 = 1 << 9;
    /// `t`
    pub const STREAM: i64 = 1 << 10;
    /// `m`: a key that is not there was asked for; not part of `A`.
    pub const MISS: i64 = 1 << 11;
    /// `d`: a module's type.
    pub const MODULE: i64 = 1 << 13;
    /// `n`: a key came to be; not part of `A`.
    pub const NEW: i64 = 1 << 14;
    /// `o`: a key got a whole new value; not part of `A`.
    pub const OVERWRITTEN: i64 = 1 << 15;
    /// `c`: a key got a value of another type; not part of `A`.
    pub const TYPE_CHANGED: i64 = 1 << 16;
    /// `A`: all but `m`, `n`, `o` and `c`.
    pub const ALL: i64 =
        GENERIC | STRING | LIST | SET | HASH | SORTED_SET | EXPIRED | EVICTED | STREAM | MODULE;

    /// The letters within `A`, then those beside it, in the order they are printed.
    pub(crate) const WITHIN_ALL: &[(char, i64)] = &[
        ('g', GENERIC),
        ('$', STRING),
        ('l', LIST),
        ('s', SET),
        ('h', HASH),
        ('z', SORTED_SET),
        ('x', EXPIRED),
        ('e', EVICTED),
        ('t', STREAM),
        ('d', MODULE),
    ];
    pub(crate) const BESIDE_ALL: &[(char, i64)] = &[
        ('n', NEW),
        ('o', OVERWRITTEN),
        ('c', TYPE_CHANGED),
        ('K', KEYSPACE),
        ('E', KEYEVENT),
        ('m', MISS),
    ];
}

/// The classes of clients that have output limits, as CONFIG GET names them.
const CLASSES: [&str; 3] = ["normal", "slave", "pubsub"];

/// What is wrong with a value, in Redis' words.
pub(crate) type Reason = String;

/// Reads the words given for a parameter called `name`. `current` is what some kinds change in part only.
pub(crate) fn parse(
    name: &str,
    kind: Kind,
    words: &[&str],
    current: &Value,
) -> Result<Value, Reason> {
    if !kind.multi() && words.len() != 1 {
        return Err(WRONG_COUNT.to_owned());
    }
    let word = words.first().copied().unwrap_or_default();
    match kind {
        Kind::YesNo => yes_no(word).map(Value::Number),
        Kind::Integer { min, max } => integer(word, min, max).map(Value::Number),
        Kind::Octal { max } => octal(word, max).map(Value::Number),
        Kind::Memory { min, max } => bounded_memory(word, min, max).map(Value::Number),
        Kind::Share => share(word).map(Value::Number),
        Kind::Threads { max } => threads(word, max).map(Value::Number),
        Kind::Choice(names) => choice(names, words).map(Value::Number),
        Kind::Flags(names) => shutdown_flags(names, words).map(Value::Number),
        Kind::Text { rule, .. } => text(name, rule, word).map(Value::Text),
        Kind::Directory => directory(word).map(Value::Text),
        Kind::Events => events(word).map(Value::Number),
        Kind::Save => save(words).map(Value::Save),
        Kind::OutputLimits => limits(words, current).map(Value::Limits),
        Kind::Scores => scores(words).map(Value::Scores),
        Kind::Addresses => addresses(words).map(Value::Words),
        Kind::Replica => replica(words).map(Value::Replica),
        Kind::Percentiles => percentiles(words).map(Value::Percentiles),
    }
}

const WRONG_COUNT: &str = "wrong number of arguments";

fn yes_no(word: &str) -> Result<i64, Reason> {
    match word {
        _ if word.eq_ignore_ascii_case("yes") => Ok(1),
        _ if word.eq_ignore_ascii_case("no") => Ok(0),
        _ => Err("argument must be 'yes' or 'no'".to_owned()),
    }
}

fn integer(word: &str, min: i64, max: i64) -> Result<i64, Reason> {
    let number = strict(word).ok_or("argument couldn't be parsed into an integer")?;
    if number < min || number > max {
        return Err(format!("argument must be between {min} and {max} inclusive"));
    }
    Ok(number)
}

/// A number spelled the one way it is printed: no plus, no leading zero, no blank.
fn strict(word: &str) -> Option<i64> {
    let digits = word.strip_prefix('-').unwrap_or(word);
    let canonical = word == "0" || (digits.bytes().next()? != b'0' && !digits.starts_with('+'));
    if canonical { word.parse().ok() } else { None }
}

/// A number as C's strtoll reads it, all of it: blanks before, a sign, leading zeros; nothing at all is zero.
fn lenient(word: &str, radix: u32) -> Option<i64> {
    if word.is_empty() {
        return Some(0);
    }
    i64::from_str_radix(word.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']), radix)
        .ok()
}

fn octal(word: &str, max: i64) -> Result<i64, Reason> {
    let number = lenient(word, 8).ok_or("argument couldn't be parsed as an octal number")?;
    if !(0..=max).contains(&number) {
        return Err(format!("argument must be between 0 and {max:o} inclusive"));
    }
    Ok(number)
}

fn bounded_memory(word: &str, min: u64, max: u64) -> Result<i64, Reason> {
    let bytes = memory(word).ok_or("argument must be a memory value")?;
    if bytes < min || bytes > max {
        return Err(format!("argument must be between {min} and {max} inclusive"));
    }
    Ok(bytes as i64)
}

/// Bytes with an optional unit, in any case of letters; what does not fit is as much as fits.
fn memory(word: &str) -> Option<u64> {
    let unit_at = word.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(word.len());
    let (digits, unit) = word.split_at(unit_at);
    let scale: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    let number = if digits.is_empty() { 0 } else { digits.parse().unwrap_or(u64::MAX) };
    Some(number.saturating_mul(scale))
}

/// Percentages are kept as negative numbers, as bytes cannot be.
fn share(word: &str) -> Result<i64, Reason> {
    if word.eq_ignore_ascii_case("auto") {
        return Ok(AUTO);
    }
    if let Some(bytes) = memory(word) {
        return i64::try_from(bytes)
            .map_err(|_| "percentage argument must be less or equal to 100".to_owned());
    }
    match word.strip_suffix('%').and_then(strict) {
        Some(percent @ 0..=100) => Ok(-percent),
        Some(101..) => Err("percentage argument must be less or equal to 100".to_owned()),
        _ => Err("argument must be a memory or percent value".to_owned()),
    }
}

fn threads(word: &str, max: i64) -> Result<i64, Reason> {
    if word.eq_ignore_ascii_case("auto") { Ok(0) } else { integer(word, 0, max) }
}

fn choice(names: Names, words: &[&str]) -> Result<i64, Reason> {
    let [word] = words else { return Err(none_of(names)) };
    number_of(names, word).ok_or_else(|| none_of(names))
}

fn number_of(names: Names, word: &str) -> Option<i64> {
    names.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|&(_, number)| number)
}

fn none_of(names: Names) -> Reason {
    let names: Vec<&str> = names.iter().map(|&(name, _)| name).collect();
    format!("argument(s) must be one of the following: {}", names.join(", "))
}

/// The names of `shutdown-on-sigint` and its sibling, the only flags there are.
fn shutdown_flags(names: Names, words: &[&str]) -> Result<i64, Reason> {
    if words.is_empty() {
        return Err(none_of(names));
    }
    let mut bits = 0;
    for word in words {
        bits |= number_of(names, word).ok_or_else(|| none_of(names))?;
    }
    let both = number_of(names, "save").unwrap_or(0) | number_of(names, "nosave").unwrap_or(0);
    if bits & both == both {
        return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".to_owned());
    }
    Ok(bits)
}

fn text(name: &str, rule: Rule, word: &str) -> Result<String, Reason> {
    let verdict = match rule {
        Rule::Any => Ok(()),
        Rule::Required => required(name, word),
        Rule::FileName => plain_name(name, word, "filename"),
        Rule::DirectoryName => plain_name(name, word, "dirname"),
        Rule::HostName => host_name(word),
        Rule::NodeName => node_name(word),
        Rule::Ipv4 => empty_or::<std::net::Ipv4Addr>(word, "Invalid IPv4 address"),
        Rule::Ipv6 => empty_or::<std::net::Ipv6Addr>(word, "Invalid IPv6 address"),
        Rule::Title => title(word),
    };
    verdict.map(|()| word.to_owned())
}

fn required(name: &str, word: &str) -> Result<(), Reason> {
    if word.is_empty() { Err(format!("{name} can't be empty")) } else { Ok(()) }
}

fn plain_name(name: &str, word: &str, what: &str) -> Result<(), Reason> {
    required(name, word)?;
    if word.contains(['/', '\\']) {
        return Err(format!("{name} can't be a path, just a {what}"));
    }
    Ok(())
}

fn host_name(word: &str) -> Result<(), Reason> {
    if word.len() >= HOST_NAME_LEN {
        return Err(format!("Hostnames must be less than {HOST_NAME_LEN} characters"));
    }
    if !word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)) {
        return Err(
            "Hostnames may only contain alphanumeric characters, hyphens or dots".to_owned()
        );
    }
    Ok(())
}

/// The characters a node's line gives another meaning to, and what cannot be printed.
fn node_name(word: &str) -> Result<(), Reason> {
    let fine = |byte: u8| byte > b' ' && !b"!#$%&()*+;<>?@[]^{|}~\x7f".contains(&byte);
    if word.bytes().all(fine) {
        return Ok(());
    }
    Err("Announced human node name contained invalid character".to_owned())
}

fn empty_or<T: std::str::FromStr>(word: &str, reason: &str) -> Result<(), Reason> {
    if word.is_empty() || word.parse::<T>().is_ok() { Ok(()) } else { Err(reason.to_owned()) }
}

/// The variables a process title may contain.
const TITLE_VARIABLES: [&str; 7] =
    ["title", "listen-addr", "server-mode", "port", "tls-port", "unixsocket", "config-file"];

fn title(word: &str) -> Result<(), Reason> {
    let mut rest = word;
    let mut fine = !word.trim().is_empty();
    while let Some((_, after)) = rest.split_once('{') {
        let (variable, tail) = after.split_once('}').unwrap_or((after, ""));
        fine &= TITLE_VARIABLES.contains(&variable) && after.contains('}');
        rest = tail;
    }
    let reason = "template format is invalid or contains unknown variables";
    if fine { Ok(()) } else { Err(reason.to_owned()) }
}

fn directory(word: &str) -> Result<String, Reason> {
    required("dir", word).map(|()| word.to_owned())
}

fn events(word: &str) -> Result<i64, Reason> {
    let letters = [event::WITHIN_ALL, event::BESIDE_ALL].concat();
    let bit = |letter| match letter {
        'A' => Some(event::ALL),
        _ => letters.iter().find(|(known, _)| *known == letter).map(|&(_, bit)| bit),
    };
    word.chars()
        .try_fold(0, |bits, letter| bit(letter).map(|bit| bits | bit))
        .ok_or_else(|| "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".to_owned())
}

fn save(words: &[&str]) -> Result<Vec<SaveRule>, Reason> {
    if words == [""] {
        return Ok(Vec::new());
    }
    let (pairs, rest) = words.as_chunks::<2>();
    let rules: Option<Vec<SaveRule>> = pairs.iter().map(save_rule).collect();
    let complaint = || "Invalid save parameters".to_owned();
    if rest.is_empty() { rules.ok_or_else(complaint) } else { Err(complaint()) }
}

fn save_rule([seconds, changes]: &[&str; 2]) -> Option<SaveRule> {
    let rule = SaveRule { seconds: lenient(seconds, 10)?, changes: lenient(changes, 10)? };
    (rule.seconds >= 1 && rule.changes >= 0).then_some(rule)
}

fn limits(words: &[&str], current: &Value) -> Result<[OutputBufferLimit; 3], Reason> {
    let mut limits = if let Value::Limits(limits) = current { *limits } else { Default::default() };
    let (groups, rest) = words.as_chunks::<4>();
    if !rest.is_empty() {
        return Err("Wrong number of arguments in buffer limit configuration.".to_owned());
    }
    for [class, hard, soft, seconds] in groups {
        let class = class_of(class)
            .ok_or("Invalid client class specified in buffer limit configuration.")?;
        limits[class] = limit(hard, soft, seconds)
            .ok_or("Error in hard, soft or soft_seconds setting in buffer limit configuration.")?;
    }
    Ok(limits)
}

fn class_of(word: &str) -> Option<usize> {
    let word = word.to_ascii_lowercase();
    let word = if word == "replica" { "slave" } else { &word };
    CLASSES.iter().position(|class| *class == word)
}

fn limit(hard: &str, soft: &str, seconds: &str) -> Option<OutputBufferLimit> {
    Some(OutputBufferLimit {
        hard_bytes: memory(hard)?,
        soft_bytes: memory(soft)?,
        soft_seconds: u64::try_from(lenient(seconds, 10)?).ok()?,
    })
}

fn scores(words: &[&str]) -> Result<[i32; 3], Reason> {
    let words: [&str; 3] = words.try_into().map_err(|_| WRONG_COUNT.to_owned())?;
    let mut scores = [0; 3];
    for (score, word) in scores.iter_mut().zip(words) {
        *score = lenient(word, 10)
            .filter(|number| (-2000..=2000).contains(number))
            .ok_or("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")?
            as i32;
    }
    Ok(scores)
}

fn addresses(words: &[&str]) -> Result<Vec<String>, Reason> {
    if words.len() > ADDRESSES_MAX {
        return Err("Too many bind addresses specified.".to_owned());
    }
    Ok(if words == [""] { Vec::new() } else { words.iter().map(ToString::to_string).collect() })
}

fn replica(words: &[&str]) -> Result<Option<(String, u16)>, Reason> {
    let [host, port] = words else { return Err(WRONG_COUNT.to_owned()) };
    if host.eq_ignore_ascii_case("no") && port.eq_ignore_ascii_case("one") {
        return Ok(None);
    }
    let port = lenient(port, 10).and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or("Invalid primary port")?;
    Ok(Some(((*host).to_owned(), port)))
}

fn percentiles(words: &[&str]) -> Result<Vec<f64>, Reason> {
    if words == [""] {
        return Ok(Vec::new());
    }
    words.iter().map(|word| percentile(word)).collect()
}

fn percentile(word: &str) -> Result<f64, Reason> {
    match word.parse::<f64>() {
        Ok(number) if (0.0..=100.0).contains(&number) => Ok(number),
        Ok(number) if !number.is_nan() => {
            Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"
                .to_owned())
        }
        _ => Err("Invalid latency-tracking-info-percentiles parameters".to_owned()),
    }
}

/// The value as CONFIG GET prints it.
pub(crate) fn show(kind: Kind, value: &Value) -> String {
    match value {
        Value::Number(number) => show_number(kind, *number),
        Value::Text(text) => text.clone(),
        Value::Words(words) => words.join(" "),
        Value::Save(rules) => {
            joined(rules.iter().map(|rule| format!("{} {}", rule.seconds, rule.changes)))
        }
        Value::Limits(limits) => joined(CLASSES.iter().zip(limits).map(|(class, limit)| {
            let OutputBufferLimit { hard_bytes, soft_bytes, soft_seconds } = limit;
            format!("{class} {hard_bytes} {soft_bytes} {soft_seconds}")
        })),
        Value::Scores(scores) => joined(scores.iter().map(ToString::to_string)),
        Value::Percentiles(numbers) => {
            joined(numbers.iter().map(|number| show_percentile(*number)))
        }
        Value::Replica(None) => String::new(),
        Value::Replica(Some((host, port))) => format!("{host} {port}"),
    }
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(" ")
}

fn show_number(kind: Kind, number: i64) -> String {
    match kind {
        Kind::YesNo => if number == 0 { "no" } else { "yes" }.to_owned(),
        Kind::Octal { .. } => format!("{number:o}"),
        Kind::Memory { .. } => (number as u64).to_string(),
        Kind::Share if number == AUTO => AUTO_SHOWN.to_owned(),
        Kind::Share if number < 0 => format!("{}%", -number),
        Kind::Choice(names) => name_of(names, number).unwrap_or("unknown").to_owned(),
        Kind::Flags(names) => show_flags(names, number),
        Kind::Events => show_events(number),
        _ => number.to_string(),
    }
}

pub(crate) fn name_of(names: Names, number: i64) -> Option<&'static str> {
    names.iter().find(|(_, known)| *known == number).map(|&(name, _)| name)
}

fn show_flags(names: Names, number: i64) -> String {
    if let Some(name) = name_of(names, number) {
        return name.to_owned();
    }
    let set = names.iter().filter(|(_, bit)| *bit != 0 && number & bit == *bit);
    joined(set.map(|&(name, _)| name.to_owned()))
}

fn show_events(bits: i64) -> String {
    let all = bits & event::ALL == event::ALL;
    let mut letters = String::from(if all { "A" } else { "" });
    let within = if all { &[][..] } else { event::WITHIN_ALL };
    let set = within.iter().chain(event::BESIDE_ALL).filter(|(_, bit)| bits & bit != 0);
    letters.extend(set.map(|&(letter, _)| letter));
    letters
}

/// Six decimals without the zeros at the end.
fn show_percentile(number: f64) -> String {
    format!("{number:.6}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What CONFIG REWRITE writes for a parameter: nothing, a line, or several.
/// A line is forced when it must stand in the file even if it did not before.
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) forced: bool,
}

/// The lines for `value` of the parameter called `name`, whose default is `default`.
pub(crate) fn lines(name: &str, kind: Kind, value: &Value, default: &Value) -> Vec<Line> {
    if let (Value::Limits(limits), Value::Limits(defaults)) = (value, default) {
        return limit_lines(name, limits, defaults);
    }
    let absent = match kind {
        Kind::Text { optional, .. } => optional && *value == Value::Text(String::new()),
        Kind::Replica => *value == Value::Replica(None),
        Kind::Addresses => value == default,
        _ => false,
    };
    if absent {
        return Vec::new();
    }
    // Rules and percentiles are always written: left out, their defaults would come back.
    let forced = value != default || matches!(kind, Kind::Save | Kind::Percentiles);
    vec![Line { text: format!("{name} {}", written(kind, value)), forced }]
}

fn limit_lines(
    name: &str,
    limits: &[OutputBufferLimit; 3],
    defaults: &[OutputBufferLimit; 3],
) -> Vec<Line> {
    let each = ["normal", "replica", "pubsub"].iter().zip(limits.iter().zip(defaults));
    each.map(|(class, (limit, default))| Line {
        text: format!("{name} {class} {}", written_limit(limit)),
        forced: limit != default,
    })
    .collect()
}

fn written_limit(limit: &OutputBufferLimit) -> String {
    let hard = with_unit(limit.hard_bytes);
    let soft = with_unit(limit.soft_bytes);
    format!("{hard} {soft} {}", limit.soft_seconds)
}

/// The value as it stands in a file.
pub(crate) fn written(kind: Kind, value: &Value) -> String {
    match (kind, value) {
        (Kind::Share, Value::Number(AUTO)) | (Kind::Threads { .. }, Value::Number(0)) => {
            "auto".to_owned()
        }
        (Kind::Share, Value::Number(number @ 0..))
        | (Kind::Memory { .. }, Value::Number(number)) => with_unit(*number as u64),
        (Kind::Events, Value::Number(bits)) => quoted(&show_events(*bits)),
        (_, Value::Text(text)) => quoted(text),
        (_, Value::Replica(None)) => "no one".to_owned(),
        _ => match show(kind, value) {
            empty if empty.is_empty() => "\"\"".to_owned(),
            shown => shown,
        },
    }
}

/// Bytes with the greatest unit that divides them.
fn with_unit(bytes: u64) -> String {
    [(30, "gb"), (20, "mb"), (10, "kb")]
        .into_iter()
        .find(|(shift, _)| bytes != 0 && bytes.trailing_zeros() >= *shift)
        .map_or_else(|| bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

/// Text between double quotes, with escapes for all that is not plainly printable.
pub fn quoted(text: &str) -> String {
    let mut line = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'\\' | b'"' => line.extend(['\\', char::from(byte)]),
            b'\n' => line.push_str("\\n"),
            b'\r' => line.push_str("\\r"),
            b'\t' => line.push_str("\\t"),
            7 => line.push_str("\\a"),
            8 => line.push_str("\\b"),
            b' '..=b'~' => line.push(char::from(byte)),
            _ => line.extend(['\\', 'x', hex_digit(byte >> 4), hex_digit(byte & 15)]),
        }
    }
    line.push('"');
    line
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(nibble.into(), 16).expect("four bits are a digit")
}
