use honker::{Database, EnqueueOpts, JobContext, Outcome, QueueOpts, Worker};

fn greet(word: String, _: &JobContext) -> Outcome {
    println!("{word}");
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let db = Database::open("app.db")?;
    db.queue("greetings", QueueOpts::default()).enqueue(&"hello", EnqueueOpts::default())?;
    Worker::builder().typed("greetings", greet).build(&db)?.run()?;
    Ok(())
}
