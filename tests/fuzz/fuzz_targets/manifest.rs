//! Manifests: a text is refused at a line, or names files of one directory in an order, and is written and read again as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use russet_persist::aof::manifest::Manifest;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let manifest = match Manifest::parse(&text) {
        Ok(manifest) => manifest,
        Err(error) => {
            assert!(error.line >= 1 && error.line <= text.lines().count().max(1));
            return;
        }
    };
    for part in manifest.files() {
        assert!(!part.name.is_empty() && !part.name.contains('/') && part.seq > 0);
        assert_eq!(manifest.files().filter(|other| other.name == part.name).count(), 1);
    }
    assert!(manifest.increments.is_sorted_by(|one, next| one.seq < next.seq));
    // Others are written byte by byte, which no server writes as a name.
    if manifest.files().all(|part| part.name.is_ascii()) {
        assert_eq!(Manifest::parse(&manifest.text()), Ok(manifest));
    }
});
