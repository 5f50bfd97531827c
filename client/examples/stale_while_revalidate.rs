//! Stale while revalidate: when a value has passed its freshness, nobody waits for
//! the next one.
//!
//! `cargo run -p millpond-client --example stale_while_revalidate` runs on a cache
//! in this process; with `MILLPOND_ADDR` set, on the sidecar there.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use millpond_client::{EmbeddedConfig, Item, Millpond, Times};
use tokio::sync::oneshot;

/// Fresh for a moment, then answered for a minute while one caller refreshes it.
const TIMES: Times = Times {
    fresh: Some(Duration::from_millis(50)),
    stale: Some(Duration::from_secs(60)),
    stale_if_error: None,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pond = Millpond::from_env_or_embedded(EmbeddedConfig::default()).await?;
    let pages = pond.cache("example-pages")?.tenant("acme")?;
    pages.set("/", Item::new("monday").times(TIMES)).await?;
    tokio::time::sleep(Duration::from_millis(100)).await; // its freshness passes

    // The load of the next value does not end before it is told to.
    let (finish, finished) = oneshot::channel();
    let load = || async {
        drop(finished.await);
        let long_lived = Item::new("tuesday").fresh(Duration::from_secs(60));
        Ok::<_, Infallible>(long_lived)
    };
    let page = pages.get_or_load("/", load).await?;
    let page = page.ok_or("there is a page")?;
    println!("at once: monday, stale: {:?}", page.stale());
    assert_eq!(page[..], *b"monday");
    assert!(page.stale().is_some());

    // The load ends in the background, and the next readers get what it brought.
    finish.send(()).map_err(|()| "the load is under way")?;
    loop {
        let page = pages.get("/").await?.value().ok_or("there is a page")?;
        if page.stale().is_none() {
            println!("soon after: tuesday, age {:?}", page.age());
            assert_eq!(page[..], *b"tuesday");
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}
