//! HyperLogLogs: strings that count distinct elements, byte for byte as Redis keeps them.
//!
//! ```text
//! | "HYLL" | form: u8 | 0 0 0 | cached count: u64 little-endian | registers … |
//! ```
//!
//! An element's hash chooses one of 16384 registers with its lowest 14 bits; a register holds the greatest number of zeros, plus one,
//! that any hash had behind those. How the registers' values are distributed says how many elements there were, to about 0.81 %.
//!
//! The dense form has six bits for each register, the lowest first ([`dense`]). While most are zero the sparse form is shorter: runs of
//! equal registers ([`sparse`]). The highest bit of the cached count says that it is no longer true.
//!
//! Clients can set these strings to anything, so nothing in them is taken on trust.

mod count;
mod dense;
mod hash;
mod sparse;

pub use dense::DENSE_LEN;
pub use hash::{Observation, observe};
pub use sparse::{Run, runs};

use count::estimate;

/// How many registers there are.
pub const REGISTERS: usize = 1 << 14;

/// What stands before the registers.
const HEADER: usize = 16;

/// The greatest value that a register can have: all 50 bits that are left of a hash are zero.
const VALUE_MAX: usize = 51;

const MAGIC: &[u8; 4] = b"HYLL";
const FORM_AT: usize = 4;
const CACHE_AT: usize = 8;
/// In the last byte of the cached count.
const IS_STALE: u8 = 0x80;

/// A sparse form that is longer than this is none: no run is longer than two bytes, none shorter than one register.
pub const LEN_MAX: usize = HEADER + 2 * REGISTERS;

/// The two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Six bits for each register.
    Dense,
    /// Runs of equal registers.
    Sparse,
}

/// The string is a HyperLogLog by its head, but its registers make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupted;

/// The form of a string that has the head of a HyperLogLog; `None` of any other.
pub fn form_of(bytes: &[u8]) -> Option<Form> {
    if bytes.len() < HEADER || !bytes.starts_with(MAGIC) {
        return None;
    }
    match bytes[FORM_AT] {
        0 if bytes.len() == DENSE_LEN => Some(Form::Dense),
        1 => Some(Form::Sparse),
        _ => None,
    }
}

/// The cached count of a string that has the head of a HyperLogLog, if it is still true.
pub fn cached_count(bytes: &[u8]) -> Option<u64> {
    let cached = bytes[CACHE_AT..].first_chunk().expect("the head is there");
    (cached[7] & IS_STALE == 0).then(|| u64::from_le_bytes(*cached))
}

/// Sets the cached count.
pub fn set_cached_count(bytes: &mut [u8], count: u64) {
    bytes[CACHE_AT..HEADER].copy_from_slice(&count.to_le_bytes());
}

/// Says that the cached count is no longer true.
pub fn forget_count(bytes: &mut [u8]) {
    bytes[HEADER - 1] |= IS_STALE;
}

/// Counts a string that has the head of a HyperLogLog, without looking at the cached count. O(n).
pub fn count(bytes: &[u8], form: Form) -> Result<u64, Corrupted> {
    let mut histogram = [0; 64];
    match form {
        Form::Dense => dense::add_to_histogram(&bytes[HEADER..], &mut histogram),
        Form::Sparse => sparse::add_to_histogram(&bytes[HEADER..], &mut histogram)?,
    }
    Ok(estimate(&histogram))
}

/// Raises a register of a dense form. Says whether it was less.
pub fn raise_dense(bytes: &mut [u8], seen: Observation) -> bool {
    dense::raise(&mut bytes[HEADER..], seen)
}

/// A string of its own, on its way into an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sketch {
    bytes: Vec<u8>,
    form: Form,
}

impl Sketch {
    /// One that has seen nothing.
    pub fn new() -> Self {
        let mut bytes = Self::head(Form::Sparse);
        sparse::push_zeros(&mut bytes, REGISTERS);
        Self { bytes, form: Form::Sparse }
    }

    /// A copy of a string that has the head of a HyperLogLog.
    pub fn copy(bytes: &[u8], form: Form) -> Self {
        Self { bytes: bytes.to_vec(), form }
    }

    fn head(form: Form) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        bytes[FORM_AT] = u8::from(form == Form::Sparse);
        bytes
    }

    /// The string.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// In which form it is.
    pub const fn form(&self) -> Form {
        self.form
    }

    /// Adds an element. A sparse form that would exceed `sparse_max` bytes becomes dense. Says whether anything changed.
    pub fn add(&mut self, seen: Observation, sparse_max: usize) -> Result<bool, Corrupted> {
        if self.form == Form::Sparse {
            match sparse::raise(&mut self.bytes, seen, sparse_max)? {
                sparse::Raised::No => return Ok(false),
                sparse::Raised::Yes => {
                    forget_count(&mut self.bytes);
                    return Ok(true);
                }
                sparse::Raised::NeedsDense => self.make_dense()?,
            }
        }
        let has_changed = raise_dense(&mut self.bytes, seen);
        if has_changed {
            forget_count(&mut self.bytes);
        }
        Ok(has_changed)
    }

    /// Says that the cached count is no longer true.
    pub fn forget_count(&mut self) {
        forget_count(&mut self.bytes);
    }

    /// Makes it dense, with the cached count as it was.
    pub fn make_dense(&mut self) -> Result<(), Corrupted> {
        if self.form == Form::Dense {
            return Ok(());
        }
        let mut registers = Registers::new();
        registers.merge(&self.bytes, Form::Sparse)?;
        let cached = *self.bytes[CACHE_AT..].first_chunk().expect("the head is there");
        self.bytes = registers.dense();
        set_cached_count(&mut self.bytes, u64::from_le_bytes(cached));
        self.form = Form::Dense;
        Ok(())
    }
}

impl Default for Sketch {
    fn default() -> Self {
        Self::new()
    }
}

/// All registers, a byte each: what several HyperLogLogs come to together.
#[derive(Clone, Debug)]
pub struct Registers(Box<[u8; REGISTERS]>);

impl Registers {
    /// All zero.
    pub fn new() -> Self {
        let zeros = vec![0; REGISTERS].into_boxed_slice();
        Self(zeros.try_into().expect("as many as there are"))
    }

    /// Raises each register to what a string that has the head of a HyperLogLog says. O(n).
    pub fn merge(&mut self, bytes: &[u8], form: Form) -> Result<(), Corrupted> {
        match form {
            Form::Dense => dense::merge(&mut self.0, &bytes[HEADER..]),
            Form::Sparse => sparse::merge(&mut self.0, &bytes[HEADER..])?,
        }
        Ok(())
    }

    /// How many elements they have seen.
    pub fn count(&self) -> u64 {
        let mut histogram = [0; 64];
        self.0.iter().for_each(|value| histogram[usize::from(value & 63)] += 1);
        estimate(&histogram)
    }

    /// As a string without a cached count: sparse if that takes at most `sparse_max` bytes and is not to be dense, else dense.
    pub fn into_sketch(self, is_dense: bool, sparse_max: usize) -> Sketch {
        let mut sketch = Sketch { bytes: Sketch::head(Form::Sparse), form: Form::Sparse };
        let fits = !is_dense && sparse::push_all(&mut sketch.bytes, &self.0, sparse_max);
        if !fits {
            sketch = Sketch { bytes: self.dense(), form: Form::Dense };
        }
        forget_count(&mut sketch.bytes);
        sketch
    }

    fn dense(&self) -> Vec<u8> {
        let mut bytes = Sketch::head(Form::Dense);
        dense::push_all(&mut bytes, &self.0);
        bytes
    }

    /// The values.
    pub fn values(&self) -> &[u8; REGISTERS] {
        &self.0
    }
}

impl Default for Registers {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
