//! Places: sorted sets whose scores are places on earth.
//!
//! What searches stands in `geo/search.rs`.

pub mod search;

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{ACCESS, RO, RW, UPDATE, at};
use russet_dispatch::{Args, Command, Context, Error, Group, Outcome};
use russet_engine::types::geo::Place;
use russet_engine::types::sorted_set::SortedSet;
use russet_resp::{Protocol, Writer};

use crate::sorted_set::{Adding, add_pairs};

/// What every command about places has in common.
const GEO: Command = Command { group: Group::Geo, since: "3.2.0", file: file!(), ..Command::BASE };

/// The rows.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "geoadd",
        syntax: "key [NX | XX] [CH] longitude:double latitude:double member [longitude:double latitude:double member ...]",
        summary: "Adds members with their places, or moves members to other places.",
        complexity: "O(log(N)) for each member, where N is the number of members in the set",
        arity: -5,
        flags: &[Write, DenyOom],
        keys: &[at(1, RW | UPDATE)],
        history: &[("6.2.0", "Added the `CH`, `NX` and `XX` options.")],
        run: geoadd,
        ..GEO
    },
    Command {
        name: "geodist",
        syntax: "key member1 member2 [M | KM | FT | MI]",
        summary: "Tells how far two members are from each other.",
        arity: -4,
        flags: &[ReadOnly],
        keys: &[at(1, RO | ACCESS)],
        run: geodist,
        ..GEO
    },
    Command {
        name: "geohash",
        syntax: "key [member [member ...]]",
        summary: "Gives the places of members as geohashes.",
        complexity: "O(1) for each member asked for",
        arity: -2,
        flags: &[ReadOnly],
        keys: &[at(1, RO | ACCESS)],
        run: geohash,
        ..GEO
    },
    Command {
        name: "geopos",
        syntax: "key [member [member ...]]",
        summary: "Gives the places of members in degrees.",
        complexity: "O(1) for each member asked for",
        arity: -2,
        flags: &[ReadOnly],
        keys: &[at(1, RO | ACCESS)],
        run: geopos,
        ..GEO
    },
];

/// Metres in a unit of length.
fn metres(unit: &[u8]) -> Result<f64, Error> {
    let is_it = |name: &str| unit.eq_ignore_ascii_case(name.as_bytes());
    match () {
        () if is_it("m") => Ok(1.0),
        () if is_it("km") => Ok(1000.0),
        () if is_it("ft") => Ok(0.3048),
        () if is_it("mi") => Ok(1609.34),
        () => Err(Error::UnknownUnit),
    }
}

/// The next two arguments as a place.
fn place(args: &mut Args<'_>) -> Result<Place, Error> {
    let (longitude, latitude) = (args.float()?, args.float()?);
    Place::new(longitude, latitude).ok_or_else(|| {
        Error::of(format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}"))
    })
}

/// Replies with a number of degrees: seventeen decimals at most.
fn degrees(reply: &mut Writer<'_>, degrees: f64) {
    let text = format!("{degrees:.17}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match reply.protocol {
        Protocol::Resp2 => reply.bulk(text.as_bytes()),
        Protocol::Resp3 => {
            reply.raw(b",");
            reply.raw(text.as_bytes());
            reply.crlf();
        }
    }
}

/// Replies with a longitude and a latitude.
fn position(reply: &mut Writer<'_>, place: Place) {
    reply.array(2);
    degrees(reply, place.longitude);
    degrees(reply, place.latitude);
}

/// Replies with a length: four decimals, rounded as C's `llrint` does.
fn length(reply: &mut Writer<'_>, length: f64) {
    let tenths_of_thousandths = (length * 10_000.0).round_ties_even() as i64;
    let (whole, part) = (tenths_of_thousandths / 10_000, tenths_of_thousandths % 10_000);
    reply.bulk(format!("{whole}.{part:04}").as_bytes());
}

fn geoadd(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let mut options = Adding::default();
    loop {
        let place = match () {
            () if args.flag("nx") => &mut options.only_new,
            () if args.flag("xx") => &mut options.only_old,
            () if args.flag("ch") => &mut options.counts_changed,
            () => break,
        };
        *place = true;
    }
    if args.is_empty() || !args.left().is_multiple_of(3) || options.only_new && options.only_old {
        return Err(Error::Syntax.into());
    }
    let mut pairs = Vec::with_capacity(args.left() / 3);
    while !args.is_empty() {
        pairs.push((place(args)?.score(), args.next()?));
    }
    add_pairs(cx, key, &pairs, options)
}

fn place_of(set: Option<&SortedSet>, member: &[u8]) -> Option<Place> {
    Some(Place::of_score(set?.score(member)?))
}

fn geodist(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (key, one, other) = (args.key()?, args.next()?, args.next()?);
    if args.left() > 1 {
        return Err(Error::Syntax.into());
    }
    let unit = args.peek().map_or(Ok(1.0), metres)?;
    let set = cx.data.read_as::<SortedSet>(key)?;
    match (place_of(set, one), place_of(set, other)) {
        (Some(one), Some(other)) => length(&mut cx.reply, one.distance(other) / unit),
        _ => cx.reply.null(),
    }
    Ok(())
}

fn geohash(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let set = cx.data.read_as::<SortedSet>(key)?;
    cx.reply.array(args.left());
    for member in args {
        match place_of(set, member) {
            Some(place) => cx.reply.bulk(&place.geohash()),
            None => cx.reply.null(),
        }
    }
    Ok(())
}

fn geopos(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let set = cx.data.read_as::<SortedSet>(key)?;
    cx.reply.array(args.left());
    for member in args {
        match place_of(set, member) {
            Some(place) => position(&mut cx.reply, place),
            None => cx.reply.null_array(),
        }
    }
    Ok(())
}
