//! Blocks of streams: hostile bytes are refused, or are entries that read the same from both ends, and that can be found, deleted,
//! trimmed and added to.
//!
//! Six bytes say what is done; the rest is a block.

#![no_main]

use libfuzzer_sys::fuzz_target;
use russet_engine::SmallMax;
use russet_engine::types::stream::{Block, Log, NewId, StreamId, Trim};

fuzz_target!(|data: &[u8]| {
    let Some((&[first, seq, delete, trim, whole, add], bytes)) = data.split_first_chunk::<6>() else {
        return;
    };
    let Some(block) = Block::from_listpack(bytes.to_vec()) else { return };
    let len = block.count() as u64;
    let id = StreamId::new(u64::from(first), u64::from(seq));
    let parts = std::iter::once((id, block));
    let Some(mut log) = Log::from_parts(parts, len, StreamId::MAX) else { return };
    let ids = check(&log);
    if !ids.is_empty() {
        let id = ids[usize::from(delete) % ids.len()];
        assert!(log.get(id).is_some_and(|entry| entry.id == id));
        assert!(log.remove(id) && !log.remove(id) && log.get(id).is_none());
        check(&log);
    }
    let before = log.len();
    let trim = match ids.get(usize::from(trim)) {
        Some(id) if whole % 2 == 0 => Trim::ToId(*id),
        _ => Trim::ToLen(u64::from(trim)),
    };
    let removed = log.trim(trim, whole % 4 > 1, u64::from(whole / 4));
    assert_eq!(log.len() + removed, before);
    check(&log);
    // The greatest ID is taken: an honest log would end before it.
    log.set_last_id(StreamId::new(u64::MAX - 1, 0), None, StreamId::MIN);
    if ids.last().is_none_or(|last| *last < log.last_id())
        && let Some(id) = log.next_id(NewId::Auto, 0)
    {
        let fields = [&b"a"[..], b"1", b"name", &bytes[..bytes.len().min(usize::from(add))]];
        log.push(id, 2, 20, fields.into_iter(), SmallMax { entries: 100, bytes: 4096 });
        let entry = log.get(id).expect("just added");
        assert_eq!(entry.pieces().count(), 4);
        check(&log);
    }
});

/// The IDs, the same from both ends and as many as the log says, each entry's pieces read.
fn check(log: &Log) -> Vec<StreamId> {
    let forward: Vec<_> = log
        .range(StreamId::MIN, StreamId::MAX)
        .map(|entry| (entry.id, entry.pieces().map(|piece| piece.to_vec()).collect::<Vec<_>>()))
        .collect();
    let mut backward: Vec<_> = log
        .range_back(StreamId::MIN, StreamId::MAX)
        .map(|entry| (entry.id, entry.pieces().map(|piece| piece.to_vec()).collect::<Vec<_>>()))
        .collect();
    backward.reverse();
    assert_eq!(forward, backward);
    assert_eq!(forward.len() as u64, log.len());
    assert!(forward.is_sorted_by(|one, other| one.0 < other.0));
    assert_eq!(log.first_id(), forward.first().map_or(StreamId::MIN, |(id, _)| *id));
    forward.into_iter().map(|(id, _)| id).collect()
}
