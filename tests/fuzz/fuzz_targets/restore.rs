//! Restore: hostile dumps are refused, or what they make is sound.
//!
//! The first byte chooses the version of the format, the second the thresholds; the rest is a type and its contents, as RESTORE finds
//! them behind a good checksum. What is accepted is written again and read again, and has to be the same size.

#![no_main]

use libfuzzer_sys::fuzz_target;
use russet_engine::types::list::ListMax;
use russet_engine::types::{hash, set, sorted_set};
use russet_engine::{ObjectRef, Seed, SmallMax, View};
use russet_rdb::{Content, Rules, Source, Style, decode, encode};

fuzz_target!(|data: &[u8]| {
    let &[version, entries, ref contents @ ..] = data else { return };
    let rules = rules(usize::from(entries));
    let version = [10, 11, 12, 80][usize::from(version % 4)];
    let Ok(content) = decode(&mut Source::new(contents), version, &rules) else { return };
    let Content::Object(object) = content else { return };
    let len = object.as_ref().len();
    for compresses in [false, true] {
        let mut again = Vec::new();
        encode(View::Object(object.as_ref()), Style { version: 12, compresses }, &mut again);
        let read = decode(&mut Source::new(&again), 12, &rules).expect("what was written is read");
        let Content::Object(read) = read else { panic!("a collection stays one") };
        assert_eq!(read.as_ref().len(), len);
        look(read.as_ref());
    }
});

fn rules(entries: usize) -> Rules {
    let (max, seed) = (SmallMax { entries, bytes: 20 }, Seed(1, 2));
    Rules {
        list: ListMax::of(-2),
        hash: hash::Rules { max, seed },
        set: set::Rules { ints: entries, max, seed },
        sorted_set: sorted_set::Rules { max, seed },
    }
}

/// Walks over everything, both ways where there are two.
fn look(object: ObjectRef<'_>) {
    let count = match object {
        ObjectRef::List(list) => list.iter().rev().count(),
        ObjectRef::Set(set) => set.iter().filter(|member| set.has(*member)).count(),
        ObjectRef::Hash(hash) => hash.iter().count(),
        ObjectRef::SortedSet(set) => {
            let mut count = 0;
            set.each_back(0..set.len(), |member, _| count += usize::from(set.rank(member).is_some()));
            count
        }
        ObjectRef::Stream(stream) => {
            let (first, last) = (stream.log.first_id(), stream.log.last_id());
            stream.log.range_back(first, last).filter(|entry| stream.log.get(entry.id).is_some()).count()
        }
    };
    assert_eq!(count, object.len());
}
