//! Starts clusters of real parts for the tests, the demo and `make up`.
