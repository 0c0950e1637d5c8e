//! The rows of Tokio's current_thread runtime: rows ROW runs that row and prints a line of JSON.

#[path = "../bench.rs"]
mod bench;
#[path = "../sync_rows.rs"]
mod sync_rows;
#[path = "../task_rows.rs"]
mod task_rows;
#[path = "../thread_rows.rs"]
mod thread_rows;

use bench::Row;

fn main() {
    let all: Vec<Row> = task_rows::rows()
        .into_iter()
        .chain(sync_rows::rows())
        .chain(thread_rows::rows())
        .collect();
    let asked = std::env::args().nth(1).unwrap_or_default();
    match all.iter().find(|row| row.id == asked) {
        Some(row) => row.run_and_print(),
        None => {
            let ids: Vec<&str> = all.iter().map(|row| row.id).collect();
            eprintln!("usage: rows ROW, one of: {}", ids.join(" "));
            std::process::exit(2);
        }
    }
}
