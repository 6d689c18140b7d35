"""What `warpsmith tasks new` copies: a task and a first kernel for it, complete and sound as they are."""
