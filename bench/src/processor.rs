//! Assigns processors: the first ones to servers, the last one to the generator.

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

/// The current thread. Processes that it starts inherit its processors.
const SELF: Pid = Pid::from_raw(0);

fn count() -> usize {
    // We can't use the thread's affinity because this module changes it.
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
    let last = online.trim().rsplit(['-', ',']).next().unwrap();
    last.parse::<usize>().unwrap() + 1
}

fn keep_to(processors: impl IntoIterator<Item = usize>) {
    let mut set = CpuSet::new();
    for processor in processors {
        set.set(processor).unwrap();
    }
    sched_setaffinity(SELF, &set).unwrap();
}

/// Moves this thread, and processes that it starts, to the last processor, on which no server is
/// measured.
pub fn keep_to_the_generators() {
    assert!(count() > 1, "a generator needs a processor of its own");
    keep_to([count() - 1]);
}

/// Runs `start`, and gives the process that it starts the first `servers` processors.
pub fn on_the_servers<T>(servers: usize, start: impl FnOnce() -> T) -> T {
    let before = sched_getaffinity(SELF).unwrap();
    keep_to(0..servers);
    let started = start();
    sched_setaffinity(SELF, &before).unwrap();
    started
}

/// Allows every processor, for a thread that measures nothing.
pub fn anywhere() {
    keep_to(0..count());
}
