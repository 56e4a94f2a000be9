//! A list that is empty as a rule: then it takes eight bytes, where there are thousands of them.

use std::ops::Deref;

/// None, or some in a list of their own.
#[derive(Clone, Debug)]
pub(crate) struct Few<T>(Option<Box<List<T>>>);

#[derive(Clone, Debug)]
struct List<T>(Vec<T>);

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Few<T> {
    /// Adds one behind the others.
    pub(crate) fn push(&mut self, item: T) {
        self.0.get_or_insert_with(|| Box::new(List(Vec::new()))).0.push(item);
    }

    /// Keeps those of whom `stays` says so.
    pub(crate) fn retain(&mut self, stays: impl FnMut(&T) -> bool) {
        if let Some(list) = &mut self.0 {
            list.0.retain(stays);
        }
        self.0.take_if(|list| list.0.is_empty());
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.as_ref().map_or(&[], |list| &list.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_a_list_and_none_are_nothing() {
        let mut few = Few::default();
        assert!(few.is_empty() && size_of_val(&few) == 8);
        (0..3).for_each(|nth| few.push(nth));
        few.retain(|nth| *nth != 1);
        assert_eq!(*few, [0, 2]);
        few.retain(|_| false);
        assert!(few.is_empty() && few.0.is_none());
    }
}
