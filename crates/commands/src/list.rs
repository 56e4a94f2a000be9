//! Lists.
//!
//! Whoever adds or removes elements tells the list what `list-max-listpack-size` allows, since clients can ask in which of Redis' two
//! forms it is. What looks for elements goes to a worker if the list is large.

mod blocking;
mod moving;
mod position;

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{ACCESS, DELETE, INSERT, RO, RW, UPDATE, at, counted, range};
use russet_dispatch::parts::{self, Show};
use russet_dispatch::{Args, Class, Command, Context, Error, Group, Key, Outcome, Stop};
use russet_engine::number::{DIGITS_MAX, write_i64};
use russet_engine::types::list::{Left, List, ListMax};
use russet_resp::Writer;

/// What every list command has in common.
const LIST: Command = Command { group: Group::List, file: file!(), ..Command::BASE };

/// The rows.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "blmove",
        syntax: "source destination <LEFT | RIGHT> <LEFT | RIGHT> timeout:double",
        summary: "Moves an element as LMOVE does, and waits for one if there is none.",
        since: "6.2.0",
        arity: 6,
        flags: &[Write, DenyOom, Blocking],
        keys: &[at(1, RW | ACCESS | DELETE), at(2, RW | INSERT)],
        run: blocking::blmove,
        ..LIST
    },
    Command {
        name: "blmovem",
        syntax: "source destination <LEFT | RIGHT> <LEFT | RIGHT> timeout:double [<COUNT count:int | EXACTLY exactly:int> <OBO | BULK>]",
        summary: "Moves elements as LMOVEM does, and waits for them if there are too few.",
        complexity: "O(N) where N is the number of elements moved",
        since: "8.10.0",
        arity: -6,
        flags: &[Write, DenyOom, Blocking],
        keys: &[at(1, RW | ACCESS | DELETE), at(2, RW | INSERT)],
        run: blocking::blmovem,
        ..LIST
    },
    Command {
        name: "blmpop",
        syntax: "timeout:double numkeys:int key [key ...] <LEFT | RIGHT> [COUNT count:int]",
        summary: "Takes elements from an end of the first list that has any, and waits if none does.",
        complexity: "O(N+M) where N is the number of keys and M the number of elements returned",
        since: "7.0.0",
        arity: -5,
        flags: &[Write, Blocking, MovableKeys],
        keys: &[counted(2, 1, RW | ACCESS | DELETE)],
        run: blocking::blmpop,
        ..LIST
    },
    Command {
        name: "blpop",
        syntax: "key [key ...] timeout:double",
        summary: "Takes an element from the head of the first list that has one, and waits if none does.",
        complexity: "O(N) where N is the number of keys",
        since: "2.0.0",
        arity: -3,
        flags: &[Write, Blocking],
        keys: &[range(1, -2, 1, RW | ACCESS | DELETE)],
        history: &[("6.0.0", "The timeout may be a fraction.")],
        run: blocking::blpop,
        ..LIST
    },
    Command {
        name: "brpop",
        syntax: "key [key ...] timeout:double",
        summary: "Takes an element from the tail of the first list that has one, and waits if none does.",
        complexity: "O(N) where N is the number of keys",
        since: "2.0.0",
        arity: -3,
        flags: &[Write, Blocking],
        keys: &[range(1, -2, 1, RW | ACCESS | DELETE)],
        history: &[("6.0.0", "The timeout may be a fraction.")],
        run: blocking::brpop,
        ..LIST
    },
    Command {
        name: "brpoplpush",
        syntax: "source destination timeout:double",
        summary: "Moves an element from the tail of one list to the head of another, and waits for one if there is none.",
        since: "2.2.0",
        arity: 4,
        flags: &[Write, DenyOom, Blocking],
        keys: &[at(1, RW | ACCESS | DELETE), at(2, RW | INSERT)],
        history: &[("6.0.0", "The timeout may be a fraction.")],
        deprecated: Some(("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments")),
        run: blocking::brpoplpush,
        ..LIST
    },
    Command {
        name: "lindex",
        syntax: "key index:int",
        summary: "Gives the element of a list at an index; below zero it counts from the tail.",
        complexity: "O(N) where N is the distance from the nearer end, in nodes",
        since: "1.0.0",
        arity: 3,
        flags: &[ReadOnly],
        keys: &[at(1, RO | ACCESS)],
        run: lindex,
        ..LIST
    },
    Command {
        name: "linsert",
        syntax: "key <BEFORE | AFTER> pivot element",
        summary: "Puts an element before or behind the first that equals another.",
        complexity: "O(N) where N is the number of elements before that one",
        since: "2.2.0",
        arity: 5,
        flags: &[Write, DenyOom],
        keys: &[at(1, RW | INSERT)],
        run: position::linsert,
        ..LIST
    },
    Command {
        name: "llen",
        syntax: "key",
        summary: "Tells how many elements a list has.",
        since: "1.0.0",
        arity: 2,
        flags: &[ReadOnly, Fast],
        keys: &[at(1, RO)],
        run: llen,
        ..LIST
    },
    Command {
        name: "lmove",
        syntax: "source destination <LEFT | RIGHT> <LEFT | RIGHT>",
        summary: "Moves an element from an end of one list to an end of another.",
        since: "6.2.0",
        arity: 5,
        flags: &[Write, DenyOom],
        keys: &[at(1, RW | ACCESS | DELETE), at(2, RW | INSERT)],
        run: moving::lmove,
        ..LIST
    },
    Command {
        name: "lmovem",
        syntax: "source destination <LEFT | RIGHT> <LEFT | RIGHT> [<COUNT count:int | EXACTLY exactly:int> <OBO | BULK>]",
        summary: "Moves up to a number of elements, or exactly so many, from an end of one list to an end of another.",
        complexity: "O(N) where N is the number of elements moved",
        since: "8.10.0",
        arity: -5,
        flags: &[Write, DenyOom],
        keys: &[at(1, RW | ACCESS | DELETE), at(2, RW | INSERT)],
        run: moving::lmovem,
        ..LIST
    },
    Command {
        name: "lmpop",
        syntax: "numkeys:int key [key ...] <LEFT | RIGHT> [COUNT count:int]",
        summary: "Takes elements from an end of the first list that has any.",
        complexity: "O(N+M) where N is the number of keys and M the number of elements returned",
        since: "7.0.0",
        arity: -4,
        flags: &[Write, MovableKeys],
        keys: &[counted(1, 1, RW | ACCESS | DELETE)],
        run: lmpop,
        ..LIST
    },
    Command {
        name: "lpop",
        syntax: "key [count:int]",
        summary: "Takes elements from the head of a list.",
        complexity: "O(N) where N is the number of elements returned",
        since: "1.0.0",
        arity: -2,
        flags: &[Write, Fast],
        keys: &[at(1, RW | ACCESS | DELETE)],
        history: &[("6.2.0", "Takes a count.")],
        run: lpop,
        ..LIST
    },
    Command {
        name: "lpos",
        syntax: "key element [RANK rank:int] [COUNT num-matches:int] [MAXLEN len:int]",
        summary: "Finds where in a list an element stands.",
        complexity: "O(N) where N is the number of elements looked at",
        since: "6.0.6",
        arity: -3,
        flags: &[ReadOnly],
        keys: &[at(1, RO | ACCESS)],
        run: position::lpos,
        ..LIST
    },
    Command {
        name: "lpush",
        syntax: "key element [element ...]",
        summary: "Adds elements to the head of a list.",
        complexity: "O(1) for each element added",
        since: "1.0.0",
        arity: -3,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | INSERT)],
        history: &[("2.4.0", "Takes several elements.")],
        run: lpush,
        ..LIST
    },
    Command {
        name: "lpushx",
        syntax: "key element [element ...]",
        summary: "Adds elements to the head of a list that is there.",
        complexity: "O(1) for each element added",
        since: "2.2.0",
        arity: -3,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | INSERT)],
        history: &[("4.0.0", "Takes several elements.")],
        run: lpushx,
        ..LIST
    },
    Command {
        name: "lrange",
        syntax: "key start:int stop:int",
        summary: "Gives the elements of a list from one index to another.",
        complexity: "O(S+N) where S is the distance of the start from the nearer end, in nodes, and N the number of elements returned",
        since: "1.0.0",
        arity: 4,
        flags: &[ReadOnly],
        keys: &[at(1, RO | ACCESS)],
        run: lrange,
        ..LIST
    },
    Command {
        name: "lrem",
        syntax: "key count:int element",
        summary: "Removes elements that equal another: the first of them, the last or all.",
        complexity: "O(N) where N is the length of the list",
        since: "1.0.0",
        arity: 4,
        flags: &[Write],
        keys: &[at(1, RW | DELETE)],
        run: position::lrem,
        ..LIST
    },
    Command {
        name: "lset",
        syntax: "key index:int element",
        summary: "Replaces the element of a list at an index.",
        complexity: "O(N) where N is the distance from the nearer end, in nodes",
        since: "1.0.0",
        arity: 4,
        flags: &[Write, DenyOom],
        keys: &[at(1, RW | UPDATE)],
        run: lset,
        ..LIST
    },
    Command {
        name: "ltrim",
        syntax: "key start:int stop:int",
        summary: "Removes all elements of a list but those from one index to another.",
        complexity: "O(N) where N is the number of elements removed",
        since: "1.0.0",
        arity: 4,
        flags: &[Write],
        keys: &[at(1, RW | DELETE)],
        run: ltrim,
        ..LIST
    },
    Command {
        name: "rpop",
        syntax: "key [count:int]",
        summary: "Takes elements from the tail of a list.",
        complexity: "O(N) where N is the number of elements returned",
        since: "1.0.0",
        arity: -2,
        flags: &[Write, Fast],
        keys: &[at(1, RW | ACCESS | DELETE)],
        history: &[("6.2.0", "Takes a count.")],
        run: rpop,
        ..LIST
    },
    Command {
        name: "rpoplpush",
        syntax: "source destination",
        summary: "Moves an element from the tail of one list to the head of another.",
        since: "1.2.0",
        arity: 3,
        flags: &[Write, DenyOom],
        keys: &[at(1, RW | ACCESS | DELETE), at(2, RW | INSERT)],
        deprecated: Some(("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments")),
        run: moving::rpoplpush,
        ..LIST
    },
    Command {
        name: "rpush",
        syntax: "key element [element ...]",
        summary: "Adds elements to the tail of a list.",
        complexity: "O(1) for each element added",
        since: "1.0.0",
        arity: -3,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | INSERT)],
        history: &[("2.4.0", "Takes several elements.")],
        run: rpush,
        ..LIST
    },
    Command {
        name: "rpushx",
        syntax: "key element [element ...]",
        summary: "Adds elements to the tail of a list that is there.",
        complexity: "O(1) for each element added",
        since: "2.2.0",
        arity: -3,
        flags: &[Write, DenyOom, Fast],
        keys: &[at(1, RW | INSERT)],
        history: &[("4.0.0", "Takes several elements.")],
        run: rpushx,
        ..LIST
    },
];

/// An end of a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Left,
    Right,
}

impl End {
    fn read(args: &mut Args<'_>) -> Result<Self, Error> {
        if args.flag("LEFT") {
            Ok(Self::Left)
        } else if args.flag("RIGHT") {
            Ok(Self::Right)
        } else {
            Err(Error::Syntax)
        }
    }

    fn push(self, list: &mut List, element: &[u8]) {
        match self {
            Self::Left => list.push_front(element),
            Self::Right => list.push_back(element),
        }
    }

    fn pop(self, list: &mut List) -> Option<Vec<u8>> {
        match self {
            Self::Left => list.pop_front(),
            Self::Right => list.pop_back(),
        }
    }

    const fn word(self) -> &'static [u8] {
        match self {
            Self::Left => b"LEFT",
            Self::Right => b"RIGHT",
        }
    }

    /// What has happened when something was pushed here.
    const fn pushed(self) -> &'static str {
        match self {
            Self::Left => "lpush",
            Self::Right => "rpush",
        }
    }

    /// What has happened when something was taken from here.
    const fn popped(self) -> &'static str {
        match self {
            Self::Left => "lpop",
            Self::Right => "rpop",
        }
    }

    /// The command that pops here, for the journal.
    const fn pop_word(self) -> &'static [u8] {
        match self {
            Self::Left => b"LPOP",
            Self::Right => b"RPOP",
        }
    }
}

/// What a list may hold as a listpack.
fn list_max(cx: &Context<'_>) -> ListMax {
    ListMax::of(cx.state.tunables.thresholds.list())
}

fn lpush(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    push(cx, args, End::Left, true)
}

fn rpush(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    push(cx, args, End::Right, true)
}

fn lpushx(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    push(cx, args, End::Left, false)
}

fn rpushx(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    push(cx, args, End::Right, false)
}

fn push(cx: &mut Context<'_>, args: &mut Args<'_>, end: End, makes: bool) -> Outcome {
    let (key, max) = (args.key()?, list_max(cx));
    if !makes && cx.data.find_as::<List>(key)?.is_none() {
        cx.reply.integer(0);
        return Ok(());
    }
    let pushed = args.left();
    let len = cx.data.change(key, List::new, |list| {
        list.will_grow(max, (*args).map(<[u8]>::len).sum(), args.left());
        args.by_ref().for_each(|element| end.push(list, element));
        (list.len(), true)
    })?;
    cx.data.announce(Class::List, end.pushed(), key);
    cx.data.count_as(pushed);
    cx.reply.integer(len as i64);
    Ok(())
}

fn lpop(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    pop(cx, args, End::Left)
}

fn rpop(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    pop(cx, args, End::Right)
}

fn pop(cx: &mut Context<'_>, args: &mut Args<'_>, end: End) -> Outcome {
    if args.left() > 2 {
        return Err(Error::arity(cx.row.command.name).into());
    }
    let key = args.key()?;
    let count =
        if args.is_empty() { None } else { Some(args.count().map_err(|_| Error::NotPositive)?) };
    let Some(count) = count else {
        if !pop_one(cx, key, end)? {
            cx.reply.null();
        }
        return Ok(());
    };
    if cx.data.find_as::<List>(key)?.is_none() {
        cx.reply.null_array();
    } else if count == 0 {
        cx.reply.array(0);
    } else {
        pop_many(cx, key, end, count)?;
    }
    Ok(())
}

/// Takes an element off a list, if there is one, and replies with it. Says whether there was.
fn pop_one(cx: &mut Context<'_>, key: Key<'_>, end: End) -> Result<bool, Error> {
    let (max, reply) = (list_max(cx), &mut cx.reply);
    let found = cx.data.change_found(key, |list: &mut List| {
        let element = match end {
            End::Left => list.front(),
            End::Right => list.back(),
        };
        reply.bulk(element.expect("a list that is there has elements"));
        match end {
            End::Left => list.drop_front(),
            End::Right => list.drop_back(),
        };
        list.has_shrunk(max);
        ((), true)
    })?;
    cx.data.announce(Class::List, end.popped(), key);
    Ok(found.is_some())
}

/// Takes up to `count` elements off a list that has been found, and replies with them. Answers how many.
fn pop_many(cx: &mut Context<'_>, key: Key<'_>, end: End, count: usize) -> Result<usize, Error> {
    let (max, reply) = (list_max(cx), &mut cx.reply);
    let taken = cx.data.change_found(key, |list: &mut List| {
        let taken = count.min(list.len());
        reply.array(taken);
        match end {
            End::Left => list.iter().take(taken).for_each(|element| reply.bulk(element)),
            End::Right => list.iter().rev().take(taken).for_each(|element| reply.bulk(element)),
        }
        match end {
            End::Left => list.trim(taken as i64, -1),
            End::Right => list.trim(0, -1 - taken as i64),
        };
        list.has_shrunk(max);
        (taken, true)
    })?;
    cx.data.announce(Class::List, end.popped(), key);
    let taken = taken.unwrap_or(0);
    cx.data.count_as(taken);
    Ok(taken)
}

/// What LMPOP and BLMPOP read behind the timeout: the keys, the end and how many.
struct ManyPop<'a> {
    keys: Vec<Key<'a>>,
    end: End,
    count: usize,
}

impl<'a> ManyPop<'a> {
    fn read(args: &mut Args<'a>) -> Result<Self, Error> {
        let at_least_one = |number: Result<i64, Error>| number.ok().filter(|number| *number > 0);
        let numkeys = at_least_one(args.int()).ok_or(Error::NumkeysNotPositive)? as usize;
        if numkeys >= args.left() {
            return Err(Error::Syntax);
        }
        let mut behind = *args;
        behind.seek(Args::position(args) + numkeys);
        let end = End::read(&mut behind)?;
        let mut count = 1;
        if behind.left() > 1 && behind.flag("COUNT") {
            count = at_least_one(behind.int()).ok_or(Error::CountNotPositive)? as usize;
        }
        behind.end()?;
        let keys = (0..numkeys).map(|_| args.key()).collect::<Result<_, _>>()?;
        Ok(Self { keys, end, count })
    }

    /// Takes elements off the first list there is, and replies; says whether there was one.
    fn run(&self, cx: &mut Context<'_>) -> Result<bool, Error> {
        for key in &self.keys {
            if cx.data.find_as::<List>(*key)?.is_none() {
                continue;
            }
            cx.reply.array(2);
            cx.reply.bulk(key.bytes);
            let taken = pop_many(cx, *key, self.end, self.count)?;
            let mut digits = [0; DIGITS_MAX];
            let taken = write_i64(taken as i64, &mut digits);
            cx.data.effect(&[self.end.pop_word(), key.bytes, taken]);
            return Ok(true);
        }
        Ok(false)
    }
}

fn lmpop(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    if !ManyPop::read(args)?.run(cx)? {
        cx.reply.null_array();
    }
    Ok(())
}

fn llen(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let len = cx.data.read_as::<List>(key)?.map_or(0, List::len);
    cx.reply.integer(len as i64);
    Ok(())
}

fn lindex(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let Some(list) = cx.data.read_as::<List>(key)? else {
        cx.reply.null();
        return Ok(());
    };
    match list.get(args.int()?) {
        Some(element) => cx.reply.bulk(element),
        None => cx.reply.null(),
    }
    Ok(())
}

fn lset(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, max) = (args.key()?, list_max(cx));
    // The index is judged only for a list that is there.
    if cx.data.find_as::<List>(key)?.is_none() {
        return Err(Error::NoSuchKey.into());
    }
    let (index, element) = (args.int()?, args.next()?);
    let is_there = cx.data.change_found(key, |list: &mut List| {
        list.will_grow(max, element.len(), 1);
        let is_there = list.set(index, element);
        if is_there {
            list.has_shrunk(max);
        }
        (is_there, is_there)
    })?;
    if is_there != Some(true) {
        return Err(Error::IndexOutOfRange.into());
    }
    cx.data.announce(Class::List, "lset", key);
    cx.reply.ok();
    Ok(())
}

fn ltrim(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, start, stop, max) = (args.key()?, args.int()?, args.int()?, list_max(cx));
    let gone = cx.data.change_found(key, |list: &mut List| {
        let gone = list.trim(start, stop);
        list.has_shrunk(max);
        (gone, gone > 0)
    })?;
    if gone.is_some() {
        cx.data.announce_anyway(Class::List, "ltrim", key);
    }
    cx.data.count_as(gone.unwrap_or(0));
    cx.reply.ok();
    Ok(())
}

fn lrange(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, start, stop) = (args.key()?, args.int()?, args.int()?);
    parts::reply(cx, key, Elements, |list, reply| {
        let elements = list.map(|list| list.range(start, stop));
        reply.array(elements.as_ref().map_or(0, ExactSizeIterator::len));
        elements.map(|elements| elements.left())
    })
}

/// Shows elements of a list from the front.
#[derive(Debug)]
struct Elements;

impl Show for Elements {
    type Of = List;
    type Place = Left;

    #[inline]
    fn show(&self, list: &List, place: Left, until: usize, reply: &mut Writer<'_>) -> Option<Left> {
        let mut elements = list.go_on(place);
        while reply.out.len() < until {
            reply.bulk(elements.next()?);
        }
        Some(elements.left())
    }
}

/// Walking over a list of more bytes than this takes about a millisecond.
const LONG_BYTES: usize = 1 << 20;

/// Moves to a worker what may have to walk over so much.
fn go_where_it_may_take(cx: &Context<'_>, bytes: usize) -> Result<(), Stop> {
    let may_move = !cx.is_worker && !cx.session.deny_blocking;
    if may_move && bytes > LONG_BYTES { Err(Stop::Elsewhere) } else { Ok(()) }
}
