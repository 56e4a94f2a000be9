//! EVAL and kin, and how a script is run.

use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use russet_dispatch::command::Flag::{self, *};
use russet_dispatch::keys::{ACCESS, RO, RW, UPDATE, counted};
use russet_dispatch::script::{self, Rules, Script};
use russet_dispatch::scripting::{ALLOW_OOM, Manners, NO_WRITES, ScriptFlags, Sha, Source};
use russet_dispatch::state::{State, rule};
use russet_dispatch::{Args, Command, Context, Error, Group, Outcome, Stop};
use russet_engine::number::parse_i64;

use crate::convert::ReturnedError;
use crate::raised::Place;
use crate::run::{Failure, Run, Stopping, Title};
use crate::stack::{Fault, call};
use crate::vm::{Callee, Compiled, Vm};
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
    let compiled = compiled(cx, &vm, args.word(1), false)?;
    run_script(cx, &vm, &compiled, words)
}

fn evalsha(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let vm = interpreter(cx)?;
    if let Some(compiled) = vm.called(args.word(1)) {
        return run_script(cx, &vm, &compiled, Words::of(args, Error::NotInteger)?);
    }
    let sha = parse_sha(args.word(1)).ok_or(Error::NoScript)?;
    let words = Words::of(args, Error::NotInteger)?;
    let compiled = vm.script(&sha).map_err(internal)?.ok_or(Error::NoScript)?;
    vm.note_called(args.word(1), &compiled);
    run_script(cx, &vm, &compiled, words)
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

/// The value of each hexadecimal digit, and 16 for all else.
const DIGITS: [u8; 256] = digits();

const fn digits() -> [u8; 256] {
    let (mut digits, mut value) = ([16; 256], 0);
    while value < 16 {
        let digit = b"0123456789abcdef"[value as usize];
        digits[digit as usize] = value;
        digits[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    digits
}

/// The hash that forty digits spell.
pub(crate) fn parse_sha(digits: &[u8]) -> Option<Sha> {
    let digits: &[u8; 40] = digits.try_into().ok()?;
    let (mut sha, mut strange) = ([0; 20], 0);
    for (byte, pair) in sha.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = (DIGITS[usize::from(pair[0])], DIGITS[usize::from(pair[1])]);
        strange |= high | low;
        *byte = high << 4 | low;
    }
    (strange < 16).then_some(sha)
}

/// A script by its text: from the cache, or compiled and put there.
pub(crate) fn compiled(
    cx: &Context<'_>,
    vm: &Vm,
    code: &[u8],
    is_loaded: bool,
) -> Result<Rc<Compiled>, Error> {
    let sha = sha1_smol::Sha1::from(code).digest().bytes();
    if let Some(found) = vm.script(&sha).map_err(internal)? {
        if is_loaded {
            cx.state.scripts.promote(&found.source);
        }
        return Ok(found);
    }
    let flags = shebang::of_script(code).map_err(|text| Error::of(format!("ERR {text}")))?;
    let function = vm
        .compile(code)
        .map_err(|text| Error::of(format!("ERR Error compiling script (new function): {text}")))?;
    let source = Source::new(sha, code, flags, is_quick(code));
    let source = cx.state.scripts.add(source, is_loaded);
    vm.keep(source, function).map_err(internal)
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

/// The words of a request: keys and arguments among them.
#[derive(Clone, Copy)]
pub(crate) struct Words<'a> {
    request: Args<'a>,
    keys: usize,
}

impl<'a> Words<'a> {
    /// The number of keys is the third word; `not_a_number` if that is none.
    pub(crate) fn of(request: &Args<'a>, not_a_number: Error) -> Result<Self, Error> {
        let count = parse_i64(request.word(2)).ok_or(not_a_number)?;
        if count > request.argc() as i64 - 3 {
            return Err(Error::TooManyKeys);
        }
        let keys = usize::try_from(count).map_err(|_| Error::NegativeKeys)?;
        Ok(Self { request: *request, keys })
    }

    /// The keys.
    pub(crate) fn keys(self) -> impl ExactSizeIterator<Item = &'a [u8]> {
        self.request.range(3..3 + self.keys)
    }

    /// The arguments.
    pub(crate) fn args(self) -> impl ExactSizeIterator<Item = &'a [u8]> {
        self.request.range(3 + self.keys..self.request.argc())
    }
}

fn run_script(cx: &mut Context<'_>, vm: &Vm, compiled: &Compiled, words: Words<'_>) -> Outcome {
    let source = &compiled.source;
    let title = Title::Script(source.sha);
    let job = Job { title, flags: source.flags, manners: &source.manners };
    job.admit(cx)?;
    let outcome = job.run(cx, vm, compiled.callee(), words);
    cx.state.scripts.touch(source);
    outcome
}

/// A script or a function that is about to run.
pub(crate) struct Job<'a> {
    pub(crate) title: Title,
    pub(crate) flags: Option<ScriptFlags>,
    pub(crate) manners: &'a Manners,
}

impl Job<'_> {
    /// Whether it may run, and here.
    pub(crate) fn admit(&self, cx: &Context<'_>) -> Outcome {
        let is_full = cx.state.rules.load(Ordering::Relaxed) & rule::FULL != 0;
        if let Some(flags) = self.flags {
            if is_full && flags & (ALLOW_OOM | NO_WRITES) == 0 {
                return Err(Error::OutOfMemory.into());
            }
            if flags & NO_WRITES == 0 && cx.row.has(ReadOnly) {
                return Err(Error::ScriptWithWrites.into());
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
        self,
        cx: &mut Context<'_>,
        vm: &Vm,
        callee: Callee,
        words: Words<'_>,
    ) -> Outcome {
        vm.limit_memory().map_err(internal)?;
        let may_move = !cx.is_worker && !cx.session.deny_blocking;
        let rules = self.rules(cx);
        let script = Script::begin(cx, &words.request, rules, vm.buffers());
        let mut started = Run::new(script, self.title, may_move);
        if !may_move {
            started.command = words.request.words().map(Into::into).collect();
            started.enter();
        }
        run::begin(started);
        let unwinding = Unwinding;
        let mark = cx.reply.out.mark();
        let result = vm.run(callee, words, &mut cx.reply);
        if let Some(panic) = call::panicked() {
            resume_unwind(panic);
        }
        drop(unwinding);
        let mut run = run::end().expect("begun above");
        vm::with_thread(cx.state, |thread| run.script.end(cx, thread));
        if run.stopping.is_some() || result.is_err() {
            cx.reply.out.truncate(mark);
        }
        learn(self.manners, &run);
        let outcome = finish(cx, vm, &run, result);
        vm.keep_buffers(run.script.into_buffers());
        outcome
    }
}

/// What its behaviour says about how to run it next time.
fn learn(manners: &Manners, run: &Run) {
    if run.script.has_roamed {
        manners.roams.store(true, Ordering::Relaxed);
    }
    // The clock costs what a short script does: one that has ended before anybody looked around took as long as its commands.
    let is_short = run.is_unseen() && !run.script.is_worker();
    let took_ns = if is_short { run.script.called_ns } else { run.script.elapsed_ns() };
    if run.script.is_worker() && run.stopping.is_none() && took_ns < run::QUICK_NS {
        manners.is_quick.store(true, Ordering::Relaxed);
    } else if !run.script.is_worker() && took_ns > run::BUDGET_NS {
        manners.is_quick.store(false, Ordering::Relaxed);
    }
}

fn finish(
    cx: &mut Context<'_>,
    vm: &Vm,
    run: &Run,
    result: Result<Option<ReturnedError>, Fault>,
) -> Outcome {
    let title = &run.title;
    let outcome = match &run.stopping {
        Some(Stopping::Roams) => Err(Stop::All),
        Some(Stopping::Elsewhere) => Err(Stop::Elsewhere),
        Some(Stopping::Killed(place)) => {
            let killer = if title.is_script() { "SCRIPT KILL" } else { "FUNCTION KILL" };
            let text = format!("ERR Script killed by user with {killer}...").into_bytes();
            fail(cx, title, &Failure { text, place: place.clone(), is_counted: false });
            Ok(())
        }
        None => answer(cx, vm, title, result, run.failed_at.as_ref()),
    };
    if vm.rest(run.stopping.is_some()).is_err() {
        vm::discard();
    }
    outcome
}

/// Completes the reply: what a script returned stands there already.
fn answer(
    cx: &mut Context<'_>,
    vm: &Vm,
    title: &Title,
    result: Result<Option<ReturnedError>, Fault>,
    failed_at: Option<&Place>,
) -> Outcome {
    match result {
        Ok(None) => {}
        Ok(Some(error)) => script::fail(cx, &error.text, error.is_counted),
        Err(Fault::Raised(error)) => {
            let failure = vm.failure(error, failed_at.cloned()).map_err(internal)?;
            fail(cx, title, &failure);
        }
        Err(Fault::Broken(error)) => {
            vm::discard();
            let text = raised::bytes_of(&error).unwrap_or_default();
            let head = format!("ERR Error running script {title}, ");
            script::fail(cx, &convert::one_line(&[head.as_bytes(), &text].concat()), false);
        }
    }
    Ok(())
}

fn fail(cx: &mut Context<'_>, title: &Title, failure: &Failure) {
    let mut text = failure.text.clone();
    if let Some(place) = &failure.place {
        let at = format!(" script: {title}, on {}:{}.", place.source, place.line);
        text.extend_from_slice(at.as_bytes());
    }
    script::fail(cx, &convert::one_line(&text), failure.is_counted);
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
