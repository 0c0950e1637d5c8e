//! Items and wakes from other threads.

use crate::bench::{keep, pin, run, wall_each, Row, Stopwatch, MILLION};
use std::thread;
use std::time::Instant;
use tokio::sync::mpsc;

pub fn rows() -> Vec<Row> {
    vec![
        Row::new("post", "ns", || run(posts_under_load())),
        Row::new("wake", "us", wake_and_back),
        Row::new("offload", "us", || run(offload_cpu())),
        Row::new("offload_wall", "us", || run(offload_wall())),
    ]
}

async fn posts_under_load() -> f64 {
    let (to, mut from) = mpsc::unbounded_channel();
    let begun = Instant::now();
    let producer = thread::spawn(move || {
        for i in 0..MILLION {
            to.send(i).expect("it is taken");
        }
    });
    let mut sum = 0;
    while let Some(item) = from.recv().await {
        sum += item;
    }
    keep(sum);
    let each = wall_each(begun, MILLION);
    producer.join().expect("it does not fail");
    each
}

/// Two runtimes, each asleep while the other works.
fn wake_and_back() -> f64 {
    let rounds = 5_000;
    let (to, mut there) = mpsc::unbounded_channel();
    let (back, mut from) = mpsc::unbounded_channel();
    let far = thread::spawn(move || {
        pin(1);
        run(async move {
            while let Some(item) = there.recv().await {
                back.send(item).expect("it is taken");
            }
        });
    });
    let near = thread::spawn(move || {
        pin(0);
        run(async move {
            let begun = Instant::now();
            for i in 0..rounds {
                to.send(i).expect("it is taken");
                from.recv().await;
            }
            wall_each(begun, rounds) / 1e3
        })
    });
    let value = near.join().expect("it does not fail");
    far.join().expect("it does not fail");
    value
}

const OFFLOADS: usize = 20_000;

async fn offload_round_trips() {
    for _ in 0..OFFLOADS {
        tokio::task::spawn_blocking(|| {}).await.expect("it does not fail");
    }
}

async fn offload_cpu() -> f64 {
    let watch = Stopwatch::of_process();
    offload_round_trips().await;
    watch.each(OFFLOADS) / 1e3
}

async fn offload_wall() -> f64 {
    let begun = Instant::now();
    offload_round_trips().await;
    wall_each(begun, OFFLOADS) / 1e3
}
