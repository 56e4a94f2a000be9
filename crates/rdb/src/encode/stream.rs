//! Streams: their blocks as they are, then what is known of the past, then who reads.

use russet_engine::types::stream::{Block, Consumer, Group, Stream, StreamId};

use super::{VERSION_7_0, VERSION_7_2};
use crate::kind;
use crate::primitives::Sink;

/// What stands for a time or a count that is not known.
const UNKNOWN: u64 = u64::MAX;

/// Writes a stream; answers which version a reader must know. What producers have said has no form.
pub(super) fn write(stream: &Stream, version: u16, sink: &mut Sink<'_>) -> u16 {
    let version = begin(stream, version, sink);
    stream.log.blocks().for_each(|(id, it)| block(id, it, sink));
    past(stream, sink);
    stream.groups.iter().for_each(|it| group(it, version, sink));
    version
}

/// Writes what stands before the blocks; answers which version a reader must know.
pub(super) fn begin(stream: &Stream, version: u16, sink: &mut Sink<'_>) -> u16 {
    let (kind, version) = if version >= VERSION_7_2 {
        (kind::STREAM_3, VERSION_7_2)
    } else {
        (kind::STREAM_2, VERSION_7_0)
    };
    sink.kind(kind);
    sink.length(stream.log.block_count() as u64);
    version
}

/// Writes a block of entries.
pub(super) fn block(id: StreamId, block: &Block, sink: &mut Sink<'_>) {
    sink.string(&bytes_of(id));
    sink.string(block.listpack());
}

/// Writes what is known of the past, and how many groups there are.
pub(super) fn past(stream: &Stream, sink: &mut Sink<'_>) {
    sink.length(stream.log.len());
    for it in [stream.log.last_id(), stream.log.first_id(), stream.log.max_deleted_id()] {
        id(it, sink);
    }
    sink.length(stream.log.entries_added());
    sink.length(stream.groups.len() as u64);
}

/// An ID as sixteen bytes that are in the order of IDs.
fn bytes_of(id: StreamId) -> [u8; 16] {
    let bytes = u128::from(id.ms) << 64 | u128::from(id.seq);
    bytes.to_be_bytes()
}

fn id(id: StreamId, sink: &mut Sink<'_>) {
    sink.length(id.ms);
    sink.length(id.seq);
}

/// Writes a group.
pub(super) fn group(group: &Group, version: u16, sink: &mut Sink<'_>) {
    sink.string(group.name());
    id(group.last_id, sink);
    sink.length(group.entries_read.unwrap_or(UNKNOWN));
    sink.length(group.pending_len() as u64);
    for (id, pending) in group.pending(StreamId::MIN, StreamId::MAX) {
        sink.raw(&bytes_of(id));
        sink.word(pending.delivered_ms);
        sink.length(pending.count);
    }
    consumers(group, version, sink);
}

/// Someone who reads, as it is written.
struct Reader<'a> {
    name: &'a [u8],
    seen_ms: u64,
    active_ms: Option<u64>,
    pending: Vec<StreamId>,
}

impl<'a> From<&'a Consumer> for Reader<'a> {
    fn from(it: &'a Consumer) -> Self {
        let pending = it.pending(StreamId::MIN, StreamId::MAX).collect();
        Self { name: &it.name, seen_ms: it.seen_ms, active_ms: it.active_ms, pending }
    }
}

/// Writes who reads. What was given back has no owner, but readers of these forms want one: it goes to the first consumer, with whom it
/// has been since 1970, so that anybody may claim it.
fn consumers(group: &Group, version: u16, sink: &mut Sink<'_>) {
    let all = group.pending(StreamId::MIN, StreamId::MAX);
    let mut free: Vec<_> = all.filter(|(_, it)| it.owner().is_none()).map(|(id, _)| id).collect();
    if group.consumer_count() == 0 && !free.is_empty() {
        sink.length(1);
        let nobody = Reader { name: b"", seen_ms: 0, active_ms: None, pending: free };
        return reader(&nobody, version, sink);
    }
    sink.length(group.consumer_count() as u64);
    for (_, consumer) in group.consumers() {
        let mut it = Reader::from(consumer);
        it.pending.append(&mut free);
        reader(&it, version, sink);
    }
}

fn reader(it: &Reader<'_>, version: u16, sink: &mut Sink<'_>) {
    sink.string(it.name);
    sink.word(it.seen_ms);
    if version >= VERSION_7_2 {
        sink.word(it.active_ms.unwrap_or(UNKNOWN));
    }
    sink.length(it.pending.len() as u64);
    it.pending.iter().for_each(|id| sink.raw(&bytes_of(*id)));
}
