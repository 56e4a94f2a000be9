//! Script: whatever its text, a script is answered with one frame, ends, and leaves the next one a working interpreter. The input is Lua.

#![no_main]

#[path = "../../commands/scripting/runner.rs"]
mod runner;

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use runner::Runner;

thread_local! {
    static RUNNER: RefCell<Runner> = RefCell::new(Runner::new());
}

fuzz_target!(|script: &[u8]| RUNNER.with_borrow_mut(|runner| runner.check(script)));
