//! Enqueueing and acking with diesel, in its transaction. The tests are the recipe.
