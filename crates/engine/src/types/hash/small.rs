//! The small forms: one listpack of fields and values, or of fields, values and ends.
//!
//! Invariants:
//! * Two elements a field, three once any field has had an end.
//! * An end is an integer, zero for none. Those with an end stand first, the earliest end first; equal ends in the order they were set.

use super::Pair;
use crate::collections::listpack::{Element, Listpack, Position};
use crate::prefetch::prefetch;
use crate::relocate::Mover;
use crate::value::View;

/// Few fields in one buffer.
#[derive(Clone, Debug)]
pub(super) struct Small {
    list: Listpack,
    has_ends: bool,
}

/// What stands for no end.
const ENDLESS: i64 = 0;

const fn view(element: Element<'_>) -> View<'_> {
    match element {
        Element::Bytes(bytes) => View::Short(bytes),
        Element::Int(number) => View::Int(number),
    }
}

fn end_of(element: Element<'_>) -> Option<u64> {
    match element {
        Element::Int(number) if number != ENDLESS => Some(number.unsigned_abs()),
        _ => None,
    }
}

impl Small {
    pub(super) fn new() -> Self {
        Self { list: Listpack::new(), has_ends: false }
    }

    const fn width(&self) -> usize {
        if self.has_ends { 3 } else { 2 }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.list.len() / self.width()
    }

    pub(super) const fn has_ends(&self) -> bool {
        self.has_ends
    }

    #[inline]
    pub(super) fn relocate(&mut self, mover: &mut Mover) {
        self.list.relocate(mover);
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.list.heap_bytes()
    }

    pub(super) const fn list(&self) -> &Listpack {
        &self.list
    }

    #[cfg(test)]
    pub(super) fn list_bytes(&self) -> &[u8] {
        self.list.as_bytes()
    }

    #[inline]
    pub(super) fn prefetch(&self) {
        prefetch(self.list.as_bytes().as_ptr());
    }

    #[inline]
    fn find(&self, field: &[u8]) -> Option<Position> {
        self.list.find(self.list.first()?, field, self.width() - 1)
    }

    /// The element so many places behind another one, both of one field.
    #[inline]
    fn behind(&self, position: Position, places: usize) -> Position {
        let next = |position, _| self.list.next(position).expect("a field is whole");
        (0..places).fold(position, next)
    }

    /// The end of the field at `position`.
    fn end_at(&self, position: Position) -> Option<u64> {
        if !self.has_ends {
            return None;
        }
        end_of(self.list.get(self.behind(position, 2)))
    }

    #[inline]
    pub(super) fn get(&self, field: &[u8]) -> Option<View<'_>> {
        self.find(field).map(|position| view(self.list.get(self.behind(position, 1))))
    }

    pub(super) fn pair(&self, field: &[u8]) -> Option<Pair<'_>> {
        self.find(field).map(|position| self.pair_at(position))
    }

    fn pair_at(&self, position: Position) -> Pair<'_> {
        let value = view(self.list.get(self.behind(position, 1)));
        Pair { field: view(self.list.get(position)), value, expiry: self.end_at(position) }
    }

    /// Sets a field, which keeps its end or loses it. Says whether the field is new.
    pub(super) fn set(&mut self, field: &[u8], value: &[u8], keeps_expiry: bool) -> bool {
        let Some(position) = self.find(field) else {
            self.put(field, value.into(), None);
            return true;
        };
        if keeps_expiry || self.end_at(position).is_none() {
            self.list.replace(self.behind(position, 1), value);
        } else {
            self.list.remove(position, self.width());
            self.put(field, value.into(), None);
        }
        false
    }

    /// Adds a field where its end belongs.
    fn put(&mut self, field: &[u8], value: Element<'_>, end: Option<u64>) {
        if !self.has_ends {
            self.list.splice(self.list.end(), 0, &[field.into(), value]);
            return;
        }
        let position = end.map_or(self.list.end(), |end| self.first_after(end));
        let number = end.map_or(ENDLESS, |end| end as i64);
        self.list.splice(position, 0, &[field.into(), value, Element::Int(number)]);
    }

    /// The first field that ends after `end`, or never.
    fn first_after(&self, end: u64) -> Position {
        let mut place = self.list.first();
        while let Some(position) = place {
            if self.end_at(position).is_none_or(|other| other > end) {
                return position;
            }
            place = self.list.next(self.behind(position, 2));
        }
        self.list.end()
    }

    /// Changes when a field ends. Says whether there is such a field.
    pub(super) fn set_expiry(&mut self, field: &[u8], end: Option<u64>) -> bool {
        if end.is_some() {
            self.make_room_for_ends();
        }
        let Some(position) = self.find(field) else { return false };
        if !self.has_ends {
            return true;
        }
        match self.list.get(self.behind(position, 1)) {
            Element::Int(number) => self.move_to(position, field, Element::Int(number), end),
            Element::Bytes(bytes) => {
                let bytes = bytes.to_vec();
                self.move_to(position, field, Element::Bytes(&bytes), end);
            }
        }
        true
    }

    fn move_to(&mut self, position: Position, field: &[u8], value: Element<'_>, end: Option<u64>) {
        self.list.remove(position, self.width());
        self.put(field, value, end);
    }

    /// Goes from two elements a field to three.
    fn make_room_for_ends(&mut self) {
        if self.has_ends {
            return;
        }
        let mut list = Listpack::new();
        let mut elements = self.list.iter();
        while let (Some(field), Some(value)) = (elements.next(), elements.next()) {
            list.splice(list.end(), 0, &[field, value, Element::Int(ENDLESS)]);
        }
        *self = Self { list, has_ends: true };
    }

    pub(super) fn remove(&mut self, field: &[u8]) -> bool {
        let Some(position) = self.find(field) else { return false };
        self.list.remove(position, self.width());
        true
    }

    #[inline]
    pub(super) fn first_deadline(&self) -> Option<u64> {
        if self.has_ends { self.end_at(self.list.first()?) } else { None }
    }

    /// Removes the first field and gives its name.
    pub(super) fn pop_first(&mut self) -> Option<Vec<u8>> {
        let position = self.list.first()?;
        let field = match self.list.get(position) {
            Element::Bytes(bytes) => bytes.to_vec(),
            Element::Int(number) => number.to_string().into_bytes(),
        };
        self.list.remove(position, self.width());
        Some(field)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Pair<'_>> {
        let (mut elements, has_ends) = (self.list.iter(), self.has_ends);
        std::iter::from_fn(move || {
            let (field, value) = (view(elements.next()?), view(elements.next()?));
            let expiry = if has_ends { end_of(elements.next()?) } else { None };
            Some(Pair { field, value, expiry })
        })
    }

    /// The field with this number, from zero.
    pub(super) fn nth(&self, n: usize) -> Option<Pair<'_>> {
        self.list.seek((n * self.width()) as i64).map(|position| self.pair_at(position))
    }
}
