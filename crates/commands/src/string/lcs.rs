//! The longest common subsequence of two strings.
//!
//! The table of dynamic programming, row by row: `at(i, j)` is the length for the first `i` bytes of one string and the first `j` of the
//! other. Walking back from its last corner gives the bytes, and the ranges where both strings run in parallel. Which of several
//! longest sequences that finds is fixed by the walk, which goes along the second string when both ways are equal.

use std::sync::atomic::Ordering;

use russet_dispatch::{Args, Context, Error, Key, Outcome, Stop};

/// Tables of more cells than this, about a millisecond of work, are filled on a worker.
const INLINE_CELLS_MAX: u64 = 1 << 19;

/// What LCS takes behind its keys.
#[derive(Debug, Default)]
struct Options {
    is_len: bool,
    is_idx: bool,
    min_match_len: u64,
    with_match_len: bool,
}

impl Options {
    fn read(args: &mut Args<'_>) -> Result<Self, Error> {
        let mut options = Self::default();
        while !args.is_empty() {
            if args.flag("IDX") {
                options.is_idx = true;
            } else if args.flag("LEN") {
                options.is_len = true;
            } else if args.flag("WITHMATCHLEN") {
                options.with_match_len = true;
            } else if args.left() > 1 && args.flag("MINMATCHLEN") {
                options.min_match_len = args.int()?.max(0).unsigned_abs();
            } else {
                return Err(Error::Syntax);
            }
        }
        if options.is_len && options.is_idx { Err(Error::LcsLenAndIdx) } else { Ok(options) }
    }
}

/// LCS.
pub(super) fn lcs(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let (one, other) = (args.key()?, args.key()?);
    let (one, other) = (bytes_of(cx, one)?, bytes_of(cx, other)?);
    let options = Options::read(args)?;
    check_size(cx, one.len(), other.len())?;
    let table = Table::fill(&one, &other)?;
    if options.is_len {
        cx.reply.integer(i64::from(table.len()));
        return Ok(());
    }
    let mut ranges = Vec::new();
    let common = table.walk(&one, &other, &mut |range| ranges.push(range));
    if options.is_idx {
        reply_ranges(cx, &options, table.len(), &mut ranges);
    } else {
        cx.reply.bulk(&common);
    }
    Ok(())
}

/// A copy of the string of a key; a key that is not there is empty.
fn bytes_of(cx: &mut Context<'_>, key: Key<'_>) -> Result<Vec<u8>, Error> {
    let text = cx.data.string(key).map_err(|_| Error::LcsNoStrings)?;
    Ok(text.map_or_else(Vec::new, |text| text.bytes().into_owned()))
}

/// Whether the table may be had, and had here.
fn check_size(cx: &Context<'_>, one: usize, other: usize) -> Result<(), Stop> {
    let most = u32::MAX as usize - 1;
    if one >= most || other >= most {
        return Err(Error::LcsTooLong.into());
    }
    let cells = (one as u64 + 1) * (other as u64 + 1);
    let bytes_max = cx.state.tunables.bulk_bytes_max.load(Ordering::Relaxed);
    if cells.checked_mul(size_of::<u32>() as u64).is_none_or(|bytes| bytes > bytes_max) {
        return Err(Error::LcsTable.into());
    }
    let may_move = !cx.is_worker && !cx.session.deny_blocking;
    if may_move && cells > INLINE_CELLS_MAX { Err(Stop::Elsewhere) } else { Ok(()) }
}

fn reply_ranges(cx: &mut Context<'_>, options: &Options, len: u32, ranges: &mut Vec<Range>) {
    ranges.retain(|range| u64::from(range.len) >= options.min_match_len);
    cx.reply.map(2);
    cx.reply.bulk(b"matches");
    cx.reply.array(ranges.len());
    for range in ranges {
        cx.reply.array(2 + usize::from(options.with_match_len));
        for start in [range.one, range.other] {
            cx.reply.array(2);
            cx.reply.integer(i64::from(start));
            cx.reply.integer(i64::from(start + range.len - 1));
        }
        if options.with_match_len {
            cx.reply.integer(i64::from(range.len));
        }
    }
    cx.reply.bulk(b"len");
    cx.reply.integer(i64::from(len));
}

/// Where both strings run in parallel: the first byte in each, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    one: u32,
    other: u32,
    len: u32,
}

/// The lengths of the longest common subsequences of all beginnings.
struct Table {
    cells: Vec<u32>,
    width: usize,
}

impl Table {
    fn fill(one: &[u8], other: &[u8]) -> Result<Self, Error> {
        let width = other.len() + 1;
        let mut cells = Vec::new();
        let count = width * (one.len() + 1);
        cells.try_reserve_exact(count).map_err(|_| Error::LcsMemory)?;
        cells.resize(count, 0);
        for (i, byte) in one.iter().enumerate() {
            let (above, row) = cells[i * width..][..2 * width].split_at_mut(width);
            for (j, other_byte) in other.iter().enumerate() {
                row[j + 1] =
                    if byte == other_byte { above[j] + 1 } else { above[j + 1].max(row[j]) };
            }
        }
        Ok(Self { cells, width })
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.cells[i * self.width + j]
    }

    fn len(&self) -> u32 {
        self.cells.last().copied().unwrap_or(0)
    }

    /// The common bytes; `each` is given the ranges, last first.
    fn walk(&self, one: &[u8], other: &[u8], each: &mut impl FnMut(Range)) -> Vec<u8> {
        let (mut i, mut j) = (one.len(), other.len());
        let mut common = Vec::with_capacity(self.len() as usize);
        let mut open: Option<Range> = None;
        while i > 0 && j > 0 {
            if one[i - 1] == other[j - 1] {
                (i, j) = (i - 1, j - 1);
                common.push(one[i]);
                open = Some(extended(open, i as u32, j as u32));
            } else {
                open.take().into_iter().for_each(&mut *each);
                if self.at(i - 1, j) > self.at(i, j - 1) { i -= 1 } else { j -= 1 }
            }
        }
        open.into_iter().for_each(each);
        common.reverse();
        common
    }
}

/// The open range with one more byte at its front, or a new one: a range is closed where the strings part, so an open one is touched.
fn extended(open: Option<Range>, i: u32, j: u32) -> Range {
    Range { one: i, other: j, len: open.map_or(0, |range| range.len) + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn solve(one: &str, other: &str) -> (String, Vec<(u32, u32, u32)>) {
        let (one, other) = (one.as_bytes(), other.as_bytes());
        let mut ranges = Vec::new();
        let common = Table::fill(one, other).unwrap().walk(one, other, &mut |range| {
            ranges.push((range.one, range.other, range.len));
        });
        (String::from_utf8(common).unwrap(), ranges)
    }

    #[test]
    fn the_example_of_the_documentation() {
        let (common, ranges) = solve("ohmytext", "mynewtext");
        assert_eq!(common, "mytext");
        assert_eq!(ranges, [(4, 5, 4), (2, 0, 2)]);
    }

    #[test]
    fn nothing_in_common_and_everything() {
        assert_eq!(solve("", "abc"), (String::new(), vec![]));
        assert_eq!(solve("abc", "xyz"), (String::new(), vec![]));
        assert_eq!(solve("abc", "abc"), ("abc".to_owned(), vec![(0, 0, 3)]));
    }
}
