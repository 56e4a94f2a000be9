//! Connections of one thread that have come lately, and have something to say.
//!
//! When a thousand clients come back at once, each of their first requests takes the kernel ten microseconds. Those who are here already
//! would wait behind all of them, since what is ready is served in one order. So newcomers have their first turns a few at a time, and
//! whoever else is ready meanwhile has theirs in between.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

use tokio::sync::Notify;

/// Let in before others get their turn.
const AT_A_TIME: usize = 8;

/// So many may wait. Those beyond are let in at once.
const WAITING_MAX: usize = 64 * 1024;

/// Turns after which a connection is no newcomer any more: some for what clients say of themselves before they ask for anything.
pub(crate) const TURNS: u8 = 8;

/// Who waits to be let in.
#[derive(Debug, Default)]
pub(crate) struct Lobby {
    queue: RefCell<Queue>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waker>,
    /// How many have been called: the number of whoever waits in front. It comes round.
    called: u32,
    /// How many have come in since others had their turn.
    entered: usize,
}

/// The number of a connection in the lobby, while it waits there. Every connection has room for one, so it is small.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ticket {
    is_waiting: bool,
    number: u32,
}

impl Lobby {
    /// Whether a newcomer may come in. If not, it is woken when it is called.
    pub(crate) fn enter(&self, ticket: &mut Ticket, waker: &Waker) -> bool {
        let mut queue = self.queue.borrow_mut();
        if ticket.is_waiting {
            let before = ticket.number.wrapping_sub(queue.called) as usize;
            ticket.is_waiting = before < queue.waiting.len();
            return !ticket.is_waiting;
        }
        self.bell.notify_one();
        let is_free = queue.waiting.is_empty() && queue.entered < AT_A_TIME;
        if is_free || queue.waiting.len() >= WAITING_MAX {
            queue.entered += 1;
            return true;
        }
        let number = queue.called.wrapping_add(queue.waiting.len() as u32);
        *ticket = Ticket { is_waiting: true, number };
        queue.waiting.push_back(waker.clone());
        false
    }

    /// Calls some. Says whether there were any.
    fn call_some(&self) -> bool {
        let mut queue = self.queue.borrow_mut();
        let some = queue.waiting.len().min(AT_A_TIME);
        queue.called = queue.called.wrapping_add(some as u32);
        queue.entered = some;
        queue.waiting.drain(..some).for_each(Waker::wake);
        if queue.waiting.is_empty() {
            queue.waiting = VecDeque::new();
        }
        some > 0
    }
}

/// Calls those who wait, for ever.
pub(crate) async fn keep(lobby: Rc<Lobby>) {
    loop {
        lobby.bell.notified().await;
        // Whoever is ready has a turn before the next come in.
        tokio::task::yield_now().await;
        while lobby.call_some() {
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newcomers_come_in_a_few_at_a_time_in_their_order() {
        let lobby = Lobby::default();
        lobby.queue.borrow_mut().called = u32::MAX - 3;
        let mut tickets = [Ticket::default(); 3 * AT_A_TIME];
        let enter = |tickets: &mut [Ticket]| -> Vec<bool> {
            tickets.iter_mut().map(|ticket| lobby.enter(ticket, Waker::noop())).collect()
        };
        let entered = enter(&mut tickets);
        assert_eq!(entered.iter().position(|is_in| !is_in), Some(AT_A_TIME));
        assert!(!entered[AT_A_TIME..].contains(&true));
        let waiting = &mut tickets[AT_A_TIME..];
        assert!(!enter(waiting).contains(&true), "who was not called waits on");
        assert!(lobby.call_some());
        let late = &mut Ticket::default();
        assert!(!lobby.enter(late, Waker::noop()), "who comes later waits behind them");
        let entered = enter(waiting);
        assert!(!entered[..AT_A_TIME].contains(&false) && !entered[AT_A_TIME..].contains(&true));
        assert!(lobby.call_some() && lobby.call_some() && !lobby.call_some());
        assert!(!enter(&mut waiting[AT_A_TIME..]).contains(&false));
        assert!(lobby.enter(late, Waker::noop()) && lobby.enter(late, Waker::noop()));
    }
}
