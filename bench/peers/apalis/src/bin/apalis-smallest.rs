use apalis::prelude::*;
use apalis_sqlite::{SqlitePool, SqliteStorage};

async fn greet(word: String) {
    println!("{word}");
}

#[tokio::main]
async fn main() -> Result<(), BoxDynError> {
    let pool = SqlitePool::connect("sqlite://app.db?mode=rwc").await?;
    SqliteStorage::setup(&pool).await?;
    let mut backend = SqliteStorage::new(&pool);
    backend.push("hello".to_owned()).await?;
    WorkerBuilder::new("worker-1").backend(backend).build(greet).run().await?;
    Ok(())
}
