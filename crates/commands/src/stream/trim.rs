//! MAXLEN and MINID, of XADD and XTRIM, and what else stands before the ID that XADD adds.

use russet_dispatch::{Args, Class, Context, Error, Outcome};
use russet_engine::Told;
use russet_engine::types::stream::{ID_TEXT_MAX, NewId, References, Stream, StreamId, Trim};
use smallvec::SmallVec;

use super::producer::Said;
use super::read_id;

/// Entries that trimming with `~` removes at most, unless LIMIT says otherwise, in blocks.
const BLOCKS_MAX: u64 = 100;

/// The same where a block has no bound.
const LIMIT_OF_UNBOUNDED: u64 = 10_000;

/// No more than this, however large blocks are.
const LIMIT_MAX: u64 = 1_000_000;

/// What stands between the key and the ID of XADD, or behind the key of XTRIM.
#[derive(Debug, Default)]
pub(super) struct Options<'a> {
    /// How to trim, if at all.
    pub(super) trim: Option<Trim>,
    /// `~`: only whole blocks go.
    pub(super) is_approximate: bool,
    /// How many entries go at most; 0 is no bound.
    limit: Option<u64>,
    /// What happens to what groups know of those that go.
    references: References,
    /// NOMKSTREAM.
    pub(super) makes_none: bool,
    /// The ID that XADD adds.
    pub(super) id: Option<NewId>,
    /// IDMP and IDMPAUTO.
    pub(super) said: Option<Said<'a>>,
    /// The threshold's place among all words.
    threshold_at: usize,
    /// Words that make no sense once it is known what they led to: places among all words.
    dropped: SmallVec<[usize; 4]>,
}

impl<'a> Options<'a> {
    /// Reads up to and with the ID of XADD, or to the end of XTRIM.
    pub(super) fn read(args: &mut Args<'a>, is_add: bool) -> Result<Self, Error> {
        let mut options = Self::default();
        while let Some(word) = args.peek() {
            if is_add && word == b"*" {
                args.next()?;
                options.id = Some(NewId::Auto);
                break;
            }
            if options.read_word(args, is_add)? {
                continue;
            }
            if !is_add {
                return Err(Error::Syntax);
            }
            options.id = Some(NewId::parse(args.next()?).ok_or(Error::InvalidStreamId)?);
            break;
        }
        options.check(is_add)?;
        Ok(options)
    }

    /// Reads an option; says whether there was one.
    fn read_word(&mut self, args: &mut Args<'a>, is_add: bool) -> Result<bool, Error> {
        let (has_more, at) = (args.left() > 1, Args::position(args));
        if has_more && args.flag("MAXLEN") {
            self.begin_trim(args)?;
            let max = u64::try_from(args.int()?).map_err(|_| Error::TrimLenNegative)?;
            self.trim = Some(Trim::ToLen(max));
        } else if has_more && args.flag("MINID") {
            self.begin_trim(args)?;
            self.trim = Some(Trim::ToId(read_id(args.next()?)?));
        } else if has_more && args.flag("LIMIT") {
            self.limit = Some(u64::try_from(args.int()?).map_err(|_| Error::TrimLimitNegative)?);
            self.dropped.extend([at, at + 1]);
        } else if is_add && args.flag("NOMKSTREAM") {
            self.makes_none = true;
        } else if args.flag("KEEPREF") {
            self.references = References::Keep;
        } else if args.flag("DELREF") {
            self.references = References::Drop;
        } else if args.flag("ACKED") {
            self.references = References::Need;
        } else if is_add && let Some(said) = Said::read(args)? {
            self.said = Some(said);
            self.dropped.extend(at..Args::position(args));
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// What may stand between MAXLEN or MINID and the threshold.
    fn begin_trim(&mut self, args: &mut Args<'a>) -> Result<(), Error> {
        if self.trim.is_some() {
            return Err(Error::TrimTwice);
        }
        if args.left() > 1 {
            self.is_approximate = args.flag("~");
            if !self.is_approximate {
                args.flag("=");
            }
        }
        self.threshold_at = Args::position(args);
        Ok(())
    }

    fn check(&self, is_add: bool) -> Result<(), Error> {
        let limit = self.limit.filter(|limit| *limit > 0);
        if limit.is_some() && self.trim.is_none() {
            return Err(Error::LimitOfNothing);
        }
        if !is_add && self.trim.is_none() {
            return Err(Error::TrimWithout);
        }
        if self.limit.is_some() && !self.is_approximate {
            return Err(Error::LimitOfExact);
        }
        Ok(())
    }

    /// Trims, if that was asked for; answers how many entries went. `per_block` is how many entries a block has at most.
    pub(super) fn apply(&self, stream: &mut Stream, per_block: usize) -> u64 {
        let Some(trim) = self.trim else { return 0 };
        let limit = match self.limit {
            _ if !self.is_approximate => 0,
            Some(limit) => limit,
            None if per_block == 0 => LIMIT_OF_UNBOUNDED,
            None => (BLOCKS_MAX.saturating_mul(per_block as u64)).min(LIMIT_MAX),
        };
        stream.trim(trim, self.is_approximate, limit, self.references)
    }

    /// Whether the words as they are do not tell what happened.
    pub(super) fn is_vague(&self) -> bool {
        self.is_approximate || self.said.is_some() || !matches!(self.id, Some(NewId::Exactly(_)))
    }

    /// The words that tell what happened: the ID that was added, the threshold that was reached.
    pub(super) fn effect<'w>(
        &self,
        args: &Args<'w>,
        id: Option<(usize, &'w [u8])>,
        threshold: &'w [u8],
    ) -> SmallVec<[&'w [u8]; 16]> {
        let exact = |(at, word): (usize, &'w [u8])| {
            if self.dropped.contains(&at) {
                return None;
            }
            Some(match id {
                Some((id_at, id)) if at == id_at => id,
                _ if self.is_approximate && at + 1 == self.threshold_at => b"=",
                _ if self.is_approximate && at == self.threshold_at => threshold,
                _ => word,
            })
        };
        args.words().enumerate().filter_map(exact).collect()
    }

    /// The threshold that gives exactly what is left.
    pub(super) fn reached(&self, stream: &Stream) -> SmallVec<[u8; ID_TEXT_MAX]> {
        let mut text = SmallVec::new();
        if matches!(self.trim, Some(Trim::ToLen(_))) {
            text.extend_from_slice(itoa::Buffer::new().format(stream.log.len()).as_bytes());
        } else {
            let is_empty = stream.log.is_empty();
            let first = if is_empty { StreamId::MAX } else { stream.log.first_id() };
            text.extend_from_slice(first.write(&mut [0; ID_TEXT_MAX]));
        }
        text
    }
}

pub(super) fn xtrim(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let key = args.key()?;
    let options = Options::read(args, false)?;
    let per_block = cx.state.tunables.thresholds.stream().entries;
    let trimmed = cx.data.change_telling(key, |stream: &mut Stream| {
        let count = options.apply(stream, per_block);
        let told = if count > 0 { Told::Watchers } else { Told::Nobody };
        ((count, options.reached(stream)), told)
    })?;
    let (count, threshold) = trimmed.unwrap_or_default();
    cx.data.announce(Class::Stream, "xtrim", key);
    cx.data.count_as(count as usize);
    if count > 0 && options.is_approximate && cx.data.is_followed() {
        cx.data.effect(&options.effect(args, None, &threshold));
    }
    cx.reply.integer(count as i64);
    Ok(())
}
