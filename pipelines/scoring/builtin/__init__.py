"""The built-in scorer: sharpness, blur and smoothness from pixels alone."""
