//! Keeping leases while a loader waits for its place and runs.
//!
//! Each time half of what is left of a lease has passed it is renewed, beside the
//! loader and never in its way. What cannot be renewed is left to run out: then
//! another caller may load too, which is what a lease that ends is for.
//!
//! Cost: a timer a load; a call a half lease, once a loader is that slow.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::time::sleep;

use crate::reply::Turn;

/// What is left at the end of `max_load` is not renewed in ever smaller halves: a lease
/// that is this short twice in a row is left to run out. Once may be a process that was
/// stopped in between.
const LEAST: Duration = Duration::from_millis(10);

/// Runs `load` to its end, and keeps `turns` until then if they are to be renewed.
pub(crate) async fn keeping<'a, T>(
    renew: bool,
    turns: impl Iterator<Item = &'a Turn> + Clone,
    load: impl Future<Output = T>,
) -> T {
    let mut load = pin!(load);
    let shortest = turns.clone().map(Turn::lasts).min();
    let Some(mut lasts) = shortest.filter(|_| renew) else {
        return load.await;
    };
    let mut short = false;
    loop {
        let before = std::mem::replace(&mut short, lasts < LEAST);
        if before && short {
            break;
        }
        if let Some(loaded) = meanwhile(load.as_mut(), sleep(lasts / 2)).await {
            return loaded;
        }
        let mut shortest = None;
        let renewed = async {
            for turn in turns.clone() {
                // A turn that is void is no reason to lose the others.
                let lasts = turn.renew().await;
                shortest = lasts.into_iter().chain(shortest).min();
            }
        };
        if let Some(loaded) = meanwhile(load.as_mut(), renewed).await {
            return loaded;
        }
        match shortest {
            Some(left) => lasts = left,
            None => break,
        }
    }
    load.await
}

/// Runs both until `other` has ended; what `load` brought, if it was first.
async fn meanwhile<T>(
    load: Pin<&mut impl Future<Output = T>>,
    other: impl Future<Output = ()>,
) -> Option<T> {
    match select(load, pin!(other)).await {
        Either::Left((loaded, _)) => Some(loaded),
        Either::Right(((), _)) => None,
    }
}
