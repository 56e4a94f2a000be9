//! Who shares a sync.
//!
//! Those whom one sync has let go come back one by one. If the next began with the first of them, half of all would wait for one sync
//! while the other half is in it, each for two in the end. So before a sync that is slow those are waited for who were let go by the
//! last one: until as many have come, or until they come no faster than others came while it was under way. Then whoever is busy is busy
//! with something else, and it is not tried again for a while.
//!
//! It is a rule of thumb. Whatever it says, nobody waits for longer than a quarter of a sync.

use std::time::Duration;

/// Slower ones are worth it.
const SLOW_SYNC: Duration = Duration::from_micros(400);

/// They are waited for in steps of such a part of a sync, but not of a longer time, and in so many of them at most.
const STEP_PART: u32 = 16;
const STEP_MAX: Duration = Duration::from_micros(1250);
const STEPS: u32 = 4;

/// How many syncs begin at once after one for which it was no use to wait.
const UNGATHERED: u32 = 16;

/// What the last sync tells of those who wait for the next one.
#[derive(Debug, Default)]
pub(super) struct Company {
    /// How long it took.
    took: Duration,
    /// How many had come when it ended, in all.
    came: u64,
    /// How many of them it did not let go, since they came too late for it.
    late: u64,
    /// How many it has let go.
    released: u64,
    /// How many more begin at once.
    ungathered: u32,
}

impl Company {
    /// A sync took so long; `began` had come in all when it began, and `ended` when it ended.
    pub(super) fn note(&mut self, took: Duration, began: u64, ended: u64) {
        let released = began + self.late - self.came;
        *self = Self { took, came: ended, late: ended - began, released, ..*self };
    }

    /// Waits for those who were let go, step by step. `came` says how many have come in all, each time anew.
    pub(super) fn gather(&mut self, came: impl Fn() -> u64, mut wait: impl FnMut(Duration)) {
        if self.took < SLOW_SYNC {
            return;
        }
        if self.ungathered > 0 {
            self.ungathered -= 1;
            return;
        }
        let usual = 2 * self.late / u64::from(STEP_PART);
        let mut back = 0;
        for _ in 0..STEPS {
            if came() - self.came >= self.released {
                return;
            }
            wait((self.took / STEP_PART).min(STEP_MAX));
            let before = std::mem::replace(&mut back, came() - self.came);
            if back > 0 && back - before <= usual {
                break;
            }
        }
        if back < self.released / 2 {
            self.ungathered = UNGATHERED;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const SYNC: Duration = Duration::from_millis(2);

    /// How many steps are waited when so many have come before the first one and after each.
    fn steps(company: &mut Company, came: &[u64]) -> usize {
        let step = Cell::new(0);
        company.gather(
            || came[step.get().min(came.len() - 1)],
            |time| {
                assert_eq!(time, SYNC / STEP_PART);
                step.set(step.get() + 1);
            },
        );
        step.get()
    }

    /// Of 50 the last sync has let 25 go; the others came while it was under way.
    fn halves() -> Company {
        let mut company = Company::default();
        company.note(SYNC, 25, 50);
        assert_eq!(company.released, 25);
        company
    }

    #[test]
    fn those_who_were_let_go_are_waited_for() {
        assert_eq!(steps(&mut halves(), &[51, 60, 75]), 2);
        assert_eq!(steps(&mut halves(), &[75]), 0, "they are all back");
        assert_eq!(steps(&mut halves(), &[51, 65, 67]), 2, "hardly any come any more");
        assert_eq!(steps(&mut halves(), &[50, 50, 50, 50, 50]), STEPS as usize);
        // Now all 50 are let go at once.
        let mut company = halves();
        company.note(SYNC, 75, 75);
        assert_eq!(company.released, 50);
    }

    #[test]
    fn where_it_was_no_use_it_is_not_tried_for_a_while() {
        let mut company = halves();
        assert_eq!(steps(&mut company, &[50]), STEPS as usize);
        for _ in 0..UNGATHERED {
            assert_eq!(steps(&mut company, &[50]), 0);
        }
        assert_eq!(steps(&mut company, &[50]), STEPS as usize);
    }

    #[test]
    fn who_is_alone_waits_for_nobody_and_a_quick_sync_for_none() {
        let mut company = Company::default();
        company.note(SYNC, 1, 1);
        assert_eq!(steps(&mut company, &[2]), 0);
        let mut company = halves();
        company.note(SLOW_SYNC / 2, 75, 75);
        assert_eq!(steps(&mut company, &[75]), 0);
    }
}
