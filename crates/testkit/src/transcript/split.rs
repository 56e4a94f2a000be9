//! A line into words, as redis-cli and a shell would: `SET "a b" '\n' c\x` has four.
//!
//! Double quotes know `\n \r \t \a \b \" \\` and `\xHH`; single quotes only `\'`; outside of quotes a
//! backslash is a backslash. A quote must end before a blank or the end.

/// The words of a line.
pub fn split(line: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start().as_bytes();
    while !rest.is_empty() {
        let (word, after) = word(rest)?;
        words.push(word);
        rest = after.trim_ascii_start();
    }
    if words.is_empty() { Err("an empty command".into()) } else { Ok(words) }
}

fn word(text: &[u8]) -> Result<(Vec<u8>, &[u8]), String> {
    if !matches!(text[0], b'"' | b'\'') {
        let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
        return Ok((text[..end].to_vec(), &text[end..]));
    }
    let (word, rest) = quoted(text)?;
    match rest.first() {
        Some(byte) if !byte.is_ascii_whitespace() => Err("a quote ends within a word".into()),
        _ => Ok((word, rest)),
    }
}

/// The string in quotes at the beginning of a text, and what follows it.
pub(super) fn quoted(text: &[u8]) -> Result<(Vec<u8>, &[u8]), String> {
    let quote = text[0];
    let mut rest = &text[1..];
    let mut word = Vec::new();
    loop {
        let (first, after) = rest.split_first().ok_or("a quote does not end")?;
        rest = match first {
            byte if *byte == quote => return Ok((word, after)),
            b'\\' if quote == b'"' => escape(after, &mut word)?,
            b'\\' if after.first() == Some(&b'\'') => {
                word.push(b'\'');
                &after[1..]
            }
            byte => {
                word.push(*byte);
                after
            }
        };
    }
}

fn escape<'a>(text: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], String> {
    let (first, rest) = text.split_first().ok_or("a quote does not end")?;
    if *first == b'x' {
        let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        word.push(byte.ok_or("two hexadecimal digits follow \\x")?);
        return Ok(&rest[2..]);
    }
    word.push(match first {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 7,
        b'b' => 8,
        other => *other,
    });
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_end_at_blanks_outside_of_quotes() {
        let words = split(r#"  SET "a \"b\"\x00\r\n" 'it\'s \n'  c\x "" "#).unwrap();
        let expected: [&[u8]; 5] = [b"SET", b"a \"b\"\x00\r\n", b"it's \\n", b"c\\x", b""];
        assert_eq!(words, expected);
    }

    #[test]
    fn a_quote_must_end_with_its_word() {
        for line in ["", " ", "\"a", "'a", "\"a\"b", "\"\\xg0\"", "\"\\x0"] {
            assert!(split(line).is_err(), "{line}");
        }
    }
}
