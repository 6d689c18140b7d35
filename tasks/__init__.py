"""Task files, one per problem, and what loads and checks them."""
