//! Names of fields that a connection has put aside, for many hashes that have the same: HIMPORT.

use hashbrown::HashMap;

/// What all of a connection may take, in bytes: nobody can make the server keep more by preparing and never importing.
pub const FIELDSETS_BYTES_MAX: usize = 64 << 20;

/// What a name takes beyond its bytes, about.
const EACH: usize = 32;

/// Lists of field names by name.
#[derive(Debug, Default)]
pub struct Fieldsets {
    by_name: HashMap<Box<[u8]>, Vec<Box<[u8]>>>,
    bytes: usize,
}

fn weight(name: &[u8], fields: &[Box<[u8]>]) -> usize {
    EACH + name.len() + fields.iter().map(|field| EACH + field.len()).sum::<usize>()
}

impl Fieldsets {
    /// Puts a list aside, over another one of the same name. Says whether there was room: if not, nothing was done.
    pub fn put(&mut self, name: &[u8], fields: Vec<Box<[u8]>>) -> bool {
        let old = self.by_name.get(name).map_or(0, |old| weight(name, old));
        let bytes = self.bytes - old + weight(name, &fields);
        let has_room = bytes <= FIELDSETS_BYTES_MAX;
        if has_room {
            self.by_name.insert(name.into(), fields);
            self.bytes = bytes;
        }
        has_room
    }

    /// The list of a name.
    pub fn get(&self, name: &[u8]) -> Option<&[Box<[u8]>]> {
        self.by_name.get(name).map(Vec::as_slice)
    }

    /// Forgets a list. Says whether there was one.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let Some(fields) = self.by_name.remove(name) else { return false };
        self.bytes -= weight(name, &fields);
        true
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// What they take, about, in bytes.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(names: &[&str]) -> Vec<Box<[u8]>> {
        names.iter().map(|name| name.as_bytes().into()).collect()
    }

    #[test]
    fn bytes_are_those_of_what_is_there() {
        let mut sets = Fieldsets::default();
        assert!(sets.put(b"a", fields(&["one", "two"])));
        let bytes = sets.bytes();
        assert!(sets.put(b"b", fields(&["three"])));
        assert!(sets.put(b"a", fields(&["one", "two"])));
        assert!(sets.remove(b"b"));
        assert!(!sets.remove(b"b"));
        assert_eq!((sets.len(), sets.bytes()), (1, bytes));
    }

    #[test]
    fn what_has_no_room_changes_nothing() {
        let mut sets = Fieldsets::default();
        assert!(sets.put(b"a", fields(&["one"])));
        let large = vec![vec![b'x'; FIELDSETS_BYTES_MAX].into_boxed_slice()];
        assert!(!sets.put(b"a", large));
        assert_eq!(sets.get(b"a").map(<[_]>::len), Some(1));
    }
}
