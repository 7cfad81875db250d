//! Which processor does what: servers have the first, the generator the last.

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

/// This thread's, which what it starts inherits.
const SELF: Pid = Pid::from_raw(0);

/// Where this process may run at all, before it chose.
fn count() -> usize {
    // Not the affinity, which changes here.
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

/// From now on this thread, and whatever it starts, is where no server is measured.
pub fn keep_to_the_generators() {
    assert!(count() > 1, "a generator needs a processor of its own");
    keep_to([count() - 1]);
}

/// Runs `start` so that the process it starts has the first `servers` processors.
pub fn on_the_servers<T>(servers: usize, start: impl FnOnce() -> T) -> T {
    let before = sched_getaffinity(SELF).unwrap();
    keep_to(0..servers);
    let started = start();
    sched_setaffinity(SELF, &before).unwrap();
    started
}

/// For a thread that measures nothing.
pub fn anywhere() {
    keep_to(0..count());
}
