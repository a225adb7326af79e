//! Enqueueing and acking with rusqlite, in its transaction. The tests are the recipe.
