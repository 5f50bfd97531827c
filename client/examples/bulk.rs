//! Reading many keys at once: one query for all that is not held.
//!
//! `cargo run -p millpond-client --example bulk` runs on a cache in this process; with
//! `MILLPOND_ADDR` set, on the sidecar there.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millpond_client::{Bytes, EmbeddedConfig, Item, LoadedMany, Millpond};

/// Stands for the database, which counts its queries.
#[derive(Default)]
struct Database {
    queries: AtomicUsize,
}

impl Database {
    /// `SELECT id, name FROM users WHERE id IN (ids)`: rows in any order, and none for
    /// what is not there.
    async fn users(&self, ids: &[Bytes]) -> Result<Vec<(Bytes, String)>, std::io::Error> {
        let query = self.queries.fetch_add(1, Ordering::Relaxed) + 1;
        println!("query {query}: {} users", ids.len());
        let known = ids.iter().filter(|id| id[..] != b"user:13"[..]);
        let row = |id: &Bytes| (id.clone(), format!("name of {}", id.escape_ascii()));
        Ok(known.map(row).collect())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pond = Millpond::from_env_or_embedded(EmbeddedConfig::default()).await?;
    let users = pond.cache("example-bulk")?.tenant("acme")?;
    users.invalidate_all().await?; // so that every run begins alike
    let database = Arc::new(Database::default());

    let load = {
        let database = Arc::clone(&database);
        // May run more than once: what is stale is refreshed by a call of its own.
        move |ids: Vec<Bytes>| {
            let database = Arc::clone(&database);
            async move {
                let rows = database.users(&ids).await?;
                let item = |(id, name)| (id, Item::new(name).tags(["users"]));
                Ok::<LoadedMany<_>, std::io::Error>(rows.into_iter().map(item).collect())
            }
        }
    };

    users.set("user:7", "set before").await?;
    let ids: Vec<String> = (0..50).map(|id| format!("user:{id}")).collect();
    for _ in 0..2 {
        let found = users.get_many_or_load(&ids, load.clone()).await;
        // In the order asked, and each by itself.
        assert_eq!(found.len(), 50);
        let mut names = 0;
        for (id, one) in ids.iter().zip(found) {
            match one? {
                Some(_) => names += 1,
                None => assert_eq!(id, "user:13"),
            }
        }
        assert_eq!(names, 49);
    }

    let queries = database.queries.load(Ordering::Relaxed);
    // An undeclared cache, as a sidecar's are, does not remember what is not there: the
    // second read asks for that one again.
    println!("100 reads, {queries} queries");
    assert_eq!(queries, 2);
    Ok(())
}
