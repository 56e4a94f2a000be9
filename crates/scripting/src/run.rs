//! The script that runs on this thread.
//!
//! There is at most one: scripts cannot start scripts. What its functions need of its request lies here, since what Lua holds must own
//! all that it refers to.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mlua::Lua;
use russet_dispatch::script::Script;
use russet_dispatch::scripting::{Running, Sha};

use crate::raised::{self, Place};

/// How long a script may run where its request arrived. One that takes longer, and has done nothing yet that others can see, begins
/// anew on a worker.
pub(crate) const BUDGET_NS: u64 = 2_000_000;

/// A script that took no longer on a worker runs where its request arrives from then on.
pub(crate) const QUICK_NS: u64 = 1_000_000;

/// Calls of commands between two looks at the clock.
const CALLS_PER_LOOK: u32 = 64;

/// Why a script ends before its end.
#[derive(Clone, Debug)]
pub(crate) enum Stopping {
    /// It is to begin anew on a worker.
    Elsewhere,
    /// It is to begin anew under all shards.
    Roams,
    /// Somebody has killed it, or its client.
    Killed(Option<Place>),
}

/// How a script has failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) text: Vec<u8>,
    pub(crate) place: Option<Place>,
    pub(crate) is_counted: bool,
}

/// What runs, as errors and lists name it.
#[derive(Clone, Debug)]
pub(crate) enum Title {
    /// A script.
    Script(Sha),
    /// A function of a library.
    Function(Box<str>),
}

impl Title {
    /// Whether it is a script and no function.
    pub(crate) const fn is_script(&self) -> bool {
        matches!(self, Self::Script(_))
    }
}

impl std::fmt::Display for Title {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Script(sha) => sha.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::Function(name) => f.write_str(name),
        }
    }
}

/// The script that runs.
pub(crate) struct Run {
    pub(crate) script: Script,
    pub(crate) title: Title,
    pub(crate) stopping: Option<Stopping>,
    /// Where the error was raised that has ended it.
    pub(crate) failed_at: Option<Place>,
    /// How others see it, once it may run for long.
    pub(crate) running: Option<Arc<Running>>,
    /// Whether it may begin anew on a worker.
    pub(crate) may_move: bool,
    /// The request, for those who look at what runs.
    pub(crate) command: Vec<Box<[u8]>>,
    calls: u32,
    was_seen: bool,
    /// Whether the log says that it is slow.
    is_told: bool,
    /// How many shards others have been told of.
    shown_shards: usize,
}

thread_local! {
    static RUN: RefCell<Option<Run>> = const { RefCell::new(None) };
}

/// Works with the script that runs, if one does.
pub(crate) fn with<R>(work: impl FnOnce(&mut Run) -> R) -> Option<R> {
    RUN.with_borrow_mut(|run| run.as_mut().map(work))
}

/// Says that a script runs.
pub(crate) fn begin(run: Run) {
    RUN.set(Some(run));
}

/// Says that it has ended.
pub(crate) fn end() -> Option<Run> {
    let run = RUN.take()?;
    if let Some(running) = &run.running {
        run.script.state().scripts.leave(running);
    }
    Some(run)
}

impl Run {
    /// A script that is about to start.
    pub(crate) const fn new(script: Script, title: Title, may_move: bool) -> Self {
        Self {
            script,
            title,
            stopping: None,
            failed_at: None,
            running: None,
            may_move,
            command: Vec::new(),
            calls: 0,
            was_seen: false,
            is_told: false,
            shown_shards: 0,
        }
    }

    /// Tells others that it runs.
    pub(crate) fn enter(&mut self) {
        let elapsed = Duration::from_nanos(self.script.elapsed_ns());
        let now = Instant::now();
        let running = Arc::new(Running {
            name: self.title.to_string(),
            command: std::mem::take(&mut self.command),
            is_eval: self.title.is_script(),
            client: self.script.session.client.id,
            thread: (!self.script.is_worker()).then(|| std::thread::current().id()),
            since: now.checked_sub(elapsed).unwrap_or(now),
            shards: self.script.shards().into(),
            has_written: self.script.has_written.into(),
            is_killed: false.into(),
        });
        self.script.mark_long();
        self.shown_shards = self.script.shard_count();
        self.script.state().scripts.enter(&running);
        self.running = Some(running);
    }

    /// Tells others whether it has written, and what it holds by now.
    pub(crate) fn note_written(&mut self) {
        let Some(running) = &self.running else { return };
        if self.script.has_written {
            running.has_written.store(true, Ordering::Release);
        }
        if self.shown_shards != self.script.shard_count() {
            self.shown_shards = self.script.shard_count();
            self.script.mark_long();
            *running.shards.lock() = self.script.shards();
        }
    }

    /// Whether it has ended before anybody looked around: after few instructions and few calls.
    pub(crate) const fn is_unseen(&self) -> bool {
        !self.was_seen
    }

    /// Looks around before a call, now and then.
    pub(crate) fn tick_call(&mut self) {
        self.calls += 1;
        if self.calls.is_multiple_of(CALLS_PER_LOOK) {
            self.tick(None);
        }
    }

    /// Whether nobody wants it any more. One that has done something is not cut short for a timeout or a limit of its client, only
    /// where somebody asks for the client's end.
    fn is_left(&self) -> bool {
        let client = &self.script.session.client;
        let has_done = self.script.has_written || self.script.is_committed;
        if has_done { client.is_ended() } else { client.is_killed() }
    }

    /// Writes into the log, once, that others are held up.
    fn tell_if_slow(&mut self) {
        let Some(running) = self.running.as_ref().filter(|_| !self.is_told) else { return };
        let milliseconds = running.milliseconds();
        if milliseconds >= self.script.state().tunables.busy_threshold.load(Ordering::Relaxed) {
            let kind = if running.is_eval { "SCRIPT" } else { "FUNCTION" };
            tracing::warn!(
                "Slow script detected: {} has run for {milliseconds} milliseconds, {kind} KILL may end it",
                running.name
            );
            self.is_told = true;
        }
    }

    /// Looks whether the script is to stop.
    pub(crate) fn tick(&mut self, lua: Option<&Lua>) {
        self.was_seen = true;
        if self.stopping.is_some() {
            return;
        }
        let is_over = self.script.elapsed_ns() > BUDGET_NS;
        if is_over && self.may_move && !self.script.is_committed {
            self.stopping = Some(Stopping::Elsewhere);
            return;
        }
        if is_over && self.running.is_none() {
            self.enter();
        }
        self.tell_if_slow();
        let is_killed = |running: &Arc<Running>| running.is_killed.load(Ordering::Acquire);
        let scripts = &self.script.state().scripts;
        if self.running.as_ref().is_some_and(is_killed)
            || scripts.is_closing.load(Ordering::Acquire)
            || self.is_left()
        {
            self.stopping = Some(Stopping::Killed(lua.and_then(raised::place)));
        }
    }
}
