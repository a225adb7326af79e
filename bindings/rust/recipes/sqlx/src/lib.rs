//! Enqueueing and acking with sqlx, in its transaction. The tests are the recipe.
