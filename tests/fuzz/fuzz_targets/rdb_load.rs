//! Loading: a hostile file is refused, or what it holds is sound.
//!
//! The first byte says whether the checksum is looked at, which it is not as a rule: few inputs would get past it. Records are shown by the
//! reader, which only finds their ends, and decoded; the two must agree where a record ends.

#![no_main]

use libfuzzer_sys::fuzz_target;
use russet_engine::types::list::ListMax;
use russet_engine::types::{hash, set, sorted_set};
use russet_engine::{Seed, SmallMax, View};
use russet_rdb::read::{Item, Reader};
use russet_rdb::{Content, Rules, Source, decode, file};

fuzz_target!(|data: &[u8]| {
    let &[how, ref bytes @ ..] = data else { return };
    let rules = rules();
    let Ok(mut reader) = Reader::new(bytes, Some(bytes.len() as u64), how & 1 == 1) else { return };
    let mut out = Vec::new();
    loop {
        out.clear();
        match reader.next(&mut out) {
            Err(_) | Ok(Item::End { .. }) => break,
            Ok(Item::Record(record)) => {
                assert!(out.len() <= bytes.len() * 300 + 64, "more was made than was there");
                let mut source = Source::new(&out[record.value.clone()]);
                let Ok(content) = decode(&mut source, reader.version(), &rules) else { continue };
                assert_eq!(source.left(), 0, "reader and decoder disagree about the end");
                again(&out[record.name.clone()], &content, &rules);
            }
            Ok(_) => {}
        }
    }
    assert!(reader.offset() <= bytes.len() as u64);
});

/// Writes a record as a file of its own and reads it back.
fn again(name: &[u8], content: &Content<'_>, rules: &Rules) {
    let Content::Object(object) = content else { return };
    let mut written = Vec::new();
    file::begin(file::VERSION_MAX, &mut written);
    file::record(name, View::Object(object.as_ref()), file::VERSION_MAX, None, &mut written);
    file::end(&mut written);
    written.extend_from_slice(&[0; 8]);
    let mut reader = Reader::new(&written[..], Some(written.len() as u64), true).expect("a file");
    let mut out = Vec::new();
    let Ok(Item::Record(record)) = reader.next(&mut out) else { panic!("a record was written") };
    assert_eq!(&out[record.name.clone()], name);
    let read = decode(&mut Source::new(&out[record.value]), file::VERSION_MAX, rules);
    let Ok(Content::Object(read)) = read else { panic!("a collection was written") };
    assert_eq!(read.as_ref().len(), object.as_ref().len());
    assert!(matches!(reader.next(&mut Vec::new()), Ok(Item::End { .. })));
}

fn rules() -> Rules {
    let (max, seed) = (SmallMax { entries: 16, bytes: 20 }, Seed(1, 2));
    Rules {
        list: ListMax::of(-2),
        hash: hash::Rules { max, seed },
        set: set::Rules { ints: 16, max, seed },
        sorted_set: sorted_set::Rules { max, seed },
    }
}
