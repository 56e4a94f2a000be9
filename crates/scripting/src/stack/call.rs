//! `redis.call` and `redis.pcall`: from words on Lua's stack to a reply on it.
//!
//! The words are copied straight into the request that the script keeps for its calls, and the reply's bytes become values where they
//! were written. A call has two halves: the first runs the command, and may own what it likes; the second puts the reply there, and may
//! jump.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use russet_dispatch::script::{Refused, Script};
use russet_resp::number::{DoubleBuffer, format_double};

use super::{Native, Stack, Word};
use crate::number::INTEGER_END;
use crate::run::{self, Run, Stopping};
use crate::{convert, vm};

/// `redis.call`: errors are raised.
pub(crate) struct Call;

/// `redis.pcall`: errors are values.
pub(crate) struct ProtectedCall;

impl Native for Call {
    fn call(stack: Stack) -> c_int {
        answer(stack, true)
    }
}

impl Native for ProtectedCall {
    fn call(stack: Stack) -> c_int {
        answer(stack, false)
    }
}

/// What came of the first half. Nothing in it has to be dropped.
#[derive(Clone, Copy)]
enum Called {
    /// The reply, in memory of the script under way.
    Reply(*const [u8]),
    /// There was no call: the words make none.
    Wrong(&'static str),
    /// No script is under way.
    Outside,
    /// The script is to end.
    Stopping,
}

thread_local! {
    static PANIC: RefCell<Option<Box<dyn Any + Send>>> = const { RefCell::new(None) };
}

/// A panic of a command, which went no further than the call: its script has ended meanwhile.
pub(crate) fn panicked() -> Option<Box<dyn Any + Send>> {
    PANIC.take()
}

fn answer(stack: Stack, raises: bool) -> c_int {
    match called(stack) {
        Called::Reply(reply) => {
            // SAFETY: the script keeps the reply until its next call, and no call comes while values are made: Lua runs nothing then
            // but finalizers, which are mlua's.
            let reply = unsafe { &*reply };
            convert::push_reply(stack, reply);
            if raises && reply.first() == Some(&b'-') {
                stack.raise();
            }
        }
        Called::Wrong(message) => {
            convert::push_refusal(stack, message);
            if raises {
                stack.raise();
            }
        }
        Called::Outside => {
            convert::push_refusal(stack, "Commands can only be called inside a script invocation");
            stack.raise();
        }
        Called::Stopping => {
            stack.push_text(b"the script is to end");
            stack.raise();
        }
    }
    1
}

/// The first half. A panic must not pass through Lua: it waits until the script has ended, which is at once.
fn called(stack: Stack) -> Called {
    let called = match catch_unwind(AssertUnwindSafe(|| run::with(|run| run_command(run, stack)))) {
        Ok(called) => called.unwrap_or(Called::Outside),
        Err(panic) => {
            PANIC.set(Some(panic));
            run::with(|run| run.stopping = Some(Stopping::Killed(None)));
            Called::Stopping
        }
    };
    if matches!(called, Called::Stopping) {
        vm::press_own();
    }
    called
}

fn run_command(run: &mut Run, stack: Stack) -> Called {
    run.script.begin_call();
    if let Err(wrong) = push_words(stack, &mut run.script) {
        return Called::Wrong(wrong);
    }
    run.tick_call();
    if run.stopping.is_some() {
        return Called::Stopping;
    }
    match vm::with_thread(run.script.state(), |thread| run.script.call(thread)) {
        Ok(()) => run.note_written(),
        Err(Refused::Roams) => {
            run.stopping = Some(Stopping::Roams);
            return Called::Stopping;
        }
        Err(Refused::Error(error)) => run.script.reply_error(&error),
    }
    Called::Reply(run.script.reply())
}

/// Copies the words of a call. The error is what the script is told.
pub(crate) fn push_words(stack: Stack, script: &mut Script) -> Result<(), &'static str> {
    let count = stack.top();
    if count == 0 {
        return Err("Please specify at least one argument for this call");
    }
    for at in 1..=count {
        let word = stack.with_word(at, |word| match word {
            Word::Text(text) => script.push(text),
            Word::Number(number) => push_number(script, number),
        });
        word.ok_or("Command arguments must be strings or integers")?;
    }
    Ok(())
}

/// A number as a command reads it: all digits of an integer, and the fewest that tell a fraction from all others.
fn push_number(script: &mut Script, number: f64) {
    let is_integer = number.fract() == 0.0 && number.abs() < INTEGER_END;
    if is_integer && !(number == 0.0 && number.is_sign_negative()) {
        script.push_integer(number as i64);
    } else if number.is_nan() && number.is_sign_negative() {
        script.push(b"-nan");
    } else {
        script.push(format_double(number, &mut DoubleBuffer::default()));
    }
}
