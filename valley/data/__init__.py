"""Problems, traces, and the training sets made of them."""
