//! Reading through the cache: a hundred callers, one query.
//!
//! `cargo run -p millpond-client --example read_through` runs on a cache in this
//! process; with `MILLPOND_ADDR` set, on the sidecar there.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millpond_client::{EmbeddedConfig, Millpond};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

#[derive(Serialize, Deserialize)]
struct User {
    id: u32,
    name: String,
}

/// Stands for the database, which counts its queries and takes its time.
#[derive(Default)]
struct Database {
    queries: AtomicUsize,
}

impl Database {
    async fn user(&self, id: u32) -> Result<Option<User>, std::io::Error> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let name = "Ada".to_owned();
        Ok((id == 42).then_some(User { id, name }))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pond = Millpond::from_env_or_embedded(EmbeddedConfig::default()).await?;
    let users = pond.cache("example-users")?.json::<User>();
    let users = users.tenant("acme")?;
    users.bytes().invalidate_all().await?; // so that every run begins alike
    let database = Arc::new(Database::default());

    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let (users, database) = (users.clone(), Arc::clone(&database));
        callers.spawn(async move {
            let load = move || async move { database.user(42).await };
            users.get_or_load("user:42", load).await
        });
    }
    while let Some(read) = callers.join_next().await {
        let user = read??.ok_or("user 42 is in the database")?;
        assert_eq!((user.id, user.name.as_str()), (42, "Ada"));
    }

    let queries = database.queries.load(Ordering::Relaxed);
    println!("100 callers, {queries} query");
    assert_eq!(queries, 1);
    Ok(())
}
