//! In-process reads and fills, one cache at a time, by criterion. For ratios that
//! a noisy machine does not spoil see `compare`.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use millpond_benches::{
    subject::{Subject, Visitor},
    workload::{Plan, Workload},
};

mod peers;

const THREADS: [usize; 2] = [1, 2];

criterion_group!(l1, workloads);
criterion_main!(l1);

fn workloads(criterion: &mut Criterion) {
    for workload in Workload::ALL {
        let most = THREADS.into_iter().max().unwrap_or(1);
        peers::visit_all(&mut Group {
            plan: Plan::new(workload, most),
            name: workload.name(),
            criterion,
        });
    }
}

struct Group<'a> {
    plan: Plan,
    name: &'static str,
    criterion: &'a mut Criterion,
}

impl Visitor for Group<'_> {
    fn visit<S: Subject + 'static>(&mut self) {
        let subject: S = self.plan.filled();
        let mut group = self.criterion.benchmark_group(self.name);
        group
            .warm_up_time(Duration::from_secs(1))
            .measurement_time(Duration::from_secs(3));
        for threads in THREADS {
            let id = BenchmarkId::new(peers::title::<S>(), format!("{threads} threads"));
            let mut offset = 0;
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|times| {
                    let run = self.plan.run(&subject, threads, offset, times);
                    offset += times;
                    run.elapsed
                });
            });
        }
        group.finish();
    }
}
