//! Whether what clients saw can be explained by one copy of the data.
