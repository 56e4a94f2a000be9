//! Glob patterns, as KEYS, SCAN and PSUBSCRIBE understand them.
//!
//! `*` any run of bytes, `?` any one, `[abc]`, `[a-z]` and `[^…]` one of (or none of) a class, `\x` an `x` that means itself. Every item
//! but `*` takes exactly one byte, whatever stands around it. So when an item fails, only the *last* star needs to take one byte more:
//! what an earlier star could gain, the last one can give as well. Two positions and one place to return to are all the state there is:
//! no recursion, and at most pattern × text steps for any pattern a client may send.
//!
//! The corners are those of Redis:
//! * a pattern with something behind its 1,001st run of stars matches nothing;
//! * an empty text is matched by the empty pattern alone, not by `*`;
//! * a class that is never closed ends with the pattern, `[` alone matches nothing, `[^` anything;
//! * the ends of a range may stand in either order, and its end may be a `]`;
//! * `\` as the last byte means itself;
//! * ignoring case, an escaped byte inside a class is still compared as it is.
//!
//! Bytes are unsigned in ranges. Redis inherits the signedness of C's `char`, which differs between processors above 127.

use std::borrow::Cow;

/// Whether the whole of `text` is described by `pattern`.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    run::<false>(pattern, text)
}

/// As [`matches()`], with ASCII letters alike in both cases.
pub fn matches_nocase(pattern: &[u8], text: &[u8]) -> bool {
    run::<true>(pattern, text)
}

/// A pattern that many texts are held against: what costs per text is bounded by the text, however long the pattern is.
#[derive(Clone, Debug)]
pub struct Glob {
    pattern: Box<[u8]>,
    is_nocase: bool,
}

/// Runs of stars that a pattern may have something behind. Redis has the limit since it recurses at each, and answers are to be the same.
const STARS_MAX: usize = 1000;

/// Patterns longer than this are rewritten before many texts are held against them.
const LONG: usize = 512;

impl Glob {
    /// For [`matches()`].
    pub fn new(pattern: &[u8]) -> Self {
        Self { pattern: shortened::<false>(pattern), is_nocase: false }
    }

    /// For [`matches_nocase()`].
    pub fn nocase(pattern: &[u8]) -> Self {
        Self { pattern: shortened::<true>(pattern), is_nocase: true }
    }

    /// Whether the whole of `text` is described.
    #[inline]
    pub fn matches(&self, text: &[u8]) -> bool {
        if self.is_nocase {
            run::<true>(&self.pattern, text)
        } else {
            run::<false>(&self.pattern, text)
        }
    }

    /// As [`literal()`].
    pub fn literal(&self) -> Option<Cow<'_, [u8]>> {
        literal(&self.pattern)
    }
}

/// The same pattern with each class spelled as at most 256 escaped bytes, and each run of stars as one.
fn shortened<const FOLD: bool>(pattern: &[u8]) -> Box<[u8]> {
    if pattern.len() <= LONG {
        return pattern.into();
    }
    let mut short = Vec::new();
    let mut at = 0;
    while let Some(byte) = pattern.get(at) {
        match byte {
            b'*' if short.ends_with(b"*") && !short.ends_with(b"\\*") => at += 1,
            b'[' => at = shorten_class::<FOLD>(pattern, at + 1, &mut short),
            b'\\' => {
                short.extend(pattern[at..].iter().take(2));
                at += 2;
            }
            plain => {
                short.push(*plain);
                at += 1;
            }
        }
    }
    short.into()
}

/// Writes a class whose opening bracket stands just before `at`; answers where the next item begins.
fn shorten_class<const FOLD: bool>(pattern: &[u8], at: usize, short: &mut Vec<u8>) -> usize {
    let mut accepted = [false; 256];
    let negated = pattern.get(at) == Some(&b'^');
    let mut members = Members { pattern, at: at + usize::from(negated) };
    for member in &mut members {
        match member {
            Member::Exactly(byte) => accepted[usize::from(byte)] = true,
            Member::Within(from, until) => (0..=255u8)
                .filter(|byte| within::<FOLD>(from, until, *byte))
                .for_each(|byte| accepted[usize::from(byte)] = true),
        }
    }
    short.extend_from_slice(if negated { b"[^" } else { b"[" });
    (0..=255u8)
        .filter(|byte| accepted[usize::from(*byte)])
        .for_each(|byte| short.extend([b'\\', byte]));
    short.push(b']');
    members.at
}

/// The only text that `pattern` matches, if it is of the kind that matches only one: a lookup instead of a walk.
pub fn literal(pattern: &[u8]) -> Option<Cow<'_, [u8]>> {
    let Some(first) = pattern.iter().position(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'))
    else {
        return Some(Cow::Borrowed(pattern));
    };
    let (plain, mut rest) = pattern.split_at(first);
    let mut text = plain.to_vec();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'*' | b'?' | b'[', _) => return None,
            (b'\\', [escaped, after @ ..]) => {
                text.push(*escaped);
                rest = after;
            }
            _ => text.push(*byte),
        }
    }
    Some(Cow::Owned(text))
}

fn run<const FOLD: bool>(pattern: &[u8], text: &[u8]) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut item, mut at, mut stars) = (0, 0, 0);
    // Behind the last star, and the first byte that the star has not taken.
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        if pattern.get(item) == Some(&b'*') {
            item += run_of_stars(&pattern[item..]);
            if item == pattern.len() {
                return true;
            }
            stars += 1;
            if stars > STARS_MAX {
                return false;
            }
            star = Some((item, at));
        } else if let Some(next) = one::<FOLD>(pattern, item, text[at]) {
            item = next;
            at += 1;
        } else if let Some((behind, from)) = star {
            item = behind;
            at = from + 1;
            star = Some((behind, at));
        } else {
            return false;
        }
    }
    // A star that took more would only leave less text for what is still unmatched.
    pattern[item..].iter().all(|byte| *byte == b'*')
}

fn run_of_stars(pattern: &[u8]) -> usize {
    pattern.iter().take_while(|byte| **byte == b'*').count()
}

/// Where the next item begins, if the one at `item` accepts `byte`.
#[inline]
fn one<const FOLD: bool>(pattern: &[u8], item: usize, byte: u8) -> Option<usize> {
    match pattern[item..] {
        [] => None,
        [b'?', ..] => Some(item + 1),
        [b'[', ..] => class::<FOLD>(pattern, item + 1, byte),
        [b'\\', escaped, ..] => same::<FOLD>(escaped, byte).then_some(item + 2),
        [plain, ..] => same::<FOLD>(plain, byte).then_some(item + 1),
    }
}

/// As [`one`], for a class whose opening bracket stands just before `at`.
fn class<const FOLD: bool>(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    let negated = pattern.get(at) == Some(&b'^');
    let mut members = Members { pattern, at: at + usize::from(negated) };
    let mut found = false;
    for member in &mut members {
        found |= match member {
            Member::Exactly(member) => member == byte,
            Member::Within(from, until) => within::<FOLD>(from, until, byte),
        };
    }
    (found != negated).then_some(members.at)
}

/// What a class accepts.
enum Member {
    /// An escaped byte: this one, whatever the case.
    Exactly(u8),
    /// A range, or a plain byte as a range of one.
    Within(u8, u8),
}

/// The members of a class, up to its end; afterwards `at` is where the next item begins.
struct Members<'a> {
    pattern: &'a [u8],
    at: usize,
}

impl Iterator for Members<'_> {
    type Item = Member;

    #[inline]
    fn next(&mut self) -> Option<Member> {
        let (member, taken) = match self.pattern[self.at..] {
            [] => (None, 0),
            [b']', ..] => (None, 1),
            [b'\\', escaped, ..] => (Some(Member::Exactly(escaped)), 2),
            [from, b'-', until, ..] => (Some(Member::Within(from, until)), 3),
            [plain, ..] => (Some(Member::Within(plain, plain)), 1),
        };
        self.at += taken;
        member
    }
}

/// Case is folded after the ends are put in order, as in Redis: `[Z-a]` then accepts nothing.
fn within<const FOLD: bool>(from: u8, until: u8, byte: u8) -> bool {
    let (from, until) = (from.min(until), from.max(until));
    (fold::<FOLD>(from)..=fold::<FOLD>(until)).contains(&fold::<FOLD>(byte))
}

fn same<const FOLD: bool>(one: u8, other: u8) -> bool {
    fold::<FOLD>(one) == fold::<FOLD>(other)
}

const fn fold<const FOLD: bool>(byte: u8) -> u8 {
    if FOLD { byte.to_ascii_lowercase() } else { byte }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `text` is described by `yes` and not by `no`.
    fn check(text: &str, yes: &[&str], no: &[&str]) {
        for pattern in yes {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} should match {text}");
        }
        for pattern in no {
            assert!(
                !matches(pattern.as_bytes(), text.as_bytes()),
                "{pattern} should not match {text}"
            );
        }
    }

    #[test]
    fn stars_take_any_run_of_bytes() {
        check(
            "foobar",
            &["*", "**", "foo*", "*bar", "f*b*r", "foobar*", "*o*a*"],
            &["*baz", "fo", "foobarx", "*x*"],
        );
        check("aaa", &["a*a*a", "a*aa", "*a"], &["a*a*a*a", "*b", "*ab"]);
        check("mississippi", &["m*issip*", "*sip*", "m*i"], &["m*issipx*", "*sip"]);
    }

    #[test]
    fn a_question_mark_takes_one_byte() {
        check("ab", &["??", "?b", "a?", "*?", "?*?"], &["?", "???", "*???"]);
    }

    #[test]
    fn classes_accept_members_and_ranges() {
        check(
            "b",
            &["[abc]", "[a-c]", "[c-a]", "[^x]", "[^x-z]", "[xb]", "[\\b]"],
            &["[xyz]", "[^b]", "[]", "[^a-c]"],
        );
        check("-", &["[-]", "[-a]", "[\\-]", "[a-c-]"], &["[a-c]", "[a-]"]);
        check("]", &["[\\]]", "]", "\\]"], &["[]]"]);
        check("_", &["[a-]", "[a-]x"], &["[a-c]"]);
    }

    #[test]
    fn an_unclosed_class_ends_with_the_pattern() {
        check("a", &["[a", "[^", "[^b", "[b-a", "[a\\"], &["[", "[b", "[^a"]);
        check("\\", &["[\\", "\\", "\\\\"], &["[\\]x"]);
    }

    #[test]
    fn an_escape_takes_the_meaning_away() {
        check("*", &["\\*", "[*]", "?"], &["\\?", "\\\\*"]);
        check("a", &["\\a"], &["\\\\a", "\\b"]);
    }

    #[test]
    fn an_empty_text_is_matched_by_the_empty_pattern_alone() {
        check("", &[""], &["*", "**", "?", "[^a]"]);
    }

    #[test]
    fn case_is_ignored_when_asked() {
        assert!(matches_nocase(b"HELLO*[a-z]", b"hello wORLD"));
        assert!(matches_nocase(b"[A-Z]", b"q"));
        assert!(!matches_nocase(b"[\\A]", b"a"), "an escaped member is compared as it is");
        assert!(!matches(b"A", b"a"));
    }

    #[test]
    fn a_literal_is_the_only_text_its_pattern_matches() {
        assert_eq!(literal(b"plain").as_deref(), Some(&b"plain"[..]));
        assert_eq!(literal(b"a\\*b\\").as_deref(), Some(&b"a*b\\"[..]));
        assert_eq!(literal(b"").as_deref(), Some(&b""[..]));
        for pattern in [&b"a*"[..], b"?", b"[a]", b"\\*?"] {
            assert_eq!(literal(pattern), None);
        }
    }

    /// Thirty stars would take a recursive matcher years; a step counter is not needed to see that this returns.
    #[test]
    fn hostile_patterns_cost_pattern_times_text() {
        let text = [b'a'; 64];
        assert!(!matches(&[&b"a*".repeat(30)[..], b"b"].concat(), &text));
        let million = b"*?".repeat(500_000);
        assert!(!matches(&million, &text));
        assert!(!matches(&million, &vec![b'a'; 500_000]));
        let marks = [&b"*"[..], &vec![b'?'; 500_000]].concat();
        assert!(matches(&marks, &vec![b'a'; 500_000]));
        assert!(!matches(&marks, &vec![b'a'; 499_999]));
        assert!(!matches(&vec![b'['; 1_000_000], &text));
        assert!(!matches(&[b"*[", &vec![b'x'; 1_000_000][..]].concat(), &text));
    }

    #[test]
    fn what_stands_behind_a_thousand_stars_is_found_and_behind_one_more_nothing() {
        let text = vec![b'a'; 2000];
        let stars = |runs: usize, end: &[u8]| [&b"**a".repeat(runs)[..], end].concat();
        for (pattern, is_match) in [
            (stars(1000, b""), true),
            (stars(1000, b"***"), true),
            (stars(1000, b"[*]"), false),
            (stars(1000, b"*a"), false),
            (stars(1001, b""), false),
        ] {
            assert_eq!(matches(&pattern, &text), is_match);
            assert_eq!(Glob::new(&pattern).matches(&text), is_match);
        }
    }

    #[test]
    fn a_long_class_costs_its_length_once() {
        let open = Glob::new(&[&b"*["[..], &vec![b'a'; 1 << 20]].concat());
        assert_eq!(&*open.pattern, b"*[\\a]");
        assert!((0..100_000).all(|_| open.matches(b"banana")));
        assert!(!open.matches(b"bananas"));
    }

    /// The slow twin: items first, then every way to spread the text over them.
    enum Item {
        Star,
        One(Box<dyn Fn(u8) -> bool>),
    }

    fn items(mut pattern: &[u8]) -> Vec<Item> {
        let mut items = Vec::new();
        while let Some((&byte, rest)) = pattern.split_first() {
            pattern = rest;
            items.push(match byte {
                b'*' => Item::Star,
                b'?' => Item::One(Box::new(|_| true)),
                b'[' => class_item(&mut pattern),
                b'\\' if !rest.is_empty() => {
                    let escaped = rest[0];
                    pattern = &rest[1..];
                    Item::One(Box::new(move |b| b == escaped))
                }
                _ => Item::One(Box::new(move |b| b == byte)),
            });
        }
        items
    }

    fn class_item(pattern: &mut &[u8]) -> Item {
        let mut members = Vec::new();
        let negated = pattern.first() == Some(&b'^');
        let mut at = usize::from(negated);
        while at < pattern.len() && pattern[at] != b']' {
            if pattern[at] == b'\\' && at + 1 < pattern.len() {
                members.push(pattern[at + 1]);
                at += 2;
            } else if at + 2 < pattern.len() && pattern[at + 1] == b'-' {
                let ends = [pattern[at], pattern[at + 2]];
                members.extend(ends[0].min(ends[1])..=ends[0].max(ends[1]));
                at += 3;
            } else {
                members.push(pattern[at]);
                at += 1;
            }
        }
        *pattern = &pattern[(at + 1).min(pattern.len())..];
        Item::One(Box::new(move |b| members.contains(&b) != negated))
    }

    fn slow(items: &[Item], text: &[u8]) -> bool {
        match items {
            [] => text.is_empty(),
            [Item::Star, rest @ ..] => (0..=text.len()).any(|taken| slow(rest, &text[taken..])),
            [Item::One(accepts), rest @ ..] => {
                text.split_first().is_some_and(|(b, text)| accepts(*b) && slow(rest, text))
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_slow_twin(pattern in r"[ab\-\]\[\^\\*?]{0,12}", text in r"[ab\-\]\^\\]{1,10}") {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(matches(pattern, text), slow(&items(pattern), text));
            // Stars behind a star, and a second star, change nothing but the length.
            let long = [pattern, b"*", &[b'*'; LONG]].concat();
            prop_assert_eq!(Glob::new(&long).matches(text), matches(&long, text));
            prop_assert_eq!(Glob::nocase(&long).matches(text), matches_nocase(&long, text));
            if let Some(only) = literal(pattern) {
                prop_assert_eq!(matches(pattern, text), *only == *text);
            }
        }
    }
}
