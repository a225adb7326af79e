// Included by the recipes: a worker in a process of its own, which is this test run once more.

fn worker_elsewhere(path: &std::path::Path) -> std::process::Child {
    std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "worker_of_another_process", "--nocapture"])
        .env("HONKER_RECIPE_FILE", path)
        .spawn()
        .unwrap()
}

/// Not a test by itself: see `worker_elsewhere`.
#[test]
fn worker_of_another_process() {
    let Some(path) = std::env::var_os("HONKER_RECIPE_FILE") else { return };
    honker::Worker::builder()
        .typed("emails", |name: String, job| {
            job.database().notify("sent", &name)?;
            Ok(())
        })
        .open(path)
        .unwrap()
        .run()
        .unwrap();
}
