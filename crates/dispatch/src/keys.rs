//! Which arguments of a command are keys.
//!
//! There is one function, [`positions`], that gives them, to the executor that locks shards, to COMMAND GETKEYS, and to whoever checks
//! rights: where two functions disagree, rights are passed by.

use russet_engine::number::parse_i64;

/// What a command does with a key, in Redis' words; an OR of the constants below.
pub type Access = u16;

/// Reads, writes, overwrites or removes the key, as `RO`, `RW`, `OW`, `RM`.
pub const RO: Access = 1;
/// See [`RO`].
pub const RW: Access = 2;
/// See [`RO`].
pub const OW: Access = 4;
/// See [`RO`].
pub const RM: Access = 8;
/// Gives the value, or something of it, away.
pub const ACCESS: Access = 16;
/// Changes the value.
pub const UPDATE: Access = 32;
/// Adds to the value.
pub const INSERT: Access = 64;
/// Removes from the value.
pub const DELETE: Access = 128;
/// Not a key, though it stands where one would.
pub const NOT_KEY: Access = 256;
/// There may be more keys than the specification finds.
pub const INCOMPLETE: Access = 512;
/// The true access depends on other arguments.
pub const VARIABLE_FLAGS: Access = 1024;

const ACCESS_NAMES: [(Access, &str); 11] = [
    (RW, "RW"),
    (RO, "RO"),
    (OW, "OW"),
    (RM, "RM"),
    (ACCESS, "access"),
    (UPDATE, "update"),
    (INSERT, "insert"),
    (DELETE, "delete"),
    (NOT_KEY, "not_key"),
    (INCOMPLETE, "incomplete"),
    (VARIABLE_FLAGS, "variable_flags"),
];

/// The names of the bits, as COMMAND INFO prints them.
pub fn access_names(access: Access) -> impl Iterator<Item = &'static str> {
    ACCESS_NAMES.into_iter().filter(move |(bit, _)| access & bit != 0).map(|(_, name)| name)
}

/// One place where keys stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// Where to begin.
    pub begin: Begin,
    /// How to go on from there.
    pub find: Find,
    /// What is done with them.
    pub access: Access,
}

/// Where the search for keys begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At an argument, the command's name being 0.
    At(usize),
    /// Behind a keyword, looked for from an argument; a negative start counts from the end and looks backwards.
    Keyword(&'static str, i32),
    /// Behind the last option of this name, the only one that names a key. Options before it may have arguments of their own: their
    /// names, and how many. Clients are told that nobody knows.
    Option(&'static str, &'static [(&'static str, usize)]),
    /// Nowhere: patterns behind these words name keys once the command runs. If there are such patterns, all shards are taken. Clients
    /// are told that nobody knows.
    Patterns(&'static [&'static str]),
}

/// How keys are found from the beginning on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// Up to `last` arguments behind the beginning (negative: from the end of all), every `step`th; `limit` as in Redis.
    Range {
        /// The last key, relative.
        last: i32,
        /// Distance between keys.
        step: usize,
        /// 0 or 1: no limit; 2: half of the arguments; …
        limit: usize,
    },
    /// A number of keys stands at `index` behind the beginning, the keys from `first` on.
    Count {
        /// Where the number stands, relative.
        index: usize,
        /// Where the first key stands, relative.
        first: usize,
        /// Distance between keys.
        step: usize,
    },
}

/// One key at a fixed place.
pub const fn at(index: usize, access: Access) -> KeySpec {
    range(index, 0, 1, access)
}

/// Keys from `index` to `last` behind it (negative: from the end), every `step`th.
pub const fn range(index: usize, last: i32, step: usize, access: Access) -> KeySpec {
    KeySpec { begin: Begin::At(index), find: Find::Range { last, step, limit: 0 }, access }
}

/// One key behind an option, among others that may have arguments of their own; see [`Begin::Option`].
pub const fn option(
    name: &'static str,
    others: &'static [(&'static str, usize)],
    access: Access,
) -> KeySpec {
    let find = Find::Range { last: 0, step: 1, limit: 0 };
    KeySpec { begin: Begin::Option(name, others), find, access }
}

/// Keys that patterns behind some words name; see [`Begin::Patterns`].
pub const fn patterns(words: &'static [&'static str], access: Access) -> KeySpec {
    let find = Find::Range { last: 0, step: 1, limit: 0 };
    KeySpec { begin: Begin::Patterns(words), find, access }
}

/// A number of keys at `index`, and the keys behind it, every `step`th.
pub const fn counted(index: usize, step: usize, access: Access) -> KeySpec {
    let find = Find::Count { index: 0, first: 1, step };
    KeySpec { begin: Begin::At(index), find, access }
}

/// First key, last key and step, as COMMAND INFO has told them since before there were specifications: one range, as far as one covers
/// what the specifications say; zeros for none.
pub fn legacy_range(specs: &[KeySpec]) -> (i64, i64, i64) {
    let range = |spec: &KeySpec| match (spec.begin, spec.find) {
        (Begin::At(first), Find::Range { last, step, .. }) => {
            let until = if last < 0 { i64::from(last) } else { first as i64 + i64::from(last) };
            Some((first as i64, until, step as i64))
        }
        _ => None,
    };
    if let [only] = specs {
        return range(only).unwrap_or_default();
    }
    let mut covered: Option<(i64, i64, i64)> = None;
    for (first, until, step) in specs.iter().filter_map(range) {
        covered = match covered {
            _ if step != 1 => covered,
            None => Some((first, until, 1)),
            Some((begin, end, _)) if end == first - 1 => Some((begin, until, 1)),
            Some(range) => Some(range),
        };
    }
    covered.unwrap_or_default()
}

/// Gives `each` the index and access of every key among `argc` arguments, not of what only stands where one would; `arg` reads one.
/// Says whether the arguments make sense: a
/// number of keys that is no number, or more keys than arguments, makes none.
#[inline]
pub fn positions<'a>(
    specs: &[KeySpec],
    argc: usize,
    arg: impl Fn(usize) -> &'a [u8],
    mut each: impl FnMut(usize, Access),
) -> bool {
    let mut keys = specs.iter().filter(|spec| spec.access & NOT_KEY == 0);
    keys.all(|spec| positions_of(*spec, argc, &arg, &mut each))
}

/// Whether there are patterns among the arguments that name keys once the command runs; see [`Begin::Patterns`].
pub fn has_patterns<'a>(specs: &[KeySpec], argc: usize, arg: impl Fn(usize) -> &'a [u8]) -> bool {
    specs.iter().any(|spec| match spec.begin {
        Begin::Patterns(words) => (2..argc).any(|at| {
            arg(at).contains(&b'*')
                && words.iter().any(|word| arg(at - 1).eq_ignore_ascii_case(word.as_bytes()))
        }),
        _ => false,
    })
}

fn positions_of<'a>(
    spec: KeySpec,
    argc: usize,
    arg: &impl Fn(usize) -> &'a [u8],
    each: &mut impl FnMut(usize, Access),
) -> bool {
    let Some(begin) = begin(spec.begin, argc, arg) else { return true };
    let (first, last, step) = match spec.find {
        Find::Range { last, step, limit } => (begin, range_end(begin, last, limit, argc), step),
        Find::Count { index, first, step } => {
            let count = (begin + index < argc).then(|| parse_i64(arg(begin + index))).flatten();
            let Some(count) = count.filter(|count| *count >= 0) else { return false };
            if count == 0 {
                return true;
            }
            let end = (count as u64 - 1).saturating_mul(step as u64);
            let last = end.saturating_add((begin + first) as u64);
            if last >= argc as u64 {
                return false;
            }
            (begin + first, last as i64, step)
        }
    };
    let mut at = first;
    while (at as i64) <= last {
        if at >= argc {
            return false;
        }
        each(at, spec.access);
        at += step;
    }
    true
}

fn begin<'a>(begin: Begin, argc: usize, arg: &impl Fn(usize) -> &'a [u8]) -> Option<usize> {
    match begin {
        Begin::At(index) => (index < argc).then_some(index),
        Begin::Keyword(word, from) => {
            let is_word = |at: &usize| arg(*at).eq_ignore_ascii_case(word.as_bytes());
            let found = if from >= 0 {
                (from as usize..argc).find(is_word)
            } else {
                (1..=argc.checked_sub(from.unsigned_abs() as usize)?).rev().find(is_word)
            };
            found.map(|at| at + 1).filter(|at| *at < argc)
        }
        Begin::Option(name, others) => behind_option(name, others, argc, arg),
        Begin::Patterns(_) => None,
    }
}

/// The argument behind the last option of this name; options stand behind the first key.
fn behind_option<'a>(
    name: &str,
    others: &[(&str, usize)],
    argc: usize,
    arg: &impl Fn(usize) -> &'a [u8],
) -> Option<usize> {
    let is = |at: usize, word: &str| arg(at).eq_ignore_ascii_case(word.as_bytes());
    let (mut at, mut found) = (2, None);
    while at < argc {
        if is(at, name) {
            found = Some(at + 1);
            at += 1;
        } else {
            at += others.iter().find(|(word, _)| is(at, word)).map_or(0, |(_, count)| *count);
        }
        at += 1;
    }
    found.filter(|at| *at < argc)
}

fn range_end(begin: usize, last: i32, limit: usize, argc: usize) -> i64 {
    match (last, limit) {
        (0.., _) => begin as i64 + i64::from(last),
        (-1, 2..) => begin as i64 + ((argc - begin) / limit) as i64 - 1,
        _ => argc as i64 + i64::from(last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(specs: &[KeySpec], line: &str) -> Option<Vec<usize>> {
        let argv: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let mut found = Vec::new();
        positions(specs, argv.len(), |at| argv[at], |at, _| found.push(at)).then_some(found)
    }

    #[test]
    fn ranges_and_counts_are_found() {
        assert_eq!(found(&[at(1, RO)], "GET k"), Some(vec![1]));
        assert_eq!(found(&[range(1, -1, 2, OW)], "MSET a 1 b 2"), Some(vec![1, 3]));
        assert_eq!(found(&[range(1, -2, 1, RW)], "BLPOP a b 0"), Some(vec![1, 2]));
        assert_eq!(found(&[counted(1, 1, RW)], "LMPOP 2 a b LEFT"), Some(vec![2, 3]));
        assert_eq!(found(&[counted(1, 2, OW)], "MSETEX 2 a 1 b 2 NX"), Some(vec![2, 4]));
        assert_eq!(found(&[at(1, RW), at(2, OW)], "COPY a b"), Some(vec![1, 2]));
    }

    #[test]
    fn an_option_is_found_among_others_and_patterns_are_noticed() {
        let sort = [
            at(1, RO),
            patterns(&["BY", "GET"], RO),
            option("STORE", &[("LIMIT", 2), ("GET", 1), ("BY", 1)], OW),
        ];
        assert_eq!(found(&sort, "SORT k"), Some(vec![1]));
        assert_eq!(found(&sort, "SORT k STORE a GET store ALPHA store b"), Some(vec![1, 8]));
        assert_eq!(found(&sort, "SORT k LIMIT 0 store GET"), Some(vec![1]));
        assert_eq!(found(&sort, "SORT k ALPHA STORE"), Some(vec![1]));
        let has = |line: &str| {
            let argv: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            has_patterns(&sort, argv.len(), |at| argv[at])
        };
        assert!(has("SORT k by w_*"));
        assert!(has("SORT k GET # GET *->f"));
        assert!(!has("SORT k BY nosort GET #"));
        assert!(!has("SORT by*"));
    }

    #[test]
    fn one_range_stands_for_several_where_it_can() {
        assert_eq!(legacy_range(&[]), (0, 0, 0));
        assert_eq!(legacy_range(&[range(1, -1, 2, OW)]), (1, -1, 2));
        assert_eq!(legacy_range(&[range(1, -2, 1, RW)]), (1, -2, 1));
        assert_eq!(legacy_range(&[at(1, RW), at(2, OW)]), (1, 2, 1));
        assert_eq!(legacy_range(&[at(1, OW), range(2, -1, 1, RO)]), (1, -1, 1));
        assert_eq!(legacy_range(&[at(1, OW), counted(2, 1, RO)]), (1, 1, 1));
        assert_eq!(legacy_range(&[counted(1, 1, RW)]), (0, 0, 0));
    }

    #[test]
    fn counts_that_lie_are_refused() {
        for line in ["LMPOP 9223372036854775807 a", "LMPOP -1 a", "LMPOP x a", "LMPOP 3 a b"] {
            assert_eq!(found(&[counted(1, 1, RW)], line), None, "{line}");
        }
    }
}
