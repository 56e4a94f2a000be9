//! A tally as tables and as JSON.

use std::fmt;

use serde_json::{Value, json};

use super::tally::{Count, Heavy, Tally, Types, sum};

/// A name as somebody can read it: text as it is, everything else with escapes.
fn shown(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => name.escape_ascii().to_string(),
    }
}

/// Bytes with the unit that fits.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if bytes < 1 << 10 {
        return format!("{bytes} B");
    }
    let nth = (bytes.ilog2() / 10).min(UNITS.len() as u32);
    let whole = bytes as f64 / (1_u64 << (10 * nth)) as f64;
    format!("{whole:.1} {}", UNITS[nth as usize - 1])
}

/// A line of a table of counts.
fn line(f: &mut fmt::Formatter<'_>, name: &str, count: &Count, of: &str) -> fmt::Result {
    let Count { keys, bytes, ending, len, largest } = *count;
    let (bytes, largest) = (size(bytes), size(largest));
    writeln!(f, "  {keys:>12} {bytes:>10} {largest:>10} {len:>14} {ending:>12}  {name}{of}")
}

fn head(f: &mut fmt::Formatter<'_>, title: &str, last: &str) -> fmt::Result {
    let columns = ["keys", "in memory", "largest", "length", "with an end"];
    let [keys, bytes, largest, len, ending] = columns;
    writeln!(f, "{title}")?;
    writeln!(f, "  {keys:>12} {bytes:>10} {largest:>10} {len:>14} {ending:>12}  {last}")
}

fn names(types: &Types) -> String {
    let names: Vec<&str> = types.keys().copied().collect();
    names.join(", ")
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (db, types) in &self.databases {
            head(f, &format!("database {db}"), "type")?;
            types.iter().try_for_each(|(name, count)| line(f, name, count, ""))?;
            line(f, "all", &sum(types), "")?;
        }
        if self.databases.is_empty() {
            return writeln!(f, "no keys");
        }
        let (prefixes, others) = self.heaviest();
        head(f, "by prefix, what takes most first", "database, prefix (types)")?;
        for Heavy { db, prefix, types, count } in prefixes {
            let prefix = if prefix.is_empty() { "-".to_owned() } else { shown(prefix) };
            line(f, &format!("{db} {prefix}"), &count, &format!(" ({})", names(types)))?;
        }
        if others > 0 {
            writeln!(f, "  and {others} more")?;
        }
        writeln!(f, "largest keys")?;
        for large in self.largest() {
            let (bytes, key) = (size(large.bytes), shown(&large.key));
            let (db, kind, encoding, len) = (large.db, large.kind, large.encoding, large.len);
            writeln!(f, "  {bytes:>10} {len:>14}  {kind} ({encoding})  {db} {key}")?;
        }
        if self.libraries > 0 {
            writeln!(f, "libraries of functions: {}", self.libraries)?;
        }
        Ok(())
    }
}

fn of_count(count: &Count) -> Value {
    json!({
        "keys": count.keys,
        "bytes": count.bytes,
        "largest_bytes": count.largest,
        "length": count.len,
        "keys_with_an_end": count.ending,
    })
}

fn of_types(types: &Types) -> Value {
    let types = types.iter().map(|(name, count)| ((*name).to_owned(), of_count(count)));
    Value::Object(types.collect())
}

impl Tally {
    /// As one JSON object.
    pub(super) fn json(&self) -> Value {
        let databases = self.databases.iter().map(|(db, types)| {
            let mut value = of_count(&sum(types));
            value["database"] = (*db).into();
            value["types"] = of_types(types);
            value
        });
        let (heaviest, others) = self.heaviest();
        let prefixes = heaviest.iter().map(|heavy| {
            let mut value = of_count(&heavy.count);
            value["database"] = heavy.db.into();
            value["prefix"] = shown(heavy.prefix).into();
            value["types"] = of_types(heavy.types);
            value
        });
        let largest = self.largest().into_iter().map(|large| {
            json!({
                "database": large.db,
                "key": shown(&large.key),
                "type": large.kind,
                "encoding": large.encoding,
                "bytes": large.bytes,
                "length": large.len,
            })
        });
        json!({
            "databases": databases.collect::<Vec<_>>(),
            "prefixes": prefixes.collect::<Vec<_>>(),
            "prefixes_not_shown": others,
            "largest_keys": largest.collect::<Vec<_>>(),
            "libraries": self.libraries,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_unit_that_fits() {
        let shown = [0, 1023, 1024, 1536, 5 << 20, 3 << 40, u64::MAX].map(size);
        let expected = ["0 B", "1023 B", "1.0 KB", "1.5 KB", "5.0 MB", "3.0 TB", "16777216.0 TB"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn names_that_are_no_text_are_escaped() {
        assert_eq!(shown("clé:1".as_bytes()), "clé:1");
        assert_eq!(shown(b"a\nb"), "a\\nb");
        assert_eq!(shown(b"\xff\x00"), "\\xff\\x00");
    }
}
