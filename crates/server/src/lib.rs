//! The shell: threads, sockets, timers, signals; the binary.
