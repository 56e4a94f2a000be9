//! All rows, and how a name finds one.

use std::fmt;

use crate::command::{Category, Command, Flag, Prefetch, categories};
use crate::keys::{Begin, Find, KeySpec, NOT_KEY, has_patterns};

/// A row with what follows from it, ready for use.
#[derive(Debug)]
pub struct Row {
    /// The row as it was written.
    pub command: &'static Command,
    /// Number in the table; containers and subcommands have their own.
    pub id: usize,
    /// `get`, or `config|get`.
    pub full_name: String,
    /// One bit each.
    pub flags: u32,
    /// ACL categories, one bit each.
    pub categories: u32,
    /// Which shards it takes.
    pub locks: Locks,
    /// Index of the word that names an element to be prefetched; 0 for none.
    pub element: usize,
    /// Rows of a container's subcommands.
    pub subcommands: Vec<&'static Self>,
    /// Whether this is a subcommand.
    pub is_sub: bool,
    /// Whether it takes so little time, with few words and a small reply, that it is not timed by itself.
    pub is_brief: bool,
    first: Word,
    last: Word,
}

/// Which shards a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locks {
    /// None.
    None,
    /// That of the one key at this index.
    One(usize),
    /// Those of its keys.
    Keys,
    /// The same, where the word at this index says how many keys stand behind it.
    Counted(usize),
    /// Those of its keys, or all if patterns name keys besides; see [`Begin::Patterns`].
    KeysOrAll,
    /// All.
    All,
    /// Those of the commands that MULTI has queued, and of the keys that WATCH watches.
    Queue,
}

impl Row {
    /// Whether it has a flag.
    #[inline]
    pub const fn has(&self, flag: Flag) -> bool {
        self.flags & flag.bit() != 0
    }

    /// Whether it belongs to a category.
    pub const fn is_in(&self, category: Category) -> bool {
        self.categories & category.bit() != 0
    }

    /// Whether a request of `argc` words can be one of these.
    #[inline]
    pub const fn takes(&self, argc: usize) -> bool {
        let arity = self.command.arity;
        if arity >= 0 { argc == arity as usize } else { argc >= arity.unsigned_abs() as usize }
    }

    /// Whether a request takes all shards, whatever its keys are.
    pub fn takes_all<'a>(&self, argc: usize, arg: impl Fn(usize) -> &'a [u8]) -> bool {
        match self.locks {
            Locks::All => true,
            Locks::KeysOrAll => has_patterns(self.command.keys, argc, arg),
            _ => false,
        }
    }

    /// Whether this is its name, in any case; `word` is the [`first_word`] of the name.
    #[inline]
    fn is_named(&self, name: &[u8], word: u64) -> bool {
        let own = self.command.name.as_bytes();
        own.len() == name.len()
            && self.first.is(word)
            && match name.len() {
                ..=8 => true,
                9..=16 => self.last.is(last_word(name)),
                _ => own.eq_ignore_ascii_case(name),
            }
    }

    /// Index of the first argument behind the name.
    #[inline]
    pub const fn first_arg(&self) -> usize {
        1 + self.is_sub as usize
    }

    fn new(
        command: &'static Command,
        parent: Option<&'static Command>,
        ids: &mut usize,
    ) -> &'static Self {
        let id = *ids;
        *ids += 1;
        let subcommands =
            command.subcommands.iter().map(|sub| Self::new(sub, Some(command), ids)).collect();
        let full_name = match parent {
            Some(parent) => format!("{}|{}", parent.name, command.name),
            None => command.name.to_owned(),
        };
        Box::leak(Box::new(Self {
            command,
            id,
            full_name,
            flags: command.flags.iter().fold(0, |bits, flag| bits | flag.bit()),
            categories: categories(command),
            locks: locks(command),
            element: match command.prefetch {
                Prefetch::Nothing => 0,
                Prefetch::Element(at) => at,
            },
            subcommands,
            is_sub: parent.is_some(),
            is_brief: is_brief(command),
            first: Word::of(first_word(command.name.as_bytes())),
            last: Word::of(last_word(command.name.as_bytes())),
        }))
    }
}

/// Fast commands, and those about one key that differ from them in Redis' flags alone.
fn is_brief(command: &Command) -> bool {
    let has = |flag| command.flags.contains(&flag);
    let is_constant = command.complexity.starts_with("O(1)");
    has(Flag::Fast) || is_constant && !command.keys.is_empty() && !has(Flag::Blocking)
}

fn locks(command: &Command) -> Locks {
    if command.flags.contains(&Flag::LocksAll) {
        return Locks::All;
    }
    if command.flags.contains(&Flag::RunsQueue) {
        return Locks::Queue;
    }
    match command.keys {
        specs if specs.iter().all(|spec| spec.access & NOT_KEY != 0) => Locks::None,
        [KeySpec { begin: Begin::At(at), find: Find::Range { last: 0, .. }, .. }] => {
            Locks::One(*at)
        }
        specs if specs.iter().any(|spec| matches!(spec.begin, Begin::Patterns(_))) => {
            Locks::KeysOrAll
        }
        [KeySpec { begin: Begin::At(at), find: Find::Count { index: 0, first: 1, .. }, .. }] => {
            Locks::Counted(*at)
        }
        _ => Locks::Keys,
    }
}

/// Number of slots of the name table: a power of two, sparse enough for one probe as a rule.
const SLOTS: usize = 2048;

/// The command table of a server. Made once and kept for ever, so that rows can be held anywhere.
pub struct Table {
    rows: Vec<&'static Row>,
    slots: Box<[Option<&'static Row>; SLOTS]>,
    /// What `rename-command` has given other names.
    renamed: Vec<(Box<[u8]>, &'static Row)>,
    /// Rows and subcommand rows together.
    ids: usize,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({} commands)", self.rows.len())
    }
}

/// A hash of a name's length and of its first word, case folded.
#[inline]
const fn slot_of(len: usize, word: u64) -> usize {
    let mixed = (word | FOLD) ^ len as u64;
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 53) as usize
}

/// The bit that sets lower case apart from upper, in eight letters.
const FOLD: u64 = 0x2020_2020_2020_2020;

/// Bytes of a name without a loop: the first eight, or the first four and the last four, or the first, the middle and the last. All of
/// a name of up to eight.
#[inline]
fn first_word(name: &[u8]) -> u64 {
    if let Some(eight) = name.first_chunk() {
        u64::from_le_bytes(*eight)
    } else if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
    } else if let (Some(first), Some(last)) = (name.first(), name.last()) {
        let middle = name[name.len() / 2];
        u64::from(*first) | u64::from(middle) << 8 | u64::from(*last) << 16
    } else {
        0
    }
}

/// The last eight bytes of a name, if it has as many. All of a name of up to sixteen, with the [`first_word`].
#[inline]
fn last_word(name: &[u8]) -> u64 {
    name.last_chunk().map_or(0, |eight| u64::from_le_bytes(*eight))
}

/// Bytes of a name, to be compared in any case.
#[derive(Clone, Copy, Debug)]
struct Word {
    bytes: u64,
    /// The bits that do not matter: [`FOLD`] where there is a letter.
    either: u64,
}

impl Word {
    fn of(bytes: u64) -> Self {
        let either = bytes.to_le_bytes().map(|byte| u8::from(byte.is_ascii_alphabetic()) << 5);
        Self { bytes, either: u64::from_le_bytes(either) }
    }

    #[inline]
    const fn is(self, word: u64) -> bool {
        (self.bytes ^ word) & !self.either == 0
    }
}

/// Commands by the names that they are called by.
fn named<'a>(
    rows: &[&'static Row],
    renames: &[(&'a str, &'a str)],
) -> Result<Vec<(&'a str, &'static Row)>, (usize, &'static str)> {
    let mut names: Vec<(&str, &'static Row)> =
        rows.iter().map(|row| (row.command.name, *row)).collect();
    for (nth, (from, to)) in renames.iter().enumerate() {
        let place =
            |wanted: &str| names.iter().position(|(name, _)| name.eq_ignore_ascii_case(wanted));
        let at = place(from).ok_or((nth, "No such command in rename-command"))?;
        let is_taken = place(to).is_some();
        let (_, row) = names.swap_remove(at);
        if is_taken && !from.eq_ignore_ascii_case(to) {
            return Err((nth, "Target command name already exists"));
        }
        if !to.is_empty() {
            names.push((to, row));
        }
    }
    Ok(names)
}

impl Table {
    /// The table of all families. Called once per process.
    pub fn leak(families: &[&'static [Command]]) -> &'static Self {
        Self::leak_renamed(families, &[]).expect("no name is refused")
    }

    /// The same where commands have other names, or none if that is empty, one after the other as `rename-command` says. Subcommands
    /// keep theirs, and so does whatever tells of commands: only who calls them must know.
    ///
    /// # Errors
    ///
    /// Which of them is refused, and why.
    pub fn leak_renamed(
        families: &[&'static [Command]],
        renames: &[(&str, &str)],
    ) -> Result<&'static Self, (usize, &'static str)> {
        let mut ids = 0;
        let mut rows: Vec<_> = families
            .iter()
            .flat_map(|f| f.iter())
            .map(|row| Row::new(row, None, &mut ids))
            .collect();
        rows.sort_by_key(|row| row.command.name);
        let (own, renamed): (Vec<_>, Vec<_>) = named(&rows, renames)?
            .into_iter()
            .partition(|(name, row)| name.eq_ignore_ascii_case(row.command.name));
        let mut slots = Box::new([None; SLOTS]);
        for (_, row) in own {
            let mut slot = slot_of(row.command.name.len(), row.first.bytes);
            while slots[slot].is_some() {
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] = Some(row);
        }
        let renamed = renamed.into_iter().map(|(name, row)| (Box::from(name.as_bytes()), row));
        Ok(Box::leak(Box::new(Self { rows, slots, renamed: renamed.collect(), ids })))
    }

    /// All commands by name, without subcommands.
    pub fn rows(&self) -> &[&'static Row] {
        &self.rows
    }

    /// All commands, each followed by its subcommands.
    pub fn all(&self) -> impl Iterator<Item = &'static Row> + '_ {
        self.rows
            .iter()
            .flat_map(|row| std::iter::once(*row).chain(row.subcommands.iter().copied()))
    }

    /// How many ids there are.
    pub const fn ids(&self) -> usize {
        self.ids
    }

    /// The row of an id.
    pub fn by_id(&self, id: usize) -> Option<&'static Row> {
        self.all().find(|row| row.id == id)
    }

    /// The row of a name, in any case.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<&'static Row> {
        let word = first_word(name);
        let mut slot = slot_of(name.len(), word);
        while let Some(row) = self.slots[slot] {
            if row.is_named(name, word) {
                return Some(row);
            }
            slot = (slot + 1) % SLOTS;
        }
        self.find_renamed(name)
    }

    #[cold]
    fn find_renamed(&self, name: &[u8]) -> Option<&'static Row> {
        let found = self.renamed.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, row)| *row)
    }

    /// The row of the name that a command has where nobody renames it, in any case. O(commands).
    pub fn born(&self, name: &[u8]) -> Option<&'static Row> {
        let is_it = |row: &&&'static Row| row.command.name.as_bytes().eq_ignore_ascii_case(name);
        self.rows.iter().find(is_it).copied()
    }

    /// The row of `get` or of `config|get`.
    pub fn find_full(&self, name: &[u8]) -> Option<&'static Row> {
        match name.iter().position(|byte| *byte == b'|') {
            None => self.find(name),
            Some(bar) => self.find(&name[..bar])?.subcommand(&name[bar + 1..]),
        }
    }
}

impl Row {
    /// The row of a subcommand, in any case.
    pub fn subcommand(&self, name: &[u8]) -> Option<&'static Self> {
        self.subcommands
            .iter()
            .find(|sub| sub.command.name.as_bytes().eq_ignore_ascii_case(name))
            .copied()
    }
}
