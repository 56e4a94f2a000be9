//! FUNCTION and FCALL: libraries of functions that clients call by name.

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{ACCESS, RO, RW, UPDATE, counted};
use russet_dispatch::scripting::{FLAG_NAMES, Library, NO_WRITES};
use russet_dispatch::{Args, Command, Context, Error, Group, Outcome, State, Stop};
use russet_engine::glob::Glob;

use crate::eval::{self, Job, READS, RUNNER, WRITES, Words};
use crate::library::{self, Policy};
use crate::run::Title;
use crate::{help, script};

/// What every one of them has in common.
const FUNCTION: Command = Command { group: Group::Scripting, file: file!(), ..Command::BASE };

/// The rows.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "fcall",
        syntax: "function numkeys [key ...] [arg ...]",
        summary: "Calls a function.",
        complexity: "Depends on the function that is executed.",
        since: "7.0.0",
        flags: WRITES,
        keys: &[counted(2, 1, RW | ACCESS | UPDATE)],
        file: file!(),
        only_reads: Some(fcall_only_reads),
        run: fcall,
        ..RUNNER
    },
    Command {
        name: "fcall_ro",
        syntax: "function numkeys [key ...] [arg ...]",
        summary: "Calls a function that may not write.",
        complexity: "Depends on the function that is executed.",
        since: "7.0.0",
        flags: READS,
        not: &[russet_dispatch::Category::Read],
        keys: &[counted(2, 1, RO | ACCESS)],
        file: file!(),
        only_reads: Some(fcall_only_reads),
        run: fcall,
        ..RUNNER
    },
    Command {
        name: "function",
        summary: "Holds the commands about functions.",
        complexity: "Depends on subcommand.",
        since: "7.0.0",
        arity: -2,
        subcommands: &[
            Command {
                name: "delete",
                syntax: "library-name",
                summary: "Removes a library.",
                since: "7.0.0",
                arity: 3,
                flags: &[Write, NoScript, LocksAll],
                tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
                run: delete,
                ..FUNCTION
            },
            Command {
                name: "dump",
                summary: "Packs all libraries.",
                complexity: "O(N) with N the functions",
                since: "7.0.0",
                arity: 2,
                flags: &[NoScript],
                run: dump,
                ..FUNCTION
            },
            Command {
                name: "flush",
                syntax: "[ASYNC | SYNC]",
                summary: "Removes all libraries.",
                complexity: "O(N) with N the functions removed",
                since: "7.0.0",
                arity: -2,
                flags: &[Write, NoScript, LocksAll],
                tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
                run: flush,
                ..FUNCTION
            },
            help::row("7.0.0", &FUNCTION),
            Command {
                name: "kill",
                summary: "Ends a function that runs and has not written.",
                since: "7.0.0",
                arity: 2,
                flags: &[NoScript, AllowBusy],
                tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
                run: kill,
                ..FUNCTION
            },
            Command {
                name: "list",
                syntax: "[LIBRARYNAME library-name-pattern:pattern] [WITHCODE]",
                summary: "Shows the libraries.",
                complexity: "O(N) with N the functions",
                since: "7.0.0",
                arity: -2,
                flags: &[NoScript],
                tips: &["nondeterministic_output_order"],
                run: list,
                ..FUNCTION
            },
            Command {
                name: "load",
                syntax: "[REPLACE] function-code",
                summary: "Adds a library.",
                complexity: "O(1) (considering compilation time is redundant)",
                since: "7.0.0",
                arity: -3,
                flags: &[Write, DenyOom, NoScript, Walks],
                tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
                run: load,
                ..FUNCTION
            },
            Command {
                name: "restore",
                syntax: "serialized-value [FLUSH | APPEND | REPLACE]",
                summary: "Adds the libraries of what FUNCTION DUMP packed.",
                complexity: "O(N) with N the functions of the payload",
                since: "7.0.0",
                arity: -3,
                flags: &[Write, DenyOom, NoScript, Walks],
                tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
                run: restore,
                ..FUNCTION
            },
            Command {
                name: "stats",
                summary: "Tells which function runs and how many there are.",
                since: "7.0.0",
                arity: 2,
                flags: &[NoScript, AllowBusy],
                tips: &[
                    "nondeterministic_output",
                    "request_policy:all_shards",
                    "response_policy:special",
                ],
                run: stats,
                ..FUNCTION
            },
        ],
        ..FUNCTION
    },
];

fn fcall(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let name = String::from_utf8_lossy(args.word(1));
    let (library, function) = cx.state.scripts.function(&name).ok_or(Error::NoFunction)?;
    let words = Words::of(args, Error::BadKeyCount)?;
    let job = Job {
        title: Title::Function(function.name.as_str().into()),
        flags: Some(function.flags),
        manners: &function.manners,
    };
    job.admit(cx)?;
    let vm = eval::interpreter(cx)?;
    let callee = vm.function(&library, &function.name);
    let callee = callee.map_err(|text| Error::of(format!("ERR {text}")))?;
    job.run(cx, &vm, callee, words)
}

fn fcall_only_reads(state: &State, words: &[&[u8]]) -> bool {
    let name = words.get(1).map(|name| String::from_utf8_lossy(name));
    let found = name.and_then(|name| state.scripts.function(&name));
    found.is_some_and(|(_, function)| function.flags & NO_WRITES != 0)
}

/// A library runs when it is loaded, for as long as half a second: not where its request arrived, and not under locks. Only when it has
/// been tried, all shards are taken: so libraries change in the order in which the journal tells of it, and not at a snapshot's moment.
fn settle(cx: &Context<'_>, attempt: impl FnOnce() -> Result<(), String>) -> Outcome {
    if cx.data.holds_all() {
        return Ok(());
    }
    if !cx.is_worker && !cx.session.deny_blocking {
        return Err(Stop::Elsewhere);
    }
    attempt().map_err(told)?;
    Err(Stop::All)
}

fn told(text: String) -> Error {
    Error::of(format!("ERR {text}"))
}

fn load(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let mut replaces = false;
    while args.left() > 1 {
        let word = args.next()?;
        if !word.eq_ignore_ascii_case(b"replace") {
            let word = String::from_utf8_lossy(word);
            return Err(told(format!("Unknown option given: {word}")).into());
        }
        replaces = true;
    }
    let code = args.next().map_err(|_| Error::NoFunctionCode)?;
    settle(cx, || library::attempt(cx.state, code, replaces))?;
    let name = library::add(cx.state, code, replaces, true).map_err(told)?;
    cx.data.changed();
    cx.reply.bulk(name.as_bytes());
    Ok(())
}

fn delete(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    if !library::remove(cx.state, &String::from_utf8_lossy(args.next()?)) {
        return Err(Error::NoLibrary.into());
    }
    cx.data.changed();
    cx.reply.ok();
    Ok(())
}

fn flush(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    if args.left() > 1 {
        return Err(Error::subcommand(args.word(1), "function").into());
    }
    let understood = args.is_empty() || args.flag("sync") || args.flag("async");
    if !understood {
        return Err(Error::FunctionFlushMode.into());
    }
    library::clear(cx.state);
    cx.data.changed();
    cx.reply.ok();
    Ok(())
}

fn dump(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    cx.reply.bulk(&library::dump(cx.state));
    Ok(())
}

fn restore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let payload = args.next()?;
    if args.left() > 1 {
        return Err(Error::subcommand(args.word(1), "function").into());
    }
    let policy = if args.is_empty() || args.flag("append") {
        Policy::Append
    } else if args.flag("replace") {
        Policy::Replace
    } else if args.flag("flush") {
        Policy::Flush
    } else {
        return Err(Error::RestorePolicy.into());
    };
    settle(cx, || library::attempt_restore(cx.state, payload))?;
    library::restore(cx.state, payload, policy).map_err(told)?;
    cx.data.changed();
    cx.reply.ok();
    Ok(())
}

fn kill(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    script::end_running(cx, false)
}

fn list(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (mut pattern, mut with_code) = (None, false);
    while let Some(word) = args.peek() {
        if !with_code && args.flag("withcode") {
            with_code = true;
        } else if pattern.is_none() && args.flag("libraryname") {
            pattern = Some(Glob::nocase(args.next().map_err(|_| Error::NoLibraryName)?));
        } else {
            let word = String::from_utf8_lossy(word);
            return Err(told(format!("Unknown argument {word}")).into());
        }
    }
    let libraries = cx.state.scripts.libraries();
    let is_asked = |library: &&std::sync::Arc<Library>| {
        pattern.as_ref().is_none_or(|pattern| pattern.matches(library.name.as_bytes()))
    };
    let asked: Vec<_> = libraries.values().filter(is_asked).collect();
    cx.reply.array(asked.len());
    for library in asked {
        list_one(cx, library, with_code);
    }
    Ok(())
}

fn list_one(cx: &mut Context<'_>, library: &Library, with_code: bool) {
    let reply = &mut cx.reply;
    reply.map(3 + usize::from(with_code));
    reply.bulk(b"library_name");
    reply.bulk(library.name.as_bytes());
    reply.bulk(b"engine");
    reply.bulk(b"LUA");
    reply.bulk(b"functions");
    reply.array(library.functions.len());
    for function in library.functions.values() {
        reply.map(3);
        reply.bulk(b"name");
        reply.bulk(function.name.as_bytes());
        reply.bulk(b"description");
        match &function.description {
            Some(text) => reply.bulk(text),
            None => reply.null(),
        }
        reply.bulk(b"flags");
        let flags = || FLAG_NAMES.iter().filter(|(flag, _)| function.flags & flag != 0);
        reply.set(flags().count());
        flags().for_each(|(_, name)| reply.simple(name));
    }
    if with_code {
        reply.bulk(b"library_code");
        reply.bulk(&library.code);
    }
}

fn stats(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    let running = cx.state.scripts.running();
    let function = running.iter().find(|one| !one.is_eval);
    let reply = &mut cx.reply;
    reply.map(2);
    reply.bulk(b"running_script");
    match function {
        None => reply.null(),
        Some(function) => {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(function.name.as_bytes());
            reply.bulk(b"command");
            reply.array(function.command.len());
            function.command.iter().for_each(|word| reply.bulk(word));
            reply.bulk(b"duration_ms");
            reply.integer(function.milliseconds() as i64);
        }
    }
    let libraries = cx.state.scripts.libraries();
    reply.bulk(b"engines");
    reply.map(1);
    reply.bulk(b"LUA");
    reply.map(2);
    reply.bulk(b"libraries_count");
    reply.integer(libraries.len() as i64);
    reply.bulk(b"functions_count");
    reply.integer(cx.state.scripts.functions() as i64);
    Ok(())
}
