//! EVAL and kin, and how a script is run.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use mlua::{Function, Value};
use russet_dispatch::command::Flag::{self, *};
use russet_dispatch::keys::{ACCESS, RO, RW, UPDATE, counted};
use russet_dispatch::script::{self, Rules, Script};
use russet_dispatch::scripting::{ALLOW_OOM, Manners, NO_WRITES, ScriptFlags, Sha, Source};
use russet_dispatch::state::{State, rule};
use russet_dispatch::{Args, Command, Context, Error, Group, Outcome, Stop};
use russet_engine::number::parse_i64;
use russet_resp::Protocol;

use crate::run::{Failure, Run, Stopping};
use crate::vm::Vm;
use crate::{convert, raised, run, shebang, vm};

/// What every command that runs a script has in common.
pub(crate) const RUNNER: Command = Command {
    group: Group::Scripting,
    file: file!(),
    arity: -3,
    complexity: "Depends on the script that is executed.",
    ..Command::BASE
};

/// What those that may write are.
pub(crate) const WRITES: &[Flag] =
    &[NoScript, Stale, SkipMonitor, MayReplicate, NoMandatoryKeys, MovableKeys, RunsScript];

/// What those that only read are.
pub(crate) const READS: &[Flag] =
    &[ReadOnly, NoScript, Stale, SkipMonitor, NoMandatoryKeys, MovableKeys, RunsScript];

/// The rows.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "eval",
        syntax: "script numkeys [key ...] [arg ...]",
        summary: "Runs a Lua script.",
        since: "2.6.0",
        flags: WRITES,
        keys: &[counted(2, 1, RW | ACCESS | UPDATE)],
        only_reads: Some(eval_only_reads),
        run: eval,
        ..RUNNER
    },
    Command {
        name: "evalsha",
        syntax: "sha1 numkeys [key ...] [arg ...]",
        summary: "Runs a Lua script of the cache.",
        since: "2.6.0",
        flags: WRITES,
        keys: &[counted(2, 1, RW | ACCESS | UPDATE)],
        only_reads: Some(evalsha_only_reads),
        run: evalsha,
        ..RUNNER
    },
    Command {
        name: "eval_ro",
        syntax: "script numkeys [key ...] [arg ...]",
        summary: "Runs a Lua script that may not write.",
        since: "7.0.0",
        flags: READS,
        not: &[russet_dispatch::Category::Read],
        keys: &[counted(2, 1, RO | ACCESS)],
        only_reads: Some(eval_only_reads),
        run: eval,
        ..RUNNER
    },
    Command {
        name: "evalsha_ro",
        syntax: "sha1 numkeys [key ...] [arg ...]",
        summary: "Runs a Lua script of the cache that may not write.",
        since: "7.0.0",
        flags: READS,
        not: &[russet_dispatch::Category::Read],
        keys: &[counted(2, 1, RO | ACCESS)],
        only_reads: Some(evalsha_only_reads),
        run: evalsha,
        ..RUNNER
    },
];

fn eval(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let words = Words::of(args, Error::NotInteger)?;
    let vm = interpreter(cx)?;
    let (source, function) = source_of(cx, &vm, args.word(1), false)?;
    run_source(cx, &vm, &source, &function, &words, args)
}

fn evalsha(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let sha = parse_sha(args.word(1)).ok_or(Error::NoScript)?;
    let words = Words::of(args, Error::NotInteger)?;
    let vm = interpreter(cx)?;
    let (source, function) = vm.source(&sha).map_err(internal)?.ok_or(Error::NoScript)?;
    run_source(cx, &vm, &source, &function, &words, args)
}

fn eval_only_reads(_: &State, words: &[&[u8]]) -> bool {
    let flags = words.get(1).and_then(|code| shebang::of_script(code).ok()).flatten();
    flags.is_some_and(|flags| flags & NO_WRITES != 0)
}

fn evalsha_only_reads(state: &State, words: &[&[u8]]) -> bool {
    let source = words.get(1).and_then(|sha| state.scripts.find(&parse_sha(sha)?));
    source.and_then(|source| source.flags).is_some_and(|flags| flags & NO_WRITES != 0)
}

/// The interpreter of this thread.
pub(crate) fn interpreter(cx: &Context<'_>) -> Result<std::rc::Rc<Vm>, Error> {
    vm::get(cx.state).map_err(internal)
}

/// What only lack of memory brings about.
pub(crate) fn internal(error: mlua::Error) -> Error {
    vm::discard();
    Error::of(format!("ERR {}", raised::foreign(&error)))
}

/// The hash that forty digits spell.
pub(crate) fn parse_sha(digits: &[u8]) -> Option<Sha> {
    let mut sha = [0; 20];
    if digits.len() != 40 {
        return None;
    }
    for (byte, pair) in sha.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| (pair[at] as char).to_digit(16);
        *byte = (digit(0)? << 4 | digit(1)?) as u8;
    }
    Some(sha)
}

/// The forty digits of a hash.
pub(crate) fn digits(sha: &Sha) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).expect("half a byte");
    sha.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// A script by its text: from the cache, or compiled and put there.
pub(crate) fn source_of(
    cx: &Context<'_>,
    vm: &Vm,
    code: &[u8],
    is_loaded: bool,
) -> Result<(Arc<Source>, Function), Error> {
    let sha = sha1_smol::Sha1::from(code).digest().bytes();
    if let Some(found) = vm.source(&sha).map_err(internal)? {
        if is_loaded {
            cx.state.scripts.promote(&found.0);
        }
        return Ok(found);
    }
    let flags = shebang::of_script(code).map_err(|text| Error::of(format!("ERR {text}")))?;
    let function = vm
        .compile(code)
        .map_err(|text| Error::of(format!("ERR Error compiling script (new function): {text}")))?;
    let source = Source::new(sha, code, flags, is_quick(code));
    let source = cx.state.scripts.add(source, is_loaded);
    vm.keep(&source, &function).map_err(internal)?;
    Ok((source, function))
}

/// Whether a script cannot take long, as far as its words tell: it has no loop, no function of its own, and nothing that makes much of
/// little. Others show it by ending in time on a worker first.
fn is_quick(code: &[u8]) -> bool {
    const SLOW: [&[u8]; 10] = [
        b"while",
        b"for",
        b"repeat",
        b"function",
        b"load",
        b"rep",
        b"gsub",
        b"find",
        b"match",
        b"sort",
    ];
    !SLOW.iter().any(|word| code.windows(word.len()).any(|part| part == *word))
}

/// Keys and arguments of a request.
pub(crate) struct Words<'a> {
    keys: Vec<&'a [u8]>,
    args: Vec<&'a [u8]>,
}

impl<'a> Words<'a> {
    /// The words behind the number of keys, which is the third; `not_a_number` if that is none.
    pub(crate) fn of(args: &Args<'a>, not_a_number: Error) -> Result<Self, Error> {
        let count = parse_i64(args.word(2)).ok_or(not_a_number)?;
        if count > args.argc() as i64 - 3 {
            return Err(Error::TooManyKeys);
        }
        let count = usize::try_from(count).map_err(|_| Error::NegativeKeys)?;
        let mut words = args.words().skip(3);
        Ok(Self { keys: words.by_ref().take(count).collect(), args: words.collect() })
    }

    /// A function that calls another with these.
    pub(crate) fn bind(&self, vm: &Vm, function: &Function) -> mlua::Result<Function> {
        vm.bound(function, &self.keys, &self.args)
    }
}

fn run_source(
    cx: &mut Context<'_>,
    vm: &Vm,
    source: &Source,
    function: &Function,
    words: &Words<'_>,
    args: &Args<'_>,
) -> Outcome {
    let job = Job {
        name: &digits(&source.sha),
        is_eval: true,
        flags: source.flags,
        manners: &source.manners,
    };
    job.admit(cx)?;
    vm.prepare(function, &words.keys, &words.args).map_err(internal)?;
    let outcome = job.run(cx, vm, function, args);
    cx.state.scripts.touch(source);
    outcome
}

/// A script or a function that is about to run.
pub(crate) struct Job<'a> {
    pub(crate) name: &'a str,
    pub(crate) is_eval: bool,
    pub(crate) flags: Option<ScriptFlags>,
    pub(crate) manners: &'a Manners,
}

impl Job<'_> {
    /// Whether it may run, and here.
    pub(crate) fn admit(&self, cx: &Context<'_>) -> Outcome {
        let is_full = cx.state.rules.load(Ordering::Relaxed) & rule::FULL != 0;
        if let Some(flags) = self.flags {
            if flags & NO_WRITES == 0 && cx.row.has(ReadOnly) {
                return Err(Error::ScriptWithWrites.into());
            }
            if is_full && flags & (ALLOW_OOM | NO_WRITES) == 0 {
                return Err(Error::ScriptOutOfMemory.into());
            }
        }
        let may_move = !cx.is_worker && !cx.session.deny_blocking;
        if may_move && !self.manners.is_quick.load(Ordering::Relaxed) {
            return Err(Stop::Elsewhere);
        }
        if self.manners.roams.load(Ordering::Relaxed) && !cx.data.holds_all() {
            return Err(Stop::All);
        }
        Ok(())
    }

    fn rules(&self, cx: &Context<'_>) -> Rules {
        let flags = self.flags.unwrap_or(0);
        Rules {
            is_read_only: cx.row.has(ReadOnly) || flags & NO_WRITES != 0,
            allows_oom: flags & ALLOW_OOM != 0,
        }
    }

    /// Runs it and replies.
    pub(crate) fn run(
        &self,
        cx: &mut Context<'_>,
        vm: &Vm,
        function: &Function,
        args: &Args<'_>,
    ) -> Outcome {
        let may_move = !cx.is_worker && !cx.session.deny_blocking;
        let mut started =
            Run::new(Script::begin(cx, args, self.rules(cx)), self.name, self.is_eval, may_move);
        if !may_move {
            started.command = args.words().map(Into::into).collect();
            started.enter();
        }
        run::begin(started);
        let unwinding = Unwinding;
        let result = vm.call(function);
        drop(unwinding);
        let run = run::end().expect("begun above");
        self.finish(cx, vm, run, result)
    }

    fn finish(
        &self,
        cx: &mut Context<'_>,
        vm: &Vm,
        run: Run,
        result: mlua::Result<(bool, Value)>,
    ) -> Outcome {
        self.learn(&run);
        let is_resp3 = run.script.session.protocol == Protocol::Resp3;
        let Run { script, stopping, failure, .. } = run;
        vm::with_thread(cx.state, |thread| script.end(cx, thread));
        let rested = vm.rest(stopping.is_some());
        let outcome = match stopping {
            Some(Stopping::Roams) => Err(Stop::All),
            Some(Stopping::Elsewhere) => Err(Stop::Elsewhere),
            Some(Stopping::Killed(place)) => {
                let killer = if self.is_eval { "SCRIPT KILL" } else { "FUNCTION KILL" };
                let text = format!("ERR Script killed by user with {killer}...").into_bytes();
                self.fail(cx, &Failure { text, place, is_counted: false });
                Ok(())
            }
            None => self.answer(cx, result, failure, is_resp3),
        };
        if rested.is_err() {
            vm::discard();
        }
        outcome
    }

    /// What its behaviour says about how to run it next time.
    fn learn(&self, run: &Run) {
        if run.script.has_roamed {
            self.manners.roams.store(true, Ordering::Relaxed);
        }
        let took = run.started.elapsed();
        if run.script.is_worker() && run.stopping.is_none() && took < run::QUICK {
            self.manners.is_quick.store(true, Ordering::Relaxed);
        } else if !run.script.is_worker() && took > run::BUDGET {
            self.manners.is_quick.store(false, Ordering::Relaxed);
        }
    }

    fn answer(
        &self,
        cx: &mut Context<'_>,
        result: mlua::Result<(bool, Value)>,
        failure: Option<Failure>,
        is_resp3: bool,
    ) -> Outcome {
        match (result, failure) {
            (Ok((true, value)), _) => {
                if let Some((text, is_counted)) = convert::error_of(&value).map_err(internal)? {
                    script::fail(cx, &text, is_counted);
                    return Ok(());
                }
                let mark = cx.reply.out.mark();
                if let Err(error) = convert::reply(&mut cx.reply, &value, is_resp3) {
                    cx.reply.out.truncate(mark);
                    return Err(internal(error).into());
                }
            }
            (Ok((false, _)), Some(failure)) => self.fail(cx, &failure),
            (Ok((false, value)), None) => {
                // Memory ran out: no handler is called then, and the interpreter is of no use any more.
                vm::discard();
                let text = raised::bytes_of(&value).unwrap_or_default();
                self.fail_plainly(cx, &text);
            }
            (Err(error), _) => {
                vm::discard();
                self.fail_plainly(cx, raised::foreign(&error).as_bytes());
            }
        }
        Ok(())
    }

    fn fail_plainly(&self, cx: &mut Context<'_>, text: &[u8]) {
        let head = format!("ERR Error running script {}, ", self.name);
        script::fail(cx, &convert::one_line(&[head.as_bytes(), text].concat()), false);
    }

    fn fail(&self, cx: &mut Context<'_>, failure: &Failure) {
        let mut text = failure.text.clone();
        if let Some(place) = &failure.place {
            let at = format!(" script: {}, on {}:{}.", self.name, place.source, place.line);
            text.extend_from_slice(at.as_bytes());
        }
        script::fail(cx, &convert::one_line(&text), failure.is_counted);
    }
}

/// Tidies up when a handler panics in the middle of a script: locks fall, and the interpreter goes.
struct Unwinding;

impl Drop for Unwinding {
    fn drop(&mut self) {
        if std::thread::panicking() {
            drop(run::end());
            vm::discard();
        }
    }
}
