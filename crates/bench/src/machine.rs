//! Where the figures come from: processor, cores, kernel.

use std::{fs, thread};

use serde::Serialize;

/// The machine, in the words of its kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// `model name` of the first processor.
    pub cpu: String,
    /// How many processors there are.
    pub cores: usize,
    /// Kernel release.
    pub kernel: String,
}

/// This machine; what cannot be read is called unknown.
pub fn here() -> Machine {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    Machine {
        cpu: model_name(&read("/proc/cpuinfo")),
        cores: thread::available_parallelism().map_or(1, std::num::NonZero::get),
        kernel: known(kernel.trim()),
    }
}

fn model_name(cpuinfo: &str) -> String {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"));
    known(line.and_then(|line| line.split_once(':')).map_or("", |(_, name)| name.trim()))
}

fn known(text: &str) -> String {
    if text.is_empty() { "unknown".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_name_is_found_or_unknown() {
        assert_eq!(
            model_name("processor\t: 0\nmodel name\t: Some CPU @ 2GHz\n"),
            "Some CPU @ 2GHz"
        );
        assert_eq!(model_name("processor\t: 0\n"), "unknown");
    }

    #[test]
    fn here_is_somewhere() {
        assert!(here().cores > 0);
        assert_ne!(here().kernel, "unknown");
    }
}
