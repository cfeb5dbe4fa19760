//! Whether the logs of a real cluster are a behaviour of the model.
