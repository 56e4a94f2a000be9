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
use russet_dispatch::scripting::Running;

use crate::raised::{self, Place};

/// How long a script may run where its request arrived. One that takes longer, and has done nothing yet that others can see, begins
/// anew on a worker.
pub(crate) const BUDGET: Duration = Duration::from_millis(2);

/// A script that took no longer on a worker runs where its request arrives from then on.
pub(crate) const QUICK: Duration = Duration::from_millis(1);

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

/// The script that runs.
pub(crate) struct Run {
    pub(crate) script: Script,
    pub(crate) started: Instant,
    pub(crate) stopping: Option<Stopping>,
    pub(crate) failure: Option<Failure>,
    /// How others see it, once it may run for long.
    pub(crate) running: Option<Arc<Running>>,
    /// Whether it may begin anew on a worker.
    pub(crate) may_move: bool,
    pub(crate) is_eval: bool,
    pub(crate) name: String,
    pub(crate) command: Vec<Box<[u8]>>,
    calls: u32,
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
    /// A script that is about to start. One that is on a worker may take long: others are told at once.
    pub(crate) fn new(script: Script, name: &str, is_eval: bool, may_move: bool) -> Self {
        Self {
            script,
            started: Instant::now(),
            stopping: None,
            failure: None,
            running: None,
            may_move,
            is_eval,
            name: name.to_owned(),
            command: Vec::new(),
            calls: 0,
        }
    }

    /// Tells others that it runs.
    pub(crate) fn enter(&mut self) {
        let running = Arc::new(Running {
            name: self.name.clone(),
            command: std::mem::take(&mut self.command),
            is_eval: self.is_eval,
            since: self.started,
            shards: self.script.shards(),
            has_written: self.script.has_written.into(),
            is_killed: false.into(),
        });
        self.script.state().scripts.enter(&running);
        self.running = Some(running);
    }

    /// Tells others whether it has written.
    pub(crate) fn note_written(&self) {
        if let Some(running) = &self.running
            && self.script.has_written
        {
            running.has_written.store(true, Ordering::Release);
        }
    }

    /// Looks around before a call, now and then.
    pub(crate) fn tick_call(&mut self) {
        self.calls += 1;
        if self.calls.is_multiple_of(CALLS_PER_LOOK) {
            self.tick(None);
        }
    }

    /// Looks whether the script is to stop.
    pub(crate) fn tick(&mut self, lua: Option<&Lua>) {
        if self.stopping.is_some() {
            return;
        }
        let is_over = self.started.elapsed() > BUDGET;
        if is_over && self.may_move && !self.script.is_committed {
            self.stopping = Some(Stopping::Elsewhere);
            return;
        }
        if is_over && self.running.is_none() {
            self.enter();
        }
        let is_killed = |running: &Arc<Running>| running.is_killed.load(Ordering::Acquire);
        let scripts = &self.script.state().scripts;
        if self.running.as_ref().is_some_and(is_killed)
            || scripts.is_closing.load(Ordering::Acquire)
            || self.script.session.client.is_killed()
        {
            self.stopping = Some(Stopping::Killed(lua.and_then(raised::place)));
        }
    }
}
