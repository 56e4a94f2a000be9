//! Places on earth as scores of a sorted set.
//!
//! A place is a longitude and a latitude, each cut into 2^26 steps; the score is their bits by turns, 52 in all, which a double holds
//! exactly. So places that are near each other have, as a rule, scores that begin with the same bits, and all places in a square are a
//! range of scores.
//!
//! ```text
//! longitude  x25     x24     …  x0
//! latitude       y25     y24  …     y0
//! score      x25 y25 x24 y24  … x0  y0
//! ```
//!
//! A search takes the square around its centre that is about as large as what is searched, and its eight neighbours, each a range of
//! scores, and looks at every place in them. All numbers are made by the operations that Redis makes them by, so that they are its
//! numbers to the last digit.

use std::f64::consts::PI;

/// The longitude is between this and its opposite, in degrees.
pub const LONGITUDE_MAX: f64 = 180.0;

/// The latitude is between this and its opposite, in degrees: what a square map of the world shows.
pub const LATITUDE_MAX: f64 = 85.051_128_78;

/// Steps that a score tells: 2^26 in either direction.
const STEPS_MAX: u32 = 26;

/// The earth's radius in metres.
const EARTH_RADIUS: f64 = 6_372_797.560_856;

/// Half the earth's circumference on the map, in metres.
const MERCATOR_MAX: f64 = 20_037_726.37;

/// The letters of a geohash.
const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";

const DEGREE: f64 = PI / 180.0;

/// A place, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// East of Greenwich.
    pub longitude: f64,
    /// North of the equator.
    pub latitude: f64,
}

/// From one number to another.
#[derive(Clone, Copy, Debug)]
struct Extent {
    min: f64,
    max: f64,
}

const LONGITUDES: Extent = Extent { min: -LONGITUDE_MAX, max: LONGITUDE_MAX };
const LATITUDES: Extent = Extent { min: -LATITUDE_MAX, max: LATITUDE_MAX };

impl Extent {
    /// In which of 2^steps equal parts a number lies.
    fn part(self, number: f64, steps: u32) -> u32 {
        let offset = (number - self.min) / (self.max - self.min);
        (offset * (1_u64 << steps) as f64) as u32
    }

    /// One of 2^steps equal parts.
    fn of_part(self, part: u32, steps: u32) -> Self {
        let (scale, parts) = (self.max - self.min, (1_u64 << steps) as f64);
        let at = |part: u32| self.min + (f64::from(part) / parts) * scale;
        Self { min: at(part), max: at(part.wrapping_add(1)) }
    }

    /// Its middle, not beyond what may be.
    fn middle(self, bound: f64) -> f64 {
        f64::midpoint(self.min, self.max).clamp(-bound, bound)
    }
}

/// Every second bit.
const EVEN: u64 = 0x5555_5555_5555_5555;

/// Moves the bits of a number apart.
const fn spread(number: u32) -> u64 {
    let mut bits = number as u64;
    bits = (bits | bits << 16) & 0x0000_ffff_0000_ffff;
    bits = (bits | bits << 8) & 0x00ff_00ff_00ff_00ff;
    bits = (bits | bits << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    bits = (bits | bits << 2) & 0x3333_3333_3333_3333;
    (bits | bits << 1) & EVEN
}

/// Moves every second bit together again.
const fn gather(bits: u64) -> u32 {
    let mut bits = bits & EVEN;
    bits = (bits | bits >> 1) & 0x3333_3333_3333_3333;
    bits = (bits | bits >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
    bits = (bits | bits >> 4) & 0x00ff_00ff_00ff_00ff;
    bits = (bits | bits >> 8) & 0x0000_ffff_0000_ffff;
    (bits | bits >> 16) as u32
}

/// The bits that a score stands for. What is no score of a place comes to what a processor makes of it for Redis: below 2^63 numbers
/// turn around, beyond that what does not fit is nothing.
fn bits_of(score: f64) -> u64 {
    const HALF: f64 = (1_u64 << 63) as f64;
    let signed = |number: f64| {
        if (-HALF..HALF).contains(&number) { number as i64 as u64 } else { 1 << 63 }
    };
    if score < HALF { signed(score) } else { signed(score - HALF) ^ 1 << 63 }
}

impl Place {
    /// A place, if it is on the map.
    pub fn new(longitude: f64, latitude: f64) -> Option<Self> {
        let is_on_map = longitude.abs() <= LONGITUDE_MAX && latitude.abs() <= LATITUDE_MAX;
        is_on_map.then_some(Self { longitude, latitude })
    }

    /// The score of a place.
    pub fn score(self) -> f64 {
        Square::around(self, STEPS_MAX).bits as f64
    }

    /// The middle of what has this score.
    pub fn of_score(score: f64) -> Self {
        let square = Square { bits: bits_of(score), steps: STEPS_MAX };
        let (longitudes, latitudes) = square.extents();
        Self {
            longitude: longitudes.middle(LONGITUDE_MAX),
            latitude: latitudes.middle(LATITUDE_MAX),
        }
    }

    /// Eleven letters that other programs take for a place. (They tell 52 bits; the last says nothing.)
    pub fn geohash(self) -> [u8; 11] {
        let latitudes = Extent { min: -90.0, max: 90.0 };
        let (x, y) =
            (LONGITUDES.part(self.longitude, STEPS_MAX), latitudes.part(self.latitude, STEPS_MAX));
        let bits = spread(x) << 1 | spread(y);
        std::array::from_fn(|at| match at {
            10 => ALPHABET[0],
            _ => ALPHABET[(bits >> (52 - (at + 1) * 5)) as usize & 31],
        })
    }

    /// Metres between two places, along the surface.
    pub fn distance(self, other: Self) -> f64 {
        let (one, two) = (self.longitude * DEGREE, other.longitude * DEGREE);
        let v = ((two - one) / 2.0).sin();
        if v == 0.0 {
            return self.distance_north(other);
        }
        let (one, two) = (self.latitude * DEGREE, other.latitude * DEGREE);
        let u = ((two - one) / 2.0).sin();
        let a = u * u + one.cos() * two.cos() * v * v;
        2.0 * EARTH_RADIUS * a.sqrt().asin()
    }

    /// Metres between the latitudes of two places.
    fn distance_north(self, other: Self) -> f64 {
        EARTH_RADIUS * (other.latitude * DEGREE - self.latitude * DEGREE).abs()
    }
}

/// One of 2^steps by 2^steps parts of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Square {
    bits: u64,
    steps: u32,
}

impl Square {
    fn around(place: Place, steps: u32) -> Self {
        let x = LONGITUDES.part(place.longitude, steps);
        let y = LATITUDES.part(place.latitude, steps);
        Self { bits: spread(x) << 1 | spread(y), steps }
    }

    /// Its longitudes and latitudes.
    fn extents(self) -> (Extent, Extent) {
        (
            LONGITUDES.of_part(gather(self.bits >> 1), self.steps),
            LATITUDES.of_part(gather(self.bits), self.steps),
        )
    }

    /// So many squares to the east and to the north, around the map where it ends. (The northern edge of the map lies in a square
    /// beyond it, and stays there unless the step is to north or south.)
    fn neighbour(self, east: i32, north: i32) -> Self {
        let mask = ((1_u64 << self.steps) - 1) as u32;
        let step = |part: u32, by: i32| match by {
            0 => part,
            _ => part.wrapping_add_signed(by) & mask,
        };
        let (x, y) = (step(gather(self.bits >> 1), east), step(gather(self.bits), north));
        Self { bits: spread(x) << 1 | spread(y), ..self }
    }

    /// The first score in it and the first behind it.
    fn scores(self) -> (f64, f64) {
        let align = |bits: u64| (bits << (2 * (STEPS_MAX - self.steps))) as f64;
        (align(self.bits), align(self.bits + 1))
    }
}

/// What is searched, in metres around a centre, or between corners.
#[derive(Clone, Debug)]
pub enum Shape {
    /// All that is no farther away.
    Circle(f64),
    /// A box of this width and height.
    Box(f64, f64),
    /// What is inside of these corners.
    Polygon(Vec<Place>),
}

/// A search for places.
#[derive(Clone, Debug)]
pub struct Search {
    centre: Place,
    shape: Shape,
    longitudes: Extent,
    latitudes: Extent,
}

/// East and north of the squares that a search looks at, in its order.
const AROUND: [(i32, i32); 9] =
    [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];

impl Search {
    /// A search around a centre, which a polygon brings itself: the middle of its corners.
    pub fn new(centre: Place, shape: Shape) -> Self {
        let (width, height) = match &shape {
            Shape::Polygon(corners) => return Self::within(corners.clone()),
            Shape::Circle(radius) => (*radius, *radius),
            Shape::Box(width, height) => (width / 2.0, height / 2.0),
        };
        let north = height / EARTH_RADIUS / DEGREE;
        let east_at = |latitude: f64| width / EARTH_RADIUS / (latitude * DEGREE).cos() / DEGREE;
        // The side that is nearer to a pole spans more degrees.
        let edge = if centre.latitude < 0.0 { -north } else { north };
        let east = east_at(centre.latitude + edge);
        let longitudes = Extent { min: centre.longitude - east, max: centre.longitude + east };
        let latitudes = Extent { min: centre.latitude - north, max: centre.latitude + north };
        Self { centre, shape, longitudes, latitudes }
    }

    fn within(corners: Vec<Place>) -> Self {
        let extent = |of: fn(&Place) -> f64| {
            let widen = |extent: Extent, number: f64| Extent {
                min: extent.min.min(number),
                max: extent.max.max(number),
            };
            let nothing = Extent { min: f64::INFINITY, max: f64::NEG_INFINITY };
            corners.iter().map(of).fold(nothing, widen)
        };
        let (longitudes, latitudes) = (extent(|c| c.longitude), extent(|c| c.latitude));
        Self { centre: middle_of(&corners), shape: Shape::Polygon(corners), longitudes, latitudes }
    }

    /// Metres from the centre to the farthest that is searched.
    fn reach(&self) -> f64 {
        match &self.shape {
            Shape::Circle(radius) => *radius,
            Shape::Box(width, height) => (width / 2.0).hypot(height / 2.0),
            Shape::Polygon(_) => {
                let far = |longitude, latitude| self.centre.distance(Place { longitude, latitude });
                let (x, y) = (self.longitudes, self.latitudes);
                [far(x.min, y.max), far(x.max, y.max), far(x.min, y.min), far(x.max, y.min)]
                    .into_iter()
                    .fold(0.0, f64::max)
            }
        }
    }

    /// Ranges of scores that together have all that is searched: the first score, and the first behind.
    pub fn scores(&self) -> Vec<(f64, f64)> {
        let steps = steps_for(self.reach(), self.centre.latitude);
        let mut square = Square::around(self.centre, steps);
        if steps > 1 && !self.is_covered_from(square) {
            square = Square::around(self.centre, steps - 1);
        }
        let mut squares = Vec::with_capacity(AROUND.len());
        for (east, north) in AROUND {
            let next = square.neighbour(east, north);
            if self.needs(square, east, north) && !squares.contains(&next) {
                squares.push(next);
            }
        }
        squares.into_iter().map(Square::scores).collect()
    }

    /// Whether a square and its neighbours have all that is searched.
    fn is_covered_from(&self, square: Square) -> bool {
        let beyond = |east, north| square.neighbour(east, north).extents();
        beyond(0, 1).1.max >= self.latitudes.max
            && beyond(0, -1).1.min <= self.latitudes.min
            && beyond(1, 0).0.max >= self.longitudes.max
            && beyond(-1, 0).0.min <= self.longitudes.min
    }

    /// Whether what is searched may reach into a neighbour of a square.
    fn needs(&self, square: Square, east: i32, north: i32) -> bool {
        let (longitudes, latitudes) = square.extents();
        square.steps < 2
            || !(north < 0 && latitudes.min < self.latitudes.min
                || north > 0 && latitudes.max > self.latitudes.max
                || east < 0 && longitudes.min < self.longitudes.min
                || east > 0 && longitudes.max > self.longitudes.max)
    }

    /// Metres from the centre to a place, if it is in what is searched.
    pub fn distance(&self, place: Place) -> Option<f64> {
        let centre = self.centre;
        match &self.shape {
            Shape::Circle(radius) => Some(centre.distance(place)).filter(|far| *far <= *radius),
            Shape::Box(width, height) => {
                let level = Place { longitude: centre.longitude, latitude: place.latitude };
                let is_inside = place.distance_north(centre) <= height / 2.0
                    && place.distance(level) <= width / 2.0;
                is_inside.then(|| centre.distance(place))
            }
            Shape::Polygon(corners) => is_within(corners, place).then(|| centre.distance(place)),
        }
    }
}

/// The square for a search that reaches so many metres far has sides of about 2^-steps of the map.
fn steps_for(reach: f64, latitude: f64) -> u32 {
    if reach == 0.0 {
        return STEPS_MAX;
    }
    let (mut reach, mut steps) = (reach, 1_i32);
    while reach < MERCATOR_MAX {
        reach *= 2.0;
        steps += 1;
    }
    // Room to spare, and more towards the poles, where a degree is short.
    steps -= 2 + i32::from(latitude.abs() > 66.0) + i32::from(latitude.abs() > 80.0);
    steps.clamp(1, STEPS_MAX as i32) as u32
}

/// The middle of some places, on the surface.
fn middle_of(places: &[Place]) -> Place {
    let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
    for place in places {
        let (longitude, latitude) = (place.longitude * DEGREE, place.latitude * DEGREE);
        x += EARTH_RADIUS * latitude.cos() * longitude.cos();
        y += EARTH_RADIUS * latitude.cos() * longitude.sin();
        z += EARTH_RADIUS * latitude.sin();
    }
    let count = places.len() as f64;
    let (x, y, z) = (x / count, y / count, z / count);
    Place { longitude: y.atan2(x) / DEGREE, latitude: z.atan2((x * x + y * y).sqrt()) / DEGREE }
}

/// Whether a line from a place to the east crosses the outline an odd number of times.
fn is_within(corners: &[Place], place: Place) -> bool {
    let Some(last) = corners.last() else { return false };
    let (mut is_within, mut before) = (false, last);
    for corner in corners {
        let crosses = (corner.latitude > place.latitude) != (before.latitude > place.latitude);
        let slope = (before.longitude - corner.longitude) * (place.latitude - corner.latitude)
            / (before.latitude - corner.latitude);
        is_within ^= crosses && place.longitude < slope + corner.longitude;
        before = corner;
    }
    is_within
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "just these numbers")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PALERMO: Place = Place { longitude: 13.361_389, latitude: 38.115_556 };
    const CATANIA: Place = Place { longitude: 15.087_269, latitude: 37.502_669 };

    #[test]
    fn scores_distances_and_geohashes_are_those_of_redis() {
        assert_eq!(PALERMO.score(), 3_479_099_956_230_698.0);
        assert_eq!(CATANIA.score(), 3_479_447_370_796_909.0);
        let (palermo, catania) =
            (Place::of_score(PALERMO.score()), Place::of_score(CATANIA.score()));
        assert_eq!(palermo.longitude, 13.361_389_338_970_184);
        assert_eq!(format!("{:.4}", palermo.distance(catania)), "166274.1516");
        assert_eq!(&palermo.geohash(), b"sqc8b49rny0");
        assert_eq!(&catania.geohash(), b"sqdtr74hyu0");
    }

    #[test]
    fn a_triangle_has_an_inside() {
        let corner = |longitude, latitude| Place { longitude, latitude };
        let triangle = vec![corner(0.0, 0.0), corner(10.0, 0.0), corner(5.0, 10.0)];
        let search = Search::new(PALERMO, Shape::Polygon(triangle));
        assert!(search.distance(corner(5.0, 5.0)).is_some());
        assert!(search.distance(corner(1.0, 9.0)).is_none());
    }

    proptest! {
        #[test]
        fn a_score_gives_its_place_again(longitude in -180.0f64..180.0, latitude in -85.0f64..85.0) {
            let place = Place { longitude, latitude };
            let again = Place::of_score(place.score());
            prop_assert!((again.longitude - longitude).abs() < 1e-5);
            prop_assert!((again.latitude - latitude).abs() < 1e-5);
        }

        #[test]
        fn all_that_is_inside_has_a_score_that_is_searched(
            longitude in -170.0f64..170.0, latitude in -70.0f64..70.0,
            east in -3.0f64..3.0, north in -3.0f64..3.0, radius in 1.0f64..500_000.0,
        ) {
            let search = Search::new(Place { longitude, latitude }, Shape::Circle(radius));
            let place = Place { longitude: longitude + east, latitude: latitude + north };
            if search.distance(place).is_some() {
                let score = place.score();
                prop_assert!(search.scores().iter().any(|(from, until)| (*from..*until).contains(&score)));
            }
        }
    }
}
