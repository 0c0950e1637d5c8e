//! Tasks that wait for each other.

use crate::bench::{keep, run, Row, Stopwatch, MILLION};
use std::sync::Arc;
use tokio::sync::{mpsc, Mutex, Notify};

pub fn rows() -> Vec<Row> {
    vec![
        Row::new("mutex", "ns", || run(lock_and_unlock())),
        Row::new("mutex_handover", "ns", || run(hand_over())),
        Row::new("event_pingpong", "ns", || run(ping_pong())),
        Row::new("queue_1", "ns", || run(through_channel(1))),
        Row::new("queue_64", "ns", || run(through_channel(64))),
        Row::new("queue_unbounded", "ns", || run(through_unbounded_channel())),
        Row::new("channel_64", "ns", || run(through_channel(64))),
        Row::new("select", "ns", || run(through_select())),
    ]
}

async fn lock_and_unlock() -> f64 {
    let lock = Mutex::new(0);
    let watch = Stopwatch::of_thread();
    for _ in 0..MILLION {
        *keep(&lock).lock().await += 1;
    }
    watch.each(MILLION)
}

/// Once both stand in line, every unlock hands it to the other.
async fn hand_over() -> f64 {
    let lock = Arc::new(Mutex::new(0));
    let held = lock.lock().await;
    let start = |lock: Arc<Mutex<usize>>| {
        tokio::spawn(async move {
            for _ in 0..MILLION / 2 {
                *lock.lock().await += 1;
            }
        })
    };
    let one = start(lock.clone());
    let other = start(lock.clone());
    tokio::task::yield_now().await;
    let watch = Stopwatch::of_thread();
    drop(held);
    one.await.expect("it does not fail");
    other.await.expect("it does not fail");
    watch.each(MILLION)
}

async fn ping_pong() -> f64 {
    let ping = Arc::new(Notify::new());
    let pong = Arc::new(Notify::new());
    let (asked, answered) = (ping.clone(), pong.clone());
    let watch = Stopwatch::of_thread();
    let answers = tokio::spawn(async move {
        for _ in 0..MILLION / 2 {
            asked.notified().await;
            answered.notify_one();
        }
    });
    let asks = tokio::spawn(async move {
        for _ in 0..MILLION / 2 {
            ping.notify_one();
            pong.notified().await;
        }
    });
    asks.await.expect("it does not fail");
    answers.await.expect("it does not fail");
    watch.each(MILLION)
}

async fn through_channel(capacity: usize) -> f64 {
    let (to, mut from) = mpsc::channel(capacity);
    let watch = Stopwatch::of_thread();
    let puts = tokio::spawn(async move {
        for i in 0..MILLION {
            to.send(i).await.expect("it is taken");
        }
    });
    let gets = tokio::spawn(async move {
        let mut sum = 0;
        while let Some(item) = from.recv().await {
            sum += item;
        }
        keep(sum);
    });
    puts.await.expect("it does not fail");
    gets.await.expect("it does not fail");
    watch.each(MILLION)
}

/// Its smallest channels hold one item.
async fn through_select() -> f64 {
    let (to_a, mut a) = mpsc::channel(1);
    let (to_b, mut b) = mpsc::channel(1);
    let watch = Stopwatch::of_thread();
    for to in [to_a, to_b] {
        tokio::spawn(async move {
            for i in 0..MILLION / 2 {
                to.send(i).await.expect("it is taken");
            }
        });
    }
    let gets = tokio::spawn(async move {
        let mut sum = 0;
        for _ in 0..MILLION {
            sum += tokio::select! {
                Some(item) = a.recv() => item,
                Some(item) = b.recv() => item,
                else => unreachable!("both are not done"),
            };
        }
        keep(sum);
    });
    gets.await.expect("it does not fail");
    watch.each(MILLION)
}

async fn through_unbounded_channel() -> f64 {
    let (to, mut from) = mpsc::unbounded_channel();
    let watch = Stopwatch::of_thread();
    let puts = tokio::spawn(async move {
        for i in 0..MILLION {
            to.send(i).expect("it is taken");
        }
    });
    let gets = tokio::spawn(async move {
        let mut sum = 0;
        while let Some(item) = from.recv().await {
            sum += item;
        }
        keep(sum);
    });
    puts.await.expect("it does not fail");
    gets.await.expect("it does not fail");
    watch.each(MILLION)
}
