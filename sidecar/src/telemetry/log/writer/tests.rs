use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::*;

/// Longer than anything here takes; a wait that ends by it failed.
const LONG: Duration = Duration::from_secs(20);

/// A writer whose every line waits until it is asked for.
struct Read {
    writer: &'static Writer,
    asked: SyncSender<io::Result<()>>,
    written: Receiver<String>,
}

impl Read {
    fn new() -> Self {
        // The thread has no end, as in the process.
        let writer: &Writer = Box::leak(Box::new(Writer::new()));
        let (asked, ask) = sync_channel::<io::Result<()>>(0);
        let (write, written) = sync_channel(2 * MAX_LINES);
        std::thread::spawn(move || {
            let notice = |dropped| format!("{dropped} dropped\n");
            writer.run(notice, |line| {
                let Ok(answer) = ask.recv() else {
                    // The test is over.
                    loop {
                        std::thread::park();
                    }
                };
                let line = String::from_utf8(line.to_vec()).expect("lines are text");
                answer.and_then(|()| write.send(line).map_err(io::Error::other))
            });
        });
        Self {
            writer,
            asked,
            written,
        }
    }

    fn one(&self) -> String {
        self.asked.send(Ok(())).expect("the writer runs");
        self.written.recv_timeout(LONG).expect("it writes")
    }

    /// Pushes until a line is dropped; the first of them is in the writer's hand.
    fn fill(&self, line: impl Fn(usize) -> String) -> usize {
        self.writer.push(line(0));
        while !self.writer.queue.lock().lines.is_empty() {
            std::thread::yield_now();
        }
        let pushed = (1..=2 * MAX_LINES).find(|&number| {
            self.writer.push(line(number));
            self.writer.dropped() > 0
        });
        pushed.expect("the queue is bounded")
    }
}

#[test]
fn while_nobody_reads_lines_are_dropped_and_counted_and_then_one_line_says_how_many() {
    let read = Read::new();
    let line = |number: usize| format!("{number}\n");
    let kept = read.fill(line);
    assert_eq!(kept, 1 + MAX_LINES);
    read.writer.push(line(kept + 1));
    assert_eq!(read.one(), line(0));
    // There is room, but the notice comes first.
    read.writer.push(line(kept + 2));
    assert_eq!(read.writer.dropped(), 3);
    for number in 1..kept {
        assert_eq!(read.one(), line(number));
    }
    assert_eq!(read.one(), "3 dropped\n");
    read.writer.push("after\n".to_owned());
    assert_eq!(read.one(), "after\n");
    assert_eq!(read.writer.dropped(), 3);
}

#[test]
fn long_lines_fill_the_queue_by_their_bytes() {
    let read = Read::new();
    let kept = read.fill(|_| "x".repeat(MAX_BYTES / 4));
    assert_eq!(kept, 1 + 4);
    // One that can never fit is told of, and holds up nothing.
    for _ in 0..kept {
        read.one();
    }
    assert_eq!(read.one(), "1 dropped\n");
    read.writer.push("x".repeat(MAX_BYTES + 1));
    assert_eq!(read.one(), "1 dropped\n");
    assert_eq!(read.writer.queue.lock().bytes, 0);
}

#[test]
fn a_flush_waits_for_the_lines_before_it_and_the_notice_of_dropped_ones() {
    let read = Read::new();
    assert!(read.writer.flush(Duration::ZERO), "there is nothing");
    let kept = read.fill(|number| format!("{number}\n"));
    assert!(!read.writer.flush(Duration::from_millis(1)));
    assert!(read.writer.stalled());
    for _ in 0..kept {
        read.one();
    }
    assert!(
        !read.writer.flush(Duration::from_millis(1)),
        "the notice is due"
    );
    let writer = read.writer;
    let flushing = std::thread::spawn(move || writer.flush(LONG));
    assert_eq!(read.one(), "1 dropped\n");
    assert!(flushing.join().expect("it does not panic"));
    assert!(!writer.stalled());
}

#[test]
fn what_stderr_refuses_is_counted_and_holds_up_nothing() {
    let read = Read::new();
    read.writer.push("lost\n".to_owned());
    let refused = io::ErrorKind::BrokenPipe.into();
    read.asked.send(Err(refused)).expect("the writer runs");
    assert!(read.writer.flush(LONG));
    assert_eq!(read.writer.dropped(), 1);
    read.writer.push("kept\n".to_owned());
    assert_eq!(read.one(), "kept\n");
}

#[test]
fn lines_of_several_threads_keep_the_order_of_each() {
    let read = Read::new();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let writer = read.writer;
            scope.spawn(move || {
                for number in 0..100 {
                    writer.push(format!("{thread} {number:03}\n"));
                }
            });
        }
    });
    let mut last = [const { String::new() }; 4];
    for _ in 0..400 {
        let line = read.one();
        let thread: usize = line[..1].parse().expect("a number");
        assert!(last[thread] < line, "{line} after {}", last[thread]);
        last[thread] = line;
    }
}
