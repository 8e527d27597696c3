# Commands of the project. `make test` and `make lab` install what they need.
.PHONY: test
test:
	cargo test --workspace
