//! Tasks and timers.

use crate::bench::{keep, resident_bytes, run, Row, Stopwatch, MILLION};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::{yield_now, JoinHandle};
use tokio::time::Sleep;

pub fn rows() -> Vec<Row> {
    vec![
        Row::new("await", "ns", || run(await_children())),
        Row::new("yield", "ns", || run(yield_in_company())),
        Row::new("spawn_join", "ns", || run(spawn_and_join())),
        Row::once("task_bytes", "B", || run(bytes_parked())),
        Row::new("sleepers", "s", || run(million_sleepers())),
        Row::once("sleepers2s_tasks", "s", || run(sleep_two_seconds())),
        Row::new("timer", "ns", || run(create_and_cancel())),
        Row::new("gather10", "ns", || run(gather_ten())),
        Row::new("skynet", "ms", || run(skynet())),
        Row::new("fib27", "ms", || run(fib_27())),
    ]
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A child with a frame of its own, as it has in the others. Awaited in place it would be a part of
/// its parent, and cost next to nothing.
#[inline(never)]
fn child(value: usize) -> Boxed<usize> {
    Box::pin(async move { value + 1 })
}

async fn await_children() -> f64 {
    let watch = Stopwatch::of_thread();
    let mut sum = 0;
    for _ in 0..MILLION {
        sum = keep(child(sum)).await;
    }
    keep(sum);
    watch.each(MILLION)
}

async fn yield_often(times: usize) {
    for _ in 0..times {
        yield_now().await;
    }
}

async fn join_all<T>(tasks: Vec<JoinHandle<T>>) {
    for task in tasks {
        task.await.expect("no task fails");
    }
}

async fn yield_in_company() -> f64 {
    let company = 100;
    let watch = Stopwatch::of_thread();
    let each = MILLION / company;
    join_all((0..company).map(|_| tokio::spawn(yield_often(each))).collect()).await;
    watch.each(MILLION)
}

async fn spawn_and_join() -> f64 {
    let watch = Stopwatch::of_thread();
    join_all((0..MILLION).map(|_| tokio::spawn(yield_now())).collect()).await;
    watch.each(MILLION)
}

async fn bytes_parked() -> f64 {
    let go_on = Arc::new(Notify::new());
    let before = resident_bytes();
    for _ in 0..MILLION {
        let go_on = go_on.clone();
        tokio::spawn(async move { go_on.notified().await });
    }
    // Who yields has its turn again after 61 tasks at most: until the last has parked.
    for _ in 0..MILLION / 16 {
        yield_now().await;
    }
    let value = (resident_bytes() - before) / MILLION as f64;
    go_on.notify_waiters();
    value
}

async fn million_sleepers() -> f64 {
    let mut random: u64 = 1;
    let mut lengths = Vec::with_capacity(MILLION);
    for _ in 0..MILLION {
        random = random * 48271 % 2147483647; // minstd_rand, as Lariat's
        lengths.push(Duration::from_micros(random % 100_000));
    }
    let begun = Instant::now();
    let tasks = lengths.into_iter().map(|length| tokio::spawn(tokio::time::sleep(length)));
    join_all(tasks.collect()).await;
    begun.elapsed().as_secs_f64()
}

async fn sleep_two_seconds() -> f64 {
    let begun = Instant::now();
    let two = Duration::from_secs(2);
    join_all((0..1_000).map(|_| tokio::spawn(tokio::time::sleep(two))).collect()).await;
    begun.elapsed().as_secs_f64()
}

struct PollOnce<'a>(Pin<&'a mut Sleep>);

impl Future for PollOnce<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        assert!(self.0.as_mut().poll(context).is_pending());
        Poll::Ready(())
    }
}

/// A timer is with the driver once it has been polled; when it is dropped it is taken back.
async fn create_and_cancel() -> f64 {
    let watch = Stopwatch::of_thread();
    for _ in 0..MILLION {
        let sleep = tokio::time::sleep(Duration::from_secs(3600));
        tokio::pin!(sleep);
        PollOnce(sleep).await;
    }
    watch.each(MILLION)
}

async fn gather_ten() -> f64 {
    let rounds = MILLION / 10;
    let watch = Stopwatch::of_thread();
    for _ in 0..rounds {
        tokio::join!(
            yield_now(),
            yield_now(),
            yield_now(),
            yield_now(),
            yield_now(),
            yield_now(),
            yield_now(),
            yield_now(),
            yield_now(),
            yield_now()
        );
    }
    watch.each(rounds)
}

fn tree(first: usize, size: usize) -> Boxed<usize> {
    Box::pin(async move {
        if size == 1 {
            return first;
        }
        let part = size / 10;
        let children: Vec<_> =
            (0..10).map(|i| tokio::spawn(tree(first + i * part, part))).collect();
        let mut sum = 0;
        for each in children {
            sum += each.await.expect("no leaf fails");
        }
        sum
    })
}

async fn skynet() -> f64 {
    let watch = Stopwatch::of_thread();
    assert_eq!(tree(0, MILLION).await, MILLION * (MILLION - 1) / 2);
    watch.nanoseconds() / 1e6
}

fn fib(n: u32) -> Boxed<u64> {
    Box::pin(async move {
        if n < 2 {
            return u64::from(n);
        }
        fib(n - 1).await + fib(n - 2).await
    })
}

async fn fib_27() -> f64 {
    let watch = Stopwatch::of_thread();
    keep(fib(27).await);
    watch.nanoseconds() / 1e6
}
