//! What stands behind the value: under which condition it is set, and how long it stays.
//!
//! SET, GETEX, MSETEX and INCREX share these words, each takes some of them. Redis checks syntax first, numbers later, so a time is
//! kept as it was written until [`Life::settle`].

use russet_dispatch::context::{Data, Text};
use russet_dispatch::{Args, Class, Error, Key};
use russet_engine::number::{DIGITS_MAX, parse_i64, write_i64};
use xxhash_rust::xxh3::Xxh3;

/// Hexadecimal digits of a digest.
const DIGEST_DIGITS: usize = 16;

/// Under which condition a value is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Condition<'a> {
    /// Under none.
    #[default]
    Always,
    /// NX: the key is not there.
    Absent,
    /// XX: the key is there.
    Present,
    /// IFEQ: the value is this.
    Is(&'a [u8]),
    /// IFNE: the value is not this, or not there.
    IsNot(&'a [u8]),
    /// IFDEQ: the value has this digest.
    HasDigest(&'a [u8]),
    /// IFDNE: the value has another digest, or is not there.
    HasOtherDigest(&'a [u8]),
}

impl<'a> Condition<'a> {
    /// The condition that a word begins, its value included.
    pub(super) fn read(word: &[u8], args: &mut Args<'a>) -> Result<Option<Self>, Error> {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        Ok(Some(match word.len() {
            2 if is("NX") => Self::Absent,
            2 if is("XX") => Self::Present,
            4 if is("IFEQ") => Self::Is(args.next()?),
            4 if is("IFNE") => Self::IsNot(args.next()?),
            5 if is("IFDEQ") => Self::HasDigest(args.next()?),
            5 if is("IFDNE") => Self::HasOtherDigest(args.next()?),
            _ => return Ok(None),
        }))
    }

    /// A digest has so many digits; whether they are hexadecimal nobody asks.
    pub(super) fn check(self) -> Result<(), Error> {
        match self {
            Self::HasDigest(digest) | Self::HasOtherDigest(digest)
                if digest.len() != DIGEST_DIGITS =>
            {
                Err(Error::DigestLength)
            }
            _ => Ok(()),
        }
    }

    /// Whether it holds for a key.
    pub(super) fn holds(self, data: &mut Data<'_>, key: Key<'_>) -> Result<bool, Error> {
        Ok(match self {
            Self::Always => true,
            Self::Absent => !data.exists(key),
            Self::Present => data.exists(key),
            _ => self.holds_for(data.string_to_change(key)?),
        })
    }

    /// Whether it holds for a value.
    pub(super) fn holds_for(self, value: Option<Text<'_>>) -> bool {
        match (self, value) {
            (Self::Is(_) | Self::HasDigest(_) | Self::Present, None) | (Self::Absent, Some(_)) => {
                false
            }
            (Self::Is(other), Some(value)) => value.equals(other),
            (Self::IsNot(other), Some(value)) => !value.equals(other),
            (Self::HasDigest(digest), Some(value)) => digest_of(value).eq_ignore_ascii_case(digest),
            (Self::HasOtherDigest(digest), Some(value)) => {
                !digest_of(value).eq_ignore_ascii_case(digest)
            }
            _ => true,
        }
    }
}

/// The XXH3 digest of a string, in hexadecimal.
pub(super) fn digest_of(text: Text<'_>) -> [u8; DIGEST_DIGITS] {
    let mut hasher = Xxh3::new();
    text.pieces(|piece| hasher.update(piece));
    let sum = hasher.digest();
    std::array::from_fn(|nth| {
        let digit = (sum >> (60 - 4 * nth)) & 15;
        b"0123456789abcdef"[digit as usize]
    })
}

/// In what a time is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// EX: seconds from now.
    Seconds,
    /// PX: milliseconds from now.
    Milliseconds,
    /// EXAT: seconds since 1970.
    SecondsAt,
    /// PXAT: milliseconds since 1970.
    MillisecondsAt,
}

/// How long a value stays, as the request says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Life<'a> {
    /// Nothing was said.
    #[default]
    Unsaid,
    /// KEEPTTL: as long as the value before.
    Kept,
    /// PERSIST: for ever.
    Endless,
    /// For a time, or until one.
    Until(Unit, &'a [u8]),
}

/// When a value ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As nothing was said.
    Unsaid,
    /// When the value before would have.
    Kept,
    /// Never.
    Never,
    /// Then, in milliseconds since 1970.
    At(u64),
}

impl<'a> Life<'a> {
    /// The life that a word begins, its time included.
    pub(super) fn read(word: &[u8], args: &mut Args<'a>) -> Result<Option<Self>, Error> {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        Ok(Some(match word.len() {
            2 if is("EX") => Self::Until(Unit::Seconds, args.next()?),
            2 if is("PX") => Self::Until(Unit::Milliseconds, args.next()?),
            4 if is("EXAT") => Self::Until(Unit::SecondsAt, args.next()?),
            4 if is("PXAT") => Self::Until(Unit::MillisecondsAt, args.next()?),
            7 if is("KEEPTTL") => Self::Kept,
            7 if is("PERSIST") => Self::Endless,
            _ => return Ok(None),
        }))
    }

    /// Takes a second word: the same kind again is no contradiction, and the last time counts.
    pub(super) fn replace(&mut self, other: Self) -> Result<(), Error> {
        let agrees = match (*self, other) {
            (Self::Until(one, _), Self::Until(two, _)) => one == two,
            (one, two) => one == Self::Unsaid || one == two,
        };
        *self = other;
        if agrees { Ok(()) } else { Err(Error::Syntax) }
    }

    /// When that is, the clock showing `now`. `command` is named when a time makes no sense.
    pub(super) fn settle(self, now: u64, command: &str) -> Result<End, Error> {
        match self {
            Self::Unsaid => Ok(End::Unsaid),
            Self::Kept => Ok(End::Kept),
            Self::Endless => Ok(End::Never),
            Self::Until(unit, text) => {
                let number = parse_i64(text).ok_or(Error::NotInteger)?;
                deadline(unit, number, now).map(End::At).ok_or_else(|| Error::expire_time(command))
            }
        }
    }
}

/// A time in milliseconds since 1970; positive, and not too large.
fn deadline(unit: Unit, number: i64, now: u64) -> Option<u64> {
    let number = if number > 0 { number } else { return None };
    let milliseconds = match unit {
        Unit::Seconds | Unit::SecondsAt => number.checked_mul(1000)?,
        Unit::Milliseconds | Unit::MillisecondsAt => number,
    };
    let at = match unit {
        Unit::Seconds | Unit::Milliseconds => milliseconds.checked_add_unsigned(now)?,
        Unit::SecondsAt | Unit::MillisecondsAt => milliseconds,
    };
    u64::try_from(at).ok()
}

/// What SET takes behind its value, and MSETEX behind its values.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options<'a> {
    /// When to set.
    pub(super) condition: Condition<'a>,
    /// How long.
    pub(super) life: Life<'a>,
    /// GET: the reply is the value before.
    pub(super) gives_old: bool,
}

impl<'a> Options<'a> {
    /// Of SET.
    pub(super) fn of_set(args: &mut Args<'a>) -> Result<Self, Error> {
        let options = Self::read(args)?;
        options.condition.check()?;
        Ok(options)
    }

    /// Of MSETEX: the same but GET, and of the conditions only NX and XX.
    pub(super) fn of_msetex(args: &mut Args<'a>) -> Result<Self, Error> {
        let options = Self::read(args)?;
        let is_simple =
            matches!(options.condition, Condition::Always | Condition::Absent | Condition::Present);
        if options.gives_old || !is_simple { Err(Error::Syntax) } else { Ok(options) }
    }

    fn read(args: &mut Args<'a>) -> Result<Self, Error> {
        let mut options = Self::default();
        while let Some(word) = args.peek() {
            args.next()?;
            options.take(word, args)?;
        }
        Ok(options)
    }

    fn take(&mut self, word: &'a [u8], args: &mut Args<'a>) -> Result<(), Error> {
        if let Some(life) = Life::read(word, args)? {
            return if life == Life::Endless {
                Err(Error::Syntax)
            } else {
                self.life.replace(life)
            };
        }
        if word.eq_ignore_ascii_case(b"GET") {
            self.gives_old = true;
            return Ok(());
        }
        let condition = Condition::read(word, args)?.ok_or(Error::Syntax)?;
        let agrees = self.condition == Condition::Always || self.condition == condition;
        self.condition = condition;
        if agrees { Ok(()) } else { Err(Error::Syntax) }
    }
}

/// Sets a key to a string with an end, and says in the journal what that came to, without conditions and by the clock.
pub(super) fn store(data: &mut Data<'_>, key: Key<'_>, value: &[u8], end: End) {
    match end {
        End::Unsaid | End::Never => data.set_string(key, value, None),
        End::Kept => {
            let expiry = data.expiry(key).flatten();
            data.set_string(key, value, expiry);
        }
        End::At(at) if at <= data.now => return data.remove_ended(key),
        End::At(at) => {
            data.set_string(key, value, Some(at));
            data.notify(Class::Generic, "expire", key);
        }
    }
    record_set(data, key, value, end);
}

/// Writes `SET key value` with an end to the journal.
pub(super) fn record_set(data: &mut Data<'_>, key: Key<'_>, value: &[u8], end: End) {
    match end {
        End::Unsaid | End::Never => data.effect(&[b"SET", key.bytes, value]),
        End::Kept => data.effect(&[b"SET", key.bytes, value, b"KEEPTTL"]),
        End::At(at) => {
            let mut digits = [0; DIGITS_MAX];
            data.effect(&[b"SET", key.bytes, value, b"PXAT", write_i64(at as i64, &mut digits)]);
        }
    }
}

/// Removes a key, if it is there, and says so in the journal.
pub(super) fn remove(data: &mut Data<'_>, key: Key<'_>) {
    if data.remove(key) {
        data.effect(&[b"DEL", key.bytes]);
    }
}
