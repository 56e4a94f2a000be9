//! SORT: the elements of a collection in order, or what other keys say about them.
//!
//! BY and GET name other keys by patterns, into which each element is put. Which keys those are nobody knows before the collection is
//! seen, so a request with such patterns holds all shards from the start; see `Begin::Patterns`. They are looked at side by side and
//! not marked as used.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use russet_dispatch::command::Flag::*;
use russet_dispatch::context::{Data, Text};
use russet_dispatch::keys::{ACCESS, OW, RO, UPDATE, at, option, patterns};
use russet_dispatch::{Args, Category, Class, Command, Context, Error, Key, Outcome, State, Stop};
use russet_engine::collections::listpack::Element;
use russet_engine::types::list::{List, ListMax};
use russet_engine::types::sorted_set::SortedSet;
use russet_engine::{Entry, ObjectRef};
use russet_resp::number::parse_double;

use super::GENERIC;

/// Options with arguments of their own, and how many.
const WITH_ARGUMENTS: &[(&str, usize)] = &[("LIMIT", 2), ("GET", 1), ("BY", 1)];

/// What both rows have in common.
const SORTING: Command = Command {
    complexity: "O(N+M*log(M)) where N is the number of elements and M the number of elements returned",
    arity: -2,
    also: &[Category::Set, Category::SortedSet, Category::List, Category::Dangerous],
    not: &[Category::Keyspace],
    ..GENERIC
};

/// The row of SORT.
pub(super) const SORT: Command = Command {
    name: "sort",
    syntax: "key [BY by-pattern:pattern] [LIMIT offset:int count:int] [GET get-pattern:pattern [GET get-pattern:pattern ...]] [ASC | DESC] [ALPHA] [STORE destination]",
    summary: "Sorts the elements of a list, a set or a sorted set, and may keep the result.",
    flags: &[Write, DenyOom, MovableKeys],
    keys: &[
        at(1, RO | ACCESS),
        patterns(&["BY", "GET"], RO | ACCESS),
        option("STORE", WITH_ARGUMENTS, OW | UPDATE),
    ],
    run: sort,
    ..SORTING
};

/// The row of SORT_RO.
pub(super) const SORT_RO: Command = Command {
    name: "sort_ro",
    syntax: "key [BY by-pattern:pattern] [LIMIT offset:int count:int] [GET get-pattern:pattern [GET get-pattern:pattern ...]] [ASC | DESC] [ALPHA]",
    summary: "Sorts the elements of a list, a set or a sorted set.",
    since: "7.0.0",
    flags: &[ReadOnly, MovableKeys],
    keys: &[at(1, RO | ACCESS), patterns(&["BY", "GET"], RO | ACCESS)],
    run: sort_ro,
    ..SORTING
};

/// Sorting more elements than this takes about a millisecond.
const LONG: usize = 4096;

/// What a pattern gives for an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pattern<'a> {
    /// `#`: the element.
    Itself,
    /// No star: nothing.
    Fixed,
    /// What stands under a key, or under a field of it.
    Key { before: &'a [u8], behind: &'a [u8], field: Option<&'a [u8]> },
}

impl<'a> Pattern<'a> {
    fn read(text: &'a [u8]) -> Self {
        if text == b"#" {
            return Self::Itself;
        }
        let Some(star) = memchr::memchr(b'*', text) else { return Self::Fixed };
        let (before, behind) = (&text[..star], &text[star + 1..]);
        let arrow = memchr::memmem::find(behind, b"->").filter(|at| at + 2 < behind.len());
        match arrow {
            Some(at) => Self::Key { before, behind: &behind[..at], field: Some(&behind[at + 2..]) },
            None => Self::Key { before, behind, field: None },
        }
    }

    fn find<'d>(self, element: &Cow<'d, [u8]>, others: Others<'d>) -> Option<Cow<'d, [u8]>> {
        match self {
            Self::Itself => Some(element.clone()),
            Self::Fixed => None,
            Self::Key { before, behind, field } => {
                others.find(&[before, element, behind].concat(), field)
            }
        }
    }
}

/// All keys, to be looked at.
#[derive(Clone, Copy)]
struct Others<'d> {
    data: &'d Data<'d>,
    state: &'static State,
}

impl<'d> Others<'d> {
    /// The string under a key, or under a field of the hash there.
    fn find(self, key: &[u8], field: Option<&[u8]>) -> Option<Cow<'d, [u8]>> {
        let spot = self.state.keyspace.locate(key);
        let entry = self.data.again(Key { bytes: key, spot })?;
        match (entry.object(), field) {
            (None, None) => Text::of(entry).ok().map(Text::bytes),
            (Some(ObjectRef::Hash(hash)), Some(field)) => {
                let has_ended = hash.expiry(field)?.is_some_and(|end| end <= self.data.now);
                hash.get(field).filter(|_| !has_ended).map(|view| Text::from(view).bytes())
            }
            _ => None,
        }
    }
}

/// What was asked for.
#[derive(Debug, Default)]
struct Options<'a> {
    is_descending: bool,
    is_alpha: bool,
    /// An offset and a count.
    limit: Option<(i64, i64)>,
    by: Option<Pattern<'a>>,
    gets: Vec<Pattern<'a>>,
    /// Index of the argument that names the target.
    store: Option<usize>,
}

impl<'a> Options<'a> {
    fn read(args: &mut Args<'a>, may_store: bool) -> Result<Self, Error> {
        let mut options = Self::default();
        while !args.is_empty() {
            let left = args.left();
            if args.flag("ASC") {
                options.is_descending = false;
            } else if args.flag("DESC") {
                options.is_descending = true;
            } else if args.flag("ALPHA") {
                options.is_alpha = true;
            } else if left > 2 && args.flag("LIMIT") {
                options.limit = Some((args.int()?, args.int()?));
            } else if may_store && left > 1 && args.flag("STORE") {
                options.store = Some(Args::position(args));
                args.next()?;
            } else if left > 1 && args.flag("BY") {
                options.by = Some(Pattern::read(args.next()?));
            } else if left > 1 && args.flag("GET") {
                options.gets.push(Pattern::read(args.next()?));
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }

    /// Whether the elements stay as they are. `BY #` has no star either.
    fn keeps_order(&self) -> bool {
        matches!(self.by, Some(Pattern::Fixed | Pattern::Itself))
    }

    /// Which of `len` elements are wanted.
    fn window(&self, len: usize) -> Range<usize> {
        let (offset, count) = self.limit.unwrap_or((0, -1));
        let clip = |number: i64| usize::try_from(number).map_or(0, |number| number.min(len));
        let start = clip(offset);
        let end = if count < 0 { len } else { (start + clip(count)).min(len) };
        start..end
    }
}

/// An element and what it is sorted by.
struct Item<'d> {
    element: Cow<'d, [u8]>,
    number: f64,
    text: Option<Cow<'d, [u8]>>,
}

fn sort(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    run(cx, args, true)
}

fn sort_ro(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    run(cx, args, false)
}

fn run(cx: &mut Context<'_>, args: &mut Args<'_>, may_store: bool) -> Outcome {
    let key = args.key()?;
    let mut options = Options::read(args, may_store)?;
    let len = cx.data.read(key).map_or(Ok(0), sortable_len)?;
    if len > LONG && !cx.is_worker && !cx.session.deny_blocking {
        return Err(Stop::Elsewhere);
    }
    enlarge(cx, key)?;
    let others = Others { data: &cx.data, state: cx.state };
    let object = cx.data.again(key).and_then(Entry::object);
    let is_repeatable = options.store.is_some() || cx.session.is_script;
    let elements = ordered(object, &mut options, is_repeatable, others)?;
    if let Some(index) = options.store {
        args.seek(index);
        let list = listed(&elements, &options.gets, others);
        return store(cx, args.key()?, list);
    }
    cx.reply.array(elements.len() * options.gets.len().max(1));
    for element in &elements {
        if options.gets.is_empty() {
            cx.reply.bulk(element);
        }
        for pattern in &options.gets {
            match pattern.find(element, others) {
                Some(found) => cx.reply.bulk(&found),
                None => cx.reply.null(),
            }
        }
    }
    Ok(())
}

/// A sorted set stays large once its elements have been sorted, as in Redis.
fn enlarge(cx: &mut Context<'_>, key: Key<'_>) -> Result<(), Error> {
    let is_small = |object| matches!(object, ObjectRef::SortedSet(set) if set.is_small());
    if cx.data.again(key).and_then(Entry::object).is_some_and(is_small) {
        let seed = cx.state.keyspace.seed();
        cx.data.change_found(key, |set: &mut SortedSet| (set.make_large(seed), false))?;
    }
    Ok(())
}

/// How many elements a collection has that can be sorted.
fn sortable_len(entry: &Entry) -> Result<usize, Error> {
    match entry.object() {
        Some(object @ (ObjectRef::List(_) | ObjectRef::Set(_) | ObjectRef::SortedSet(_))) => {
            Ok(object.len())
        }
        _ => Err(Error::WrongType),
    }
}

/// The elements that are wanted, in order; `is_repeatable` if that order must be the same another time.
fn ordered<'d>(
    object: Option<ObjectRef<'d>>,
    options: &mut Options<'_>,
    is_repeatable: bool,
    others: Others<'d>,
) -> Result<Vec<Cow<'d, [u8]>>, Error> {
    let Some(object) = object else { return Ok(Vec::new()) };
    let window = options.window(object.len());
    if options.keeps_order() {
        if !matches!(object, ObjectRef::Set(_)) {
            return Ok(part(object, window, options.is_descending));
        }
        // What is kept of a set without an order, or what a script sees of it, would be another time something else.
        if !is_repeatable {
            return Ok(members(object).drain(window).collect());
        }
        (options.is_alpha, options.by) = (true, None);
    }
    let mut items = Vec::with_capacity(object.len());
    for element in members(object) {
        items.push(item(element, options, others)?);
    }
    items.sort_by(|one, other| {
        let order = compare(one, other, options);
        if options.is_descending { order.reverse() } else { order }
    });
    Ok(items.drain(window).map(|item| item.element).collect())
}

fn item<'d>(
    element: Cow<'d, [u8]>,
    options: &Options<'_>,
    others: Others<'d>,
) -> Result<Item<'d>, Error> {
    let mut item = Item { element, number: 0.0, text: None };
    let text = match options.by {
        Some(pattern) => pattern.find(&item.element, others),
        None if options.is_alpha => None,
        None => Some(item.element.clone()),
    };
    if options.is_alpha {
        item.text = text;
    } else if let Some(text) = text {
        item.number = number(&text).ok_or(Error::ScoresNotFloat)?;
    }
    Ok(item)
}

/// As C's strtod reads it: spaces may precede, a zero byte ends it, and nothing is zero. What is too small for all its digits to count
/// is out of range.
fn number(text: &[u8]) -> Option<f64> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let blank = text.iter().take_while(|byte| is_space(byte)).count();
    if text.is_empty() {
        return Some(0.0);
    }
    parse_double(&text[blank..]).filter(|number| !number.is_subnormal())
}

fn compare(one: &Item<'_>, other: &Item<'_>, options: &Options<'_>) -> Ordering {
    if options.is_alpha && options.by.is_some() {
        return one.text.cmp(&other.text);
    }
    let by_number = one.number.partial_cmp(&other.number).unwrap_or(Ordering::Equal);
    by_number.then_with(|| one.element.cmp(&other.element))
}

fn bytes_of(element: Element<'_>) -> Cow<'_, [u8]> {
    match element {
        Element::Bytes(bytes) => Cow::Borrowed(bytes),
        Element::Int(_) => Cow::Owned(element.to_vec()),
    }
}

/// All elements of a collection.
fn members(object: ObjectRef<'_>) -> Vec<Cow<'_, [u8]>> {
    match object {
        ObjectRef::List(list) => list.iter().map(Cow::Borrowed).collect(),
        ObjectRef::Set(set) => set.iter().map(bytes_of).collect(),
        ObjectRef::SortedSet(set) => part(object, 0..set.len(), false),
        _ => Vec::new(),
    }
}

/// Some elements of a collection that has an order of its own, or of that order reversed.
fn part(object: ObjectRef<'_>, window: Range<usize>, is_reversed: bool) -> Vec<Cow<'_, [u8]>> {
    match object {
        ObjectRef::List(list) if is_reversed => {
            list.iter().rev().skip(window.start).take(window.len()).map(Cow::Borrowed).collect()
        }
        ObjectRef::List(list) => {
            let last = window.end as i64 - 1;
            let wanted = if window.is_empty() {
                list.range(1, 0)
            } else {
                list.range(window.start as i64, last)
            };
            wanted.map(Cow::Borrowed).collect()
        }
        ObjectRef::SortedSet(set) => {
            let mut names = Vec::with_capacity(window.len());
            let keep = |name: &[u8], _| names.push(Cow::Owned(name.to_vec()));
            if is_reversed {
                set.each_back(set.len() - window.end..set.len() - window.start, keep);
            } else {
                set.each(window, keep);
            }
            names
        }
        _ => Vec::new(),
    }
}

/// The list that STORE keeps: where there is nothing stands an empty string.
fn listed(elements: &[Cow<'_, [u8]>], gets: &[Pattern<'_>], others: Others<'_>) -> List {
    let mut list = List::new();
    for element in elements {
        if gets.is_empty() {
            list.push_back(element);
        }
        for pattern in gets {
            list.push_back(&pattern.find(element, others).unwrap_or_default());
        }
    }
    list
}

fn store(cx: &mut Context<'_>, target: Key<'_>, mut list: List) -> Outcome {
    list.was_made(ListMax::of(cx.state.tunables.thresholds.list()));
    let len = list.len();
    if cx.data.put(target, list) {
        cx.data.count_as(len.max(1));
    }
    if len > 0 {
        cx.data.notify(Class::List, "sortstore", target);
    }
    cx.reply.integer(len as i64);
    Ok(())
}
