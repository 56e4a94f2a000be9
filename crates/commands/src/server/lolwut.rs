//! LOLWUT: a tree, another one each time.
//!
//! A branch is a line; at its end grow two or three that are shorter and lean to the sides. Lines are drawn on a canvas of dots, two by
//! four to a character: the 256 characters of Braille from U+2800 on have a bit for each dot. `VERSION n` always grows the same tree.

use std::f64::consts::FRAC_PI_2;

use russet_config::REDIS_VERSION;
use russet_dispatch::{Args, Context, Outcome};
use russet_engine::random::Random;

/// The picture's size in characters.
const COLUMNS: usize = 40;
const ROWS: usize = 16;

/// Dots per character.
const ACROSS: usize = 2;
const DOWN: usize = 4;

/// The bits of a character's dots, row by row.
const BITS: [[u8; ACROSS]; DOWN] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

/// The character without any dot.
const BLANK: u32 = 0x2800;

/// The trunk, in dots; a branch shorter than a twig grows no more.
const TRUNK: f64 = 17.0;
const TWIG: f64 = 2.0;

pub(super) fn lolwut(cx: &mut Context<'_>, args: &mut Args<'_>) -> Outcome {
    let is_chosen = args.left() > 1 && args.flag("version");
    let seed = if is_chosen { args.int()? as u64 } else { cx.thread.random() };
    let text = format!("{}\nRedis ver. {REDIS_VERSION}\n", picture(seed));
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn picture(seed: u64) -> String {
    let mut canvas = Canvas { cells: [[0; COLUMNS]; ROWS] };
    let foot = ((COLUMNS * ACROSS / 2) as f64, (ROWS * DOWN - 1) as f64);
    canvas.grow(&mut Random::new(seed), foot, FRAC_PI_2, TRUNK);
    canvas.text()
}

struct Canvas {
    cells: [[u8; COLUMNS]; ROWS],
}

impl Canvas {
    /// A branch from `foot` upwards at an angle, and what grows at its end.
    fn grow(&mut self, dice: &mut Random, foot: (f64, f64), angle: f64, length: f64) {
        let end = (foot.0 + length * angle.cos(), foot.1 - length * angle.sin());
        self.line(foot, end);
        if length < TWIG {
            return;
        }
        let branches = 2 + dice.below(5) / 4;
        for nth in 0..branches {
            let side = 2.0 * nth as f64 / (branches - 1) as f64 - 1.0;
            let lean = side * (0.25 + 0.4 * share(dice));
            let shorter = length * (0.62 + 0.2 * share(dice));
            self.grow(dice, end, angle + lean, shorter);
        }
    }

    fn line(&mut self, from: (f64, f64), until: (f64, f64)) {
        let (across, down) = (until.0 - from.0, until.1 - from.1);
        let steps = across.abs().max(down.abs()).ceil().max(1.0);
        for step in 0..=steps as u32 {
            let part = f64::from(step) / steps;
            self.dot(from.0 + across * part, from.1 + down * part);
        }
    }

    /// One dot; what lies outside is not drawn.
    fn dot(&mut self, x: f64, y: f64) {
        if x < 0.0 || y < 0.0 {
            return;
        }
        let (x, y) = (x as usize, y as usize);
        if let Some(cell) = self.cells.get_mut(y / DOWN).and_then(|row| row.get_mut(x / ACROSS)) {
            *cell |= BITS[y % DOWN][x % ACROSS];
        }
    }

    fn text(&self) -> String {
        let glyph = |bits: &u8| {
            char::from_u32(BLANK + u32::from(*bits)).expect("all of Braille is assigned")
        };
        let row = |cells: &[u8; COLUMNS]| cells.iter().map(glyph).chain(['\n']).collect::<String>();
        self.cells.iter().map(row).collect()
    }
}

/// A number from 0 up to 1.
fn share(dice: &mut Random) -> f64 {
    dice.below(1000) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_always_grows_the_same_tree() {
        assert_eq!(picture(7), picture(7));
        assert_ne!(picture(7), picture(8));
    }

    #[test]
    fn a_tree_has_a_trunk_and_many_dots() {
        for seed in 0..50 {
            let picture = picture(seed);
            assert_eq!(picture.lines().count(), ROWS);
            let dots: u32 = picture
                .lines()
                .flat_map(str::chars)
                .map(|c| (u32::from(c) - BLANK).count_ones())
                .sum();
            assert!(dots > 100, "{dots} dots of seed {seed}");
        }
    }
}
