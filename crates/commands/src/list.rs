//! Lists: what the blocking path needs, end to end.

use russet_dispatch::blocking::{OnTimeout, Wait, timeout_ms};
use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{ACCESS, DELETE, INSERT, RO, RW, at, range};
use russet_dispatch::{Args, Command, Context, Error, Group, Key, Outcome, Stop};
use russet_engine::Type;
use russet_engine::types::list::List;

/// What every list command has in common.
const LIST: Command = Command { group: Group::List, file: file!(), ..Command::BASE };

/// The rows.
pub const COMMANDS: &[Command] = &[
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
        name: "lmove",
        syntax: "source destination <LEFT | RIGHT> <LEFT | RIGHT>",
        summary: "Moves an element from an end of one list to an end of another.",
        since: "6.2.0",
        arity: 5,
        flags: &[Write, DenyOom],
        keys: &[at(1, RW | ACCESS | DELETE), at(2, RW | INSERT)],
        run: lmove,
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
        run: blpop,
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
        run: brpop,
        ..LIST
    },
    Command {
        name: "blmove",
        syntax: "source destination <LEFT | RIGHT> <LEFT | RIGHT> timeout:double",
        summary: "Moves an element as LMOVE does, and waits for one if there is none.",
        since: "6.2.0",
        arity: 6,
        flags: &[Write, DenyOom, Blocking],
        keys: &[at(1, RW | ACCESS | DELETE), at(2, RW | INSERT)],
        run: blmove,
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

    /// The command that pops here, for the journal.
    const fn pop_word(self) -> &'static [u8] {
        match self {
            Self::Left => b"LPOP",
            Self::Right => b"RPOP",
        }
    }
}

fn lpush(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    push(cx, args, End::Left)
}

fn rpush(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    push(cx, args, End::Right)
}

fn push(cx: &mut Context<'_>, args: &mut Args<'_>, end: End) -> Outcome {
    let key = args.key()?;
    let len = cx.data.change(key, List::new, |list| {
        args.by_ref().for_each(|element| end.push(list, element));
        (list.len(), true)
    })?;
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
    let count = if args.is_empty() { None } else { Some(args.count()?) };
    let Some(len) = cx.data.read_as::<List>(key)?.map(List::len) else {
        if count.is_some() {
            cx.reply.null_array()
        } else {
            cx.reply.null()
        }
        return Ok(());
    };
    match count {
        None => {
            let element = cx.data.change_found(key, |list| (end.pop(list), true))?.flatten();
            cx.reply.bulk(&element.expect("a list that is there has elements"));
        }
        Some(0) => cx.reply.array(0),
        Some(count) => {
            let taken = count.min(len);
            cx.reply.array(taken);
            let reply = &mut cx.reply;
            cx.data.change_found(key, |list| {
                (0..taken).filter_map(|_| end.pop(list)).for_each(|element| reply.bulk(&element));
                ((), true)
            })?;
        }
    }
    Ok(())
}

fn llen(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let len = cx.data.read_as::<List>(key)?.map_or(0, List::len);
    cx.reply.integer(len as i64);
    Ok(())
}

fn lrange(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, start, stop) = (args.key()?, args.int()?, args.int()?);
    let Some(list) = cx.data.read_as::<List>(key)? else {
        cx.reply.array(0);
        return Ok(());
    };
    let elements = list.range(start, stop);
    cx.reply.array(elements.len());
    elements.for_each(|element| cx.reply.bulk(element));
    Ok(())
}

fn lmove(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (source, target) = (args.key()?, args.key()?);
    let (from, to) = (End::read(args)?, End::read(args)?);
    if !move_one(cx, source, target, from, to)? {
        cx.reply.null();
    }
    Ok(())
}

/// Moves an element and replies with it; says whether there was one.
fn move_one(
    cx: &mut Context<'_>,
    source: Key<'_>,
    target: Key<'_>,
    from: End,
    to: End,
) -> Result<bool, Error> {
    if cx.data.read_as::<List>(source)?.is_none() {
        return Ok(false);
    }
    cx.data.find_as::<List>(target)?;
    if source.bytes == target.bytes {
        rotate(cx, source, from, to)?;
    } else {
        let element = cx
            .data
            .change_found(source, |list| (from.pop(list), true))?
            .flatten()
            .expect("a list that is there has elements");
        cx.data.change(target, List::new, |list| (to.push(list, &element), true))?;
        cx.reply.bulk(&element);
    }
    cx.data.effect(&[b"LMOVE", source.bytes, target.bytes, from.word(), to.word()]);
    Ok(true)
}

/// Within one list: at no moment is the list empty.
fn rotate(cx: &mut Context<'_>, key: Key<'_>, from: End, to: End) -> Result<(), Error> {
    let reply = &mut cx.reply;
    cx.data.change_found(key, |list: &mut List| {
        if let Some(element) = from.pop(list) {
            to.push(list, &element);
            reply.bulk(&element);
        }
        ((), true)
    })?;
    Ok(())
}

fn blpop(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    blocking_pop(cx, args, End::Left)
}

fn brpop(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    blocking_pop(cx, args, End::Right)
}

fn blocking_pop(cx: &mut Context<'_>, args: &mut Args<'_>, end: End) -> Outcome {
    let keys = (1..args.left()).map(|_| args.key()).collect::<Result<Vec<_>, _>>()?;
    let timeout = read_timeout(args)?;
    for key in &keys {
        if cx.data.read_as::<List>(*key)?.is_some() {
            let element = cx.data.change_found(*key, |list| (end.pop(list), true))?.flatten();
            cx.data.effect(&[end.pop_word(), key.bytes]);
            cx.reply.array(2);
            cx.reply.bulk(key.bytes);
            cx.reply.bulk(&element.expect("a list that is there has elements"));
            return Ok(());
        }
    }
    let wait = Wait::new(keys.into_iter(), Type::List, timeout, OnTimeout::NullArray);
    Err(Stop::Wait(Box::new(wait)))
}

fn blmove(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (source, target) = (args.key()?, args.key()?);
    let (from, to) = (End::read(args)?, End::read(args)?);
    let timeout = read_timeout(args)?;
    if move_one(cx, source, target, from, to)? {
        return Ok(());
    }
    let wait = Wait::new(std::iter::once(source), Type::List, timeout, OnTimeout::Null);
    Err(Stop::Wait(Box::new(wait.moving_to(target))))
}

/// The last argument: seconds, as milliseconds.
fn read_timeout(args: &mut Args<'_>) -> Result<u64, Error> {
    timeout_ms(args.float().map_err(|_| Error::TimeoutNotFloat)?)
}
