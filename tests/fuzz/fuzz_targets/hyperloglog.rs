//! HyperLogLogs: strings that clients have set to anything are refused, or count the same in either form.

#![no_main]

use libfuzzer_sys::fuzz_target;
use russet_engine::types::hyperloglog::{Registers, Sketch, count, form_of, observe};

fuzz_target!(|data: &[u8]| {
    let Some((&sparse_max, bytes)) = data.split_first() else { return };
    // The head is easily guessed, so it is given.
    let mut text = b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80".to_vec();
    text.extend_from_slice(bytes);
    for text in [&text[..], bytes] {
        let Some(form) = form_of(text) else { continue };
        let counted = count(text, form);
        let mut registers = Registers::new();
        let merged = registers.merge(text, form);
        let mut dense = Sketch::copy(text, form);
        let made_dense = dense.make_dense();
        assert_eq!(merged.is_ok(), made_dense.is_ok());
        if let (Ok(counted), Ok(()), Ok(())) = (counted, merged, made_dense) {
            assert_eq!(count(dense.bytes(), dense.form()), Ok(registers.count()));
            // What a run says twice of a register counts once.
            assert!(counted.abs_diff(registers.count()) <= 1 || registers.count() <= counted);
        }
        let mut sketch = Sketch::copy(text, form);
        for element in bytes.chunks(3).take(20) {
            let seen = observe(element);
            let Ok(_) = sketch.add(seen, usize::from(sparse_max)) else { return };
            assert_eq!(sketch.add(seen, usize::from(sparse_max)), Ok(false));
        }
        let again = registers.into_sketch(sparse_max % 2 == 0, usize::from(sparse_max) * 16);
        assert!(count(again.bytes(), again.form()).is_ok());
    }
});
