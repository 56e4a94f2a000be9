//! The first line of a script or a library, where it says what it is.

use russet_dispatch::scripting::{FLAG_NAMES, ScriptFlags};
use russet_resp::{Batch, Decoder, Limits};

use crate::registering::{NAME_RULE, is_name};

/// How many bytes the shebang takes, its end of line excluded: zero without one.
pub(crate) fn len(code: &[u8]) -> usize {
    if !code.starts_with(b"#!") {
        return 0;
    }
    code.iter().position(|byte| *byte == b'\n').unwrap_or(0)
}

/// The words of the first line. `None` if it has quotes that do not close.
fn words(code: &[u8]) -> Option<Vec<Vec<u8>>> {
    // It is written as an inline request is.
    let mut line = [&code[..len(code)], b"\n"].concat();
    let mut batch = Batch::default();
    Decoder::default().decode(&mut line, &Limits::DEFAULT, 1, &mut batch);
    let is_whole = batch.error().is_none() && batch.len() == 1;
    is_whole.then(|| batch.request(0).iter().map(|span| span.of(&line).to_vec()).collect())
}

/// What a script's shebang declares; `None` if it has none.
pub(crate) fn of_script(code: &[u8]) -> Result<Option<ScriptFlags>, String> {
    if !code.starts_with(b"#!") {
        return Ok(None);
    }
    if !code.contains(&b'\n') {
        return Err("Invalid script shebang".to_owned());
    }
    let words = words(code).filter(|words| !words.is_empty());
    let words = words.ok_or_else(|| "Invalid engine in script shebang".to_owned())?;
    let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    if words[0] != b"#!lua" {
        return Err(format!("Unexpected engine in script shebang: {}", text(&words[0])));
    }
    let mut flags = 0;
    for word in &words[1..] {
        let names = word
            .strip_prefix(b"flags=")
            .ok_or_else(|| format!("Unknown lua shebang option: {}", text(word)))?;
        for name in names.split(|byte| *byte == b',').filter(|_| !names.is_empty()) {
            let known = FLAG_NAMES.iter().find(|(_, known)| known.as_bytes() == name);
            flags |= known
                .ok_or_else(|| format!("Unexpected flag in script shebang: {}", text(name)))?
                .0;
        }
    }
    Ok(Some(flags))
}

/// The name of a library. The error is what FUNCTION LOAD answers.
pub(crate) fn of_library(code: &[u8]) -> Result<String, String> {
    if !code.starts_with(b"#!") {
        return Err("Missing library metadata".to_owned());
    }
    let invalid = || "Invalid library metadata".to_owned();
    if !code.contains(&b'\n') {
        return Err(invalid());
    }
    let words = words(code).filter(|words| !words.is_empty()).ok_or_else(invalid)?;
    let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    let mut name = None;
    for word in &words[1..] {
        let is_name = word.len() >= 5 && word[..5].eq_ignore_ascii_case(b"name=");
        if !is_name {
            return Err(format!("Invalid metadata value given: {}", text(word)));
        }
        if name.replace(word[5..].to_vec()).is_some() {
            return Err("Invalid metadata value, name argument was given multiple times".to_owned());
        }
    }
    let name = name.ok_or_else(|| "Library name was not given".to_owned())?;
    if !is_name(&name) {
        return Err(NAME_RULE.to_owned());
    }
    let engine = &words[0][2..];
    if !engine.eq_ignore_ascii_case(b"lua") {
        return Err(format!("Engine '{}' not found", text(engine)));
    }
    Ok(text(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_and_what_is_unknown_is_named() {
        assert_eq!(of_script(b"return 1"), Ok(None));
        assert_eq!(of_script(b"#!lua\nreturn 1"), Ok(Some(0)));
        assert_eq!(of_script(b"#!lua flags=no-writes,allow-oom\n"), Ok(Some(3)));
        assert_eq!(of_script(b"#!lua flags=\n"), Ok(Some(0)));
        let error = |code: &[u8]| of_script(code).expect_err("not to be read");
        assert_eq!(error(b"#!lua flags=bad\n"), "Unexpected flag in script shebang: bad");
        assert_eq!(error(b"#!not-lua\n"), "Unexpected engine in script shebang: #!not-lua");
        assert_eq!(error(b"#!lua opt=1\n"), "Unknown lua shebang option: opt=1");
        assert_eq!(error(b"#!lua"), "Invalid script shebang");
    }

    #[test]
    fn libraries_have_names() {
        assert_eq!(of_library(b"#!lua name=a_1\n"), Ok("a_1".to_owned()));
        assert_eq!(of_library(b"#!LUA NAME=x\n"), Ok("x".to_owned()));
        let error = |code: &[u8]| of_library(code).expect_err("not to be read");
        assert_eq!(error(b"return 1"), "Missing library metadata");
        assert_eq!(error(b"#!lua name=x"), "Invalid library metadata");
        assert_eq!(error(b"#!js name=x\n"), "Engine 'js' not found");
        assert_eq!(
            error(b"#!lua name=x name=y\n"),
            "Invalid metadata value, name argument was given multiple times"
        );
        assert_eq!(error(b"#!lua foo=x\n"), "Invalid metadata value given: foo=x");
        assert_eq!(error(b"#!lua\n"), "Library name was not given");
        assert_eq!(error(b"#!lua name=a-b\n"), NAME_RULE);
    }
}
