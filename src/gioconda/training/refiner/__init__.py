"""Training of the neural refiner: self-reenactment pairs, the network, its losses, and the export to ONNX."""
