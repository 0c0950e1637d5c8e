//! What the rows share: clocks, and how one is run and printed.

use std::future::Future;
use std::time::Instant;

pub const MILLION: usize = 1_000_000;

pub struct Row {
    pub id: &'static str,
    pub unit: &'static str,
    pub measure: fn() -> f64,
    /// It runs once before it counts; not what asks for memory that nobody has used, or waits.
    pub warm: bool,
}

impl Row {
    pub fn new(id: &'static str, unit: &'static str, measure: fn() -> f64) -> Row {
        Row { id, unit, measure, warm: true }
    }

    pub fn once(id: &'static str, unit: &'static str, measure: fn() -> f64) -> Row {
        Row { id, unit, measure, warm: false }
    }

    pub fn run_and_print(&self) {
        if self.warm {
            (self.measure)();
        }
        let value = (self.measure)();
        let (id, unit) = (self.id, self.unit);
        println!("{{\"row\": \"{id}\", \"value\": {value:.6}, \"unit\": \"{unit}\"}}");
    }
}

/// Runs it as a task on a runtime of its own; the future that block_on() is given is none.
pub fn run<F>(what: F) -> F::Output
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().expect("a runtime");
    runtime.block_on(runtime.spawn(what)).expect("the row does not fail")
}

/// Nanoseconds of CPU time since it was made.
pub struct Stopwatch {
    clock: libc::clockid_t,
    start: f64,
}

impl Stopwatch {
    pub fn of_thread() -> Stopwatch {
        Stopwatch::of(libc::CLOCK_THREAD_CPUTIME_ID)
    }

    pub fn of_process() -> Stopwatch {
        Stopwatch::of(libc::CLOCK_PROCESS_CPUTIME_ID)
    }

    fn of(clock: libc::clockid_t) -> Stopwatch {
        Stopwatch { clock, start: Stopwatch::now(clock) }
    }

    fn now(clock: libc::clockid_t) -> f64 {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the time lives through the call.
        unsafe { libc::clock_gettime(clock, &mut time) };
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    }

    pub fn nanoseconds(&self) -> f64 {
        Stopwatch::now(self.clock) - self.start
    }

    pub fn each(&self, operations: usize) -> f64 {
        self.nanoseconds() / operations as f64
    }
}

/// The value, of which the compiler knows nothing (black_box is newer than Debian's Rust, 1.63).
pub fn keep<T>(value: T) -> T {
    // SAFETY: the value is read once and forgotten, so that there is one of it.
    unsafe {
        let read = std::ptr::read_volatile(&value);
        std::mem::forget(value);
        read
    }
}

pub fn wall_each(begun: Instant, operations: usize) -> f64 {
    begun.elapsed().as_nanos() as f64 / operations as f64
}

pub fn resident_bytes() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages: f64 = text.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("pages");
    // SAFETY: it takes no pointer.
    pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as f64
}

/// Pins the thread that calls.
pub fn pin(core: usize) {
    // SAFETY: the set lives through the call.
    unsafe {
        let mut set = std::mem::zeroed::<libc::cpu_set_t>();
        libc::CPU_SET(core, &mut set);
        assert_eq!(libc::sched_setaffinity(0, std::mem::size_of_val(&set), &set), 0);
    }
}
