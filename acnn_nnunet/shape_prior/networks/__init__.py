"""The networks of the T-L network: autoencoders of label maps, the predictor of codes."""
