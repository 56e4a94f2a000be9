//! Requests, encoded once.
//!
//! A template such as `SET __rand_key__ __value__` becomes its bytes on the wire and a list of
//! slots: places where digits change from request to request. A batch is a buffer of whole
//! requests; sending the next one means writing new digits into the same bytes. Only a mix of
//! several templates is laid out anew each time.
//!
//! What a template may hold:
//!
//! * `__rand_key__`: `key:` and 12 digits, 16 bytes in all
//! * `__rand_digits__`: 12 digits, leading zeros included, for other prefixes
//! * `__rand_int__`: an integer of 10 digits without leading zeros
//! * `__rand_4__`: the last four digits of a number; `__same_4__`: those of the number drawn before it
//! * `__value__`: as many letters as the value has bytes
//!
//! Every occurrence of a `__rand_…__` draws its own number.

/// The largest number of keys, so that [`INTEGER_BASE`] plus a number fits in 32 bits.
pub const KEYS_MAX: u32 = 3_000_000_000;

/// Added to a number to make it an integer of ten digits.
const INTEGER_BASE: u32 = 1_000_000_000;

/// Placeholder, what it is replaced by, and the slot in that.
const PLACEHOLDERS: &[(&str, &str, Slot)] = &[
    ("__rand_key__", "key:000000000000", Slot { at: 6, ..Slot::WIDE }),
    ("__rand_digits__", "000000000000", Slot { at: 2, ..Slot::WIDE }),
    ("__rand_int__", "0000000000", Slot { add: INTEGER_BASE, ..Slot::WIDE }),
    ("__rand_4__", "0000", Slot { width: 4, ..Slot::WIDE }),
    ("__same_4__", "0000", Slot { width: 4, is_same: true, ..Slot::WIDE }),
];

/// Digits of a request that change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    at: usize,
    /// How many, an even number.
    width: usize,
    /// Added to the number.
    add: u32,
    /// The number drawn before instead of one of its own.
    is_same: bool,
}

impl Slot {
    /// A `u32` in decimal.
    const WIDE: Self = Self { at: 0, width: 10, add: 0, is_same: false };
}

/// One request: its bytes, and where numbers go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

impl Template {
    /// Encodes a command line. Words are separated by blanks; quotes, single or double, hold a
    /// word together.
    pub fn parse(line: &str, value_bytes: usize) -> Self {
        let words = words(line);
        let mut template = Self { bytes: Vec::new(), slots: Vec::new() };
        template.bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            template.argument(&word, value_bytes);
        }
        template
    }

    fn argument(&mut self, word: &str, value_bytes: usize) {
        let (text, slots) = expand(word, &value(value_bytes));
        self.bytes.extend_from_slice(format!("${}\r\n", text.len()).as_bytes());
        let start = self.bytes.len();
        self.slots.extend(slots.iter().map(|slot| Slot { at: start + slot.at, ..*slot }));
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Writes new numbers into a copy of this request.
    #[inline]
    fn patch(&self, copy: &mut [u8], numbers: &mut Numbers) {
        let mut number = 0;
        for slot in &self.slots {
            if !slot.is_same {
                number = numbers.next();
            }
            write_digits(&mut copy[slot.at..slot.at + slot.width], number + slot.add);
        }
    }
}

/// A value of letters, so that no server takes it for a number.
fn value(bytes: usize) -> String {
    ('a'..='z').cycle().take(bytes).collect()
}

fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let quoted = first == '"' || first == '\'';
        let body = if quoted { &rest[1..] } else { rest };
        let ends = |c: char| if quoted { c == first } else { c.is_whitespace() };
        let end = body.find(ends).unwrap_or(body.len());
        words.push(body[..end].to_owned());
        let skipped = end + usize::from(quoted && end < body.len());
        rest = body[skipped..].trim_start();
    }
    words
}

/// Replaces the placeholders of one word; slots are relative to the word.
fn expand(word: &str, value: &str) -> (String, Vec<Slot>) {
    let mut text = String::new();
    let mut slots = Vec::new();
    let mut rest = word;
    while let Some(at) = rest.find("__") {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let known = PLACEHOLDERS.iter().find(|row| rest.starts_with(row.0));
        if let Some(&(name, replacement, slot)) = known {
            slots.push(Slot { at: text.len() + slot.at, ..slot });
            text.push_str(replacement);
            rest = &rest[name.len()..];
        } else if let Some(after) = rest.strip_prefix("__value__") {
            text.push_str(value);
            rest = after;
        } else {
            text.push_str("__");
            rest = &rest[2..];
        }
    }
    text.push_str(rest);
    (text, slots)
}

/// `"00"` to `"99"`, so that a division gives two digits.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut i = 0;
    while i < 100 {
        pairs[i] = [b'0' + (i / 10) as u8, b'0' + (i % 10) as u8];
        i += 1;
    }
    pairs
};

#[inline]
fn write_digits(slot: &mut [u8], mut number: u32) {
    for pair in slot.rchunks_exact_mut(2) {
        pair.copy_from_slice(&PAIRS[(number % 100) as usize]);
        number /= 100;
    }
}

/// Which numbers requests are given: from 1 to the number of keys, both included.
#[derive(Debug, Clone)]
pub struct Numbers {
    keys: u32,
    state: u64,
    /// One after the other instead of at random.
    in_order: bool,
}

impl Numbers {
    /// Random numbers, the same ones for the same seed.
    pub fn random(keys: u32, seed: u64) -> Self {
        Self { keys, state: seed, in_order: false }
    }

    /// 1, 2, 3 … and 1 again after the last: for loading every key once.
    pub fn in_order(keys: u32) -> Self {
        Self { keys, state: 0, in_order: true }
    }

    /// The next number.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "it never ends, so an Option says nothing")]
    pub fn next(&mut self) -> u32 {
        if self.in_order {
            self.state = self.state % u64::from(self.keys) + 1;
            return self.state as u32;
        }
        let random = self.random_bits() >> 32;
        ((random * u64::from(self.keys)) >> 32) as u32 + 1
    }

    /// wyrand: an addition and a wide multiplication.
    #[inline]
    fn random_bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0xa076_1d64_78bd_642f);
        let wide = u128::from(self.state) * u128::from(self.state ^ 0xe703_7ed1_a0b4_28db);
        (wide >> 64) as u64 ^ wide as u64
    }
}

/// The buffer that batches are written into, over and over.
#[derive(Debug)]
pub struct Batch {
    /// Templates, and how often each is drawn.
    mix: Vec<(u32, Template)>,
    /// Sum of the weights.
    weight: u32,
    bytes: Vec<u8>,
}

impl Batch {
    /// A batch of up to `requests` requests drawn from `mix`, which must not be empty.
    pub fn new(mix: Vec<(u32, Template)>, requests: usize) -> Self {
        let weight = mix.iter().map(|(weight, _)| weight).sum();
        let bytes = mix[0].1.bytes.repeat(requests);
        Self { mix, weight, bytes }
    }

    /// The bytes of the next `requests` requests: no more than the batch was made for.
    #[inline]
    pub fn fill(&mut self, requests: usize, numbers: &mut Numbers) -> &[u8] {
        match self.mix.as_slice() {
            [(_, only)] => {
                let filled = &mut self.bytes[..requests * only.bytes.len()];
                for copy in filled.chunks_exact_mut(only.bytes.len()) {
                    only.patch(copy, numbers);
                }
                filled
            }
            _ => self.lay_out(requests, numbers),
        }
    }

    fn lay_out(&mut self, requests: usize, numbers: &mut Numbers) -> &[u8] {
        self.bytes.clear();
        for _ in 0..requests {
            let drawn = draw(&self.mix, self.weight, numbers);
            let start = self.bytes.len();
            self.bytes.extend_from_slice(&drawn.bytes);
            drawn.patch(&mut self.bytes[start..], numbers);
        }
        &self.bytes
    }
}

fn draw<'a>(mix: &'a [(u32, Template)], weight: u32, numbers: &mut Numbers) -> &'a Template {
    let mut left = ((numbers.random_bits() >> 32) * u64::from(weight)) >> 32;
    for (weight, template) in mix {
        if left < u64::from(*weight) {
            return template;
        }
        left -= u64::from(*weight);
    }
    &mix[0].1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str, value_bytes: usize) -> String {
        let mut batch = Batch::new(vec![(1, Template::parse(line, value_bytes))], 1);
        let bytes = batch.fill(1, &mut Numbers::in_order(1_000_000)).to_vec();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_template_is_encoded_with_its_lengths() {
        assert_eq!(one("PING", 0), "*1\r\n$4\r\nPING\r\n");
        assert_eq!(
            one("SET __rand_key__ __value__", 3),
            "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000001\r\n$3\r\nabc\r\n"
        );
        assert_eq!(
            one("INCR n:__rand_digits__", 0),
            "*2\r\n$4\r\nINCR\r\n$14\r\nn:000000000001\r\n"
        );
        assert_eq!(
            one("MGET __rand_4__0 __same_4__9 __rand_4__", 0),
            "*4\r\n$4\r\nMGET\r\n$5\r\n00010\r\n$5\r\n00019\r\n$4\r\n0002\r\n"
        );
        assert_eq!(one("ECHO __rand_int__", 0), "*2\r\n$4\r\nECHO\r\n$10\r\n1000000001\r\n");
        assert_eq!(one("ECHO a__b__", 0), "*2\r\n$4\r\nECHO\r\n$6\r\na__b__\r\n");
    }

    #[test]
    fn quotes_hold_a_word_together() {
        assert_eq!(words("EVAL \"return 1\" 0"), ["EVAL", "return 1", "0"]);
        assert_eq!(words("  a 'b c'  '' \"open end"), ["a", "b c", "", "open end"]);
    }

    #[test]
    fn each_occurrence_draws_its_own_number() {
        let text = one("MGET __rand_key__ __rand_key__ x__rand_digits__y__rand_digits__", 0);
        for number in ["key:000000000001", "key:000000000002", "x000000000003y000000000004"] {
            assert!(text.contains(number), "{text}");
        }
    }

    #[test]
    fn a_batch_is_patched_in_place_and_may_be_short() {
        let mut batch = Batch::new(vec![(1, Template::parse("GET __rand_key__", 0))], 3);
        let mut numbers = Numbers::in_order(4);
        let full = String::from_utf8(batch.fill(3, &mut numbers).to_vec()).unwrap();
        assert!(full.contains("key:000000000001") && full.contains("key:000000000003"));
        let short = String::from_utf8(batch.fill(2, &mut numbers).to_vec()).unwrap();
        assert_eq!(short.matches("GET").count(), 2);
        assert!(short.contains("key:000000000004") && short.contains("key:000000000001"));
    }

    #[test]
    fn a_mix_keeps_its_proportions() {
        let mix = vec![(1, Template::parse("SET k v", 0)), (10, Template::parse("GET k", 0))];
        let mut batch = Batch::new(mix, 11_000);
        let bytes = batch.fill(11_000, &mut Numbers::random(1, 7)).to_vec();
        let text = String::from_utf8(bytes).unwrap();
        let sets = text.matches("SET").count();
        assert_eq!(sets + text.matches("GET").count(), 11_000);
        assert!((850..1150).contains(&sets), "{sets}");
    }

    #[test]
    fn random_numbers_cover_the_keys_and_no_more() {
        let mut seen = [0_u32; 9];
        let mut numbers = Numbers::random(8, 42);
        (0..8_000).for_each(|_| seen[numbers.next() as usize] += 1);
        assert_eq!(seen[0], 0);
        assert!(seen[1..].iter().all(|&times| times > 800), "{seen:?}");
    }

    #[test]
    fn ten_digits_hold_every_number() {
        for number in [0, 9, 10, 1_234_567_890, KEYS_MAX + INTEGER_BASE, u32::MAX] {
            let mut slot = [0; 10];
            write_digits(&mut slot, number);
            assert_eq!(String::from_utf8_lossy(&slot), format!("{number:010}"));
        }
    }
}
