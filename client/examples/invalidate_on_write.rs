//! Invalidating after a write: no reader sees the old value, not even from a load
//! that was under way.
//!
//! `cargo run -p millpond-client --example invalidate_on_write` runs on a cache in
//! this process; with `MILLPOND_ADDR` set, on the sidecar there.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use millpond_client::{EmbeddedConfig, Item, Millpond};
use tokio::sync::Notify;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pond = Millpond::from_env_or_embedded(EmbeddedConfig::default()).await?;
    let prices = pond.cache("example-prices")?.tenant("acme")?;
    prices.invalidate_all().await?; // so that every run begins alike
    let database = Arc::new(AtomicU64::new(10));

    // A slow reader has the old price in hand, and has not stored it yet.
    let (read, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = tokio::spawn({
        let (prices, database) = (prices.clone(), Arc::clone(&database));
        let (read, go_on) = (Arc::clone(&read), Arc::clone(&go_on));
        let load = move || async move {
            let price = database.load(Ordering::SeqCst).to_string();
            read.notify_one();
            go_on.notified().await;
            Ok::<_, Infallible>(Item::new(price).tags(["shoes"]))
        };
        async move { prices.get_or_load("sku:7", load).await }
    });
    read.notified().await;

    // Write, then invalidate: from here on the old price is history.
    database.store(12, Ordering::SeqCst);
    // By a tag, which the value in the slow reader's hand does not even carry yet.
    prices.invalidate_tags(["shoes"]).await?;

    go_on.notify_one();
    let old = slow.await??.ok_or("there is a price")?;
    println!("the slow reader, who asked before: {}", text(&old));
    assert_eq!((text(&old), old.version()), ("10", None)); // it was not stored

    let load = {
        let database = Arc::clone(&database);
        move || async move {
            let price = database.load(Ordering::SeqCst).to_string();
            Ok::<_, Infallible>(Item::new(price).tags(["shoes"]))
        }
    };
    let new = prices.get_or_load("sku:7", load).await?;
    let new = new.ok_or("there is a price")?;
    println!("everybody after the write: {}", text(&new));
    assert_eq!(text(&new), "12");
    Ok(())
}

fn text(value: &[u8]) -> &str {
    std::str::from_utf8(value).unwrap_or("not text")
}
