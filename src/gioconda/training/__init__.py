"""Training and measuring: preparation of data, networks, evaluation. Nothing of it is needed to animate."""
