//! DEBUG DIGEST: all data in forty digits, the same ones that Redis gives for the same data.
//!
//! Two ways to put something into a digest: `xor`, where order does not matter, and `mix`, where it does.

use russet_dispatch::{Args, Context, Outcome, Text};
use russet_engine::double;
use russet_engine::number::{DIGITS_MAX, write_i64};
use russet_engine::types::hash::Pair;
use russet_engine::types::stream::{Stream, StreamId};
use russet_engine::{Entry, ObjectRef, Type, View};
use sha1_smol::Sha1;

use super::look;

/// Twenty bytes that sum something up.
#[derive(Clone, Copy, Debug, Default)]
struct Digest([u8; 20]);

impl Digest {
    /// Puts something in, in no order.
    fn xor(&mut self, bytes: &[u8]) {
        let other = Sha1::from(bytes).digest().bytes();
        self.0.iter_mut().zip(other).for_each(|(own, other)| *own ^= other);
    }

    /// Puts something in behind what is there.
    fn mix(&mut self, bytes: &[u8]) {
        self.xor(bytes);
        self.0 = Sha1::from(self.0).digest().bytes();
    }

    fn hex(self) -> String {
        let digits = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
        self.0.iter().flat_map(|byte| [digits(byte >> 4), digits(byte & 15)]).collect()
    }

    /// Puts a value in, with whether it ends.
    fn value(&mut self, entry: &Entry) {
        self.mix(&type_number(entry.kind()).to_be_bytes());
        match entry.view() {
            View::Short(bytes) => self.mix(bytes),
            View::Int(number) => self.mix(write_i64(number, &mut [0; DIGITS_MAX])),
            View::Chunks(chunks) => self.mix(&chunks.to_vec()),
            View::Object(object) => self.object(object),
        }
        if entry.expiry().is_some() {
            self.xor(b"!!expire!!");
        }
    }

    /// Puts a field of a hash in, with its value and whether it ends.
    fn field(&mut self, pair: Pair<'_>) {
        let mut one = Self::default();
        one.mix(&Text::from(pair.field).bytes());
        one.mix(&Text::from(pair.value).bytes());
        if pair.expiry.is_some() {
            one.xor(b"!!hexpire!!");
        }
        self.xor(&one.0);
    }

    fn object(&mut self, object: ObjectRef<'_>) {
        match object {
            ObjectRef::List(list) => list.iter().for_each(|element| self.mix(element)),
            ObjectRef::Set(set) => {
                set.iter().for_each(|member| member.with_bytes(|bytes| self.xor(bytes)));
            }
            ObjectRef::Hash(hash) => hash.iter().for_each(|pair| self.field(pair)),
            ObjectRef::SortedSet(set) => set.each(0..set.len(), |member, score| {
                let mut one = Self::default();
                one.mix(member);
                one.mix(&double::text(score));
                self.xor(&one.0);
            }),
            ObjectRef::Stream(stream) => self.stream(stream),
        }
    }

    /// The entries; what groups know is left out.
    fn stream(&mut self, stream: &Stream) {
        for entry in stream.log.range(StreamId::MIN, StreamId::MAX) {
            self.mix(format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
            for piece in entry.pieces() {
                self.mix(piece.text(&mut [0; DIGITS_MAX]));
            }
        }
    }
}

/// The numbers that Redis gives types.
const fn type_number(kind: Type) -> u32 {
    match kind {
        Type::String => 0,
        Type::List => 1,
        Type::Set => 2,
        Type::SortedSet => 3,
        Type::Hash => 4,
        Type::Stream => 6,
    }
}

pub(super) fn of_all(cx: &mut Context<'_>, _: &mut Args<'_>) -> Outcome {
    let mut total = Digest::default();
    for db in 0..cx.state.databases {
        let mut begun = false;
        for shard in 0..cx.state.keyspace.shards() {
            cx.data.visit(shard, |shard| {
                let Some(database) = shard.database(db) else { return };
                for entry in database.table().iter() {
                    if !std::mem::replace(&mut begun, true) {
                        total.mix(&db.to_be_bytes());
                    }
                    let mut one = Digest::default();
                    one.mix(entry.key());
                    one.value(entry);
                    total.xor(&one.0);
                }
            })?;
        }
    }
    cx.reply.simple(&total.hex());
    Ok(())
}

pub(super) fn of_values(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let mut digests = Vec::new();
    while let Some(key) = args.peek() {
        let of_entry = |entry: &Entry| {
            let mut digest = Digest::default();
            digest.value(entry);
            digest
        };
        digests.push(look(cx, key, of_entry)?.unwrap_or_default());
        args.next()?;
    }
    cx.reply.array(digests.len());
    for digest in digests {
        cx.reply.simple(&digest.hex());
    }
    Ok(())
}
