//! Searching for places near a place.
//!
//! GEORADIUS and kin are the older words for what GEOSEARCH says; all read the same options, of which each takes its part.

use std::cmp::Ordering;

use russet_dispatch::command::Flag::*;
use russet_dispatch::keys::{ACCESS, Begin, Find, KeySpec, OW, RO, UPDATE, at};
use russet_dispatch::{Args, Class, Command, Context, Error, Key, Outcome, Stop};
use russet_engine::Collection;
use russet_engine::types::geo::{Place, Search, Shape};
use russet_engine::types::sorted_set::{Bounds, ScoreBound, SortedSet};
use russet_resp::Writer;

use super::{GEO, length, metres, place, position};
use crate::sorted_set::{is_elsewhere, rules};

/// The rows.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "georadius",
        syntax: "key longitude:double latitude:double radius:double <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count:int [ANY]] [ASC | DESC] [STORE key | STOREDIST key]",
        summary: "Gives or stores the members within a distance of a place.",
        arity: -6,
        flags: &[Write, DenyOom, MovableKeys],
        keys: &[at(1, RO | ACCESS), stored_behind("STORE", 6), stored_behind("STOREDIST", 6)],
        deprecated: Some((
            "6.2.0",
            "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument",
        )),
        run: georadius,
        ..RADIUS
    },
    Command {
        name: "georadius_ro",
        syntax: "key longitude:double latitude:double radius:double <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count:int [ANY]] [ASC | DESC]",
        summary: "Gives the members within a distance of a place.",
        since: "3.2.10",
        arity: -6,
        flags: &[ReadOnly],
        keys: &[at(1, RO | ACCESS)],
        deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument")),
        run: georadius_ro,
        ..RADIUS
    },
    Command {
        name: "georadiusbymember",
        syntax: "key member radius:double <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count:int [ANY]] [ASC | DESC] [STORE key | STOREDIST key]",
        summary: "Gives or stores the members within a distance of a member.",
        arity: -5,
        flags: &[Write, DenyOom, MovableKeys],
        keys: &[at(1, RO | ACCESS), stored_behind("STORE", 5), stored_behind("STOREDIST", 5)],
        deprecated: Some((
            "6.2.0",
            "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
        )),
        run: georadiusbymember,
        ..RADIUS
    },
    Command {
        name: "georadiusbymember_ro",
        syntax: "key member radius:double <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count:int [ANY]] [ASC | DESC]",
        summary: "Gives the members within a distance of a member.",
        since: "3.2.10",
        arity: -5,
        flags: &[ReadOnly],
        keys: &[at(1, RO | ACCESS)],
        deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments")),
        run: georadiusbymember_ro,
        ..RADIUS
    },
    Command {
        name: "geosearch",
        syntax: "key [FROMMEMBER member | FROMLONLAT longitude:double latitude:double] <BYRADIUS radius:double <M | KM | FT | MI> | BYBOX width:double height:double <M | KM | FT | MI> | BYPOLYGON num-vertices:int longitude:double latitude:double [longitude:double latitude:double ...]> [ASC | DESC] [COUNT count:int [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]",
        summary: "Gives the members within a circle, a box or a polygon.",
        arity: -7,
        flags: &[ReadOnly],
        keys: &[at(1, RO | ACCESS)],
        run: geosearch,
        ..SEARCH
    },
    Command {
        name: "geosearchstore",
        syntax: "destination source [FROMMEMBER member | FROMLONLAT longitude:double latitude:double] <BYRADIUS radius:double <M | KM | FT | MI> | BYBOX width:double height:double <M | KM | FT | MI> | BYPOLYGON num-vertices:int longitude:double latitude:double [longitude:double latitude:double ...]> [ASC | DESC] [COUNT count:int [ANY]] [STOREDIST]",
        summary: "Stores the members within a circle, a box or a polygon.",
        arity: -8,
        flags: &[Write, DenyOom],
        keys: &[at(1, OW | UPDATE), at(2, RO | ACCESS)],
        run: geosearchstore,
        ..SEARCH
    },
];

/// What GEOSEARCH and GEOSEARCHSTORE have in common.
const SEARCH: Command = Command {
    complexity: "O(N+log(M)) where N is the number of members in the squares that cover what is searched and M that of members in the set",
    since: "6.2.0",
    history: &[
        ("7.0.0", "Added support for uppercase unit names."),
        ("9.0.0", "Added `BYPOLYGON`."),
    ],
    file: file!(),
    ..GEO
};

/// What GEORADIUS and its kin have in common.
const RADIUS: Command = Command {
    since: "3.2.0",
    history: &[
        ("6.2.0", "Added the `ANY` option for `COUNT`."),
        ("7.0.0", "Added support for uppercase unit names."),
    ],
    ..SEARCH
};

/// A key behind a word.
const fn stored_behind(word: &'static str, from: i32) -> KeySpec {
    let find = Find::Range { last: 0, step: 1, limit: 0 };
    KeySpec { begin: Begin::Keyword(word, from), find, access: OW | UPDATE }
}

/// Which command reads the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// GEORADIUS and GEORADIUSBYMEMBER.
    Radius,
    /// Those that only read.
    RadiusReadOnly,
    /// GEOSEARCH.
    Search,
    /// GEOSEARCHSTORE.
    Store,
}

impl Form {
    const fn is_search(self) -> bool {
        matches!(self, Self::Search | Self::Store)
    }
}

/// Where places are to be searched from. A member whose set is not there has no place.
type Centre = Option<Place>;

/// What is asked for.
#[derive(Debug, Default)]
struct Query<'a> {
    /// Said, and where that is.
    centre: Option<Centre>,
    /// Whether it is said in degrees.
    is_in_degrees: bool,
    /// The shape in metres, and metres in its unit.
    shape: Option<(Shape, f64)>,
    with_distance: bool,
    with_score: bool,
    with_place: bool,
    order: Option<Ordering>,
    /// None for all.
    count: usize,
    is_any: bool,
    /// Where the answer is stored.
    target: Option<Key<'a>>,
    stores_distance: bool,
}

impl<'a> Query<'a> {
    fn read(
        &mut self,
        args: &mut Args<'a>,
        set: Option<&SortedSet>,
        form: Form,
    ) -> Result<(), Error> {
        while let Some(word) = args.peek() {
            args.next()?;
            let left = args.left();
            match word.to_ascii_lowercase().as_slice() {
                b"withdist" => self.with_distance = true,
                b"withhash" => self.with_score = true,
                b"withcoord" => self.with_place = true,
                b"any" => self.is_any = true,
                b"asc" => self.order = Some(Ordering::Less),
                b"desc" => self.order = Some(Ordering::Greater),
                b"count" if left > 0 => self.count = count(args)?,
                b"store" if left > 0 && form == Form::Radius => {
                    (self.target, self.stores_distance) = (Some(args.key()?), false);
                }
                b"storedist" if left > 0 && form == Form::Radius => {
                    (self.target, self.stores_distance) = (Some(args.key()?), true);
                }
                b"storedist" if form == Form::Store => self.stores_distance = true,
                word if form.is_search() => self.read_search(word, args, set)?,
                _ => return Err(Error::Syntax),
            }
        }
        Ok(())
    }

    /// The words that say where GEOSEARCH searches.
    fn read_search(
        &mut self,
        word: &[u8],
        args: &mut Args<'a>,
        set: Option<&SortedSet>,
    ) -> Result<(), Error> {
        let left = args.left();
        let is_polygon = matches!(self.shape, Some((Shape::Polygon(_), _)));
        match word {
            b"frommember" if left > 0 && !self.is_in_degrees && !is_polygon => {
                self.centre = Some(of_member(set, args.next()?)?);
            }
            b"fromlonlat"
                if left > 1 && (self.centre.is_none() || self.is_in_degrees) && !is_polygon =>
            {
                (self.centre, self.is_in_degrees) = (Some(Some(place(args)?)), true);
            }
            b"byradius"
                if left > 1
                    && !matches!(self.shape, Some((Shape::Box(..) | Shape::Polygon(_), _))) =>
            {
                self.shape = Some(circle(args)?);
            }
            b"bybox"
                if left > 2
                    && !matches!(self.shape, Some((Shape::Circle(_) | Shape::Polygon(_), _))) =>
            {
                self.shape = Some(rectangle(args)?);
            }
            b"bypolygon" if left > 1 && self.shape.is_none() && self.centre.is_none() => {
                self.shape = Some(polygon(args)?);
            }
            _ => return Err(Error::Syntax),
        }
        Ok(())
    }

    /// Whether what is asked for goes together.
    fn check(&self, form: Form, command: &[u8]) -> Result<(), Error> {
        let command = || String::from_utf8_lossy(command);
        if self.target.is_some() && (self.with_distance || self.with_score || self.with_place) {
            let what =
                if form == Form::Store { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            return Err(Error::of(format!(
                "ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        let is_polygon = matches!(self.shape, Some((Shape::Polygon(_), _)));
        if form.is_search() && self.centre.is_none() && !is_polygon {
            return Err(Error::of(format!(
                "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {}",
                command()
            )));
        }
        if form.is_search() && self.shape.is_none() {
            return Err(Error::of(format!(
                "ERR exactly one of BYRADIUS and BYBOX can be specified for {}",
                command()
            )));
        }
        if self.is_any && self.count == 0 {
            return Err(Error::AnyWithoutCount);
        }
        Ok(())
    }

    /// All that is found, in the order in which it is to be shown.
    fn find(&self, set: &SortedSet, search: &Search) -> Vec<Found> {
        let mut found = Vec::new();
        let limit = if self.is_any { self.count } else { usize::MAX };
        for range in search.scores() {
            find_in(set, range, search, limit, &mut found);
        }
        // The nearest are wanted where only some are.
        let is_some = self.count != 0 && !self.is_any;
        if let Some(order) = self.order.or(is_some.then_some(Ordering::Less)) {
            found.sort_by(|one, other| {
                let ascending = one.distance.total_cmp(&other.distance);
                if order == Ordering::Less { ascending } else { ascending.reverse() }
            });
        }
        if self.count != 0 {
            found.truncate(self.count);
        }
        found
    }

    fn show(&self, reply: &mut Writer<'_>, found: &Found, unit: f64) {
        let extras = [self.with_distance, self.with_score, self.with_place];
        let extras = extras.into_iter().filter(|is_wanted| *is_wanted).count();
        if extras > 0 {
            reply.array(extras + 1);
        }
        reply.bulk(&found.name);
        if self.with_distance {
            length(reply, found.distance / unit);
        }
        if self.with_score {
            reply.integer(found.score as i64);
        }
        if self.with_place {
            position(reply, found.place);
        }
    }
}

/// A member that was found.
#[derive(Debug)]
struct Found {
    name: Vec<u8>,
    score: f64,
    place: Place,
    distance: f64,
}

/// Adds what is found in a range of scores, until there are so many.
fn find_in(
    set: &SortedSet,
    (from, until): (f64, f64),
    search: &Search,
    limit: usize,
    found: &mut Vec<Found>,
) {
    let (min, max) = (
        ScoreBound { score: from, is_exclusive: false },
        ScoreBound { score: until, is_exclusive: true },
    );
    set.each_while(set.positions(Bounds::Scores(min, max)), |name, score| {
        let place = Place::of_score(score);
        if found.len() < limit
            && let Some(distance) = search.distance(place)
        {
            found.push(Found { name: name.to_vec(), score, place, distance });
        }
        found.len() < limit
    });
}

fn count(args: &mut Args<'_>) -> Result<usize, Error> {
    let count = args.int()?;
    usize::try_from(count).ok().filter(|count| *count > 0).ok_or(Error::PlacesNotPositive)
}

/// The place of a member; none where there is no set, which is no error yet.
fn of_member(set: Option<&SortedSet>, member: &[u8]) -> Result<Centre, Error> {
    let Some(set) = set else { return Ok(None) };
    let score = set.score(member).ok_or(Error::NoSuchPlace)?;
    Ok(Some(Place::of_score(score)))
}

fn circle(args: &mut Args<'_>) -> Result<(Shape, f64), Error> {
    let radius = args.float().map_err(|_| Error::RadiusNotFloat)?;
    if radius < 0.0 {
        return Err(Error::RadiusNegative);
    }
    let unit = metres(args.next()?)?;
    Ok((Shape::Circle(radius * unit), unit))
}

fn rectangle(args: &mut Args<'_>) -> Result<(Shape, f64), Error> {
    let width = args.float().map_err(|_| Error::WidthNotFloat)?;
    let height = args.float().map_err(|_| Error::HeightNotFloat)?;
    if width < 0.0 || height < 0.0 {
        return Err(Error::BoxNegative);
    }
    let unit = metres(args.next()?)?;
    Ok((Shape::Box(width * unit, height * unit), unit))
}

fn polygon(args: &mut Args<'_>) -> Result<(Shape, f64), Error> {
    let corners = args.int().map_err(|_| Error::CornersNotInteger)?;
    let corners = usize::try_from(corners).ok().filter(|corners| *corners >= 3);
    let corners = corners.filter(|corners| *corners <= args.left() / 2);
    let corners = corners.ok_or(Error::CornersMissing)?;
    let corners = (0..corners).map(|_| place(args)).collect::<Result<_, _>>()?;
    Ok((Shape::Polygon(corners), 1.0))
}

fn georadius(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    radius(cx, args, Form::Radius, false)
}

fn georadius_ro(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    radius(cx, args, Form::RadiusReadOnly, false)
}

fn georadiusbymember(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    radius(cx, args, Form::Radius, true)
}

fn georadiusbymember_ro(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    radius(cx, args, Form::RadiusReadOnly, true)
}

fn radius(cx: &mut Context<'_>, args: &mut Args<'_>, form: Form, by_member: bool) -> Outcome {
    let source = args.key()?;
    let set = cx.data.read_as::<SortedSet>(source)?;
    let mut query = Query::default();
    if by_member {
        query.centre = Some(of_member(set, args.next()?)?);
    } else {
        query.centre = Some(Some(place(args)?));
    }
    if by_member && set.is_none() {
        // Redis does not look at the radius then.
        args.next()?;
        args.next()?;
    } else {
        query.shape = Some(circle(args)?);
    }
    query.read(args, set, form)?;
    query.check(form, args.word(0))?;
    answer(cx, source, &query)
}

fn geosearch(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    search(cx, args, Form::Search)
}

fn geosearchstore(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    search(cx, args, Form::Store)
}

fn search(cx: &mut Context<'_>, args: &mut Args<'_>, form: Form) -> Outcome {
    let target = if form == Form::Store { Some(args.key()?) } else { None };
    let source = args.key()?;
    let set = cx.data.read_as::<SortedSet>(source)?;
    let mut query = Query { target, ..Query::default() };
    query.read(args, set, form)?;
    query.check(form, args.word(0))?;
    answer(cx, source, &query)
}

/// Searches, and replies or stores.
fn answer(cx: &mut Context<'_>, source: Key<'_>, query: &Query<'_>) -> Outcome {
    let set = cx.data.again(source).and_then(|entry| SortedSet::of(entry.object()?));
    let (mut found, mut unit) = (Vec::new(), 1.0);
    if let (Some(set), Some((shape, metres))) = (set, &query.shape) {
        if is_elsewhere(cx, set.len()) {
            return Err(Stop::Elsewhere);
        }
        let middle = Place { longitude: 0.0, latitude: 0.0 };
        let centre = query.centre.flatten().unwrap_or(middle);
        found = query.find(set, &Search::new(centre, shape.clone()));
        unit = *metres;
    }
    match query.target {
        Some(target) => {
            store(cx, target, &found, query.stores_distance, unit);
            if !found.is_empty() {
                let is_search = cx.row.command.name == "geosearchstore";
                let event = if is_search { "geosearchstore" } else { "georadiusstore" };
                cx.data.notify(Class::SortedSet, event, target);
            }
        }
        None => {
            cx.reply.array(found.len());
            found.iter().for_each(|found| query.show(&mut cx.reply, found, unit));
        }
    }
    Ok(())
}

fn store(cx: &mut Context<'_>, target: Key<'_>, found: &[Found], by_distance: bool, unit: f64) {
    let (mut stored, rules) = (SortedSet::new(), rules(cx));
    for found in found {
        let score = if by_distance { found.distance / unit } else { found.score };
        stored.set(score, &found.name, rules);
    }
    if cx.data.put(target, stored) {
        cx.data.count_as(found.len().max(1));
    }
    cx.reply.integer(found.len() as i64);
}
