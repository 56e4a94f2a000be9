//! Sets: their members, each once.
//!
//! ```text
//! ints:   a sorted row of integers
//! small:  a listpack, in order of arrival
//! big:    pages of members, by their hash
//! ```
//!
//! A set of integers alone is a row of integers until there are too many; then it is big. With a first member that is none it becomes a
//! listpack, if it is small enough for one. A small set becomes big when it has too many members or one is too long. Nothing comes
//! back but by way of a new set. These are Redis' rules, and the first two forms are its bytes.

use crate::collections::intset::{INTSET_MAX, Intset};
use crate::collections::listpack::{Element, Listpack};
use crate::collections::members::Members;
use crate::number::{digits, parse_i64};
use crate::prefetch::prefetch;
use crate::relocate::{Mover, Progress};
use crate::shard::Seed;
use crate::value::{Collection, SmallMax, collection};

/// A set.
#[derive(Clone, Debug, Default)]
pub struct Set(Form);

#[derive(Clone, Debug)]
enum Form {
    Ints(Intset),
    Small(Listpack),
    Big(Box<Members>),
}

const _: () = assert!(size_of::<Set>() <= 48);

impl Default for Form {
    fn default() -> Self {
        Self::Ints(Intset::new())
    }
}

/// How sets are kept.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The most integers in a row of integers.
    pub ints: usize,
    /// How small a small set is.
    pub max: SmallMax,
    /// What the members of a big one are hashed with.
    pub seed: Seed,
}

impl Collection for Set {
    collection!(Set);

    #[inline]
    fn len(&self) -> usize {
        Self::len(self)
    }

    fn encoding(&self) -> &'static str {
        match &self.0 {
            Form::Ints(_) => "intset",
            Form::Small(_) => "listpack",
            Form::Big(_) => "hashtable",
        }
    }

    #[inline]
    fn heap_bytes(&self) -> usize {
        match &self.0 {
            Form::Ints(ints) => ints.heap_bytes(),
            Form::Small(small) => small.heap_bytes(),
            Form::Big(big) => crate::size_class::usable(size_of::<Members>()) + big.heap_bytes(),
        }
    }

    fn free_cost(&self) -> usize {
        match &self.0 {
            Form::Ints(_) | Form::Small(_) => 1,
            Form::Big(big) => big.free_cost(),
        }
    }

    fn relocate(&mut self, mover: &mut Mover, from: Progress) -> Option<Progress> {
        let big = match &mut self.0 {
            Form::Ints(ints) => {
                ints.relocate(mover);
                return None;
            }
            Form::Small(small) => {
                small.relocate(mover);
                return None;
            }
            Form::Big(big) => big,
        };
        if from == Progress::default() {
            let seed = big.seed();
            mover.boxed(big, || Members::new(seed));
        }
        big.relocate(mover, from)
    }

    fn buckets(&self) -> Option<usize> {
        match &self.0 {
            Form::Ints(_) | Form::Small(_) => None,
            Form::Big(big) => Some(big.pages()),
        }
    }
}

impl Set {
    /// An empty set, ready for integers.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty set that expects about `count` members, of which this is the first.
    pub fn expecting(first: &[u8], count: usize, rules: &Rules) -> Self {
        Self(if parse_i64(first).is_some() && count <= rules.ints {
            Form::default()
        } else if count <= rules.max.entries {
            Form::Small(Listpack::new())
        } else {
            Form::Big(Box::new(Members::new(rules.seed)))
        })
    }

    /// An empty set in the form in which `other` is.
    pub fn like(other: &Self, rules: &Rules) -> Self {
        Self(match other.0 {
            Form::Ints(_) => Form::default(),
            Form::Small(_) => Form::Small(Listpack::new()),
            Form::Big(_) => Form::Big(Box::new(Members::new(rules.seed))),
        })
    }

    /// An empty set that is no row of integers.
    pub fn small() -> Self {
        Self(Form::Small(Listpack::new()))
    }

    /// Becomes big if `count` members are too many for another form. O(n).
    pub fn expect(&mut self, count: usize, rules: &Rules) {
        let is_too_small = match self.0 {
            Form::Ints(_) => count > rules.ints,
            Form::Small(_) => count > rules.max.entries,
            Form::Big(_) => false,
        };
        if is_too_small {
            self.enlarge(rules);
        }
    }

    /// A set whose members are all integers becomes a row of them, unless they are too many. O(n log n).
    pub fn become_ints(&mut self, rules: &Rules) {
        if matches!(self.0, Form::Ints(_)) || self.len() > rules.ints.min(INTSET_MAX) {
            return;
        }
        let mut numbers: Vec<_> = self.iter().filter_map(Element::int).collect();
        debug_assert_eq!(numbers.len(), self.len());
        numbers.sort_unstable();
        let mut ints = Intset::new();
        numbers.into_iter().for_each(|number| {
            ints.insert(number);
        });
        self.0 = Form::Ints(ints);
    }

    /// Number of members. O(1).
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Ints(ints) => ints.len(),
            Form::Small(small) => small.len(),
            Form::Big(big) => big.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `member` is in the set. O(1), but O(n) for a small one.
    pub fn contains(&self, member: &[u8]) -> bool {
        match &self.0 {
            Form::Ints(ints) => parse_i64(member).is_some_and(|number| ints.contains(number)),
            Form::Small(small) => find(small, member),
            Form::Big(big) => big.contains(member),
        }
    }

    /// Brings towards the cache where a member is looked for; see [`crate::ObjectRef::prefetch_place`].
    #[inline]
    pub fn prefetch_place(&self, member: &[u8]) -> Option<u64> {
        match &self.0 {
            Form::Ints(_) => None,
            Form::Small(small) => {
                prefetch(small.as_bytes().as_ptr());
                None
            }
            Form::Big(big) => Some(big.prefetch_place(member)),
        }
    }

    /// Brings the member of a hash towards the cache.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        if let Form::Big(big) = &self.0 {
            big.prefetch(hash);
        }
    }

    /// As [`Self::contains`], for a member of another set.
    pub fn has(&self, member: Element<'_>) -> bool {
        match (&self.0, member) {
            (Form::Ints(ints), Element::Int(number)) => ints.contains(number),
            _ => member.with_bytes(|bytes| self.contains(bytes)),
        }
    }

    /// Adds a member; `false` if it is there already.
    pub fn insert(&mut self, member: &[u8], rules: &Rules) -> bool {
        match &mut self.0 {
            Form::Big(big) => big.insert(member),
            Form::Small(small) => {
                if find(small, member) {
                    return false;
                }
                if fits(small.len(), small, member, rules) {
                    small.push_back(member);
                    return true;
                }
                self.enlarge(rules).insert(member)
            }
            Form::Ints(_) => match parse_i64(member) {
                Some(number) => self.insert_int(number, rules),
                None => self.insert_first_word(member, rules),
            },
        }
    }

    /// As [`Self::insert`], for a member of another set.
    pub fn add(&mut self, member: Element<'_>, rules: &Rules) -> bool {
        match (&self.0, member) {
            (Form::Ints(_), Element::Int(number)) => self.insert_int(number, rules),
            _ => member.with_bytes(|bytes| self.insert(bytes, rules)),
        }
    }

    fn insert_int(&mut self, number: i64, rules: &Rules) -> bool {
        let Form::Ints(ints) = &mut self.0 else { return false };
        if !ints.insert(number) {
            return false;
        }
        if ints.len() > rules.ints.min(INTSET_MAX) {
            self.enlarge(rules);
        }
        true
    }

    /// Adds the first member that is no integer.
    fn insert_first_word(&mut self, member: &[u8], rules: &Rules) -> bool {
        let Form::Ints(ints) = &self.0 else { return false };
        let ends = [ints.first(), ints.last()];
        let longest = ends.into_iter().flatten().map(digits).max().unwrap_or(0);
        let is_small = ints.len() < rules.max.entries && longest <= rules.max.bytes;
        if !is_small || member.len() > rules.max.bytes {
            return self.enlarge(rules).insert(member);
        }
        let mut small: Listpack = ints.iter().collect();
        if !small.has_room(member.len() + ENTRY_MAX) {
            return self.enlarge(rules).insert(member);
        }
        small.push_back(member);
        self.0 = Form::Small(small);
        true
    }

    /// Removes a member; `false` if it is not there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match &mut self.0 {
            Form::Ints(ints) => parse_i64(member).is_some_and(|number| ints.remove(number)),
            Form::Small(small) => {
                let found = small.first().and_then(|first| small.find(first, member, 0));
                found.map(|position| small.remove(position, 1)).is_some()
            }
            Form::Big(big) => big.remove(member),
        }
    }

    /// As [`Self::remove`], for a member of another set.
    pub fn take(&mut self, member: Element<'_>) -> bool {
        match (&mut self.0, member) {
            (Form::Ints(ints), Element::Int(number)) => ints.remove(number),
            _ => member.with_bytes(|bytes| self.remove(bytes)),
        }
    }

    /// All members: integers ascending, those of a small set as they came, those of a big one in no order.
    pub fn iter(&self) -> impl Iterator<Item = Element<'_>> {
        let (ints, small, big) = match &self.0 {
            Form::Ints(ints) => (Some(ints), None, None),
            Form::Small(small) => (None, Some(small), None),
            Form::Big(big) => (None, None, Some(big)),
        };
        let ints = ints.into_iter().flat_map(|ints| ints.iter().map(Element::Int));
        let small = small.into_iter().flat_map(Listpack::iter);
        let big = big.into_iter().flat_map(|big| big.iter().map(Element::Bytes));
        ints.chain(small).chain(big)
    }

    /// Some member, each with the same chance. `dice` gives random numbers. O(1), but O(n) for a small set.
    pub fn sample(&self, mut dice: impl FnMut() -> u64) -> Option<Element<'_>> {
        let mut below = |bound: usize| ((dice() as u128 * bound as u128) >> 64) as usize;
        match &self.0 {
            Form::Ints(ints) => ints.get(below(ints.len())).map(Element::Int),
            Form::Small(small) => {
                small.seek(below(small.len()) as i64).map(|position| small.get(position))
            }
            Form::Big(big) => big.sample(dice).map(Element::Bytes),
        }
    }

    /// Visits the members that `cursor` stands for and answers the next cursor; zero means that the round is complete. A set that is not
    /// big is visited at once. What is there from a round's beginning to its end is visited.
    pub fn scan(&self, cursor: u64, mut each: impl FnMut(Element<'_>)) -> u64 {
        match &self.0 {
            Form::Ints(_) | Form::Small(_) => {
                self.iter().for_each(each);
                0
            }
            Form::Big(big) => big.scan(cursor, |member| each(Element::Bytes(member))),
        }
    }

    /// The bytes of a row of integers, as files have them.
    pub const fn as_intset(&self) -> Option<&Intset> {
        if let Form::Ints(ints) = &self.0 { Some(ints) } else { None }
    }

    /// The bytes of a small set, as files have them.
    pub const fn as_listpack(&self) -> Option<&Listpack> {
        if let Form::Small(small) = &self.0 { Some(small) } else { None }
    }

    /// Whether looking for a member takes the same time however many there are.
    pub const fn is_big(&self) -> bool {
        matches!(self.0, Form::Big(_))
    }

    fn enlarge(&mut self, rules: &Rules) -> &mut Members {
        if !self.is_big() {
            let mut big = Members::new(rules.seed);
            for member in self.iter() {
                member.with_bytes(|bytes| big.insert(bytes));
            }
            self.0 = Form::Big(Box::new(big));
        }
        match &mut self.0 {
            Form::Big(big) => big,
            Form::Ints(_) | Form::Small(_) => unreachable!("it is big since just now"),
        }
    }
}

/// What an entry of a listpack takes beyond its bytes, at most.
const ENTRY_MAX: usize = 10;

fn find(small: &Listpack, member: &[u8]) -> bool {
    small.first().is_some_and(|first| small.find(first, member, 0).is_some())
}

/// Whether one more member leaves a small set small.
fn fits(len: usize, small: &Listpack, member: &[u8], rules: &Rules) -> bool {
    len < rules.max.entries
        && member.len() <= rules.max.bytes
        && small.has_room(member.len() + ENTRY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use hashbrown::HashSet;
    use proptest::prelude::*;

    const RULES: Rules =
        Rules { ints: 8, max: SmallMax { entries: 6, bytes: 10 }, seed: Seed(3, 4) };

    fn of(members: &[&str]) -> Set {
        let first = members.first().map_or("", |member| member);
        let mut set = Set::expecting(first.as_bytes(), members.len(), &RULES);
        members.iter().for_each(|member| {
            set.insert(member.as_bytes(), &RULES);
        });
        set
    }

    #[test]
    fn forms_follow_what_is_added() {
        assert_eq!(of(&["1", "2"]).encoding(), "intset");
        assert_eq!(of(&["1", "a"]).encoding(), "listpack");
        assert_eq!(of(&["a", "1"]).encoding(), "listpack");
        assert_eq!(of(&["a", "12345678901"]).encoding(), "hashtable");
        assert_eq!(of(&["12345678901", "a"]).encoding(), "hashtable");
        assert_eq!(of(&["1", "2", "3", "4", "5", "6", "7", "8"]).encoding(), "intset");
        assert_eq!(of(&["1", "2", "3", "4", "5", "6", "7", "8", "9"]).encoding(), "hashtable");
        assert_eq!(of(&["a", "b", "c", "d", "e", "f", "g"]).encoding(), "hashtable");
        let mut ints = of(&["1", "2", "3", "4", "5", "6"]);
        ints.insert(b"a", &RULES);
        assert_eq!(ints.encoding(), "hashtable");
    }

    #[test]
    fn integers_become_a_row_again() {
        let mut set = of(&["a", "3", "1", "2"]);
        assert!(set.remove(b"a"));
        set.become_ints(&RULES);
        assert_eq!(set.encoding(), "intset");
        assert!(set.iter().map(Element::to_vec).eq([b"1", b"2", b"3"]));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(Vec<u8>),
        Remove(Vec<u8>),
    }

    fn member() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            6 => (-20..20_i64).prop_map(|n| n.to_string().into_bytes()),
            2 => "[a-d]{1,2}".prop_map(String::into_bytes),
            1 => (9_usize..12).prop_map(|len| vec![b'x'; len]),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![member().prop_map(Step::Insert), member().prop_map(Step::Remove)]
    }

    proptest! {
        #[test]
        fn agrees_with_the_slow_twin(steps in proptest::collection::vec(step(), 0..60)) {
            let (mut set, mut twin, mut random) = (Set::new(), HashSet::new(), Random::new(1));
            for step in steps {
                match step {
                    Step::Insert(word) => {
                        prop_assert_eq!(set.contains(&word), twin.contains(&word));
                        prop_assert_eq!(set.insert(&word, &RULES), twin.insert(word));
                    }
                    Step::Remove(word) => prop_assert_eq!(set.remove(&word), twin.remove(&word)),
                }
                prop_assert_eq!(set.len(), twin.len());
                let all: HashSet<_> = set.iter().map(Element::to_vec).collect();
                prop_assert_eq!(&all, &twin);
                let sample = set.sample(|| random.next_u64()).map(Element::to_vec);
                prop_assert_eq!(sample.is_some(), !twin.is_empty());
                prop_assert!(sample.is_none_or(|member| twin.contains(&member)));
                prop_assert!(set.iter().all(|member| set.has(member)));
                let (mut seen, mut cursor) = (HashSet::new(), 0);
                loop {
                    cursor = set.scan(cursor, |member| { seen.insert(member.to_vec()); });
                    if cursor == 0 { break }
                }
                prop_assert_eq!(&seen, &twin);
            }
        }
    }
}
