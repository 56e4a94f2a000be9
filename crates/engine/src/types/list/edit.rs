//! Changes in the middle of a list. Each touches the row where it happens; what is looked for is looked for element by element.

use std::collections::VecDeque;

use super::form::listpack_size;
use super::{List, Place};
use crate::collections::packed::Packed;

impl List {
    /// Replaces the element at `index`, -1 being the last. Says whether there is one. O(n) in rows and in bytes of one row.
    pub fn set(&mut self, index: i64, element: &[u8]) -> bool {
        let Some(index) =
            usize::try_from(self.absolute(index)).ok().filter(|index| *index < self.len)
        else {
            return false;
        };
        let place = self.seek(index);
        let (old, behind) = self.rows[place.row].after(place.position);
        let (old_len, old_size) = (old.len(), listpack_size(old));
        if old_len == element.len() {
            let row = &mut self.rows[place.row];
            row.overwrite(place.position, element);
            row.note = row.note - old_size + listpack_size(element);
            return true;
        }
        let row = &self.rows[place.row];
        // Where a row of one was, there is the next row's beginning then.
        let offset = if row.len() == 1 { 0 } else { place.position - row.begin() };
        self.take_out(place, behind, old_size);
        let begin = self.rows.get(place.row).map_or(0, Packed::begin);
        self.put_in(Place { row: place.row, position: begin + offset }, element);
        true
    }

    /// Puts an element in before or behind the first that equals `pivot`. Says whether there is one. O(n).
    pub fn insert(&mut self, pivot: &[u8], element: &[u8], is_after: bool) -> bool {
        let found = self.rows.iter().enumerate().find_map(|(row, packed)| {
            let mut position = packed.begin();
            for _ in 0..packed.len() {
                let (other, behind) = packed.after(position);
                if other == pivot {
                    let position = if is_after { behind } else { position };
                    return Some(Place { row, position });
                }
                position = behind;
            }
            None
        });
        if let Some(place) = found {
            self.put_in(place, element);
        }
        found.is_some()
    }

    /// Removes elements that equal `element`: the first `count`, the last if below zero, all if zero. Answers how many. O(n).
    pub fn remove(&mut self, element: &[u8], count: i64) -> usize {
        let mut left = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
        let size = listpack_size(element);
        let before = self.len;
        for nth in 0..self.rows.len() {
            if left == 0 {
                break;
            }
            let row = if count < 0 { self.rows.len() - 1 - nth } else { nth };
            let matches = self.count_in(row, element);
            if matches == 0 {
                continue;
            }
            let gone = matches.min(left);
            self.remove_in(row, element, gone, if count < 0 { matches - gone } else { 0 });
            self.rows[row].note -= size * gone as u32;
            left -= gone;
            self.len -= gone;
        }
        if self.len < before {
            self.tidy();
        }
        before - self.len
    }

    fn count_in(&self, row: usize, element: &[u8]) -> usize {
        let packed = &self.rows[row];
        let (mut position, mut count) = (packed.begin(), 0);
        for _ in 0..packed.len() {
            let (other, behind) = packed.after(position);
            count += usize::from(other == element);
            position = behind;
        }
        count
    }

    /// Removes `most` elements from a row, the first `spared` that equal excepted.
    fn remove_in(&mut self, row: usize, element: &[u8], most: usize, spared: usize) {
        let mut left = most + spared;
        self.change_row(row, |row| {
            row.remove_where(spared, |other| {
                let is_match = left > 0 && other == element;
                left -= usize::from(is_match);
                is_match
            });
        });
    }

    /// Keeps the elements from `start` up to and with `stop`, where -1 is the last. Answers how many went. O(n) in what goes.
    pub fn trim(&mut self, start: i64, stop: i64) -> usize {
        let before = self.len;
        let start = self.absolute(start).max(0);
        let behind = self.absolute(stop).saturating_add(1).min(before as i64);
        if start >= behind {
            *self = Self::new();
            return before;
        }
        self.cut_back(before - behind as usize);
        self.cut_front(start as usize);
        self.shrink();
        before - self.len
    }

    fn cut_front(&mut self, count: usize) {
        let mut left = count;
        while let Some(row) = self.rows.front().filter(|row| row.len() <= left) {
            left -= row.len();
            self.weight.moved(row.heap_bytes(), 0);
            self.rows.pop_front();
        }
        if left > 0 {
            self.change_row(0, |row| {
                let (from, until) = (row.begin(), row.seek(left));
                row.note -= size_between(row, from, until);
                row.remove(from, until, left);
            });
        }
        self.len -= count;
    }

    fn cut_back(&mut self, count: usize) {
        let mut left = count;
        while let Some(row) = self.rows.back().filter(|row| row.len() <= left) {
            left -= row.len();
            self.weight.moved(row.heap_bytes(), 0);
            self.rows.pop_back();
        }
        if left > 0 {
            self.change_row(self.rows.len() - 1, |row| {
                let (from, until) = (row.seek(row.len() - left), row.end());
                row.note -= size_between(row, from, until);
                row.remove(from, until, left);
            });
        }
        self.len -= count;
    }

    /// Takes out the element between a place and the position behind it. An empty row goes.
    fn take_out(&mut self, place: Place, behind: usize, size: u32) {
        self.change_row(place.row, |row| {
            row.note -= size;
            row.remove(place.position, behind, 1);
        });
        self.len -= 1;
        if self.rows[place.row].is_empty() {
            self.rows.remove(place.row);
        }
    }

    /// Puts an element in at a place: into its row if there is room, else beside it, else between its halves.
    fn put_in(&mut self, place: Place, element: &[u8]) {
        self.len += 1;
        let Place { row, position } = place;
        let Some(packed) = self.rows.get(row) else {
            return self.put_beside(row, element);
        };
        if packed.has_room_between(element.len()) {
            self.change_row(row, |row| {
                row.insert(position, element);
                row.note += listpack_size(element);
            });
        } else if position == packed.begin() {
            self.put_beside(row, element);
        } else if position == packed.end() {
            self.put_beside(row + 1, element);
        } else {
            self.split(row, position);
            self.put_beside(row + 1, element);
        }
    }

    /// Puts an element in between row `row - 1` and row `row`: into one of them if there is room, else into a row of its own.
    fn put_beside(&mut self, row: usize, element: &[u8]) {
        let has_room = |row: &Packed| row.has_room_between(element.len());
        let size = listpack_size(element);
        if row > 0 && has_room(&self.rows[row - 1]) {
            self.change_row(row - 1, |row| {
                row.insert(row.end(), element);
                row.note += size;
            });
        } else if self.rows.get(row).is_some_and(has_room) {
            self.change_row(row, |row| {
                row.insert(row.begin(), element);
                row.note += size;
            });
        } else {
            let mut packed = Packed::new();
            packed.push_back(element);
            packed.note = size;
            self.weight.moved(0, packed.heap_bytes());
            self.rows.insert(row, packed);
        }
    }

    /// Cuts a row in two.
    fn split(&mut self, row: usize, position: usize) {
        let mut rest = Packed::new();
        self.change_row(row, |packed| {
            let (count, size) = counted_before(packed, position);
            rest = packed.split_off(position, count);
            rest.note = packed.note - size;
            packed.note = size;
        });
        self.weight.moved(0, rest.heap_bytes());
        self.rows.insert(row + 1, rest);
    }

    /// Drops rows that are empty and joins neighbours that are nearly so.
    fn tidy(&mut self) {
        let mut rows: VecDeque<Packed> = VecDeque::with_capacity(self.rows.len());
        for row in std::mem::take(&mut self.rows) {
            self.weight.moved(row.heap_bytes(), 0);
            match rows.back_mut() {
                _ if row.is_empty() => {}
                Some(last) if last.would_join(&row) => last.join(&row),
                _ => rows.push_back(row),
            }
        }
        rows.iter().for_each(|row| self.weight.moved(0, row.heap_bytes()));
        self.rows = rows;
        self.shrink();
    }

    /// Changes a row and counts its bytes anew.
    fn change_row(&mut self, row: usize, with: impl FnOnce(&mut Packed)) {
        let row = &mut self.rows[row];
        let before = row.heap_bytes();
        with(row);
        self.weight.moved(before, row.heap_bytes());
    }
}

/// What the elements between two positions would take in a listpack.
fn size_between(row: &Packed, from: usize, until: usize) -> u32 {
    let (mut position, mut size) = (from, 0);
    while position < until {
        let (element, behind) = row.after(position);
        size += listpack_size(element);
        position = behind;
    }
    size
}

/// How many elements stand before a position, and what they would take in a listpack.
fn counted_before(row: &Packed, until: usize) -> (usize, u32) {
    let (mut position, mut count) = (row.begin(), 0);
    while position < until {
        position = row.after(position).1;
        count += 1;
    }
    (count, size_between(row, row.begin(), until))
}
